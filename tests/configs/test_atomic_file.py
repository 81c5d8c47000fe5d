"""A file is the old one or the new one, whatever happens to its writer."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from phonotaxis.configs.atomic_file import PART, remove_parts, replace_file, sync_folder

_BYTES = 300_000  # more than a file's buffer: a writer is seen half done, were it in its place


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Make a file with something in it."""
    path = tmp_path / "kept.json"
    path.write_bytes(b"old")
    path.chmod(0o640)
    return path


@pytest.fixture
def umask() -> Iterator[None]:
    """Set one that takes writing from the group and leaves others nothing."""
    before = os.umask(0o027)
    yield
    os.umask(before)


def in_a_process(path: Path, code: str) -> subprocess.CompletedProcess[str]:
    """Replace a file in a process of its own, after this code."""
    code = f"import os, resource, signal, sys\n{code}\nfrom pathlib import Path\n" + (
        "from phonotaxis.configs.atomic_file import replace_file\nreplace_file(Path(sys.argv[1]), b'new' * 100_000)"
    )
    return subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, timeout=60)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("durable", [True, False])
def test_replaces_all_of_it(path: Path, durable: bool) -> None:
    replace_file(path, b"newer", durable=durable)
    assert path.read_bytes() == b"newer"
    assert os.listdir(path.parent) == [path.name]
    replace_file(path.with_name("another"), b"", durable=durable)
    assert path.with_name("another").read_bytes() == b""


@pytest.mark.usefixtures("umask")
@pytest.mark.parametrize(("asked", "mode"), [({}, 0o600), ({"mode": None}, 0o640), ({"mode": 0o644}, 0o644)])
def test_mode_is_what_was_asked_for(path: Path, asked: dict[str, int | None], mode: int) -> None:
    path.chmod(0o606)
    replace_file(path, b"newer", **asked)  # type: ignore[arg-type]
    replace_file(path.with_name("another"), b"new", **asked)  # type: ignore[arg-type]
    assert (mode_of(path), mode_of(path.with_name("another"))) == (mode, mode)


def test_is_never_readable_by_more_than_asked_for(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: seen.append(stat.S_IMODE(os.fstat(descriptor).st_mode)))
    replace_file(path, b"newer")
    assert seen == [0o600]


def test_owner_is_who_was_asked_for(path: Path) -> None:
    owner = (1234, 2345) if os.getuid() == 0 else (os.getuid(), os.getgid())
    replace_file(path, b"newer", mode=0o640, owner=owner)
    found = path.stat()
    assert (found.st_uid, found.st_gid, mode_of(path)) == (*owner, 0o640)


def test_is_on_the_disk_before_it_takes_its_place(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced = []

    def sync(descriptor: int) -> None:
        synced.append((path.read_bytes(), os.fstat(descriptor).st_size))

    monkeypatch.setattr(os, "fsync", sync)
    replace_file(path, b"newer", durable=False)
    assert synced == []
    replace_file(path, b"newest")
    assert synced == [(b"newer", len(b"newest"))]


def test_a_disk_without_room_leaves_the_old_one_and_no_litter(path: Path) -> None:
    limit = "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))"  # the kernel refuses the 100,001st byte
    done = in_a_process(path, limit)
    assert "OSError: [Errno 27] File too large" in done.stderr
    assert (path.read_bytes(), os.listdir(path.parent)) == (b"old", [path.name])


def test_what_cannot_be_replaced_leaves_no_litter(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(IsADirectoryError):
        replace_file(tmp_path / "folder", b"new")
    assert os.listdir(tmp_path) == ["folder"]
    with pytest.raises(FileNotFoundError):
        replace_file(tmp_path / "nowhere" / "file", b"new")


def test_an_interrupt_leaves_the_old_one_and_no_litter(path: Path) -> None:
    done = in_a_process(path, "os.fsync = lambda descriptor: os.kill(os.getpid(), signal.SIGINT)")
    assert "KeyboardInterrupt" in done.stderr
    assert (path.read_bytes(), os.listdir(path.parent)) == (b"old", [path.name])


def test_a_killed_writer_leaves_the_old_one_and_a_part_that_can_be_removed(path: Path) -> None:
    path = path.rename(path.with_name("[k]*.json"))  # a name that a pattern would take for others
    done = in_a_process(path, "os.fsync = lambda descriptor: os.kill(os.getpid(), signal.SIGKILL)")
    assert done.returncode == -signal.SIGKILL
    assert path.read_bytes() == b"old"
    (part,) = path.parent.glob(f"*{PART}")
    others = path.with_name(".k.json.01234567.part")
    others.write_bytes(b"")
    remove_parts(path)
    assert sorted(path.parent.iterdir()) == sorted([path, others])
    assert part.name.startswith(".[k]*.json.")


def test_a_link_is_replaced_and_not_what_it_points_to(path: Path) -> None:
    link = path.with_name("link")
    link.symlink_to(path)
    replace_file(link, b"newer")
    assert (path.read_bytes(), link.read_bytes(), link.is_symlink()) == (b"old", b"newer", False)


@pytest.mark.parametrize("name", ["n" * 255, "ü" * 127, "🎤" * 63])
def test_a_name_may_be_as_long_as_names_are(tmp_path: Path, name: str) -> None:
    replace_file(tmp_path / name, b"new")
    assert os.listdir(tmp_path) == [name]


def test_writers_at_once_never_mix(path: Path) -> None:
    path.write_bytes(b"0" * _BYTES)
    begun, ended = threading.Barrier(4), threading.Event()
    torn: list[bytes] = []

    def write(letter: bytes) -> None:
        begun.wait()
        for _ in range(50):
            replace_file(path, letter * _BYTES, durable=False)

    def read() -> None:
        begun.wait()
        while not ended.is_set():
            data = path.read_bytes()
            if len(data) != _BYTES or data.count(data[:1]) != _BYTES:
                torn.append(data)

    writers = [threading.Thread(target=write, args=(letter,)) for letter in (b"a", b"b", b"c")]
    reader = threading.Thread(target=read)
    for thread in (*writers, reader):
        thread.start()
    for thread in writers:
        thread.join()
    ended.set()
    reader.join()
    assert torn == []
    assert path.read_bytes() in [letter * _BYTES for letter in (b"a", b"b", b"c")]
    assert os.listdir(path.parent) == [path.name]


def test_a_folder_is_synchronised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(os.fstat(descriptor)))
    sync_folder(tmp_path)
    assert [os.path.samestat(found, tmp_path.stat()) for found in synced] == [True]
    with pytest.raises(FileNotFoundError):
        sync_folder(tmp_path / "nowhere")


def test_needs_the_standard_library_alone() -> None:
    code = (
        "import sys; before = set(sys.modules)\n"
        "import phonotaxis.configs.atomic_file\n"
        "loaded = {name.split('.')[0] for name in set(sys.modules) - before}\n"
        "print(loaded - sys.stdlib_module_names)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "{'phonotaxis'}\n"
