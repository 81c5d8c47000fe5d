"""ROS occupancy maps (map_server's YAML and image), extruded: the user's own building as a scene."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from phonotaxis.configs.base import ConfigError, build
from phonotaxis.configs.presets import read_yaml
from phonotaxis.envs.scenes.map_image import MOST_PIXELS, MapFile, read_free
from phonotaxis.envs.scenes.materials import INDEX
from phonotaxis.envs.scenes.moved import moved_info, offset_m
from phonotaxis.envs.scenes.options import SurfaceOptions, read_options
from phonotaxis.envs.scenes.scene import Scene, SceneError

FINEST_CELL_M = 0.05
LARGE_MAP_CELLS = 100_000  # from here on cells of 0.1 m: geodesics and sound cost what cells there are
LARGE_MAP_CELL_M = 0.1
COARSEST_CELL_M = 0.2
_STRIP = 128  # rows that are turned at once


class MapOptions(SurfaceOptions):
    """How a map is extruded: the ceiling's height, materials, and the least edge of a cell.

    Without `cell_m` it is 0.05 m, or 0.1 m where the map would have more than 100,000 cells of that size. Where whole
    pixels make no edge between it and 0.2 m, the edge is that of as many as fit in 0.2 m.
    """

    height_m: float = Field(default=2.5, ge=1.0, le=20.0)
    cell_m: float | None = Field(default=None, ge=0.02, le=COARSEST_CELL_M)


def load_occupancy_map(name: str, seed: int, options: dict[str, Any]) -> Scene:
    """Load a map; the seed plays no part. What is unknown becomes wall, and so does what is partly occupied.

    The scene's x and y are the map's. One that lies over 10 km from their origin is moved there, and `info` says so.

    Args:
        name: path of the YAML file.
        seed: not used.
        options: of `MapOptions`.

    Raises:
        SceneError: the YAML, the image or an option can't be used, or the map holds no free space.
    """
    path = Path(name)
    try:
        file = build(MapFile, read_yaml(path), name)
    except ConfigError as error:
        raise SceneError(str(error)) from None
    extrusion = read_options(MapOptions, options, name)
    free = read_free(path, file)
    if not free.any():
        raise SceneError(
            f"{name}: no free space in {file.image}: no pixel is free with negate {int(file.negate)}, "
            f"free_thresh {file.free_thresh} and mode {file.mode}; check these three"
        )
    least_cell_m = extrusion.cell_m or _default_cell_m(free, file.resolution)
    free, cell_m, origin_m = _on_workable_cells(free, file, least_cell_m)
    if not free.any():
        raise SceneError(f"{name}: no free space as wide as a cell of {cell_m:.3f} m in {file.image}")
    free, origin_m = _cropped(free, cell_m, origin_m)
    if max(free.shape) > MOST_PIXELS:
        raise SceneError(
            f"{name}: {free.shape[1]} x {free.shape[0]} cells of {cell_m:.3f} m, more than {MOST_PIXELS} "
            "along a side; is resolution really in metres a pixel?"
        )
    return _extruded(name, free, cell_m, origin_m, file, extrusion)


def _default_cell_m(free: np.ndarray, resolution_m: float) -> float:
    """Return the least edge of a cell that suits the size of the part that is free."""
    rows, columns = (
        int(np.ptp(np.flatnonzero(free.any(axis=1)))),
        int(np.ptp(np.flatnonzero(free.any(axis=0)))),
    )
    cells = rows * columns * (resolution_m / FINEST_CELL_M) ** 2
    return LARGE_MAP_CELL_M if cells > LARGE_MAP_CELLS else FINEST_CELL_M


def _on_workable_cells(
    free: np.ndarray, file: MapFile, least_cell_m: float
) -> tuple[np.ndarray, float, tuple[float, float]]:
    """Bring a map to cells from the least edge up to `COARSEST_CELL_M`, free only where all of a cell is.

    Whole factors only, so no wall is lost to rounding; where they leave nothing between both edges, the upper one
    counts. A map whose origin has a yaw is turned into the axes of the world afterwards.

    Returns:
        free bool [rows, columns], edge of a cell in metres, world x, y of the lower left corner.
    """
    resolution, (x0, y0, yaw) = file.resolution, file.origin
    most = math.floor(COARSEST_CELL_M / resolution + 1e-6)
    merge = max(1, min(math.ceil(least_cell_m / resolution - 1e-6), most))
    if merge > 1:
        rows, columns = (-(-edge // merge) * merge for edge in free.shape)
        padded = np.zeros((rows, columns), bool)
        padded[: free.shape[0], : free.shape[1]] = free
        blocks = padded.reshape(rows // merge, merge, columns // merge, merge)
        free = np.logical_and.reduce(blocks, axis=(1, 3))
    divide = max(1, math.ceil(resolution / COARSEST_CELL_M - 1e-6))  # over 1 where nothing is merged
    cell_m = resolution * merge / divide
    if not free.any():
        return free, cell_m, (x0, y0)
    if divide > 1 or yaw != 0:
        free, (x0, y0) = _cropped(free, resolution * merge, (x0, y0), yaw)
        if max(free.shape) * divide > MOST_PIXELS:
            raise SceneError(
                f"a map of {max(free.shape) * resolution * merge:.0f} m across is too large, more than {MOST_PIXELS} "
                f"cells of {cell_m:.3f} m; is resolution {resolution} really in metres a pixel?"
            )
        free = free.repeat(divide, axis=0).repeat(divide, axis=1)
    if yaw == 0:
        return free, cell_m, (x0, y0)
    return _turned(free, cell_m, (x0, y0), yaw)


def _turned(
    free: np.ndarray, cell_m: float, origin_m: tuple[float, float], yaw_rad: float
) -> tuple[np.ndarray, float, tuple[float, float]]:
    """Turn a map about its origin.

    A cell is free where all of a grid of points in it, a quarter of a cell apart, lie on free cells; so no
    wall gets thinner.
    """
    rows, columns = free.shape
    cos, sin = math.cos(yaw_rad), math.sin(yaw_rad)
    corners = np.array([[0, 0], [columns, 0], [0, rows], [columns, rows]], np.float64)
    turned = corners @ np.array([[cos, sin], [-sin, cos]])
    low = np.floor(turned.min(axis=0))
    width, height = (np.ceil(turned.max(axis=0)) - low).astype(int)
    out = np.zeros((height, width), bool)
    inside = [min(max(part, 1e-6), 1.0 - 1e-6) for part in (0.5, 0.0, 1.0, 0.25, 0.75)]  # what fails most comes first
    for first in range(0, height, _STRIP):
        strip = out[first : first + _STRIP]
        y, x = (axis.ravel() for axis in np.indices(strip.shape))
        for dy in inside:
            for dx in inside:
                at_x, at_y = low[0] + x + dx, low[1] + first + y + dy
                column = np.floor(cos * at_x + sin * at_y).astype(np.int64)
                row = np.floor(-sin * at_x + cos * at_y).astype(np.int64)
                kept = np.flatnonzero((row >= 0) & (row < rows) & (column >= 0) & (column < columns))
                kept = kept[free[row[kept], column[kept]]]
                x, y = x[kept], y[kept]
        strip[y, x] = True
    return out, cell_m, (origin_m[0] + low[0] * cell_m, origin_m[1] + low[1] * cell_m)


def _cropped(
    free: np.ndarray, cell_m: float, origin_m: tuple[float, float], yaw_rad: float = 0.0
) -> tuple[np.ndarray, tuple[float, float]]:
    """Crop to the free cells and put a ring of wall around them; the origin moves along."""
    rows, columns = np.flatnonzero(free.any(axis=1)), np.flatnonzero(free.any(axis=0))
    out = np.pad(free[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1], 1)
    along_m, across_m = (int(columns[0]) - 1) * cell_m, (int(rows[0]) - 1) * cell_m
    cos, sin = math.cos(yaw_rad), math.sin(yaw_rad)
    return out, (origin_m[0] + cos * along_m - sin * across_m, origin_m[1] + sin * along_m + cos * across_m)


def _extruded(
    name: str,
    free: np.ndarray,
    cell_m: float,
    origin_m: tuple[float, float],
    file: MapFile,
    options: MapOptions,
) -> Scene:
    height = np.float32(options.height_m)
    moved_m = offset_m(np.array(origin_m))
    info = {"source": "occupancy_map", "image": file.image, "resolution_m": f"{file.resolution:g}"}
    return Scene(
        name=name,
        cell_m=cell_m,
        origin_m=(origin_m[0] - float(moved_m[0]), origin_m[1] - float(moved_m[1])),
        floor_m=np.where(free, np.float32(0.0), height),
        ceiling_m=np.full(free.shape, height, np.float32),
        height_m=options.height_m,
        side_material=np.full(free.shape, INDEX[options.walls], np.uint8),
        floor_material=np.full(free.shape, INDEX[options.floor], np.uint8),
        ceiling_material=np.full(free.shape, INDEX[options.ceiling], np.uint8),
        room=np.where(free, 0, -1).astype(np.int16),
        info=info | moved_info(moved_m),
    )
