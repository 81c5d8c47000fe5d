"""How a route is walked: even speed, soft ends, eyes on the way."""

from __future__ import annotations

import numpy as np

from phonotaxis.envs.listen import ListenError
from phonotaxis.envs.listen.route import SPACING_M, Route, smoothed

SPEED_MPS = 0.5
MAX_SPEED_MPS = 2.0
_RAMP_S = 0.8  # from rest to full speed, and back
_HEADING_M = 0.15  # standard deviation of the heading's smoothing along the way


def poses_along(route: Route, seconds: float, rate_hz: float) -> np.ndarray:
    """Walk a route in a given time.

    Args:
        route: the way.
        seconds: that it takes.
        rate_hz: poses a second.

    Returns:
        float64 [poses, 3], x, y, yaw, world, metres and radians; pose k is where the walker is at (k + 1) / rate_hz.
        The yaw is not wrapped.

    Raises:
        ListenError: the walk would be a run.
    """
    ramp_s = min(_RAMP_S, 0.25 * seconds)
    speed_mps = route.length_m / (seconds - ramp_s)
    if speed_mps > MAX_SPEED_MPS:
        raise ListenError(
            f"a walk of {route.length_m:.1f} m in {seconds:g} s takes {speed_mps:.1f} m/s, at most {MAX_SPEED_MPS:g} "
            f"are walked; allow it {route.length_m / SPEED_MPS:.0f} s, or choose nearer ends"
        )
    count = max(1, round(seconds * rate_hz))
    at_s = (np.arange(count) + 1.0) / rate_hz
    share = np.clip(np.minimum(at_s, seconds - at_s) / ramp_s, 0.0, 1.0)
    way_m = np.cumsum(share)
    way_m *= (len(route.path_m) - 1) * SPACING_M / way_m[-1]
    points_m = np.arange(len(route.path_m)) * SPACING_M
    columns = (route.path_m[:, 0], route.path_m[:, 1], headings(route.path_m))
    return np.column_stack([np.interp(way_m, points_m, column) for column in columns])


def headings(path_m: np.ndarray) -> np.ndarray:
    """Return the direction of a path at its points, float64 [points], radians, not wrapped."""
    step = np.gradient(path_m, axis=0)
    return smoothed(np.unwrap(np.arctan2(step[:, 1], step[:, 0])), _HEADING_M)
