"""What a learnt policy has to beat."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from phonotaxis.configs.task import AudioGoalTask
from phonotaxis.envs.metrics import EpisodeResult
from phonotaxis.envs.world import World
from phonotaxis.policies.baselines import ExpertDecider, ForwardDecider, RandomDecider
from phonotaxis.policies.expert import action_regrets
from phonotaxis.policies.rollout import run_episodes


def test_random_actions_are_evenly_drawn_but_for_the_stop(make_task: Callable[..., AudioGoalTask]) -> None:
    world = World(make_task(), 50)
    world.begin(np.arange(50), np.arange(50))
    decider = RandomDecider(50, 4)
    decider.begin(np.arange(50))
    counts = np.bincount(np.concatenate([decider.decide(world) for _ in range(80)]), minlength=4) / 4000
    assert 0.004 < counts[0] < 0.018
    assert np.abs(counts[1:] - 0.33).max() < 0.03


def test_random_actions_belong_to_the_episode(make_task: Callable[..., AudioGoalTask]) -> None:
    world = World(make_task(), 3)
    world.begin(np.arange(3), np.array([8, 8, 9]))
    decider = RandomDecider(3, 4)
    decider.begin(np.arange(3))
    drawn = np.array([decider.decide(world) for _ in range(30)])
    assert np.array_equal(drawn[:, 0], drawn[:, 1])
    assert not np.array_equal(drawn[:, 0], drawn[:, 2])
    decider.begin(np.array([2]))  # from the start again, in this world alone
    onward = np.array([decider.decide(world) for _ in range(30)])
    assert np.array_equal(onward[:, 2], drawn[:, 2])
    assert not np.array_equal(onward[:, 0], drawn[:, 0])


def test_the_expert_takes_what_costs_least(make_task: Callable[..., AudioGoalTask]) -> None:
    world = World(make_task(), 4)
    world.begin(np.arange(4), np.arange(4))
    chosen = ExpertDecider().decide(world)
    assert (action_regrets(world)[np.arange(4), chosen] == 0.0).all()


def test_forward_drives_on_and_turns_one_way_where_it_is_near(make_task: Callable[..., AudioGoalTask]) -> None:
    world = World(make_task(), 1)
    world.begin(np.arange(1), np.arange(1))
    decider = ForwardDecider(world.contract, 1, seed=3)
    decider.begin(np.arange(1))
    depth, motion = world.observation["depth"], world.observation["motion"]

    def actions(nearest_m: float, touched: float = 0.0) -> set[int]:
        depth[:], motion[:, 5] = nearest_m, touched
        return {int(decider.decide(world)[0]) for _ in range(12)} - {0}

    assert actions(5.0) == {1}
    first = actions(0.4)
    assert len(first) == 1
    assert first < {2, 3}
    assert actions(5.0) == {1}
    assert actions(5.0, touched=1.0) < {2, 3}


def test_forward_is_of_the_episode_and_wanders_without_running_into_things(
    make_task: Callable[..., AudioGoalTask],
) -> None:
    def run(count: int) -> list[EpisodeResult]:
        world = World(make_task(max_steps=60), count)
        return run_episodes(world, ForwardDecider(world.contract, count), range(6))

    results = run(6)
    assert results == run(2)
    assert np.mean([result.path_length_m for result in results]) > 2.0
    assert sum(result.collisions for result in results) <= 6
