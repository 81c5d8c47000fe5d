"""Rays are traced in chunks that are always the same and added up in one order: threads don't change a bit."""

from __future__ import annotations

from collections.abc import Callable

import numba
import numpy as np
import pytest

from phonotaxis.configs.task import AudioGoalTask
from phonotaxis.envs import library as library_module
from phonotaxis.envs.acoustics.field import scene_sound
from phonotaxis.envs.acoustics.tracer import CHUNKS, LateField, trace_late_field
from phonotaxis.envs.scenes.scene import Scene
from phonotaxis.envs.world import World


def traced(scene: Scene, threads: int, rays: int = 100) -> LateField:
    before = numba.get_num_threads()
    numba.set_num_threads(threads)
    try:
        return trace_late_field(scene, scene_sound(scene)[1], (2.0, 2.0, 1.0), 0.2, seed=5, rays=rays)
    finally:
        numba.set_num_threads(before)


@pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2, reason="two threads need two cores")
def test_threads_do_not_change_a_bit_of_a_field(two_rooms: Scene) -> None:
    one = traced(two_rooms, 1)
    assert one.energy.max() > 0.0
    for threads in range(2, min(numba.config.NUMBA_NUM_THREADS, CHUNKS) + 1):
        more = traced(two_rooms, threads)
        assert more.energy.tobytes() == one.energy.tobytes()
        assert more.directions.tobytes() == one.directions.tobytes()


@pytest.mark.parametrize("rays", [1, CHUNKS - 1, CHUNKS + 1])
def test_every_ray_is_traced_whatever_their_number(two_rooms: Scene, rays: int) -> None:
    """With few rays each leaves about its share: none is lost where chunks are uneven."""
    energy = traced(two_rooms, 1, rays).energy
    assert np.isfinite(energy).all()
    assert energy.sum() > 0.0
    total = traced(two_rooms, 1, 20 * CHUNKS).energy.sum()
    assert 0.2 < energy.sum() / total < 5.0


@pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2, reason="two threads need two cores")
@pytest.mark.parametrize("threads", [1, 2])
def test_a_world_traces_with_its_own_threads(
    make_task: Callable[..., AudioGoalTask], monkeypatch: pytest.MonkeyPatch, threads: int
) -> None:
    seen = []
    trace = library_module.source_field

    def noted(*args: object) -> object:
        seen.append(numba.get_num_threads())
        return trace(*args)

    monkeypatch.setattr(library_module, "source_field", noted)
    World(make_task(response_s=0.1), 1, threads).begin(np.array([0]), np.array([0]))
    assert seen == [threads]
