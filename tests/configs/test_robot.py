from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from phonotaxis.configs import presets
from phonotaxis.configs.array import MicrophoneArray
from phonotaxis.configs.base import ConfigError
from phonotaxis.configs.compatibility import (
    Axis,
    check_compatible,
    covered_in_period,
    mismatches,
    steady_acceleration,
)
from phonotaxis.configs.contract import ContinuousActions, Contract, PinholeCamera, discrete_actions
from phonotaxis.configs.geometry import base_from_camera, camera_from_base, pixel_rays
from phonotaxis.configs.robot import RobotConfig, load_robot, robot_from_json
from phonotaxis.deploy.ramp import Ramp


def _contract(**changes: Any) -> Contract:
    fields: dict[str, Any] = {
        "task": "t",
        "array": presets.load("arrays", "respeaker_usb_v2", MicrophoneArray),
        "actions": discrete_actions(0.25, math.radians(10.0), 0.25),
        **changes,
    }
    return Contract(**fields)


def _robot(**changes: Any) -> RobotConfig:
    fields: dict[str, Any] = {"name": "mine", "array": _contract().array, **changes}
    return RobotConfig(**fields)


def test_the_shipped_robot_carries_the_default_policy() -> None:
    robot = load_robot("simulated")
    assert mismatches(_contract(), robot) == []
    check_compatible(_contract(), robot)
    assert load_robot("simulated", "/run/x.sock").devices.socket == "/run/x.sock"


def test_a_robot_survives_its_json() -> None:
    robot = load_robot("simulated")
    assert robot_from_json(robot.model_dump_json()) == robot
    with pytest.raises(ConfigError, match="not a robot"):
        robot_from_json("{}")


def test_a_robots_array_is_named_or_given(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("name: mine\narray: respeaker_4mic_hat\n")
    assert load_robot(path).array.name == "respeaker_4mic_hat"
    path.write_text("name: mine\narray: respeaker_usb_v3\n")
    with pytest.raises(ConfigError, match="did you mean 'respeaker_usb_v2'"):
        load_robot(path)
    path.write_text("name: mine\narray: respeaker_4mic_hat\ndrive: {max_speed: 1}\n")
    with pytest.raises(ConfigError, match=r"drive\.max_speed: unknown key"):
        load_robot(path)
    with pytest.raises(ConfigError, match="did you mean 'simulated'"):
        load_robot("simulatd")


def test_a_command_must_outlive_the_allowed_silence() -> None:
    with pytest.raises(ValueError, match="raise the first"):
        _robot(safety={"command_expiry_ms": 100.0, "runtime_silence_ms": 200.0})


def _moved(array: MicrophoneArray, by_m: float) -> MicrophoneArray:
    (x, y, z), *rest = array.mic_xyz_m
    return array.model_copy(update={"mic_xyz_m": ((x + by_m, y, z), *rest)})


OTHER_ARRAY = {
    "name": "six", "device_channels": 6, "channel_map": [0, 1, 2, 3, 4, 5],
    "mic_xyz_m": [(0.05 * math.cos(a), 0.05 * math.sin(a), 0.45) for a in np.arange(6)],
}  # fmt: skip
NARROW = PinholeCamera(fx=64.0, fy=64.0)
COARSE = PinholeCamera(width=16, height=16, fx=8.0, fy=8.0, cx=8.0, cy=8.0)
SIDEWAYS = PinholeCamera(mount_rpy_rad=(0.0, 0.0, 0.7))
SHORT = PinholeCamera(max_range_m=3.0)
BLIND = PinholeCamera(min_range_m=0.4)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"sample_rate_hz": 48000}, "sample rate: policy 16000 Hz, robot 48000 Hz"),
        ({"array": OTHER_ARRAY}, "microphones: policy 4 (respeaker_usb_v2), robot 6 (six)"),
        ({"array": _moved(_robot().array, 0.0025)}, "number 0 lies 2.5 mm from"),
        ({"camera": {"pinhole": NARROW}}, "% of the policy's view"),
        ({"camera": {"pinhole": SIDEWAYS}}, "% of the policy's view"),
        ({"camera": {"pinhole": COARSE}}, "coarser than the policy's"),
        ({"camera": {"pinhole": SHORT}}, "camera range: policy 10 m, robot 3 m"),
        ({"camera": {"pinhole": BLIND}}, "the policy sees from 0.1 m on, the robot's camera from 0.4 m"),
        ({"drive": {"max_v_mps": 0.9}}, "v: the policy asks for 1 m/s, the drive reaches 0.9"),
        ({"drive": {"max_w_radps": 0.5}}, "w: the policy asks for 0.698132 rad/s, the drive reaches 0.5"),
        ({"drive": {"max_acceleration_mps2": 10.0}}, "v from rest: in one control period"),
        ({"drive": {"max_angular_acceleration_radps2": 5.0}}, "w from rest: in one control period"),
        ({"drive": {"latency_s": 0.03}}, "latency 0 -> 0.03 s"),
        (
            {"drive": {"latency_s": 1.0}},
            "drive.latency_s 1 s: a setpoint acts after its control period of 0.25 s is over",
        ),
        ({"safety": {"max_jerk_mps3": 50.0}}, "acceleration unlimited -> unlimited within a jerk of 50,"),
        ({"safety": {"max_angular_jerk_radps3": 50.0}}, "w from rest: in one control period"),
        ({"safety": {"max_v_mps": 0.5}}, "safety.max_v_mps 0.5 m/s would clip the policy's 1"),
        ({"safety": {"max_w_radps": 0.5}}, "safety.max_w_radps 0.5 rad/s would clip"),
        ({"safety": {"max_acceleration_mps2": 1.0}}, "acceleration unlimited -> 1,"),
        ({"safety": {"command_expiry_ms": 250.0}}, "would expire commands between two steps"),
        ({"odometry": {"source": "external"}}, "trained with wheel odometry, the robot has external"),
        ({"radius_m": 0.3}, "body: trained with a radius of 0.18 m, robot 0.3 m"),
        ({"height_m": 0.7}, "body: trained with a height of 0.6 m, robot 0.7 m"),
    ],
)
def test_each_point_of_mismatch_is_said(changes: dict[str, Any], said: str) -> None:
    robot = _robot(**changes)
    found = mismatches(_contract(), robot)
    assert any(said in point for point in found), found
    with pytest.raises(ConfigError) as caught:
        check_compatible(_contract(), robot)
    assert all(point in str(caught.value) for point in found)


@pytest.mark.parametrize(
    "changes",
    [
        {"array": _moved(_robot().array, 0.0015)},
        {"drive": {"max_acceleration_mps2": 20.1, "max_angular_acceleration_radps2": 14.1}},
        {"drive": {"latency_s": 0.02}},
        {"odometry": None},
        {"height_m": 0.65},
        {"height_m": 0.2},
        {"safety": {"max_jerk_mps3": 8000.0}},
        {"camera": {"pinhole": PinholeCamera(min_range_m=0.35)}},
        {"camera": {"pinhole": PinholeCamera(width=128, height=128, fx=40.0, fy=40.0, cx=64.0, cy=64.0)}},
    ],
)
def test_what_lies_within_the_tolerance_is_accepted(changes: dict[str, Any]) -> None:
    assert mismatches(_contract(), _robot(**changes)) == []


SPHERE = {"kind": "rigid_sphere", "radius_m": 0.0875}
EARS = [(0.0, 0.0875, 0.5), (0.0, -0.0875, 0.5)]


def _ears(directivity: dict[str, Any], ears: list[tuple[float, float, float]] = EARS) -> MicrophoneArray:
    fields = {"name": "ears", "mic_xyz_m": ears, "channel_map": [0, 1], "device_channels": 2}
    return MicrophoneArray.model_validate({**fields, "directivity": directivity})


@pytest.mark.parametrize(
    ("trained", "mounted", "said"),
    [
        (SPHERE, {"kind": "omnidirectional"}, "policy rigid_sphere, robot omnidirectional (they differ in kind)"),
        ({"kind": "omnidirectional"}, SPHERE, "policy omnidirectional, robot rigid_sphere"),
        ({"kind": "plate", "radius_m": 0.1}, {"kind": "plate", "radius_m": 0.15}, "differ in radius_m)"),
        (
            {"kind": "plate", "radius_m": 0.1},
            {"kind": "plate", "radius_m": 0.1, "normal": (1.0, 0.0, 0.0), "reflection": 0.5},
            "differ in normal, reflection)",
        ),
        (
            {"kind": "ambisonic", "patterns": [{"pressure": 1.0}, {"pressure": 0.0, "velocity": 1.0}]},
            {"kind": "ambisonic", "patterns": [{"pressure": 1.0}, {"pressure": 0.5, "velocity": 0.5}]},
            "differ in patterns)",
        ),
        ({"kind": "sofa", "path": "a/head.sofa"}, {"kind": "sofa", "path": "a/other.sofa"}, "differ in path)"),
    ],
)
def test_a_policy_that_listens_through_something_else_is_refused(
    trained: dict[str, Any], mounted: dict[str, Any], said: str
) -> None:
    (point,) = mismatches(_contract(array=_ears(trained)), _robot(array=_ears(mounted)))
    assert said in point


@pytest.mark.parametrize(
    ("trained", "mounted"),
    [
        (SPHERE, SPHERE),
        (SPHERE, {**SPHERE, "radius_m": 0.0882}),
        ({"kind": "plate", "radius_m": 0.1}, {"kind": "plate", "radius_m": 0.1, "reflection": 0.97}),
        (
            {"kind": "sofa", "path": "a/head.sofa", "common_delay_s": 0.001},
            {"kind": "sofa", "path": "b/head.sofa"},
        ),
    ],
)
def test_directivities_within_the_tolerance_are_accepted(trained: dict[str, Any], mounted: dict[str, Any]) -> None:
    assert mismatches(_contract(array=_ears(trained)), _robot(array=_ears(mounted))) == []


def test_a_policy_that_sees_more_than_depth_is_refused() -> None:
    (point,) = mismatches(_contract(modalities=("depth", "color")), _robot())
    assert "the policy sees color, robots' cameras deliver depth alone" in point


def test_all_points_come_at_once() -> None:
    robot = _robot(sample_rate_hz=8000, array=OTHER_ARRAY, drive={"max_v_mps": 0.1, "max_w_radps": 0.1})
    with pytest.raises(ConfigError, match=r"5 point\(s\)") as caught:
        check_compatible(_contract(), robot.model_copy(update={"radius_m": 0.5}))
    assert str(caught.value).count("\n  - ") == 5


def test_microphones_in_another_order_are_refused_with_the_remedy() -> None:
    array = _robot().array
    mics, channels = array.mic_xyz_m, array.channel_map
    turned = array.model_copy(update={"mic_xyz_m": (*mics[1:], mics[0]), "channel_map": (*channels[1:], channels[0])})
    (point,) = mismatches(_contract(), _robot(array=turned))
    assert "they match in another order: list them as [3, 0, 1, 2], with channel_map [1, 2, 3, 4]" in point


def test_continuous_actions_are_judged_by_the_bodys_limits() -> None:
    contract = _contract(actions=ContinuousActions())
    assert mismatches(contract, _robot()) == []
    assert any("asks for 1 m/s" in point for point in mismatches(contract, _robot(drive={"max_v_mps": 0.8})))


def test_a_policy_trained_with_acceleration_accepts_a_robot_that_has_it() -> None:
    body = {"max_acceleration_mps2": 2.0, "max_angular_acceleration_radps2": 3.0, "latency_s": 0.05}
    drive = {"max_acceleration_mps2": 2.0, "max_angular_acceleration_radps2": 3.0, "latency_s": 0.05}
    assert mismatches(_contract(body=body), _robot(drive=drive)) == []
    assert len(mismatches(_contract(body=body), _robot())) == 2  # too brisk is no better than too slow


def test_distance_covered_from_rest() -> None:
    assert covered_in_period(1.0, None, 0.0, 0.25) == 0.25
    assert covered_in_period(1.0, None, 0.05, 0.25) == pytest.approx(0.2)
    assert covered_in_period(1.0, 10.0, 0.0, 0.25) == pytest.approx(0.25 - 1.0 / 20.0)
    assert covered_in_period(1.0, 2.0, 0.0, 0.25) == pytest.approx(0.5 * 2.0 * 0.25**2)
    assert covered_in_period(1.0, 2.0, 0.5, 0.25) == 0.0


@pytest.mark.parametrize(("acceleration", "jerk"), [(None, 20.0), (None, 400.0), (2.0, 20.0), (2.0, 5.0), (9.0, 90.0)])
def test_distance_covered_on_the_guardians_ramp(acceleration: float | None, jerk: float) -> None:
    ramp, tick_s = Ramp(acceleration, jerk), 1e-4
    stepped = sum(ramp(1.0, tick_s) * tick_s for _ in range(2500))
    covered = covered_in_period(1.0, acceleration, 0.0, 0.25, jerk)
    assert covered == pytest.approx(stepped, rel=5e-3)
    steady = steady_acceleration(1.0, Axis(1.0, 1.0, acceleration, jerk), 0.25)
    assert covered_in_period(1.0, steady, 0.0, 0.25) == pytest.approx(covered)


def test_a_setpoint_that_acts_a_whole_period_late_is_compared_too() -> None:
    late = {"latency_s": 0.25}
    assert mismatches(_contract(body=late), _robot(drive=late)) == []  # as far as training goes
    assert len(mismatches(_contract(body=late), _robot())) == 2
    (point,) = mismatches(_contract(body={"latency_s": 1.0}), _robot(drive={"latency_s": 1.0}))
    assert "make the drive answer sooner" in point


def test_a_view_narrower_than_a_pixel_is_covered_by_nothing() -> None:
    found = mismatches(_contract(view_deg=(1.0, 1.0)), _robot(camera={"pinhole": NARROW}))
    assert any("it sees 0% of the policy's view" in point for point in found)


def test_a_camera_looks_along_x_and_down_with_positive_pitch() -> None:
    camera = PinholeCamera()
    ahead = base_from_camera(camera) @ [0.0, 0.0, 2.0, 1.0]
    assert ahead[:3] == pytest.approx([2.1, 0.0, 0.5])
    right_and_down = base_from_camera(camera) @ [1.0, 1.0, 2.0, 1.0]
    assert right_and_down[:3] == pytest.approx([2.1, -1.0, -0.5])
    pitched = camera.model_copy(update={"mount_rpy_rad": (0.0, 0.3, 0.0)})
    assert (base_from_camera(pitched) @ [0.0, 0.0, 1.0, 1.0])[2] < 0.5
    turned = camera.model_copy(update={"mount_rpy_rad": (0.0, 0.0, 0.3)})
    assert (base_from_camera(turned) @ [0.0, 0.0, 1.0, 1.0])[1] > 0.0
    assert camera_from_base(turned) @ base_from_camera(turned) == pytest.approx(np.eye(4), abs=1e-12)


def test_pixel_rays_pass_through_pixel_centres() -> None:
    rays = pixel_rays(PinholeCamera())
    assert rays.shape == (64, 64, 3)
    assert rays[0, 0] == pytest.approx([(0.5 - 32) / 32, (0.5 - 32) / 32, 1.0])
    assert rays[10, 40] == pytest.approx([(40.5 - 32) / 32, (10.5 - 32) / 32, 1.0])


def test_a_board_that_tells_of_its_wheels_alone_is_no_external_odometry() -> None:
    robot: dict[str, Any] = {
        "name": "r",
        "array": "respeaker_usb_v2",
        "drive": {"dead_man_ms": 200},
        "devices": {
            "kind": "hardware",
            "camera": {"pipeline": "x"},
            "drive": {"kind": "waveshare", "port": "/dev/x"},
        },
        "odometry": {"source": "external"},
    }
    with pytest.raises(ValueError, match="external is what an estimator says on ROS 2's topic"):
        RobotConfig.model_validate(robot)
    RobotConfig.model_validate({**robot, "odometry": None})
    RobotConfig.model_validate({**robot, "devices": {**robot["devices"], "drive": {"kind": "ros2"}}})
