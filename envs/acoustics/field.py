"""Acoustic fields: what is computed once per scene and once per source, and read by every pose."""

from __future__ import annotations

import zlib
from typing import NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
from numba import njit

from phonotaxis.envs.acoustics.echoes import find_echoes, take_out
from phonotaxis.envs.acoustics.edges import Edges, edge_seen, scene_edges, sight_m, ways_to_source
from phonotaxis.envs.acoustics.energy_codes import encode
from phonotaxis.envs.acoustics.faces import wall_faces
from phonotaxis.envs.acoustics.mirrors import MOST_FACES, Heard, Images, heard_in, images_of_edges
from phonotaxis.envs.acoustics.regions import Regions, heard_regions, listening_regions
from phonotaxis.envs.acoustics.source_directivity import Beam, beam
from phonotaxis.envs.acoustics.tracer import trace_late_field
from phonotaxis.envs.acoustics.waves import Scenery
from phonotaxis.envs.hashing import fold, key_of
from phonotaxis.envs.scenes.materials import absorption_table, scattering_table
from phonotaxis.envs.scenes.plan import Plan, plan_of
from phonotaxis.envs.scenes.raycast import line_of_sight
from phonotaxis.envs.scenes.scene import Scene, SceneError
from phonotaxis.envs.threads import ALONE, Crew


class SceneSound(NamedTuple):
    """What every source of a scene shares, as kernels take it."""

    plan: Plan
    label: np.ndarray  # int32 [rows, columns], region whose late field is heard there; -1 for none
    centre_m: np.ndarray  # float32 [regions, 2]
    faces: np.ndarray  # float32 [faces, 6]
    edges: Edges
    edge_images: Images
    heard: Heard  # where those come to
    mirrored: np.ndarray  # float32 [materials, bands], pressure that a mirror reflection leaves


class SourceField(NamedTuple):
    """What one source leaves in a scene, as kernels take it."""

    source_m: np.ndarray  # float64 [3]
    energy: np.ndarray  # uint16 [regions, bins, bands], codes of `energy_codes`
    directions: np.ndarray  # uint8 [regions, slots, directions]
    edge_m: np.ndarray  # float32 [edges], way to the source
    edge_next: np.ndarray  # int32 [edges], next edge on it
    echo: np.ndarray  # float32 [regions, ECHOES, ECHO_FIELDS]
    echoes: np.ndarray  # int32 [regions], how many there are
    first_m: np.ndarray  # float32 [regions], way of the late field's first sound to the region's centre
    key: np.uint64
    beam: Beam  # what it sends where


_shared: WeakKeyDictionary[Scene, tuple[SceneSound, Regions]] = WeakKeyDictionary()


def scene_sound(scene: Scene, crew: Crew = ALONE) -> tuple[SceneSound, Regions]:
    """Return what a scene's sources share, computed once for as long as the scene lives."""
    if scene not in _shared:
        regions, plan = listening_regions(scene), plan_of(scene)
        edges = scene_edges(plan, scene.absorption_scale)
        absorb = absorption_table(scene.absorption_scale)
        scatter = scattering_table(scene.scattering_scale).mean(axis=1).astype(np.float32)
        mirrored = np.sqrt((1.0 - absorb) * (1.0 - scatter)[:, None]).astype(np.float32)
        faces = wall_faces(scene)
        images = images_of_edges(plan, faces, mirrored, edges)
        heard = heard_in(plan, faces, images, edges, regions.centre_m, crew)
        label = heard_regions(scene, regions)
        sound = SceneSound(plan, label, regions.centre_m, faces, edges, images, heard, mirrored)
        _shared[scene] = (sound, regions)
    return _shared[scene]


def source_field(
    scene: Scene,
    source_m: tuple[float, float, float],
    length_s: float,
    sends: Beam | None = None,
    crew: Crew = ALONE,
) -> SourceField:
    """Trace a source's late field and find the ways round corners to it.

    Args:
        scene: where.
        source_m: world x, y, z, metres.
        length_s: of the impulse responses.
        sends: what the source sends where; None for the same everywhere.
        crew: who traces.

    Raises:
        SceneError: the source is outside the scene or inside its matter.
    """
    x, y, z = (float(v) for v in source_m)
    check_in_air(scene, (x, y, z), "source")
    sound, regions = scene_sound(scene, crew)
    scene_key = np.uint64(key_of(scene.key))
    key = np.uint64(fold(scene_key, zlib.crc32(np.array([x, y, z]).tobytes())))
    sends = sends or beam()
    source = np.array([x, y, z])
    edge_m, edge_next = ways_to_source(sound.plan, sound.edges, source)
    first_m = np.empty(len(regions.volume_m3), dtype=np.float32)
    _first_sound(sound.plan, sound.edges, edge_m, source, sound.centre_m, first_m)
    scenery = Scenery(sound.plan, sound.faces[:MOST_FACES], sound.edges, sound.edge_images, sound.heard)
    way = (edge_m, edge_next)
    late, (echo, echoes) = crew.both(
        lambda: trace_late_field(
            scene, regions, (x, y, z), length_s, int(key >> np.uint64(33)), sends=sends, crew=crew
        ),
        lambda: find_echoes(scenery, sound.mirrored, source, way, sound.centre_m, first_m, crew),
    )
    take_out(late.energy, sound.plan, sound.mirrored, echo, echoes, sound.centre_m, z, sends)
    reached = np.isfinite(late.first_m)
    first_m[reached] = np.maximum(first_m, late.first_m)[reached]  # no pulse comes before the rays it stands for
    return SourceField(
        source, encode(late.energy), late.directions, edge_m, edge_next, echo, echoes, first_m, key, sends
    )


@njit(cache=True, error_model="numpy")
def _first_sound(plan, edges, edge_m, source, centre_m, first_m):
    """Fill how far the first sound travels to each region's centre: straight, or over edges."""
    length = np.empty(edge_m.size)
    z = sight_m(plan, source[0], source[1])
    for region in range(first_m.size):
        x, y = float(centre_m[region, 0]), float(centre_m[region, 1])
        straight_m = np.hypot(x - source[0], y - source[1])
        first_m[region] = straight_m
        if line_of_sight(plan.floor, plan.ceiling, plan.inv, plan.ox, plan.oy, x, y, z, source[0], source[1], z):
            continue
        for edge in range(edge_m.size):
            length[edge] = edge_m[edge] + np.hypot(edges.at_m[edge, 0] - x, edges.at_m[edge, 1] - y)
        for _ in range(edge_m.size):
            edge = int(length.argmin())
            if not np.isfinite(length[edge]):
                break
            if edge_seen(plan, edges.open_m[edge], x, y):
                first_m[region] = length[edge]
                break
            length[edge] = np.inf


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
