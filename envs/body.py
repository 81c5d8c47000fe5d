"""The body: a disc on a differential drive that stops at what it touches.

`drive` holds a setpoint that is reached at once; `motion` has drives with accelerations, latency, slip and sliding.
"""

from __future__ import annotations

import numpy as np
from numba import njit

_SUBSTEP_M = 0.02
_SUBSTEP_RAD = 0.05
# Interpolated clearance is a quarter of a cell where two blocked cells touch at a corner, and 0.282 cells at both ends
# of a piece of half a cell that crosses there: a smaller disc would slip between them.
LEAST_RADIUS_CELLS = 0.29


@njit(cache=True, error_model="numpy", inline="always")
def clearance_at(ground, x, y):
    """Interpolate the clearance at a point, metres; 0 outside the plan."""
    u, v = (x - ground.ox) * ground.inv - 0.5, (y - ground.oy) * ground.inv - 0.5
    column, row = int(np.floor(u)), int(np.floor(v))
    rows, columns = ground.clearance_m.shape
    if row < 0 or column < 0 or row + 1 >= rows or column + 1 >= columns:
        return 0.0
    a, b = u - column, v - row
    low = ground.clearance_m[row, column] * (1.0 - a) + ground.clearance_m[row, column + 1] * a
    high = ground.clearance_m[row + 1, column] * (1.0 - a) + ground.clearance_m[row + 1, column + 1] * a
    return low * (1.0 - b) + high * b


@njit(cache=True, error_model="numpy")
def drive(ground, x, y, yaw, v_mps, w_radps, seconds, radius_m):
    """Hold a velocity setpoint for a while.

    The way is cut into pieces of at most 2 cm and 0.05 rad, so that no step, however long, tunnels through a wall;
    where a piece would bring the disc's edge into matter, the disc stays and only turns. (Where cells are smaller
    than 4 cm, pieces are at most half a cell; and no disc counts as smaller than 0.29 cells.)

    Args:
        ground: a `Ground`.
        x: world, metres.
        y: world, metres.
        yaw: world, radians.
        v_mps: forward speed.
        w_radps: turning rate, counter-clockwise.
        seconds: how long.
        radius_m: of the disc.

    Returns:
        x, y, yaw, metres travelled, and whether it touched something.
    """
    pieces = pieces_of(ground, abs(v_mps) * seconds, abs(w_radps) * seconds)
    radius_m = max(radius_m, LEAST_RADIUS_CELLS * ground.cell)
    dt = seconds / pieces
    travelled = 0.0
    touched = False
    here = clearance_at(ground, x, y)
    for _ in range(pieces):
        middle = yaw + 0.5 * w_radps * dt
        if v_mps != 0.0 and not touched:
            to_x, to_y = x + v_mps * dt * np.cos(middle), y + v_mps * dt * np.sin(middle)
            there = clearance_at(ground, to_x, to_y)
            if there >= radius_m or there > here:  # a disc that was put too near a wall may leave it
                x, y, here = to_x, to_y, there
                travelled += abs(v_mps) * dt
            else:
                touched = True
        yaw += w_radps * dt
    return x, y, wrap(yaw), travelled, touched


@njit(cache=True, error_model="numpy", inline="always")
def pieces_of(ground, metres, radians):
    """Count the pieces that a way is cut into, so that none can jump over a wall."""
    longest_m = min(_SUBSTEP_M, 0.5 * ground.cell)
    return max(1, int(np.ceil(max(metres / longest_m, radians / _SUBSTEP_RAD))))


@njit(cache=True, error_model="numpy")
def walk_to_go(walk, ground, x, y):
    """Measure the rest of the shortest walk to the source.

    Args:
        walk: a `WalkField`.
        ground: a `Ground`.
        x: world, metres.
        y: world, metres.

    Returns:
        Metres to go (infinity without a way), world x, y of the next way-point, and the bends after it in radians.
    """
    rows, columns = walk.distance_m.shape
    row, column = int((y - ground.oy) * ground.inv), int((x - ground.ox) * ground.inv)
    if row < 0 or column < 0 or row >= rows or column >= columns or walk.parent[row, column] < 0:
        return np.inf, x, y, 0.0
    parent = walk.parent[row, column]
    r, c = parent // columns, parent % columns
    if walk.parent[r, c] == parent:  # the last leg ends at the source itself
        px, py = walk.goal_xy[0], walk.goal_xy[1]
        return np.hypot(px - x, py - y), px, py, 0.0
    px, py = ground.ox + (c + 0.5) * ground.cell, ground.oy + (r + 0.5) * ground.cell
    return walk.distance_m[r, c] + np.hypot(px - x, py - y), px, py, walk.turn_rad[row, column]


@njit(cache=True, error_model="numpy", inline="always")
def wrap(angle):
    """Wrap an angle into -pi..pi."""
    return angle - 2.0 * np.pi * np.round(angle / (2.0 * np.pi))
