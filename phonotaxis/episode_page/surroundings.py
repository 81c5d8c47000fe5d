"""Where the robot went, and what its camera saw stand around it, in the frame in which the odometry began."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np

from phonotaxis.configs.geometry import base_from_camera, pixel_rays
from phonotaxis.configs.robot import RobotConfig
from phonotaxis.deploy.devices import DepthFrame, OdometrySample

CELL_M = 0.1
FLOOR_M = 0.08  # lower than this counts as floor
MOST_FRAMES, MOST_CELLS = 400, 20_000
LEAST_HITS = 3  # of pixels, for a cell to be drawn
MOST_PIXELS = 4096  # of a frame


def way(odometry: Iterable[OdometrySample]) -> np.ndarray:
    """Add up odometry.

    Returns:
        float64 [poses, 4]: monotonic time in ns, x, y, yaw; the first pose is (0, 0, 0).
    """
    poses: list[tuple[float, float, float, float]] = []
    x = y = yaw = 0.0
    for sample in odometry:
        if not poses:
            poses.append((float(sample.capture_ns), 0.0, 0.0, 0.0))
        x += math.cos(yaw) * sample.dx_m - math.sin(yaw) * sample.dy_m
        y += math.sin(yaw) * sample.dx_m + math.cos(yaw) * sample.dy_m
        yaw += sample.dyaw_rad
        poses.append((float(sample.capture_ns), x, y, yaw))
    return np.array(poses).reshape(-1, 4)


def commanded_way(statuses: Iterable[dict[str, Any]]) -> np.ndarray:
    """Add up what safety let through, where there is no odometry; see `way`."""
    poses: list[tuple[float, float, float, float]] = []
    x = y = yaw = v = w = 0.0
    for status in statuses:
        at_ns = float(status["time_ns"])
        passed_s = (at_ns - poses[-1][0]) * 1e-9 if poses else 0.0
        x, y, yaw = x + v * passed_s * math.cos(yaw), y + v * passed_s * math.sin(yaw), yaw + w * passed_s
        v, w = float(status["v_mps"]), float(status["w_radps"])
        poses.append((at_ns, x, y, yaw))
    return np.array(poses).reshape(-1, 4)


def pose_at(poses: np.ndarray, time_ns: float) -> tuple[float, float, float]:
    """Interpolate x, y, yaw; the ends hold beyond them."""
    if not len(poses):
        return 0.0, 0.0, 0.0
    x, y, yaw = (float(np.interp(time_ns, poses[:, 0], poses[:, k])) for k in (1, 2, 3))
    return x, y, yaw


def obstacles(frames: Iterable[DepthFrame], poses: np.ndarray, robot: RobotConfig) -> list[list[int]]:
    """Return the cells in which something stands that the robot could drive against.

    Returns:
        [column, row] of each; cell (0, 0) has its lower left corner at the origin, its edge is `CELL_M`.
    """
    camera = robot.camera.pinhole
    pose = base_from_camera(camera)
    step = max(1, math.isqrt(camera.width * camera.height // MOST_PIXELS))
    rays = pixel_rays(camera)[::step, ::step].reshape(-1, 3) @ pose[:3, :3].T
    hits: Counter[tuple[int, int]] = Counter()
    for frame in frames:
        depth = frame.depth_m[::step, ::step].reshape(-1).astype(np.float64)
        if len(depth) != len(rays):
            continue
        known = np.isfinite(depth) & (depth > 0) & (depth < 0.98 * camera.max_range_m)
        points = pose[:3, 3] + rays[known] * depth[known, None]
        points = points[(points[:, 2] > FLOOR_M) & (points[:, 2] < robot.height_m)]
        x, y, yaw = pose_at(poses, frame.capture_ns)
        c, s = math.cos(yaw), math.sin(yaw)
        world = np.stack([x + c * points[:, 0] - s * points[:, 1], y + s * points[:, 0] + c * points[:, 1]], axis=1)
        hits.update(map(tuple, np.floor(world / CELL_M).astype(int).tolist()))
    return [list(cell) for cell, count in hits.most_common(MOST_CELLS) if count >= LEAST_HITS]
