"""Whether capture times still mean what they meant: sound and image of one moment must stay together.

A capture time that is wrong by t is a bearing that is wrong by w t while the robot turns at w. So the bearing error
that is allowed, and the fastest turn, bound the error of time. What tells of it is the transit, from capture to
arrival: it varies upwards with the load, but its least over a few seconds stays what it was when the run began,
unless one of the clocks drifts or jumps; and nothing arrives before it was captured.
"""

from __future__ import annotations

import math
from collections import deque

from phonotaxis.configs.robot import RobotConfig
from phonotaxis.deploy.clock import NS_PER_S

WINDOW_NS = 2 * NS_PER_S
SETTLED_NS = 3 * NS_PER_S  # after the first arrival: what the least transit is compared with


def bound_ms(robot: RobotConfig, turning_radps: float) -> float:
    """Return by how much capture times may be wrong.

    Args:
        robot: its limits.
        turning_radps: the fastest turn that the policy asks for.
    """
    fastest = min(turning_radps, robot.safety.max_w_radps, robot.drive.max_w_radps)
    return math.radians(robot.safety.max_bearing_error_deg) / fastest * 1e3


class SyncWatch:
    """Watches the capture times of one sensor.

    Attributes:
        error_ms: by how much they are wrong at least, now.
        worst_ms: likewise, the most so far.
    """

    def __init__(self, name: str, limit_ms: float) -> None:
        self._name, self._limit_ms = name, limit_ms
        self._recent: deque[tuple[int, int]] = deque()  # times and transits that can still become the least
        self._first_ns: int | None = None
        self._settled_ns: int | None = None
        self.error_ms = self.worst_ms = 0.0

    def __call__(self, capture_ns: int, at_ns: int) -> str:
        """Take an arrival; return what is wrong now, empty where nothing is.

        Args:
            capture_ns: of what arrived, at its end.
            at_ns: when it arrived, in order.
        """
        transit_ns = at_ns - capture_ns
        while self._recent and self._recent[-1][1] >= transit_ns:
            self._recent.pop()
        self._recent.append((at_ns, transit_ns))
        while at_ns - self._recent[0][0] > WINDOW_NS:
            self._recent.popleft()
        least_ns = self._recent[0][1]
        if self._first_ns is None:
            self._first_ns = at_ns
        if at_ns - self._first_ns < SETTLED_NS:
            self._settled_ns = least_ns if self._settled_ns is None else min(self._settled_ns, least_ns)
        assert self._settled_ns is not None
        self.error_ms = max(abs(least_ns - self._settled_ns), -least_ns) * 1e-6
        self.worst_ms = max(self.worst_ms, self.error_ms)
        if self.error_ms <= self._limit_ms:
            return ""
        how = "lie in the future" if least_ns < 0 else "have moved against their arrival since the run began"
        return f"capture times of the {self._name} {how}, beyond the {self._limit_ms:.0f} ms that a turn allows"
