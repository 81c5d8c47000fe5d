"""Which air of a rasterised mesh is the scene: what connects with the floor that a robot can drive on."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from scipy import ndimage

from phonotaxis.envs.scenes.rasterise import Gaps
from phonotaxis.envs.scenes.scene import SceneError
from phonotaxis.envs.scenes.walk import edge_distance, largest_component

LEAST_AIR_M = 0.1  # lower gaps are joints, shelves and slabs' insides
LEVEL_M = 0.05  # unevenness of one floor: scans, sills, rugs
STANDING_M = 1.8  # under this a person doesn't walk: the lower part is furniture, the air is above it
OPEN_CEILING_M = 2.6  # over meshes that have none
TO_CEILING_M = 0.3  # matter that ends this close under a ceiling which the mesh doesn't have reaches it
SMALL_HOLE_M2 = 0.1  # missing triangles of a floor; a larger hole is a stairwell
KERB_M = 0.1  # around what one can fall into: heard and seen over, never driven over


class AirOptions(NamedTuple):
    """What the choice depends on; None is found."""

    robot_radius_m: float
    robot_height_m: float
    floor_z_m: float | None
    ceiling_m: float | None


class Air(NamedTuple):
    """The open part of the plan; grids are [rows, columns], heights in metres above the floor."""

    floor_z_m: float  # height of the floor in the mesh
    covered: float  # share of the floor over which the mesh has a ceiling, 0..1
    open_ceiling_m: float  # where it has none
    floor_m: np.ndarray  # float32
    ceiling_m: np.ndarray  # float32; walls: equal to floor_m
    below: np.ndarray  # int32, triangle of the face that looks up, -1 with none
    above: np.ndarray  # int32, triangle of the face that looks down, -1 with none


class _Nodes(NamedTuple):
    """The gaps as the choice sees them; all arrays are [gaps], heights above the floor."""

    cell: np.ndarray
    low_m: np.ndarray  # float32
    high_m: np.ndarray  # float32
    ground: np.ndarray  # bool, holds the air right above the floor's level; at most one of a cell
    usable: np.ndarray  # bool


def find_air(
    name: str, gaps: Gaps, normal_z: np.ndarray, shape: tuple[int, int], cell_m: float, options: AirOptions
) -> Air:
    """Choose one interval of air for each cell.

    The floor is the level with the most room to stand on, of which the largest part that a robot can drive
    over is kept. Of the air that connects with it a cell has the gap over the floor, where a person could
    stand in it, and the highest one otherwise: a table is solid up to its top, a wall shelf hangs down.
    What doesn't connect is wall.

    Args:
        name: of the scene; opens every error.
        gaps: of the mesh over the cells, with an empty ring around it.
        normal_z: float64 [triangles], upward share of each triangle's unit normal, -1..1.
        shape: rows and columns.
        cell_m: edge of a cell.
        options: of the robot and the building.

    Raises:
        SceneError: there is no floor on which the robot can stand.
    """
    floor_z = options.floor_z_m
    if floor_z is None:
        floor_z = _floor_level(name, gaps, normal_z, options.robot_height_m)
    covered, open_ceiling, highest = _ceilings(gaps, floor_z, options)
    nodes = _nodes(gaps, floor_z, open_ceiling, highest)
    _mend_floor(nodes, shape, cell_m, fill_all=options.floor_z_m is not None)
    start = _drivable(nodes, shape, cell_m, options)
    if not start.any():
        raise SceneError(_nowhere(name, gaps, nodes, floor_z, cell_m, options))
    reached = start.copy()
    _flood(gaps.first, gaps.cell, nodes.low_m, nodes.high_m, nodes.usable, reached, shape[1])
    chosen = _chosen(nodes, reached, max(STANDING_M, options.robot_height_m))
    return Air(floor_z, covered, open_ceiling, *_grids(gaps, nodes, chosen, shape))


def _floor_level(name: str, gaps: Gaps, normal_z: np.ndarray, robot_height_m: float) -> float:
    """Return the height with the most room to stand, metres: under ceilings first, on faces that look up first."""
    height = gaps.high_m - gaps.low_m
    index = np.flatnonzero(np.isfinite(gaps.low_m) & (height >= robot_height_m))
    if len(index) == 0:
        raise SceneError(
            f"{name}: no level with {robot_height_m} m of air above it; is the unit or the axis that is up another "
            "(options unit_m, up)?"
        )
    below, above = gaps.below[index], gaps.above[index]
    upright = (normal_z[below] > 0.0) & ((above < 0) | (normal_z[above] < 0.0))
    # The inside of a block and a room differ only in where their faces look, which many files have wrong; a
    # roof and a floor only in what is above them. A box that is turned out is still more of a room than of a roof.
    weight = np.where(above >= 0, np.where(upright, 1.0, 0.2), np.where(upright, 0.15, 0.05))
    weight[(above >= 0) & (height[index] < STANDING_M)] *= 0.1
    order = np.argsort(gaps.low_m[index], kind="stable")
    low, total = gaps.low_m[index][order].astype(np.float64), np.append(0.0, np.cumsum(weight[order]))
    end = np.searchsorted(low, low + 2 * LEVEL_M, side="right")
    first = int(np.argmax(total[end] - total[:-1]))
    middle = 0.5 * (total[first] + total[end[first]])
    return float(low[np.searchsorted(total, middle, side="left") - 1])


def _ceilings(gaps: Gaps, floor_z_m: float, options: AirOptions) -> tuple[float, float, float]:
    """Return the covered share of the floor, the height where it is not covered, and the greatest to keep."""
    low, high = gaps.low_m - floor_z_m, gaps.high_m - floor_z_m
    floor = (np.abs(low) <= LEVEL_M) & (high >= options.robot_height_m)
    heights = high[floor & np.isfinite(high) & (high >= STANDING_M)]
    covered = len(heights) / max(int(floor.sum()), 1)
    open_ceiling = options.ceiling_m or OPEN_CEILING_M
    if options.ceiling_m is None and covered >= 0.5:
        open_ceiling = float(np.median(heights))  # a hole in a ceiling
    # One cell under a chimney or a crack must not make the whole scene high.
    highest = float(np.quantile(heights, 0.99, method="nearest")) if len(heights) else 0.0
    return covered, open_ceiling, max(open_ceiling, highest)


def _nodes(gaps: Gaps, floor_z_m: float, open_ceiling_m: float, highest_m: float) -> _Nodes:
    low = (gaps.low_m - np.float32(floor_z_m)).astype(np.float32)
    high = np.minimum(gaps.high_m - np.float32(floor_z_m), np.float32(highest_m)).astype(np.float32)
    sky = ~np.isfinite(gaps.high_m)
    high[sky] = open_ceiling_m
    ground = (low <= LEVEL_M) & (high >= 2 * TO_CEILING_M)
    low[ground & (np.abs(low) <= LEVEL_M)] = 0.0
    low[~ground & np.isfinite(low)] = np.maximum(low[~ground & np.isfinite(low)], 0.0)
    least = np.where(sky & ~ground, np.float32(TO_CEILING_M), np.float32(LEAST_AIR_M))
    return _Nodes(gaps.cell, low, high, ground, (high - low >= least) & (high > 0.0))


def _mend_floor(nodes: _Nodes, shape: tuple[int, int], cell_m: float, fill_all: bool) -> None:
    """Close holes of the floor in place, put a kerb where one falls, and shut what has no ground at all.

    Args:
        nodes: changed in place.
        shape: rows and columns.
        cell_m: edge of a cell.
        fill_all: where nothing is below at all, take the floor's level for the ground.
    """
    index = np.flatnonzero(nodes.ground & (nodes.low_m < -LEVEL_M))
    hole, bottomless = np.zeros(shape, bool), np.zeros(shape, bool)
    hole.flat[nodes.cell[index]] = True
    bottomless.flat[nodes.cell[index]] = np.isinf(nodes.low_m[index])
    labels, count = ndimage.label(bottomless)
    rim = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    outside = bottomless & np.isin(labels, np.unique(rim))
    labels, count = ndimage.label(hole & ~outside)
    small = (np.bincount(labels.ravel(), minlength=count + 1) * cell_m**2 <= SMALL_HOLE_M2)[labels] & ~outside
    filled = small | (bottomless & ~outside if fill_all else False)
    cells = nodes.cell[index]
    nodes.low_m[index] = np.where(filled.flat[cells], np.float32(0.0), np.float32(KERB_M))
    nodes.usable[index[outside.flat[cells]]] = False
    nodes.usable[~np.isfinite(nodes.low_m)] = False


def _drivable(nodes: _Nodes, shape: tuple[int, int], cell_m: float, options: AirOptions) -> np.ndarray:
    """Bool [gaps]: over the part of the floor in which the robot has the most cells to stand in."""
    index = np.flatnonzero(
        nodes.ground & nodes.usable & (nodes.low_m == 0.0) & (nodes.high_m >= options.robot_height_m)
    )
    mask = np.zeros(shape, bool)
    mask.flat[nodes.cell[index]] = True
    room = edge_distance(~mask) * np.float32(cell_m) >= options.robot_radius_m + 0.5 * cell_m - 1e-6
    best = largest_component(room)
    out = np.zeros(len(nodes.cell), bool)
    if best.any():
        labels, _ = ndimage.label(mask)
        row, column = np.argwhere(best)[0]
        out[index] = (labels == labels[row, column]).flat[nodes.cell[index]]
    return out


@njit(cache=True, error_model="numpy", fastmath=False)
def _flood(
    first: np.ndarray,
    cell: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    usable: np.ndarray,
    reached: np.ndarray,
    columns: int,
) -> None:
    """Spread over gaps of neighbouring cells that share at least `LEAST_AIR_M` of height, in place.

    The outermost ring of cells must hold no usable gap.
    """
    stack = np.empty(len(cell), np.int64)
    depth = 0
    for node in range(len(cell)):
        if reached[node]:
            stack[depth] = node
            depth += 1
    steps = (1, -1, columns, -columns)
    while depth > 0:
        depth -= 1
        node = stack[depth]
        for step in steps:
            beside = cell[node] + step
            for other in range(first[beside], first[beside + 1]):
                if reached[other] or not usable[other]:
                    continue
                if min(high[node], high[other]) - max(low[node], low[other]) >= LEAST_AIR_M - 1e-6:
                    reached[other] = True
                    stack[depth] = other
                    depth += 1


def _chosen(nodes: _Nodes, reached: np.ndarray, standing_m: float) -> np.ndarray:
    """Return the index of one gap for each cell that has a reached one, int64 [open cells]."""
    index = np.flatnonzero(reached)
    height = nodes.high_m[index] - nodes.low_m[index]
    first = nodes.ground[index] & (height >= standing_m - 1e-6)
    order = np.lexsort((height, first, nodes.cell[index]))
    cells = nodes.cell[index][order]
    last = np.append(cells[1:] != cells[:-1], True)
    return index[order[last]]


def _grids(
    gaps: Gaps, nodes: _Nodes, chosen: np.ndarray, shape: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    height = nodes.high_m[chosen].max()
    floor, ceiling = np.full(shape, height, np.float32), np.full(shape, height, np.float32)
    below, above = np.full(shape, -1, np.int32), np.full(shape, -1, np.int32)
    cells = nodes.cell[chosen]
    floor.flat[cells], ceiling.flat[cells] = nodes.low_m[chosen], nodes.high_m[chosen]
    below.flat[cells], above.flat[cells] = gaps.below[chosen], gaps.above[chosen]
    return floor, ceiling, below, above


def _nowhere(name: str, gaps: Gaps, nodes: _Nodes, floor_z_m: float, cell_m: float, options: AirOptions) -> str:
    """Say what was found where a robot can't stand."""
    over = nodes.ground & nodes.usable & (nodes.low_m == 0.0)
    area_m2 = float(over.sum()) * cell_m**2
    air_m = float(nodes.high_m[over].max(initial=0.0))
    levels = gaps.low_m[np.isfinite(gaps.low_m)]
    span = f"{levels.min():.2f} to {levels.max():.2f} m" if len(levels) else "no height at all"
    return (
        f"{name}: nowhere can a robot of {options.robot_radius_m} m radius and {options.robot_height_m} m height "
        f"stand: the floor at z = {floor_z_m:.2f} m has {area_m2:.2f} m2 with up to {air_m:.2f} m of air above it, "
        f"and faces are found at {span}; check the options up, unit_m, floor_z_m and cell_m"
    )
