"""Goals in the world: what an episode's source is called, in the observation."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from phonotaxis.configs import contract as names
from phonotaxis.configs.goal import GOAL_SIZE, embed
from phonotaxis.configs.task import AudioGoalTask
from phonotaxis.envs.goals import goal_text
from phonotaxis.envs.world import World

MakeTask = Callable[..., AudioGoalTask]
TWO = {"distractors": 1}


def begun(task: AudioGoalTask, count: int = 6) -> World:
    world = World(task, count)
    world.begin(np.arange(count), np.arange(count))
    return world


def test_without_a_goal_there_is_no_such_input(make_task: MakeTask) -> None:
    assert names.GOAL not in begun(make_task(response_s=0.05), 1).observation
    assert make_task().contract().goal is None


def test_where_nothing_is_named_it_is_zeros(make_task: MakeTask) -> None:
    world = begun(make_task(goal="none", response_s=0.05), 2)
    assert world.observation[names.GOAL].shape == (2, GOAL_SIZE)
    assert not world.observation[names.GOAL].any()


def test_the_kind_is_that_of_the_source_and_no_distractors(make_task: MakeTask) -> None:
    world = begun(make_task(goal="kind", sources=TWO, response_s=0.05))
    kinds = set()
    for index, episode in enumerate(world.episodes):
        assert episode is not None
        kind = world.library.sounds[episode.sound].kind
        assert np.array_equal(world.observation[names.GOAL][index], embed(kind.replace("_", " ")))
        assert kind not in {world.library.sounds[other.sound].kind for other in episode.others}
        kinds.add(kind)
    assert len(kinds) > 1
    seen = world.observation[names.GOAL].copy()
    world.step(np.ones(6, dtype=np.int64))
    assert np.array_equal(world.observation[names.GOAL], seen)  # all through the episode


def test_a_sentence_is_embedded_whole(make_task: MakeTask) -> None:
    world = begun(make_task(goal="sentence", sources=TWO, response_s=0.05), 3)
    for index, episode in enumerate(world.episodes):
        assert episode is not None
        text = goal_text(world.library, episode)
        assert text is not None
        assert np.array_equal(world.observation[names.GOAL][index], embed(text))


def test_the_goal_is_a_part_of_a_snapshot(make_task: MakeTask) -> None:
    world = begun(make_task(goal="kind", response_s=0.05), 2)
    before, kept = world.observation[names.GOAL].copy(), world.snapshot()
    world.begin(np.arange(2), np.array([70, 71]))
    world.restore(kept)
    assert np.array_equal(world.observation[names.GOAL], before)


def test_goals_are_drawn_from_their_kinds_and_distractors_from_theirs(make_task: MakeTask) -> None:
    sources = {"distractors": 1, "distractor_kinds": ["music"], "goal_kinds": ["clock", "kettle"]}
    world = begun(make_task(sources=sources, response_s=0.05))
    for episode in world.episodes:
        assert episode is not None
        assert world.library.sounds[episode.sound].kind in ("clock", "kettle")
        assert {world.library.sounds[other.sound].kind for other in episode.others} == {"music"}


def test_goals_of_a_kind_that_is_not_there_are_refused(make_task: MakeTask) -> None:
    with pytest.raises(ValueError, match=r"sources\.goal_kinds: no sound is of kind siren; there are alarm_beeps"):
        begun(make_task(sources={"goal_kinds": ["siren"]}, response_s=0.05), 1)
