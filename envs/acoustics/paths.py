"""Early paths: direct sound, the way round corners, and single mirror images at floor, ceiling and walls.

A path is a virtual point source: a position, metres travelled before it, and a gain per band. Its delay at a
microphone is exact: the extra metres plus the distance from the virtual source.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from phonotaxis.envs.acoustics.air import SPEED_OF_SOUND_MPS
from phonotaxis.envs.acoustics.bands import BANDS
from phonotaxis.envs.scenes.materials import OCTAVE_BANDS_HZ
from phonotaxis.envs.scenes.raycast import line_of_sight

MAX_PATHS = 48
MIN_LENGTH_M = 0.1  # a source nearer than this is heard as from here: a point source has no limit
_MAX_BENDS = 24
_SAME_CORNER_M = 0.35  # way-points closer than this are one obstacle's end
_NUDGE_M = 1e-3
_WAVELENGTH_M = SPEED_OF_SOUND_MPS / np.array(OCTAVE_BANDS_HZ)


class Paths(NamedTuple):
    """Room for the early paths of one pose.

    Attributes:
        position_m: float64 [MAX_PATHS, 3], virtual sources, world.
        extra_m: float64 [MAX_PATHS], metres travelled before them.
        gain: float32 [MAX_PATHS, bands], pressure relative to the source's own at 1 m.
    """

    position_m: np.ndarray
    extra_m: np.ndarray
    gain: np.ndarray


class Surfaces(NamedTuple):
    """What surfaces and air take: float32 [materials, bands], [materials], [bands] (exponent per metre)."""

    absorb: np.ndarray
    scatter: np.ndarray
    air: np.ndarray


def empty_paths() -> Paths:
    """Allocate room for the paths of one pose."""
    return Paths(np.zeros((MAX_PATHS, 3)), np.zeros(MAX_PATHS), np.zeros((MAX_PATHS, BANDS), dtype=np.float32))


@njit(cache=True, error_model="numpy")
def sees(plan, a, b):
    """Tell whether two points, float64 [3], see each other."""
    return line_of_sight(plan.floor, plan.ceiling, plan.inv, plan.ox, plan.oy, a[0], a[1], a[2], b[0], b[1], b[2])


@njit(cache=True, error_model="numpy")
def early_paths(plan, faces, way_m, way_parent, surfaces, source, listener, reach_m, paths):
    """Collect the early paths between a source and an array's centre.

    Args:
        plan: a `Plan`.
        faces: float32 [faces, 6] of `wall_faces`.
        way_m: float32 [rows * columns], length of the way round corners to the source.
        way_parent: int32 [rows * columns], the next way-point.
        surfaces: a `Surfaces`.
        source: float64 [3], world, metres.
        listener: float64 [3], likewise.
        reach_m: longer mirror paths are left out.
        paths: a `Paths`, filled.

    Returns:
        The number of paths, and whether the source is in line of sight.
    """
    visible = sees(plan, listener, source)
    if visible:
        paths.position_m[0, :] = source
        paths.extra_m[0] = 0.0
        paths.gain[0, :] = 1.0
        _spread(paths.gain[0], _distance(listener, source), surfaces.air)
        count = 1
    else:
        count = _way_round(plan, way_m, way_parent, surfaces.air, source, listener, paths)
    count = _horizontal_images(plan, surfaces, source, listener, paths, count)
    count = _wall_images(plan, faces, surfaces, source, listener, reach_m, paths, count)
    return count, visible


@njit(cache=True, error_model="numpy", inline="always")
def _distance(a, b):
    return np.sqrt((a[0] - b[0]) ** 2 + (a[1] - b[1]) ** 2 + (a[2] - b[2]) ** 2)


@njit(cache=True, error_model="numpy")
def _spread(gain, length, air):
    """Spherical spreading, and what the air takes."""
    length = max(length, MIN_LENGTH_M)
    for band in range(BANDS):
        gain[band] *= np.exp(-air[band] * length) / length


@njit(cache=True, error_model="numpy")
def _mirror(gain, material, surfaces):
    """Amplitude of a mirror reflection: what is neither absorbed nor scattered."""
    for band in range(BANDS):
        gain[band] = np.sqrt((1.0 - surfaces.absorb[material, band]) * (1.0 - surfaces.scatter[material]))


@njit(cache=True, error_model="numpy")
def _way_round(plan, way_m, way_parent, air, source, listener, paths):
    """Find the shortest way round corners, as a virtual source at the last corner before the listener.

    Each bend loses after Maekawa (1968), 10 lg(3 + 20 N) at the first and 10 lg(1 + 20 N) at further ones, where N
    is the detour by the bend in half wavelengths; the way's height falls evenly along it.
    """
    columns = plan.floor.shape[1]
    row, column = int((listener[1] - plan.oy) * plan.inv), int((listener[0] - plan.ox) * plan.inv)
    cell = row * columns + column
    if way_parent[cell] < 0:
        return 0
    corner = np.empty((_MAX_BENDS + 2, 3))
    corner[0, :] = listener
    kept = 1
    while kept <= _MAX_BENDS:
        parent = way_parent[cell]
        if parent < 0 or parent == cell or way_parent[parent] == parent:
            break
        cell = parent
        x = plan.ox + (cell % columns + 0.5) * plan.cell
        y = plan.oy + (cell // columns + 0.5) * plan.cell
        if kept > 1 and np.hypot(x - corner[kept - 1, 0], y - corner[kept - 1, 1]) < _SAME_CORNER_M:
            continue
        corner[kept, 0], corner[kept, 1] = x, y
        kept += 1
    corner[kept, :] = source
    flat = 0.0
    for k in range(kept):
        flat += np.hypot(corner[k + 1, 0] - corner[k, 0], corner[k + 1, 1] - corner[k, 1])
    along = 0.0
    for k in range(1, kept):
        along += np.hypot(corner[k, 0] - corner[k - 1, 0], corner[k, 1] - corner[k - 1, 1])
        corner[k, 2] = listener[2] + (source[2] - listener[2]) * along / max(flat, 1e-6)
    total = 0.0
    for k in range(kept):
        total += _distance(corner[k], corner[k + 1])
    gain = paths.gain[0]
    gain[:] = 1.0
    for k in range(1, kept):
        detour = _distance(corner[k - 1], corner[k]) + _distance(corner[k], corner[k + 1])
        detour -= _distance(corner[k - 1], corner[k + 1])
        base = 3.0 if k == 1 else 1.0
        for band in range(BANDS):
            gain[band] /= np.sqrt(base + 40.0 * max(detour, 0.0) / _WAVELENGTH_M[band])
    if kept == 1:  # something low stands between: a grazing edge
        gain[:] = 1.0 / np.sqrt(3.0)
    _spread(gain, total, air)
    paths.position_m[0, :] = corner[1]
    paths.extra_m[0] = total - _distance(corner[0], corner[1])
    return 1


@njit(cache=True, error_model="numpy")
def _horizontal_images(plan, surfaces, source, listener, paths, count):
    """Mirror images at the open floor and at the ceiling."""
    rows, columns = plan.floor.shape
    point = np.empty(3)
    for up in range(2):
        plane = plan.height if up else 0.0
        away_l, away_s = abs(listener[2] - plane), abs(source[2] - plane)
        if away_l <= _NUDGE_M or away_s <= _NUDGE_M:
            continue
        share = away_l / (away_l + away_s)
        point[0] = listener[0] + share * (source[0] - listener[0])
        point[1] = listener[1] + share * (source[1] - listener[1])
        point[2] = plane - _NUDGE_M if up else plane + _NUDGE_M
        row, column = int((point[1] - plan.oy) * plan.inv), int((point[0] - plan.ox) * plan.inv)
        if row < 0 or column < 0 or row >= rows or column >= columns:
            continue
        surface = plan.ceiling[row, column] if up else plan.floor[row, column]
        if abs(surface - plane) > 1e-6 or not sees(plan, listener, point) or not sees(plan, point, source):
            continue
        paths.position_m[count, :] = source
        paths.position_m[count, 2] = 2.0 * plane - source[2]
        paths.extra_m[count] = 0.0
        material = plan.ceiling_material[row, column] if up else plan.floor_material[row, column]
        _mirror(paths.gain[count], material, surfaces)
        _spread(paths.gain[count], _distance(listener, paths.position_m[count]), surfaces.air)
        count += 1
    return count


@njit(cache=True, error_model="numpy")
def _wall_images(plan, faces, surfaces, source, listener, reach_m, paths, count):
    """Mirror images at walls, where both legs are in line of sight."""
    point = np.empty(3)
    for index in range(faces.shape[0]):
        face = faces[index]
        axis = int(face[0])
        away_l, away_s = (listener[axis] - face[1]) * face[4], (source[axis] - face[1]) * face[4]
        if away_l <= _NUDGE_M or away_s <= _NUDGE_M:
            continue
        share = away_l / (away_l + away_s)
        point[1 - axis] = listener[1 - axis] + share * (source[1 - axis] - listener[1 - axis])
        if point[1 - axis] <= face[2] or point[1 - axis] >= face[3]:
            continue
        along = source[1 - axis] - listener[1 - axis]
        total = np.sqrt((away_l + away_s) ** 2 + along**2 + (listener[2] - source[2]) ** 2)
        if total > reach_m:
            continue
        point[axis] = face[1] + _NUDGE_M * face[4]
        point[2] = listener[2] + share * (source[2] - listener[2])
        if not sees(plan, listener, point) or not sees(plan, point, source):
            continue
        paths.position_m[count, :] = source
        paths.position_m[count, axis] = 2.0 * face[1] - source[axis]
        paths.extra_m[count] = 0.0
        _mirror(paths.gain[count], int(face[5]), surfaces)
        _spread(paths.gain[count], total, surfaces.air)
        count += 1
        if count == MAX_PATHS:
            break
    return count
