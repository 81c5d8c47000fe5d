"""Straight lines over the plan, as kernels that other kernels call.

Both walks are exact: no sampling along the line, so a wall of one cell never slips through.
"""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, error_model="numpy", fastmath=False)
def line_of_sight(
    floor_m: np.ndarray,
    ceiling_m: np.ndarray,
    inv_cell: float,
    ox: float,
    oy: float,
    ax: float,
    ay: float,
    az: float,
    bx: float,
    by: float,
    bz: float,
) -> bool:
    """Tell whether the open segment from `a` to `b` passes through air alone.

    The cells under the segment are walked in order (Amanatides and Woo 1987) and the segment's heights inside
    each cell are compared with that cell's matter. The answer is the same with `a` and `b` exchanged. A
    segment that grazes a face (equal heights) is free; one through the common corner of four cells is blocked
    only where the two cells beside it both are. Points outside the plan see nothing.

    Args:
        floor_m: float32 [rows, columns], top of the matter below, metres.
        ceiling_m: float32 [rows, columns], underside of the matter above, metres.
        inv_cell: 1 / edge of a cell, 1/m.
        ox: world x of the plan's lower left corner, metres.
        oy: world y of it, metres.
        ax: world x of the one end, metres.
        ay: world y.
        az: height.
        bx: world x of the other end, metres.
        by: world y.
        bz: height.
    """
    if bx < ax or (bx == ax and by < ay):  # a fixed order makes rounding, and so the answer, symmetric
        ax, ay, az, bx, by, bz = bx, by, bz, ax, ay, az
    rows, columns = floor_m.shape
    u0, v0 = (ax - ox) * inv_cell, (ay - oy) * inv_cell
    u1, v1 = (bx - ox) * inv_cell, (by - oy) * inv_cell
    if not (min(u0, u1) >= 0.0 and min(v0, v1) >= 0.0 and max(u0, u1) < columns and max(v0, v1) < rows):
        return False
    column, row = int(u0), int(v0)
    end_column, end_row = int(u1), int(v1)
    step_c = 1 if end_column >= column else -1
    step_r = 1 if end_row >= row else -1
    left_c, left_r = abs(end_column - column), abs(end_row - row)
    du, dv, dz = u1 - u0, v1 - v0, bz - az
    per_c = abs(1.0 / du) if left_c > 0 else np.inf
    per_r = abs(1.0 / dv) if left_r > 0 else np.inf
    next_c = ((column + 1 - u0) if step_c > 0 else (u0 - column)) * per_c if left_c > 0 else np.inf
    next_r = ((row + 1 - v0) if step_r > 0 else (v0 - row)) * per_r if left_r > 0 else np.inf
    z_in = az
    while True:
        t_out = min(next_c, next_r, 1.0)
        z_out = az + dz * t_out
        low, high = floor_m[row, column], ceiling_m[row, column]
        if low >= high or min(z_in, z_out) < low or max(z_in, z_out) > high:
            return False
        if left_c == 0 and left_r == 0:
            return True
        z_in = z_out
        if next_c == next_r and left_c > 0 and left_r > 0:
            side_a = floor_m[row, column + step_c] <= z_in <= ceiling_m[row, column + step_c]
            side_b = floor_m[row + step_r, column] <= z_in <= ceiling_m[row + step_r, column]
            if not (side_a or side_b):
                return False
            row, column = row + step_r, column + step_c
            left_c, left_r = left_c - 1, left_r - 1
            next_c = next_c + per_c if left_c > 0 else np.inf
            next_r = next_r + per_r if left_r > 0 else np.inf
        elif next_c < next_r:
            column += step_c
            left_c -= 1
            next_c = next_c + per_c if left_c > 0 else np.inf
        else:
            row += step_r
            left_r -= 1
            next_r = next_r + per_r if left_r > 0 else np.inf


@njit(cache=True, error_model="numpy", fastmath=False)
def free_line(blocked: np.ndarray, r0: int, c0: int, r1: int, c1: int) -> bool:
    """Tell whether the straight line between two cells' centres touches free cells only.

    Integer arithmetic, so exact, and the same in both directions. Where the line runs through a corner, all
    four cells around it must be free: corners are not cut.

    Args:
        blocked: bool [rows, columns].
        r0: row of the one cell, inside the plan.
        c0: its column.
        r1: row of the other cell, inside the plan.
        c1: its column.
    """
    if blocked[r0, c0] or blocked[r1, c1]:
        return False
    across, along = abs(c1 - c0), abs(r1 - r0)
    step_c = 1 if c1 > c0 else -1
    step_r = 1 if r1 > r0 else -1
    row, column, done_c, done_r = r0, c0, 0, 0
    while done_c < across or done_r < along:
        # Which side is left first: (1 + 2 done_c) / (2 across) against (1 + 2 done_r) / (2 along).
        side = (1 + 2 * done_c) * along - (1 + 2 * done_r) * across
        if side == 0:
            if blocked[row, column + step_c] or blocked[row + step_r, column]:
                return False
            row, column = row + step_r, column + step_c
            done_c, done_r = done_c + 1, done_r + 1
        elif side < 0:
            column += step_c
            done_c += 1
        else:
            row += step_r
            done_r += 1
        if blocked[row, column]:
            return False
    return True
