"""Triangles over a grid of cells: between which heights each cell holds matter, and where it holds air."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

MOST_SPANS = 100_000_000
EDGE = 1e-4  # of a cell: rounding must not make a face on a cell's edge touch the next cell too, or none


class Spans(NamedTuple):
    """What each triangle fills of each cell it touches; all arrays are [spans], by cell, then by `low_m`."""

    cell: np.ndarray  # int64, row * columns + column
    triangle: np.ndarray  # int32
    low_m: np.ndarray  # float32
    high_m: np.ndarray  # float32


class Gaps(NamedTuple):
    """The air over each cell between matter, upward; all arrays but `first` are [gaps]."""

    first: np.ndarray  # int64 [cells + 1], index of a cell's first gap; each cell has at least one
    cell: np.ndarray  # int64
    low_m: np.ndarray  # float32, -inf with no matter below
    high_m: np.ndarray  # float32, +inf with no matter above
    below: np.ndarray  # int32, triangle on whose top the gap stands, -1 with none
    above: np.ndarray  # int32, triangle under which it ends, -1 with none
    side: np.ndarray  # int32 [cells], the triangle that rises most within the cell, -1 with none


def spans_of(triangles: np.ndarray, cell_m: float, origin_m: tuple[float, float], shape: tuple[int, int]) -> Spans:
    """Cut triangles into the cells they touch.

    Exact: every cell that a triangle touches gets the range of heights it has there, so no thin wall is lost
    between samples. A face on the edge between two cells belongs to the one of higher x or y.

    Args:
        triangles: float64 [triangles, corners, xyz], metres, z up, inside the grid.
        cell_m: edge of a cell.
        origin_m: world x, y of the grid's lower left corner.
        shape: rows and columns.

    Raises:
        MemoryError: more than `MOST_SPANS` pieces.
    """
    in_cells = np.ascontiguousarray(triangles, np.float64).copy()
    in_cells[..., 0] = (in_cells[..., 0] - origin_m[0]) / cell_m
    in_cells[..., 1] = (in_cells[..., 1] - origin_m[1]) / cell_m
    cell, triangle, low, high = _cut(in_cells, shape[0], shape[1], MOST_SPANS)
    if len(cell) >= MOST_SPANS:
        raise MemoryError(f"the triangles touch cells more than {MOST_SPANS} times")
    order = np.lexsort((low, cell))
    return Spans(cell[order], triangle[order], low[order], high[order])


def gaps_of(spans: Spans, cells: int, least_m: float) -> Gaps:
    """Find the air between the spans of each cell; what is lower than `least_m` counts as matter."""
    return Gaps(*_gaps(*spans, cells, least_m))


@njit(cache=True, error_model="numpy", fastmath=False)
def _clip(points: np.ndarray, count: int, axis: int, bound: float, sign: float, out: np.ndarray) -> int:
    """Cut a convex polygon at a plane (Sutherland and Hodgman 1974), keep where sign * (p - bound) >= 0."""
    kept = 0
    for i in range(count):
        j = i + 1 if i + 1 < count else 0
        here, there = sign * (points[i, axis] - bound), sign * (points[j, axis] - bound)
        if here >= 0.0:
            for k in range(3):
                out[kept, k] = points[i, k]
            kept += 1
        if (here > 0.0 and there < 0.0) or (here < 0.0 and there > 0.0):
            share = here / (here - there)
            for k in range(3):
                out[kept, k] = points[i, k] + share * (points[j, k] - points[i, k])
            kept += 1
    return kept


@njit(cache=True, error_model="numpy", fastmath=False)
def _range(points: np.ndarray, count: int, axis: int, size: int) -> tuple[int, int]:
    """Return the first and last cell along an axis that a polygon touches."""
    low, high = points[0, axis], points[0, axis]
    for i in range(1, count):
        low, high = min(low, points[i, axis]), max(high, points[i, axis])
    first = int(np.floor(low + EDGE))
    last = max(first, int(np.ceil(high - EDGE)) - 1)
    return max(first, 0), min(last, size - 1)


@njit(cache=True, error_model="numpy", fastmath=False)
def _cut(
    triangles: np.ndarray, rows: int, columns: int, most: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return cell, triangle, low and high of each piece, in the triangles' order; stop at the most."""
    size = 2 * len(triangles) + 1024
    cell, triangle = np.empty(size, np.int64), np.empty(size, np.int32)
    low, high = np.empty(size, np.float32), np.empty(size, np.float32)
    half, band, part, piece = np.empty((8, 3)), np.empty((8, 3)), np.empty((8, 3)), np.empty((8, 3))
    n = 0
    for t in range(len(triangles)):
        first_row, last_row = _range(triangles[t], 3, 1, rows)
        for row in range(first_row, last_row + 1):
            count = _clip(triangles[t], 3, 1, row - 2 * EDGE, 1.0, half)
            in_band = _clip(half, count, 1, row + 1 + 2 * EDGE, -1.0, band)
            if in_band == 0:
                continue
            first, last = _range(band, in_band, 0, columns)
            for column in range(first, last + 1):
                count = _clip(band, in_band, 0, column - 2 * EDGE, 1.0, part)
                count = _clip(part, count, 0, column + 1 + 2 * EDGE, -1.0, piece)
                if count == 0:
                    continue
                if n >= most:
                    return cell[:n], triangle[:n], low[:n], high[:n]
                if n == len(cell):
                    cell, triangle = np.append(cell, np.empty_like(cell)), np.append(triangle, np.empty_like(triangle))
                    low, high = np.append(low, np.empty_like(low)), np.append(high, np.empty_like(high))
                cell[n], triangle[n] = row * columns + column, t
                low[n], high[n] = piece[:count, 2].min(), piece[:count, 2].max()
                n += 1
    return cell[:n], triangle[:n], low[:n], high[:n]


@njit(cache=True, error_model="numpy", fastmath=False)
def _gaps(
    cell: np.ndarray, triangle: np.ndarray, low: np.ndarray, high: np.ndarray, cells: int, least: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    most = len(cell) + cells
    first, side = np.empty(cells + 1, np.int64), np.full(cells, -1, np.int32)
    gap_cell = np.empty(most, np.int64)
    gap_low, gap_high = np.empty(most, np.float32), np.empty(most, np.float32)
    below, above = np.empty(most, np.int32), np.empty(most, np.int32)
    n, s = 0, 0
    for c in range(cells):
        first[c] = n
        top, top_triangle, steepest = np.float32(-np.inf), -1, np.float32(0.0)
        while s < len(cell) and cell[s] == c:
            if low[s] - top >= least:
                gap_cell[n], gap_low[n], gap_high[n], below[n], above[n] = c, top, low[s], top_triangle, triangle[s]
                n += 1
            if high[s] >= top:
                top, top_triangle = high[s], triangle[s]
            if high[s] - low[s] > steepest:
                steepest = high[s] - low[s]
                side[c] = triangle[s]
            s += 1
        gap_cell[n], gap_low[n], gap_high[n], below[n], above[n] = c, top, np.inf, top_triangle, -1
        n += 1
    first[cells] = n
    return first, gap_cell[:n], gap_low[:n], gap_high[:n], below[:n], above[:n], side
