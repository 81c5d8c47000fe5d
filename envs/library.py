"""The scenes and source fields that a world draws on, made when first needed and kept while there is room."""

from __future__ import annotations

import hashlib
import weakref
import zlib
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numba import njit
from numba.typed import List
from scipy import ndimage

from phonotaxis.configs.task import AudioGoalTask, SceneSet, is_one_scene
from phonotaxis.envs import scenes
from phonotaxis.envs.acoustics.field import SceneSound, SourceField, scene_sound, source_field
from phonotaxis.envs.acoustics.renderer import new_field_list, new_scene_list, put
from phonotaxis.envs.acoustics.source_directivity import Beam, gain_table
from phonotaxis.envs.field_store import FieldStore, StoredField
from phonotaxis.envs.randomise import vary_materials
from phonotaxis.envs.routes import Route, headings, way_points
from phonotaxis.envs.scenes.geodesic import EXTENSION_CELLS, geodesic_field, nearest_passable
from phonotaxis.envs.scenes.scene import Scene, SceneError
from phonotaxis.envs.scenes.walk import clearance_m, largest_component, walkable
from phonotaxis.envs.slots import Slots
from phonotaxis.envs.sound_table import sound_table
from phonotaxis.envs.threads import ALONE, Crew


class Ground(NamedTuple):
    """Where a body can go in a scene, as kernels take it."""

    clearance_m: np.ndarray  # float32 [rows, columns], from a cell's centre to the nearest blocked cell
    cell: float
    inv: float
    ox: float
    oy: float


class WalkField(NamedTuple):
    """The shortest walks to one source, as kernels take it."""

    distance_m: np.ndarray  # float32 [rows, columns]
    parent: np.ndarray  # int32 [rows, columns]
    turn_rad: np.ndarray  # float32 [rows, columns]
    goal_xy: np.ndarray  # float64 [2], where the walks end


HEADROOM_M = 0.05  # at least, from a source to what is above it
_AIM = 0x61696D  # keeps the draws of headings apart from those of places


@njit(cache=True)
def _new_list(item):
    items = List()
    items.append(item)
    return items


# What of its task a library, and who draws episodes and sounds from it, reads: worlds that share one agree on these.
_READ = (
    "sample_rate_hz", "scenes", "sounds", "sources", "goal", "sources_per_scene", "source_height_m", "min_distance_m",
    "max_distance_m", "out_of_sight_share", "widest_radius_m", "height_m", "response_s", "crossfade_s", "air", "noise",
    "randomise",
)  # fmt: skip


class Library:
    """Scenes, source fields and sounds for a task.

    Scenes and fields are addressed by slots. A field that is held (`hold`, `release`) is never given away, nor is
    its scene; of the others, those unused for longest make room for new ones, a scene together with its fields.
    What a slot holds that nobody holds is certain until the library is next asked for something.

    Args:
        task: what to make them for.
        max_fields: fields kept at most, unless more are in use.
        max_scenes: scenes kept at most, likewise.
        max_field_bytes: that fields may take, likewise.
        store: folder in which fields outlive the process, shared with whoever names it; None for none.

    Attributes:
        crew: who builds scenes and traces fields: a world's own while it draws episodes.

    Raises:
        ValueError: room for no field or no scene.
        FieldStoreError: the folder can't be used.
    """

    def __init__(
        self,
        task: AudioGoalTask,
        max_fields: int = 512,
        max_scenes: int = 512,
        max_field_bytes: int = 2**31,
        store: str | Path | None = None,
    ) -> None:
        if min(max_fields, max_scenes, max_field_bytes) < 1:
            raise ValueError(
                "max_fields, max_scenes and max_field_bytes must be at least 1, got "
                f"{max_fields}, {max_scenes} and {max_field_bytes}"
            )
        self.task = task
        self.crew: Crew = ALONE
        self.max_fields = max_fields
        self.max_scenes = max_scenes
        self.max_field_bytes = max_field_bytes
        self.store = None if store is None else FieldStore(Path(store))
        self.sounds, self.signals, self.signal_spans = sound_table(task)
        self.scenes: dict[int, Scene] = {}  # by slot
        self.scene_sounds: List = None
        self.grounds: List = None
        self.fields: List = None
        self.walks: List = None
        self._walk_mask: dict[int, np.ndarray] = {}  # by slot
        self._scene_slots = Slots[int](max_scenes)  # by index in the set
        self._field_slots = Slots[tuple[int, int]](max_fields)  # by scene slot and number
        self._scene_of: dict[int, int] = {}  # scene slot, by field slot
        self._field_bytes: dict[int, int] = {}  # by field slot
        # Of sources on their way, while they are traced: where they are, and what they send from there.
        self._places: dict[tuple[int, int], tuple[tuple[float, float, float], Beam]] = {}
        self._gain_tables = [gain_table(directivity) for directivity in task.sources.directivity]

    def check_serves(self, task: AudioGoalTask) -> None:
        """Make sure that worlds of a task hear and walk by this library what they would by their own.

        Raises:
            ValueError: it was made for one that differs in what is read of it.
        """
        for name in _READ:
            own, theirs = getattr(self.task, name), getattr(task, name)
            if own != theirs:
                raise ValueError(
                    f"the library was made for a task whose {name} is {own!r}, this one's is {theirs!r}: make one for "
                    "it, Library(task), or leave library out"
                )

    def scene_slot(self, index: int) -> int:
        """Return the slot of a scene of the task's set, loading the scene if need be."""
        found = self._scene_slots.find(index)
        if found is not None:
            return found
        scene = self._load(index)
        mask = self._walkable_of(scene)
        slot, previous = self._scene_slots.vacant()
        if previous is not None:
            self._forget_fields_of(slot)
        self._put_scene(slot, scene, mask)
        self._scene_slots.give(index, slot)
        return slot

    def _load(self, index: int) -> Scene:
        """Load a scene, where materials vary with its own."""
        scene_set = self.task.scenes
        return vary_materials(load_scene(scene_set, index), self.task.randomise, scene_set.first_seed + index)

    def _walkable_of(self, scene: Scene) -> np.ndarray:
        task = self.task
        mask = largest_component(walkable(scene, task.widest_radius_m, task.height_m))
        if not mask.any():
            raise SceneError(
                f"{scene.name}: no room for a robot of radius {task.widest_radius_m} m and height {task.height_m} m"
            )
        return mask

    def _put_scene(self, slot: int, scene: Scene, mask: np.ndarray) -> None:
        shared: SceneSound = scene_sound(scene, self.crew)[0]
        plan = shared.plan
        clearance = _reachable_clearance_m(scene, mask, self.task.height_m)
        ground = Ground(clearance, plan.cell, plan.inv, plan.ox, plan.oy)
        if self.scene_sounds is None:
            self.scene_sounds, self.grounds = new_scene_list(shared), _new_list(ground)
        else:
            put(self.scene_sounds, slot, shared)
            put(self.grounds, slot, ground)
        self.scenes[slot] = scene
        self._walk_mask[slot] = mask

    def walkable(self, scene_slot: int) -> np.ndarray:
        """Return where episodes may take place: bool [rows, columns], one connected area."""
        return self._walk_mask[scene_slot]

    def field_slot(self, scene_slot: int, number: int) -> int:
        """Return the slot of source `number` of a scene, tracing it if need be; hold it before the next call."""
        key = (scene_slot, number)
        found = self._field_slots.find(key)
        if found is not None:
            return found
        field, walk = self._field(scene_slot, number)
        size = _bytes_of(field) + _bytes_of(walk)
        self._make_room(size, _emptied(field), _emptied(walk))
        slot, _ = self._field_slots.vacant()
        self._put_field(slot, field, walk)
        self._scene_of[slot], self._field_bytes[slot] = scene_slot, size
        self._field_slots.give(key, slot)
        return slot

    def _put_field(self, slot: int, field: SourceField, walk: WalkField) -> None:
        if self.fields is None:
            self.fields, self.walks = new_field_list(field), _new_list(walk)
        else:
            put(self.fields, slot, field)
            put(self.walks, slot, walk)

    def _make_room(self, size: int, no_field: SourceField, no_walk: WalkField) -> None:
        """Empty slots that nobody uses until a field of this many bytes may come."""
        for slot, key in self._field_slots.unused():
            if sum(self._field_bytes.values()) + size <= self.max_field_bytes:
                return
            if key is not None:
                self._field_slots.forget(key)
            self._put_field(slot, no_field, no_walk)
            self._field_bytes[slot] = 0

    def _field(self, scene_slot: int, number: int) -> tuple[SourceField, WalkField]:
        """Find a source's field and walks in the store, or trace them."""
        scene, mask = self.scenes[scene_slot], self._walk_mask[scene_slot]
        x, y, z, row, column = self._source(scene_slot, number)
        goal_xy, sends = np.array([x, y]), self._sends(scene_slot, number)
        if self.store is not None:
            name = self.store.name_of(scene, mask, (x, y, z), self.task.response_s, sends)
            kept = self.store.get(name, scene, self.task.response_s, sends)
            if kept is not None:
                return kept.field, WalkField(*kept.walk, goal_xy)
        field = source_field(scene, (x, y, z), self.task.response_s, sends, self.crew)
        way = geodesic_field(mask, row, column, scene.cell_m)
        if self.store is not None:
            self.store.put(name, StoredField(field, way))
        return field, WalkField(*way, goal_xy)

    def forget_field(self, scene_slot: int, number: int) -> None:
        """Trace a source anew when it is next asked for; who holds the present field keeps it."""
        self._field_slots.forget((scene_slot, number))

    def _forget_fields_of(self, scene_slot: int) -> None:
        for key in self._field_slots.found():
            if key[0] == scene_slot:
                self._field_slots.forget(key)

    def reload_scene(self, index: int) -> None:
        """Load a scene of the task's set again, and what is worked out from it."""
        slot, scene = self.scene_slot(index), self._load(index)
        self._put_scene(slot, scene, self._walkable_of(scene))

    def route(self, scene_slot: int, field_slot: int, number: int) -> Route:
        """Return the slots along a source's way to another place of its scene, each held for the caller.

        A directive source looks where it goes, so that its way back has fields of its own.

        Args:
            scene_slot: of the scene.
            field_slot: of the source, which is held.
            number: of the way; the same source has several.
        """
        field, walk = self.fields[field_slot], self.walks[field_slot]
        points = way_points(
            self.scenes[scene_slot], self._walk_mask[scene_slot], field.source_m, walk.distance_m,
            self.task.widest_radius_m, self.task.height_m, number,
        )  # fmt: skip
        z, gain = float(field.source_m[2]), field.beam.gain
        if len(gain) == 0 or len(points) < 2:
            rest = self._held_along(scene_slot, [(point, z, field.beam) for point in points[1:]])
            self.hold(field_slot)
            return Route((field_slot, *rest))
        facing = np.concatenate([headings(points), headings(points[::-1])[::-1]])
        places = [(at, z, Beam(gain, np.copy(faces))) for at, faces in zip(np.tile(points, (2, 1)), facing)]
        held = self._held_along(scene_slot, places)
        return Route(held[: len(points)], held[len(points) :])

    def _held_along(self, scene_slot: int, places: list[tuple[np.ndarray, float, Beam]]) -> tuple[int, ...]:
        """Return the slots of a source at places on its way, all of them held for the caller, or none on an error."""
        held: list[int] = []
        try:
            for at, z, sends in places:
                held.append(self._hold_at(scene_slot, at, z, sends))
        except BaseException:
            self.release(*held)
            raise
        return tuple(held)

    def _hold_at(self, scene_slot: int, at_m: np.ndarray, z: float, sends: Beam) -> int:
        """Return the slot of a source at a place on its way, tracing it if need be; the caller holds it.

        What walks under something lower than itself ducks.
        """
        scene = self.scenes[scene_slot]
        top = float(scene.ceiling_m[scene.cell_of(float(at_m[0]), float(at_m[1]))]) - HEADROOM_M
        place = (float(at_m[0]), float(at_m[1]), min(z, top))
        name = repr((place, *sends.heading.tolist(), zlib.crc32(sends.gain.tobytes())))
        key = (scene_slot, -1 - int.from_bytes(hashlib.blake2b(name.encode(), digest_size=7).digest(), "little"))
        self._places[key] = place, sends
        try:
            slot = self.field_slot(*key)
        finally:
            del self._places[key]
        self.hold(slot)
        return slot

    def _source(self, scene_slot: int, number: int) -> tuple[float, float, float, int, int]:
        """Draw a source's position (a walkable cell's centre) by scene and number: x, y, z, row, column."""
        scene = self.scenes[scene_slot]
        if number < 0:
            (x, y, z), _ = self._places[(scene_slot, number)]
            row, column = scene.cell_of(x, y)
            if not self._walk_mask[scene_slot][row, column]:
                row, column = nearest_passable(self._walk_mask[scene_slot], row, column) or (row, column)
            return x, y, z, row, column
        rng = np.random.Generator(np.random.PCG64([scene.key, number]))
        cells = np.argwhere(self._walk_mask[scene_slot])
        row, column = (int(v) for v in cells[rng.integers(len(cells))])
        x, y = scene.centre_of(row, column)
        low, high = self.task.source_height_m
        top = float(scene.ceiling_m[row, column]) - HEADROOM_M
        return x, y, float(min(rng.uniform(low, high), top)), row, column

    def _sends(self, scene_slot: int, number: int) -> Beam:
        """Draw how a source radiates and where it faces, by scene and number."""
        if number < 0:
            return self._places[(scene_slot, number)][1]
        if self.is_omnidirectional:
            return Beam(self._gain_tables[0], np.array([1.0, 0.0]))
        rng = np.random.Generator(np.random.PCG64([self.scenes[scene_slot].key, number, _AIM]))
        gain, heading_rad = self._gain_tables[rng.integers(len(self._gain_tables))], rng.uniform(-np.pi, np.pi)
        return Beam(gain, np.array([np.cos(heading_rad), np.sin(heading_rad)]))

    @property
    def is_omnidirectional(self) -> bool:
        """Whether all sources are as loud in every direction."""
        return all(len(table) == 0 for table in self._gain_tables)

    def hold(self, *field_slots: int) -> None:
        """Keep fields from being replaced until they are released."""
        for slot in field_slots:
            self._field_slots.users[slot] += 1
            self._scene_slots.users[self._scene_of[slot]] += 1

    def hold_for(self, owner: object, *field_slots: int) -> None:
        """Keep fields from being replaced for as long as something lives."""
        self.hold(*field_slots)
        weakref.finalize(owner, self.release, *field_slots).atexit = False

    def release(self, *field_slots: int) -> None:
        """Give back fields that were held."""
        for slot in field_slots:
            self._field_slots.users[slot] -= 1
            self._scene_slots.users[self._scene_of[slot]] -= 1

    def memory_bytes(self) -> dict[str, int]:
        """Say what the arrays of `scenes`, `fields` and `sounds` take, bytes."""
        scenes = (part for slot in self.scenes for part in (self.scene_sounds[slot], self.grounds[slot]))
        masks = sum(mask.nbytes for mask in self._walk_mask.values())
        return {
            "scenes": sum(map(_bytes_of, scenes)) + masks,
            "fields": sum(self._field_bytes.values()),
            "sounds": self.signals.nbytes,
        }


Arrays = TypeVar("Arrays", SourceField, WalkField)


def _emptied(item: Arrays) -> Arrays:
    """Return a field's form without its content: arrays of no elements."""
    return type(item)._make(np.empty((0,) * v.ndim, v.dtype) if isinstance(v, np.ndarray) else v for v in item)


def _bytes_of(item: Any) -> int:
    """Add up the arrays of a named tuple of arrays, numbers and such named tuples."""
    if isinstance(item, tuple):
        return sum(map(_bytes_of, item))
    return int(item.nbytes) if isinstance(item, np.ndarray) else 0


def _reachable_clearance_m(scene: Scene, mask: np.ndarray, height_m: float) -> np.ndarray:
    """Return the clearance, float32 [rows, columns], 0 where no walk leads and none ends nearby.

    A body may squeeze through where a walk, which keeps half a cell further away, may not. It would come to a part
    of the scene from which there is no way to the source, and progress would have no number.
    """
    near = ndimage.binary_dilation(mask, np.ones((3, 3), dtype=np.bool_), iterations=EXTENSION_CELLS - 1)
    return np.where(near, clearance_m(scene, height_m), np.float32(0.0))


def load_scene(scene_set: SceneSet, index: int) -> Scene:
    """Load scene `index` of a set."""
    seed = 0 if is_one_scene(scene_set.source) else scene_set.first_seed + index
    return scenes.load(scene_set.source, seed=seed, **scene_set.options)
