"""The comparison with exact images: what is compared, and that a wrong simulator is caught."""

from __future__ import annotations

import numpy as np
import pytest

from phonotaxis.configs import presets
from phonotaxis.configs.array import MicrophoneArray
from phonotaxis.envs.truth import shoebox
from phonotaxis.envs.truth.images import Shoebox, smooth_materials

ROOM = Shoebox("small test room", (3.6, 3.0, 2.5), 0.5, 0.5, 0.5, 0.2)


def compared(monkeypatch: pytest.MonkeyPatch, distort: float) -> shoebox.Compared:
    """Compare the reference with itself, what comes after 10 ms decaying faster by a factor."""

    def exact_stand_in(scene: object, source: shoebox.Point, centre: shoebox.Point, yaw: float, array: MicrophoneArray,
                       rate_hz: int, length_s: float) -> np.ndarray:  # fmt: skip
        pose = shoebox.Pose(centre, yaw)
        points = shoebox.microphones_m(array, pose)
        exact = real(ROOM, source, points, rate_hz)
        later = np.maximum(np.arange(exact.shape[1]) / rate_hz - 0.01, 0.0)
        return np.asarray(exact * np.exp(-distort * later))

    real = shoebox.image_responses
    monkeypatch.setattr(shoebox, "impulse_response", exact_stand_in)
    array = presets.load("arrays", shoebox.ARRAY, MicrophoneArray)
    with smooth_materials([ROOM]):
        places = shoebox.draw_places(ROOM, np.random.Generator(np.random.PCG64(3)))
        return shoebox.compare(ROOM, ROOM.scene(), places, array)


def test_the_truth_itself_has_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pyroomacoustics", reason="the bench extra isn't installed")
    by_name = {row.name: row for row in shoebox.rows([compared(monkeypatch, 0.0)])}
    for name in ("rt60_error_median_shoebox", "drr_error_db_shoebox", "level_std_db_shoebox"):
        assert by_name[name].value == pytest.approx(0.0, abs=1e-3), name
        assert by_name[name].met
    assert by_name["srp_distance_deg_shoebox"].value == 0.0
    own = by_name["rt60_error_median_shoebox"].reference_own
    assert own is not None
    assert own > 0.0


def test_a_room_that_dies_too_fast_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half as long a decay: half the reverberation time, more direct sound, less of it all."""
    pytest.importorskip("pyroomacoustics", reason="the bench extra isn't installed")
    found = compared(monkeypatch, 6.9 / 0.13)
    by_name = {row.name: row for row in shoebox.rows([found])}
    assert by_name["rt60_error_median_shoebox"].value > 30.0
    assert not by_name["rt60_error_median_shoebox"].met
    assert by_name["drr_bias_db_shoebox"].value > 1.0
    assert by_name["level_bias_db_shoebox"].value < -0.3


def test_places_are_where_they_should_be() -> None:
    rng = np.random.Generator(np.random.PCG64(0))
    for room in shoebox.ROOMS:
        places = shoebox.draw_places(room, rng)
        everywhere = np.array(
            [places.source_m, *places.listeners_m, *places.beside_m, *places.elsewhere_m, *(p[0] for p in places.poses)]
        )
        assert (everywhere > 0.09).all()
        assert (everywhere < np.array(room.size_m) - 0.3).all()
        around = np.concatenate([places.listeners_m, places.beside_m])
        assert np.linalg.norm(around - around.mean(axis=0), axis=1).max() < 0.9  # a disc of 0.45 m
        assert len(places.poses) == shoebox.POSES
