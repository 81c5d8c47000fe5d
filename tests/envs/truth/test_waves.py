"""Images that reflect by angle, and what is made of decays beside those of waves."""

from __future__ import annotations

import numpy as np
import pytest

from phonotaxis.envs.truth import measures, waves
from phonotaxis.envs.truth.finite_difference import SPEED_OF_SOUND_MPS, admittance_of, pulse, room_of, simulate
from phonotaxis.envs.truth.grazing import grazing_responses
from phonotaxis.envs.truth.images import Shoebox, smooth_materials

RATE_HZ = 16000
ROOM = Shoebox("test", (3.0, 4.0, 2.5), 0.3, 0.2, 0.5, 0.012)
SOURCE, LISTENER = (1.5, 1.2, 1.25), np.array([[1.5, 2.8, 1.25]])


def test_direct_sound_and_first_reflections_have_the_strength_of_plane_waves() -> None:
    """The direct sound, and the wall behind the source, met at a right angle: (1 - b) / (1 + b) of it."""
    response = grazing_responses(ROOM, SOURCE, LISTENER, RATE_HZ)[0]

    def around(metres: float) -> float:
        middle = round(metres / SPEED_OF_SOUND_MPS * RATE_HZ)
        return float(response[middle - 2 : middle + 4].sum())

    wall = admittance_of(0.2)
    assert around(1.6) == pytest.approx(1.0 / 1.6, rel=1e-6)
    assert around(1.2 + 2.8) == pytest.approx(2.0 * (1.0 - wall) / (1.0 + wall) / 4.0, rel=0.02)  # and its opposite


def test_the_pattern_of_images_is_that_of_the_wave_equation() -> None:
    """Below 500 Hz, over the first 20 ms in a small room of little absorption: where images are all but exact."""
    room = Shoebox("test", (2.0, 1.6, 1.8), 0.05, 0.05, 0.05, 0.02)
    source, points = (0.55, 0.65, 0.75), np.array([[1.35, 0.85, 1.05]])
    with smooth_materials([room]):
        grid = room_of(room.scene(), (1000.0,), waves.CELLS)
    recorded = simulate(grid, np.array(source), points, room.length_s, waves.PEAK_HZ)[0]
    times_s = np.arange(recorded.size) * grid.step_s
    fine = grazing_responses(room, source, points, 8 * RATE_HZ)[0]
    arrivals_s = np.arange(fine.size) / (8 * RATE_HZ)
    expected = np.array([fine @ pulse_at(t - arrivals_s) for t in times_s])
    assert np.linalg.norm(recorded - expected) < 0.25 * np.linalg.norm(expected)
    assert np.linalg.norm(expected) > 1.0


def pulse_at(time_s: np.ndarray) -> np.ndarray:
    """Return the pulse at some times, nothing before it begins."""
    return np.where(time_s > 0.0, pulse(time_s, waves.PEAK_HZ), 0.0)


def test_rows_tell_who_decays_more_slowly_than_waves() -> None:
    rt60_s = np.ones((3, 4, waves.OCTAVES))
    rt60_s[:, 1], rt60_s[:, 2, 0] = 1.5, 0.9
    ours, images, grazing = waves.rows(rt60_s)
    assert (ours.value, images.value, ours.goal) == (0.0, pytest.approx(50.0), None)
    assert grazing.samples == pytest.approx((10.0, 0.0) * 3)
    assert "250 Hz -10 %" in grazing.note
    assert measures.OCTAVES_HZ[: waves.OCTAVES] == (250.0, 500.0)
