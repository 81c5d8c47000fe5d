from __future__ import annotations

import numpy as np
import pytest

from phonotaxis.configs.task import AudioGoalTask, SceneSet
from phonotaxis.envs.library import Library
from phonotaxis.envs.metrics import EpisodeResult, summarise
from phonotaxis.envs.world import World
from phonotaxis.policies.evaluate import unseen
from phonotaxis.policies.follower import FollowerDecider, StopRule
from phonotaxis.policies.kinds import named_kind
from phonotaxis.policies.rollout import run_episodes
from phonotaxis.policies.tracker import SIGNS
from phonotaxis.policies.tuning import Traces, fit_logistic, judge, trace_follower, tune_follower

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
    rule = tune_follower(task, threads=2)
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
    rule = tune_follower(AudioGoalTask(scenes=OFFICE, max_steps=40), threads=1, episodes=4)
    assert len(rule.weights) == len(SIGNS)
    assert rule != StopRule()
    assert rule == tune_follower(AudioGoalTask(scenes=OFFICE, max_steps=40), threads=2, episodes=4)


def test_a_rules_traces_are_of_a_follower_that_is_told_what_it_will_be_told() -> None:
    task = AudioGoalTask(scenes=OFFICE, max_steps=6, goal="kind")
    library = Library(task)
    plain, told = (trace_follower(task, 4, 1, library=library, kind_of=kind_of).signs for kind_of in (None, named_kind))
    assert plain.shape == told.shape
    assert not np.array_equal(plain, told)


def test_it_is_told_of_a_kind_that_trainings_do_not_have(world: World) -> None:
    decider = FollowerDecider(world.contract, 12, None, kind_of=lambda library, episode: "siren")
    world.begin(np.arange(1), np.arange(1))
    decider.begin(np.arange(1))
    decider.decide(world)
    assert decider.tracker.weights[0].min() < 0.9
    assert decider.tracker.weights[0].max() > 1.1


def test_a_logistic_fit_finds_the_sign_that_tells() -> None:
    rng = np.random.default_rng(0)
    signs = rng.standard_normal((4000, 3)) * [1.0, 10.0, 0.1]
    arrived = rng.random(4000) < 1.0 / (1.0 + np.exp(-(2.0 * signs[:, 0] - 1.0)))
    weights, bias = fit_logistic(signs, arrived)
    assert weights[0] == pytest.approx(2.0, abs=0.25)
    assert bias == pytest.approx(-1.0, abs=0.15)
    assert abs(weights[1]) < 0.03


def test_a_rule_is_judged_by_where_it_first_fires() -> None:
    signs = np.zeros((10, 2, len(SIGNS)))
    signs[5, 0, 0] = signs[7, 1, 0] = 1.0
    distance_m = np.tile(np.linspace(9.0, 0.0, 10)[:, None], (1, 2))
    rule = StopRule((20.0, *[0.0] * (len(SIGNS) - 1)), -10.0, 0.5)
    traces = Traces(signs, distance_m, 9.0 - distance_m)
    assert judge(rule, traces, success_m=3.0) == pytest.approx(1.0)  # the second stops at 2 m: a success, SPL 1
    assert judge(rule._replace(min_steps=8), traces, success_m=3.0) == 0.0


def test_with_an_oracles_stop_it_never_stops_elsewhere(world: World) -> None:
    decider = FollowerDecider(world.contract, 12, None, oracle_stop=True)
    results = run_episodes(world, decider, range(12))
    assert all(result.success == result.stopped for result in results)
    assert sum(result.success for result in results) >= 9


def test_its_way_does_not_depend_on_the_batch(world: World) -> None:
    def run(count: int) -> list[EpisodeResult]:
        short = World(world.task.model_copy(update={"max_steps": 25}), count, library=world.library)
        return run_episodes(short, FollowerDecider(short.contract, count, StopRule()), range(3))

    assert run(1) == run(3)


def test_unseen_scenes_and_sounds_are_others_but_a_map_stays() -> None:
    task = AudioGoalTask(scenes=SceneSet(count=8))
    test = unseen(task)
    assert test.scenes.first_seed >= task.scenes.first_seed + task.scenes.count
    assert test.sounds.split == "test"
    house = AudioGoalTask(scenes=SceneSet(source="house.yaml", count=1))
    assert unseen(house).scenes == house.scenes
