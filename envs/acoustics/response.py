"""Impulse responses: early paths and late pulses, written out at every microphone."""

from __future__ import annotations

import numpy as np
from numba import njit

from phonotaxis.envs.acoustics.air import SPEED_OF_SOUND_MPS
from phonotaxis.envs.acoustics.bands import BANDS, PATH_TAPS, PHASES

_BEFORE = PATH_TAPS // 2 - 1  # taps of a kernel before its centre


@njit(cache=True, error_model="numpy", inline="always")
def _split(arrival):
    """Split an arrival in samples into the kernel's first output tap and its phase."""
    whole = int(np.floor(arrival))
    phase = int((arrival - whole) * PHASES + 0.5)
    if phase == PHASES:
        whole, phase = whole + 1, 0
    return whole - _BEFORE, phase


@njit(cache=True, error_model="numpy")
def add_paths(response, paths, count, mic_xyz, kernels, sample_rate_hz):
    """Add early paths.

    Args:
        response: float32 [mics, taps], added to.
        paths: a `Paths`, of which the first `count` are written.
        count: number of paths.
        mic_xyz: float64 [mics, 3], world, metres.
        kernels: float32 [PHASES, bands, PATH_TAPS], path kernels.
        sample_rate_hz: of the response.
    """
    mics, taps = response.shape
    shape = np.empty(PATH_TAPS, dtype=np.float32)
    per_metre = sample_rate_hz / SPEED_OF_SOUND_MPS
    for path in range(count):
        gain = paths.gain[path]
        for mic in range(mics):
            dx = mic_xyz[mic, 0] - paths.position_m[path, 0]
            dy = mic_xyz[mic, 1] - paths.position_m[path, 1]
            dz = mic_xyz[mic, 2] - paths.position_m[path, 2]
            metres = paths.extra_m[path] + np.sqrt(dx * dx + dy * dy + dz * dz)
            first, phase = _split(metres * per_metre)
            if first >= taps:
                continue
            kernel = kernels[phase]
            shape[:] = gain[0] * kernel[0]
            for band in range(1, BANDS):
                shape += gain[band] * kernel[band]
            start, stop = max(0, -first), min(PATH_TAPS, taps - first)
            out = response[mic, first + start : first + stop]
            part = shape[start:stop]
            for k in range(part.size):
                out[k] += part[k]


@njit(cache=True, error_model="numpy")
def add_pulses(response, pulses, count, centre_xy, listener, mic_xyz, kernels, kernel_first, kernel_taps, rate_hz):
    """Add late pulses, each a plane wave whose time refers to its region's centre.

    Args:
        response: float32 [mics, taps], added to.
        pulses: float32 [capacity, 6] of `draw_pulses`, of which the first `count` are written.
        count: number of pulses.
        centre_xy: float32 [2], the region's centre, world, metres.
        listener: float64 [3], the array's centre; only the height is the region's own.
        mic_xyz: float64 [mics, 3], world, metres.
        kernels: float32 [PHASES, bands, PATH_TAPS], pulse kernels.
        kernel_first: int64 [bands], first tap that isn't zero.
        kernel_taps: int64 [bands], how many aren't.
        rate_hz: sample rate of the response.
    """
    mics, taps = response.shape
    per_metre = rate_hz / SPEED_OF_SOUND_MPS
    for index in range(count):
        pulse = pulses[index]
        amplitude = pulse[1]
        band = int(pulse[5])
        begin, width = kernel_first[band], kernel_taps[band]
        for mic in range(mics):
            ahead = pulse[2] * (mic_xyz[mic, 0] - centre_xy[0]) + pulse[3] * (mic_xyz[mic, 1] - centre_xy[1])
            ahead += pulse[4] * (mic_xyz[mic, 2] - listener[2])
            first, phase = _split(pulse[0] - ahead * per_metre)
            first += begin
            if first < 0 or first + width > taps:
                continue
            kernel = kernels[phase, band, begin : begin + width]
            out = response[mic, first : first + width]
            for k in range(width):
                out[k] += amplitude * kernel[k]
