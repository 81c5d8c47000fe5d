"""Acoustic fields: what is computed once per scene and once per source, and read by every pose."""

from __future__ import annotations

import zlib
from typing import NamedTuple
from weakref import WeakKeyDictionary

import numpy as np

from phonotaxis.envs.acoustics.faces import wall_faces
from phonotaxis.envs.acoustics.regions import Regions, listening_regions
from phonotaxis.envs.acoustics.tracer import trace_late_field
from phonotaxis.envs.hashing import fold, key_of
from phonotaxis.envs.scenes.geodesic import geodesic_field
from phonotaxis.envs.scenes.plan import Plan, plan_of
from phonotaxis.envs.scenes.scene import Scene, SceneError

SOUND_PASSES_OVER_M = 1.2  # lower matter doesn't send sound round the long way


class SceneSound(NamedTuple):
    """What every source of a scene shares, as kernels take it."""

    plan: Plan
    label: np.ndarray  # int32 [rows, columns], listening region; -1 in matter
    centre_m: np.ndarray  # float32 [regions, 2]
    faces: np.ndarray  # float32 [faces, 6]


class SourceField(NamedTuple):
    """What one source leaves in a scene, as kernels take it."""

    source_m: np.ndarray  # float64 [3]
    energy: np.ndarray  # float32 [regions, bins, bands]
    flow: np.ndarray  # float32 [regions, bins, 3]
    way_m: np.ndarray  # float32 [rows * columns]
    way_parent: np.ndarray  # int32 [rows * columns]
    key: np.uint64


_shared: WeakKeyDictionary[Scene, tuple[SceneSound, Regions]] = WeakKeyDictionary()


def scene_sound(scene: Scene) -> tuple[SceneSound, Regions]:
    """Return what a scene's sources share, computed once for as long as the scene lives."""
    if scene not in _shared:
        regions = listening_regions(scene)
        _shared[scene] = (
            SceneSound(plan_of(scene), regions.label, regions.centre_m, wall_faces(scene)),
            regions,
        )
    return _shared[scene]


def source_field(scene: Scene, source_m: tuple[float, float, float], length_s: float) -> SourceField:
    """Trace a source's late field and find the ways round corners to it.

    Args:
        scene: where.
        source_m: world x, y, z, metres.
        length_s: of the impulse responses.

    Raises:
        SceneError: the source is outside the scene or inside its matter.
    """
    x, y, z = (float(v) for v in source_m)
    check_in_air(scene, (x, y, z), "source")
    sound, regions = scene_sound(scene)
    scene_key = np.uint64(key_of(zlib.crc32(scene.name.encode())))
    key = np.uint64(fold(scene_key, zlib.crc32(np.array([x, y, z]).tobytes())))
    late = trace_late_field(scene, regions, (x, y, z), length_s, seed=int(key >> np.uint64(33)))
    plan = sound.plan
    passable = (plan.floor < SOUND_PASSES_OVER_M) & (plan.ceiling > SOUND_PASSES_OVER_M)
    row, column = scene.cell_of(x, y)
    rows, columns = plan.floor.shape
    if 0 < row < rows - 1 and 0 < column < columns - 1 and passable[row, column]:
        way = geodesic_field(passable, row, column, scene.cell_m)
        way_m, way_parent = way.distance_m.reshape(-1), way.parent.reshape(-1)
    else:  # on top of something tall: heard in sight and by reflection alone
        way_m = np.full(rows * columns, np.inf, dtype=np.float32)
        way_parent = np.full(rows * columns, -1, dtype=np.int32)
    return SourceField(np.array([x, y, z]), late.energy, late.flow, way_m, way_parent, key)


def check_in_air(scene: Scene, point_m: tuple[float, float, float], what: str) -> None:
    """Raise a SceneError where a point is outside the scene or inside matter."""
    x, y, z = point_m
    row, column = scene.cell_of(x, y) if np.isfinite([x, y, z]).all() else (-1, -1)
    rows, columns = scene.shape
    if not (0 <= row < rows and 0 <= column < columns):
        raise SceneError(f"the {what} at ({x:.2f}, {y:.2f}, {z:.2f}) m lies outside {scene.name}")
    low, high = float(scene.floor_m[row, column]), float(scene.ceiling_m[row, column])
    if not low <= z < high:
        air = "a wall" if low >= high else f"matter (the air there is {low:.2f} to {high:.2f} m high)"
        raise SceneError(f"the {what} at ({x:.2f}, {y:.2f}, {z:.2f}) m lies in {air}; move it into open air")
