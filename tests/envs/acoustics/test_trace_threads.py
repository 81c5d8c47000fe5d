"""Rays are traced in chunks that are always the same and added up in one order: threads don't change a bit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from phonotaxis.configs.task import AudioGoalTask
from phonotaxis.envs import library as library_module
from phonotaxis.envs.acoustics.field import SourceField, scene_sound, source_field
from phonotaxis.envs.acoustics.tracer import CHUNKS, LateField, trace_late_field
from phonotaxis.envs.scenes.scene import Scene
from phonotaxis.envs.threads import Crew, cores
from phonotaxis.envs.world import World


def traced(scene: Scene, threads: int, rays: int = 100) -> LateField:
    regions = scene_sound(scene)[1]
    return trace_late_field(scene, regions, (2.0, 2.0, 1.0), 0.2, seed=5, rays=rays, crew=Crew(threads))


def test_threads_do_not_change_a_bit_of_a_field(two_rooms: Scene) -> None:
    one = traced(two_rooms, 1)
    assert one.energy.max() > 0.0
    for threads in range(2, CHUNKS + 1):
        more = traced(two_rooms, threads)
        assert more.energy.tobytes() == one.energy.tobytes()
        assert more.directions.tobytes() == one.directions.tobytes()


def test_threads_do_not_change_a_bit_of_the_echoes(two_rooms: Scene) -> None:
    one = source_field(two_rooms, (2.0, 2.0, 1.0), 0.2)
    assert one.echoes.any()
    more = source_field(two_rooms, (2.0, 2.0, 1.0), 0.2, crew=Crew(3))
    assert more.echoes.tobytes() == one.echoes.tobytes()
    assert more.echo.tobytes() == one.echo.tobytes()


@pytest.mark.parametrize("rays", [1, CHUNKS - 1, CHUNKS + 1])
def test_every_ray_is_traced_whatever_their_number(two_rooms: Scene, rays: int) -> None:
    """With few rays each leaves about its share: none is lost where chunks are uneven."""
    energy = traced(two_rooms, 1, rays).energy
    assert np.isfinite(energy).all()
    assert energy.sum() > 0.0
    total = traced(two_rooms, 1, 20 * CHUNKS).energy.sum()
    assert 0.2 < energy.sum() / total < 5.0


@pytest.mark.skipif(cores() < 2, reason="a world takes no more threads than there are cores")
@pytest.mark.parametrize("threads", [1, 2])
def test_a_world_traces_with_its_own_threads(
    make_task: Callable[..., AudioGoalTask], monkeypatch: pytest.MonkeyPatch, threads: int
) -> None:
    seen = []
    trace = library_module.source_field

    def noted(*arguments: Any) -> SourceField:
        seen.append(next(argument.threads for argument in arguments if isinstance(argument, Crew)))
        return trace(*arguments)

    monkeypatch.setattr(library_module, "source_field", noted)
    World(make_task(response_s=0.1), 1, threads).begin(np.array([0]), np.array([0]))
    assert seen == [threads]
