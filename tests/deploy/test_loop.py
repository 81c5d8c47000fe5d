"""What the loop takes for true of its guardian."""

from __future__ import annotations

import math
import socket
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from phonotaxis.configs import wire
from phonotaxis.configs.base import ConfigError
from phonotaxis.configs.contract import PinholeCamera
from phonotaxis.configs.robot import CameraConfig, load_robot, simulated_robot
from phonotaxis.deploy import runtime
from phonotaxis.deploy.clock import NS_PER_S, now_ns
from phonotaxis.deploy.devices import AudioBlock, DeviceError
from phonotaxis.deploy.emergency_stop import EmergencyStop, latch_path
from phonotaxis.deploy.episode_reader import read_episode
from phonotaxis.deploy.guardian_link import GuardianError
from phonotaxis.deploy.jetson.simulated import SimulatedSensors
from phonotaxis.deploy.loop import CATCH_UP_NS, ODOMETRY_GRACE_NS, Loop, RunEnd
from phonotaxis.deploy.runtime import run


class Refusing:
    """A guardian's link that answers what it is told to, and the log, builder and watches of the loop at it."""

    pid = 1
    trouble = None

    def __init__(self, armed: bool, reason: str) -> None:
        self.armed, self.reason = armed, reason
        self.asked = False
        self.events: list[str] = []
        self.starts = 0
        self.timing = SimpleNamespace(limit_ms=1.0)
        self.depth = SimpleNamespace(moved=lambda motion: None)

    def arm(self) -> None:
        self.asked = True

    def statuses(self) -> list[dict[str, Any]]:
        told = {"v_mps": 0.0, "w_radps": 0.0, "time_ns": now_ns(), "sequence": -1, "type": "status"}
        answer = {"armed": self.armed, "reason": self.reason} if self.asked else {"armed": False, "reason": "disarmed"}
        return [{**told, **answer}]

    def safety(self, status: dict[str, Any], at_ns: int) -> None:
        pass

    def set_allowed(self, v_mps: float, w_radps: float) -> None:
        pass

    def health(self, at_ns: int, level: str, event: str, text: str) -> None:
        self.events.append(f"{event}: {text}")

    def mark_start(self) -> None:
        self.starts += 1


def loop_at(guardian: Any) -> Loop:
    return Loop(guardian, guardian, guardian, guardian, guardian, load_robot("simulated"), guardian, arm=True)


@pytest.mark.parametrize(
    ("reason", "said"),
    [("emergency stop", "the emergency stop is latched.*robot release"), ("drive gone", r"doesn't arm \(drive gone\)")],
)
def test_a_guardian_that_does_not_arm_ends_the_run_unarmed(reason: str, said: str) -> None:
    guardian = Refusing(armed=False, reason=reason)
    loop = loop_at(guardian)
    with pytest.raises(RunEnd, match=said) as end:
        loop._arm()
    assert end.value.outcome == "disarmed"
    assert not loop.summary.armed
    assert not loop._armed  # so that a stop of the policy's is no goal reached
    assert (guardian.events, guardian.starts) == ([], 0)


def test_a_block_that_the_guardian_was_told_of_is_logged_though_it_does_not_arm(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Replay looks for the sound that the guardian was told of in the log."""
    guardian = Refusing(armed=False, reason="drive gone")
    loop = loop_at(guardian)
    told: list[int | None] = []
    logged: list[AudioBlock] = []
    silent = SimpleNamespace(sound=lambda block, at_ns: "")
    watches = SimpleNamespace(
        timing=silent, audio=Believing(), order=SimpleNamespace(since_ns=None), depth=guardian.depth
    )
    monkeypatch.setattr(loop, "_watches", watches)
    monkeypatch.setattr(loop, "_depth_ns", now_ns())
    monkeypatch.setattr(guardian, "sensors", lambda audio_ns, *others: told.append(audio_ns), raising=False)
    monkeypatch.setattr(guardian, "audio", lambda block, at_ns: logged.append(block), raising=False)
    block = AudioBlock(np.zeros((6, 4000), dtype=np.int16), 0, now_ns())
    with pytest.raises(RunEnd, match="doesn't arm"):
        loop._take_block(block)
    assert told == [block.capture_ns + 250_000_000]
    assert logged == [block]


def test_arming_waits_for_sound_that_is_fresh_but_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the start held up, such as a full folder's pruning, lets old sound wait, on which no guardian arms."""
    loop = loop_at(Refusing(armed=True, reason="ok"))
    at_ns = now_ns()
    assert not loop._may_arm(at_ns, at_ns)  # no depth yet
    monkeypatch.setattr(loop, "_depth_ns", at_ns)
    assert not loop._may_arm(at_ns - 2 * NS_PER_S, at_ns)
    assert loop._may_arm(at_ns - NS_PER_S // 10, at_ns)
    late_ns = at_ns + CATCH_UP_NS + NS_PER_S
    assert loop._may_arm(late_ns - 2 * NS_PER_S, late_ns)  # so that the guardian says what is wrong with the sound


@pytest.mark.parametrize(("heard", "missing"), [(None, "sound"), (1, "depth image")])
def test_an_arming_that_waits_too_long_lapses(monkeypatch: pytest.MonkeyPatch, heard: int | None, missing: str) -> None:
    """Whoever mends a cable ten minutes later stands before a robot that nobody wants to arm any more."""
    loop = loop_at(Refusing(armed=True, reason="ok"))
    at_ns = now_ns()
    monkeypatch.setattr(loop, "_audio_ns", heard)
    loop._let_arming_lapse(at_ns + 19 * NS_PER_S)
    with pytest.raises(RunEnd, match=f"no {missing} that may be believed within 20 s, so --arm has lapsed") as end:
        loop._let_arming_lapse(at_ns + 21 * NS_PER_S)
    assert end.value.outcome == "disarmed"
    monkeypatch.setattr(loop, "_arm_when_sensing", False)  # armed already, or never asked for
    loop._let_arming_lapse(at_ns + 21 * NS_PER_S)


def test_channels_are_judged_where_blocks_come_late_by_their_nature(monkeypatch: pytest.MonkeyPatch) -> None:
    """A device's latency, long blocks and a resampler's delay add up: only what is later than usual is passed over."""
    judged: list[int] = []

    class Order:
        since_ns = None

        def __call__(self, block: AudioBlock) -> str:
            judged.append(block.capture_ns)
            return ""

    loop = loop_at(Refusing(armed=False, reason="disarmed"))
    monkeypatch.setattr(loop, "_watches", SimpleNamespace(order=Order()))
    for number, lag_ms in enumerate((400, 390, 410, 700, 400)):
        at_ns = (number + 1) * NS_PER_S
        loop._judge_order(AudioBlock(np.zeros((6, 400), dtype=np.int16), 0, at_ns - lag_ms * 1_000_000), at_ns)
    assert len(judged) == 4


def test_why_the_drive_has_gone_is_logged_and_said() -> None:
    guardian = Refusing(armed=False, reason="drive gone")
    said: list[str] = []
    robot = load_robot("simulated")
    loop = Loop(*[guardian] * 5, robot, guardian, arm=False, say=said.append)
    notice = {"type": "notice", "event": "drive", "level": "warning", "text": "the line was hung up"}
    guardian.statuses = lambda: [notice, {**notice, "event": "arm_button"}]  # type: ignore[method-assign]
    loop._take_statuses()
    assert guardian.events == ["drive: the line was hung up", "arm_button: the line was hung up"]
    assert said == ["the line was hung up"]


@pytest.mark.parametrize("wanted", [True, False])
def test_a_robot_without_odometry_tells_its_policy_of_none(wanted: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The guardian reads the drive's wheels and hands them on whatever the robot's file says."""
    guardian = Refusing(armed=False, reason="disarmed")
    kept: list[str] = []
    for name in ("odometry", "pose", "add_odometry"):
        monkeypatch.setattr(guardian, name, lambda *values, name=name: kept.append(name), raising=False)
    robot = load_robot("simulated")
    robot = robot if wanted else robot.model_copy(update={"odometry": None})
    loop = Loop(*[guardian] * 5, robot, guardian, arm=False)
    motion = {"dx_m": 0.1, "dy_m": 0.0, "dyaw_rad": 0.0, "collision": False, "capture_ns": now_ns()}
    monkeypatch.setattr(guardian, "statuses", lambda: [{"type": "odometry", **motion}])
    loop._take_statuses()
    assert kept == (["odometry", "add_odometry", "pose"] if wanted else [])


def test_the_time_of_decisions_is_summed_up_and_not_kept() -> None:
    guardian = Refusing(armed=False, reason="disarmed")
    loop = loop_at(guardian)
    guardian.step = lambda step, at_ns: None  # type: ignore[attr-defined]
    guardian.contract = SimpleNamespace(control_period_ns=NS_PER_S)  # type: ignore[attr-defined]
    for took_ms in (3.0, 9.0, 6.0):
        loop._account({"action_name": "forward", "due_ns": 0}, int(took_ms * 1e6), 0)
    assert (loop.summary.decide_ms_max, loop.summary.decide_ms_mean) == pytest.approx((9.0, 6.0))
    assert not any(isinstance(value, list) and value for value in vars(loop).values())


class Believing:
    """A watch that finds nothing wrong."""

    suspicious = False

    def __call__(self, block: AudioBlock) -> str:
        return ""


def test_armed_is_what_the_guardian_says_is_armed() -> None:
    guardian = Refusing(armed=True, reason="no command yet")
    loop = loop_at(guardian)
    loop._arm()
    assert loop.summary.armed
    assert guardian.starts == 1
    assert guardian.events[0] == "armed: armed by a person's --arm, now that sound and depth arrive"


class Telling(Refusing):
    """A guardian's link that tells one batch of statuses after the other, armed by a person's hand at first."""

    def __init__(self, *batches: list[tuple[bool, str]]) -> None:
        super().__init__(armed=True, reason="ok")
        self.batches = list(batches)

    def statuses(self) -> list[dict[str, Any]]:
        told = {"v_mps": 0.0, "w_radps": 0.0, "time_ns": now_ns(), "sequence": -1, "type": "status"}
        batch = self.batches.pop(0) if self.batches else []
        return [{**told, "armed": armed, "reason": reason} for armed, reason in batch]

    def health(self, at_ns: int, level: str, event: str, text: str, **data: Any) -> None:
        self.events.append(f"{level} {event}: {text}")


@pytest.mark.parametrize("asked", [False, True])
@pytest.mark.parametrize(
    ("batches", "said"),
    [
        # what was on its way, then what was waited for, at once and one after the other
        ([[(True, "ok"), (False, "goal reached")]], ["info goal_reached: the policy stopped: brake and disarm"]),
        ([[(True, "ok")], [], [(False, "goal reached")]], ["info goal_reached: the policy stopped: brake and disarm"]),
        (
            [[(False, "emergency stop")]],
            ["warning disarmed: the guardian disarmed (emergency stop)", "info goal_reached: the policy stopped"],
        ),
        ([[(True, "ok")]], ["error goal_reached: the policy stopped: brake and disarm, unconfirmed by the guardian"]),
    ],
)
def test_a_goal_is_confirmed_by_the_guardian_whoever_armed(
    asked: bool, batches: list[list[tuple[bool, str]]], said: list[str]
) -> None:
    guardian = Telling([(True, "ok")], *batches)
    loop = Loop(*[guardian] * 5, load_robot("simulated"), guardian, arm=asked)  # type: ignore[arg-type]
    loop._take_statuses()
    assert (guardian.starts, len(guardian.events)) == (1, 2)  # a person armed
    with pytest.raises(RunEnd) as end:
        loop._reached(SimpleNamespace(step=7))  # type: ignore[arg-type]
    assert end.value.outcome == "goal_reached"
    assert guardian.starts == 1  # nobody armed it again
    told = guardian.events[2:]
    assert len(told) == len(said)
    assert all(found.startswith(text) for found, text in zip(told, said, strict=True))
    assert "unconfirmed" not in told[-1] or "unconfirmed" in said[-1]


def test_a_drive_that_never_reports_its_wheels_is_told_of_once_until_it_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """A misspelt odometry_topic: the robot drove on and nobody knew."""
    guardian = Telling()
    told: list[str] = []
    loop = Loop(*[guardian] * 5, load_robot("simulated"), guardian, arm=False, say=told.append)  # type: ignore[arg-type]
    begun_ns = loop._begun_ns
    grace_ns = ODOMETRY_GRACE_NS + 600_000_000
    for after_ns in (0, grace_ns, grace_ns + 1, 2 * grace_ns):
        loop._watch_odometry(begun_ns + after_ns)
        assert len(told) == (after_ns > grace_ns)
    assert "no odometry for 600 ms" in told[0]
    assert loop.summary.faults == told
    for silent_ns, events in ((600_000_000, 2), (600_000_001, 3)):
        monkeypatch.setattr(loop, "_odometry_ns", begun_ns + 3 * grace_ns)
        loop._watch_odometry(begun_ns + 3 * grace_ns + silent_ns)
        assert [event.split(":")[0] for event in guardian.events] == [
            "warning odometry_fault", "info odometry_recovered", "warning odometry_fault",
        ][:events]  # fmt: skip
    robot = load_robot("simulated").model_copy(update={"odometry": None})
    loop = Loop(*[guardian] * 5, robot, guardian, arm=False, say=told.append)  # type: ignore[arg-type]
    loop._watch_odometry(begun_ns + 10 * grace_ns)
    assert len(told) == 2


def test_the_loop_looks_for_odometry_and_lost_samples_all_the_while(monkeypatch: pytest.MonkeyPatch) -> None:
    guardian = Telling()
    deaf = SimpleNamespace(read_block=lambda timeout_s: None, rate_told="", fault="", overflow="samples are lost")
    devices = SimpleNamespace(microphones=deaf, camera=SimpleNamespace(unread=list, fault=""), odometry=None)
    guardian.failure, guardian.sensors = None, lambda *told: None  # type: ignore[attr-defined]
    loop = Loop(guardian, guardian, devices, guardian, guardian, load_robot("simulated"), guardian, arm=False)  # type: ignore[arg-type]
    monkeypatch.setattr("phonotaxis.deploy.loop.ODOMETRY_GRACE_NS", -NS_PER_S)
    loop.until(now_ns() + 20_000_000)
    assert sorted(event.split(":")[0] for event in guardian.events) == [
        "warning microphones_overflow_fault",
        "warning odometry_fault",
    ]
    assert "samples are lost" in loop.summary.faults


def test_what_the_guardian_has_forgotten_is_said_in_the_log() -> None:
    """Nobody listened to it for more than a minute: replay must not take its statuses for altered."""
    guardian = Telling()
    loop = Loop(*[guardian] * 5, load_robot("simulated"), guardian, arm=False)  # type: ignore[arg-type]
    told = {"v_mps": 0.0, "w_radps": 0.0, "time_ns": 1, "sequence": -1, "armed": False, "reason": "disarmed"}
    for first, count in ((0, 3), (3, 0), (3, 2), (12, 1)):
        loop._take_status({**told, "trace": {"first": first, "events": [[1]] * count, "left": 0}}, 1)
    assert guardian.events == ["warning trace_lost: 7 event(s) that the guardian was told of are missing here"]


def test_nothing_is_opened_to_arm_under_a_latched_emergency_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    robot = load_robot("simulated")
    EmergencyStop(latch_path(robot)).latch("a person pressed it")
    with pytest.raises(GuardianError, match=r"latched.*\(a person pressed it\).*robot release.*without --arm"):
        run(robot, tmp_path / "absent.onnx", tmp_path / "episodes", 1.0, arm=True)
    assert not (tmp_path / "episodes").exists()


@pytest.mark.parametrize("seconds", [math.inf, math.nan, 0.0, -1.0, 1e9])
def test_a_run_without_an_end_is_refused_before_anything_is_opened(seconds: float, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="a run lasts up to"):
        run(load_robot("simulated"), tmp_path / "absent.onnx", tmp_path / "episodes", seconds)


def test_a_start_that_fails_leaves_no_file_and_deletes_none(
    toy: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A service starts anew every five seconds while its microphones are unplugged."""
    contract, episodes = toy.contract(), tmp_path / "episodes"
    bundle = toy.bundle(tmp_path / "toy.onnx", contract)
    robot = simulated_robot(contract.array, contract.camera, tmp_path / "none.sock", log={"max_episodes": 2})
    episodes.mkdir()
    kept = [episodes / f"episode-20260101T00000{number}Z.mcap" for number in (1, 2)]
    for path in kept:
        path.write_bytes(b"somebody's recording")

    def unplugged(robot: Any) -> None:
        raise DeviceError("no microphones")

    monkeypatch.setattr(runtime, "GuardianLink", lambda *given: SimpleNamespace(refused=[], close=lambda: None))
    monkeypatch.setattr(runtime, "open_sensors", unplugged)
    with pytest.raises(DeviceError, match="no microphones"):
        run(robot, bundle.path, episodes, 1.0)
    assert sorted(episodes.glob("*.mcap")) == kept


def test_a_simulated_robot_with_another_camera_ends_the_run_in_words(make_rig: Any) -> None:
    rig = make_rig()
    finer = PinholeCamera(width=64, height=64, fx=32.0, fy=32.0, cx=32.0, cy=32.0)
    rig.robot = rig.robot.model_copy(update={"camera": CameraConfig(pinhole=finer)})
    code, summary, err = rig.finish(rig.start(duration_s=20.0))
    assert code == 1
    assert summary["outcome"] == "devices_lost", err
    assert "sends (32, 32) rows and columns of depth, robot 'simulated' has (64, 64): name the robot" in err
    assert read_episode(rig.episode()).health()[-1]["event"] == "ended_devices_lost"


def test_a_simulated_robot_with_other_channels_is_told(toy: Any) -> None:
    contract = toy.contract()
    robot = simulated_robot(contract.array, contract.camera, "none")
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(0.5)
        sensors = SimulatedSensors(ours, robot)
        form, payload = wire.array_payload(np.zeros((2, 160), dtype=np.int16))
        wire.send(theirs, {"type": "audio", "first_sample": 0, "capture_ns": 0, **form}, payload)
        with pytest.raises(DeviceError, match=r"sends 2 channels of sound, robot 'simulated' has 6"):
            sensors.read_block(10.0)
        sensors.close()


def test_a_log_is_closed_though_the_guardians_closing_is_interrupted(
    toy: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A person presses Ctrl-C again while the guardian brakes."""
    contract = toy.contract()
    bundle = toy.bundle(tmp_path / "toy.onnx", contract)
    robot = simulated_robot(contract.array, contract.camera, tmp_path / "none.sock")
    closed: list[str] = []

    def interrupted() -> None:
        closed.append("guardian")
        if closed == ["guardian"]:
            raise KeyboardInterrupt

    def named(name: str, **more: Any) -> SimpleNamespace:
        return SimpleNamespace(close=lambda: closed.append(name), **more)

    guardian = SimpleNamespace(refused=[], close=interrupted)
    sensors = named("sensors", microphones=SimpleNamespace(rate_told=""))
    monkeypatch.setattr(runtime, "GuardianLink", lambda *given: guardian)
    monkeypatch.setattr(runtime, "open_sensors", lambda robot: sensors)
    monkeypatch.setattr(runtime, "_new_log", lambda *given: named("log", path=tmp_path))
    monkeypatch.setattr(runtime, "Loop", lambda *given: None)
    monkeypatch.setattr(runtime, "_guarded", lambda *given: SimpleNamespace())
    with pytest.raises(KeyboardInterrupt):
        run(robot, bundle.path, tmp_path / "episodes", 1.0)
    assert closed == ["guardian", "log", "sensors", "guardian"]
