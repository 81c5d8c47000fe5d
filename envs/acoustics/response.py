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
    coloured = np.empty(PATH_TAPS + filters.shape[1] - 1, dtype=np.float32)
    beyond = False
    for path in range(count):
        gain = paths.gain[path]
        position = paths.position_m[path]
        if ears.directional:
            dx, dy = position[0] - ears.centre[0], position[1] - ears.centre[1]
            ahead, left = ears.cos * dx + ears.sin * dy, ears.cos * dy - ears.sin * dx
            interpolate_fir(ears.directivity, ahead, left, position[2] - ears.centre[2] + 1e-9, filters)
        for mic in range(mics):
            dx, dy, dz = ears.xyz[mic, 0] - position[0], ears.xyz[mic, 1] - position[1], ears.xyz[mic, 2] - position[2]
            metres = paths.extra_m[path] + np.sqrt(dx * dx + dy * dy + dz * dz)
            whole, phase = _split(metres * ears.per_metre + ears.late_by[mic])
            first = whole - _BEFORE_PATH - offset
            kernel = kernels[phase]
            shape[:] = (gain[0] * ears.gain[mic]) * kernel[0]
            for band in range(1, BANDS):
                shape += (gain[band] * ears.gain[mic]) * kernel[band]
            if ears.directional:
                coloured[:] = 0.0
                for k in range(filters.shape[1]):
                    coloured[k : k + PATH_TAPS] += filters[mic, k] * shape
                beyond |= _write(window[mic], coloured, first - ears.directivity.fir_delay_samples)
            else:
                beyond |= _write(window[mic], shape, first)
    return beyond


@njit(cache=True, error_model="numpy", inline="always")
def _write(row, shape, first):
    """Add a shape where it overlaps a row; returns whether it reaches beyond the row's end."""
    start, stop = max(0, -first), min(shape.size, row.size - first)
    if stop > start:
        out, part = row[first + start : first + stop], shape[start:stop]
        for k in range(part.size):
            out[k] += part[k]
    return first + shape.size > row.size


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
    cell = 0
    for index in range(pulses.shape[0]):
        pulse = pulses[index]
        band = int(pulse[5])
        begin, width = kernels.pulse_first[band], kernels.pulse_taps[band]
        if ears.directional:
            ahead, left = ears.cos * pulse[2] + ears.sin * pulse[3], ears.cos * pulse[3] - ears.sin * pulse[2]
            cell = direction_index(ears.directivity, ahead, left, pulse[4])
        for mic in range(mics):
            early_m = pulse[2] * (ears.xyz[mic, 0] - around[0]) + pulse[3] * (ears.xyz[mic, 1] - around[1])
            early_m += pulse[4] * (ears.xyz[mic, 2] - ears.centre[2])
            arrival = pulse[0] - early_m * ears.per_metre + ears.late_by[mic]
            amplitude = pulse[1] * ears.gain[mic]
            if ears.directional:
                arrival += ears.directivity.delay[cell, mic]
                amplitude *= ears.directivity.gain[cell, mic, band]
            whole, phase = _split(arrival)
            first = whole - _BEFORE_PULSE + begin - offset
            start, stop = max(0, -first), min(width, taps - first)
            if stop <= start:
                continue
            kernel = kernels.pulse[phase, band, begin + start : begin + stop]
            out = window[mic, first + start : first + stop]
            for k in range(kernel.size):
                out[k] += amplitude * kernel[k]
