"""Directive sources in a world: where they face, on their ways too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from phonotaxis.configs.task import AudioGoalTask
from phonotaxis.envs.acoustics.field import SourceField
from phonotaxis.envs.acoustics.source_directivity import ANGLES
from phonotaxis.envs.library import Library
from phonotaxis.envs.routes import headings
from phonotaxis.envs.world import World

MakeTask = Callable[..., AudioGoalTask]
SHORT: dict[str, Any] = {"response_s": 0.1}


def begun(task: AudioGoalTask, seed: int = 3) -> World:
    world = World(task)
    world.begin(np.array([0]), np.array([seed]))
    return world


def field_of(library: Library, number: int) -> SourceField:
    slot = library.field_slot(library.scene_slot(0), number)
    field: SourceField = library.fields[slot]
    return field


def test_each_place_has_a_pattern_and_a_heading_of_its_own(make_task: MakeTask) -> None:
    task = make_task(**SHORT | {"sources_per_scene": 12, "sources": {"directivity": ["talker", "omnidirectional"]}})
    made, again = Library(task), Library(task)
    beams = [field_of(made, number).beam for number in range(12)]
    assert {len(beam.gain) for beam in beams} == {0, ANGLES}
    azimuth = np.array([np.arctan2(*beam.heading[::-1]) for beam in beams])
    assert np.unique(azimuth.round(6)).size == 12
    assert np.ptp(azimuth) > np.pi
    same = field_of(again, 7).beam  # asked for first, not eighth
    assert same.heading.tolist() == beams[7].heading.tolist()
    assert same.gain.tolist() == beams[7].gain.tolist()


def test_directivity_moves_no_source(make_task: MakeTask) -> None:
    kinds = ("omnidirectional", "talker")
    plain, directive = (Library(make_task(**SHORT, sources={"directivity": kind})) for kind in kinds)
    places = [field_of(made, 0).source_m.tolist() for made in (plain, directive)]
    assert places[0] == places[1]


def test_a_world_hears_less_behind_the_source(make_task: MakeTask) -> None:
    world = begun(make_task(**SHORT, sources={"directivity": {"kind": "cardioid", "order": 4}}))
    listeners = world.hearing.listeners
    heading = world.library.fields[listeners.field[0]].beam.heading
    gains = []
    for sign in (1.0, -1.0):
        world.pose[0, :2] = world.source_m(0)[:2] + sign * heading * 0.4
        world.hearing.hear(np.array([0]))
        assert listeners.visible[0]
        gains.append(listeners.path_gain[0, 0].copy())
    assert (gains[1] < 0.2 * gains[0]).all()  # the source stands higher than the array


def test_who_walks_looks_ahead_and_turns_at_the_ends(make_task: MakeTask) -> None:
    world = begun(make_task(**SHORT, sources={"directivity": "talker", "goal_speed_mps": 1.0}))
    listeners, library = world.hearing.listeners, world.library
    before, ahead, facing = world.source_m(0), [], []
    for _ in range(60):
        world.step(np.array([2]))
        moved = world.source_m(0)[:2] - before[:2]
        before = world.source_m(0)
        if np.hypot(*moved) > 0.249:  # it went straight on
            ahead.append(float(moved @ listeners.heading[0]) / 0.25)
        facing.append(float(library.fields[listeners.field[0]].beam.heading @ listeners.heading[0]))
    assert len(ahead) > 20
    assert min(ahead) > 0.99
    assert np.mean(np.array(facing) > 0.7) > 0.7  # so does the source of the late field, but at bends
    assert world.episodes[0] is not None
    there, back = world.episodes[0].route
    assert len(there) == len(back) > 2
    assert not set(there) & set(back)
    assert np.isfinite(world.observation["audio"]).all()


def test_headings_are_those_of_the_legs() -> None:
    points = np.array([[0.0, 0.0], [2.0, 0.0], [2.0, 3.0]])
    assert headings(points).tolist() == [[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]]


def test_a_way_is_the_same_whatever_was_loaded_before(make_task: MakeTask) -> None:
    """Two ways through one cell pass it at places of their own; neither takes the other's."""
    task = make_task(response_s=0.05, sources_per_scene=12, sources={"goal_speed_mps": 1.0})
    alone, busy = Library(task), Library(task)
    scene = busy.scene_slot(0)
    ways = {}
    for number in range(12):
        slot = busy.field_slot(scene, number)
        busy.hold(slot)
        for way in (0, 1):
            ways[number, way] = [busy.fields[k].source_m.tolist() for k in busy.route(scene, slot, way).there]
    scene = alone.scene_slot(0)
    for (number, way), places in reversed(ways.items()):
        slot = alone.field_slot(scene, number)
        alone.hold(slot)
        assert [alone.fields[k].source_m.tolist() for k in alone.route(scene, slot, way).there] == places
