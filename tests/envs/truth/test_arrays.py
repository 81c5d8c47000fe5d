"""The estimate of delays, on delays that are known."""

from __future__ import annotations

import numpy as np
import pytest

from phonotaxis.configs import presets
from phonotaxis.configs.array import MicrophoneArray
from phonotaxis.envs.truth import arrays, quiet


@pytest.mark.parametrize("late", [-0.4, -0.013, 0.0, 0.02, 0.3])
def test_a_known_delay_is_read(late: float) -> None:
    response = np.sinc(np.arange(400) - 140.37 - late) * np.hanning(400)
    assert arrays.late_samples(response, 140.37) == pytest.approx(late, abs=0.002)


def test_directions_cover_the_sphere() -> None:
    found = arrays.directions()
    assert np.allclose(np.linalg.norm(found, axis=1), 1.0)
    assert np.abs(found.mean(axis=0)).max() < 0.02
    assert np.degrees(np.arcsin(found[:, 2])).max() > 70.0


def test_two_directions_of_one_array() -> None:
    """The direct sound alone is within the window, and it comes when geometry says."""
    array = presets.load("arrays", "respeaker_usb_v2", MicrophoneArray)
    hall = arrays.free_field()
    for direction in arrays.directions()[[0, 130]]:
        errors = arrays.direction_errors(hall, array, direction)
        assert errors.shape == (4,)
        assert np.abs(errors).max() < 0.02


def test_all_presets_of_points_are_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrays, "DIRECTIONS", 1)
    (row,) = arrays.run(quiet)
    assert row.name == "delay_error_samples"
    assert row.met
    for name in presets.names("arrays"):
        assert name in row.note
