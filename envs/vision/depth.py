"""Depth images of extruded plans, a column of pixels at a time.

All pixels of a column lie in one vertical plane (the camera looks level), so one walk over the plan's cells, front to
back, serves the whole column: matter below closes it from the bottom, matter above from the top, a wall closes the
rest. Every surface of the plan is met exactly: walls, floors, furniture's sides and tops, lintels, ceilings.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange
from numba.typed import List

from phonotaxis.configs.base import ConfigError
from phonotaxis.configs.contract import PinholeCamera


class DepthRenderer:
    """Renders what the cameras of a number of worlds see.

    Args:
        camera: the camera; it must look level (roll and pitch 0).
        num_worlds: how many.

    Attributes:
        depth_m: float32 [worlds, height, width], metres along the optical axis; 0 = unknown (nearer than the
            camera's minimum or farther than its maximum range).

    Raises:
        ConfigError: the camera is rolled or pitched.
    """

    def __init__(self, camera: PinholeCamera, num_worlds: int) -> None:
        if camera.mount_rpy_rad[0] != 0.0 or camera.mount_rpy_rad[1] != 0.0:
            raise ConfigError(f"camera.mount_rpy_rad: roll and pitch must be 0 here, got {camera.mount_rpy_rad}")
        self.camera = camera
        self.depth_m = np.zeros((num_worlds, camera.height, camera.width), dtype=np.float32)
        self._right = (np.arange(camera.width) + 0.5 - camera.cx) / camera.fx
        self._up = -(np.arange(camera.height) + 0.5 - camera.cy) / camera.fy
        self._mount = np.array([*camera.mount_xyz_m, camera.mount_rpy_rad[2]])

    def render(self, worlds: np.ndarray, scenes: List, scene_of: np.ndarray, pose: np.ndarray) -> None:
        """Render some worlds into `depth_m`.

        Args:
            worlds: int64 [k], which.
            scenes: typed list of tuples with a `plan`.
            scene_of: int64 [worlds], index into the scenes.
            pose: float64 [worlds, 3], x, y, yaw of the base, world, metres and radians.
        """
        camera = self.camera
        _render(
            worlds, scenes, scene_of, pose, self._mount, self._right, self._up, camera.min_range_m,
            camera.max_range_m, self.depth_m,
        )  # fmt: skip


@njit(cache=True, error_model="numpy", parallel=True)
def _render(worlds, scenes, scene_of, pose, mount, right, up, min_range, max_range, out):
    for index in prange(worlds.size):
        world = worlds[index]
        plan = scenes[scene_of[world]].plan
        cos, sin = np.cos(pose[world, 2]), np.sin(pose[world, 2])
        x = pose[world, 0] + cos * mount[0] - sin * mount[1]
        y = pose[world, 1] + sin * mount[0] + cos * mount[1]
        image = out[world]
        image[:] = 0.0
        yaw = pose[world, 2] + mount[3]
        cos, sin = np.cos(yaw), np.sin(yaw)
        for u in range(right.size):
            _column(plan, x, y, mount[2], cos + right[u] * sin, sin - right[u] * cos, up, max_range, image, u)
        for v in range(up.size):
            for u in range(right.size):
                if image[v, u] < min_range:
                    image[v, u] = 0.0


@njit(cache=True, error_model="numpy")
def _column(plan, x, y, z, dx, dy, up, max_range, image, u):
    """Fill one column; the ray's parameter is the depth along the optical axis."""
    rows, columns = plan.floor.shape
    column, row = int(np.floor((x - plan.ox) * plan.inv)), int(np.floor((y - plan.oy) * plan.inv))
    if row < 0 or column < 0 or row >= rows or column >= columns:
        return
    step_c, step_r = (1 if dx > 0.0 else -1), (1 if dy > 0.0 else -1)
    per_c = plan.cell / abs(dx) if dx != 0.0 else np.inf
    per_r = plan.cell / abs(dy) if dy != 0.0 else np.inf
    next_c = (plan.ox + (column + (dx > 0.0)) * plan.cell - x) / dx if dx != 0.0 else np.inf
    next_r = (plan.oy + (row + (dy > 0.0)) * plan.cell - y) / dy if dy != 0.0 else np.inf
    top, bottom = 0, up.size  # rows still open
    enter = 0.0
    while enter <= max_range:
        low, high = plan.floor[row, column], plan.ceiling[row, column]
        leave = min(next_c, next_r)
        if low >= high:
            for v in range(top, bottom):
                image[v, u] = enter
            return
        while bottom > top:  # matter below: its side where the ray enters, then its top
            slope = up[bottom - 1]
            if z + slope * enter < low:
                image[bottom - 1, u] = enter
            elif z + slope * leave < low:
                depth = (low - z) / slope
                if depth <= max_range:
                    image[bottom - 1, u] = depth
            else:
                break
            bottom -= 1
        while top < bottom:  # matter above: its side, then its underside
            slope = up[top]
            if z + slope * enter > high:
                image[top, u] = enter
            elif z + slope * leave > high:
                depth = (high - z) / slope
                if depth <= max_range:
                    image[top, u] = depth
            else:
                break
            top += 1
        if top >= bottom:
            return
        enter = leave
        if next_c < next_r:
            column += step_c
            next_c += per_c
        else:
            row += step_r
            next_r += per_r
        if row < 0 or column < 0 or row >= rows or column >= columns:
            return
