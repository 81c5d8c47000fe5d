"""Time on the robot: monotonic nanoseconds, and the audio sample clock that is its master."""

from __future__ import annotations

import time

NS_PER_S = 1_000_000_000


def now_ns() -> int:
    """Return the machine's monotonic time, int64 nanoseconds; every process of the machine reads the same."""
    return time.monotonic_ns()


class SampleClock:
    """Maps sample indices to monotonic time, anchored on the newest block.

    A block's capture time has the jitter of its driver; the sample index has none. So indices order
    events, and times only give ages.
    """

    def __init__(self, sample_rate_hz: int) -> None:
        self._rate_hz = sample_rate_hz
        self._last: tuple[int, int] | None = None

    def observe(self, first_sample: int, capture_ns: int) -> None:
        """Take note of a block: the index of its first sample and when that was captured."""
        self._last = (first_sample, capture_ns)

    def restart(self) -> None:
        """Forget everything: the stream began anew."""
        self._last = None

    def ns_at(self, sample: int) -> int:
        """Return when a sample was, or will be, captured.

        Raises:
            ValueError: no block was observed yet.
        """
        if self._last is None:
            raise ValueError("the sample clock has seen no block yet; call observe first")
        anchor_sample, anchor_ns = self._last
        return anchor_ns + (sample - anchor_sample) * NS_PER_S // self._rate_hz
