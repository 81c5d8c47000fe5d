"""A map of what depth has shown, one for each world, in the frame of the episode's start: the follower's memory."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from phonotaxis.configs.contract import Contract

CELL_M = 0.1
SIDE = 400  # cells: 20 m to each side of the start; what lies beyond isn't mapped
_MOST = 8  # evidence that a cell holds at most, either way
_TOUCHED = 100  # what was run into stays, whatever is seen over it
_HIT, _PASS = 3, -1
_LOW_M = 0.06  # lower is floor
_TILT = 0.03  # and what a pitch of 2 degrees may lift it by, over the distance
_OBSTACLES_M = 4.0  # obstacles are taken from nearer depth only


class Camera(NamedTuple):
    """The contract's camera as the kernel takes it."""

    left: np.ndarray  # float64 [width], tangents to the left
    down: np.ndarray  # float64 [height], tangents downward
    ahead_m: float
    aside_m: float
    height_m: float
    body_height_m: float


def camera_of(contract: Contract) -> Camera:
    """Read the geometry of a contract's camera, its mount taken as level."""
    camera = contract.camera
    left = (camera.cx - np.arange(camera.width) - 0.5) / camera.fx
    down = (np.arange(camera.height) + 0.5 - camera.cy) / camera.fy
    return Camera(left, down, *camera.mount_xyz_m, contract.body.height_m)


def new_maps(worlds: int) -> np.ndarray:
    """Return empty maps: int8 [worlds, SIDE, SIDE], rows along y; above 0 is matter, below 0 free, 0 unknown."""
    return np.zeros((worlds, SIDE, SIDE), dtype=np.int8)


@njit(cache=True, error_model="numpy", nogil=True)
def see(worlds, maps, place, depth, camera):
    """Draw what the cameras of some worlds show into their maps.

    Args:
        worlds: int64 [k], each once.
        maps: of `new_maps`.
        place: float64 [worlds, 3], x, y, yaw from the start, metres and radians.
        depth: float32 [worlds, height, width], metres.
        camera: of `camera_of`.
    """
    for index in range(worlds.size):
        world = worlds[index]
        _see(maps[world], place[world], depth[world], camera)


@njit(cache=True, error_model="numpy")
def _see(grid, place, depth, camera):
    cos, sin = np.cos(place[2]), np.sin(place[2])
    x0 = place[0] + cos * camera.ahead_m - sin * camera.aside_m
    y0 = place[1] + sin * camera.ahead_m + cos * camera.aside_m
    for column in range(depth.shape[1]):
        dx, dy = cos - sin * camera.left[column], sin + cos * camera.left[column]
        nearest, farthest = np.inf, 0.0
        for row in range(depth.shape[0]):
            far = float(depth[row, column])
            if far <= 0.0:
                continue
            farthest = max(farthest, far)
            height = camera.height_m - far * camera.down[row]
            if _LOW_M + _TILT * far < height < camera.body_height_m:
                nearest = min(nearest, far)
        _mark_free(grid, x0, y0, dx, dy, min(nearest, farthest))
        if nearest < _OBSTACLES_M:
            _mark(grid, x0 + nearest * dx, y0 + nearest * dy, _HIT)


@njit(cache=True, error_model="numpy")
def _mark_free(grid, x0, y0, dx, dy, far):
    """Mark the cells along a ray as free, up to a cell before its end."""
    stretch = np.sqrt(dx * dx + dy * dy)
    steps = int((far * stretch - CELL_M) / CELL_M)
    for k in range(steps):
        along = (k + 0.5) * CELL_M / stretch
        _mark(grid, x0 + along * dx, y0 + along * dy, _PASS)


@njit(cache=True, error_model="numpy")
def _mark(grid, x, y, evidence):
    column, row = int(np.floor(x / CELL_M)) + SIDE // 2, int(np.floor(y / CELL_M)) + SIDE // 2
    if not (0 <= row < SIDE and 0 <= column < SIDE) or grid[row, column] == _TOUCHED:
        return
    if evidence == _TOUCHED:
        grid[row, column] = _TOUCHED
    else:
        grid[row, column] = min(max(grid[row, column] + evidence, -_MOST), _MOST)


@njit(cache=True, error_model="numpy", nogil=True)
def mark_touched(worlds, maps, place, radius_m):
    """Mark what some worlds' bodies have run into: a short bar ahead of each."""
    for world in worlds:
        x, y, yaw = place[world]
        reach = radius_m + 0.5 * CELL_M
        for k in range(-1, 2):
            angle = yaw + 0.4 * k
            _mark(maps[world], x + reach * np.cos(angle), y + reach * np.sin(angle), _TOUCHED)
