"""Wear: scenes and fields are made anew as often as a long training makes them."""

from __future__ import annotations

import numpy as np

from phonotaxis.configs.task import AudioGoalTask
from phonotaxis.envs.bench.wear import EPISODES_PER_FIELD, Wear, fill
from phonotaxis.envs.library import Library


def test_a_field_serves_so_many_episodes_and_a_scene_so_many_times_its_sources(task: AudioGoalTask) -> None:
    library = Library(task)
    wear = Wear(library, np.random.Generator(np.random.PCG64(0)))
    slots = list(library.scenes)
    traced, scenes = len(library.fields), dict(library.scenes)
    for _ in range(2 * EPISODES_PER_FIELD):
        for slot in slots:
            for number in range(task.sources_per_scene):
                library.field_slot(slot, number)
    assert wear.traced == 2 * traced
    assert wear.built == 2 * len(slots)
    assert all(library.scenes[slot] is not scenes[slot] for slot in slots)
    assert len(library.fields) == traced  # slots that nobody holds are used again


def test_filling_makes_everything_and_holds_nothing(task: AudioGoalTask) -> None:
    library = Library(task)
    fill(library)
    assert len(library.fields) == task.scenes.count * task.sources_per_scene
    library.forget_field(0, 0)
    library.field_slot(0, 0)
    assert len(library.fields) == task.scenes.count * task.sources_per_scene  # its slot was free
