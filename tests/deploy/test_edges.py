"""The robot stands before the floor ends, and before what its camera can't see, however long it takes to brake."""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np
import pytest

from phonotaxis.configs.contract import PinholeCamera
from phonotaxis.configs.geometry import base_from_camera, pixel_rays
from phonotaxis.configs.robot import DriveConfig, RobotConfig, SafetyLimits, load_robot
from phonotaxis.deploy.clearance import Clearance
from phonotaxis.deploy.safety import LATER, Command, SafetyFilter, SensorState

MS = 1_000_000
TICK_MS = 20
FRAME_AGE_MS = 60
SIMULATED = load_robot("simulated").camera.pinhole
NARROW = PinholeCamera(
    width=424, height=240, fx=223, fy=216, cx=212, cy=120, mount_xyz_m=(0.1, 0.0, 0.5), max_range_m=6.0
)
CAMERAS = {
    "simulated": SIMULATED,
    "narrow": NARROW,
    "short": NARROW.model_copy(update={"max_range_m": 1.3}),
    "pitched": NARROW.model_copy(update={"mount_rpy_rad": (0.0, 0.8, 0.0)}),  # sees floor to 1.75 m
}


def _robot(camera: PinholeCamera, **drive: Any) -> RobotConfig:
    robot = load_robot("simulated")
    changes = {
        "camera": robot.camera.model_copy(update={"pinhole": camera}),
        "drive": DriveConfig(max_v_mps=1.0, dead_man_ms=200, **drive),
        "safety": SafetyLimits(),
    }
    return robot.model_copy(update=changes)


def _frame(camera: PinholeCamera, ends_m: float, beyond_m: float | None) -> np.ndarray:
    """Depth, float32 [height, width], of a floor that ends, and of one so much deeper beyond it (None: unknown)."""
    pose = base_from_camera(camera)
    rays, eye = pixel_rays(camera) @ pose[:3, :3].T, pose[:3, 3]
    down = np.where(rays[..., 2] < 0, -rays[..., 2], np.nan)
    floor = eye[2] / down
    beyond = 0.0 if beyond_m is None else (eye[2] + beyond_m) / down
    depth = np.nan_to_num(np.where(eye[0] + rays[..., 0] * floor < ends_m, floor, beyond))
    return np.where((depth >= camera.min_range_m) & (depth <= camera.max_range_m), depth, 0.0).astype(np.float32)


def _front_left_m(robot: RobotConfig, beyond_m: float | None, starts_m: float = 4.0) -> float:
    """Drive at an edge as fast as it is let; returns how far the body's front is from there when all stands."""
    clearance, safety = Clearance(robot), SafetyFilter(robot)
    safety.arm()
    latency_ticks = round(robot.drive.latency_s * 1e3 / TICK_MS)
    step_mps = (robot.drive.max_acceleration_mps2 or 0.0) * TICK_MS * 1e-3
    told, frames = deque([0.0] * latency_ticks), deque(maxlen=FRAME_AGE_MS // TICK_MS + 1)
    x_m = v_mps = 0.0
    for tick in range(900):
        now_ns = (10_000 + tick * TICK_MS) * MS
        frames.append((now_ns, clearance.measure(_frame(robot.camera.pinhole, starts_m - x_m, beyond_m))))
        depth_ns, ahead = frames[0]
        safety.observe_motion(v_mps * TICK_MS * 1e-3, 0.0, now_ns)
        sensors = SensorState(now_ns, depth_ns, ahead[0], now_ns, *ahead[1:])
        told.append(safety.filter(Command(1.0, 0.0, now_ns, tick), now_ns, sensors).v_mps)
        v_mps += float(np.clip(told.popleft() - v_mps, -step_mps, step_mps))
        x_m += v_mps * TICK_MS * 1e-3
    assert v_mps == 0.0
    return starts_m - x_m - robot.radius_m


@pytest.mark.parametrize("camera", CAMERAS)
@pytest.mark.parametrize("beyond_m", [1.0, 0.2, None], ids=["hall", "stair", "unknown"])
@pytest.mark.parametrize("braking_mps2", [1.0, 0.4, 0.2])
def test_it_stands_before_the_floor_ends(camera: str, beyond_m: float | None, braking_mps2: float) -> None:
    robot = _robot(CAMERAS[camera], max_acceleration_mps2=braking_mps2, latency_s=0.1)
    assert 0.0 < _front_left_m(robot, beyond_m) < 1.0


@pytest.mark.parametrize("starts_m", [3.6, 3.7, 3.8, 4.3, 4.7, 5.1])
def test_it_stands_wherever_between_two_rows_of_pixels_the_floor_ends(starts_m: float) -> None:
    robot = _robot(SIMULATED, max_acceleration_mps2=0.2, latency_s=0.1)
    assert 0.0 < _front_left_m(robot, None, starts_m) < 1.0


def test_how_far_the_floor_is_known_is_told_to_a_band_or_two() -> None:
    clearance = Clearance(_robot(NARROW))
    for ends_m in (1.5, 2.0, 3.0, 4.0):
        known_m = clearance.measure(_frame(NARROW, ends_m, None)).floor_m
        assert ends_m - 0.18 - 0.25 < known_m < ends_m - 0.18
    assert 5.5 < clearance.measure(_frame(NARROW, 100.0, None)).floor_m < NARROW.max_range_m - 0.18


def test_a_small_hole_near_by_stops_nothing() -> None:
    frame = _frame(SIMULATED, 100.0, None)
    frame[-5:-2] = 0.0  # 0.7 m ahead, ten centimetres along the way
    ahead = Clearance(_robot(SIMULATED)).measure(frame)
    assert ahead.clearance_m == SIMULATED.max_range_m
    assert 0.4 < ahead.floor_m < 0.7


def test_a_log_from_before_it_was_told_limits_nothing() -> None:
    robot = _robot(SIMULATED, max_acceleration_mps2=0.6)
    safety = SafetyFilter(robot)
    safety.arm()
    now_ns = 10_000 * MS
    for tick in range(3):
        sensors = SensorState(now_ns, now_ns, 5.0, now_ns, *LATER.values())
        allowed = safety.filter(Command(0.5, 0.0, now_ns + tick, tick), now_ns + tick * TICK_MS * MS, sensors)
    assert (allowed.v_mps, allowed.reason) == (0.5, "ok")
