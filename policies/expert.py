"""The expert: it knows the map and the source, and says what every action costs."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from phonotaxis.configs.contract import DiscreteActions
from phonotaxis.envs.body import drive
from phonotaxis.envs.to_go import actions_to_go_from
from phonotaxis.envs.world import World

WRONG_STOP_REGRET = 5.0
# Low, so that a step forward in doubt costs no more than a turn to the wrong side: a policy that can't tell left from
# right, and shies from forward, turns left and right in one place for ever (20 % success instead of most).
MAX_REGRET = 2.0
_AHEAD = 4
_NO_WAY = 1e6  # finite, so that regrets stay numbers in a corner without a way out


def action_regrets(world: World, stop_within: float = 1.0) -> np.ndarray:
    """Say how many actions each action would lose against the best one, in every world.

    An action's cost is itself, then the best "turn, and go straight for up to a metre" with its collisions, then the
    shortest walk (steps, turns and the stop) from there. Graded costs rather than the one best
    action: where two actions are nearly as good, as when the way lies between two headings, a policy that imitates a
    hard choice dithers between them for ever.

    Args:
        world: whose bodies are asked about.
        stop_within: share of the task's success radius within which to stop. With less than 1 an imitator that errs by
            the rest still succeeds.

    Returns:
        float32 [worlds, actions], 0 for the best, at most `MAX_REGRET`; `WRONG_STOP_REGRET` for a stop that would
        fail.

    Raises:
        ValueError: the actions are not discrete.
    """
    kind = world.contract.actions
    if not isinstance(kind, DiscreteActions):
        raise ValueError("the expert speaks of discrete actions; make the task with actions='discrete'")
    task = world.task
    listeners = world.hearing.listeners
    out = np.zeros((world.num_worlds, len(kind.names)), dtype=np.float32)

    def regret(worlds: np.ndarray) -> None:
        _regrets(
            worlds, world.library.grounds, world.library.walks, listeners.scene, listeners.field, world.pose,
            np.array(kind.setpoints), world.contract.control_period_s, world.drives.radius_m, task.step_m,
            math.radians(task.turn_deg), task.success_m, stop_within * task.success_m, world.distance_m, out,
        )  # fmt: skip

    world.crew.share(regret, np.arange(world.num_worlds))
    return out


@njit(cache=True, error_model="numpy", nogil=True)
def _regrets(
    worlds, grounds, walks, scene_of, field_of, pose, setpoints, seconds, radius_m, step_m, turn_rad, success_m,
    within_m, distance_m, out,
):  # fmt: skip
    headings = int(np.round(2.0 * np.pi / turn_rad))
    for world in worlds:
        ground, walk = grounds[scene_of[world]], walks[field_of[world]]
        straight = np.empty(headings)
        x, y, yaw = pose[world, 0], pose[world, 1], pose[world, 2]
        for k in range(headings):
            straight[k] = _cost_ahead(
                ground,
                walk,
                x,
                y,
                yaw + k * turn_rad,
                setpoints[1, 0],
                seconds,
                radius_m[world],
                step_m,
                turn_rad,
                within_m,
            )
        costs = out[world]
        arrived = distance_m[world] < within_m
        costs[0] = 1.0 if arrived else np.inf
        costs[1] = straight[0]
        costs[2] = 1.0 + _cost_of_best_heading(straight, 1)
        costs[3] = 1.0 + _cost_of_best_heading(straight, headings - 1)
        best = costs.min()
        for action in range(costs.size):
            costs[action] = min(costs[action] - best, MAX_REGRET)
        if not arrived:
            costs[0] = MAX_REGRET if distance_m[world] < success_m else WRONG_STOP_REGRET


@njit(cache=True, error_model="numpy")
def _cost_ahead(ground, walk, x, y, yaw, v_mps, seconds, radius_m, step_m, turn_rad, success_m):
    """Cost of going straight ahead for one to `_AHEAD` steps and by the shortest walk from there."""
    best = _NO_WAY
    for steps in range(1, _AHEAD + 1):
        x, y, _, travelled, touched = drive(ground, x, y, yaw, v_mps, 0.0, seconds, radius_m)
        if travelled < 0.5 * abs(v_mps) * seconds:  # pushing against a wall leads nowhere, however near the way lies
            break
        best = min(best, steps + actions_to_go_from(walk, ground, x, y, yaw, step_m, turn_rad, success_m))
        if touched:
            break
    return best


@njit(cache=True, error_model="numpy")
def _cost_of_best_heading(straight, now):
    """Cost from heading number `now`: the turns to the best heading and what follows straight ahead there."""
    headings = straight.size
    best = np.inf
    for k in range(headings):
        turns = abs(k - now)
        best = min(best, min(turns, headings - turns) + straight[k])
    return best
