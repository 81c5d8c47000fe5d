"""The same seed gives the same bits: for any batch size, thread count and process, and after a restore."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from phonotaxis.configs.task import AudioGoalTask
from phonotaxis.envs.library import Library
from phonotaxis.envs.threads import cores
from phonotaxis.envs.world import World

STEPS = 4


@pytest.fixture(scope="module", params=["plain", "everything"])
def task(
    request: pytest.FixtureRequest, make_task: Callable[..., AudioGoalTask], everything: dict[str, Any]
) -> AudioGoalTask:
    options = everything if request.param == "everything" else {}
    return make_task("apartment", count=2, sources_per_scene=2, response_s=0.2, **options)


@pytest.fixture(scope="module")
def library(task: AudioGoalTask) -> Library:
    return Library(task)


def digests(world: World, seeds: np.ndarray, steps: int = STEPS) -> list[str]:
    """Run an episode in each world by fixed actions; return a hash of all that each world showed."""
    hashes = [hashlib.sha256() for _ in seeds]

    def note(*arrays: np.ndarray) -> None:
        for index, digest in enumerate(hashes):
            for array in arrays:
                digest.update(np.ascontiguousarray(array[index]).tobytes())

    world.begin(np.arange(seeds.size), seeds)
    note(*world.observation.values(), world.pose)
    for step in range(steps):
        outcome = world.step(1 + (seeds + step) % 3)
        note(*world.observation.values(), world.pose, world.distance_m, world.bearing_rad, *outcome[:3])
    for index, digest in enumerate(hashes):
        digest.update(repr(world.result(index)).encode())
    return [digest.hexdigest() for digest in hashes]


def test_batches_of_1_7_and_64_give_the_same_bits(task: AudioGoalTask, library: Library) -> None:
    seeds = np.arange(64)
    large = digests(World(task, 64, library=library), seeds)
    assert len(set(large)) == 64
    small = [
        found
        for first in range(0, 21, 7)
        for found in digests(World(task, 7, library=library), seeds[first : first + 7])
    ]
    assert small == large[:21]
    single = World(task, 1, library=library)
    assert [digests(single, seeds[k : k + 1])[0] for k in (0, 5, 63)] == [large[k] for k in (0, 5, 63)]


@pytest.mark.skipif(cores() < 2, reason="two threads need two cores")
def test_threads_do_not_change_a_bit(task: AudioGoalTask, library: Library) -> None:
    seeds = np.arange(5)
    one = digests(World(task, 5, threads=1, library=library), seeds)
    assert digests(World(task, 5, threads=2, library=library), seeds) == one


def test_what_a_library_has_made_before_plays_no_part(task: AudioGoalTask, library: Library) -> None:
    """Slots are given in the order of asking; a fresh library, asked in another order, hears the same."""
    seeds = np.array([9, 3, 11, 0])
    used = digests(World(task, 4, library=library), seeds)
    assert digests(World(task, 4), seeds[::-1]) == used[::-1]


def test_a_full_library_replaces_fields_that_nobody_uses(task: AudioGoalTask) -> None:
    crowded = Library(task, max_fields=1)
    world = World(task, 2, library=crowded)
    seeds = np.arange(8)
    found = [digests(world, seeds[k : k + 2]) for k in range(0, 8, 2)]
    assert len(crowded.fields) <= 2 * (1 + task.sources.distractors)
    assert found == [digests(World(task, 2), seeds[k : k + 2]) for k in range(0, 8, 2)]


def test_another_process_gives_the_same_bits(task: AudioGoalTask, library: Library) -> None:
    here = digests(World(task, 2, library=library), np.array([4, 8]))
    code = (
        "import sys, numpy as np\n"
        f"sys.path.insert(0, {os.path.dirname(__file__)!r})\n"
        "from test_determinism import digests\n"
        "from phonotaxis.configs.task import AudioGoalTask\n"
        "from phonotaxis.envs.world import World\n"
        "task = AudioGoalTask.model_validate_json(sys.stdin.read())\n"
        "print(*digests(World(task, 2), np.array([4, 8])))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=task.model_dump_json(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == here


def test_a_restored_world_goes_on_to_the_same_bits(task: AudioGoalTask, library: Library) -> None:
    world = World(task, 3, library=library)
    world.begin(np.arange(3), np.array([1, 2, 3]))
    world.step(np.array([1, 2, 3]))
    snapshot = world.snapshot()
    future = [_shown(world, world.step(np.array([1, 1, 2]))) for _ in range(3)]
    world.begin(np.array([0, 2]), np.array([50, 51]))  # elsewhere, with other sounds
    world.step(np.array([0, 1, 1]))
    world.restore(snapshot)
    assert [_shown(world, world.step(np.array([1, 1, 2]))) for _ in range(3)] == future
    world.restore(snapshot)  # a snapshot can be used again
    assert _shown(world, world.step(np.array([1, 1, 2]))) == future[0]


def _shown(world: World, outcome: tuple[np.ndarray, ...]) -> str:
    digest = hashlib.sha256()
    for array in (*world.observation.values(), world.pose, world.distance_m, *outcome[:3]):
        digest.update(array.tobytes())
    return digest.hexdigest() + repr([world.result(k) for k in range(world.num_worlds)])


def test_a_snapshot_keeps_its_fields(task: AudioGoalTask) -> None:
    library = Library(task, max_fields=1)
    world = World(task, 1, library=library)
    world.begin(np.array([0]), np.array([0]))
    world.step(np.array([1]))
    snapshot = world.snapshot()
    future = _shown(world, world.step(np.array([1])))
    for seed in range(1, 8):  # asks for every other field of the task
        world.begin(np.array([0]), np.array([seed]))
    world.restore(snapshot)
    assert _shown(world, world.step(np.array([1]))) == future


def test_a_snapshot_gives_its_fields_back(task: AudioGoalTask) -> None:
    library = Library(task, max_fields=1)
    world = World(task, 1, library=library)
    for seed in range(8):  # asks for every field of the task
        world.begin(np.array([0]), np.array([seed]))
        world.snapshot()
    assert len(library.fields) <= 2  # the one that is heard and the one that comes


def test_threads_do_not_change_a_bit_of_worlds_that_begin_anew(task: AudioGoalTask, library: Library) -> None:
    """Stops end episodes, and others begin in the same step: also in threads, where shares do it side by side."""

    def run(threads: int) -> list[bytes]:
        world = World(task, 5, threads=threads, library=library)
        world.begin(np.arange(5), np.arange(5))
        asked, shown = iter(range(100, 200)), []
        for step in range(6):
            actions = np.array([(world_number + step) % 4 for world_number in range(5)])
            outcome = world.step(actions, lambda ended: np.array([next(asked) for _ in ended]))
            last = [array for ending in outcome.endings.values() for array in ending.observation.values()]
            arrays = (*world.observation.values(), world.pose, world.distance_m, *outcome[:3], *last)
            shown.append(b"".join(np.ascontiguousarray(array).tobytes() for array in arrays))
        return shown

    assert run(2) == run(1)


def test_what_episodes_held_is_given_back(task: AudioGoalTask) -> None:
    library = Library(task)
    world = World(task, 3, library=library)
    world.begin(np.arange(3), np.arange(3))
    for step in range(8):
        world.step(np.array([step % 4, 0, 1]), lambda ended, step=step: ended + 50 + step)
    expected = sum(len(episode.fields()) for episode in _episodes(world))
    assert sum(library._field_slots.users) == expected


def test_a_beginning_that_fails_leaves_no_world_without_an_episode_going(task: AudioGoalTask) -> None:
    library = Library(task)
    world = World(task, 2, library=library)
    world.begin(np.arange(2), np.arange(2))
    with pytest.raises(ValueError, match="expected a seed for each of 2 worlds, got 1"):
        world.begin(np.arange(2), np.array([5]))
    assert world.active.all()
    with pytest.raises(ValueError, match="non-negative"):
        world.begin(np.arange(2), np.array([5, -1]))
    assert not world.active.any()
    assert sum(library._field_slots.users) == 0
    world.begin(np.arange(2), np.arange(2))
    assert world.active.all()


def test_a_seed_names_an_episode(task: AudioGoalTask, library: Library) -> None:
    world = World(task, 2, library=library)
    world.begin(np.array([1, 0]), np.array([70, 71]))  # seeds go with their worlds, in any order
    assert [episode.seed for episode in _episodes(world)] == [71, 70]
    before = [episode._asdict() for episode in _episodes(world)]
    world.begin(np.array([0, 1]), np.array([71, 70]))
    assert [episode._asdict() for episode in _episodes(world)] == before


def _episodes(world: World) -> list[Any]:
    return [episode for episode in world.episodes if episode is not None]
