from __future__ import annotations

import os
import socket
import stat
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from phonotaxis.configs import wire


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    a, b = socket.socketpair()
    b.settimeout(0.2)
    yield a, b
    a.close()
    b.close()


Pair = tuple[socket.socket, socket.socket]


def test_frames_keep_header_payload_and_order(pair: Pair) -> None:
    values = np.arange(-6, 6, dtype=np.int16).reshape(2, 6)
    description, payload = wire.array_payload(values[:, ::2])
    wire.send(pair[0], {"type": "audio", **description}, payload)
    wire.send(pair[0], {"type": "odometry", "dx_m": 1 / 3})
    header, data = wire.receive(pair[1])
    assert np.array_equal(wire.array_from(header, data, "int16", 2), values[:, ::2])
    assert wire.receive(pair[1]) == ({"type": "odometry", "dx_m": 1 / 3}, b"")


def test_silence_is_told_from_an_end(pair: Pair) -> None:
    with pytest.raises(wire.WireTimeout):
        wire.receive(pair[1])
    pair[0].close()
    with pytest.raises(wire.WireError, match="closed") as caught:
        wire.receive(pair[1])
    assert not isinstance(caught.value, wire.WireTimeout)


def test_a_frame_that_ends_early_is_an_error(pair: Pair) -> None:
    pair[0].sendall(struct.pack("<II", 20, 0) + b'{"type"')
    pair[0].close()
    with pytest.raises(wire.WireError, match="closed"):
        wire.receive(pair[1])


@pytest.mark.parametrize(
    "data",
    [
        struct.pack("<II", 2**31, 0),
        struct.pack("<II", 4, 2**31) + b"null",
        struct.pack("<II", 4, 0) + b"null",
        struct.pack("<II", 4, 0) + b"\xff\xfe{}",
        struct.pack("<II", 2, 0) + b"{}",
        struct.pack("<II", 60000, 0) + b"[" * 60000,
    ],
)
def test_what_is_no_frame_is_refused(pair: Pair, data: bytes) -> None:
    pair[0].sendall(data)
    with pytest.raises(wire.WireError, match="not a frame"):
        wire.receive(pair[1])


@pytest.mark.parametrize(
    "header",
    [
        {"dtype": "int16", "shape": [2, 3]},
        {"dtype": "float32", "shape": [2, 2]},
        {"dtype": "int16", "shape": [4]},
        {"dtype": "int16", "shape": [-2, -2]},
        {"dtype": "int16", "shape": "2x2"},
        {},
    ],
)
def test_arrays_must_be_what_they_announce(header: dict[str, object]) -> None:
    with pytest.raises(wire.WireError):
        wire.array_from(header, bytes(8), "int16", 2)
    good = wire.array_from({"dtype": "int16", "shape": [2, 2]}, bytes(8), "int16", 2)
    assert good.shape == (2, 2)


def test_only_this_user_reaches_the_socket(tmp_path: Path) -> None:
    path = tmp_path / "wire" / "robot.sock"
    with wire.listen(path) as listener:
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        with wire.connect(path, "drive", 1.0) as link:
            server, _ = listener.accept()
            with server:
                assert wire.receive(server)[0] == {"type": "hello", "role": "drive"}
                assert wire.peer_is_self(server)
                assert wire.peer_is_self(link)


def test_a_folder_open_to_others_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "open"
    folder.mkdir()
    folder.chmod(0o755)
    with pytest.raises(wire.WireError, match="chmod 700"):
        wire.listen(folder / "robot.sock")


def test_folders_above_a_socket_are_private_whatever_the_umask_is(tmp_path: Path) -> None:
    """A umask of 002, as Ubuntu's users have it, would make them open to a group, and the next run refuse them."""
    before = os.umask(0o002)
    try:
        wire.listen(tmp_path / "run" / "phonotaxis" / "robot.sock").close()
    finally:
        os.umask(before)
    assert [stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "run", tmp_path / "run" / "phonotaxis")] == [
        0o700,
        0o700,
    ]


@pytest.mark.parametrize(
    ("made", "said"),
    [("writable", "others may write to it; chmod go-w"), ("file", "it is no folder"), ("foreign", "another user's")],
)
def test_a_runtime_folder_that_is_not_this_users_alone_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made: str, said: str
) -> None:
    folder = tmp_path / "run"
    folder.touch() if made == "file" else folder.mkdir()
    folder.chmod(0o775 if made == "writable" else 0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    if made == "foreign":
        monkeypatch.setattr(os, "getuid", lambda: folder.stat().st_uid + 1)
    with pytest.raises(wire.WireError, match=f"run: sockets shall lie in it, and .*{said}.*set XDG_RUNTIME_DIR"):
        wire.socket_path("phonotaxis/robot.sock")
    assert wire.socket_path("/abs/robot.sock") == Path("/abs/robot.sock")


def test_a_runtime_folder_may_be_readable_and_a_link_of_the_users(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run").chmod(0o755)
    (tmp_path / "link").symlink_to(tmp_path / "run")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "link"))
    assert wire.runtime_folder() == tmp_path / "link"


def test_the_folder_for_want_of_one_is_no_link(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has put it there can lay it anew."""
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.setattr(os, "getuid", lambda: os.stat("/").st_uid + 4_000_000)
    folder = wire.runtime_folder()
    folder.symlink_to("/tmp")
    try:
        with pytest.raises(wire.WireError, match="it is no folder"):
            wire.runtime_folder()
    finally:
        folder.unlink()


def test_nobody_listening_says_what_to_start(tmp_path: Path) -> None:
    with pytest.raises(wire.WireError, match="simulated_robot"):
        wire.connect(tmp_path / "absent.sock", "sensors", 1.0)


def test_a_path_too_long_for_a_socket_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(wire.WireError, match="can't listen"):
        wire.listen(tmp_path / "wire" / ("x" * 120))


def test_relative_paths_lie_in_the_users_runtime_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/7")
    assert wire.socket_path("phonotaxis/robot.sock") == Path("/run/user/7/phonotaxis/robot.sock")
    assert wire.socket_path("/abs/robot.sock") == Path("/abs/robot.sock")
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    assert wire.socket_path("a/b") == Path(f"/tmp/phonotaxis-{os.getuid()}/a/b")
    monkeypatch.setenv("XDG_RUNTIME_DIR", "run")  # every process would have its own
    assert wire.socket_path("a/b") == Path(f"/tmp/phonotaxis-{os.getuid()}/a/b")
