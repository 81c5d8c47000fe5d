"""What the robot's camera sees no more is still there, until the robot has turned away from it or passed it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from phonotaxis.configs.contract import PinholeCamera
from phonotaxis.configs.geometry import base_from_camera, pixel_rays
from phonotaxis.configs.robot import DriveConfig, RobotConfig, SafetyLimits, load_robot
from phonotaxis.deploy.clearance import HIDDEN_SOONER_M, Clearance
from phonotaxis.deploy.safety import Command, SafetyFilter, SensorState

MS = 1_000_000
NOW = 10_000 * MS


def _robot(drive: dict[str, Any] | None = None, **limits: Any) -> RobotConfig:
    changes = {"safety": SafetyLimits(**limits), "drive": DriveConfig(**(drive or {}))}
    return load_robot("simulated").model_copy(update=changes)


def _armed(robot: RobotConfig) -> SafetyFilter:
    safety = SafetyFilter(robot)
    safety.arm()
    return safety


def _rover() -> RobotConfig:
    """Mount a camera half a metre up that looks straight ahead, as the README's: near the body it sees no floor."""
    camera = PinholeCamera(
        width=424, height=240, fx=223.0, fy=223.0, cx=212.0, cy=120.0, min_range_m=0.3, max_range_m=10.0,
        mount_xyz_m=(0.1, 0.0, 0.5),
    )  # fmt: skip
    robot = load_robot("simulated")
    return robot.model_copy(
        update={"camera": robot.camera.model_copy(update={"pinhole": camera}), "safety": SafetyLimits()}
    )


def _hall_with_a_leg(robot: RobotConfig, leg_x_m: float, leg_y_m: float, top_m: float) -> np.ndarray:
    """Depth, float32 [height, width], of a floor and a leg 4 cm thick; what is nearer than the camera measures is 0."""
    camera = robot.camera.pinhole
    pose = base_from_camera(camera)
    rays, eye = pixel_rays(camera) @ pose[:3, :3].T, pose[:3, 3]
    with np.errstate(divide="ignore"):
        floor = np.where(rays[..., 2] < 0, -eye[2] / rays[..., 2], np.inf)
    away = leg_x_m - eye[0]  # its front stands across the view, at this depth
    y, z = eye[1] + rays[..., 1] * away, eye[2] + rays[..., 2] * away
    leg = np.where((np.abs(y - leg_y_m) < 0.02) & (z > 0) & (z < top_m) & (away > 0), away, np.inf)
    depth = np.minimum(floor, leg)
    return np.where((depth < camera.max_range_m) & (depth >= camera.min_range_m), depth, 0.0).astype(np.float32)


@pytest.mark.parametrize(
    ("leg_y_m", "top_m", "hidden_m"),
    [
        (0.12, 1.0, 0.3 + 0.1 - np.sqrt(0.18**2 - 0.12**2)),  # nearer than the camera measures: 0.3 m before its lens
        (0.0, 1.0, 0.3 + 0.1 - 0.18),
        (0.0, 0.2, 0.3 * 223 / 120 + 0.1 - 0.18),  # its top, 0.3 m below the lens, leaves the image at the bottom
    ],
)
def test_a_frame_tells_when_the_nearest_thing_will_be_seen_no_more(
    leg_y_m: float, top_m: float, hidden_m: float
) -> None:
    robot = _rover()
    ahead = Clearance(robot).measure(_hall_with_a_leg(robot, 1.2, leg_y_m, top_m))
    assert ahead.clearance_m == pytest.approx(1.2 - np.sqrt(0.18**2 - leg_y_m**2), abs=0.03)
    assert ahead.hidden_m == pytest.approx(hidden_m + HIDDEN_SOONER_M, abs=0.03)


@pytest.mark.parametrize(("leg_y_m", "top_m"), [(0.12, 1.0), (0.0, 0.2), (-0.15, 0.1)])
def test_a_leg_that_the_camera_sees_no_more_is_still_there(leg_y_m: float, top_m: float) -> None:
    robot = _rover()
    clearance, safety = Clearance(robot), _armed(robot)
    x_m, seen = 0.0, []
    for tick in range(400):
        now_ns = NOW + tick * 20 * MS
        if tick % 5 == 0:
            ahead, frame_ns = clearance.measure(_hall_with_a_leg(robot, 1.2 - x_m, leg_y_m, top_m)), now_ns
            seen.append(ahead.clearance_m)
        sensors = SensorState(now_ns, frame_ns, ahead[0], now_ns, *ahead[1:])
        allowed = safety.filter(Command(0.4, 0.0, now_ns, 0), now_ns, sensors)
        x_m += allowed.v_mps * 0.02
    touches_m = 1.2 - np.sqrt(0.18**2 - leg_y_m**2)
    assert touches_m - 0.12 < x_m < touches_m
    assert seen[-1] is None or seen[-1] > 1.0  # the frame alone shows nothing
    assert (allowed.v_mps, safety.blocked(now_ns)) == (0.0, True)
    assert allowed.reason in ("obstacle", "way ahead unknown")


Frame = tuple[float, float, float, float]  # clearance_m, hidden_m, nearest_x_m, nearest_y_m
NOTHING: Frame = (5.0, 0.0, 0.0, 0.0)


def _standing_before(safety: SafetyFilter, x_m: float, y_m: float, hidden_m: float) -> int:
    """Let it drive 2 cm towards a thing that two frames have shown and a third doesn't; returns the next tick."""
    way_m = x_m + 0.02 - np.sqrt(0.18**2 - y_m**2)
    seen: Frame = (way_m, hidden_m, x_m + 0.02, y_m)
    for tick, frame in enumerate((seen, seen, NOTHING)):
        _tick(safety, tick, frame, 1.0 if tick else 0.0)
    return 3


def _tick(safety: SafetyFilter, tick: int, frame: Frame, v_mps: float = 0.5, w_radps: float = 0.0) -> float:
    now_ns = NOW + tick * 20 * MS
    sensors = SensorState(now_ns, now_ns, frame[0], now_ns, *frame[1:])
    return safety.filter(Command(v_mps, w_radps, now_ns, 0), now_ns, sensors).v_mps


@pytest.mark.parametrize(
    ("x_m", "y_m", "turn_deg", "is_free"),
    [
        (0.28, 0.0, 0.0, False),
        (0.28, 0.0, 30.0, False),  # 0.14 m aside, of a body of 0.18 m
        (0.28, 0.0, -30.0, False),
        (0.28, 0.0, 45.0, True),
        (0.22, 0.16, -14.0, True),  # a door's post
        (0.22, 0.16, 14.0, False),
        (0.22, 0.16, 40.0, False),
    ],
)
@pytest.mark.parametrize("measured", [False, True])
def test_what_is_hidden_is_passed_once_the_robot_has_turned_away_from_it(
    x_m: float, y_m: float, turn_deg: float, is_free: bool, measured: bool
) -> None:
    safety = _armed(_robot({"latency_s": 0.0}))
    begun = _standing_before(safety, x_m, y_m, 0.5)
    steps = max(1, round(abs(turn_deg)))
    w_radps = float(np.radians(turn_deg)) / (0.02 * steps)
    for tick in range(begun, begun + steps):
        if measured:
            safety.observe_motion(0.0, 0.02 * w_radps, NOW + tick * 20 * MS)
        _tick(safety, tick, NOTHING, 0.0, w_radps)
    assert (_tick(safety, begun + steps, NOTHING) == 0.5) == is_free


def test_what_a_single_frame_shows_or_what_goes_by_itself_is_not_kept() -> None:
    near: Frame = (0.05, 0.3, 0.23, 0.0)
    safety = _armed(_robot())
    assert _tick(safety, 0, near) < 0.5
    assert _tick(safety, 1, NOTHING) == 0.5  # a camera's error
    safety = _armed(_robot())
    for tick in range(5):
        assert _tick(safety, tick, near, 0.0) == 0.0
    assert _tick(safety, 5, NOTHING) == 0.5  # somebody stood before a robot that stood
    safety = _armed(_robot())
    in_view: Frame = (0.40, 0.1, 0.58, 0.0)
    assert [_tick(safety, tick, in_view) for tick in range(2)] == [0.5, 0.5]
    assert _tick(safety, 2, NOTHING) == 0.5
    assert safety._hidden_way_m() == np.inf  # a person, in full view until then, has gone


def test_who_arms_it_anew_may_have_carried_it() -> None:
    safety = _armed(_robot())
    begun = _standing_before(safety, 0.28, 0.0, 0.5)
    assert _tick(safety, begun, NOTHING) < 0.5
    safety.disarm()
    assert _tick(safety, begun + 1, NOTHING) == 0.0
    safety.arm()
    assert _tick(safety, begun + 2, NOTHING) == 0.5
