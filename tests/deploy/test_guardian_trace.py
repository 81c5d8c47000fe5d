"""What a guardian was told, kept and handed on, and a guardian that repeats it."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from phonotaxis.configs.robot import RobotConfig
from phonotaxis.deploy.clock import now_ns
from phonotaxis.deploy.devices import DriveGone, OdometrySample
from phonotaxis.deploy.emergency_stop import EmergencyStop
from phonotaxis.deploy.guardian_service import serve
from phonotaxis.deploy.guardian_trace import MAX_EVENTS, MAX_TRACE_BYTES, GuardianTrace
from phonotaxis.deploy.traced_guardian import RepeatedDrive, RepeatedGuardian, TracedGuardian


def repeat(real: TracedGuardian, repeated: RepeatedGuardian, at_ns: int) -> None:
    """Hand on what one guardian was told to the one that repeats it, which then must say the same."""
    part = real.trace.offer()
    real.trace.sent()
    for event in json.loads(json.dumps(part["events"])):
        repeated.take(event)
    assert repeated.guardian is not None
    assert repeated.guardian.status(at_ns) == real.status(at_ns)


def test_a_trace_is_cut_to_packets_and_numbers_run_on() -> None:
    trace = GuardianTrace()
    for number in range(500):
        trace.ticked(number)
        trace.heard(number, {"type": "sensors", "audio_ns": number, "depth_ns": None, "clearance_m": 0.1})
    assert trace.offer() == trace.offer()  # unsent, it is offered again
    got: list[Any] = []
    while len(got) < 1000:
        part = trace.offer()
        assert part["first"] == len(got)
        assert len(json.dumps(part["events"], separators=(",", ":"))) <= MAX_TRACE_BYTES + 10
        assert part["left"] == 1000 - len(got) - len(part["events"])
        got += part["events"]
        trace.sent()
    assert got[1] == [0, {"type": "sensors", "audio_ns": 0, "depth_ns": None, "clearance_m": 0.1}]
    assert got[-2] == [499]


def test_a_trace_that_nobody_takes_is_bounded_and_shows_as_a_jump() -> None:
    trace = GuardianTrace()
    for number in range(MAX_EVENTS + 7):
        trace.ticked(number)
    part = trace.offer()
    assert part["first"] == 7
    assert part["events"][0] == [7]


def test_the_guardian_keeps_its_trace_until_the_runtime_listens(toy: Any, tmp_path: Path) -> None:
    """A runtime that reads nothing for a while: the socket fills, statuses are lost, their events are not."""
    from phonotaxis.configs.robot import simulated_robot

    contract = toy.contract()
    robot: RobotConfig = simulated_robot(contract.array, contract.camera, "none")
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4608)
    guardian = TracedGuardian(robot, RepeatedDrive(), EmergencyStop(tmp_path / "latch.json"))
    thread = threading.Thread(target=serve, args=(theirs, guardian, None, guardian.trace))
    thread.start()
    ours.settimeout(10)
    for number in range(300):  # each is a status that differs
        ours.send(json.dumps({"type": "arm" if number % 2 else "disarm"}).encode())
    ours.send(json.dumps({"type": "sensors", "audio_ns": now_ns(), "depth_ns": None, "clearance_m": None}).encode())
    expected, told = 0, 0
    while told < 302:  # with its beginning
        status = json.loads(ours.recv(4096))
        assert status["trace"]["first"] == expected
        expected += len(status["trace"]["events"])
        told += sum(len(event) == 2 for event in status["trace"]["events"])
    ours.send(b'{"type": "quit"}')
    thread.join(10)
    assert not thread.is_alive()
    ours.close()
    theirs.close()


class Moody(RepeatedDrive):
    """A drive that reports its wheels, and is gone for a while."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def command(self, v_mps: float, w_radps: float) -> None:
        self.calls += 1
        if 40 <= self.calls < 45:
            raise DriveGone("unplugged")

    def motions(self) -> list[OdometrySample]:
        return [OdometrySample(0.011, 0.0, 0.001, False, 20_000_000 * self.calls)] if self.calls % 3 == 0 else []


def test_wheels_persons_and_a_drive_that_goes_are_repeated_too(toy: Any, tmp_path: Path) -> None:
    """Two seconds of a guardian's life, all of its inputs: what is repeated from the trace is the same in each tick."""
    from phonotaxis.configs.robot import simulated_robot

    contract = toy.contract()
    robot = simulated_robot(contract.array, contract.camera, "none")
    real = TracedGuardian(robot, Moody(), EmergencyStop(tmp_path / "latch.json"))
    repeated, seen = RepeatedGuardian(robot), set()
    for tick in range(100):
        at_ns = 20_000_000 * (tick + 1) + (90_000_000 if tick > 60 else 0)  # one tick is late
        real.handle({"type": "sensors", "audio_ns": at_ns, "depth_ns": at_ns, "clearance_m": 2.0 - 0.02 * tick}, at_ns)
        if request := {2: "arm", 36: "arm", 50: "arm", 85: "emergency_stop", 95: "release"}.get(tick):
            assert real.person(request, at_ns)[0] == (tick != 36)  # the drive is gone then
        real.handle({"type": "command", "v_mps": 0.9, "w_radps": 0.1, "due_ns": at_ns, "sequence": tick}, at_ns)
        real.tick(at_ns)
        if tick % 7 == 0:
            real.listen()
        repeat(real, repeated, at_ns)
        seen.add(real.status(at_ns)["reason"])
    assert {"disarmed", "ok", "drive gone", "late tick", "emergency stop"} <= seen


def test_a_turn_since_the_frame_is_repeated_too(toy: Any, tmp_path: Path) -> None:
    from phonotaxis.configs.robot import simulated_robot

    contract = toy.contract()
    robot = simulated_robot(contract.array, contract.camera, "none")
    drive = Late()
    real = TracedGuardian(robot, drive, EmergencyStop(tmp_path / "latch.json"))
    repeated, seen = RepeatedGuardian(robot), []
    real.person("arm", 0)
    for tick in range(1, 30):
        at_ns = 20_000_000 * tick
        sensors = {"type": "sensors", "audio_ns": at_ns, "depth_ns": 20_000_000, "clearance_m": 5.0}
        real.handle(sensors, at_ns)
        real.handle({"type": "command", "v_mps": 0.5, "w_radps": 0.0, "due_ns": at_ns, "sequence": tick}, at_ns)
        drive.said = [OdometrySample(0.0, 0.0, 0.0176, False, at_ns)]  # the wheels say that it turns
        real.tick(at_ns)
        repeat(real, repeated, at_ns)
        seen.append(real.status(at_ns)["reason"])
    assert seen[0] == "ok"
    assert seen[-1] == "way ahead unknown"


def test_a_trace_without_its_beginning_is_refused(toy: Any) -> None:
    from phonotaxis.configs.robot import simulated_robot

    contract = toy.contract()
    with pytest.raises(ValueError, match="begin"):
        RepeatedGuardian(simulated_robot(contract.array, contract.camera, "none")).take([5])


def test_a_strangers_trace_costs_no_more_than_a_guardian_has_time_for(toy: Any) -> None:
    from phonotaxis.configs.robot import simulated_robot

    contract = toy.contract()
    repeated = RepeatedGuardian(simulated_robot(contract.array, contract.camera, "none"))
    repeated.take([5, {"type": "begin", "emergency": "", "shadow": False}])
    for _ in range(2000):
        repeated.take([6])
    with pytest.raises(ValueError, match="more than 2000 events in a second"):
        repeated.take([6])


class Late(RepeatedDrive):
    """A drive whose reports come late, all at once."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[OdometrySample] = []

    def motions(self) -> list[OdometrySample]:
        said, self.said = self.said, []
        return said


@pytest.mark.parametrize("call", ["tick", "listen", "emergency_stop"])
def test_reports_that_come_late_all_at_once_end_no_trace(toy: Any, tmp_path: Path, call: str) -> None:
    """A serial port's come by as much as a second late: fifty in one event, which alone was larger than a packet."""
    from phonotaxis.configs.robot import simulated_robot

    contract = toy.contract()
    robot = simulated_robot(contract.array, contract.camera, "none")
    drive = Late()
    real = TracedGuardian(robot, drive, EmergencyStop(tmp_path / "latch.json"))
    calls: dict[str, Callable[[int], Any]] = {
        "tick": real.tick,
        "listen": lambda at_ns: real.listen(),
        "emergency_stop": lambda at_ns: real.person("emergency_stop", at_ns),
    }
    way_m = 0.0123456789012345678
    sensors = {"type": "sensors", "audio_ns": 10**18, "depth_ns": 10**18, "clearance_m": 5.0}
    real.handle(sensors, 10**18)
    real.person("arm", 10**18)
    for number in range(5):
        at_ns = 10**18 + 20_000_000 * (number + 1)
        real.handle({"type": "command", "v_mps": 0.5, "w_radps": 0.0, "due_ns": at_ns, "sequence": number}, at_ns)
        real.tick(at_ns)
    drive.said = [OdometrySample(way_m, -way_m / 3, way_m / 7, False, 10**18 + number) for number in range(60)]
    calls[call](at_ns + 10_000_000)
    real.tick(at_ns + 20_000_000)
    repeated, left = RepeatedGuardian(robot), 1
    while left:
        part = real.trace.offer()
        assert part["events"], "nothing more would ever be sent"
        assert len(json.dumps(part["events"], separators=(",", ":"))) <= MAX_TRACE_BYTES + 10
        left = part["left"]
        real.trace.sent()
        for event in json.loads(json.dumps(part["events"])):
            repeated.take(event)
    assert repeated.guardian is not None
    for later_ns in (0, 10_000_000, 200_000_000):
        assert repeated.guardian.status(at_ns + later_ns) == real.status(at_ns + later_ns)
    assert repeated.guardian._filter._way.__dict__ == real._filter._way.__dict__
