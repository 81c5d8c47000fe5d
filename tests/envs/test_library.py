"""The library: what it keeps, what it gives away, that memory really goes, and fields that outlive the process."""

from __future__ import annotations

import gc
import weakref
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from phonotaxis.configs.task import AudioGoalTask
from phonotaxis.envs.acoustics import field as field_module
from phonotaxis.envs.library import Library
from phonotaxis.envs.slots import Slots
from phonotaxis.envs.world import World

MakeTask = Callable[..., AudioGoalTask]


@pytest.fixture(scope="module")
def task(make_task: MakeTask) -> AudioGoalTask:
    return make_task("apartment", count=12, sources_per_scene=2, response_s=0.1)


def test_a_vacant_slot_is_the_one_unused_for_longest() -> None:
    slots = Slots[str](2)
    for key in "ab":
        slots.give(key, slots.vacant()[0])
    assert slots.find("a") == 0  # now b is the oldest
    assert slots.vacant() == (1, "b")
    slots.give("c", 1)
    slots.users[0] = slots.users[1] = 1
    assert slots.vacant() == (2, None)  # all in use: one more
    slots.give("d", 2)
    slots.forget("a")
    assert slots.find("a") is None
    assert slots.unused() == [(2, "d")]  # nobody finds slot 0, but somebody uses it
    slots.users[0] = 0
    assert slots.vacant() == (0, None)
    assert slots.found() == ["c", "d"]


def test_a_maps_sources_do_not_depend_on_how_its_path_is_spelt(
    make_task: MakeTask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = np.full((40, 50), 254, np.uint8)
    pixels[[0, -1]] = pixels[:, [0, -1]] = 0
    Image.fromarray(pixels).save(tmp_path / "map.png")
    (tmp_path / "map.yaml").write_text(
        "{image: map.png, resolution: 0.1, origin: [0, 0, 0], negate: 0, occupied_thresh: 0.65, free_thresh: 0.196}"
    )
    monkeypatch.chdir(tmp_path)
    found = []
    for path in ("map.yaml", "./map.yaml", str(tmp_path / "map.yaml")):
        library = Library(make_task(path, response_s=0.05, sources={"directivity": "talker"}), store=tmp_path / "kept")
        slot = library.field_slot(library.scene_slot(0), 0)
        field = library.fields[slot]
        found.append((field.source_m.tolist(), field.beam.heading.tolist(), int(field.key)))
        assert library.scenes[0].name == path
    assert found[1:] == found[:1] * 2
    assert len(list((tmp_path / "kept").iterdir())) == 1
    pixels[20, 25] = 0
    Image.fromarray(pixels).save(tmp_path / "map.png")
    assert Library(make_task("map.yaml", response_s=0.05))._load(0).key != library.scenes[0].key


def test_generated_scenes_draws_are_keyed_by_their_names_for_ever(task: AudioGoalTask) -> None:
    """A change here changes every suite's episodes."""
    assert Library(task)._load(3).key == zlib.crc32(b"apartment:3") == 1176408532


def test_one_scene_may_have_materials_of_many_seeds(make_task: MakeTask) -> None:
    library = Library(make_task("apartment:3", count=2, response_s=0.05, randomise={"absorption_scale": [0.5, 2.0]}))
    one, other = library._load(0), library._load(1)
    assert one.name == other.name == "apartment:3"
    assert one.absorption_scale != other.absorption_scale


def test_scenes_that_nobody_uses_make_room_with_their_fields(task: AudioGoalTask) -> None:
    library = Library(task, max_scenes=2)
    first = library.scene_slot(0)
    kept = library.field_slot(first, 0)
    library.hold(kept)
    second = library.scene_slot(1)
    other = library.field_slot(second, 0)
    place = library.fields[other].source_m.copy()
    third = library.scene_slot(2)
    assert third == second  # the first is in use through its field
    assert library.scenes[third].name == "apartment:2"
    again = library.field_slot(third, 0)
    assert again == other
    assert not np.array_equal(library.fields[again].source_m, place)  # not that of the scene before
    assert library.scene_slot(0) == first
    assert library.field_slot(first, 0) == kept
    library.hold(again)
    assert library.scene_slot(3) == 2  # all in use: the library grows rather than break a world
    library.release(kept)
    library.release(again)
    assert len(library.scenes) == 3


def test_memory_of_what_was_given_away_goes(task: AudioGoalTask) -> None:
    library = Library(task, max_scenes=1, max_fields=1)
    slot = library.scene_slot(0)
    library.field_slot(slot, 0)
    watched = [weakref.ref(library.scenes[slot]), weakref.ref(library.scenes[slot].floor_m)]
    watched += [
        weakref.ref(library.walkable(slot)),
        weakref.ref(field_module.scene_sound(library.scenes[slot])[0].label),
    ]
    assert all(reference() is not None for reference in watched)
    library.field_slot(library.scene_slot(1), 0)
    gc.collect()
    assert [reference() for reference in watched] == [None] * len(watched)


def test_arrays_in_lists_of_kernels_go_when_they_are_replaced(
    task: AudioGoalTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched = []
    trace = field_module.trace_late_field

    def traced(*args: object, **options: object) -> object:
        late = trace(*args, **options)
        watched.append(weakref.ref(late.directions))
        return late

    monkeypatch.setattr(field_module, "trace_late_field", traced)
    library = Library(task, max_fields=1)
    for index in range(5):
        library.field_slot(library.scene_slot(index), 0)
    gc.collect()
    assert [reference() is not None for reference in watched] == [False] * 4 + [True]


def test_memory_is_counted_and_bounded(task: AudioGoalTask) -> None:
    free = Library(task)
    sizes = []
    for index in range(6):
        free.field_slot(free.scene_slot(index), 0)
        sizes.append(free.memory_bytes()["fields"])
    field = free.fields[0]
    assert sizes[0] >= field.energy.nbytes + field.directions.nbytes + 12 * free.walks[0].parent.size
    assert np.all(np.diff(sizes) > 0)
    tight = Library(task, max_field_bytes=sizes[2])
    held = tight.field_slot(tight.scene_slot(0), 0)
    tight.hold(held)
    for index in range(1, 6):
        slot = tight.field_slot(tight.scene_slot(index), 0)
        assert tight.memory_bytes()["fields"] <= sizes[2]
    assert np.array_equal(tight.fields[slot].energy, free.fields[5].energy)
    assert np.array_equal(tight.fields[held].energy, free.fields[0].energy)
    assert tight.memory_bytes()["scenes"] == free.memory_bytes()["scenes"]
    assert 1e5 < free.memory_bytes()["scenes"] / 6 < 1e6  # an apartment's


@pytest.mark.parametrize("limits", [{"max_fields": 0}, {"max_scenes": 0}, {"max_field_bytes": 0}])
def test_limits_leave_room_for_one(task: AudioGoalTask, limits: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="must be at least 1, got .*0"):
        Library(task, **limits)


def test_a_crowded_library_hears_the_same(task: AudioGoalTask, tmp_path: Path) -> None:
    """Memory full, memory ample, fields from disk: the same bits."""

    def heard(library: Library) -> list[bytes]:
        world, seen = World(task, 3, library=library), []
        for seed in range(0, 18, 3):
            world.begin(np.arange(3), np.arange(seed, seed + 3))
            world.step(np.array([1, 2, 1]))
            seen += [world.observation["audio"].tobytes(), world.distance_m.tobytes(), world.actions_to_go().tobytes()]
        return seen

    ample = heard(Library(task))
    crowded = Library(task, max_fields=1, max_scenes=1, max_field_bytes=1)
    assert heard(crowded) == ample
    assert len(crowded.scenes) <= 4
    assert len(crowded.fields) <= 4
    assert heard(Library(task, store=tmp_path)) == ample
    assert heard(Library(task, max_fields=1, store=tmp_path)) == ample
