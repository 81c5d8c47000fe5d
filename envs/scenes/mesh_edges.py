"""Where faces run through cells: gives back to the air those cells of which the greater part is air."""

from __future__ import annotations

import numpy as np
from numba import njit

from phonotaxis.envs.scenes.mesh_air import LEVEL_M, Air

UPRIGHT = 0.3  # largest upward share of a face's unit normal that still makes it a side
MOST_PASSES = 4  # a corner needs two: its neighbours come first


def trim(air: Air, side: np.ndarray, triangles: np.ndarray, origin_m: tuple[float, float], cell_m: float) -> Air:
    """Open the cells that a wall, or a piece of furniture, merely touches.

    A cell that a side face touches counts as matter, which makes rooms narrower by half a cell at each wall.
    Where the cell's centre is on the same side of the face as the air beside it, the cell takes that air's
    heights, so that what is lost and won is equal on average; walls on the grid's lines come out exact. Which
    way a face looks plays no part, since many files have it wrong. No two parts of the air get connected: the
    cell on the far side stays solid, and a cell is opened only where its connectivity number is 1 (Yokoi 1973).

    Args:
        air: as found.
        side: int32 [rows, columns], triangle that rises most within each cell, -1 with none.
        triangles: float64 [triangles, corners, xyz], metres.
        origin_m: world x, y of the grid's lower left corner.
        cell_m: edge of a cell.

    Returns:
        The air with those cells.
    """
    normal = np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    normal[np.abs(normal[:, 2]) > UPRIGHT] = 0.0
    corner = np.ascontiguousarray(triangles[:, 0])
    floor, ceiling, below, above = (grid.copy() for grid in (air.floor_m, air.ceiling_m, air.below, air.above))
    for _ in range(MOST_PASSES):
        if _trim(floor, ceiling, below, above, side, normal, corner, origin_m[0], origin_m[1], cell_m) == 0:
            break
    return air._replace(floor_m=floor, ceiling_m=ceiling, below=below, above=above)


@njit(cache=True, error_model="numpy", fastmath=False)
def _trim(
    floor: np.ndarray,
    ceiling: np.ndarray,
    below: np.ndarray,
    above: np.ndarray,
    side: np.ndarray,
    normal: np.ndarray,
    corner: np.ndarray,
    ox: float,
    oy: float,
    cell: float,
) -> int:
    """Open cells in place, in the grid's order, and return how many."""
    rows, columns = floor.shape
    opened = 0
    for row in range(2, rows - 2):
        for column in range(2, columns - 2):
            t = side[row, column]
            if t < 0 or (normal[t, 0] == 0.0 and normal[t, 1] == 0.0):
                continue
            x, y = ox + (column + 0.5) * cell, oy + (row + 0.5) * cell
            distance = normal[t, 0] * (x - corner[t, 0]) + normal[t, 1] * (y - corner[t, 1])
            along_x = abs(normal[t, 0]) >= abs(normal[t, 1])
            towards = 1 if (normal[t, 0] if along_x else normal[t, 1]) * distance > 0.0 else -1
            dr, dc = (0, towards) if along_x else (towards, 0)
            if abs(distance) < 1e-3 * cell:  # neither side has more; stay solid
                continue
            level = floor[row, column] - np.float32(LEVEL_M)
            if floor[row + dr, column + dc] >= level or floor[row - dr, column - dc] < level:
                continue
            if floor[row + dr, column + dc] >= ceiling[row + dr, column + dc]:
                continue
            if _connectivity(floor, level, row, column) != 1:
                continue
            for grid in (floor, ceiling):
                grid[row, column] = grid[row + dr, column + dc]
            for grid in (below, above):
                grid[row, column] = grid[row + dr, column + dc]
            opened += 1
    return opened


@njit(cache=True, error_model="numpy", fastmath=False)
def _connectivity(floor: np.ndarray, level: float, row: int, column: int) -> int:
    """Yokoi's connectivity number of the lower cells around a cell, which are connected along rows and columns."""
    number = 0
    ring = ((0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1), (-1, 0), (-1, 1))
    for k in range(0, 8, 2):
        r, c = ring[k]
        if floor[row + r, column + c] >= level:
            continue
        r1, c1 = ring[k + 1]
        r2, c2 = ring[(k + 2) % 8]
        if floor[row + r1, column + c1] >= level or floor[row + r2, column + c2] >= level:
            number += 1
    return number
