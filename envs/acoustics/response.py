"""Impulse responses: early paths and late pulses, written out at every microphone.

A response is written in windows of its time axis, so that its early part can be renewed with every pose and its late
part less often.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from phonotaxis.envs.acoustics.air import SPEED_OF_SOUND_MPS
from phonotaxis.envs.acoustics.bands import BANDS, PATH_TAPS, PHASES, PULSE_ROOM

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


@njit(cache=True, error_model="numpy")
def add_paths(window, offset, paths, count, mic_xyz, kernels, sample_rate_hz):
    """Add early paths to a window of a response.

    Args:
        window: float32 [mics, taps], added to.
        offset: of its first tap within the response.
        paths: a `Paths`, of which the first `count` are written.
        count: number of paths.
        mic_xyz: float64 [mics, 3], world, metres.
        kernels: float32 [PHASES, bands, PATH_TAPS], path kernels.
        sample_rate_hz: of the response.

    Returns:
        Whether a path reaches beyond the window's end.
    """
    mics, taps = window.shape
    shape = np.empty(PATH_TAPS, dtype=np.float32)
    per_metre = sample_rate_hz / SPEED_OF_SOUND_MPS
    beyond = False
    for path in range(count):
        gain = paths.gain[path]
        for mic in range(mics):
            dx = mic_xyz[mic, 0] - paths.position_m[path, 0]
            dy = mic_xyz[mic, 1] - paths.position_m[path, 1]
            dz = mic_xyz[mic, 2] - paths.position_m[path, 2]
            metres = paths.extra_m[path] + np.sqrt(dx * dx + dy * dy + dz * dz)
            whole, phase = _split(metres * per_metre)
            first = whole - _BEFORE_PATH - offset
            start, stop = max(0, -first), min(PATH_TAPS, taps - first)
            beyond |= first + PATH_TAPS > taps
            if stop <= start:
                continue
            kernel = kernels[phase]
            shape[:] = gain[0] * kernel[0]
            for band in range(1, BANDS):
                shape += gain[band] * kernel[band]
            out = window[mic, first + start : first + stop]
            part = shape[start:stop]
            for k in range(part.size):
                out[k] += part[k]
    return beyond


@njit(cache=True, error_model="numpy")
def add_pulses(window, offset, pulses, centre_xy, listener, mic_xyz, kernels, rate_hz):
    """Add late pulses, each a plane wave whose time refers to its region's centre, to a window of a response.

    Args:
        window: float32 [mics, taps], added to.
        offset: of its first tap within the response.
        pulses: float32 [pulses, 6] of `draw_pulses`.
        centre_xy: float32 [2], the region's centre, world, metres.
        listener: float64 [3], the array's centre; only the height is the region's own.
        mic_xyz: float64 [mics, 3], world, metres.
        kernels: a `BandKernels`.
        rate_hz: sample rate of the response.
    """
    mics, taps = window.shape
    per_metre = rate_hz / SPEED_OF_SOUND_MPS
    for index in range(pulses.shape[0]):
        pulse = pulses[index]
        amplitude = pulse[1]
        band = int(pulse[5])
        begin, width = kernels.pulse_first[band], kernels.pulse_taps[band]
        for mic in range(mics):
            ahead = pulse[2] * (mic_xyz[mic, 0] - centre_xy[0]) + pulse[3] * (mic_xyz[mic, 1] - centre_xy[1])
            ahead += pulse[4] * (mic_xyz[mic, 2] - listener[2])
            whole, phase = _split(pulse[0] - ahead * per_metre)
            first = whole - _BEFORE_PULSE + begin - offset
            start, stop = max(0, -first), min(width, taps - first)
            if stop <= start:
                continue
            kernel = kernels.pulse[phase, band, begin + start : begin + stop]
            out = window[mic, first + start : first + stop]
            for k in range(kernel.size):
                out[k] += amplitude * kernel[k]
