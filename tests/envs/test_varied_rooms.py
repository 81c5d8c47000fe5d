"""What is drawn with a scene or a unit: materials, and where microphones clip."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from phonotaxis.configs.task import AudioGoalTask
from phonotaxis.configs.unit_variation import UnitVariation
from phonotaxis.envs.acoustics.unit_variation import draw_unit
from phonotaxis.envs.library import Library
from phonotaxis.envs.world import World

MakeTask = Callable[..., AudioGoalTask]
SHORT: dict[str, Any] = {"response_s": 0.1}
SEED = 3


def begun(task: AudioGoalTask) -> World:
    world = World(task)
    world.begin(np.array([0]), np.array([SEED]))
    return world


def test_materials_are_those_of_the_scene_and_are_heard(make_task: MakeTask) -> None:
    """A room that absorbs ten times as much is quieter late; a scene is the same after others were loaded."""
    nominal = make_task("apartment", count=3, **SHORT)
    varied = {"absorption_scale": 10.0, "scattering_scale": [0.0, 2.0]}
    dry = make_task("apartment", count=3, **SHORT, randomise=varied)
    made = {name: Library(task) for name, task in (("nominal", nominal), ("dry", dry), ("again", dry))}
    made["again"].field_slot(made["again"].scene_slot(0), 0)
    slots = {name: library.field_slot(library.scene_slot(2), 0) for name, library in made.items()}
    energy = {name: library.fields[slots[name]].energy for name, library in made.items()}
    assert np.array_equal(energy["dry"], energy["again"])
    late = {name: float(np.median(codes[:, -2:])) for name, codes in energy.items()}
    assert late["nominal"] - late["dry"] > 512  # codes an octave: half the energy at the least
    scales = [made["dry"].scenes[made["dry"].scene_slot(k)].scattering_scale for k in range(3)]
    assert len(set(scales)) == 3
    assert made["nominal"].scenes[slots["nominal"]].scattering_scale == 1.0
    world = begun(dry)
    assert world.variations[0] is not None
    assert world.variations[0].absorption_scale == 10.0
    assert world.variations[0].scattering_scale in scales


def test_early_images_are_absorbed_as_the_scene_says(make_task: MakeTask) -> None:
    gains = []
    for scale in (0.0, 1.0, 10.0):
        listeners = begun(make_task(**SHORT, randomise={"absorption_scale": scale})).hearing.listeners
        gains.append(listeners.path_gain[0, : listeners.path_count[0]].astype(float))
    direct, images = slice(0, 1), slice(1, None)
    np.testing.assert_array_equal(gains[0][direct], gains[2][direct])
    assert (gains[0][images] > gains[1][images]).all()
    assert (gains[1][images] > gains[2][images]).all()


@pytest.mark.parametrize("spread", [{"unit": {"clip_below_full_scale_db": 40.0}},
                                    {"randomise": {"unit_clip_below_full_scale_db": 40.0}}])  # fmt: skip
def test_microphones_clip_where_their_unit_does(make_task: MakeTask, spread: dict[str, Any]) -> None:
    loud = {"mean_level_db_spl": 110.0, "instances_per_kind": 1}
    world = begun(make_task(**SHORT, sounds=loud, **spread))
    hearing = world.hearing
    unit = draw_unit(world.contract.array, UnitVariation(clip_below_full_scale_db=40.0), SEED, 16000)
    limit = np.rint(unit.clip * 32768).astype(int)
    peaks, marked = np.zeros(limit.size, dtype=int), 0
    for _ in range(12):
        world.step(np.array([2]))
        peaks = np.maximum(peaks, np.abs(hearing.codes[0].astype(int)).max(axis=1))
        marked += int(hearing.clipped[0])
    assert marked > 0
    assert (peaks <= limit).all()
    low = limit < 4096  # the sound is this loud
    assert low.any()
    assert (peaks[low] == limit[low]).all()
