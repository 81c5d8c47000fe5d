from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from phonotaxis.configs.robot import load_robot
from phonotaxis.deploy import guardian as guardian_process
from phonotaxis.deploy.clock import SampleClock, now_ns
from phonotaxis.deploy.devices import DeviceError, DriveGone
from phonotaxis.deploy.guardian import Guardian, brake, serve
from phonotaxis.deploy.plain_robot import to_plain

MS = 1_000_000
Until = Callable[[Callable[[], bool]], None]
Armed = Callable[[int], tuple[Guardian, Any]]


def _sensors(at_ns: int) -> dict[str, Any]:
    return {"type": "sensors", "audio_ns": at_ns, "depth_ns": at_ns, "clearance_m": 5.0}


def _command(at_ns: int, sequence: int = 0) -> dict[str, Any]:
    return {"type": "command", "v_mps": 0.5, "w_radps": 0.25, "due_ns": at_ns, "sequence": sequence}


@pytest.fixture
def armed(fake_drive: Any) -> Armed:
    """Give a function that makes an armed guardian and its drive."""

    def make(at_ns: int) -> tuple[Guardian, Any]:
        drive = fake_drive()
        guardian = Guardian(load_robot("simulated"), drive)
        guardian.handle(_sensors(at_ns), at_ns)
        guardian.handle({"type": "arm"}, at_ns)
        return guardian, drive

    return make


def test_it_starts_disarmed_and_moves_only_whenarmed(armed: Armed, fake_drive: Any) -> None:
    drive = fake_drive()
    guardian = Guardian(load_robot("simulated"), drive)
    guardian.handle(_sensors(0), 0)
    guardian.handle(_command(0), 0)
    guardian.tick(0)
    guardian.handle({"type": "arm"}, 0)
    guardian.tick(0)
    assert drive.got == [(0.0, 0.0)] * 2  # what was asked for before arming is forgotten
    guardian.handle(_command(0, 7), 0)
    guardian.tick(0)
    assert drive.got[-1] == (0.5, 0.25)
    assert guardian.status(0)["sequence"] == 7
    assert guardian.status(0)["armed"]


def test_stop_brakes_disarms_and_stays_so(armed: Armed) -> None:
    guardian, drive = armed(0)
    guardian.handle(_command(0), 0)
    guardian.tick(0)
    guardian.handle({"type": "stop"}, 0)
    guardian.tick(1)
    assert drive.got[-1] == (0.0, 0.0)
    assert guardian.status(1) == {
        "type": "status", "time_ns": 1, "v_mps": 0.0, "w_radps": 0.0, "reason": "goal reached",
        "armed": False, "blocked": False, "sequence": -1,
    }  # fmt: skip
    guardian.handle(_command(2), 2)
    guardian.handle(_sensors(2), 2)
    guardian.tick(2)
    assert drive.got[-1] == (0.0, 0.0)


def test_silence_disarms_for_good(armed: Armed) -> None:
    guardian, drive = armed(0)
    guardian.handle(_command(0), 0)
    guardian.tick(200 * MS)
    assert drive.got[-1] == (0.5, 0.25)
    guardian.tick(251 * MS)
    assert drive.got[-1] == (0.0, 0.0)
    assert guardian.status(0)["reason"] == "runtime silent"
    guardian.handle(_sensors(260 * MS), 260 * MS)
    guardian.handle(_command(260 * MS), 260 * MS)
    guardian.tick(260 * MS)
    assert drive.got[-1] == (0.0, 0.0)
    assert not guardian.status(0)["armed"]


@pytest.mark.parametrize(
    ("message", "error"),
    [
        ({"type": "fly"}, ValueError),
        ({}, KeyError),
        ({"type": "command", "v_mps": "fast"}, ValueError),
        ({"type": "command", "v_mps": 1.0}, KeyError),
        ({"type": "sensors", "audio_ns": [], "depth_ns": 0, "clearance_m": 0}, TypeError),
    ],
)
def test_odd_messages_are_errors(message: dict[str, Any], error: type[Exception], armed: Armed) -> None:
    with pytest.raises(error):
        armed(0)[0].handle(message, 0)


@pytest.mark.parametrize("packet", [b"{", b"[]", b"\xff", b'{"type": "fly"}'])
def test_nonsense_on_the_wire_ends_the_service(packet: bytes, armed: Armed) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        theirs.send(packet)
        assert serve(ours, armed(now_ns())[0]) == "connection ended"


def test_it_serves_ticks_and_tells_until_the_connection_ends(armed: Armed, until: Until) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    guardian, drive = armed(now_ns())
    thread = threading.Thread(target=serve, args=(ours, guardian))
    thread.start()
    until(lambda: len(drive.got) >= 3)
    assert theirs.recv(4096).startswith(b'{"type":"status"')
    theirs.close()
    thread.join(10)
    assert not thread.is_alive()
    ours.close()
    assert len(drive.got) >= 3
    brake(guardian, "runtime ended")
    assert drive.got[-1] == (0.0, 0.0)
    assert not guardian.status(0)["armed"]


def test_why_the_drive_has_gone_is_told_once(fake_drive: Any, until: Until) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    drive = fake_drive(fault=DriveGone("/dev/ttyDRIVE: the line was hung up"), lasts=2)
    guardian = Guardian(load_robot("simulated"), drive)
    thread = threading.Thread(target=serve, args=(ours, guardian))
    thread.start()
    until(lambda: drive.refused >= 3)
    told = [json.loads(packet) for packet in iter(lambda: _packet(theirs), b"")]
    theirs.close()
    thread.join(10)
    ours.close()
    told = [message for message in told if message["type"] == "notice"]
    assert told == [
        {"type": "notice", "event": "drive", "level": "warning", "text": "/dev/ttyDRIVE: the line was hung up"}
    ]
    drive.fault = None  # back, and gone again
    guardian.tick(now_ns())
    drive.fault = DriveGone("once more")
    guardian.tick(now_ns())
    assert guardian.notices == ["once more"]


def _packet(link: socket.socket) -> bytes:
    try:
        return link.recv(4096, socket.MSG_DONTWAIT)
    except BlockingIOError:
        return b""


def test_a_lost_drive_ends_the_service(fake_drive: Any) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    guardian = Guardian(load_robot("simulated"), fake_drive(fault=DeviceError("unplugged"), lasts=2))
    with ours, theirs, pytest.raises(DeviceError, match="unplugged"):
        serve(ours, guardian)
    brake(guardian, "drive gone")  # what is gone can't be braked, and that is no error here


@pytest.mark.parametrize("shadow", [False, True])
def test_a_shadows_drive_is_opened_as_one(shadow: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    robot, opened = load_robot("simulated"), []
    (tmp_path / "robot.json").write_text(to_plain(robot, "key"))

    def refuse(robot: Any, shadow: bool) -> None:
        opened.append(shadow)
        raise DeviceError("seen enough")

    monkeypatch.setattr(guardian_process.signal, "signal", lambda number, handler: None)
    monkeypatch.setattr(guardian_process, "accept_runtime", lambda path: None)
    monkeypatch.setattr(guardian_process, "Control", lambda path: SimpleNamespace(close=lambda: None))
    monkeypatch.setattr(guardian_process, "open_drive", refuse)
    words = ["--config", str(tmp_path / "robot.json"), "--socket", "unused", *(["--shadow"] if shadow else [])]
    assert guardian_process.main(words) == 1
    assert opened == [shadow]


def test_the_sample_clock_follows_the_newest_block() -> None:
    clock = SampleClock(16000)
    with pytest.raises(ValueError, match="no block yet"):
        clock.ns_at(0)
    clock.observe(0, 1000)
    assert clock.ns_at(16000) == 1_000_001_000
    clock.observe(160_000, 1000 + 10_000_000_000 - 1_000_000)
    assert clock.ns_at(159_984) == 1000 + 10_000_000_000 - 2_000_000
    clock.restart()
    with pytest.raises(ValueError, match="no block yet"):
        clock.ns_at(0)
