"""Rays that pass an edge: how much goes where, against Keller's coefficient; energy is kept."""

from __future__ import annotations

import numpy as np
import pytest
from numba import njit

from phonotaxis.envs.acoustics.air import SPEED_OF_SOUND_MPS
from phonotaxis.envs.acoustics.bands import BANDS
from phonotaxis.envs.acoustics.bending import NO_EDGE, next_edge, turn_at_edge
from phonotaxis.envs.acoustics.field import scene_sound
from phonotaxis.envs.acoustics.tracer import trace_late_field
from phonotaxis.envs.hashing import fold, key_of
from phonotaxis.envs.scenes.materials import OCTAVE_BANDS_HZ
from phonotaxis.envs.scenes.scene import Scene

WIDTH_M = 1.0  # beside an edge, on which rays fall evenly
ANGLES_RAD = np.radians([12.0, 20.0, 30.0, 45.0])


@njit
def turned(rays, dz):
    """Send rays of energy 1 along x past an edge; returns their new azimuths and what each band has left."""
    azimuth, energy = np.empty(rays), np.ones((rays, BANDS))
    flat = np.sqrt(1.0 - dz * dz)
    for ray in range(rays):
        apart_m = (ray + 0.5) / rays * WIDTH_M
        dx, dy = turn_at_edge(flat, 0.0, apart_m, fold(key_of(3), ray), energy[ray])
        azimuth[ray] = np.arctan2(dy, dx)
    return azimuth, energy


@pytest.mark.parametrize("dz", [0.0, 0.6])
def test_the_shadow_gets_what_keller_says(dz: float) -> None:
    """Into each small angle, lambda / (2 pi e)^2 of what falls on a metre, within a fifth; slanted waves are longer."""
    azimuth, energy = turned(2_000_000, dz)
    for low, high in zip(ANGLES_RAD[:-1], ANGLES_RAD[1:]):
        inside = (azimuth > low) & (azimuth < high)
        for band in (3, 4, 5):  # of lower ones much would have to pass at more than a metre
            wave_m = SPEED_OF_SOUND_MPS / OCTAVE_BANDS_HZ[band] / np.sqrt(1.0 - dz * dz)
            expected = wave_m / (2.0 * np.pi) ** 2 * (1.0 / low - 1.0 / high)
            assert energy[inside, band].sum() / azimuth.size * WIDTH_M == pytest.approx(expected, rel=0.2)


def test_bending_keeps_energy_and_favours_no_side() -> None:
    azimuth, energy = turned(200_000, 0.0)
    np.testing.assert_allclose(energy.mean(axis=0), 1.0, atol=0.02)
    assert energy.max() <= BANDS + 1e-9
    for band in range(BANDS):
        left = energy[azimuth > 0.0, band].sum() / energy[:, band].sum()
        assert left == pytest.approx(0.5, abs=0.01)


def test_the_nearest_edge_ahead_is_the_next() -> None:
    at_m = np.array([[3.0, 0.5], [2.0, -0.4], [1.0, 1.5], [-1.0, 0.1]])
    edge, way_m, apart_m = next_edge(at_m, 0.0, 0.0, 0.8, 0.0, NO_EDGE)
    assert (edge, way_m, apart_m) == (1, pytest.approx(2.0 / 0.8), pytest.approx(0.4))
    assert next_edge(at_m, 0.0, 0.0, 0.8, 0.0, 1)[0] == 0  # not the one it has just passed
    assert next_edge(at_m, 4.0, 0.0, 1.0, 0.0, NO_EDGE)[0] == NO_EDGE
    assert next_edge(at_m, 0.0, 0.0, 0.0, 0.0, NO_EDGE)[0] == NO_EDGE  # straight up


def test_low_sound_reaches_round_a_door(two_rooms: Scene) -> None:
    """In the corner beside the door that no mirror sees through it, bending brings energy, most at low frequency."""
    sound, regions = scene_sound(two_rooms)
    none = sound.edges._replace(at_m=np.zeros((0, 2)), open_m=np.zeros((0, 2, 2)))
    source = (8.0, 0.8, 0.6)
    bent, straight = (
        trace_late_field(two_rooms, regions, source, 0.1, 1, 20_000, plan=sound.plan, edges=edges).energy
        for edges in (sound.edges, none)
    )
    corner = regions.label[two_rooms.cell_of(4.7, 0.4)]
    assert corner >= 0
    gain = bent[corner, :3].sum(axis=0) / straight[corner, :3].sum(axis=0)  # in the first 30 ms
    assert gain[0] > 1.2
    assert gain[0] > gain[-1]
    assert bent.sum() == pytest.approx(straight.sum(), rel=0.25)
