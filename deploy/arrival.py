"""When samples were captured, from when they arrived: arrivals come late by a varying time, never early."""

from __future__ import annotations

from collections import deque

from phonotaxis.deploy.clock import NS_PER_S

WINDOW_NS = 1_000_000_000
LOST_NS = 30_000_000  # a lasting lag beyond this is lost samples: PulseAudio's own buffers shift by a few ms


class ArrivalClock:
    """Follows the earliest arrivals of a stream whose samples are counted.

    With the stream's nominal rate, `arrival - samples / rate` is the start of the stream plus the delay of that
    arrival; its minimum over the last second is the delay that the system can't do without. Where the minimum
    rises for good, samples were lost on the way, of which a driver may say nothing.
    """

    def __init__(self, sample_rate_hz: int) -> None:
        self._rate_hz = sample_rate_hz
        self._recent: deque[tuple[int, int]] = deque()
        self._base_ns: int | None = None
        self._since_ns = 0

    def arrive(self, end_sample: int, at_ns: int) -> int:
        """Take note of an arrival.

        Args:
            end_sample: samples that have arrived by now, this block included.
            at_ns: monotonic time.

        Returns:
            Samples that were found to have been lost before this block, nearly always 0; add them to the index.
        """
        offset_ns = at_ns - end_sample * NS_PER_S // self._rate_hz
        self._push(at_ns, offset_ns)
        least_ns = self._recent[0][1]
        if self._base_ns is None or least_ns <= self._base_ns:
            self._base_ns = least_ns
            self._since_ns = at_ns
            return 0
        # the base follows a converter that is slower than the clock, and jumps where samples are missing
        if at_ns - self._since_ns < WINDOW_NS:
            return 0
        lag_ns = least_ns - self._base_ns
        self._since_ns = at_ns
        if lag_ns < LOST_NS:
            self._base_ns = least_ns
            return 0
        lost = lag_ns * self._rate_hz // NS_PER_S
        self._recent.clear()
        self._push(at_ns, offset_ns - lost * NS_PER_S // self._rate_hz)
        return int(lost)

    def _push(self, at_ns: int, offset_ns: int) -> None:
        """Keep the offsets that can still become the window's least, rising from the front."""
        while self._recent and self._recent[-1][1] >= offset_ns:
            self._recent.pop()
        self._recent.append((at_ns, offset_ns))
        while at_ns - self._recent[0][0] > WINDOW_NS:
            self._recent.popleft()

    def captured_ns(self, sample: int) -> int:
        """Return when a sample was captured, as far as arrivals tell.

        Raises:
            ValueError: nothing has arrived yet.
        """
        if self._base_ns is None:
            raise ValueError("nothing has arrived yet; call arrive first")
        return min(self._base_ns, self._recent[0][1]) + sample * NS_PER_S // self._rate_hz
