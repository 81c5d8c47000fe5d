"""Brings a depth image of the robot's camera into the camera that the policy was trained with."""

from __future__ import annotations

import numpy as np

from phonotaxis.configs.contract import PinholeCamera
from phonotaxis.configs.geometry import base_from_camera, camera_from_base, pixel_rays


class Reprojection:
    """Reprojects depth between two pinhole cameras that are fixed to the same base.

    Each pixel becomes a point and is drawn into the other image; the nearest point wins, pixels that no point
    falls into stay 0 (unknown). Equal cameras pass depth through bit by bit.
    """

    def __init__(self, own: PinholeCamera, wanted: PinholeCamera) -> None:
        self._own, self._wanted = own, wanted
        self._identity = own == wanted
        turn = camera_from_base(wanted) @ base_from_camera(own)
        rays = pixel_rays(own).reshape(-1, 3) @ turn[:3, :3].T
        self._rays = np.ascontiguousarray(rays.T)  # a row for each axis, which is read in one go
        self._offset_m = turn[:3, 3]

    def check(self, depth_m: np.ndarray) -> None:
        """Refuse a frame of another camera.

        Raises:
            ValueError: the frame's shape is not the configured camera's.
        """
        if depth_m.shape != (self._own.height, self._own.width):
            raise ValueError(
                f"expected a depth frame of {self._own.height} x {self._own.width} pixels as camera.pinhole "
                f"says, got {depth_m.shape}: correct the robot's configuration or the camera's mode"
            )

    def __call__(self, depth_m: np.ndarray) -> np.ndarray:
        """Return what the policy's camera would have seen.

        Args:
            depth_m: float32 [height, width] of the robot's camera, metres along its axis, 0 = unknown.

        Returns:
            float32 [height, width] of the policy's camera, metres along its axis, 0 = unknown.

        Raises:
            ValueError: the frame's shape is not the configured camera's.
        """
        self.check(depth_m)
        depth_m = np.asarray(depth_m, dtype=np.float32)
        known = np.where(np.isfinite(depth_m) & (depth_m > 0), depth_m, np.float32(0))
        return known if self._identity else self._draw(known.reshape(-1))

    def _draw(self, depth_m: np.ndarray) -> np.ndarray:
        wanted = self._wanted
        z = self._rays[2] * depth_m + self._offset_m[2]
        near = np.flatnonzero((depth_m > 0) & (z >= max(wanted.min_range_m, 1e-6)) & (z <= wanted.max_range_m))
        depth_m, z = depth_m[near], z[near]
        x, y = (self._rays[axis][near] * depth_m + self._offset_m[axis] for axis in (0, 1))
        u = np.floor(x / z * wanted.fx + wanted.cx).astype(np.int64)
        v = np.floor(y / z * wanted.fy + wanted.cy).astype(np.int64)
        inside = (u >= 0) & (u < wanted.width) & (v >= 0) & (v < wanted.height)
        image = np.full(wanted.height * wanted.width, np.inf)
        np.minimum.at(image, v[inside] * wanted.width + u[inside], z[inside])
        image[np.isinf(image)] = 0.0
        return image.astype(np.float32).reshape(wanted.height, wanted.width)
