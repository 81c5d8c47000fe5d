"""Where bodies are on their shortest walks: how far from the source, which way it lies, how many actions are left."""

from __future__ import annotations

import numpy as np
from numba import njit

from phonotaxis.envs.body import walk_to_go, wrap


@njit(cache=True, error_model="numpy", nogil=True)
def measure(worlds, grounds, walks, scene_of, field_of, source_m, pose, distance_m, range_m, bearing_rad):
    """Fill how far some bodies have to walk, and how far the source is, metres, and its bearing, radians.

    Walks lead to where `field_of` was traced, which of a source on its way is the nearest of its way-points; range and
    bearing are those of `source_m`, float64 [worlds, 3], where it is heard from.
    """
    for index in range(worlds.size):
        world = worlds[index]
        walk, ground = walks[field_of[world]], grounds[scene_of[world]]
        x, y, yaw = pose[world]
        distance_m[world] = walk_to_go(walk, ground, x, y)[0]
        ahead_m, aside_m = source_m[world, 0] - x, source_m[world, 1] - y
        range_m[world] = np.hypot(ahead_m, aside_m)
        bearing_rad[world] = wrap(np.arctan2(aside_m, ahead_m) - yaw)


@njit(cache=True, error_model="numpy", nogil=True)
def actions_to_go(worlds, grounds, walks, scene_of, field_of, pose, scale, step_m, turn_rad, success_m, out):
    """Fill how many actions some worlds' shortest walks take, see `actions_to_go_from`."""
    for index in range(worlds.size):
        world = worlds[index]
        x, y, yaw = pose[world]
        out[world] = actions_to_go_from(
            walks[field_of[world]], grounds[scene_of[world]], x, y, yaw, scale[world] * step_m,
            scale[world] * turn_rad, success_m,
        )  # fmt: skip


@njit(cache=True, error_model="numpy")
def actions_to_go_from(walk, ground, x, y, yaw, step_m, turn_rad, success_m):
    """Estimate the actions that the shortest walk takes from a pose: forward steps, turns and the stop.

    Where the way is already short enough to stop, it is the stop alone.
    """
    distance, px, py, bends = walk_to_go(walk, ground, x, y)
    if distance < success_m:
        return 1.0
    away = max(0.0, abs(wrap(np.arctan2(py - y, px - x) - yaw)) - 0.5 * turn_rad)  # less needs no turn
    return (distance - success_m) / step_m + (away + bends) / turn_rad + 2.0
