"""Vertical edges that bend sound: corners and wall ends, and the shortest ways over them.

Sound that doesn't see its listener comes round the corners of what stands higher than `SOUND_PASSES_OVER_M`. The
edges of a scene and what they see of each other are found once; each source adds how far it is from every edge.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from phonotaxis.envs.acoustics.bands import BANDS
from phonotaxis.envs.scenes.materials import absorption_table
from phonotaxis.envs.scenes.plan import Plan
from phonotaxis.envs.scenes.raycast import line_of_sight

SOUND_PASSES_OVER_M = 1.2  # lower matter doesn't send sound round the long way
THIN_M = 0.35  # a wall end no thicker is one edge of a half-plane
_NUDGE_M = 1e-3
MAX_EDGES = 400  # a noisy map has thousands of steps; they are thinned out
RIGHT_ANGLE_RAD = 1.5 * np.pi
HALF_PLANE_RAD = 2.0 * np.pi
UNREACHED = -2
FROM_SOURCE = -1


class Edges(NamedTuple):
    """The edges of a scene.

    Attributes:
        at_m: float64 [edges, 2], world x, y.
        open_m: float64 [edges, 2, 2], two points in the air beside it, from which it sees and is seen.
        start_rad: float64 [edges], azimuth at which the air begins, counter-clockwise.
        exterior_rad: float64 [edges], angle that the air fills.
        mirror: float32 [edges, bands], pressure that its faces send back.
        top_m: float64 [edges], height of what it is the edge of; infinite where no air is above.
        between_m: float32 [edges, edges], distances of those that see each other, infinite for the others.
    """

    at_m: np.ndarray
    open_m: np.ndarray
    start_rad: np.ndarray
    exterior_rad: np.ndarray
    mirror: np.ndarray
    top_m: np.ndarray
    between_m: np.ndarray


def scene_edges(plan: Plan, absorption_scale: float = 1.0) -> Edges:
    """Find the edges of a scene, of its plan and the factor on what its materials absorb."""
    tall = ~((plan.floor < SOUND_PASSES_OVER_M) & (plan.ceiling > SOUND_PASSES_OVER_M))
    corners = _corners(tall, plan)
    ends, used = _wall_ends(corners, plan.cell)
    rest = [corner for index, corner in enumerate(corners) if index not in used]
    spacing = 1.5 * plan.cell
    chosen = _thinned(ends + rest, spacing)
    while len(chosen) > MAX_EDGES:
        spacing *= 1.5
        chosen = _thinned(chosen, spacing)
    at = np.array([edge.at_m for edge in chosen]).reshape(-1, 2)
    open_m = np.array([edge.open_m for edge in chosen]).reshape(-1, 2, 2)
    between = np.full((len(chosen), len(chosen)), np.inf, dtype=np.float32)
    _link(plan, at, open_m, between)
    material = np.array([edge.material for edge in chosen], dtype=np.int64)
    return Edges(
        at,
        open_m,
        np.array([edge.start_rad for edge in chosen]),
        np.array([edge.exterior_rad for edge in chosen]),
        np.sqrt(1.0 - absorption_table(absorption_scale)[material]).reshape(-1, BANDS).astype(np.float32),
        np.array([edge.top_m for edge in chosen]),
        between,
    )


def ways_to_source(plan: Plan, edges: Edges, source_m: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find the shortest way from every edge to a source.

    Args:
        plan: of the scene.
        edges: of the scene.
        source_m: float64 [3], world.

    Returns:
        float32 [edges], its length in plan view, metres, infinite where there is none; and int32 [edges], the next
        edge on it, `FROM_SOURCE` where the edge sees the source, `UNREACHED` without a way.
    """
    count = len(edges.at_m)
    edge_m, edge_next = np.empty(count, dtype=np.float32), np.empty(count, dtype=np.int32)
    find_ways(plan, edges, source_m, edge_m, edge_next)
    return edge_m, edge_next


@njit(cache=True, error_model="numpy")
def find_ways(plan, edges, source_m, edge_m, edge_next):
    """Fill `ways_to_source` (Dijkstra 1959, over a graph so dense that a heap would not pay)."""
    count = edge_m.size
    z = sight_m(plan, source_m[0], source_m[1])
    open_ended = np.ones(count, dtype=np.bool_)
    for edge in range(count):
        edge_m[edge], edge_next[edge] = np.inf, UNREACHED
        if edge_seen(plan, edges.open_m[edge], source_m[0], source_m[1], z):
            edge_m[edge] = np.hypot(edges.at_m[edge, 0] - source_m[0], edges.at_m[edge, 1] - source_m[1])
            edge_next[edge] = FROM_SOURCE
    for _ in range(count):
        nearest = -1
        for edge in range(count):
            if open_ended[edge] and (nearest < 0 or edge_m[edge] < edge_m[nearest]):
                nearest = edge
        if not np.isfinite(edge_m[nearest]):
            break
        open_ended[nearest] = False
        for edge in range(count):
            over = edge_m[nearest] + edges.between_m[nearest, edge]
            if open_ended[edge] and over < edge_m[edge]:
                edge_m[edge], edge_next[edge] = over, nearest


class _Edge(NamedTuple):
    at_m: tuple[float, float]
    open_m: tuple[tuple[float, float], tuple[float, float]]
    start_rad: float
    exterior_rad: float
    material: int
    quadrant: int
    top_m: float


def _corners(tall: np.ndarray, plan: Plan) -> list[_Edge]:
    """Find the grid points where one of four cells is tall: corners of 270 degrees of air."""
    lower_left, lower_right = tall[:-1, :-1], tall[:-1, 1:]
    upper_left, upper_right = tall[1:, :-1], tall[1:, 1:]
    alone = lower_left.astype(int) + lower_right + upper_left + upper_right == 1
    found = []
    # Quadrants counter-clockwise from x > 0, y > 0, with the offset of their cell from the lower left one.
    for quadrant, (cells, up, right) in enumerate(
        ((upper_right, 1, 1), (upper_left, 1, 0), (lower_left, 0, 0), (lower_right, 0, 1))
    ):
        for row, column in np.argwhere(alone & cells):
            x, y = plan.ox + (column + 1) * plan.cell, plan.oy + (row + 1) * plan.cell
            away = np.pi / 4 + quadrant * np.pi / 2 + np.pi
            beside = (x + 0.7 * plan.cell * np.cos(away), y + 0.7 * plan.cell * np.sin(away))
            material = int(plan.side_material[row + up, column + right])
            start = (quadrant + 1) * np.pi / 2
            top_m = _top_m(plan, row + up, column + right)
            found.append(_Edge((x, y), (beside, beside), start, RIGHT_ANGLE_RAD, material, quadrant, top_m))
    return found


def _top_m(plan: Plan, row: int, column: int) -> float:
    """Return how high a cell's matter reaches from below, infinite where no air is above that or it hangs down."""
    floor_m, ceiling_m = float(plan.floor[row, column]), float(plan.ceiling[row, column])
    return floor_m if SOUND_PASSES_OVER_M <= floor_m < ceiling_m else np.inf


def _wall_ends(corners: list[_Edge], cell_m: float) -> tuple[list[_Edge], set[int]]:
    """Join pairs of corners that are the end of a thin wall into the edge of a half-plane between them."""
    place = {(round(edge.at_m[0] / cell_m, 3), round(edge.at_m[1] / cell_m, 3)): k for k, edge in enumerate(corners)}
    ends: list[_Edge] = []
    used: set[int] = set()
    for index, edge in enumerate(corners):
        x, y = edge.at_m
        azimuth = edge.quadrant * np.pi / 2  # along the face that its quadrant's first side makes
        for thickness in range(1, int(THIN_M / cell_m + 1e-6) + 1):
            at = (
                round((x + thickness * cell_m * np.cos(azimuth)) / cell_m, 3) + 0.0,
                round((y + thickness * cell_m * np.sin(azimuth)) / cell_m, 3) + 0.0,
            )
            other = place.get(at)
            if other is None:
                continue
            if corners[other].quadrant == (edge.quadrant + 1) % 4 and index not in used and other not in used:
                far = corners[other]
                middle = ((x + far.at_m[0]) / 2, (y + far.at_m[1]) / 2)
                into = azimuth + np.pi / 2
                sides = (edge.open_m[0], far.open_m[0])
                top_m = max(edge.top_m, far.top_m)
                ends.append(_Edge(middle, sides, into, HALF_PLANE_RAD, edge.material, edge.quadrant, top_m))
                used |= {index, other}
            break
    return ends, used


def _thinned(edges: list[_Edge], spacing_m: float) -> list[_Edge]:
    """Leave out edges that stand closer than a spacing to one that is kept."""
    kept: list[_Edge] = []
    taken: dict[tuple[int, int], list[tuple[float, float]]] = {}
    for edge in edges:
        x, y = edge.at_m
        home = (int(np.floor(x / spacing_m)), int(np.floor(y / spacing_m)))
        near = [
            point
            for row in (-1, 0, 1)
            for column in (-1, 0, 1)
            for point in taken.get((home[0] + row, home[1] + column), [])
        ]
        if all(np.hypot(x - px, y - py) >= spacing_m - 1e-9 for px, py in near):
            kept.append(edge)
            taken.setdefault(home, []).append((x, y))
    return kept


@njit(cache=True, error_model="numpy")
def sight_m(plan, x, y):
    """Return the height at which a place within the plan is looked for: that of what sound passes over.

    Where that is solid it is just over what stands there, or just under what hangs there.
    """
    row, column = int((y - plan.oy) * plan.inv), int((x - plan.ox) * plan.inv)
    low, high = float(plan.floor[row, column]), float(plan.ceiling[row, column])
    if low >= SOUND_PASSES_OVER_M:
        return min(low + _NUDGE_M, 0.5 * (low + high))
    return SOUND_PASSES_OVER_M if high > SOUND_PASSES_OVER_M else max(high - _NUDGE_M, 0.5 * (low + high))


@njit(cache=True, error_model="numpy")
def edge_seen(plan, open_m, x, y, z=SOUND_PASSES_OVER_M):
    """Tell whether an edge sees a place above what sound passes over.

    Args:
        plan: a `Plan`.
        open_m: float64 [2, 2] of the edge, or a place twice.
        x: of the place.
        y: likewise.
        z: `sight_m` of what stands on something taller, if either does. Both are looked for at that height: a line
            that sinks would strike what is stood on.
    """
    for side in range(2):
        a, b = open_m[side]
        if line_of_sight(plan.floor, plan.ceiling, plan.inv, plan.ox, plan.oy, a, b, z, x, y, z):
            return True
        if open_m[0, 0] == open_m[1, 0] and open_m[0, 1] == open_m[1, 1]:
            return False
    return False


@njit(cache=True, error_model="numpy")
def _link(plan, at_m, open_m, between_m):
    """Fill the distances of edges that see each other."""
    for first in range(at_m.shape[0]):
        for second in range(first):
            seen = False
            for side in range(2):
                if edge_seen(plan, open_m[first], open_m[second, side, 0], open_m[second, side, 1]):
                    seen = True
                    break
            if seen:
                apart = np.hypot(at_m[first, 0] - at_m[second, 0], at_m[first, 1] - at_m[second, 1])
                between_m[first, second] = between_m[second, first] = apart
