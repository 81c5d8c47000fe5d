"""Geodesic distance fields: the shortest walk from every cell to one goal, at any angle."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from phonotaxis.envs.scenes.raycast import free_line

EXTENSION_CELLS = 3


class GeodesicField(NamedTuple):
    """The shortest walks from every cell's centre to one goal cell's centre.

    Attributes:
        distance_m: float32 [rows, columns], length of the walk, metres; infinity where there is none.
        parent: int32 [rows, columns], flat index of the next way-point towards the goal, in a straight free
            line; the goal's own index at the goal, -1 where there is no walk.
        turn_rad: float32 [rows, columns], sum of the bends at the way-points from the parent on to the goal,
            radians, each 0..pi; 0 where there is no walk.
    """

    distance_m: np.ndarray
    parent: np.ndarray
    turn_rad: np.ndarray


def geodesic_field(passable: np.ndarray, goal_row: int, goal_column: int, cell_m: float) -> GeodesicField:
    """Find the shortest walks to one cell from all others.

    Lazy Theta* (Nash, Koenig and Tovey 2010) run outward from the goal without a heuristic, so that one run
    serves every start. Cells that are not passable but lie within `EXTENSION_CELLS` of ones that are continue
    the field by single steps, so that a query slightly inside a wall's margin still finds its way out.

    Args:
        passable: bool [rows, columns], where the walker's centre may be; the outermost ring counts as not.
        goal_row: row of the goal, a passable cell.
        goal_column: its column.
        cell_m: edge of a cell, metres.

    Returns:
        The field, equal for equal arguments to the last bit.

    Raises:
        ValueError: the goal is outside the plan or not passable.
    """
    rows, columns = passable.shape
    if not (0 < goal_row < rows - 1 and 0 < goal_column < columns - 1):
        raise ValueError(
            f"the goal cell ({goal_row}, {goal_column}) must lie inside the ring of a {rows} x {columns} plan"
        )
    if not passable[goal_row, goal_column]:
        raise ValueError(f"the goal cell ({goal_row}, {goal_column}) is not passable; move it with nearest_passable()")
    blocked = np.logical_not(passable)
    blocked[0], blocked[-1], blocked[:, 0], blocked[:, -1] = True, True, True, True
    distance, parent, turn = _lazy_theta(blocked, goal_row, goal_column)
    _extend(blocked, distance, parent, turn, EXTENSION_CELLS)
    distance *= cell_m
    return GeodesicField(
        distance.astype(np.float32),
        parent.reshape(rows, columns),
        turn.astype(np.float32).reshape(rows, columns),
    )


def nearest_passable(passable: np.ndarray, row: int, column: int, max_cells: int = 8) -> tuple[int, int] | None:
    """Return the passable cell nearest to a cell (ties: lowest row, then column), or None within `max_cells`.

    Args:
        passable: bool [rows, columns].
        row: of the cell to start from; it may lie outside the plan.
        column: likewise.
        max_cells: largest distance along either axis, cells.
    """
    row_low, column_low = max(row - max_cells, 0), max(column - max_cells, 0)
    window = passable[row_low : max(row + max_cells + 1, 0), column_low : max(column + max_cells + 1, 0)]
    found_rows, found_columns = np.nonzero(window)
    if found_rows.size == 0:
        return None
    squared = (found_rows + row_low - row) ** 2 + (found_columns + column_low - column) ** 2
    best = int(np.argmin(squared))
    return int(found_rows[best]) + row_low, int(found_columns[best]) + column_low


@njit(cache=True, error_model="numpy", fastmath=False)
def _push(keys: np.ndarray, items: np.ndarray, size: int, key: float, item: int) -> int:
    """Put an item on the binary heap and return its new size."""
    at = size
    while at > 0:
        above = (at - 1) >> 1
        if keys[above] <= key:
            break
        keys[at], items[at] = keys[above], items[above]
        at = above
    keys[at], items[at] = key, item
    return size + 1


@njit(cache=True, error_model="numpy", fastmath=False)
def _pop(keys: np.ndarray, items: np.ndarray, size: int) -> int:
    """Take the least item (at index 0) off the heap and return its new size."""
    size -= 1
    key, item = keys[size], items[size]
    at = 0
    while True:
        below = 2 * at + 1
        if below >= size:
            break
        if below + 1 < size and keys[below + 1] < keys[below]:
            below += 1
        if keys[below] >= key:
            break
        keys[at], items[at] = keys[below], items[below]
        at = below
    keys[at], items[at] = key, item
    return size


@njit(cache=True, error_model="numpy", fastmath=False)
def _span(a: int, b: int, columns: int) -> float:
    """Return the distance between two cells' centres, in cells."""
    across, along = a % columns - b % columns, a // columns - b // columns
    return np.sqrt(float(across * across + along * along))


@njit(cache=True, error_model="numpy", fastmath=False)
def _bend(a: int, b: int, c: int, columns: int) -> float:
    """Return the change of heading at `b` on the way from `a` to `c`, 0..pi; 0 where two coincide."""
    ux, uy = b % columns - a % columns, b // columns - a // columns
    vx, vy = c % columns - b % columns, c // columns - b // columns
    return abs(np.arctan2(float(ux * vy - uy * vx), float(ux * vx + uy * vy)))


@njit(cache=True, error_model="numpy", fastmath=False)
def _step_free(blocked: np.ndarray, row: int, column: int, dr: int, dc: int) -> bool:
    """Tell whether one step to a neighbour touches free cells only."""
    return not (blocked[row + dr, column + dc] or blocked[row, column + dc] or blocked[row + dr, column])


@njit(cache=True, error_model="numpy", fastmath=False)
def _best_closed(
    blocked: np.ndarray,
    closed: np.ndarray,
    distance: np.ndarray,
    parent: np.ndarray,
    row: int,
    column: int,
) -> tuple[float, int]:
    """Return the least distance over what is in sight, in cells, and the flat index of that way-point.

    Looked at are the closed neighbours and their parents: neighbours alone bend the walk a cell too late.
    """
    columns = blocked.shape[1]
    here = row * columns + column
    best, best_at = np.inf, -1
    for dr in range(-1, 2):
        for dc in range(-1, 2):
            near = here + dr * columns + dc
            if (dr == 0 and dc == 0) or not closed[near] or not _step_free(blocked, row, column, dr, dc):
                continue
            length = distance[near] + np.sqrt(float(dr * dr + dc * dc))
            if length < best:
                best, best_at = length, near
            up = parent[near]
            length = distance[up] + _span(up, here, columns)
            if length < best and free_line(blocked, up // columns, up % columns, row, column):
                best, best_at = length, up
    return best, best_at


@njit(cache=True, error_model="numpy", fastmath=False)
def _lazy_theta(blocked: np.ndarray, goal_row: int, goal_column: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return distance (cells, float64 [rows, columns]), parent (int32 [cells]) and turn (float64 [cells])."""
    rows, columns = blocked.shape
    cells = rows * columns
    distance = np.full(cells, np.inf)
    parent = np.full(cells, -1, np.int32)
    turn = np.zeros(cells)
    closed = np.zeros(cells, np.bool_)
    checked = np.zeros(cells, np.bool_)  # the parent is known to be in sight
    # A cell is pushed at most once by each of its 8 neighbours and once when its parent is repaired.
    keys, items = np.empty(10 * cells), np.empty(10 * cells, np.int32)
    goal = goal_row * columns + goal_column
    distance[goal], parent[goal], checked[goal] = 0.0, goal, True
    size = _push(keys, items, 0, 0.0, goal)
    while size > 0:
        key, here = keys[0], items[0]
        size = _pop(keys, items, size)
        if closed[here] or key > distance[here]:
            continue
        row, column = here // columns, here % columns
        up = parent[here]
        if not checked[here]:
            checked[here] = True
            if not free_line(blocked, up // columns, up % columns, row, column):
                distance[here], parent[here] = _best_closed(blocked, closed, distance, parent, row, column)
                size = _push(keys, items, size, distance[here], here)
                continue
        closed[here] = True
        turn[here] = turn[up] + _bend(here, up, parent[up], columns)
        for dr in range(-1, 2):
            for dc in range(-1, 2):
                near = (row + dr) * columns + column + dc
                if (dr == 0 and dc == 0) or closed[near] or not _step_free(blocked, row, column, dr, dc):
                    continue
                length = distance[up] + _span(up, near, columns)
                if length < distance[near]:
                    distance[near], parent[near], checked[near] = length, up, False
                    size = _push(keys, items, size, length, near)
    return distance.reshape((rows, columns)), parent, turn


@njit(cache=True, error_model="numpy", fastmath=False)
def _extend(blocked: np.ndarray, distance: np.ndarray, parent: np.ndarray, turn: np.ndarray, rings: int) -> None:
    """Continue a field into blocked cells ring by ring, each over its best neighbour of the rings before."""
    rows, columns = blocked.shape
    best, best_at = np.empty(rows * columns), np.empty(rows * columns, np.int32)
    for _ in range(rings):
        best_at[:] = -1
        for row in range(rows):
            for column in range(columns):
                if not blocked[row, column] or np.isfinite(distance[row, column]):
                    continue
                here = row * columns + column
                best[here] = np.inf
                for r in range(max(row - 1, 0), min(row + 2, rows)):
                    for c in range(max(column - 1, 0), min(column + 2, columns)):
                        length = distance[r, c] + np.sqrt(float((r - row) ** 2 + (c - column) ** 2))
                        if length < best[here]:
                            best[here], best_at[here] = length, r * columns + c
        for here in range(rows * columns):
            near = best_at[here]
            if near >= 0:
                distance[here // columns, here % columns] = best[here]
                parent[here] = near
                turn[here] = turn[near] + _bend(here, near, parent[near], columns)
