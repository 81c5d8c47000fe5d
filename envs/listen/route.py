"""Where a walk goes: the shortest way to a source, rounded, from a start that doesn't see it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from phonotaxis.envs.acoustics.field import check_in_air
from phonotaxis.envs.listen import ListenError
from phonotaxis.envs.scenes.plan import plan_of
from phonotaxis.envs.scenes.raycast import line_of_sight
from phonotaxis.envs.scenes.scene import Scene, SceneError
from phonotaxis.envs.scenes.walk import anchor_cell, clearance_m, field_to, largest_component, walk, walkable

SPACING_M = 0.02  # between the points of a route
END_M = 0.6  # before the source: at the source itself the level has no bound
SOURCE_HEIGHT_M = 1.2
HEIGHT_M = 0.6  # of who walks, as a task's robot is by default
_COMFORTABLE_M, _NARROW_M = 0.3, 0.18  # kept from walls; the second where the first finds no way
_ROUNDING_M = (0.25, 0.18, 0.12, 0.08, 0.05)  # standard deviation of the smoothing, the smoothest first
_CLEAR_M = 0.1  # least room that rounding may leave
_SHORTEST_M = 0.5
_DRAWS = 24
EYE_M = 0.5  # height from which a start looks for the source


@dataclass(frozen=True, eq=False)
class Route:
    """A way to walk.

    Attributes:
        path_m: float64 [points, 2], world x, y, metres, evenly spaced, from the start to short of the source.
        source_m: world x, y, z of the source, metres.
        rooms: numbers of the rooms it passes, in order; a number may come again.
    """

    path_m: np.ndarray
    source_m: tuple[float, float, float]
    rooms: tuple[int, ...]

    @property
    def length_m(self) -> float:
        """Length of the walk."""
        return float(np.hypot(*np.diff(self.path_m, axis=0).T).sum())

    @property
    def doors(self) -> int:
        """How often the walk goes from one room into another."""
        return len(self.rooms) - 1


def plan_route(
    scene: Scene,
    start_m: Sequence[float] | None = None,
    source_m: Sequence[float] | None = None,
    length_m: float = 7.5,
    seed: int = 0,
) -> Route:
    """Plan the shortest walk to a source, rounded where it bends.

    What isn't given is drawn: an end about `length_m` away from the other, in another room and out of its sight where
    there is such a place.

    Args:
        scene: where.
        start_m: world x, y of the start, metres.
        source_m: world x, y of the source, or x, y, z, metres.
        length_m: wanted of a walk of which an end is drawn.
        seed: of what is drawn.

    Raises:
        SceneError: a point lies in matter, outside the plan or where nobody can go.
        ListenError: there is no walk, or none of half a metre.
    """
    rng = np.random.Generator(np.random.PCG64(seed))
    try:
        return _plan(scene, start_m, source_m, length_m, rng, _COMFORTABLE_M)
    except (SceneError, ListenError):
        return _plan(scene, start_m, source_m, length_m, rng, _NARROW_M)


def _plan(
    scene: Scene,
    start_m: Sequence[float] | None,
    source_m: Sequence[float] | None,
    length_m: float,
    rng: np.random.Generator,
    radius_m: float,
) -> Route:
    if start_m is not None:
        check_in_air(scene, (start_m[0], start_m[1], EYE_M), "start")
    if source_m is not None:
        source = _lift(scene, source_m)
        goal = anchor_cell(scene, source[0], source[1], radius_m, HEIGHT_M)
        begin = start_m if start_m is not None else scene.centre_of(*_draw_far(scene, goal, length_m, rng, radius_m))
    else:
        if start_m is not None:
            begin = start_m
            near = anchor_cell(scene, start_m[0], start_m[1], radius_m, HEIGHT_M)
            goal = _draw_far(scene, near, length_m, rng, radius_m)
        else:
            goal, first = _draw_both(scene, length_m, rng, radius_m)
            begin = scene.centre_of(*first)
        source = _lift(scene, scene.centre_of(*goal))
    way_m, points = walk(scene, tuple(begin[:2]), scene.centre_of(*goal), radius_m, HEIGHT_M)
    if not np.isfinite(way_m):
        raise ListenError(
            f"{scene.name}: no walk leads from ({begin[0]:.2f}, {begin[1]:.2f}) to ({source[0]:.2f}, {source[1]:.2f}) "
            f"m for a radius of {radius_m} m; choose ends that doors connect (`phonotaxis scene png` draws the scene)"
        )
    path = _rounded(scene, _end_before(points, source))
    return Route(path, source, _rooms_along(scene, path))


def _lift(scene: Scene, source_m: Sequence[float]) -> tuple[float, float, float]:
    """Give a source its height, that of an ear or on the furniture it stands on, and see that it is in the air."""
    x, y = float(source_m[0]), float(source_m[1])
    z = float(source_m[2]) if len(source_m) > 2 else SOURCE_HEIGHT_M
    row, column = scene.cell_of(x, y) if np.isfinite([x, y]).all() else (-1, -1)
    rows, columns = scene.shape
    if len(source_m) == 2 and 0 <= row < rows and 0 <= column < columns:
        z = min(max(z, float(scene.floor_m[row, column]) + 0.1), float(scene.ceiling_m[row, column]) - 0.05)
    check_in_air(scene, (x, y, z), "source")
    return x, y, z


def _draw_both(
    scene: Scene, length_m: float, rng: np.random.Generator, radius_m: float
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Draw a source's cell and a start's; of a few draws the one whose walk is nearest to what is wanted."""
    mask = largest_component(walkable(scene, radius_m, HEIGHT_M))
    cells = np.argwhere(mask)
    if len(cells) == 0:
        raise SceneError(f"{scene.name}: nowhere is there room to walk for a radius of {radius_m} m")
    best: tuple[float, tuple[int, int], tuple[int, int]] | None = None
    for _ in range(_DRAWS):
        row, column = (int(v) for v in cells[rng.integers(len(cells))])
        start = _draw_far(scene, (row, column), length_m, rng, radius_m)
        way_m = float(field_to(scene, row, column, radius_m, HEIGHT_M).distance_m[start])
        miss = abs(way_m - END_M - length_m) + (length_m if _same_room(scene, start, (row, column)) else 0.0)
        if best is None or miss < best[0]:
            best = miss, (row, column), start
        if miss < 0.2 * length_m:
            break
    assert best is not None
    return best[1], best[2]


def _draw_far(
    scene: Scene, cell: tuple[int, int], length_m: float, rng: np.random.Generator, radius_m: float
) -> tuple[int, int]:
    """Draw a cell whose walk to the given one is about as long as wanted: in another room, out of sight, else any."""
    distance = field_to(scene, *cell, radius_m, HEIGHT_M).distance_m
    reached = np.isfinite(distance) & walkable(scene, radius_m, HEIGHT_M)
    away = np.abs(distance - END_M - length_m)
    elsewhere = reached & (scene.room != scene.room[cell])
    allowed = elsewhere if elsewhere.any() else reached
    near = np.argwhere(allowed & (away <= 0.2 * length_m))
    rest = np.argwhere(allowed)
    by_length = rest[np.argsort(away[allowed], kind="stable")]
    for row, column in np.concatenate([rng.permutation(near)[:256], by_length[:256]]):
        found = int(row), int(column)
        if not _sees(scene, found, cell):
            return found
    return int(by_length[0, 0]), int(by_length[0, 1])


def _sees(scene: Scene, a: tuple[int, int], b: tuple[int, int]) -> bool:
    plan = plan_of(scene)
    return bool(
        line_of_sight(
            plan.floor, plan.ceiling, plan.inv, plan.ox, plan.oy,
            *scene.centre_of(*a), EYE_M, *scene.centre_of(*b), SOURCE_HEIGHT_M,
        )
    )  # fmt: skip


def _same_room(scene: Scene, a: tuple[int, int], b: tuple[int, int]) -> bool:
    return bool(scene.room[a] == scene.room[b])


def _end_before(points: np.ndarray, source_m: tuple[float, float, float]) -> np.ndarray:
    """Resample a walk evenly and leave out its end, where it comes nearer to the source than `END_M`."""
    legs_m = np.hypot(*np.diff(points, axis=0).T)
    at_m = np.concatenate([[0.0], np.cumsum(legs_m)])
    count = max(2, round(at_m[-1] / SPACING_M) + 1)
    even = np.linspace(0.0, at_m[-1], count)
    path = np.column_stack([np.interp(even, at_m, points[:, axis]) for axis in (0, 1)])
    far = np.hypot(path[:, 0] - source_m[0], path[:, 1] - source_m[1]) >= END_M
    last = int(np.flatnonzero(far)[-1]) + 1 if far.any() else 0
    if last * SPACING_M < _SHORTEST_M:
        raise ListenError(
            f"the walk from ({points[0, 0]:.2f}, {points[0, 1]:.2f}) ends {END_M} m before the source, which leaves "
            f"less than {_SHORTEST_M} m of it; begin further away"
        )
    return path[:last]


def _rounded(scene: Scene, path: np.ndarray) -> np.ndarray:
    """Round a path's bends as far as the room around it allows; its ends stay."""
    room_m = clearance_m(scene, HEIGHT_M)
    floor = min(_CLEAR_M, float(_at(scene, room_m, path).min()))
    for sigma_m in _ROUNDING_M:
        smooth = smoothed(path, sigma_m)
        if _at(scene, room_m, smooth).min() >= floor:
            return smooth
    return path


def smoothed(values: np.ndarray, sigma_m: float) -> np.ndarray:
    """Smooth what runs along a path by a Gaussian, float64 [points, ...]; the ends stay where they are."""
    sigma = sigma_m / SPACING_M
    pad = min(len(values) - 1, int(4 * sigma) + 1)
    before = 2 * values[0] - values[pad:0:-1]
    after = 2 * values[-1] - values[-2 : -pad - 2 : -1]
    long = np.concatenate([before, values, after])
    return np.asarray(ndimage.gaussian_filter1d(long, sigma, axis=0, mode="nearest")[pad : pad + len(values)])


def _at(scene: Scene, grid: np.ndarray, path: np.ndarray) -> np.ndarray:
    """Read a grid at points of a path, [points]."""
    cells = np.floor((path - scene.origin_m) / scene.cell_m).astype(int)
    return np.asarray(grid[cells[:, 1], cells[:, 0]])


def _rooms_along(scene: Scene, path: np.ndarray) -> tuple[int, ...]:
    rooms = _at(scene, scene.room, path)
    rooms = rooms[rooms >= 0]
    if rooms.size == 0:
        return (0,)
    return tuple(int(v) for v in rooms[np.concatenate([[True], np.diff(rooms) != 0])])
