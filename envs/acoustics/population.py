"""Weight windows: rays that carry much are split, rays that carry little are dropped or stand for others like them.

Where surfaces differ, rays soon differ by factors in what is left of them, and a late field hangs on the few that met
what absorbs little. So at each bounce a ray is held against the mean of the rays before it at that time. One far below
plays roulette: it ends, or goes on with the energy of those that end. One far above that has just been scattered goes
on in several directions. Neither changes an expected energy, whatever the window (splitting and Russian roulette; Lux
and Koblinger, Monte Carlo Particle Transport Methods, CRC Press 1991).

One that was mirrored isn't split: its copies would fly the same way.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from phonotaxis.envs.acoustics.bands import BANDS
from phonotaxis.envs.hashing import fold, unit

_WARM = 12  # rays before a mean is trusted
_LEAST, _KEPT = 0.33, 0.8  # times the mean: below the first a ray ends or carries the second
_MOST, _COPIES = 3.0, 4  # above this a ray is split, into so many at most
_ROOM = 64  # rays that wait at most


class Waiting(NamedTuple):
    """Rays that wait to be traced, and what the rays before left.

    Attributes:
        place: float64 [_ROOM, 6], x, y, z and direction.
        cell: int64 [_ROOM, 2], row and column.
        travelled: float64 [_ROOM], metres.
        energy: float64 [_ROOM, bands].
        bounces: int64 [_ROOM].
        key: uint64 [_ROOM].
        passed: float64 [bins, bands], energy times metres flown in each time bin.
    """

    place: np.ndarray
    cell: np.ndarray
    travelled: np.ndarray
    energy: np.ndarray
    bounces: np.ndarray
    key: np.ndarray
    passed: np.ndarray


@njit(cache=True, error_model="numpy")
def nobody_waits(bins):
    """Return room for the rays of one chunk."""
    return Waiting(
        np.empty((_ROOM, 6)), np.empty((_ROOM, 2), np.int64), np.empty(_ROOM), np.empty((_ROOM, BANDS)),
        np.empty(_ROOM, np.int64), np.empty(_ROOM, np.uint64), np.zeros((bins, BANDS)),
    )  # fmt: skip


@njit(cache=True, error_model="numpy")
def wait(waiting, count, place, row, column, travelled, ray_energy, bounces, key):
    """Let a ray wait behind `count` others; returns how many wait then."""
    for k in range(6):
        waiting.place[count, k] = place[k]
    waiting.cell[count, 0], waiting.cell[count, 1] = row, column
    waiting.travelled[count], waiting.bounces[count], waiting.key[count] = travelled, bounces, key
    waiting.energy[count, :] = ray_energy
    return count + 1


@njit(cache=True, error_model="numpy", inline="always")
def note(passed, ray_energy, travelled, length, bin_m):
    """Note a flight in the time bins that it takes."""
    begin, end = travelled, travelled + length
    k = int(begin / bin_m)
    while begin < end and k < passed.shape[0]:
        stop = min(end, (k + 1) * bin_m)
        for band in range(BANDS):
            passed[k, band] += ray_energy[band] * (stop - begin)
        begin, k = stop, k + 1


@njit(cache=True, error_model="numpy", inline="always")
def weight_of(passed, before, ray_energy, travelled, bin_m):
    """Return a ray's energy relative to the mean of the rays before it, over the bands; 1 where there is none."""
    k = int(travelled / bin_m)
    if before < _WARM or k >= passed.shape[0]:
        return 1.0
    total = 0.0
    for band in range(BANDS):
        if passed[k, band] <= 0.0:
            return 1.0
        total += ray_energy[band] * before * bin_m / passed[k, band]
    return total / BANDS


@njit(cache=True, error_model="numpy", inline="always")
def survives(weight, key, ray_energy):
    """Play roulette with a ray far below the mean; returns whether it goes on."""
    if weight >= _LEAST:
        return True
    if unit(fold(key, 11)) * _KEPT >= weight:
        return False
    ray_energy *= _KEPT / weight
    return True


@njit(cache=True, error_model="numpy", inline="always")
def copies_of(weight, waiting):
    """Return into how many a scattered ray is split, of which all but one wait."""
    if weight < _MOST:
        return 1
    return min(min(int(weight), _COPIES), _ROOM - waiting + 1)
