"""What a bystander notices: clearance by the plan, changes by what is asked for."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from phonotaxis.configs.task import AudioGoalTask
from phonotaxis.envs.world import World
from phonotaxis.policies.baselines import ForwardDecider, RandomDecider
from phonotaxis.policies.manners import Bystander, Ride, clearance_m
from phonotaxis.policies.rollout import run_episodes

MakeTask = Callable[..., AudioGoalTask]


class _Script:
    """Does what it was told to, one word a step."""

    def __init__(self, actions: list[int]) -> None:
        self._actions = iter(actions)

    def begin(self, worlds: np.ndarray) -> None: ...

    def decide(self, world: World) -> np.ndarray:
        return np.full(world.num_worlds, next(self._actions), dtype=np.int64)


def test_clearance_is_from_the_bodys_edge_to_the_nearest_wall(make_task: MakeTask) -> None:
    """In an empty room the nearest obstacle is a wall, which the plan's own cells say too."""
    world = World(make_task(), 1)
    world.begin(np.arange(1), np.arange(1))
    scene = world.library.scenes[int(world.hearing.listeners.scene[0])]
    free = scene.ceiling_m - scene.floor_m >= 0.6
    rows, columns = np.nonzero(~free)
    x = scene.origin_m[0] + (columns + 0.5) * scene.cell_m
    y = scene.origin_m[1] + (rows + 0.5) * scene.cell_m
    for dx, dy in ((0.0, 0.0), (0.3, 0.0), (0.0, -0.2)):
        world.pose[0, 0] += dx
        world.pose[0, 1] += dy
        nearest = np.hypot(x - world.pose[0, 0], y - world.pose[0, 1]).min()
        assert clearance_m(world, 0) == pytest.approx(nearest - world.task.radius_m, abs=scene.cell_m)
    world.pose[0, :2] = scene.origin_m[:2]  # inside the corner's wall
    assert clearance_m(world, 0) == 0.0


@pytest.mark.parametrize(
    ("actions", "changes"),
    [
        ([1, 1, 1, 0], 1),  # it sets off; to stop in the end is no change
        ([2, 2, 1, 1, 0], 3),  # begins to turn; sets off and ends the turn
        ([2, 3, 2, 3, 0], 4),  # dithers
    ],
)
def test_changes_of_speed_and_of_turning_are_counted(make_task: MakeTask, actions: list[int], changes: int) -> None:
    world = World(make_task(), 1)
    bystander = Bystander(_Script(actions), 1)
    run_episodes(world, bystander, [0])
    (ride,) = bystander.rides
    assert ride.changes == changes
    assert len(ride.clearance_m) == len(actions)


def test_a_speed_that_trembles_is_one_speed() -> None:
    ride = Ride()
    for v_mps in (0.5, 0.52, 0.48, 0.51):
        ride.ask(v_mps, 0.0, 0.05)
    assert ride.changes == 1
    for v_mps in (0.53, 0.56, 0.59, 0.62):  # creeping up is a change in the end
        ride.ask(v_mps, 0.0, 0.05)
    assert ride.changes == 3


def test_figures_of_a_ride() -> None:
    ride = Ride(clearance_m=[0.0, 0.25, 0.5, 1.0])
    assert ride.mean_m == 0.4375
    assert ride.low_m == pytest.approx(0.075)
    assert ride.nearness(0.5) == pytest.approx((1.0 + 0.5) / 4)


def test_rides_stand_in_the_order_of_seeds_and_do_not_depend_on_the_worlds(make_task: MakeTask) -> None:
    task, seeds = make_task(max_steps=12), [3, 1, 4, 1, 5]
    rides = []
    for worlds in (1, 3):
        world = World(task, worlds)
        bystander = Bystander(ForwardDecider(world.contract, worlds, 0), worlds)
        results = run_episodes(world, bystander, seeds)
        assert [len(ride.clearance_m) for ride in bystander.rides] == [result.steps for result in results]
        rides.append([ride.clearance_m[0] for ride in bystander.rides])
    assert rides[0] == rides[1]
    assert len(set(rides[0])) == 4  # two of the starts are the same


def test_what_a_decider_believes_passes_through(make_task: MakeTask) -> None:
    world = World(make_task(), 1)
    inner = RandomDecider(1, world.contract.num_actions, 0)
    assert Bystander(inner, 1).bearing_rad is None
    inner.bearing_rad = np.array([0.5])  # type: ignore[attr-defined]
    assert np.array_equal(Bystander(inner, 1).bearing_rad, [0.5])  # type: ignore[arg-type]
