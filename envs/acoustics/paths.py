"""Early paths: direct sound, the ways round corners, and mirror images at floor, ceiling and walls.

A path is a virtual point source: a position, metres travelled before it, and a gain per band. Its delay at a
microphone is exact: the extra metres plus the distance from the virtual source.

Exact are the direct sound, one mirror reflection at a wall, up to two at floor and ceiling, and one of each; and where
the source isn't seen the strongest of what comes by more walls and edges, see `echoes`. The rest is the late field's,
see `tracer`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from phonotaxis.envs.acoustics.bands import BANDS
from phonotaxis.envs.acoustics.departure import leave
from phonotaxis.envs.acoustics.echoes import ECHOES
from phonotaxis.envs.acoustics.stacks import STACKS, mirror, mirror_nearby, stacked_m
from phonotaxis.envs.acoustics.ways import MAX_WAYS, lit_level, way_over, ways_round
from phonotaxis.envs.scenes.raycast import line_of_sight

_MAX_EARLY = 64
MAX_PATHS = _MAX_EARLY + 2 * STACKS * ECHOES  # echoes of two fields where the source moves
MIN_LENGTH_M = 0.1  # a source nearer than this is heard as from here: a point source has no limit
_NUDGE_M = 1e-3
_NO_WALL = -1


class Paths(NamedTuple):
    """Room for the early paths of one pose.

    Attributes:
        position_m: float64 [MAX_PATHS, 3], virtual sources, world.
        extra_m: float64 [MAX_PATHS], metres travelled before them.
        gain: float32 [MAX_PATHS, bands], pressure relative to the source's own at 1 m.
        leaves: float64 [MAX_PATHS, 2], x and y of the unit vector in which the path leaves the source.
    """

    position_m: np.ndarray
    extra_m: np.ndarray
    gain: np.ndarray
    leaves: np.ndarray


class Surfaces(NamedTuple):
    """What a mirror reflection leaves of the pressure, float32 [materials, bands], and air's exponents, [bands]."""

    mirrored: np.ndarray
    air: np.ndarray


def empty_paths() -> Paths:
    """Allocate room for the paths of one pose."""
    gain = np.zeros((MAX_PATHS, BANDS), dtype=np.float32)
    return Paths(np.zeros((MAX_PATHS, 3)), np.zeros(MAX_PATHS), gain, np.zeros((MAX_PATHS, 2)))


@njit(cache=True, error_model="numpy")
def sees(plan, a, b):
    """Tell whether two points, float64 [3], see each other."""
    return line_of_sight(plan.floor, plan.ceiling, plan.inv, plan.ox, plan.oy, a[0], a[1], a[2], b[0], b[1], b[2])


@njit(cache=True, error_model="numpy")
def early_paths(plan, faces, edges, edge_m, edge_next, surfaces, source, listener, reach_m, paths):
    """Collect the early paths between a source and an array's centre.

    Args:
        plan: a `Plan`.
        faces: float32 [faces, 6] of `wall_faces`.
        edges: an `Edges`.
        edge_m: float32 [edges] of `ways_to_source`.
        edge_next: int32 [edges] of it.
        surfaces: a `Surfaces`.
        source: float64 [3], world, metres.
        listener: float64 [3], likewise.
        reach_m: longer mirror paths are left out.
        paths: a `Paths`, filled.

    Returns:
        The number of paths, and whether the source is in line of sight.
    """
    visible = sees(plan, listener, source)
    count = 0
    image = source.copy()
    lit = np.ones(BANDS)
    if visible:
        lit_level(plan, edges, edge_m, edge_next, source, listener, lit)
    else:
        count = _bent(plan, edges, edge_m, edge_next, surfaces, source, listener, paths)
    for stack in range(STACKS):
        image[2] = stacked_m(stack, source[2], plan.height)
        if stack == 0 and not visible:
            continue
        if _image_reaches(plan, surfaces, listener, image, _NO_WALL, 0.0, 0.0, 0, paths.gain[count]):
            for band in range(BANDS):
                paths.gain[count, band] *= lit[band]
            count = _keep(paths, count, image, listener, surfaces.air)
    return _wall_images(plan, faces, surfaces, source, listener, reach_m, paths, count), visible


@njit(cache=True, error_model="numpy", inline="always")
def _distance(a, b):
    return np.sqrt((a[0] - b[0]) ** 2 + (a[1] - b[1]) ** 2 + (a[2] - b[2]) ** 2)


@njit(cache=True, error_model="numpy")
def spread(gain, length, air):
    """Spherical spreading, and what the air takes."""
    length = max(length, MIN_LENGTH_M)
    for band in range(BANDS):
        gain[band] *= np.exp(-air[band] * length) / length


@njit(cache=True, error_model="numpy", inline="always")
def _keep(paths, count, image, listener, air):
    """Finish a path whose gain says what its surfaces leave of it; returns the count with it, unless it is full."""
    spread(paths.gain[count], _distance(image, listener), air)
    paths.position_m[count, :] = image
    paths.extra_m[count] = 0.0
    leave(paths.leaves[count], image, listener)
    return min(count + 1, _MAX_EARLY - 1)


@njit(cache=True, error_model="numpy")
def _bent(plan, edges, edge_m, edge_next, surfaces, source, listener, paths):
    """Collect the ways round corners, each with its mirror images at floor and ceiling."""
    ways_m = np.empty((MAX_WAYS, 3))  # in plan view: whole way, to its first corner, and what its bends add
    corner_xy = np.empty((MAX_WAYS, 2))
    level = np.empty((MAX_WAYS, BANDS))
    first_xy = np.empty((MAX_WAYS, 2))
    count = 0
    if way_over(plan, source, listener, level[0], paths.position_m[0]):
        top = paths.position_m[0]
        first_m = _distance(listener, top)
        paths.extra_m[0] = _distance(top, source)
        for band in range(BANDS):
            paths.gain[0, band] = level[0, band]
        spread(paths.gain[0], first_m + paths.extra_m[0], surfaces.air)
        leave(paths.leaves[0], source, top)
        return 1
    found = ways_round(plan, edges, edge_m, edge_next, source, listener, ways_m, corner_xy, first_xy, level)
    for way in range(found):
        flat_m, first_m, lag_m = ways_m[way]
        for stack in range(STACKS):
            z = stacked_m(stack, source[2], plan.height)
            gain = paths.gain[count]
            for band in range(BANDS):
                gain[band] = level[way, band]
            mirror_nearby(plan, surfaces.mirrored, stack, listener[0], listener[1], gain)
            whole_m = np.sqrt(flat_m**2 + (z - listener[2]) ** 2)
            share = first_m / flat_m
            spread(gain, whole_m, surfaces.air)
            paths.position_m[count, 0], paths.position_m[count, 1] = corner_xy[way]
            paths.position_m[count, 2] = listener[2] + (z - listener[2]) * share
            paths.extra_m[count] = whole_m * (1.0 - share) + lag_m
            dx, dy = first_xy[way, 0] - source[0], first_xy[way, 1] - source[1]
            level_share = flat_m / whole_m / max(np.hypot(dx, dy), _NUDGE_M)  # the way climbs evenly
            paths.leaves[count, 0], paths.leaves[count, 1] = dx * level_share, dy * level_share
            count += 1
    return count


@njit(cache=True, error_model="numpy")
def add_echoes(plan, surfaces, echo, echoes, weight, source_z_m, listener, paths, count):
    """Add a region's echoes to the paths of a listener in it, each with its mirror images at floor and ceiling.

    Args:
        plan: a `Plan`.
        surfaces: a `Surfaces`.
        echo: float32 [ECHOES, ECHO_FIELDS] of `find_echoes`.
        echoes: how many there are.
        weight: factor on their pressure.
        source_z_m: height of the source.
        listener: float64 [3], world.
        paths: a `Paths`, filled from `count` on.
        count: of the paths there are.

    Returns:
        The number of paths.
    """
    left = np.ones((STACKS, BANDS))
    for stack in range(1, STACKS):
        mirror_nearby(plan, surfaces.mirrored, stack, listener[0], listener[1], left[stack])
    for index in range(echoes):
        each = echo[index]
        after_m = np.hypot(each[0] - listener[0], each[1] - listener[1])
        flat_m = max(after_m + each[2], MIN_LENGTH_M)
        for stack in range(STACKS):
            rise_m = stacked_m(stack, source_z_m, plan.height) - listener[2]
            way_m = np.sqrt(flat_m**2 + rise_m**2)
            share = after_m / flat_m
            gain = paths.gain[count]
            for band in range(BANDS):
                gain[band] = weight * each[5 + band] * left[stack, band]
            spread(gain, way_m, surfaces.air)
            paths.position_m[count, 0], paths.position_m[count, 1] = each[0], each[1]
            paths.position_m[count, 2] = listener[2] + rise_m * share
            paths.extra_m[count] = way_m * (1.0 - share)
            paths.leaves[count, 0], paths.leaves[count, 1] = each[3] * flat_m / way_m, each[4] * flat_m / way_m
            count += 1
    return count


@njit(cache=True, error_model="numpy")
def _wall_images(plan, faces, surfaces, source, listener, reach_m, paths, count):
    """Mirror images at walls, alone and with one reflection at floor or ceiling."""
    image = np.empty(3)
    for index in range(faces.shape[0]):
        face = faces[index]
        axis = int(face[0])
        away_l, away_s = (listener[axis] - face[1]) * face[4], (source[axis] - face[1]) * face[4]
        if away_l <= _NUDGE_M or away_s <= _NUDGE_M:
            continue
        along = source[1 - axis] - listener[1 - axis]
        hit = listener[1 - axis] + away_l / (away_l + away_s) * along
        if hit <= face[2] or hit >= face[3] or np.hypot(away_l + away_s, along) > reach_m:
            continue
        image[axis] = 2.0 * face[1] - source[axis]
        image[1 - axis] = source[1 - axis]
        for stack in range(3):
            image[2] = stacked_m(stack, source[2], plan.height)
            reaches = _image_reaches(
                plan, surfaces, listener, image, axis, face[1], face[4], int(face[5]), paths.gain[count]
            )
            if reaches:
                before = count
                count = _keep(paths, count, image, listener, surfaces.air)
                paths.leaves[before, axis] *= -1.0  # the image is turned round at the wall
    return count


@njit(cache=True, error_model="numpy")
def _image_reaches(plan, surfaces, listener, image, axis, offset, normal, material, gain):
    """Follow the way from a listener to a mirror image through its reflections.

    Args:
        plan: a `Plan`.
        surfaces: a `Surfaces`.
        listener: float64 [3].
        image: float64 [3], mirrored at a wall and at most two horizontal planes.
        axis: of the wall it is mirrored at; -1 for none.
        offset: of that wall along its axis.
        normal: of that wall, ±1.
        material: of that wall.
        gain: float32 [bands], filled: what the surfaces leave of the pressure.

    Returns:
        Whether every leg is in the air and every reflection lies on ground, ceiling or the wall.
    """
    gain[:] = 1.0
    here, there = np.empty(3), np.empty(3)
    here[:] = listener
    rise = image[2] - listener[2]
    height = plan.height
    wall_at = 2.0
    if axis >= 0:
        wall_at = (offset - listener[axis]) / (image[axis] - listener[axis])
        mirror(gain, surfaces.mirrored[material])
    plane = height if rise > 0.0 else 0.0  # the next horizontal plane the unfolded line meets
    mirrored_wall = False
    up = rise > 0.0
    for _ in range(4):
        plane_at = (plane - listener[2]) / rise if rise != 0.0 else 2.0
        at = min(min(wall_at, plane_at), 1.0)
        for k in range(3):
            there[k] = listener[k] + at * (image[k] - listener[k])
        if mirrored_wall or (axis >= 0 and at > wall_at):
            there[axis] = 2.0 * offset - there[axis]
        there[2] = _folded_m(there[2], height)
        if at >= 1.0:
            return sees(plan, here, there)
        if at == wall_at:
            there[axis] = offset + normal * _NUDGE_M
            if not sees(plan, here, there):
                return False
            mirrored_wall, wall_at = True, 2.0
        else:
            if not _horizontal_mirror(plan, surfaces, there, up, gain) or not sees(plan, here, there):
                return False
            plane += height if rise > 0.0 else -height
            up = not up
        here[:] = there
    return False


@njit(cache=True, error_model="numpy", inline="always")
def _folded_m(z, height):
    """Return the real height of a point on an unfolded line."""
    if z < -height:
        return z + 2.0 * height
    if z < 0.0:
        return -z
    if z > 2.0 * height:
        return z - 2.0 * height
    return 2.0 * height - z if z > height else z


@njit(cache=True, error_model="numpy")
def _horizontal_mirror(plan, surfaces, point, up, gain):
    """Reflect at the open floor or at the ceiling; False where something else lies there."""
    rows, columns = plan.floor.shape
    row, column = int((point[1] - plan.oy) * plan.inv), int((point[0] - plan.ox) * plan.inv)
    if row < 0 or column < 0 or row >= rows or column >= columns:
        return False
    plane = plan.height if up else 0.0
    surface = plan.ceiling[row, column] if up else plan.floor[row, column]
    if abs(surface - plane) > 1e-6:
        return False
    point[2] = plane - _NUDGE_M if up else plane + _NUDGE_M
    material = plan.ceiling_material[row, column] if up else plan.floor_material[row, column]
    mirror(gain, surfaces.mirrored[material])
    return True
