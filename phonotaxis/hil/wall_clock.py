"""A step of this machine's wall clock, such as a time server makes when a robot without a battery finds a network."""

from __future__ import annotations

import time

STEP_S = 120.0  # beyond every age and deadline of the robot's runtime


def step(seconds: float) -> None:
    """Set the wall clock forward, or back where `seconds` is negative.

    The same step back restores it, whatever time has passed and whatever a time server did meanwhile.

    Raises:
        PermissionError: this user may not set the clock.
    """
    try:
        now_ns = time.clock_gettime_ns(time.CLOCK_REALTIME)
        time.clock_settime_ns(time.CLOCK_REALTIME, now_ns + round(seconds * 1e9))
    except PermissionError:
        raise PermissionError("can't set the wall clock; this needs root (CAP_SYS_TIME)") from None
