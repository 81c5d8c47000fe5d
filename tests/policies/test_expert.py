"""The expert: it gets there by the shortest way, and what it says of other actions is what they cost."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from phonotaxis.configs.task import AudioGoalTask
from phonotaxis.envs import metrics
from phonotaxis.envs.threads import Crew
from phonotaxis.envs.world import World
from phonotaxis.policies.baselines import ExpertDecider
from phonotaxis.policies.expert import MAX_REGRET, WRONG_STOP_REGRET, action_regrets
from phonotaxis.policies.rollout import run_episodes

STOP, FORWARD, LEFT, RIGHT = range(4)
MakeTask = Callable[..., AudioGoalTask]


@pytest.fixture
def world(make_task: MakeTask) -> World:
    world = World(make_task(), 4)
    world.begin(np.arange(4), np.arange(4))
    return world


def turn_from_source(world: World, index: int, distance_m: float, off_deg: float) -> None:
    """Put an agent at a distance from its source, which then lies `off_deg` to its left."""
    source = world.source_m(index)[:2]
    towards = np.array([3.0, 2.5]) - source
    towards /= np.linalg.norm(towards)
    facing = math.atan2(-towards[1], -towards[0])
    world.pose[index] = *(source + distance_m * towards), facing - math.radians(off_deg)
    world.distance_m[index] = distance_m


def test_it_succeeds_by_the_shortest_way(make_task: MakeTask) -> None:
    """In furnished apartments: 95 % and more of 30 episodes, SPL 0.9 and more, few bumps."""
    world = World(make_task("apartment", count=3, sources_per_scene=2, min_distance_m=2.0), 15)
    results = run_episodes(world, ExpertDecider(), list(range(30)))
    assert np.mean([metrics.success(result) for result in results]) >= 0.95
    assert np.mean([metrics.spl(result) for result in results]) >= 0.9
    assert np.mean([metrics.sna(result) for result in results]) >= 0.8
    assert np.mean([result.collisions for result in results]) < 2.0


def test_the_best_action_costs_nothing(world: World) -> None:
    rng = np.random.Generator(np.random.PCG64(1))
    for _ in range(10):
        regrets = action_regrets(world)
        assert regrets.dtype == np.float32
        assert regrets.shape == (4, 4)
        assert (regrets.min(axis=1) == 0.0).all()
        assert (regrets[:, 1:] <= MAX_REGRET).all()
        world.step(rng.integers(1, 4, 4))


def test_what_to_do_where_the_way_is_plain(world: World) -> None:
    """Ahead: forward. To the left: left. To the right: right. Arrived: stop."""
    for index, (distance_m, off_deg) in enumerate([(2.2, 0.0), (2.2, 60.0), (2.2, -60.0), (0.7, 90.0)]):
        turn_from_source(world, index, distance_m, off_deg)
    assert action_regrets(world).argmin(axis=1).tolist() == [FORWARD, LEFT, RIGHT, STOP]


def test_turning_the_wrong_way_costs_two_actions(world: World) -> None:
    """The turn itself and the one that takes it back."""
    for index, off_deg in enumerate([0.0, 60.0, -60.0]):
        turn_from_source(world, index, 2.2, off_deg)
    regrets = action_regrets(world)
    assert regrets[0, LEFT] == pytest.approx(2.0, abs=0.5)
    assert regrets[0, RIGHT] == pytest.approx(2.0, abs=0.5)
    assert regrets[1, RIGHT] == pytest.approx(2.0, abs=0.5)
    assert regrets[2, LEFT] == pytest.approx(2.0, abs=0.5)


def test_a_wrong_stop_costs_most(world: World) -> None:
    turn_from_source(world, 0, 1.05, 0.0)
    turn_from_source(world, 1, 0.95, 0.0)
    regrets = action_regrets(world)
    assert regrets[0, STOP] == WRONG_STOP_REGRET
    assert regrets[1, STOP] == 0.0
    assert (regrets[1, 1:] > 0.0).all()
    assert WRONG_STOP_REGRET > MAX_REGRET


def test_one_may_be_told_to_stop_well_inside(world: World) -> None:
    """Between there and the radius a stop is worse than going on, and no failure."""
    for index, distance_m in enumerate([1.05, 0.9, 0.65]):
        turn_from_source(world, index, distance_m, 0.0)
    regrets = action_regrets(world, stop_within=0.7)
    assert regrets[:3, STOP].tolist() == [WRONG_STOP_REGRET, MAX_REGRET, 0.0]
    assert regrets[1].argmin() == FORWARD


def test_walking_into_a_wall_gains_nothing(world: World) -> None:
    source = world.source_m(0)[:2]
    x = 0.2 if source[0] > 3.0 else 5.8
    world.pose[0] = x, source[1], math.pi if x < 3.0 else 0.0  # nose to the wall, the source behind
    world.distance_m[0] = abs(source[0] - x)
    regrets = action_regrets(world)
    assert regrets[0, FORWARD] > 0.5
    assert regrets[0, LEFT] < 0.5 or regrets[0, RIGHT] < 0.5


def test_only_discrete_actions(make_task: MakeTask) -> None:
    world = World(make_task(actions="continuous"))
    world.begin(np.array([0]), np.array([0]))
    with pytest.raises(ValueError, match="actions='discrete'"):
        action_regrets(world)


def test_threads_share_the_worlds_out(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = action_regrets(world)
    monkeypatch.setattr(world, "crew", Crew(3))
    np.testing.assert_array_equal(action_regrets(world), alone)
