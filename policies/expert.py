"""The expert: it knows the map and the source, and says what every action costs."""

from __future__ import annotations

import math

import numpy as np
from numba import njit, prange

from phonotaxis.configs.contract import DiscreteActions
from phonotaxis.envs.body import drive
from phonotaxis.envs.world import World, actions_to_go_from

WRONG_STOP_REGRET = 10.0
MAX_REGRET = 5.0


def action_regrets(world: World) -> np.ndarray:
    """Say how many actions each action would lose against the best one, in every world.

    An action's cost is itself plus the shortest walk (steps, turns and the stop) from where it leads, collisions
    included. Graded costs rather than the one best action: where two actions are nearly as good, as when the way
    lies between two headings, a policy that imitates a hard choice dithers between them for ever.

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
    _regrets(
        world.library.grounds, world.library.walks, listeners.scene, listeners.field, world.pose,
        np.array(kind.setpoints), world.contract.control_period_s, task.radius_m, task.step_m,
        math.radians(task.turn_deg), task.success_m, world.distance_m, out,
    )  # fmt: skip
    return out


@njit(cache=True, error_model="numpy", parallel=True)
def _regrets(
    grounds, walks, scene_of, field_of, pose, setpoints, seconds, radius_m, step_m, turn_rad, success_m, distance_m,
    out,
):  # fmt: skip
    for world in prange(out.shape[0]):
        ground, walk = grounds[scene_of[world]], walks[field_of[world]]
        x0, y0, yaw0 = pose[world, 0], pose[world, 1], pose[world, 2]
        arrived = distance_m[world] < success_m
        costs = np.empty(out.shape[1])
        costs[0] = 1.0 if arrived else np.inf
        best = costs[0]
        for action in range(1, costs.size):
            x, y, yaw, _, _ = drive(
                ground, x0, y0, yaw0, setpoints[action, 0], setpoints[action, 1], seconds, radius_m
            )
            costs[action] = 1.0 + actions_to_go_from(walk, ground, x, y, yaw, step_m, turn_rad, success_m)
            best = min(best, costs[action])
        for action in range(costs.size):
            out[world, action] = min(costs[action] - best, MAX_REGRET)
        if not arrived:
            out[world, 0] = WRONG_STOP_REGRET
