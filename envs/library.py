"""The scenes and source fields that a world draws on, made when first needed and kept while there is room."""

from __future__ import annotations

import zlib
from collections import OrderedDict
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numba import njit
from numba.typed import List
from scipy import ndimage

from phonotaxis.configs.task import AudioGoalTask, SceneSet
from phonotaxis.envs import scenes, sounds
from phonotaxis.envs.acoustics.field import SceneSound, scene_sound, source_field
from phonotaxis.envs.acoustics.renderer import new_field_list, new_scene_list, put
from phonotaxis.envs.scenes.geodesic import EXTENSION_CELLS, geodesic_field
from phonotaxis.envs.scenes.scene import Scene, SceneError
from phonotaxis.envs.scenes.walk import clearance_m, largest_component, walkable


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


@njit(cache=True)
def _new_list(item):
    items = List()
    items.append(item)
    return items


class Library:
    """Scenes, source fields and sounds for a task.

    Scenes and fields are addressed by slots; a slot in use (`hold`, `release`) is never given away.

    Args:
        task: what to make them for.
        max_fields: fields kept at most, unless more are in use.
    """

    def __init__(self, task: AudioGoalTask, max_fields: int = 512) -> None:
        self.task = task
        self.max_fields = max_fields
        self.sounds = load_sounds(task)
        longest = max(sound.samples.size for sound in self.sounds)
        self.signals = np.zeros((len(self.sounds), longest), dtype=np.float32)
        self.signal_length = np.array([sound.samples.size for sound in self.sounds], dtype=np.int64)
        for row, sound in zip(self.signals, self.sounds):
            row[: sound.samples.size] = sound.samples
        self.scenes: dict[int, Scene] = {}  # by slot
        self.scene_sounds: List = None
        self.grounds: List = None
        self.fields: List = None
        self.walks: List = None
        self._scene_slot: dict[int, int] = {}  # by index in the set
        self._walk_mask: dict[int, np.ndarray] = {}  # by slot
        self._field_slot: OrderedDict[tuple[int, int], int] = OrderedDict()
        self._users: list[int] = []  # by field slot
        self._forgotten: list[int] = []  # field slots that nobody finds any more

    def scene_slot(self, index: int) -> int:
        """Return the slot of a scene of the task's set, loading the scene if need be."""
        if index not in self._scene_slot:
            scene = load_scene(self.task.scenes, index)
            slot = len(self._scene_slot)
            self._put_scene(slot, scene)
            self._scene_slot[index] = slot
        return self._scene_slot[index]

    def _put_scene(self, slot: int, scene: Scene) -> None:
        task = self.task
        mask = largest_component(walkable(scene, task.radius_m, task.height_m))
        if not mask.any():
            raise SceneError(
                f"{scene.name}: no room for a robot of radius {task.radius_m} m and height {task.height_m} m"
            )
        self.scenes[slot] = scene
        self._walk_mask[slot] = mask
        shared: SceneSound = scene_sound(scene)[0]
        plan = shared.plan
        clearance = _reachable_clearance_m(scene, mask, task.height_m)
        ground = Ground(clearance, plan.cell, plan.inv, plan.ox, plan.oy)
        if self.scene_sounds is None:
            self.scene_sounds, self.grounds = new_scene_list(shared), _new_list(ground)
        else:
            put(self.scene_sounds, slot, shared)
            put(self.grounds, slot, ground)

    def walkable(self, scene_slot: int) -> np.ndarray:
        """Return where episodes may take place: bool [rows, columns], one connected area."""
        return self._walk_mask[scene_slot]

    def field_slot(self, scene_slot: int, number: int) -> int:
        """Return the slot of source `number` of a scene, tracing it if need be; hold it before the next call."""
        key = (scene_slot, number)
        if key in self._field_slot:
            self._field_slot.move_to_end(key)
            return self._field_slot[key]
        slot = self._free_slot()
        scene = self.scenes[scene_slot]
        x, y, z, row, column = self._source(scene_slot, number)
        field = source_field(scene, (x, y, z), self.task.response_s)
        way = geodesic_field(self._walk_mask[scene_slot], row, column, scene.cell_m)
        walk = WalkField(way.distance_m, way.parent, way.turn_rad, np.array([x, y]))
        if self.fields is None:
            self.fields, self.walks = new_field_list(field), _new_list(walk)
        else:
            put(self.fields, slot, field)
            put(self.walks, slot, walk)
        self._field_slot[key] = slot
        return slot

    def forget_field(self, scene_slot: int, number: int) -> None:
        """Trace a source anew when it is next asked for; who holds the present field keeps it."""
        slot = self._field_slot.pop((scene_slot, number), None)
        if slot is not None:
            self._forgotten.append(slot)

    def reload_scene(self, index: int) -> None:
        """Load a scene of the task's set again, and what is worked out from it."""
        self._put_scene(self.scene_slot(index), load_scene(self.task.scenes, index))

    def _free_slot(self) -> int:
        """Return a new slot, or the one unused for longest where the library is full."""
        for slot in self._forgotten:
            if self._users[slot] == 0:
                self._forgotten.remove(slot)
                return slot
        if len(self._users) >= self.max_fields:
            for key, slot in self._field_slot.items():
                if self._users[slot] == 0:
                    del self._field_slot[key]
                    return slot
        self._users.append(0)
        return len(self._users) - 1

    def _source(self, scene_slot: int, number: int) -> tuple[float, float, float, int, int]:
        """Draw a source's position (a walkable cell's centre) by scene and number: x, y, z, row, column."""
        scene = self.scenes[scene_slot]
        rng = np.random.Generator(np.random.PCG64([zlib.crc32(scene.name.encode()), number]))
        cells = np.argwhere(self._walk_mask[scene_slot])
        row, column = (int(v) for v in cells[rng.integers(len(cells))])
        x, y = scene.centre_of(row, column)
        low, high = self.task.source_height_m
        top = float(scene.ceiling_m[row, column]) - 0.05
        return x, y, float(min(rng.uniform(low, high), top)), row, column

    def hold(self, *field_slots: int) -> None:
        """Keep fields from being replaced until they are released."""
        for slot in field_slots:
            self._users[slot] += 1

    def release(self, *field_slots: int) -> None:
        """Give back fields that were held."""
        for slot in field_slots:
            self._users[slot] -= 1


def _reachable_clearance_m(scene: Scene, mask: np.ndarray, height_m: float) -> np.ndarray:
    """Return the clearance, float32 [rows, columns], 0 where no walk leads and none ends nearby.

    A body may squeeze through where a walk, which keeps half a cell further away, may not. It would come to a part
    of the scene from which there is no way to the source, and progress would have no number.
    """
    near = ndimage.binary_dilation(mask, np.ones((3, 3), dtype=np.bool_), iterations=EXTENSION_CELLS - 1)
    return np.where(near, clearance_m(scene, height_m), np.float32(0.0))


def load_scene(scene_set: SceneSet, index: int) -> Scene:
    """Load scene `index` of a set."""
    return scenes.load(scene_set.source, seed=scene_set.first_seed + index, **scene_set.options)


def load_sounds(task: AudioGoalTask) -> list[sounds.Sound]:
    """Load a task's sounds at its sample rate."""
    chosen = task.sounds
    if chosen.folder is not None:
        return sounds.load_folder(Path(chosen.folder), task.sample_rate_hz)
    make = sounds.training_bank if chosen.split == "train" else sounds.evaluation_bank
    return make(chosen.seed, chosen.instances_per_kind, task.sample_rate_hz)
