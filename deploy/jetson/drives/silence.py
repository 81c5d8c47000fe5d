"""A base that reports has fallen silent: without power it takes every command, and would obey again when it is back."""

from __future__ import annotations

LEAST_COMMANDS = 5  # a guardian that slept itself has heard nothing either


class Silence:
    """Counts since the last report, in time and in commands.

    Attributes:
        is_now: whether it is silent; a report ends that.
    """

    def __init__(self, limit_ns: int, since_ns: int | None) -> None:
        """Begin.

        Args:
            limit_ns: without a report for longer, it is silent.
            since_ns: counted from then before the first report, monotonic ns; None waits for the first one.
        """
        self._limit_ns, self._heard_ns, self._commands = limit_ns, since_ns, 0
        self.is_now = False

    def heard(self, at_ns: int) -> bool:
        """Take a report; returns whether it ends a silence, in which anything may have happened to the base."""
        ended, self.is_now = self.is_now, False
        self._heard_ns, self._commands = at_ns, 0
        return ended

    def asked(self, at_ns: int) -> bool:
        """Count a command, after all reports have been taken; returns whether the base is silent."""
        self._commands += 1
        if self._heard_ns is not None and self._commands >= LEAST_COMMANDS:
            self.is_now = self.is_now or at_ns - self._heard_ns > self._limit_ns
        return self.is_now
