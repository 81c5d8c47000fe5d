"""Odometry of a differential drive from the way of its two wheels."""

from __future__ import annotations

import math

LEAST_M = 1e-9
JUMP_M = 0.5  # between two reports: a board that was reset, or a broken line, but no motion


class WheelOdometry:
    """Turns odometer readings into motions in the base frame.

    Between two readings the robot moves on an arc (Siegwart and Nourbakhsh 2004, section 5.2.4, exact for
    constant wheel speeds).
    """

    def __init__(self, track_m: float) -> None:
        self._track_m = track_m
        self._last: tuple[float, float] | None = None

    def moved(self, left_m: float, right_m: float) -> tuple[float, float, float] | None:
        """Take the wheels' total ways.

        Returns:
            dx, dy (metres) and dyaw (radians) since the last reading, in the base frame at that time; None after
            the first one and where a reading jumps.
        """
        last, self._last = self._last, (left_m, right_m)
        if last is None:
            return None
        left_m, right_m = left_m - last[0], right_m - last[1]
        if max(abs(left_m), abs(right_m)) > JUMP_M:
            return None
        way_m, turn_rad = (left_m + right_m) / 2, (right_m - left_m) / self._track_m
        if abs(turn_rad) < LEAST_M:
            return way_m, 0.0, turn_rad
        radius_m = way_m / turn_rad
        return radius_m * math.sin(turn_rad), radius_m * (1.0 - math.cos(turn_rad)), turn_rad
