"""Smoothing: energy is kept, stays positive, and doesn't pass walls."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from phonotaxis.envs import scenes
from phonotaxis.envs.acoustics.field import scene_sound
from phonotaxis.envs.acoustics.smoothing import smooth_in_space, smooth_in_time
from phonotaxis.envs.scenes.scene import Scene


@pytest.mark.parametrize("seed", [0, 3])
def test_energy_is_kept_and_evened_out(seed: int) -> None:
    _, regions = scene_sound(scenes.load("apartment", seed=seed))
    rng = np.random.Generator(np.random.PCG64(seed))
    energy = rng.exponential(size=(len(regions.volume_m3), 20, 6)).astype(np.float32)
    before = energy.copy()
    smooth_in_space(regions, energy, np.arange(20))
    held = [regions.volume_m3 @ values.reshape(len(values), -1) for values in (before, energy)]
    np.testing.assert_allclose(held[1], held[0], rtol=1e-4)
    assert (energy >= 0.0).all()
    spread = [values.std(axis=0).mean(axis=1) for values in (before, energy)]
    assert (spread[1] < spread[0]).all()
    assert spread[1][15] < 0.6 * spread[1][1]  # late bins more than early ones


def test_a_wall_without_a_door_keeps_energy_where_it_is(two_rooms: Scene) -> None:
    floor = two_rooms.floor_m.copy()
    floor[:, two_rooms.cell_of(5.05, 1.0)[1]] = two_rooms.height_m
    _, regions = scene_sound(dataclasses.replace(two_rooms, name="parted", floor_m=floor))
    left = regions.centre_m[:, 0] < 5.0
    energy = np.where(left[:, None, None], 1.0, 0.0).astype(np.float32) * np.ones((1, 20, 6), dtype=np.float32)
    smooth_in_space(regions, energy, np.arange(20))
    np.testing.assert_allclose(energy[left], 1.0, rtol=1e-5)
    assert (energy[~left] == 0.0).all()


def test_a_decay_keeps_its_slope() -> None:
    slope = np.exp(-0.1 * np.arange(50))[None, :, None].astype(np.float32) * np.ones((2, 1, 6), dtype=np.float32)
    smoothed = slope.copy()
    smooth_in_time(smoothed)
    np.testing.assert_allclose(
        np.log(smoothed[:, 20] / smoothed[:, 40]), np.log(slope[:, 20] / slope[:, 40]), atol=1e-5
    )
