"""The guardian's socket: a person's word, another process's latch, and those who hang, hang up or talk nonsense."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from phonotaxis.configs.robot import RobotConfig
from phonotaxis.deploy.clock import now_ns
from phonotaxis.deploy.control import MAX_CLIENTS, Control, ControlError, NoGuardian, ask, control_path
from phonotaxis.deploy.emergency_stop import EmergencyStop, latch_path
from phonotaxis.deploy.guardian import Guardian
from phonotaxis.deploy.traced_guardian import RepeatedGuardian, TracedGuardian


def _sense(guardian: Guardian, at_ns: int, clearance_m: float | None = 5.0) -> None:
    guardian.handle({"type": "sensors", "audio_ns": at_ns, "depth_ns": at_ns, "clearance_m": clearance_m}, at_ns)


@pytest.fixture
def served(robot: RobotConfig, serving: Any, fake_drive: Any) -> Iterator[Guardian]:
    with serving(robot, fake_drive()) as guardian:
        yield guardian


def test_a_person_arms_stops_and_releases_over_the_socket(robot: RobotConfig, served: Guardian) -> None:
    assert stat.S_IMODE(control_path(robot).stat().st_mode) == 0o600
    _sense(served, now_ns())
    assert ask(robot, "arm")["text"].startswith("armed")
    assert ask(robot, "status")["status"]["time_ns"] > 0
    assert "latched" in ask(robot, "emergency_stop")["text"]
    with pytest.raises(ControlError, match="is latched"):
        ask(robot, "arm")
    assert "released" in ask(robot, "release")["text"]
    with pytest.raises(ControlError, match="no request"):
        ask(robot, "fly")


@pytest.mark.parametrize(
    "requests", [["disarm"], ["emergency_stop", "release"], ["arm", "disarm"]], ids=["disarm", "stop", "arm_and_disarm"]
)
def test_a_persons_word_holds_against_an_older_wish_to_arm(
    robot: RobotConfig, fake_drive: Any, requests: list[str]
) -> None:
    """`run --arm` waits for its sensors; meanwhile a person has said no."""
    guardian = Guardian(robot, fake_drive(), EmergencyStop(latch_path(robot)))
    _sense(guardian, 0)
    for request in requests:
        assert guardian.person(request, 0)[0]
    guardian.handle({"type": "arm"}, 1)
    guardian.tick(1)
    assert not guardian.armed
    assert guardian.status(1)["reason"] == ("disarmed" if requests[-1] == "release" else "disarmed by a person")
    assert guardian.person("arm", 2)[0]
    guardian.disarm("drive gone")  # nobody's word
    guardian.handle({"type": "arm"}, 3)
    assert guardian.armed


@pytest.mark.parametrize(("rules", "armed"), [({}, True), ({"rules": 1}, False)])
def test_logs_of_before_that_are_repeated_as_it_was(robot: RobotConfig, rules: dict[str, int], armed: bool) -> None:
    repeated = RepeatedGuardian(robot)
    begin = {"type": "begin", "shadow": False, "emergency": "", **rules}
    for event in (begin, {"type": "person", "request": "disarm"}, {"type": "arm"}):
        repeated.take([5, event])
    assert repeated.guardian is not None
    assert repeated.guardian.armed == armed


def test_a_latch_that_another_process_wrote_holds(robot: RobotConfig, toy: Any, fake_drive: Any) -> None:
    """`robot stop` that finds no guardian writes the file; one may run all the same, under other variables."""
    guardian = TracedGuardian(robot, fake_drive(), EmergencyStop(latch_path(robot)))
    repeated = RepeatedGuardian(robot)
    _sense(guardian, 0)
    EmergencyStop(latch_path(robot)).latch("a person pressed it")
    done, text = guardian.person("arm", 0)
    assert not done
    assert "is latched (a person pressed it)" in text
    guardian.handle({"type": "arm"}, 1)
    assert not guardian.armed
    guardian.tick(2)
    for event in guardian.trace.offer()["events"]:
        repeated.take(event)
    assert repeated.guardian is not None
    assert not repeated.guardian.armed
    assert repeated.guardian.status(2) == guardian.status(2)


def test_who_has_hung_up_arms_nothing(folder: Path) -> None:
    """A guardian that opens its drive for long finds requests whose askers were told to cut the motors' power."""
    control = Control(folder / "private" / "guardian")
    askers = [socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in range(4)]
    for asker, request in zip(askers, ("arm", "emergency_stop", "disarm", "arm")):
        asker.connect(str(folder / "private" / "guardian"))
        asker.send(json.dumps({"type": request}).encode())
    for asker in askers[:3]:
        asker.close()
    for _ in askers:
        control.requests([control.sockets()[0]])
    assert [request for _, request in control.requests(control.sockets())] == ["emergency_stop", "disarm", "arm"]
    askers[3].close()
    control.close()


def test_a_guardian_that_hangs_is_not_taken_for_none(robot: RobotConfig) -> None:
    control = Control(control_path(robot))
    waiting = [socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in range(8)]
    for link in waiting:  # until its queue is full
        link.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            link.connect(str(control_path(robot)))
    with pytest.raises(ControlError, match="does not answer.*cut the motors' power"):
        ask(robot, "emergency_stop", timeout_s=0.2)
    with pytest.raises(FileExistsError, match="another guardian of this robot runs"):
        Control(control_path(robot))
    for link in (*waiting, control):
        link.close()


def test_nonsense_and_silence_on_the_socket_hold_nothing_up(
    robot: RobotConfig, served: Guardian, until: Callable[[Callable[[], bool]], None]
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as link:
        link.connect(str(control_path(robot)))
        link.send(b"\xff\xfe{")
        time.sleep(0.1)
        before = len(served._drive.got)  # type: ignore[attr-defined]
        until(lambda: len(served._drive.got) - before >= 3)  # type: ignore[attr-defined]
    assert ask(robot, "disarm")["ok"]


def test_connections_that_idle_keep_nobody_from_stopping_it(robot: RobotConfig, served: Guardian) -> None:
    ask(robot, "arm")
    with contextlib.ExitStack() as links:
        for _ in range(2 * MAX_CLIENTS):
            links.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)).connect(str(control_path(robot)))
            time.sleep(0.05)  # it takes one a turn
        assert ask(robot, "emergency_stop")["text"] == "emergency stop latched"
    assert ask(robot, "status")["text"].startswith("disarmed")


def test_a_second_guardian_of_a_robot_is_refused(robot: RobotConfig, served: Guardian) -> None:
    with pytest.raises(FileExistsError, match="another guardian of this robot runs"):
        Control(control_path(robot))


def test_without_a_guardian_the_person_is_told(robot: RobotConfig) -> None:
    with pytest.raises(NoGuardian, match="start `phonotaxis run` first"):
        ask(robot, "arm")


def test_another_users_guardian_is_none(robot: RobotConfig, served: Guardian, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("phonotaxis.deploy.control.peer_is_self", lambda link: False)
    with pytest.raises(ControlError, match="another user's.*cut the motors' power"):
        ask(robot, "emergency_stop")


def test_a_folder_open_to_others_is_refused(robot: RobotConfig) -> None:
    path = control_path(robot)
    path.parent.mkdir(parents=True)
    os.chmod(path.parent, 0o755)
    with pytest.raises(PermissionError, match="make it 0700"):
        Control(path)
