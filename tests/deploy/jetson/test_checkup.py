from __future__ import annotations

import base64
import os
import resource
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from phonotaxis.configs.base import ConfigError
from phonotaxis.configs.robot import RobotConfig, load_robot
from phonotaxis.deploy import checkup
from phonotaxis.deploy.checkup import _camera, check_robot
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
    assert not checks["microphones"].ok
    assert not checks["camera"].ok
    assert not checks["drive"].ok


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
