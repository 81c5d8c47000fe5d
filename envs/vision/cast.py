"""Two walks over an extruded floor plan that find what a camera sees, as kernels.

A level camera sees each image column in one vertical plane, so a column is drawn in one walk over the cells,
front to back, that keeps the interval of rows nothing has been hit in yet. A pitched or rolled camera takes one
walk a pixel. Both are exact: depths are where the rays meet the cells' faces (Amanatides and Woo 1987).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from phonotaxis.envs.vision.surfaces import (
    FACE_BITS,
    FACE_DOWN,
    FACE_HIGH_X,
    FACE_HIGH_Y,
    FACE_LOW_X,
    FACE_LOW_Y,
    FACE_UP,
)


class Matter(NamedTuple):
    """A plan with its cells in one row; arrays [cells]."""

    floor: np.ndarray  # float32, metres
    ceiling: np.ndarray  # float32, metres
    side_material: np.ndarray  # uint8
    floor_material: np.ndarray  # uint8
    ceiling_material: np.ndarray  # uint8
    rows: int
    columns: int


class Walk(NamedTuple):
    """How a ray goes from cell to cell: what each crossing adds, and the face it meets."""

    across: int  # cells to the next column
    along: int  # cells to the next row
    per_column: float  # metres of depth
    per_row: float  # metres of depth
    column_face: int
    row_face: int


@njit(cache=True, error_model="numpy", fastmath=False)
def start(u: float, v: float, du: float, dv: float, columns: int) -> tuple[Walk, int, float, float]:
    """Begin a walk.

    Args:
        u: x in cells, inside the plan.
        v: y in cells.
        du: cells moved along x per metre of depth.
        dv: cells moved along y per metre of depth.
        columns: of the plan.

    Returns:
        The walk, the first cell, and the depths at which the next column and the next row begin.
    """
    column, row = int(u), int(v)
    per_column = abs(1.0 / du) if du != 0.0 else np.inf
    per_row = abs(1.0 / dv) if dv != 0.0 else np.inf
    next_column = (column + 1 - u if du > 0 else u - column) * per_column if du != 0.0 else np.inf
    next_row = (row + 1 - v if dv > 0 else v - row) * per_row if dv != 0.0 else np.inf
    walk = Walk(
        1 if du > 0 else -1,
        columns if dv > 0 else -columns,
        per_column,
        per_row,
        FACE_LOW_X if du > 0 else FACE_HIGH_X,
        FACE_LOW_Y if dv > 0 else FACE_HIGH_Y,
    )
    return walk, row * columns + column, next_column, next_row


@njit(cache=True, error_model="numpy", fastmath=False)
def cross(walk: Walk, at: int, next_column: float, next_row: float) -> tuple[int, float, float, int]:
    """Return the next cell, the depths of the crossings after it, and which way its near side looks."""
    if next_column < next_row:
        return at + walk.across, next_column + walk.per_column, next_row, walk.column_face
    return at + walk.along, next_column, next_row + walk.per_row, walk.row_face


@njit(cache=True, error_model="numpy", fastmath=False)
def cast_ray(
    matter: Matter, u: float, v: float, z: float, du: float, dv: float, dz: float, far_m: float
) -> tuple[float, int]:
    """Follow one ray.

    Args:
        matter: the plan.
        u: the camera's x in cells; inside the plan.
        v: its y in cells.
        z: its height, metres; in the air of its cell.
        du: cells moved along x per metre of depth.
        dv: cells moved along y per metre of depth.
        dz: metres risen per metre of depth.
        far_m: depth to stop at, metres.

    Returns:
        The depth at which it meets matter, metres, and the surface; zeros beyond `far_m`.
    """
    walk, at, next_column, next_row = start(u, v, du, dv, matter.columns)
    near, face = 0.0, 0
    while near <= far_m:
        low, high = matter.floor[at], matter.ceiling[at]
        height = z + dz * near
        if low >= high or height < low or height > high:
            return near, matter.side_material[at] << FACE_BITS | face
        leave = min(next_column, next_row)
        height = z + dz * leave
        if height < low:
            return (low - z) / dz, matter.floor_material[at] << FACE_BITS | FACE_UP
        if height > high:
            return (high - z) / dz, matter.ceiling_material[at] << FACE_BITS | FACE_DOWN
        near = leave
        at, next_column, next_row, face = cross(walk, at, next_column, next_row)
    return 0.0, 0


@njit(cache=True, error_model="numpy", fastmath=False)
def draw_column(
    matter: Matter,
    u: float,
    v: float,
    z: float,
    du: float,
    dv: float,
    down: np.ndarray,
    far_m: float,
    image: np.ndarray,
    hits: np.ndarray | None,
    i: int,
) -> None:
    """Draw one column of a level camera's image.

    Args:
        matter: the plan.
        u: the camera's x in cells; inside the plan.
        v: its y in cells.
        z: its height, metres; in the air of its cell.
        du: cells moved along x per metre of depth.
        dv: cells moved along y per metre of depth.
        down: float64 [height], ascending.
        far_m: depth to stop at, metres.
        image: float32 [height, width], depths; all 0 in this column.
        hits: uint16 [height, width], surfaces; all 0 in this column; None leaves them out.
        i: which column to draw.
    """
    walk, at, next_column, next_row = start(u, v, du, dv, matter.columns)
    top, bottom = 0, down.shape[0]  # rows top <= r < bottom have hit nothing yet
    near, face, side, floor, ceiling = 0.0, 0, 0, 0, 0
    while top < bottom and near <= far_m:
        low, high = matter.floor[at], matter.ceiling[at]
        if hits is not None:
            side = matter.side_material[at] << FACE_BITS | face
            floor = matter.floor_material[at] << FACE_BITS | FACE_UP
            ceiling = matter.ceiling_material[at] << FACE_BITS | FACE_DOWN
        to_floor = z - low if low < high else -np.inf  # a wall stops every row
        to_ceiling = high - z
        top, bottom = _sides(down, top, bottom, near, to_floor, to_ceiling, image, hits, i, side)
        near = min(next_column, next_row)
        top, bottom = _levels(down, top, bottom, near, to_floor, to_ceiling, image, hits, i, floor, ceiling)
        at, next_column, next_row, face = cross(walk, at, next_column, next_row)


@njit(cache=True, error_model="numpy", fastmath=False)
def _sides(
    down: np.ndarray,
    top: int,
    bottom: int,
    near: float,
    to_floor: float,
    to_ceiling: float,
    image: np.ndarray,
    hits: np.ndarray | None,
    i: int,
    side: int,
) -> tuple[int, int]:
    """Draw the faces at a cell's near side and return the rows that are still open."""
    while bottom > top and down[bottom - 1] * near > to_floor:
        bottom -= 1
        image[bottom, i] = near
        if hits is not None:
            hits[bottom, i] = side
    while top < bottom and -down[top] * near > to_ceiling:
        image[top, i] = near
        if hits is not None:
            hits[top, i] = side
        top += 1
    return top, bottom


@njit(cache=True, error_model="numpy", fastmath=False)
def _levels(
    down: np.ndarray,
    top: int,
    bottom: int,
    leave: float,
    to_floor: float,
    to_ceiling: float,
    image: np.ndarray,
    hits: np.ndarray | None,
    i: int,
    floor: int,
    ceiling: int,
) -> tuple[int, int]:
    """Draw the faces inside a cell, reached before the rays leave it, and return the rows that are still open."""
    while bottom > top and down[bottom - 1] * leave > to_floor:
        bottom -= 1
        image[bottom, i] = to_floor / down[bottom]
        if hits is not None:
            hits[bottom, i] = floor
    while top < bottom and -down[top] * leave > to_ceiling:
        image[top, i] = to_ceiling / -down[top]
        if hits is not None:
            hits[top, i] = ceiling
        top += 1
    return top, bottom
