"""Microphone arrays: shipped geometries against the makers' figures, and what a directivity refuses."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from phonotaxis.configs import presets
from phonotaxis.configs.array import MicrophoneArray
from phonotaxis.configs.base import ConfigError, build
from phonotaxis.configs.compatibility import array_mismatches

# Radius of the ring in millimetres, microphones on it, microphones in its centre, raw channels, channels in all.
DATA_SHEETS: dict[str, tuple[float, int, int, list[int], int]] = {
    "respeaker_usb_v2": (32.0, 4, 0, [1, 2, 3, 4], 6),
    "respeaker_xvf3800": (33.0 * 2**0.5, 4, 0, [2, 3, 4, 5], 6),
    "respeaker_4mic_hat": (40.5, 4, 0, [0, 1, 2, 3], 4),
    "respeaker_6mic": (46.3, 6, 0, [0, 1, 2, 3, 4, 5], 8),
    "uma8": (43.0, 6, 1, [0, 1, 2, 3, 4, 5, 6], 8),
    "matrix_voice": (38.3, 7, 1, [0, 1, 2, 3, 4, 5, 6, 7], 8),
    "matrix_creator": (52.5, 8, 0, [0, 1, 2, 3, 4, 5, 6, 7], 8),
    "binaural": (87.5, 2, 0, [0, 1], 2),
    "foa": (0.0, 0, 4, [0, 1, 2, 3], 4),
}


def load(name: str) -> MicrophoneArray:
    return presets.load("arrays", name, MicrophoneArray)


def fields(**more: Any) -> dict[str, Any]:
    return {"name": "mine", "mic_xyz_m": [[0.0, 0.1, 0.3], [0.0, -0.1, 0.3]], "channel_map": [0, 1],
            "device_channels": 2, **more}  # fmt: skip


def test_every_shipped_array_is_on_the_list() -> None:
    assert set(presets.names("arrays")) == set(DATA_SHEETS)


@pytest.mark.parametrize("name", sorted(DATA_SHEETS))
def test_a_shipped_array_is_its_data_sheets(name: str) -> None:
    radius_mm, on_ring, in_centre, channels, of = DATA_SHEETS[name]
    array = load(name)
    centre = (*array.positions_m().mean(axis=0)[:2],) if name != "binaural" else (0.0, 0.0)
    away_mm = 1000 * np.hypot(*(array.positions_m()[:, :2] - centre).T)
    assert array.name == name
    assert (away_mm < 0.1).sum() == in_centre
    np.testing.assert_allclose(away_mm[away_mm >= 0.1], radius_mm, atol=0.05)
    assert (away_mm >= 0.1).sum() == on_ring
    assert list(array.channel_map) == channels
    assert array.device_channels == of


@pytest.mark.parametrize(
    "name", ["respeaker_usb_v2", "respeaker_4mic_hat", "respeaker_xvf3800", "respeaker_6mic", "matrix_voice"]
)
def test_a_ring_is_even(name: str) -> None:
    places = load(name).positions_m()[:, :2]
    places = places[np.hypot(*places.T) > 1e-3]
    azimuth = np.sort(np.arctan2(places[:, 1], places[:, 0]))
    gaps = np.diff(np.append(azimuth, azimuth[0] + 2 * np.pi))
    np.testing.assert_allclose(gaps, 2 * np.pi / len(places), atol=2e-3)


def test_an_array_without_a_word_about_it_is_omnidirectional() -> None:
    assert build(MicrophoneArray, fields(), "mine").directivity.kind == "omnidirectional"


@pytest.mark.parametrize("name", ["foa", "binaural"])
def test_a_directivity_survives_json(name: str) -> None:
    array = load(name)
    assert MicrophoneArray.model_validate_json(array.model_dump_json()) == array


def test_a_direction_of_any_length_is_the_same_one() -> None:
    """So that a policy's contract and a robot's file may write it each in its own way."""
    plates = [
        build(MicrophoneArray, fields(directivity={"kind": "plate", "radius_m": 0.1, "normal": normal}), "mine")
        for normal in ([0.0, 3.0, 4.0], [0.0, 0.3, 0.4], [0.0, 0.6, 0.8])
    ]
    assert not array_mismatches(plates[0], plates[1])
    assert plates[0].directivity.normal == pytest.approx((0.0, 0.6, 0.8))
    assert plates[2].directivity.normal == (0.0, 0.6, 0.8)
    again = [MicrophoneArray.model_validate_json(plate.model_dump_json()) for plate in plates]
    assert again == plates


@pytest.mark.parametrize(
    ("directivity", "message"),
    [
        ({"kind": "rigid_ball"}, "rigid_ball"),
        ({"kind": "rigid_sphere"}, "radius_m: required"),
        ({"kind": "rigid_sphere", "radius_m": 0.12}, r"microphone 0 lies 0\.1000 m.*radius_m is 0\.12"),
        ({"kind": "ambisonic", "patterns": [{"pressure": 1.0}]}, "1 entries for 2 microphones"),
        ({"kind": "ambisonic", "patterns": [{"pressure": 1, "axis": [0, 0, 0]}] * 2}, "must point somewhere"),
        ({"kind": "plate", "radius_m": 0.1, "normal": [0, 0, 0]}, "must point somewhere"),
        ({"kind": "sofa", "path": ""}, r"path"),
        ({"kind": "plate", "radius_m": 0.1, "heigth_m": 0.1}, "heigth_m: unknown key"),
    ],
)
def test_what_a_directivity_refuses(directivity: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build(MicrophoneArray, fields(directivity=directivity), "mine.yaml")


def test_the_documented_array_is_one() -> None:
    """The ten lines and the plate in docs/arrays.md, put together."""
    page = (Path(__file__).parents[2] / "docs" / "arrays.md").read_text(encoding="utf-8")
    blocks = [block for block in re.findall(r"```yaml\n(.*?)```", page, flags=re.DOTALL) if "like:" not in block]
    array = build(MicrophoneArray, yaml.safe_load("".join(blocks)), "docs/arrays.md")
    assert array.mics == 4
    assert array.directivity.kind == "plate"
    assert blocks[0].count("\n") <= 10
    assert all(f"`{name}`" in page for name in presets.names("arrays"))


def test_microphones_on_a_sphere_of_their_own_centre_are_taken() -> None:
    array = build(MicrophoneArray, fields(directivity={"kind": "rigid_sphere", "radius_m": 0.1}), "mine")
    assert array.directivity.kind == "rigid_sphere"
