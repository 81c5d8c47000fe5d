from __future__ import annotations

import base64
import os
import pty
import resource
import time
import tty
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from phonotaxis.configs.base import ConfigError
from phonotaxis.configs.robot import RobotConfig, load_robot
from phonotaxis.deploy import checkup
from phonotaxis.deploy.checkup import _camera, check_robot
from phonotaxis.deploy.clock import now_ns
from phonotaxis.deploy.devices import OdometrySample
from phonotaxis.deploy.emergency_stop import EmergencyStop, latch_path


def test_a_robot_that_is_well_passes_with_its_dead_man_proven(bench: Any) -> None:
    checks = {check.name: check for check in check_robot(bench.robot(), wheels_lifted=True)}
    assert set(checks) == {"emergency_stop", "real_time", "microphones", "camera", "drive"}
    failed = {name: check.text for name, check in checks.items() if not check.ok and name != "real_time"}
    assert failed == {}
    assert "without commands the wheels stood after" in checks["drive"].text
    assert checks["microphones"].text.endswith("all well; the microphones run at 16000 Hz")


def test_no_wheel_turns_while_the_emergency_stop_is_latched(bench: Any) -> None:
    EmergencyStop(latch_path(bench.robot())).latch("pressed")
    checks = {check.name: check for check in check_robot(bench.robot(), wheels_lifted=True)}
    assert not checks["drive"].ok
    assert "robot release" in checks["drive"].text
    assert bench._way_m == 0.0


def test_a_board_without_dead_man_is_found(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    obey = bench.board._obey
    monkeypatch.setattr(bench.board, "_obey", lambda said, at_ns: None if said["T"] == 136 else obey(said, at_ns))
    checks = {check.name: check for check in check_robot(bench.robot(), wheels_lifted=True)}
    assert not checks["drive"].ok
    assert "DO NOT DRIVE" in checks["drive"].text


def test_a_board_whose_reports_cease_has_no_dead_man_proven(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    report = bench.board.report

    def hung(at_ns: int) -> None:  # with its wheels on, where it hangs
        moved = [at for at, v_mps, _ in bench.board.arrivals if v_mps > 0]
        if not moved or at_ns - moved[-1] < 100_000_000:
            report(at_ns)

    monkeypatch.setattr(bench.board, "report", hung)
    checks = {check.name: check for check in check_robot(bench.robot(), wheels_lifted=True)}
    assert not checks["drive"].ok
    assert "its reports ceased: whether its wheels stood nobody knows: DO NOT DRIVE" in checks["drive"].text


@pytest.mark.parametrize("lifted", [False, True])
def test_a_port_behind_which_nobody_is_is_no_drive(
    lifted: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    master, slave = pty.openpty()
    tty.setraw(slave)
    try:
        devices = hardware().model_dump()["devices"] | {"drive": {"kind": "waveshare", "port": os.ttyname(slave)}}
        check = checkup._guarded("drive", lambda: checkup._drive(hardware(devices=devices), wheels_lifted=lifted))
    finally:
        os.close(master)
        os.close(slave)
    assert not check.ok
    assert "has said nothing" in check.text


@pytest.mark.parametrize("boots_s", [0.3, 1.5])
def test_a_board_that_boots_as_its_port_is_opened_is_waited_for(
    boots_s: float, bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    take, begun_s = bench.board._take, []

    def deaf(data: bytes) -> None:
        begun_s.append(time.monotonic())
        if time.monotonic() - begun_s[0] > boots_s:
            take(data)

    monkeypatch.setattr(bench.board, "_take", deaf)
    check = checkup._guarded("drive", lambda: checkup._drive(bench.robot(), wheels_lifted=True))
    assert check.ok, check.text
    assert "without commands the wheels stood after" in check.text


class Coarse:
    """A board that counts whole centimetres; of the last one, nine tenths turned, nobody hears."""

    def __init__(self, stops_after_ms: float) -> None:
        self.dead_man_ms, self.unit_m = 200.0, 0.01
        self._stops_ns = int(stops_after_ms * 1e6)
        self._told_ns, self._v_mps, self._said_ns = now_ns(), 0.0, now_ns()

    def command(self, v_mps: float, w_radps: float) -> None:
        self._told_ns, self._v_mps = now_ns(), v_mps

    def listen(self) -> None:
        pass

    def motions(self) -> list[OdometrySample]:
        hidden_ns = int(0.9 * self.unit_m / self._v_mps * 1e9) if self._v_mps else 0
        until_ns = min(now_ns(), self._told_ns + self._stops_ns - hidden_ns)
        passed_s, self._said_ns = max(0.0, (until_ns - self._said_ns) * 1e-9), max(until_ns, self._said_ns)
        return [OdometrySample(self._v_mps * passed_s, 0.0, 0.0, False, until_ns if passed_s > 0 else now_ns())]

    def close(self) -> None:
        pass


@pytest.mark.parametrize(("stops_after_ms", "ok"), [(200.0, True), (300.0, False)])
def test_a_dead_man_is_not_timed_too_short_by_what_coarse_odometers_hide(
    stops_after_ms: float, ok: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setattr(checkup, "open_drive", lambda robot: Coarse(stops_after_ms))
    monkeypatch.setattr(checkup, "MAX_WATCH_S", 0.6)
    check = checkup._drive(hardware(), wheels_lifted=True)
    assert check.ok is ok, check.text
    assert "ms at most, of which 25 ms are what its odometers don't show" in check.text


class Mute(Coarse):
    """A base of ROS 2 that tells no odometry."""

    def motions(self) -> list[OdometrySample]:
        return []


@pytest.mark.parametrize(
    ("odometry", "lifted", "ok"), [(True, False, False), (False, False, True), (False, True, False)]
)
def test_a_base_without_odometry_passes_only_where_nothing_needs_it(
    odometry: bool, lifted: bool, ok: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setattr(checkup, "open_drive", lambda robot: Mute(200.0))
    monkeypatch.setattr(checkup, "REPORT_S", 0.1)
    robot = hardware() if odometry else hardware(odometry=None)
    check = checkup._drive(robot, wheels_lifted=lifted)
    assert (check.ok, "told no odometry within 0.1 s" in check.text) == (ok, True)


def test_no_robot_creeps_faster_than_it_may() -> None:
    assert checkup._creep(hardware()) == pytest.approx((0.4, 25.0))
    assert checkup._creep(hardware(safety={"max_v_mps": 0.2})) == pytest.approx((0.2, 50.0))
    assert checkup._creep(load_robot("simulated")) == (checkup.CREEP_MPS, 0.0)


def test_what_is_wrong_with_a_camera_is_told(bench: Any) -> None:
    robot = bench.robot()
    for change, said in (
        ({"depth_scale_m": 1.0}, "0% of its pixels known: is it covered, or is devices.camera.depth_scale_m"),
        ({"latency_ms": 1000.0}, "at most camera.max_age_ms 600"),
    ):
        devices = robot.devices.model_copy(update={"camera": robot.devices.camera.model_copy(update=change)})
        check = _camera(robot.model_copy(update={"devices": devices}))
        assert not check.ok
        assert said in check.text


def test_what_is_missing_is_named(bench: Any) -> None:
    bench.camera.close()
    bench.pulse.kill()
    bench.board.unplug()
    checks = {check.name: check for check in check_robot(bench.robot())}
    devices = bench.robot().devices
    for name, said in (
        ("microphones", devices.microphones.device),
        ("camera", "camera"),
        ("drive", devices.drive.port),
    ):
        assert not checks[name].ok
        assert said in checks[name].text, checks[name].text


def hardware(**fields: Any) -> RobotConfig:
    devices = {"kind": "hardware", "camera": {"pipeline": "x"}, "drive": {"kind": "waveshare", "port": "/dev/x"}}
    told = {"name": "r", "array": "respeaker_usb_v2", "drive": {"dead_man_ms": 200}, "devices": devices, **fields}
    return RobotConfig.model_validate(told)


def test_a_policy_that_nobody_trusted_signed_fails_as_it_would_in_a_run(repository: Path) -> None:
    robot = hardware(trusted_signers=[base64.b64encode(bytes(32)).decode()])
    check = next(check_robot(robot, repository / "tests" / "golden" / "policy.onnx"))
    assert (check.name, check.ok) == ("policy", False)
    assert "this robot runs signed policies alone" in check.text


def test_a_policy_is_tried_on_the_engine_that_a_run_takes(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []

    def opened(bundle: Any, prefer: str, say: Any) -> Any:
        say(f"asked for {prefer}")
        return SimpleNamespace(fingerprint={"engine": "tensorrt"})

    monkeypatch.setattr(checkup, "open_engine", opened)
    monkeypatch.setattr(checkup, "check_compatible", lambda contract, robot: None)
    check = next(check_robot(hardware(), repository / "tests" / "golden" / "policy.onnx", say=told.append))
    assert check.ok
    assert check.text.endswith("runs on tensorrt")
    assert told == ["asked for auto"]


@pytest.mark.parametrize(
    ("limit", "granted"), [(0, False), (10, False), (49, False), (50, True), (resource.RLIM_INFINITY, True)]
)
def test_real_time_is_granted_from_what_the_guardian_asks_for_on(
    limit: int, granted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda which: (limit, limit))
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    check = checkup._priority()
    assert check.ok is granted
    assert granted or f"rtprio is {limit}, the guardian asks for 50" in check.text


def test_a_simulated_robot_is_none_to_check() -> None:
    with pytest.raises(ConfigError, match="is simulated"):
        list(check_robot(load_robot("simulated")))


@pytest.mark.parametrize(
    ("drive", "said"), [({}, "state after how long"), ({"dead_man_ms": 300}, "exceeds 200, the most for a Waveshare")]
)
def test_a_drive_without_a_short_dead_man_is_refused(drive: dict[str, Any], said: str) -> None:
    devices = {"kind": "hardware", "camera": {"pipeline": "x"}, "drive": {"kind": "waveshare", "port": "/dev/x"}}
    with pytest.raises(ValueError, match=said):
        RobotConfig.model_validate({"name": "r", "array": "respeaker_usb_v2", "drive": drive, "devices": devices})
