"""The follower's planner: the cheapest way over a map to as near a wished-for place as is worth it."""

from __future__ import annotations

import numpy as np
from numba import njit

from phonotaxis.policies.mapping import CELL_M, SIDE

REACH = 60  # cells to each side of the robot that are planned over: 6 m
_WIDTH = 2 * REACH + 1
_STRAIGHT, _DIAGONAL = 10, 14  # cost of a free cell
_UNKNOWN = 2  # times as much: it may be free
_TIGHT, _CLOSE = 8, 3  # where the body just fits, and beside that, likewise
_IN_M, _TIGHT_M, _CLOSE_M = -0.05, 0.06, 0.16  # beyond the body's radius; a cell's matter may be half a cell off
_MISSED = 4.0  # a metre short of the wish costs as much as so many metres of way
_VISIT = 12.0  # cells of way that each step spent at a place makes it less worth going to
BLOCK = 5  # cells to a side of what counts as one place
_FARTHEST = 1 << 14  # buckets that are looked into


def new_visits(worlds: int) -> np.ndarray:
    """Return the steps spent at places, none yet: float32 [worlds, SIDE / BLOCK, SIDE / BLOCK]."""
    return np.zeros((worlds, SIDE // BLOCK, SIDE // BLOCK), dtype=np.float32)


@njit(cache=True, error_model="numpy", nogil=True)
def plan(worlds, maps, visits, place, wish, radius_m, look_m, ahead):
    """Plan in some worlds.

    Args:
        worlds: int64 [k], each once.
        maps: of `mapping.new_maps`.
        visits: of `new_visits`; this step is counted.
        place: float64 [worlds, 3], x, y, yaw.
        wish: float64 [worlds, 2], where to go, in the frame of `place`.
        radius_m: of the body.
        look_m: how far along the way the result lies.
        ahead: float64 [worlds, 3], written: a point of the way, x and y, and the way's cost in metres; the robot's own
            place where no way leads anywhere better.
    """
    for index in range(worlds.size):
        world = worlds[index]
        _plan(maps[world], visits[world], place[world], wish[world], radius_m, look_m, ahead[world])


@njit(cache=True, error_model="numpy")
def _plan(grid, visits, place, wish, radius_m, look_m, ahead):
    row0, column0 = int(np.floor(place[1] / CELL_M)) + SIDE // 2, int(np.floor(place[0] / CELL_M)) + SIDE // 2
    if 0 <= row0 < SIDE and 0 <= column0 < SIDE:
        for i in range(max(0, row0 // BLOCK - 1), min(SIDE // BLOCK, row0 // BLOCK + 2)):
            for j in range(max(0, column0 // BLOCK - 1), min(SIDE // BLOCK, column0 // BLOCK + 2)):
                visits[i, j] += 0.5
        visits[row0 // BLOCK, column0 // BLOCK] += 0.5
    weight = _weights(grid, row0, column0, radius_m)
    cost, parent = _spread(weight)
    wish_row = (wish[1] - place[1]) / CELL_M + REACH
    wish_column = (wish[0] - place[0]) / CELL_M + REACH
    best, at = np.inf, REACH * _WIDTH + REACH
    for row in range(_WIDTH):
        for column in range(_WIDTH):
            inside = 0 <= row0 + row - REACH < SIDE and 0 <= column0 + column - REACH < SIDE
            if inside and cost[row, column] < _FARTHEST:
                short = np.sqrt((row - wish_row) ** 2 + (column - wish_column) ** 2)
                visited = visits[(row0 + row - REACH) // BLOCK, (column0 + column - REACH) // BLOCK]
                total = cost[row, column] / _STRAIGHT + _MISSED * short + _VISIT * visited
                if total < best:
                    best, at = total, row * _WIDTH + column
    ahead[2] = cost[at // _WIDTH, at % _WIDTH] * CELL_M / _STRAIGHT
    _walk_back(parent, weight, at, place, look_m, ahead)


@njit(cache=True, error_model="numpy")
def _weights(grid, row0, column0, radius_m):
    """Cost factor of the cells about the robot; 0 can't be entered."""
    weight = np.ones((_WIDTH, _WIDTH), np.uint8)
    hard = int(np.ceil((radius_m + _CLOSE_M) / CELL_M))
    inner, middle = (radius_m + _IN_M) / CELL_M, (radius_m + _TIGHT_M) / CELL_M
    outer = (radius_m + _CLOSE_M) / CELL_M
    for row in range(_WIDTH):
        for column in range(_WIDTH):
            r, c = row0 + row - REACH, column0 + column - REACH
            if not (0 <= r < SIDE and 0 <= c < SIDE):
                weight[row, column] = 0
            elif grid[r, c] == 0:
                weight[row, column] = _UNKNOWN
    for row in range(_WIDTH):
        for column in range(_WIDTH):
            r, c = row0 + row - REACH, column0 + column - REACH
            if not (0 <= r < SIDE and 0 <= c < SIDE) or grid[r, c] <= 0:
                continue
            for i in range(max(0, row - hard), min(_WIDTH, row + hard + 1)):
                for j in range(max(0, column - hard), min(_WIDTH, column + hard + 1)):
                    apart = np.sqrt((i - row) ** 2 + (j - column) ** 2)
                    if apart <= inner:
                        weight[i, j] = 0
                    elif apart <= outer and weight[i, j] > 0:
                        weight[i, j] = max(weight[i, j], _TIGHT if apart <= middle else _CLOSE)
    for i in range(REACH - 2, REACH + 3):  # where the robot is it can leave
        for j in range(REACH - 2, REACH + 3):
            if weight[i, j] == 0 and (i - REACH) ** 2 + (j - REACH) ** 2 <= 4:
                weight[i, j] = _TIGHT
    return weight


@njit(cache=True, error_model="numpy")
def _spread(weight):
    """Find the cheapest ways from the middle to all cells (Dijkstra with buckets of whole costs, Dial 1969)."""
    cost = np.full((_WIDTH, _WIDTH), _FARTHEST, np.int32)
    parent = np.full((_WIDTH, _WIDTH), -1, np.int32)
    spokes = 1 + _DIAGONAL * _TIGHT  # more than any step costs
    bucket = np.full(spokes, -1, np.int32)  # first of each bucket's list of cells
    follows = np.full(_WIDTH * _WIDTH * 8, -1, np.int32)
    cell_of = np.empty(_WIDTH * _WIDTH * 8, np.int32)
    used = 0
    cost[REACH, REACH] = 0
    cell_of[0], bucket[0], used = REACH * _WIDTH + REACH, 0, 1
    waiting, now = 1, 0
    while waiting > 0 and now < _FARTHEST:
        entry = bucket[now % spokes]
        if entry < 0:
            now += 1
            continue
        bucket[now % spokes] = follows[entry]
        waiting -= 1
        row, column = cell_of[entry] // _WIDTH, cell_of[entry] % _WIDTH
        if cost[row, column] != now:
            continue
        for i in range(-1, 2):
            for j in range(-1, 2):
                r, c = row + i, column + j
                if (i == 0 and j == 0) or not (0 <= r < _WIDTH and 0 <= c < _WIDTH) or weight[r, c] == 0:
                    continue
                if i != 0 and j != 0 and (weight[row, c] == 0 or weight[r, column] == 0):
                    continue
                total = now + (_STRAIGHT if i == 0 or j == 0 else _DIAGONAL) * int(weight[r, c])
                if total < cost[r, c] and used < cell_of.size:
                    cost[r, c], parent[r, c] = total, row * _WIDTH + column
                    cell_of[used], follows[used] = r * _WIDTH + c, bucket[total % spokes]
                    bucket[total % spokes] = used
                    used, waiting = used + 1, waiting + 1
    return cost, parent


@njit(cache=True, error_model="numpy")
def _walk_back(parent, weight, at, place, look_m, ahead):
    """Find the farthest point of the way, up to `look_m`, that can be gone to straight."""
    length = 0
    step = at
    while parent[step // _WIDTH, step % _WIDTH] >= 0:
        length += 1
        step = parent[step // _WIDTH, step % _WIDTH]
    ahead[0], ahead[1] = place[0], place[1]
    step = at
    for _ in range(length):
        row, column = step // _WIDTH, step % _WIDTH
        apart_m = np.sqrt((row - REACH) ** 2 + (column - REACH) ** 2) * CELL_M
        if apart_m <= look_m and (apart_m <= 0.15 or _straight(weight, row, column)):
            ahead[0] = place[0] + (column - REACH) * CELL_M
            ahead[1] = place[1] + (row - REACH) * CELL_M
            return
        step = parent[row, column]


@njit(cache=True, error_model="numpy")
def _straight(weight, row, column):
    """Tell whether the line from the middle to a cell crosses cells that can be entered alone."""
    steps = 2 * max(abs(row - REACH), abs(column - REACH))
    for k in range(1, steps + 1):
        r = int(np.rint(REACH + (row - REACH) * k / steps))
        c = int(np.rint(REACH + (column - REACH) * k / steps))
        if weight[r, c] == 0:
            return False
    return True
