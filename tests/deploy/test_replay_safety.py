"""The third stage: from what the guardian was told to what the drive got."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from phonotaxis.configs.robot import RobotConfig
from phonotaxis.deploy import messages
from phonotaxis.deploy.clock import now_ns
from phonotaxis.deploy.devices import DriveGone, OdometrySample
from phonotaxis.deploy.emergency_stop import EmergencyStop
from phonotaxis.deploy.episode_reader import Episode, read_episode
from phonotaxis.deploy.guardian_service import serve
from phonotaxis.deploy.guardian_trace import MAX_EVENTS, MAX_TRACE_BYTES, GuardianTrace
from phonotaxis.deploy.records import Message
from phonotaxis.deploy.recover import rewrite
from phonotaxis.deploy.replay import ReplayReport, check
from phonotaxis.deploy.replay_report import SAFETY
from phonotaxis.deploy.traced_guardian import RepeatedDrive, RepeatedGuardian, TracedGuardian
from phonotaxis.export.bundle import Bundle, read_bundle


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kept")


@pytest.fixture
def driven(make_rig: Any, kept: Path) -> tuple[Episode, Bundle]:
    """Give an armed run towards a wall, in which safety lets through and slows down; driven once for all tests."""
    if not (kept / "policy.onnx").exists():
        rig = make_rig(wall_m=1.2, eager=9.0)
        code, _, err = rig.finish(rig.start("--arm", duration_s=2.6))
        assert code == 0, err
        (kept / "episode.mcap").write_bytes(rig.episode().read_bytes())
        (kept / "policy.onnx").write_bytes(rig.bundle.path.read_bytes())
    return read_episode(kept / "episode.mcap"), read_bundle(kept / "policy.onnx")


def edited(
    episode: Episode, target: Path, topic: str, change: Callable[[dict[str, Any]], dict[str, Any] | None]
) -> Path:
    """Copy an episode with every JSON message of a topic changed, or left out where the change gives None."""

    def edit(found: list[Message]) -> list[Message]:
        kept = []
        for message in found:
            if message.topic == topic:
                fields = change(json.loads(message.data))
                if fields is None:
                    continue
                message = replace(message, data=messages.encode_json(fields))  # noqa: PLW2901
            kept.append(message)
        return kept

    rewrite(episode, target, edit)
    return target


def of_safety(report: ReplayReport) -> list[str]:
    return [mismatch.quantity for mismatch in report.mismatches if mismatch.stage == SAFETY]


def test_what_safety_let_through_is_recomputed_bit_for_bit(driven: tuple[Episode, Bundle]) -> None:
    episode, bundle = driven
    reasons = {status["reason"] for status in episode.safety()}
    assert {"disarmed", "ok", "obstacle"} <= reasons
    report = check(episode, bundle)
    assert report.ok, report
    stage = report.stages[2]
    assert stage.name == SAFETY
    assert stage.compared == len(episode.safety()) > 20
    assert stage.note == ""
    assert "statuses agree" in str(stage)


def test_a_speed_that_safety_would_not_have_allowed_is_found(driven: tuple[Episode, Bundle], tmp_path: Path) -> None:
    episode, bundle = driven
    slowed = [status["time_ns"] for status in episode.safety() if status["reason"] == "obstacle"][2]
    path = edited(
        episode, tmp_path / "fast.mcap", "/safety", lambda s: {**s, "v_mps": 0.9} if s["time_ns"] == slowed else s
    )
    assert of_safety(check(path, bundle)) == ["safety.v_mps"]
    path = edited(
        episode, tmp_path / "why.mcap", "/safety", lambda s: {**s, "reason": "ok"} if s["time_ns"] == slowed else s
    )
    assert of_safety(check(path, bundle)) == ["safety.reason"]


def test_a_command_that_the_policy_never_gave_is_found(driven: tuple[Episode, Bundle], tmp_path: Path) -> None:
    episode, bundle = driven

    def faster(status: dict[str, Any]) -> dict[str, Any]:
        for event in status["trace"]["events"]:
            if len(event) == 2 and event[1]["type"] == "command" and event[1]["sequence"] == 6:
                event[1]["v_mps"] += 0.001
        return status

    path = edited(episode, tmp_path / "command.mcap", "/safety", faster)
    assert "safety.command_v_mps" in of_safety(check(path, bundle))


def test_a_free_way_that_the_camera_did_not_show_is_found(driven: tuple[Episode, Bundle], tmp_path: Path) -> None:
    episode, bundle = driven

    def freer(status: dict[str, Any]) -> dict[str, Any]:
        for event in status["trace"]["events"]:
            if len(event) == 2 and event[1].get("clearance_m") is not None:
                event[1]["clearance_m"] = 5.0
        return status

    found = of_safety(check(edited(episode, tmp_path / "free.mcap", "/safety", freer), bundle))
    assert found[0] == "safety.clearance_m"


def test_a_lost_status_is_said_not_guessed(driven: tuple[Episode, Bundle], tmp_path: Path) -> None:
    episode, bundle = driven
    count, seen = len(episode.safety()), 0

    def drop(status: dict[str, Any]) -> dict[str, Any] | None:
        nonlocal seen
        seen += 1
        return None if seen == count // 2 else status

    stage = check(edited(episode, tmp_path / "lost.mcap", "/safety", drop), bundle).stages[2]
    assert stage.compared == count // 2 - 1
    assert "lost what the guardian was told" in stage.note


def test_logs_without_a_trace_are_not_judged(recorded: tuple[Path, Bundle]) -> None:
    stage = check(*recorded).stages[2]
    assert stage.compared == 0
    assert "12 not recomputed" in stage.note


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
        if tick in (2, 50, 85, 95):
            real.person({2: "arm", 50: "arm", 85: "emergency_stop", 95: "release"}[tick], at_ns)
        real.handle({"type": "command", "v_mps": 0.9, "w_radps": 0.1, "due_ns": at_ns, "sequence": tick}, at_ns)
        real.tick(at_ns)
        if tick % 7 == 0:
            real.listen()
        part = real.trace.offer()
        real.trace.sent()
        for event in json.loads(json.dumps(part["events"])):
            repeated.take(event)
        assert repeated.guardian is not None
        assert repeated.guardian.status(at_ns) == real.status(at_ns), tick
        seen.add(real.status(at_ns)["reason"])
    assert {"disarmed", "ok", "drive gone", "late tick", "emergency stop"} <= seen


def test_a_trace_without_its_beginning_is_refused(toy: Any) -> None:
    from phonotaxis.configs.robot import simulated_robot

    contract = toy.contract()
    with pytest.raises(ValueError, match="begin"):
        RepeatedGuardian(simulated_robot(contract.array, contract.camera, "none")).take([5])
