"""Who sees whom, and round how many corners: how poses of the benchmark are told apart."""

from __future__ import annotations

import numpy as np
from numba import njit

from phonotaxis.envs.scenes.plan import Plan, plan_of
from phonotaxis.envs.scenes.raycast import line_of_sight
from phonotaxis.envs.scenes.scene import Scene

Point = tuple[float, float, float]


def point_of(values: np.ndarray) -> Point:
    """Return three numbers as a point."""
    x, y, z = (float(value) for value in values)
    return x, y, z


def bends(scene: Scene, a_m: Point, b_m: Point) -> int:
    """Count the corners that sound has to go round between two points.

    Args:
        scene: where.
        a_m: world x, y, z, metres.
        b_m: likewise.

    Returns:
        0 where they see each other; 1 where some place, half as high as both together, sees both; 2 where two
        bends or more are needed.
    """
    return int(_bends(plan_of(scene), np.array(a_m, dtype=np.float64), np.array(b_m, dtype=np.float64)))


def sees(scene: Scene, a_m: Point, b_m: Point) -> bool:
    """Tell whether the segment between two points passes through air alone."""
    return bool(_sees(plan_of(scene), np.array(a_m, dtype=np.float64), np.array(b_m, dtype=np.float64)))


def in_air(scene: Scene, point_m: Point) -> bool:
    """Tell whether a point lies in open air."""
    row, column = scene.cell_of(point_m[0], point_m[1])
    rows, columns = scene.shape
    if not (0 <= row < rows and 0 <= column < columns):
        return False
    return bool(scene.floor_m[row, column] < point_m[2] < scene.ceiling_m[row, column])


@njit(cache=True, error_model="numpy", fastmath=False)
def _sees(plan: Plan, a: np.ndarray, b: np.ndarray) -> bool:
    return line_of_sight(plan.floor, plan.ceiling, plan.inv, plan.ox, plan.oy, a[0], a[1], a[2], b[0], b[1], b[2])


@njit(cache=True, error_model="numpy", fastmath=False)
def _bends(plan: Plan, a: np.ndarray, b: np.ndarray) -> int:
    if _sees(plan, a, b):
        return 0
    between = np.empty(3)
    between[2] = 0.5 * (a[2] + b[2])
    rows, columns = plan.floor.shape
    for row in range(rows):
        for column in range(columns):
            if plan.floor[row, column] >= between[2] or plan.ceiling[row, column] <= between[2]:
                continue
            between[0] = plan.ox + (column + 0.5) * plan.cell
            between[1] = plan.oy + (row + 0.5) * plan.cell
            if _sees(plan, a, between) and _sees(plan, between, b):
                return 1
    return 2
