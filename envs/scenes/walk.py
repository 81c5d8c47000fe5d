"""Where a robot can stand and how it gets from one point to another."""

from __future__ import annotations

from typing import cast

import numpy as np
from numba import njit
from scipy import ndimage

from phonotaxis.envs.scenes.geodesic import GeodesicField, geodesic_field
from phonotaxis.envs.scenes.raycast import free_line
from phonotaxis.envs.scenes.scene import Scene, SceneError

STEP_M = 0.02  # what wheels roll over, such as a carpet's edge
ANCHOR_RANGE_M = 1.5  # how far from the walkable area a goal may lie, e.g. on a wide bed
FIELDS_KEPT = 32


def clearance_m(scene: Scene, height_m: float = 0.6) -> np.ndarray:
    """Measure the room around each cell's centre.

    Args:
        scene: the scene.
        height_m: of what has to pass; whatever stands over 2 cm or hangs lower than this is in its way.

    Returns:
        float32 [rows, columns], distance from the cell's centre to the nearest edge of a blocked cell,
        metres, exact; 0 in blocked cells.
    """
    blocked = (scene.floor_m > STEP_M) | (scene.ceiling_m < height_m)
    return edge_distance(blocked) * np.float32(scene.cell_m)


def walkable(scene: Scene, radius_m: float = 0.18, height_m: float = 0.6) -> np.ndarray:
    """Tell where a disc can stand.

    Args:
        scene: the scene.
        radius_m: of the disc.
        height_m: of the body.

    Returns:
        bool [rows, columns], read-only: the clearance is at least the radius and half a cell, so the disc
        fits (but for the very corners) wherever in the cell its centre is.
    """
    key = ("walkable", radius_m, height_m)
    if key not in scene.cache:
        # Rounding must not close a gap that fits exactly, hence the micrometre.
        mask = clearance_m(scene, height_m) >= radius_m + 0.5 * scene.cell_m - 1e-6
        mask.setflags(write=False)
        scene.cache[key] = mask
    return cast(np.ndarray, scene.cache[key])


def largest_component(mask: np.ndarray) -> np.ndarray:
    """Keep the largest connected part of a mask (steps along rows and columns; ties: the first).

    Args:
        mask: bool [rows, columns].

    Returns:
        bool [rows, columns]; all False where the mask is.
    """
    labels, count = ndimage.label(mask)
    if count == 0:
        return np.zeros_like(mask, dtype=bool)
    sizes = np.bincount(labels.ravel())
    return labels == 1 + int(np.argmax(sizes[1:]))


def components(mask: np.ndarray) -> int:
    """Count the connected parts of a mask, bool [rows, columns] (steps along rows and columns)."""
    return int(ndimage.label(mask)[1])


def anchor_cell(scene: Scene, x_m: float, y_m: float, radius_m: float = 0.18, height_m: float = 0.6) -> tuple[int, int]:
    """Find the walkable cell from which a point is reached: its own, or the nearest on its side of the walls.

    Args:
        scene: the scene.
        x_m: world x of the point, which may be on furniture or close to a wall, metres.
        y_m: world y.
        radius_m: of the disc that walks.
        height_m: of it.

    Returns:
        Row and column.

    Raises:
        SceneError: the point lies outside the plan or in a wall, or nothing walkable is within 1.5 m of it.
    """
    row, column = _open_cell(scene, x_m, y_m)
    mask = walkable(scene, radius_m, height_m)
    if mask[row, column]:
        return row, column
    walls = scene.is_wall
    reach = int(np.ceil(ANCHOR_RANGE_M / scene.cell_m))
    low_r, low_c = max(row - reach, 0), max(column - reach, 0)
    cells = np.argwhere(mask[low_r : row + reach + 1, low_c : column + reach + 1]) + (low_r, low_c)
    squared = ((cells - (row, column)) ** 2).sum(axis=1)
    for index in np.argsort(squared, kind="stable"):
        r, c = int(cells[index, 0]), int(cells[index, 1])
        if free_line(walls, row, column, r, c):
            return r, c
    raise SceneError(
        f"{scene.name}: nothing walkable within {ANCHOR_RANGE_M} m of ({x_m:.2f}, {y_m:.2f}) for a radius of "
        f"{radius_m} m; choose a point nearer to open floor"
    )


def field_to(scene: Scene, row: int, column: int, radius_m: float = 0.18, height_m: float = 0.6) -> GeodesicField:
    """Return the geodesic field to a walkable cell; the last 32 of a scene are kept.

    Args:
        scene: the scene.
        row: of the goal's cell.
        column: of it.
        radius_m: of the disc that walks.
        height_m: of it.

    Raises:
        ValueError: the cell is not walkable.
    """
    key = ("field", row, column, radius_m, height_m)
    field = scene.cache.pop(key, None)
    if field is None:
        field = geodesic_field(walkable(scene, radius_m, height_m), row, column, scene.cell_m)
        kept = [old for old in scene.cache if isinstance(old, tuple) and old[0] == "field"]
        if len(kept) >= FIELDS_KEPT:
            del scene.cache[kept[0]]
    scene.cache[key] = field
    return cast(GeodesicField, field)


def walk(
    scene: Scene, a: tuple[float, ...], b: tuple[float, ...], radius_m: float = 0.18, height_m: float = 0.6
) -> tuple[float, np.ndarray]:
    """Find the shortest walk from `a` to `b`.

    Args:
        scene: the scene.
        a: world x, y of the start (further coordinates are ignored), metres.
        b: of the goal.
        radius_m: of the disc that walks.
        height_m: of it.

    Returns:
        Length in metres and way-points, float64 [points, 2], both ends included; infinity and an empty array
        where there is no walk.

    Raises:
        SceneError: an end lies in a wall, outside the plan or far from anything walkable.
    """
    start, goal = (
        anchor_cell(scene, a[0], a[1], radius_m, height_m),
        anchor_cell(scene, b[0], b[1], radius_m, height_m),
    )
    field = field_to(scene, *goal, radius_m, height_m)
    if not np.isfinite(field.distance_m[start]):
        return float("inf"), np.empty((0, 2))
    cells = way_points(field, *start)
    points = [scene.centre_of(row, column) for row, column in cells]
    # The ends stand for the centres of their own cells; an end on furniture keeps the step onto the floor.
    if start == scene.cell_of(a[0], a[1]):
        points = points[1:]
    if points and goal == scene.cell_of(b[0], b[1]):
        points = points[:-1]
    path = np.array([(a[0], a[1]), *points, (b[0], b[1])], dtype=np.float64)
    return float(np.hypot(*np.diff(path, axis=0).T).sum()), path


def way_points(field: GeodesicField, row: int, column: int) -> list[tuple[int, int]]:
    """Follow the parents from a cell to the goal and return the cells, both included; empty without a way."""
    columns = field.parent.shape[1]
    if field.parent[row, column] < 0:
        return []
    cells = [(row, column)]
    while True:
        up = int(field.parent[cells[-1]])
        nxt = (up // columns, up % columns)
        if nxt == cells[-1]:
            return cells
        cells.append(nxt)


def _open_cell(scene: Scene, x_m: float, y_m: float) -> tuple[int, int]:
    """Return a point's cell, which must be inside the plan and not a wall."""
    if not (np.isfinite(x_m) and np.isfinite(y_m)):
        raise SceneError(f"{scene.name}: the point ({x_m}, {y_m}) is not finite")
    row, column = scene.cell_of(x_m, y_m)
    rows, columns = scene.shape
    if not (0 <= row < rows and 0 <= column < columns):
        x0, y0 = scene.origin_m
        raise SceneError(
            f"{scene.name}: the point ({x_m:.2f}, {y_m:.2f}) is outside the plan, which spans x {x0:.2f} to "
            f"{x0 + columns * scene.cell_m:.2f} m and y {y0:.2f} to {y0 + rows * scene.cell_m:.2f} m"
        )
    if scene.is_wall[row, column]:
        raise SceneError(f"{scene.name}: the point ({x_m:.2f}, {y_m:.2f}) lies in a wall; choose one in open space")
    return row, column


@njit(cache=True, error_model="numpy", fastmath=False)
def edge_distance(blocked: np.ndarray) -> np.ndarray:
    """Distance from each cell's centre to the nearest blocked cell's edge, in cells, float32 [rows, columns].

    Separable: the distance to the nearest blocked cell of each column first, then outward over the columns
    until none can be nearer.
    """
    rows, columns = blocked.shape
    far = float(rows + columns)
    down = np.empty((rows, columns))
    for column in range(columns):
        gap = far
        for row in range(rows):
            gap = 0.0 if blocked[row, column] else min(gap + 1.0, far)
            down[row, column] = gap
        gap = far
        for row in range(rows - 1, -1, -1):
            gap = 0.0 if blocked[row, column] else min(gap + 1.0, far)
            down[row, column] = min(down[row, column], gap)
    out = np.empty((rows, columns), np.float32)
    for row in range(rows):
        for column in range(columns):
            best = max(down[row, column] - 0.5, 0.0) ** 2
            for away in range(1, columns):
                across = (away - 0.5) ** 2
                if across >= best:
                    break
                if column - away >= 0:
                    best = min(best, across + max(down[row, column - away] - 0.5, 0.0) ** 2)
                if column + away < columns:
                    best = min(best, across + max(down[row, column + away] - 0.5, 0.0) ** 2)
            out[row, column] = np.sqrt(best)
    return out
