"""A speed that follows its setpoint with bounded acceleration and jerk."""

from __future__ import annotations

import math


class Ramp:
    """One axis of the drive. `None` bounds nothing.

    With a bounded jerk the acceleration may be no more than what can be taken back before the setpoint is
    reached: a^2 / 2j = distance in speed. The last tick before the setpoint is cut to it, whatever its jerk.
    """

    def __init__(self, acceleration: float | None, jerk: float | None) -> None:
        self._most, self._jerk = acceleration, jerk
        self.speed, self._rate = 0.0, 0.0

    def __call__(self, wanted: float, passed_s: float) -> float:
        """Return the speed after so many seconds more on the way to the one wanted."""
        if self._most is None and self._jerk is None:
            self.speed = wanted
            return wanted
        if passed_s <= 0.0:
            return self.speed
        rate = (wanted - self.speed) / passed_s
        if self._most is not None:
            rate = min(max(rate, -self._most), self._most)
        if self._jerk is not None:
            rate = self._bounded(rate, abs(wanted - self.speed), passed_s)
        speed = self.speed + rate * passed_s
        if (speed - wanted) * (self.speed - wanted) <= 0.0:
            speed, rate = wanted, 0.0
        self.speed, self._rate = speed, rate
        return speed

    def _bounded(self, rate: float, left: float, passed_s: float) -> float:
        assert self._jerk is not None
        reach = math.sqrt(2.0 * self._jerk * left)
        step = self._jerk * passed_s
        return min(max(min(max(rate, -reach), reach), self._rate - step), self._rate + step)

    def jump(self, speed: float) -> None:
        """Take a speed at once: what safety asks for knows no comfort."""
        self.speed, self._rate = speed, 0.0

    def stop(self) -> None:
        """Stand at once."""
        self.jump(0.0)
