"""Image sources whose walls reflect by angle, as a locally reacting surface does.

Allen and Berkley's sum gives a wall one reflection coefficient for all angles. A surface of real admittance b, which
is what the finite differences have, sends back (cos t - b) / (cos t + b) of a plane wave at an angle t from its normal:
less than nothing where the wave grazes it (Kuttruff, Room Acoustics, section 2.3). Between the two stands how long the
waves last that run along walls.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from phonotaxis.envs.truth.finite_difference import SPEED_OF_SOUND_MPS, admittance_of
from phonotaxis.envs.truth.images import Shoebox

_BEYOND = 3  # taps that an arrival needs after its own


def grazing_responses(
    room: Shoebox, source_m: tuple[float, float, float], points_m: np.ndarray, sample_rate_hz: int
) -> np.ndarray:
    """Sum the image sources of a room of locally reacting walls, without air.

    Each wall has the admittance whose random-incidence absorption is the room's. Arrivals are interpolated by cubics
    between samples, right to 1 % below a tenth of the sample rate.

    Args:
        room: where.
        source_m: x, y, z, metres.
        points_m: float64 [points, 3], where pressure is wanted.
        sample_rate_hz: of the responses.

    Returns:
        float64 [points, taps] of the room's `length_s`, pressure relative to the source's free field at 1 m.
    """
    absorbed = [[room.walls] * 2, [room.walls] * 2, [room.floor, room.ceiling]]
    admittance = np.array([[admittance_of(value) for value in pair] for pair in absorbed])
    out = np.zeros((len(points_m), round(room.length_s * sample_rate_hz)))
    per_metre = sample_rate_hz / SPEED_OF_SOUND_MPS
    for row, point in zip(out, np.asarray(points_m, dtype=np.float64)):
        _add_images(row, np.array(room.size_m), np.array(source_m), point, admittance, per_metre)
    return out


@njit(cache=True, error_model="numpy")
def _add_images(
    row: np.ndarray, size_m: np.ndarray, source_m: np.ndarray, point_m: np.ndarray, admittance: np.ndarray,
    per_metre: float,
) -> None:  # fmt: skip
    """Add what every image sends; `admittance` is float64 [axes, (lower wall, upper wall)]."""
    reach_m = (row.size - _BEYOND) / per_metre
    most = np.empty(3, dtype=np.int64)
    for axis in range(3):
        most[axis] = int(reach_m / (2.0 * size_m[axis])) + 2
    away, hits = np.empty(3), np.empty((3, 2), dtype=np.int64)
    for i in range(-most[0], most[0] + 1):
        for j in range(-most[1], most[1] + 1):
            for k in range(-most[2], most[2] + 1):
                for turned in range(8):
                    index = (i, j, k)
                    for axis in range(3):
                        mirrored = (turned >> axis) & 1
                        image = (1 - 2 * mirrored) * source_m[axis] + 2.0 * index[axis] * size_m[axis]
                        away[axis] = abs(image - point_m[axis])
                        hits[axis, 0], hits[axis, 1] = abs(index[axis] - mirrored), abs(index[axis])
                    way_m = np.sqrt(away[0] ** 2 + away[1] ** 2 + away[2] ** 2)
                    if way_m < reach_m:
                        _add(row, way_m * per_metre, _left(away / way_m, hits, admittance) / way_m)


@njit(cache=True, error_model="numpy", inline="always")
def _left(cosine: np.ndarray, hits: np.ndarray, admittance: np.ndarray) -> float:
    """Return what the walls leave of a wave's pressure, by its angle to each and how often it met it."""
    left = 1.0
    for axis in range(3):
        for side in range(2):
            b = admittance[axis, side]
            left *= ((cosine[axis] - b) / (cosine[axis] + b)) ** hits[axis, side]
    return left


@njit(cache=True, error_model="numpy", inline="always")
def _add(row: np.ndarray, arrival: float, pressure: float) -> None:
    """Add an arrival between samples by Lagrange's cubic through the four about it."""
    n = int(arrival)
    f = arrival - n
    if n >= 1:
        row[n - 1] -= pressure * f * (f - 1.0) * (f - 2.0) / 6.0
    row[n] += pressure * (f + 1.0) * (f - 1.0) * (f - 2.0) / 2.0
    row[n + 1] -= pressure * (f + 1.0) * f * (f - 2.0) / 2.0
    row[n + 2] += pressure * (f + 1.0) * f * (f - 1.0) / 6.0
