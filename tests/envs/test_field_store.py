"""Fields on disk: the same bits, shared by processes, and nothing damaged is ever used."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from phonotaxis.configs.source_directivity import Loudspeaker, Talker
from phonotaxis.configs.task import AudioGoalTask
from phonotaxis.envs import field_store, library
from phonotaxis.envs.acoustics.source_directivity import beam
from phonotaxis.envs.field_store import SUFFIX, FieldStore, FieldStoreError, StoredField
from phonotaxis.envs.library import Library
from phonotaxis.envs.scenes.scene import Scene

MakeTask = Callable[..., AudioGoalTask]
NUMBER = 0


@pytest.fixture(scope="module")
def task(make_task: MakeTask) -> AudioGoalTask:
    return make_task("apartment", count=2, response_s=0.1)


def arrays_of(made: Library, slot: int = 0) -> list[bytes]:
    *field, sends = made.fields[slot]
    return [np.asarray(value).tobytes() for value in (*field, *sends, *made.walks[slot])]


@pytest.fixture
def kept(task: AudioGoalTask, tmp_path: Path) -> tuple[list[bytes], Path]:
    """Keep one field; return what it is and its file."""
    made = Library(task, store=tmp_path)
    made.field_slot(made.scene_slot(0), NUMBER)
    (file,) = tmp_path.iterdir()
    return arrays_of(made), file


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch) -> list[tuple[float, ...]]:
    """Note where sources are traced from now on."""
    found: list[tuple[float, ...]] = []
    trace = library.source_field

    def noted(scene: Scene, source_m: tuple[float, ...], *arguments: Any) -> object:
        found.append(source_m)
        return trace(scene, source_m, *arguments)

    monkeypatch.setattr(library, "source_field", noted)
    return found


def again(task: AudioGoalTask, file: Path) -> list[bytes]:
    made = Library(task, store=file.parent)
    made.field_slot(made.scene_slot(0), NUMBER)
    return arrays_of(made)


def test_a_kept_field_has_the_same_bits_and_is_not_traced(
    task: AudioGoalTask, kept: tuple[list[bytes], Path], traced: list[tuple[float, ...]]
) -> None:
    field, file = kept
    assert again(task, file) == field
    assert traced == []
    plain = Library(task)
    plain.field_slot(plain.scene_slot(0), NUMBER)
    assert arrays_of(plain) == field
    assert len(traced) == 1


@pytest.mark.parametrize("damage", ["cut", "empty", "flipped", "appended", "another's"])
def test_a_damaged_field_is_traced_anew(
    task: AudioGoalTask, kept: tuple[list[bytes], Path], traced: list[tuple[float, ...]], damage: str
) -> None:
    field, file = kept
    data = file.read_bytes()
    middle = len(data) // 2
    flipped = data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]
    whole = {"cut": data[:-1], "empty": b"", "flipped": flipped, "appended": data + b"\0", "another's": b"x" * 5000}
    file.write_bytes(whole[damage])
    assert again(task, file) == field
    assert len(traced) == 1
    assert file.read_bytes() == data  # and kept again


def test_another_user_may_read_what_is_kept(kept: tuple[list[bytes], Path]) -> None:
    _, file = kept
    umask = os.umask(0)
    os.umask(umask)
    assert file.stat().st_mode & 0o777 == 0o666 & ~umask


def test_what_another_user_keeps_to_himself_is_traced(
    task: AudioGoalTask,
    kept: tuple[list[bytes], Path],
    traced: list[tuple[float, ...]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Root, who may run this test, can read everything: what the system would say is said for it."""
    field, file = kept

    def refuse(*arguments: Any, **options: Any) -> None:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as only:
        only.setattr(os, "utime", refuse)  # readable, but not his to touch
        assert again(task, file) == field
        assert traced == []
    monkeypatch.setattr(Path, "read_bytes", refuse)
    monkeypatch.setattr(Path, "unlink", refuse)
    made = Library(task, store=file.parent)
    made.field_slot(made.scene_slot(0), NUMBER)
    assert arrays_of(made) == field
    assert len(traced) == 1


def stored_of(made: Library) -> StoredField:
    walk = made.walks[0]
    found = made.store
    assert found is not None
    got = found.get(name_in(made), made.scenes[0], made.task.response_s, made.fields[0].beam)
    assert got is not None
    assert np.array_equal(got.walk.parent, walk.parent)
    return got


def name_in(made: Library) -> str:
    assert made.store is not None
    (file,) = made.store.folder.iterdir()
    return file.name.removesuffix(SUFFIX)


@pytest.mark.parametrize(
    ("part", "change"),
    [
        ("field", {"energy": np.zeros((1, 10, 6), np.uint16)}),
        ("field", {"energy": np.zeros((1, 10, 6), np.float32)}),
        ("field", {"edge_next": 10**6}),
        ("walk", {"parent": 10**9}),
        ("walk", {"parent": -2}),
    ],
)
def test_what_kernels_would_trip_over_is_not_used(
    task: AudioGoalTask, kept: tuple[list[bytes], Path], part: str, change: dict[str, np.ndarray | int]
) -> None:
    """Kernels check no bounds: a whole file with arrays of another scene must not reach them."""
    _, file = kept
    made = Library(task, store=file.parent)
    made.field_slot(made.scene_slot(0), NUMBER)
    stored, name = stored_of(made), name_in(made)
    assert made.store is not None
    ((key, value),) = change.items()
    old = getattr(getattr(stored, part), key)
    new = np.full_like(old, value) if isinstance(value, int) else value
    made.store.put(name, stored._replace(**{part: getattr(stored, part)._replace(**{key: new})}))
    assert made.store.get(name, made.scenes[0], task.response_s, made.fields[0].beam) is None
    assert not file.exists()


def test_names_tell_apart_all_that_a_field_depends_on(
    task: AudioGoalTask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Library(task)
    store, scene = FieldStore(tmp_path), made.scenes[made.scene_slot(0)]
    mask, place, plain = made.walkable(0), (2.0, 2.0, 1.0), beam()
    floor, side = scene.floor_m.copy(), scene.side_material.copy()
    floor[5, 5] += 0.01
    side[5, 5] += 1
    names = [
        store.name_of(scene, mask, place, 0.5, plain),
        store.name_of(scene, mask, place, 0.25, plain),
        store.name_of(scene, mask, (2.0, 2.0, 1.1), 0.5, plain),
        store.name_of(scene, ~mask, place, 0.5, plain),
        store.name_of(dataclasses.replace(scene, name="other"), mask, place, 0.5, plain),
        store.name_of(dataclasses.replace(scene, floor_m=floor), mask, place, 0.5, plain),
        store.name_of(dataclasses.replace(scene, side_material=side), mask, place, 0.5, plain),
        store.name_of(dataclasses.replace(scene, origin_m=(0.1, 0.0)), mask, place, 0.5, plain),
        store.name_of(dataclasses.replace(scene, absorption_scale=1.1), mask, place, 0.5, plain),
        store.name_of(dataclasses.replace(scene, scattering_scale=1.1), mask, place, 0.5, plain),
        store.name_of(scene, mask, place, 0.5, beam(Talker())),
        store.name_of(scene, mask, place, 0.5, beam(Talker(), 0.1)),
        store.name_of(scene, mask, place, 0.5, beam(Loudspeaker())),
    ]
    monkeypatch.setattr(field_store, "_code_digest", lambda: b"another version")
    names.append(store.name_of(scene, mask, place, 0.5, plain))
    assert len(set(names)) == len(names)
    monkeypatch.undo()
    assert store.name_of(scene, mask, place, 0.5, plain) == names[0]
    assert len(names[0]) == 32


def test_two_processes_share_a_folder(task: AudioGoalTask, tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from phonotaxis.configs.task import AudioGoalTask\n"
        "from phonotaxis.envs.library import Library\n"
        "made = Library(AudioGoalTask.model_validate_json(sys.argv[1]), store=sys.argv[2], max_fields=1)\n"
        "for turn in range(6):\n"
        "    for index in (0, 1):\n"
        "        made.field_slot(made.scene_slot(index), 0)\n"
        "        for file in made.store.folder.glob('*.field'):\n"
        "            if turn % 2:\n"
        "                file.unlink(missing_ok=True)\n"
    )
    command = [sys.executable, "-W", "error", "-c", code, task.model_dump_json(), str(tmp_path)]
    running = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    for process in running:
        _, error = process.communicate(timeout=240)
        assert process.returncode == 0, error
    assert not list(tmp_path.glob("*.part"))


def test_the_oldest_fields_make_room(task: AudioGoalTask, kept: tuple[list[bytes], Path]) -> None:
    _, file = kept
    made = Library(task, store=file.parent)
    made.field_slot(made.scene_slot(0), NUMBER)
    stored, size = stored_of(made), file.stat().st_size
    store = FieldStore(file.parent, most_bytes=4 * size)
    for number in range(8):
        store.put(f"{number:032x}", stored)
        os.utime(file.parent / f"{number:032x}{SUFFIX}", (number + 1.0, number + 1.0))
        store.get(f"{0:032x}", made.scenes[0], task.response_s, made.fields[0].beam)  # used: it counts as new
    left = sorted(int(path.name[:32], 16) for path in file.parent.glob(f"*{SUFFIX}") if path != file)
    assert left[0] == 0
    assert left[-1] == 7
    assert len(left) <= 4
    assert sum(path.stat().st_size for path in file.parent.iterdir()) <= 4 * size


def test_a_folder_that_cannot_be_used_is_named(task: AudioGoalTask, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("no folder")
    with pytest.raises(FieldStoreError, match=r"file: fields can't be kept there .*name a folder"):
        Library(task, store=file)


def test_a_full_disk_is_said_once_and_the_field_is_there(task: AudioGoalTask, tmp_path: Path) -> None:
    made = Library(task, store=tmp_path / "store")
    assert made.store is not None
    made.store.folder.rmdir()  # as good as a disk without room, and the same for root
    with pytest.warns(UserWarning, match="fields are no longer kept"):
        made.field_slot(made.scene_slot(0), 0)
    assert made.field_slot(made.scene_slot(1), 0) == 1  # without another warning


def test_what_a_dead_process_left_is_removed(tmp_path: Path) -> None:
    old, new = tmp_path / "old.part", tmp_path / "new.part"
    for path in (old, new):
        path.write_bytes(b"half")
    os.utime(old, (1.0, 1.0))
    FieldStore(tmp_path)
    assert new.exists()
    assert not old.exists()
