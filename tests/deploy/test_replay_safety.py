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
from phonotaxis.deploy.recover import recover, rewrite
from phonotaxis.deploy.replay import ReplayReport, check
from phonotaxis.deploy.replay_known import Known
from phonotaxis.deploy.replay_report import SAFETY
from phonotaxis.deploy.replay_safety import COMPARED
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


def without(episode: Episode, target: Path, number: int, event: str = "") -> Path:
    """Copy an episode without one of its statuses, with an event that says so where one is named."""
    lost = [message for message in episode.messages if message.topic == "/safety"][number]

    def change(found: list[Message]) -> list[Message]:
        fields = messages.health_dict(lost.log_ns, "error", event, "a record is missing", {})
        said = [replace(lost, topic="/health", data=messages.encode_json(fields))] if event else []
        at = found.index(lost)
        return [*found[:at], *said, *found[at + 1 :]]

    rewrite(episode, target, change)
    return target


@pytest.mark.parametrize("event", ["log_dropped", "log_resumed", "log_refused", "trace_lost"])
def test_a_status_that_the_log_says_it_lost_is_said_not_guessed(
    driven: tuple[Episode, Bundle], tmp_path: Path, event: str
) -> None:
    episode, bundle = driven
    count = len(episode.safety())
    report = check(without(episode, tmp_path / "lost.mcap", count // 2, event), bundle)
    assert of_safety(report) == []
    assert report.stages[2].compared == count // 2
    assert "lost what the guardian was told" in report.stages[2].note


def test_a_status_that_is_missing_without_a_word_is_found(golden: tuple[Episode, Bundle], tmp_path: Path) -> None:
    episode, bundle = golden
    report = check(without(episode, tmp_path / "lost.mcap", 20), bundle)
    assert not report.ok
    assert of_safety(report) == ["safety.trace"]
    assert (report.stages[2].compared, report.stages[2].differing) == (21, 1)
    assert "lost what the guardian was told" in report.stages[2].note
    parted = replace(episode, metadata={**episode.metadata, "run_id": "one", "part": "2"})
    alone = check(without(parted, tmp_path / "e.part2.mcap", 0), bundle)  # a part alone: the first one is missing
    assert of_safety(alone) == []


def untraced(status: dict[str, Any]) -> dict[str, Any] | None:
    return {key: value for key, value in status.items() if key != "trace"}


def put_off(status: dict[str, Any]) -> dict[str, Any] | None:
    return {**status, "v_mps": 0.0, "trace": {**status["trace"], "left": 1}}


def put_off_for_ever(status: dict[str, Any]) -> dict[str, Any] | None:
    return {**status, "trace": {"first": 0, "events": [], "left": 1000}}


def none_at_all(status: dict[str, Any]) -> dict[str, Any] | None:
    return None


@pytest.mark.parametrize("change", [untraced, put_off, put_off_for_ever, none_at_all])
def test_a_robots_safety_stage_cant_be_switched_off(
    golden: tuple[Episode, Bundle], tmp_path: Path, change: Any
) -> None:
    episode, bundle = golden
    report = check(edited(episode, tmp_path / "off.mcap", "/safety", change), bundle)
    assert set(of_safety(report)) == {"safety.trace"}
    assert 0 < report.stages[2].differing <= report.stages[2].compared


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
        if request := {2: "arm", 36: "arm", 50: "arm", 85: "emergency_stop", 95: "release"}.get(tick):
            assert real.person(request, at_ns)[0] == (tick != 36)  # the drive is gone then
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
        part = real.trace.offer()
        real.trace.sent()
        for event in json.loads(json.dumps(part["events"])):
            repeated.take(event)
        assert repeated.guardian is not None
        assert repeated.guardian.status(at_ns) == real.status(at_ns), tick
        seen.append(real.status(at_ns)["reason"])
    assert seen[0] == "ok"
    assert seen[-1] == "way ahead unknown"


def test_a_trace_without_its_beginning_is_refused(toy: Any) -> None:
    from phonotaxis.configs.robot import simulated_robot

    contract = toy.contract()
    with pytest.raises(ValueError, match="begin"):
        RepeatedGuardian(simulated_robot(contract.array, contract.camera, "none")).take([5])


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


def forged(episode: Episode, target: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """Copy an episode in which the guardian was told something else, and all that it let through follows from that."""
    repeated = RepeatedGuardian(episode.info.robot)

    def follow(status: dict[str, Any]) -> dict[str, Any]:
        for event in status["trace"]["events"]:
            if len(event) > 1:
                change(event[1])
            repeated.take(event)
        assert repeated.guardian is not None
        computed = repeated.guardian.status(status["time_ns"])
        return {**status, **{key: computed[key] for key in COMPARED}}

    return edited(episode, target, "/safety", follow)


def faster(message: dict[str, Any]) -> None:
    if message["type"] == "command":
        message.update(sequence=message["sequence"] + 10_000, v_mps=0.77)


def freer(message: dict[str, Any]) -> None:
    if message["type"] == "sensors" and message["depth_ns"] is not None:
        message.update(depth_ns=message["depth_ns"] + 1, clearance_m=5.0)


def fresher(message: dict[str, Any]) -> None:
    if message["type"] == "sensors" and message["audio_ns"] is not None:
        message.update(audio_ns=message["audio_ns"] + 7)


@pytest.mark.parametrize(
    ("change", "quantity"), [(faster, "command_sequence"), (freer, "depth_ns"), (fresher, "audio_ns")]
)
def test_what_the_guardian_was_told_of_and_the_log_does_not_hold_is_found(
    golden: tuple[Episode, Bundle], tmp_path: Path, change: Any, quantity: str
) -> None:
    """Commands of steps that there are not, frames that nobody took: all statuses follow, and none from the log."""
    episode, bundle = golden
    path = forged(episode, tmp_path / "forged.mcap", change)
    found = of_safety(check(path, bundle))
    assert len(found) > 10
    assert set(found) == {f"safety.{quantity}"}


def test_what_the_log_says_that_it_lost_is_not_missed(golden: tuple[Episode, Bundle], tmp_path: Path) -> None:
    episode, bundle = golden
    lost = [4, 5]

    def drop(told: bool) -> Callable[[list[Message]], list[Message]]:
        def change(found: list[Message]) -> list[Message]:
            kept = []
            for message in found:
                if message.topic != "/step" or json.loads(message.data)["step"] not in lost:
                    kept.append(message)
                elif told:
                    fields = messages.health_dict(message.log_ns, "error", "log_dropped", "1 record is missing", {})
                    kept.append(replace(message, topic="/health", data=messages.encode_json(fields)))
            return kept

        return change

    rewrite(episode, tmp_path / "told.mcap", drop(True))
    assert of_safety(check(tmp_path / "told.mcap", bundle)) == []
    rewrite(episode, tmp_path / "untold.mcap", drop(False))
    assert of_safety(check(tmp_path / "untold.mcap", bundle)) == ["safety.command_sequence"] * len(lost)


def test_a_log_that_was_cut_is_not_blamed_for_sound_that_was_on_its_way(golden: tuple[Episode, Bundle]) -> None:
    """As a run arms, the guardian's answer is logged before the block of sound that it was told of."""
    episode, _ = golden
    whole = Known(episode)
    later_ns = max(whole.audio_ns.known) + 1
    assert not whole.audio_ns.may_hold(later_ns)
    cut = Known(replace(episode, scan=replace(episode.scan, complete=False)))
    assert cut.audio_ns.may_hold(later_ns)
    assert not cut.audio_ns.may_hold(min(whole.audio_ns.known) + 1)
    assert not cut.steps.may_hold(10_000)


def test_nor_is_its_mended_copy(golden: tuple[Episode, Bundle], tmp_path: Path) -> None:
    """A copy is whole; its original was not."""
    episode, bundle = golden
    rewrite(episode, tmp_path / "plain.mcap")  # in no chunks, as a robot writes it
    data, torn = (tmp_path / "plain.mcap").read_bytes(), tmp_path / "torn.mcap"
    torn.write_bytes(data[: len(data) * 2 // 3])
    found = recover(torn, tmp_path / "mended.mcap")
    copy = read_episode(tmp_path / "mended.mcap")
    assert copy.scan.complete
    assert copy.health()[-1]["event"] == "log_cut"
    assert found.messages == len(copy.messages) == len(read_episode(torn).messages) + 1
    for known in (Known(read_episode(torn)), Known(copy)):
        assert known.audio_ns.may_hold(max(known.audio_ns.known) + 1)
        assert not known.audio_ns.may_hold(min(known.audio_ns.known) + 1)
        assert not known.steps.may_hold(10_000)
    assert check(copy, bundle).ok
    recover(episode.path, tmp_path / "whole.mcap")
    assert len(read_episode(tmp_path / "whole.mcap").messages) == len(episode.messages)


@pytest.fixture
def golden(repository: Path) -> tuple[Episode, Bundle]:
    folder = repository / "tests" / "golden"
    return read_episode(folder / "robot.mcap"), read_bundle(folder / "policy.onnx")
