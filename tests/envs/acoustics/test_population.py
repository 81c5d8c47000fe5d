"""Weight windows: no energy is made or lost on average, and late fields depend less on the rays that were drawn."""

from __future__ import annotations

import numpy as np
import pytest

from phonotaxis.envs import scenes
from phonotaxis.envs.acoustics.bands import BANDS
from phonotaxis.envs.acoustics.field import scene_sound
from phonotaxis.envs.acoustics.population import copies_of, nobody_waits, note, survives, wait, weight_of
from phonotaxis.envs.acoustics.tracer import trace_late_field
from phonotaxis.envs.hashing import fold, key_of

SOURCE = (1.5, 1.5, 1.0)


@pytest.mark.parametrize("weight", [0.02, 0.1, 0.3])
def test_roulette_keeps_the_mean_energy(weight: float) -> None:
    count, total = 20000, 0.0
    for index in range(count):
        energy = np.full(BANDS, weight)
        if survives(weight, np.uint64(fold(key_of(3), index)), energy):
            total += float(energy[0])
            assert energy[0] > weight
    assert total / count == pytest.approx(weight, rel=0.06)


def test_what_is_near_the_mean_is_left_alone() -> None:
    for index in range(200):
        energy = np.ones(BANDS)
        assert survives(1.0, np.uint64(fold(key_of(3), index)), energy)
        assert (energy == 1.0).all()
    assert copies_of(1.0, 0) == 1


def test_copies_fit_into_the_room_there_is() -> None:
    waiting = nobody_waits(4)
    room = len(waiting.key)
    for count in range(room + 1):
        copies = copies_of(1e6, count)
        assert copies >= 1
        assert count + copies - 1 <= room
    assert copies_of(3.5, 0) == 3


def test_a_ray_is_weighed_against_those_before_it_at_the_same_time() -> None:
    waiting = nobody_waits(4)
    for _ in range(20):
        note(waiting.passed, np.full(BANDS, 2.0), 0.0, 2.5, 1.0)
    assert waiting.passed[:, 0] == pytest.approx([40.0, 40.0, 20.0, 0.0])
    energy = np.full(BANDS, 6.0)
    assert weight_of(waiting.passed, 20, energy, 1.2, 1.0) == pytest.approx(3.0)
    assert weight_of(waiting.passed, 20, energy, 3.2, 1.0) == 1.0  # none came so far
    assert weight_of(waiting.passed, 1, energy, 1.2, 1.0) == 1.0  # too few to tell


def test_a_ray_comes_back_as_it_was() -> None:
    waiting = nobody_waits(4)
    energy = np.arange(BANDS, dtype=np.float64)
    assert wait(waiting, 5, (1.0, 2.0, 3.0, 0.1, 0.2, 0.3), 7, 8, 9.5, energy, 4, np.uint64(11)) == 6
    assert waiting.place[5].tolist() == [1.0, 2.0, 3.0, 0.1, 0.2, 0.3]
    assert (waiting.cell[5].tolist(), waiting.travelled[5], waiting.bounces[5]) == ([7, 8], 9.5, 4)
    assert (waiting.energy[5] == energy).all()


def test_late_energy_of_unlike_surfaces_hangs_less_on_the_draw() -> None:
    """Beds below tiles: from 0.2 s on draws differ by 0.6 dB, without windows by 1.1; the mean is that of many rays."""
    room = scenes.load("empty_room", size_m=[6.0, 5.0], floor="bed", walls="bookshelf", ceiling="tiles")
    regions = scene_sound(room)[1]

    def late(seed: int, rays: int) -> float:
        energy = trace_late_field(room, regions, SOURCE, 0.4, seed=seed, rays=rays).energy
        return float((regions.volume_m3 @ energy[:, 20:, 3]).sum())

    draws = np.array([late(seed, 1000) for seed in range(8)])
    assert np.std(10.0 * np.log10(draws)) < 0.8
    assert draws.mean() == pytest.approx(late(99, 20000), rel=0.12)
