"""A pinhole camera as kernels take it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from phonotaxis.configs.contract import PinholeCamera


class CameraModel(NamedTuple):
    """A pinhole camera, mounted and focused for each world on its own.

    Attributes:
        mount_m: float64 [worlds, 3], the camera's centre in the base frame, metres.
        base_from_camera: float64 [worlds, 3, 3], rotation of the camera's frame (x the optical axis, y left, z up).
        level: bool [worlds], the camera neither pitches nor rolls.
        left: float64 [worlds, width], direction of each column's centre: y over depth.
        down: float64 [worlds, height], direction of each row's centre: minus z over depth; ascending.
        range_m: float64 [2], least and largest depth that is reported, metres.
    """

    mount_m: np.ndarray
    base_from_camera: np.ndarray
    level: np.ndarray
    left: np.ndarray
    down: np.ndarray
    range_m: np.ndarray


def camera_model(camera: PinholeCamera, num_worlds: int = 1) -> CameraModel:
    """Prepare a camera for the kernels, mounted in every world as its configuration says."""
    roll, pitch, _ = camera.mount_rpy_rad
    left, down = pixel_tangents(camera)
    return CameraModel(
        mount_m=np.tile(np.array(camera.mount_xyz_m, np.float64), (num_worlds, 1)),
        base_from_camera=np.tile(rotation(*camera.mount_rpy_rad), (num_worlds, 1, 1)),
        level=np.full(num_worlds, roll == 0.0 and pitch == 0.0),
        left=np.tile(left, (num_worlds, 1)),
        down=np.tile(down, (num_worlds, 1)),
        range_m=np.array([camera.min_range_m, camera.max_range_m]),
    )


def pixel_tangents(camera: PinholeCamera) -> tuple[np.ndarray, np.ndarray]:
    """Return the directions of columns and rows, float64 [width] and [height], see `CameraModel`."""
    left = (camera.cx - (np.arange(camera.width) + 0.5)) / camera.fx
    down = ((np.arange(camera.height) + 0.5) - camera.cy) / camera.fy
    return left, down


def rotation(roll_rad: float, pitch_rad: float, yaw_rad: float) -> np.ndarray:
    """Return the rotation by roll, pitch and yaw about x, y and z, yaw last (REP-103), float64 [3, 3]."""
    cr, sr, cp, sp, cy, sy = (f(a) for a in (roll_rad, pitch_rad, yaw_rad) for f in (np.cos, np.sin))
    turn_x = np.array([[1.0, 0.0, 0.0], [0.0, cr, -sr], [0.0, sr, cr]])
    turn_y = np.array([[cp, 0.0, sp], [0.0, 1.0, 0.0], [-sp, 0.0, cp]])
    turn_z = np.array([[cy, -sy, 0.0], [sy, cy, 0.0], [0.0, 0.0, 1.0]])
    return turn_z @ turn_y @ turn_x
