"""How many bytes a field, a scene and a world hold, counted over their arrays."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numba.typed import List

from phonotaxis.envs.acoustics.field import scene_sound
from phonotaxis.envs.bench import Measure, Measured
from phonotaxis.envs.library import Library
from phonotaxis.envs.world import World

_MB, _GB = 1e6, 1e9
MANY_WORLDS = 1000


class Memory(NamedTuple):
    """Bytes, those of arrays; Python's own objects come to a few kilobytes each.

    Attributes:
        field: of one source's field, with the walks to it; the largest in the library.
        scene: of one scene, with what its sources share; the largest in the library.
        world: what one more world takes, whatever it hears.
        shared: what the first world has and the others use, too: the sounds, kernels, tables.
    """

    field: int
    scene: int
    world: int
    shared: int

    def of(self, worlds: int) -> int:
        """Return the bytes of so many worlds where no two share a scene or a field: the worst case."""
        return self.shared + worlds * (self.world + self.scene + self.field)


def memory_of(world: World) -> Memory:
    """Count the bytes of a world's fields, scenes and own state.

    What one more world takes is the difference between two small worlds that share the library.

    Raises:
        ValueError: no episode has begun yet, so that the library is empty.
    """
    library = world.library
    if library.fields is None:
        raise ValueError("the library holds no field yet; begin an episode first")
    one, two = (nbytes_of(World(world.task, count, world.threads, library), leave_out=(library,)) for count in (1, 2))
    sounds = nbytes_of((library.sounds, library.signals, library.signal_spans))
    return Memory(field_bytes(library), scene_bytes(library), two - one, 2 * one - two + sounds)


def field_bytes(library: Library) -> int:
    """Return the bytes of a library's largest field, with the walks to its source."""
    return max(nbytes_of((library.fields[slot], library.walks[slot])) for slot in range(len(library.fields)))


def scene_bytes(library: Library) -> int:
    """Return the bytes of a library's largest scene: grids, kept walks, regions, faces, edges, clearance."""
    return max(
        nbytes_of(
            (scene, scene_sound(scene), library.grounds[slot], library.scene_sounds[slot], library.walkable(slot))
        )
        for slot, scene in library.scenes.items()
    )


def memory_figures(world: World) -> Measured:
    """Return what `memory_of` counts as figures, and what a thousand worlds take at worst, in GB."""
    memory = memory_of(world)
    figures = {f"memory_{name}": Measure(size / _MB, "MB") for name, size in memory._asdict().items()}
    return figures | {f"memory_{MANY_WORLDS}_worlds": Measure(memory.of(MANY_WORLDS) / _GB, "GB")}


def nbytes_of(thing: object, leave_out: tuple[object, ...] = ()) -> int:
    """Return the bytes of all arrays that an object leads to, each piece of memory once.

    Args:
        thing: an array, a container, or an object with attributes.
        leave_out: objects that are not followed.
    """
    held = {}
    for array in _arrays(thing, {id(other) for other in leave_out}):
        owner = array
        while isinstance(owner.base, np.ndarray):
            owner = owner.base
        held[owner.__array_interface__["data"][0]] = owner.nbytes
    return sum(held.values())


def _arrays(thing: object, seen: set[int]) -> Iterator[np.ndarray]:
    """Yield the arrays that an object leads to."""
    if id(thing) in seen:
        return
    seen.add(id(thing))
    if isinstance(thing, np.ndarray):
        yield thing
        return
    for part in _parts(thing):
        yield from _arrays(part, seen)


def _parts(thing: Any) -> list[object]:
    """Return what an object holds: items, values or attributes; nothing of modules, classes and functions."""
    if isinstance(thing, dict):
        return list(thing.values())
    if isinstance(thing, (list, tuple, set, List)):
        return list(thing)
    if isinstance(thing, type) or callable(thing) or not type(thing).__module__.startswith(("phonotaxis", "trimesh")):
        return []
    return list(getattr(thing, "__dict__", {}).values())
