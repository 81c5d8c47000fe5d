"""Pinhole cameras in the robot's base frame: the conversions that simulator, runtime and checks share.

Base frame: REP-103 (x forward, y left, z up). Optical frame: x right, y down, z along the axis (REP-103's
suffix `_optical`). Euler angles are roll, pitch, yaw about fixed x, y, z; positive pitch looks down.
"""

from __future__ import annotations

import numpy as np

from phonotaxis.configs.contract import PinholeCamera

# columns: the optical axes x (right), y (down), z (forward) in a base frame that looks along +x
_OPTICAL_IN_BASE = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])


def rotation_from_rpy(roll: float, pitch: float, yaw: float) -> np.ndarray:
    """Return the rotation matrix of fixed-axis roll, pitch, yaw in radians: Rz(yaw) Ry(pitch) Rx(roll)."""
    cr, sr, cp, sp, cy, sy = (f(a) for a in (roll, pitch, yaw) for f in (np.cos, np.sin))
    rx = np.array([[1, 0, 0], [0, cr, -sr], [0, sr, cr]])
    ry = np.array([[cp, 0, sp], [0, 1, 0], [-sp, 0, cp]])
    rz = np.array([[cy, -sy, 0], [sy, cy, 0], [0, 0, 1]])
    return rz @ ry @ rx


def base_from_camera(camera: PinholeCamera) -> np.ndarray:
    """Return the pose of the optical frame in the base frame, float64 [4, 4], metres."""
    pose = np.eye(4)
    pose[:3, :3] = rotation_from_rpy(*camera.mount_rpy_rad) @ _OPTICAL_IN_BASE
    pose[:3, 3] = camera.mount_xyz_m
    return pose


def camera_from_base(camera: PinholeCamera) -> np.ndarray:
    """Return the inverse of `base_from_camera`, float64 [4, 4], metres."""
    return np.linalg.inv(base_from_camera(camera))


def pixel_rays(camera: PinholeCamera) -> np.ndarray:
    """Return the direction through each pixel's centre in the optical frame, float64 [height, width, 3].

    Scaled so that z is 1: times the depth it is the point.
    """
    u = (np.arange(camera.width) + 0.5 - camera.cx) / camera.fx
    v = (np.arange(camera.height) + 0.5 - camera.cy) / camera.fy
    rays = np.ones((camera.height, camera.width, 3))
    rays[..., 0], rays[..., 1] = u[None, :], v[:, None]
    return rays
