from __future__ import annotations

from typing import Any

import pytest

from phonotaxis.configs.base import ConfigError
from phonotaxis.configs.robot import RobotConfig, load_robot
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
