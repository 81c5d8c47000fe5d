"""Impulse responses: early paths and late pulses, written out at every microphone.

A response is written in windows of its time axis, so that its early part can be renewed with every pose and its late
part less often.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from phonotaxis.envs.acoustics.bands import BANDS, PATH_TAPS, PHASES, PULSE_ROOM
from phonotaxis.envs.acoustics.directivity import Directivity, direction_index, interpolate_fir
from phonotaxis.envs.acoustics.rows import add_scaled, mix

_BEFORE_PATH = PATH_TAPS // 2 - 1  # taps of a kernel before its centre
_BEFORE_PULSE = PULSE_ROOM // 2 - 1


@njit(cache=True, error_model="numpy", inline="always")
def _split(arrival):
    """Split an arrival in samples into whole samples and a phase."""
    whole = int(np.floor(arrival))
    phase = int((arrival - whole) * PHASES + 0.5)
    if phase == PHASES:
        whole, phase = whole + 1, 0
    return whole, phase


class Ears(NamedTuple):
    """An array at a pose.

    Attributes:
        xyz: float64 [mics, 3], microphones, world, metres.
        centre: float64 [3], the base at their mean height.
        cos, sin: of the base's yaw.
        gain: float32 [mics], factor on each microphone's signal.
        late_by: float64 [mics], samples by which a microphone is late.
        directional: whether `directivity` is to be used.
        directivity: a `Directivity`.
        per_metre: samples that sound takes for a metre.
    """

    xyz: np.ndarray
    centre: np.ndarray
    cos: float
    sin: float
    gain: np.ndarray
    late_by: np.ndarray
    directional: bool
    directivity: Directivity
    per_metre: float


@njit(cache=True, error_model="numpy")
def add_paths(window, offset, paths, count, ears, kernels):
    """Add early paths to a window of a response.

    A directional response is that of the direction from the mean of the microphones, wherever they are on the base.

    Args:
        window: float32 [mics, taps], added to.
        offset: of its first tap within the response.
        paths: a `Paths`, of which the first `count` are written.
        count: number of paths.
        ears: an `Ears`.
        kernels: float32 [PHASES, bands, PATH_TAPS], path kernels.

    Returns:
        Whether a path reaches beyond the window's end.
    """
    mics, taps = window.shape
    shape = np.empty(PATH_TAPS, dtype=np.float32)
    filters = np.empty(ears.directivity.fir.shape[1:], dtype=np.float32)
    out, table, gains = window.reshape(-1), kernels.reshape(-1), paths.gain.reshape(-1)
    beyond = False
    middle_x, middle_y = ears.xyz[:, 0].mean(), ears.xyz[:, 1].mean()
    for path in range(count):
        if ears.directional:
            dx, dy = paths.position_m[path, 0] - middle_x, paths.position_m[path, 1] - middle_y
            ahead, left = ears.cos * dx + ears.sin * dy, ears.cos * dy - ears.sin * dx
            up = paths.position_m[path, 2] - ears.centre[2] + 1e-9
            interpolate_fir(ears.directivity, ahead, left, up, filters)
        for mic in range(mics):
            metres = paths.extra_m[path] + _apart_m(paths.position_m, path, ears.xyz, mic)
            whole, phase = _split(metres * ears.per_metre + ears.late_by[mic])
            first = whole - _BEFORE_PATH - offset
            mix(
                shape, table, phase * BANDS * PATH_TAPS, PATH_TAPS, (BANDS, PATH_TAPS), gains, path * BANDS,
                ears.gain[mic],
            )  # fmt: skip
            if ears.directional:
                first -= ears.directivity.fir_delay_samples
                for k in range(filters.shape[1]):
                    _add(out, mic * taps, taps, first + k, shape, 0, PATH_TAPS, filters[mic, k])
                beyond |= first + filters.shape[1] - 1 + PATH_TAPS > taps
            else:
                _add(out, mic * taps, taps, first, shape, 0, PATH_TAPS, np.float32(1.0))
                beyond |= first + PATH_TAPS > taps
    return beyond


@njit(cache=True, error_model="numpy", inline="always")
def _apart_m(a_m, a, b_m, b):
    """Return how far row `a` of some points is from row `b` of others."""
    dx, dy, dz = b_m[b, 0] - a_m[a, 0], b_m[b, 1] - a_m[a, 1], b_m[b, 2] - a_m[a, 2]
    return np.sqrt(dx * dx + dy * dy + dz * dz)


@njit(cache=True, error_model="numpy", inline="always")
def _add(out, begin, taps, first, row, at, count, factor):
    """Add a row, scaled, to what begins at `begin` and is `taps` long, from tap `first` on, where it overlaps."""
    start, stop = max(0, -first), min(count, taps - first)
    if stop > start:
        add_scaled(out, begin + first + start, row, at + start, stop - start, factor)


@njit(cache=True, error_model="numpy")
def add_pulses(window, offset, pulses, around, ears, kernels):
    """Add late pulses, each a plane wave whose time refers to its region's centre, to a window of a response.

    Args:
        window: float32 [mics, taps], added to.
        offset: of its first tap within the response.
        pulses: float32 [pulses, 6] of `draw_pulses`.
        around: float32 [2], the region's centre, world, metres; the region's height is the array's own.
        ears: an `Ears`.
        kernels: a `BandKernels`.
    """
    mics, taps = window.shape
    out, table = window.reshape(-1), kernels.pulse.reshape(-1)
    cell = 0
    for index in range(pulses.shape[0]):
        x, y, z = pulses[index, 2], pulses[index, 3], pulses[index, 4]
        band = int(pulses[index, 5])
        begin, width = kernels.pulse_first[band], kernels.pulse_taps[band]
        if ears.directional:
            ahead, left = ears.cos * x + ears.sin * y, ears.cos * y - ears.sin * x
            cell = direction_index(ears.directivity, ahead, left, z)
        for mic in range(mics):
            early_m = x * (ears.xyz[mic, 0] - around[0]) + y * (ears.xyz[mic, 1] - around[1])
            early_m += z * (ears.xyz[mic, 2] - ears.centre[2])
            arrival = pulses[index, 0] - early_m * ears.per_metre + ears.late_by[mic]
            amplitude = pulses[index, 1] * ears.gain[mic]
            if ears.directional:
                arrival += ears.directivity.delay[cell, mic]
                amplitude *= ears.directivity.gain[cell, mic, band]
            whole, phase = _split(arrival)
            row = (phase * BANDS + band) * PULSE_ROOM + begin
            _add(out, mic * taps, taps, whole - _BEFORE_PULSE + begin - offset, table, row, width, amplitude)
