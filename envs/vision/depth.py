"""Depth images of extruded floor plans, for many worlds at once.

A level camera sees each image column in one vertical plane, so a column is drawn in one walk over the cells,
front to back, that keeps the interval of rows nothing has been hit in yet. A pitched or rolled camera takes
one walk a pixel. Both walks are exact: depths are where the rays meet the cells' faces.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit, prange
from numba.typed import List

from phonotaxis.configs.contract import PinholeCamera
from phonotaxis.envs.threads import launch_threads


class CameraModel(NamedTuple):
    """A pinhole camera as the kernels take it.

    Attributes:
        mount_m: float64 [3], the camera's centre in the base frame, metres.
        base_from_camera: float64 [3, 3], rotation of the camera's frame (x the optical axis, y left, z up).
        left: float64 [width], direction of each column's centre: y over depth.
        down: float64 [height], direction of each row's centre: minus z over depth.
        range_m: float64 [2], least and largest depth that is reported, metres.
        level: the camera neither pitches nor rolls.
    """

    mount_m: np.ndarray
    base_from_camera: np.ndarray
    left: np.ndarray
    down: np.ndarray
    range_m: np.ndarray
    level: bool


def camera_model(camera: PinholeCamera) -> CameraModel:
    """Prepare a camera for the kernels. Roll, pitch and yaw turn about x, y and z, yaw last (REP-103)."""
    roll, pitch, yaw = camera.mount_rpy_rad
    cr, sr, cp, sp, cy, sy = (f(a) for a in (roll, pitch, yaw) for f in (np.cos, np.sin))
    turn_x = np.array([[1.0, 0.0, 0.0], [0.0, cr, -sr], [0.0, sr, cr]])
    turn_y = np.array([[cp, 0.0, sp], [0.0, 1.0, 0.0], [-sp, 0.0, cp]])
    turn_z = np.array([[cy, -sy, 0.0], [sy, cy, 0.0], [0.0, 0.0, 1.0]])
    return CameraModel(
        mount_m=np.array(camera.mount_xyz_m, np.float64),
        base_from_camera=turn_z @ turn_y @ turn_x,
        left=(camera.cx - (np.arange(camera.width) + 0.5)) / camera.fx,
        down=((np.arange(camera.height) + 0.5) - camera.cy) / camera.fy,
        range_m=np.array([camera.min_range_m, camera.max_range_m]),
        level=roll == 0.0 and pitch == 0.0,
    )


class DepthRenderer:
    """Draws what one kind of camera sees in every world of a batch.

    Args:
        camera: the camera.
        num_worlds: how many worlds.

    Attributes:
        depth_m: float32 [worlds, height, width], metres along the optical axis; 0 where the depth is out of
            the camera's range or the camera is inside matter or outside the plan.
    """

    def __init__(self, camera: PinholeCamera, num_worlds: int) -> None:
        launch_threads()
        self.camera = camera
        self.model = camera_model(camera)
        self.depth_m = np.zeros((num_worlds, camera.height, camera.width), dtype=np.float32)

    def render(self, worlds: np.ndarray, scenes: List, scene_of: np.ndarray, pose: np.ndarray) -> None:
        """Draw some worlds' images into `depth_m`; the same to the last bit for any number of threads.

        Args:
            worlds: int64 [k], which.
            scenes: typed list of tuples that have a `plan`.
            scene_of: int64 [worlds], index into the scenes.
            pose: float64 [worlds, 3], x, y (metres) and yaw (radians) of the robot's base.
        """
        _render(worlds, scenes, scene_of, pose, self.model, self.depth_m)


@njit(cache=True, error_model="numpy", fastmath=False)
def _column(
    floor: np.ndarray,
    ceiling: np.ndarray,
    columns: int,
    u: float,
    v: float,
    z: float,
    du: float,
    dv: float,
    down: np.ndarray,
    far_m: float,
    image: np.ndarray,
    image_column: int,
) -> None:
    """Draw one column of a level camera's image.

    Args:
        floor: float32 [cells], one plan.
        ceiling: float32 [cells].
        columns: of the plan.
        u: the camera's x in cells; inside the plan.
        v: its y in cells.
        z: its height, metres; in the air of its cell.
        du: cells moved along x per metre of depth.
        dv: cells moved along y per metre of depth.
        down: float64 [height], ascending.
        far_m: depth to stop at, metres.
        image: float32 [height, width], all 0 in this column.
        image_column: which column to draw.
    """
    column, row = int(u), int(v)
    step_c, step_r = (1 if du > 0 else -1), (1 if dv > 0 else -1)
    per_c = abs(1.0 / du) if du != 0.0 else np.inf
    per_r = abs(1.0 / dv) if dv != 0.0 else np.inf
    next_c = (column + 1 - u if du > 0 else u - column) * per_c if du != 0.0 else np.inf
    next_r = (row + 1 - v if dv > 0 else v - row) * per_r if dv != 0.0 else np.inf
    top, bottom = 0, down.shape[0]  # rows top <= r < bottom have hit nothing yet
    near = 0.0
    at = row * columns + column
    while top < bottom and near <= far_m:
        to_floor, to_ceiling = z - floor[at], ceiling[at] - z
        solid = floor[at] >= ceiling[at]
        # The faces at the cell's near side.
        while bottom > top and (solid or down[bottom - 1] * near > to_floor):
            bottom -= 1
            image[bottom, image_column] = near
        while top < bottom and -down[top] * near > to_ceiling:
            image[top, image_column] = near
            top += 1
        # The faces inside: those below and above, reached before the ray leaves the cell.
        leave = min(next_c, next_r)
        while bottom > top and down[bottom - 1] * leave > to_floor:
            bottom -= 1
            image[bottom, image_column] = to_floor / down[bottom]
        while top < bottom and -down[top] * leave > to_ceiling:
            image[top, image_column] = to_ceiling / -down[top]
            top += 1
        near = leave
        if next_c < next_r:
            at += step_c
            next_c += per_c
        else:
            at += step_r * columns
            next_r += per_r


@njit(cache=True, error_model="numpy", fastmath=False)
def _pixel(
    floor: np.ndarray,
    ceiling: np.ndarray,
    columns: int,
    u: float,
    v: float,
    z: float,
    du: float,
    dv: float,
    dz: float,
    far_m: float,
) -> float:
    """Return the depth at which one ray meets matter, 0 beyond `far_m`; the arguments as in `_column`."""
    column, row = int(u), int(v)
    step_c, step_r = (1 if du > 0 else -1), (1 if dv > 0 else -1)
    per_c = abs(1.0 / du) if du != 0.0 else np.inf
    per_r = abs(1.0 / dv) if dv != 0.0 else np.inf
    next_c = (column + 1 - u if du > 0 else u - column) * per_c if du != 0.0 else np.inf
    next_r = (row + 1 - v if dv > 0 else v - row) * per_r if dv != 0.0 else np.inf
    near = 0.0
    at = row * columns + column
    while near <= far_m:
        low, high = floor[at], ceiling[at]
        height = z + dz * near
        if low >= high or height < low or height > high:
            return near
        leave = min(next_c, next_r, 2.0 * far_m + 1.0)  # finite, for a ray straight down
        height = z + dz * leave
        if height < low:
            return (low - z) / dz
        if height > high:
            return (high - z) / dz
        near = leave
        if next_c < next_r:
            at += step_c
            next_c += per_c
        else:
            at += step_r * columns
            next_r += per_r
    return 0.0


@njit(cache=True, error_model="numpy", fastmath=False)
def render_world(
    floor: np.ndarray,
    ceiling: np.ndarray,
    rows: int,
    columns: int,
    origin_x: float,
    origin_y: float,
    cell_m: float,
    x: float,
    y: float,
    yaw: float,
    mount_m: np.ndarray,
    base_from_camera: np.ndarray,
    left: np.ndarray,
    down: np.ndarray,
    range_m: np.ndarray,
    level: bool,
    image: np.ndarray,
) -> None:
    """Draw one world's image, float32 [height, width]; the plan flat, the camera as in `CameraModel`."""
    image[:] = 0.0
    cos, sin = np.cos(yaw), np.sin(yaw)
    u = (x + cos * mount_m[0] - sin * mount_m[1] - origin_x) / cell_m
    v = (y + sin * mount_m[0] + cos * mount_m[1] - origin_y) / cell_m
    z = mount_m[2]
    if not (0.0 <= u < columns and 0.0 <= v < rows):
        return
    at = int(v) * columns + int(u)
    if floor[at] >= ceiling[at] or z < floor[at] or z > ceiling[at]:
        return
    near, far = range_m[0], range_m[1]
    turn = base_from_camera
    for i in range(left.shape[0]):
        if level:
            dx, dy = turn[0, 0] + turn[0, 1] * left[i], turn[1, 0] + turn[1, 1] * left[i]
            du, dv = (cos * dx - sin * dy) / cell_m, (sin * dx + cos * dy) / cell_m
            _column(floor, ceiling, columns, u, v, z, du, dv, down, far, image, i)
        else:
            for j in range(down.shape[0]):
                dx = turn[0, 0] + turn[0, 1] * left[i] - turn[0, 2] * down[j]
                dy = turn[1, 0] + turn[1, 1] * left[i] - turn[1, 2] * down[j]
                dz = turn[2, 0] + turn[2, 1] * left[i] - turn[2, 2] * down[j]
                du, dv = (cos * dx - sin * dy) / cell_m, (sin * dx + cos * dy) / cell_m
                image[j, i] = _pixel(floor, ceiling, columns, u, v, z, du, dv, dz, far)
    for j in range(down.shape[0]):
        for i in range(left.shape[0]):
            if not near <= image[j, i] <= far:
                image[j, i] = 0.0


@njit(cache=True, error_model="numpy", fastmath=False, parallel=True, nogil=True)
def _render(
    worlds: np.ndarray,
    scenes: List,
    scene_of: np.ndarray,
    pose: np.ndarray,
    camera: CameraModel,
    out: np.ndarray,
) -> None:
    """Draw worlds in parallel; each writes its own image only, so the order plays no part."""
    for index in prange(worlds.size):
        world = worlds[index]
        plan = scenes[scene_of[world]].plan
        render_world(
            plan.floor.reshape(-1), plan.ceiling.reshape(-1), plan.floor.shape[0], plan.floor.shape[1],
            plan.ox, plan.oy, plan.cell, pose[world, 0], pose[world, 1], pose[world, 2], camera.mount_m,
            camera.base_from_camera, camera.left, camera.down, camera.range_m, camera.level, out[world],
        )  # fmt: skip
