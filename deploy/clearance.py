"""How far the robot may drive straight ahead, from one depth frame; what isn't seen isn't free."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from phonotaxis.configs.geometry import base_from_camera, pixel_rays
from phonotaxis.configs.robot import RobotConfig

FLOOR_TOLERANCE_M = 0.05  # lower than this counts as floor: a threshold, a carpet, the camera's noise
WATCHED_AHEAD_M = 1.0  # in front of the body: where the floor must be seen
DROP_M = 0.15  # deeper is no floor: the least stair; a ramp of 8 degrees drops as much on a metre
HIDDEN_SOONER_M = 0.05  # than is worked out: half a pixel, the odometry's error, a frame's age
NEAREST_M = 0.05  # what is hardly farther than the nearest belongs to the same thing
BAND_M = 0.1  # of floor across the way, of which each must be known


class Ahead(NamedTuple):
    """What a frame tells of the way ahead.

    Attributes:
        clearance_m: how far the body can drive before it touches what is seen; None if that isn't known.
        hidden_m: of this way, how much is left when the camera sees no more of the nearest thing: it is nearer than the
            camera measures, or beside or below the image. 0 where it is seen until it is touched, and where there is
            nothing.
        nearest_x_m: where it is that the body touches first, base frame; 0 where there is nothing.
        nearest_y_m: likewise.
        floor_m: how far the body can drive before its front is where no floor is known. Never less than from where the
            lack of it makes `clearance_m` None: a hole nearer than that, too small for it, stops nothing.
    """

    clearance_m: float | None
    hidden_m: float = 0.0
    nearest_x_m: float = 0.0
    nearest_y_m: float = 0.0
    floor_m: float = 0.0


class Clearance:
    """Measures the free way ahead of a disc-shaped body in the robot's own depth image."""

    def __init__(self, robot: RobotConfig) -> None:
        camera = robot.camera.pinhole
        pose = base_from_camera(camera)
        self._radius_m, self._height_m = robot.radius_m, robot.height_m
        self._range_m = camera.max_range_m
        self._max_unknown = robot.safety.max_unknown_fraction
        self._rays = pixel_rays(camera).reshape(-1, 3) @ pose[:3, :3].T
        self._eye_m = pose[:3, 3]
        floor_m = self._floor_ahead()
        watched = floor_m < self._radius_m + WATCHED_AHEAD_M
        self._watched = np.flatnonzero(watched if watched.any() else self._crossing_pixels())
        self._noticed_m = self._noticed(np.sort(floor_m[watched]))
        self._floor = np.flatnonzero((floor_m > self._radius_m) & np.isfinite(floor_m))
        self._band = ((floor_m[self._floor] - self._radius_m) / BAND_M).astype(np.int64)
        self._in_band = np.bincount(self._band)
        self._leaves_m = self._last_depths()
        # A point p of the camera's frame is seen where all of these times p are at least `_edges_m`.
        sides = [[0, 0, 1], [camera.fx, 0, camera.cx], [-camera.fx, 0, camera.width - camera.cx]]
        sides += [[0, camera.fy, camera.cy], [0, -camera.fy, camera.height - camera.cy]]
        self._sides = np.array(sides, dtype=np.float64) @ pose[:3, :3].T
        self._edges_m = np.array([camera.min_range_m, 0.0, 0.0, 0.0, 0.0])

    def _floor_ahead(self) -> np.ndarray:
        """Float64 [pixels]: how far ahead, base frame, the pixel would see a spot of an empty floor on the body's way.

        Infinite where it would see none of it.
        """
        down = self._rays[:, 2] < -1e-9
        depth = np.where(down, -self._eye_m[2] / np.where(down, self._rays[:, 2], -1.0), 0.0)
        x, y, _ = (self._eye_m + self._rays * depth[:, None]).T
        return np.where(down & (depth <= self._range_m) & (x > 0) & (np.abs(y) < self._radius_m), x, np.inf)

    def _noticed(self, watched_m: np.ndarray) -> float:
        """Return how far the body's front is from an edge of the floor when too much of what is watched is beyond it.

        Args:
            watched_m: float64 [n], how far ahead each watched spot is, the nearest first.
        """
        allowed = int(self._max_unknown * len(watched_m))
        if allowed >= len(watched_m):
            return 0.0
        return max(0.0, float(watched_m[-1 - allowed]) - self._radius_m)

    def _crossing_pixels(self) -> np.ndarray:
        """Bool [pixels]: the ray passes through the space that the body is about to cover."""
        steps_m = np.linspace(0.05, self._radius_m + WATCHED_AHEAD_M, 40)
        points = self._eye_m + self._rays[:, None] * steps_m[None, :, None]
        below_head = (points[..., 2] > 0) & (points[..., 2] < self._height_m)
        return np.asarray((self._in_corridor(points) & below_head).any(axis=1))

    def _last_depths(self) -> np.ndarray:
        """Float64 [pixels]: the depth beyond which the pixel sees nothing that the body could touch, or a little more.

        Most pixels of a large image see something beyond, and need not be looked at.
        """
        low_m = np.array([0.0, -self._radius_m, FLOOR_TOLERANCE_M])
        high_m = np.array([np.inf, self._radius_m, self._height_m])
        ends_m = np.where(self._rays > 0, high_m, low_m) - self._eye_m
        depths = np.where(self._rays == 0, np.inf, ends_m / np.where(self._rays == 0, 1.0, self._rays))
        return np.asarray(np.minimum(depths.min(axis=1) * (1 + 1e-6) + 1e-6, np.finfo(np.float32).max))

    def _in_corridor(self, points: np.ndarray) -> np.ndarray:
        ahead = (points[..., 0] > 0) & (points[..., 0] < self._radius_m + WATCHED_AHEAD_M)
        return np.asarray(ahead & (np.abs(points[..., 1]) < self._radius_m))

    def __call__(self, depth_m: np.ndarray) -> float | None:
        """Return `Ahead.clearance_m` alone."""
        return self.measure(depth_m).clearance_m

    def measure(self, depth_m: np.ndarray) -> Ahead:
        """Return how far the body can drive before it touches what is seen, and how long it will be seen.

        Args:
            depth_m: float32 [height, width] of the robot's camera, metres along its axis, 0 = unknown.

        Returns:
            A way from 0 to the camera's range (nothing stands in it); None for it if too much of the floor
            just ahead is unknown (something too near to measure, black or of glass may hide there) or isn't there:
            a stair down, the edge of a platform.
        """
        depth = depth_m.reshape(-1)
        floor = self._is_floor(depth, self._watched)
        if not floor.any() or (~floor).mean() > self._max_unknown:
            return Ahead(None)
        floor_m = self._floor_m(depth)
        near = np.flatnonzero((depth > 0) & (depth <= self._leaves_m))
        points = self._eye_m + self._rays[near] * depth[near, None].astype(np.float64)
        x, y, z = points.T
        hit = (x > 0) & (np.abs(y) < self._radius_m) & (z > FLOOR_TOLERANCE_M) & (z < self._height_m)
        if not hit.any():
            return Ahead(self._range_m, floor_m=floor_m)
        # a disc moving along x touches a point at lateral offset y when it is sqrt(r^2 - y^2) short of it
        way_m = x[hit] - np.sqrt(self._radius_m**2 - y[hit] ** 2)
        nearest = way_m <= way_m.min() + NEAREST_M
        hidden_m = self._hidden_m(points[hit][nearest], way_m[nearest])
        first_x, first_y, _ = points[hit][way_m.argmin()].tolist()
        return Ahead(min(self._range_m, max(0.0, float(way_m.min()))), hidden_m, first_x, first_y, floor_m)

    def _floor_m(self, depth: np.ndarray) -> float:
        """Return `Ahead.floor_m`, of depth [pixels]: to the last band that shows floor before one that lacks too much.

        A camera that sees no floor at all says nothing of it.
        """
        if not len(self._in_band):
            return self._range_m
        missing = self._band[~self._is_floor(depth, self._floor)]
        lacking = np.bincount(missing, minlength=len(self._in_band)) > self._max_unknown * self._in_band
        shown = np.flatnonzero(self._in_band[: int(lacking.argmax())] if lacking.any() else self._in_band)
        return max(self._noticed_m, BAND_M * int(shown[-1]) if len(shown) else 0.0)

    def _is_floor(self, depth: np.ndarray, pixels: np.ndarray) -> np.ndarray:
        """Bool [k]: these pixels of depth [pixels] show the floor, or what stands on it."""
        seen = depth[pixels]
        known = np.isfinite(seen) & (seen > 0)
        height_m = self._eye_m[2] + self._rays[pixels, 2] * np.where(known, seen, 0.0)
        return np.asarray(known & (height_m > -DROP_M))

    def _hidden_m(self, points: np.ndarray, way_m: np.ndarray) -> float:
        """Return how much of the way is left when the last of some points, float64 [n, 3], leaves the view."""
        inside = (points - self._eye_m) @ self._sides.T - self._edges_m  # as it drives on, each falls in proportion
        falls = self._sides[:, 0]
        seen_m = np.where(falls > 1e-9, np.maximum(inside, 0.0) / np.where(falls > 1e-9, falls, 1.0), np.inf)
        left_m = float((way_m - seen_m.min(axis=1)).min()) + HIDDEN_SOONER_M
        return max(0.0, left_m)
