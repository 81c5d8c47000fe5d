"""The way driven forward and the turn, as commanded and as measured: whichever is further counts."""

from __future__ import annotations

import itertools
from collections import deque

_HISTORY_NS = 12_000_000_000  # longer than any camera.max_age_ms
_SPEED_NS = 100_000_000  # over which the wheels' speed is taken, at least
_BUNCH_NS = 5_000_000  # reports that come within it were held up and came together: their times say nothing
STALL_NS = 150_000_000  # told to drive all the while: wheels that start need some of it, and so do their reports
STALL_MPS = 0.1  # at least
STALL_SHARE = 0.5  # of the way told, and the wheels did less
_MEASURED_MAX_AGE_NS = 200_000_000


class Way:
    """Integrates forward motion and turning, so that the way and the turn since an old depth frame are known."""

    def __init__(self) -> None:
        self._commanded_m = self._measured_m = 0.0
        self._commanded_rad = self._measured_rad = 0.0
        self._headings: deque[tuple[int, float, float]] = deque()
        self._history: deque[tuple[int, float, float]] = deque()
        self._wheels: deque[tuple[int, float]] = deque()

    def drive(self, v_mps: float, w_radps: float, passed_s: float, now_ns: int) -> None:
        """Add what was commanded since the last call."""
        self._commanded_m += v_mps * passed_s
        self._commanded_rad += w_radps * passed_s
        self._history.append((now_ns, self._commanded_m, self._measured_m))
        self._headings.append((now_ns, self._commanded_rad, self._measured_rad))
        for known in (self._history, self._headings):
            while now_ns - known[0][0] > _HISTORY_NS:
                known.popleft()

    def measure(self, dx_m: float, dyaw_rad: float, capture_ns: int) -> None:
        """Take a motion that the wheels report."""
        self._measured_m += max(0.0, dx_m)
        self._measured_rad += dyaw_rad
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
        known = [entry for entry in self._history if entry[0] >= now_ns - span_ns]
        if not known or now_ns - self._history[0][0] < span_ns or not self._wheels:
            return False
        for (before_ns, before_m, _), (after_ns, after_m, _) in itertools.pairwise(known):
            if after_m - before_m < STALL_MPS * (after_ns - before_ns) * 1e-9:
                return False  # it has only just been told
        commanded_m, measured_m = self._commanded_m - known[0][1], self._measured_m - known[0][2]
        return commanded_m > 0.0 and measured_m < STALL_SHARE * commanded_m

    def since(self, then_ns: int) -> float:
        """Return the way driven forward since a time, metres: the longer one of commanded and measured."""
        if not self._history:
            return 0.0
        _, commanded_m, measured_m = _known_at(self._history, then_ns)
        return max(self._commanded_m - commanded_m, self._measured_m - measured_m)

    def turned_since(self, then_ns: int) -> float:
        """Return by how much the heading has changed since a time, radians: the larger of commanded and measured."""
        if not self._headings:
            return 0.0
        _, commanded_rad, measured_rad = _known_at(self._headings, then_ns)
        return max(abs(self._commanded_rad - commanded_rad), abs(self._measured_rad - measured_rad))


def _known_at(history: deque[tuple[int, float, float]], then_ns: int) -> tuple[int, float, float]:
    return next((entry for entry in reversed(history) if entry[0] <= then_ns), history[0])
