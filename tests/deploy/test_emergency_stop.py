from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from phonotaxis import cli
from phonotaxis.configs.robot import RobotConfig
from phonotaxis.deploy.control import control_path
from phonotaxis.deploy.devices import DeviceError, DriveGone, OdometrySample
from phonotaxis.deploy.emergency_stop import EmergencyStop, latch_path
from phonotaxis.deploy.guardian import Guardian

MS = 1_000_000
Moving = Callable[..., tuple[Guardian, Any]]


def _sense(guardian: Guardian, at_ns: int, clearance_m: float | None = 5.0) -> None:
    guardian.handle({"type": "sensors", "audio_ns": at_ns, "depth_ns": at_ns, "clearance_m": clearance_m}, at_ns)


def _ask_for(guardian: Guardian, at_ns: int, v_mps: float = 0.5, w_radps: float = 0.0) -> None:
    guardian.handle({"type": "command", "v_mps": v_mps, "w_radps": w_radps, "due_ns": at_ns, "sequence": 1}, at_ns)


@pytest.fixture
def moving(fake_drive: Any) -> Moving:
    """Give a function that makes a guardian that was armed and asked to move, and its wheels."""

    def make(robot: RobotConfig, **options: Any) -> tuple[Guardian, Any]:
        wheels = fake_drive()
        guardian = Guardian(robot, wheels, EmergencyStop(latch_path(robot)), **options)
        _sense(guardian, 0)
        guardian.handle({"type": "arm"}, 0)
        _ask_for(guardian, 0)
        guardian.tick(0)
        return guardian, wheels

    return make


def test_the_latch_survives_a_restart_and_only_a_person_releases_it(robot: RobotConfig, moving: Moving) -> None:
    guardian, wheels = moving(robot)
    assert wheels.got[-1] == (0.5, 0.0)
    assert guardian.person("emergency_stop", 1) == (True, "emergency stop latched")
    assert wheels.got[-1] == (0.0, 0.0)
    assert stat.S_IMODE(latch_path(robot).stat().st_mode) == 0o600
    again, wheels = moving(robot)  # another process of the same robot
    assert wheels.got[-1] == (0.0, 0.0)
    assert again.status(0)["reason"] == "emergency stop"
    done, text = again.person("arm", 1)
    assert not done
    assert "latched (a person pressed it)" in text
    assert again.person("release", 2)[0]
    again.tick(2)
    assert not again.status(2)["armed"]  # released is not armed
    assert again.person("arm", 3)[0]
    assert not latch_path(robot).exists()


def test_a_drive_that_goes_for_good_at_that_moment_costs_no_latch(robot: RobotConfig, moving: Moving) -> None:
    guardian, wheels = moving(robot)
    wheels.fault = DeviceError("gone for good")
    with pytest.raises(DeviceError):
        guardian.person("emergency_stop", 1)
    assert EmergencyStop(latch_path(robot)).reason == "a person pressed it"


@pytest.fixture
def rover(robot: RobotConfig) -> Callable[..., RobotConfig]:
    def make(port: str = "/dev/ttyDRIVE", name: str = "rover", **camera: Any) -> RobotConfig:
        devices = {
            "kind": "hardware",
            "camera": {"pipeline": "videotestsrc", **camera},
            "drive": {"kind": "waveshare", "port": port},
        }
        fields = {"name": name, "array": "respeaker_usb_v2", "drive": {"dead_man_ms": 200}, "devices": devices}
        return RobotConfig.model_validate(fields)

    return make


def test_the_latch_holds_when_another_device_is_calibrated_or_exchanged(rover: Callable[..., RobotConfig]) -> None:
    assert latch_path(rover()) == latch_path(rover(latency_ms=31.2)) == latch_path(rover(pipeline="v4l2src"))
    assert latch_path(rover()) != latch_path(rover("/dev/ttyTHS1"))  # another robot of this name


def test_a_robot_that_is_renamed_stays_latched(rover: Callable[..., RobotConfig]) -> None:
    EmergencyStop(latch_path(rover())).latch("pressed")
    renamed = rover(name="warehouse-2")
    assert EmergencyStop(latch_path(renamed)).reason == "pressed"
    assert not EmergencyStop(latch_path(rover("/dev/ttyTHS1", name="warehouse-2"))).reason
    EmergencyStop(latch_path(renamed)).release()
    assert not EmergencyStop(latch_path(renamed)).reason
    assert not EmergencyStop(latch_path(rover())).reason


def test_a_latch_that_cant_be_read_or_written_holds_all_the_same(robot: RobotConfig) -> None:
    path = latch_path(robot)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"\xff{")
    assert "can't be read" in EmergencyStop(path).reason
    path.unlink()
    path.mkdir()  # nothing can be written there
    stop = EmergencyStop(path)
    stop.latch("pressed")
    assert stop.reason == "pressed"
    assert not stop.kept


def test_the_latch_is_where_every_process_finds_it(robot: RobotConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    """A guardian works in a folder that goes with it: a relative folder would be forgotten there."""
    monkeypatch.setenv("XDG_STATE_HOME", "state")
    monkeypatch.setenv("XDG_RUNTIME_DIR", "run")
    assert latch_path(robot).is_absolute()
    assert control_path(robot).is_absolute()


def test_a_stop_is_latched_though_the_folder_of_sockets_is_open_to_others(
    robot: RobotConfig, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "open").mkdir()
    (folder / "open").chmod(0o777)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder / "open"))
    assert cli.run(["robot", "stop"]) == 1
    said = " ".join(capsys.readouterr().err.split())
    assert "open: sockets shall lie in it, and others may write to it" in said
    assert "the emergency stop is latched for the next run" in said
    assert EmergencyStop(latch_path(robot)).reason


def test_the_latch_outlives_a_cut_of_the_power(robot: RobotConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[Path] = []
    fsync = os.fsync

    def noting(descriptor: int) -> None:
        synced.append(Path(os.readlink(f"/proc/self/fd/{descriptor}")))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", noting)
    path = latch_path(robot)
    EmergencyStop(path).latch("pressed")
    assert synced == [path, *list(path.parents)[:3]]  # its data first, then the names that lead to it


def test_a_late_tick_brakes_once_and_goes_on_with_what_came_in_the_gap(robot: RobotConfig, moving: Moving) -> None:
    guardian, wheels = moving(robot)
    _sense(guardian, 79 * MS)
    guardian.tick(79 * MS)
    assert wheels.got[-1] == (0.5, 0.0)
    _sense(guardian, 160 * MS)
    guardian.tick(160 * MS)  # 81 ms after the last: due after 20, so 61 late
    assert wheels.got[-1] == (0.0, 0.0)
    assert guardian.status(160 * MS)["reason"] == "late tick"
    guardian.tick(170 * MS)
    assert wheels.got[-1] == (0.0, 0.0)  # the old command is dropped
    _ask_for(guardian, 180 * MS)
    guardian.tick(180 * MS)
    assert wheels.got[-1] == (0.5, 0.0)


def test_a_drive_that_comes_back_moves_nothing_until_a_person_arms(robot: RobotConfig, moving: Moving) -> None:
    guardian, wheels = moving(robot)
    wheels.fault = DriveGone("unplugged")
    guardian.tick(20 * MS)
    assert guardian.status(20 * MS)["reason"] == "drive gone"
    wheels.fault = None
    _sense(guardian, 40 * MS)
    _ask_for(guardian, 40 * MS)
    guardian.tick(40 * MS)
    assert wheels.got[-1] == (0.0, 0.0)
    assert not guardian.status(40 * MS)["armed"]


def test_a_device_that_is_lost_for_long_disarms(robot: RobotConfig, moving: Moving) -> None:
    guardian, _ = moving(robot)
    for at_ms in range(0, 2020, 20):
        guardian.handle({"type": "sensors", "audio_ns": 0, "depth_ns": at_ms * MS, "clearance_m": 5.0}, at_ms * MS)
        guardian.tick(at_ms * MS)
    assert guardian.status(0)["armed"] == (at_ms <= 2000)
    guardian.handle({"type": "sensors", "audio_ns": 0, "depth_ns": 2020 * MS, "clearance_m": 5.0}, 2020 * MS)
    guardian.tick(2020 * MS)
    assert guardian.status(0)["reason"] == "audio lost"
    assert not guardian.status(0)["armed"]


@pytest.mark.parametrize("device", ["audio", "depth"])
def test_a_device_that_has_never_come_is_as_old_as_the_arming(robot: RobotConfig, fake_drive: Any, device: str) -> None:
    """A camera that delivers its first frame ten minutes after a person armed and went away moves nothing."""
    wheels = fake_drive()
    guardian = Guardian(robot, wheels)
    armed_ms = 7_000
    for at_ms in range(6_000, 9_040, 20):
        state = {"audio_ns": at_ms * MS, "depth_ns": at_ms * MS, f"{device}_ns": None}
        guardian.handle({"type": "sensors", **state, "clearance_m": 5.0}, at_ms * MS)
        if at_ms == armed_ms:
            assert guardian.person("arm", at_ms * MS)[0]
        guardian.tick(at_ms * MS)
        assert guardian.armed == (0 <= at_ms - armed_ms <= 2_000), at_ms
    assert guardian.status(0)["reason"] == f"{device} lost"
    _sense(guardian, 600_000 * MS)
    _ask_for(guardian, 600_000 * MS)
    guardian.tick(600_000 * MS)
    assert wheels.got[-1] == (0.0, 0.0)


@pytest.mark.parametrize("device", ["audio", "depth"])
def test_a_person_is_not_told_that_it_is_armed_where_a_device_is_lost(
    robot: RobotConfig, fake_drive: Any, device: str
) -> None:
    """The next tick disarmed, and whoever had armed was gone by then."""
    guardian = Guardian(robot, fake_drive())
    lost = {"audio_ns": 7_000 * MS, "depth_ns": 7_000 * MS, f"{device}_ns": 4_999 * MS}
    guardian.handle({"type": "sensors", **lost, "clearance_m": 5.0}, 7_000 * MS)
    assert guardian.person("arm", 7_000 * MS) == (False, f"not armed: {device} lost; mend that, then arm again")
    assert not guardian.armed
    guardian.tick(7_000 * MS)
    assert guardian.status(0)["reason"] == f"{device} lost"
    guardian.handle({"type": "sensors", **lost, f"{device}_ns": 5_001 * MS, "clearance_m": 5.0}, 7_000 * MS)
    assert guardian.person("arm", 7_000 * MS) == (True, "armed: the robot may move")


def test_a_person_is_not_told_that_it_is_armed_while_the_drive_is_gone(robot: RobotConfig, moving: Moving) -> None:
    guardian, wheels = moving(robot)
    wheels.fault = DriveGone("unplugged")
    guardian.tick(20 * MS)
    assert guardian.person("arm", 30 * MS) == (False, "not armed: drive gone; mend that, then arm again")
    assert not guardian.armed
    wheels.fault = None  # back, which no tick has noticed yet
    assert guardian.person("arm", 35 * MS) == (True, "armed: the robot may move")
    assert wheels.got[-1] == (0.0, 0.0)


def test_a_runtime_that_has_never_spoken_is_silent_since_the_arming(robot: RobotConfig, fake_drive: Any) -> None:
    guardian = Guardian(robot, fake_drive())
    guardian.person("arm", 7_000 * MS)
    guardian.tick(7_250 * MS)
    assert guardian.armed
    guardian.tick(7_251 * MS)
    assert guardian.status(0)["reason"] == "runtime silent"
    assert not guardian.armed


def test_before_an_obstacle_turning_stays_free_and_the_policy_is_told(robot: RobotConfig, moving: Moving) -> None:
    guardian, wheels = moving(robot)
    wheels.said = [OdometrySample(0.0, 0.0, 0.0, False, 25 * MS)]
    _sense(guardian, 20 * MS, clearance_m=0.0)
    guardian.tick(20 * MS)
    guardian.tick(40 * MS)
    assert wheels.got[-1] == (0.0, 0.0)
    assert guardian.status(40 * MS)["blocked"]
    assert guardian.motions[-1].collision
    _ask_for(guardian, 50 * MS, 0.0, 0.7)  # it turns away, in place
    guardian.tick(50 * MS)
    assert wheels.got[-1] == (0.0, 0.7)
    assert not guardian.status(50 * MS)["blocked"]
    _sense(guardian, 60 * MS, clearance_m=5.0)
    _ask_for(guardian, 60 * MS)
    guardian.tick(60 * MS)
    assert wheels.got[-1] == (0.5, 0.0)  # and drives away


def test_wheels_that_stall_are_a_collision(robot: RobotConfig, moving: Moving) -> None:
    guardian, wheels = moving(robot)
    found = []
    for at_ms in range(20, 400, 20):
        _sense(guardian, at_ms * MS)
        way_m = 0.01 if at_ms < 200 else 0.0  # then it pushes against something that no camera sees
        wheels.said = [OdometrySample(way_m, 0.0, 0.0, False, at_ms * MS)]
        guardian.tick(at_ms * MS)
        found.append(guardian.motions[-1].collision)
    assert not any(found[:9])
    assert found[-1]


@pytest.mark.parametrize(("latency_ms", "acceleration"), [(60, None), (0, 2.0), (40, 1.0)])
def test_wheels_that_start_are_no_collision(
    robot: RobotConfig, latency_ms: int, acceleration: float | None, moving: Moving
) -> None:
    """Each forward step of a policy begins from rest, and reports come late."""
    drive = robot.drive.model_copy(update={"max_acceleration_mps2": acceleration})
    guardian, wheels = moving(robot.model_copy(update={"drive": drive}))
    speed = 0.0
    for at_ms in range(20, 420, 20):
        _sense(guardian, at_ms * MS)
        if at_ms % 240 == 0:
            _ask_for(guardian, at_ms * MS)
        told = at_ms > latency_ms
        speed = 0.0 if not told else 0.5 if acceleration is None else min(0.5, speed + acceleration * 0.02)
        wheels.said = [OdometrySample(speed * 0.02, 0.0, 0.0, False, at_ms * MS)]
        guardian.tick(at_ms * MS)
        assert not guardian.motions[-1].collision, at_ms


def test_a_shadow_never_commands(robot: RobotConfig, moving: Moving) -> None:
    guardian, wheels = moving(robot, shadow=True)
    guardian.tick(20 * MS)
    assert (wheels.got, wheels.listened) == ([], 2)
    assert not guardian.person("arm", 0)[0]


def test_a_stop_in_a_shadow_stops_nothing_and_says_so(
    robot: RobotConfig, moving: Moving, monkeypatch: pytest.MonkeyPatch
) -> None:
    guardian, wheels = moving(robot, shadow=True)
    done, text = guardian.person("emergency_stop", 20 * MS)
    assert not done
    assert text.startswith("latched for the next run; NOTHING WAS STOPPED: this run is a shadow")
    assert "cut the motors' power" in text
    assert wheels.got == []
    assert EmergencyStop(latch_path(robot)).reason == "a person pressed it"
    monkeypatch.setattr(EmergencyStop, "latch", lambda self, reason: setattr(self, "kept", False))
    assert guardian.person("emergency_stop", 30 * MS)[1].startswith("IT COULD NOT BE LATCHED for the next run; NOTHING")
