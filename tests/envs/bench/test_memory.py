"""Memory: every array counted once, and a thousand worlds fit."""

from __future__ import annotations

from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import pytest

from phonotaxis.configs.task import AudioGoalTask, SceneSet
from phonotaxis.envs.bench.memory import MANY_WORLDS, Memory, memory_figures, memory_of, nbytes_of
from phonotaxis.envs.bench.sim import BENCH_TASK
from phonotaxis.envs.library import Library
from phonotaxis.envs.world import World


class Pair(NamedTuple):
    first: np.ndarray
    second: object


def test_containers_and_attributes_are_followed_and_views_counted_once() -> None:
    block = np.zeros((10, 8))
    assert nbytes_of(block) == 640
    assert nbytes_of(block[2:4]) == 640  # a view keeps all of it alive
    assert nbytes_of([block, block[0], {"again": block.T}]) == 640
    assert nbytes_of(Pair(block, (np.zeros(4, np.float32), "text", None, 3))) == 656
    circle: list[object] = [block]
    circle.append(circle)
    assert nbytes_of(circle) == 640


def test_left_out_is_not_followed() -> None:
    kept, other = [np.zeros(3)], [np.zeros(5)]
    assert nbytes_of([kept, other], leave_out=(other,)) == 24
    assert nbytes_of(SimpleNamespace(hidden=np.zeros(5))) == 0  # not ours: modules and libraries aren't followed


def test_a_worlds_bytes_are_those_of_its_arrays(task: AudioGoalTask) -> None:
    world = World(task, 1)
    world.begin(np.array([0]), np.array([0]))
    memory = memory_of(world)
    least = world.eyes.depth_m.nbytes + sum(array.nbytes for array in world.hearing.state().values())
    assert least <= memory.world < 2 * least
    field, scene = world.library.fields[0], world.library.scenes[0]
    assert memory.field >= field.energy.nbytes + field.directions.nbytes + world.library.walks[0].distance_m.nbytes
    assert memory.scene >= scene.floor_m.nbytes + scene.ceiling_m.nbytes + 3 * scene.side_material.nbytes
    assert memory.shared >= world.library.signals.nbytes
    figures = memory_figures(world)
    assert figures["memory_world"].value == pytest.approx(memory.world / 1e6)
    assert figures["memory_1000_worlds"].value == pytest.approx(memory.of(1000) / 1e9)


def test_an_empty_library_is_named(task: AudioGoalTask) -> None:
    with pytest.raises(ValueError, match="begin an episode first"):
        memory_of(World(task, 1))


def test_the_worst_case_shares_nothing() -> None:
    assert Memory(field=3, scene=5, world=7, shared=11).of(1000) == 11 + 15 * 1000


def test_a_thousand_worlds_fit_in_4_gb() -> None:
    """In apartments as the bench has them, each world in a scene and a field of its own."""
    task = BENCH_TASK.model_copy(update={"scenes": SceneSet(count=3), "sources_per_scene": 1})
    world = World(task, 1, library=Library(task))
    world.begin(np.array([0]), np.array([0]))
    assert memory_of(world).of(MANY_WORLDS) < 4e9
