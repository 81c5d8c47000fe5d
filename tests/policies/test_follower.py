from __future__ import annotations

import numpy as np
import pytest

from phonotaxis.configs.task import AudioGoalTask, SceneSet
from phonotaxis.envs.library import Library
from phonotaxis.envs.metrics import summarise
from phonotaxis.envs.world import World
from phonotaxis.policies.evaluate import tune_follower, unseen
from phonotaxis.policies.follower import FollowerDecider, StopRule
from phonotaxis.policies.rollout import run_episodes

OFFICE = SceneSet(source="empty_room", count=4, options={"floor": "carpet", "ceiling": "acoustic_ceiling"})


@pytest.fixture(scope="module")
def world() -> World:
    return World(AudioGoalTask(scenes=OFFICE, max_steps=120), 12)


def test_in_an_empty_room_it_reaches_most_sources_and_rarely_stops_elsewhere(world: World) -> None:
    found = summarise(run_episodes(world, FollowerDecider(world.contract, 12, StopRule()), range(24)))
    assert found["reach"].value >= 0.75
    assert found["stop_precision"].value >= 0.75
    assert found["collisions"].value < 2.0


def test_with_its_rule_tuned_it_succeeds_nine_times_in_ten_in_empty_rooms_it_has_not_seen() -> None:
    task = AudioGoalTask(scenes=OFFICE.model_copy(update={"count": 16}))
    rule = tune_follower(task, worlds=64, threads=2)
    test = unseen(task)
    world = World(test, 64, 2, Library(test))
    found = summarise(run_episodes(world, FollowerDecider(world.contract, 64, rule), range(128)))
    assert found["success"].value >= 0.9


def test_without_a_rule_it_never_stops(world: World) -> None:
    decider = FollowerDecider(world.contract, 12, None)
    world.begin(np.arange(12), np.arange(12))
    decider.begin(np.arange(12))
    for _ in range(10):
        actions = decider.decide(world)
        assert (actions != 0).all()
        world.step(actions)


def test_an_episode_is_forgotten_when_the_next_begins(world: World) -> None:
    decider = FollowerDecider(world.contract, 12, StopRule())
    first = [result.as_dict() for result in run_episodes(world, decider, range(4))]
    assert [result.as_dict() for result in run_episodes(world, decider, range(4))] == first


def test_the_rule_is_tuned_from_what_was_seen() -> None:
    rule = tune_follower(AudioGoalTask(scenes=OFFICE, max_steps=40), worlds=4, threads=1)
    assert 0.0 < rule.near < 1.0
    assert rule.hover >= 24


def test_unseen_scenes_and_sounds_are_others_but_a_map_stays() -> None:
    task = AudioGoalTask(scenes=SceneSet(count=8))
    test = unseen(task)
    assert test.scenes.first_seed >= task.scenes.first_seed + task.scenes.count
    assert test.sounds.split == "test"
    house = AudioGoalTask(scenes=SceneSet(source="house.yaml", count=1))
    assert unseen(house).scenes == house.scenes
