"""The way driven forward and the turn, as commanded and as measured: whichever is further counts."""

from __future__ import annotations

import bisect
import itertools
from collections import deque
from typing import NamedTuple

_HISTORY_NS = 12_000_000_000  # kept at least: longer than any camera.max_age_ms
_MOST_MARKS = 4096  # fifty ticks a second leave some 1,500; a stranger's trace may have more
_SPEED_NS = 100_000_000  # over which the wheels' speed is taken, at least
_BUNCH_NS = 5_000_000  # reports that come within it were held up and came together: their times say nothing
STALL_NS = 150_000_000  # told to drive all the while: wheels that start need some of it, and so do their reports
STALL_MPS = 0.1  # at least
STALL_SHARE = 0.5  # of the way told, and the wheels did less
_MEASURED_MAX_AGE_NS = 200_000_000


class Mark(NamedTuple):
    """Where the robot was: all that was driven forward and turned until then, as commanded and as measured."""

    commanded_m: float = 0.0
    measured_m: float = 0.0
    commanded_rad: float = 0.0
    measured_rad: float = 0.0

    def forward_to(self, later: Mark) -> float:
        """Return the way driven forward from here to there, metres: the longer one of commanded and measured."""
        return max(later.commanded_m - self.commanded_m, later.measured_m - self.measured_m)

    def turned_to(self, later: Mark) -> float:
        """Return by how much the heading differs there, radians: the larger of commanded and measured."""
        return max(abs(later.commanded_rad - self.commanded_rad), abs(later.measured_rad - self.measured_rad))


class Way:
    """Integrates forward motion and turning, so that the way and the turn since an old depth frame are known."""

    def __init__(self) -> None:
        self._now = Mark()
        self._times: list[int] = []  # of the marks, in their order
        self._marks: list[Mark] = []
        self._wheels: deque[tuple[int, float]] = deque()

    def drive(self, v_mps: float, w_radps: float, passed_s: float, now_ns: int) -> None:
        """Add what was commanded since the last call."""
        m, rad = self._now.commanded_m + v_mps * passed_s, self._now.commanded_rad + w_radps * passed_s
        self._now = self._now._replace(commanded_m=m, commanded_rad=rad)
        self._times.append(now_ns)
        self._marks.append(self._now)
        if now_ns - self._times[0] > 2 * _HISTORY_NS or len(self._times) > _MOST_MARKS:
            old = max(bisect.bisect_left(self._times, now_ns - _HISTORY_NS), len(self._times) - _MOST_MARKS)
            del self._times[:old], self._marks[:old]

    def measure(self, dx_m: float, dyaw_rad: float, capture_ns: int) -> None:
        """Take a motion that the wheels report."""
        m, rad = self._now.measured_m + max(0.0, dx_m), self._now.measured_rad + dyaw_rad
        self._now = self._now._replace(measured_m=m, measured_rad=rad)
        if self._wheels and capture_ns - self._wheels[-1][0] < _BUNCH_NS:
            capture_ns, before_m = self._wheels.pop()
            dx_m += before_m
        self._wheels.append((capture_ns, dx_m))
        # the report before the window stays, however old: a bunch tells of the way since then
        while len(self._wheels) > 1 and capture_ns - self._wheels[1][0] > _SPEED_NS:
            self._wheels.popleft()

    def measured_mps(self, now_ns: int) -> float:
        """Return the forward speed that the wheels report; 0 where they say nothing."""
        if len(self._wheels) < 2 or now_ns - self._wheels[-1][0] > _MEASURED_MAX_AGE_NS:
            return 0.0
        span_ns = self._wheels[-1][0] - self._wheels[0][0]
        way_m = sum(dx for _, dx in self._wheels) - self._wheels[0][1]
        return max(0.0, way_m / (span_ns * 1e-9)) if span_ns > 0 else 0.0

    def stalled(self, now_ns: int, latency_s: float) -> bool:
        """Whether the wheels, told to drive all the while, hardly did: the body pushes against something.

        Args:
            now_ns: monotonic time.
            latency_s: of the drive until it is as fast as it was told, which is waited for.
        """
        span_ns = STALL_NS + int(latency_s * 1e9)
        first = bisect.bisect_left(self._times, now_ns - span_ns)
        times, marks = self._times[first:], self._marks[first:]
        if not times or now_ns - self._times[0] < span_ns or not self._wheels:
            return False
        for (before_ns, before), (after_ns, after) in itertools.pairwise(zip(times, marks)):
            if after.commanded_m - before.commanded_m < STALL_MPS * (after_ns - before_ns) * 1e-9:
                return False  # it has only just been told
        commanded_m = self._now.commanded_m - marks[0].commanded_m
        measured_m = self._now.measured_m - marks[0].measured_m
        return commanded_m > 0.0 and measured_m < STALL_SHARE * commanded_m

    @property
    def now(self) -> Mark:
        """Where the robot is."""
        return self._now

    def mark(self, then_ns: int) -> Mark:
        """Return where the robot was at a time of the last 12 s; for an earlier one, where it was 12 s ago or so."""
        if not self._marks:
            return self._now
        return self._marks[max(0, bisect.bisect_right(self._times, then_ns) - 1)]

    def since(self, then_ns: int) -> float:
        """Return the way driven forward since a time, metres: the longer one of commanded and measured."""
        return self.mark(then_ns).forward_to(self._now)

    def turn(self, then: Mark, later: Mark) -> float:
        """Return the turn between two marks, radians, counter-clockwise; as told where no wheels report."""
        if self._wheels:
            return later.measured_rad - then.measured_rad
        return later.commanded_rad - then.commanded_rad

    def turned_since(self, then_ns: int) -> float:
        """Return by how much the heading has changed since a time, radians: the larger of commanded and measured."""
        return self.mark(then_ns).turned_to(self._now)
