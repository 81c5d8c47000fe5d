"""Octave-band kernels: short filters at tabulated fractional delays, from which impulse responses are built.

Two families over the bands of `materials.OCTAVE_BANDS_HZ`, the lowest reaching down to 0, the highest up to half
the sample rate:

- path kernels add up to one windowed sinc, so a path with equal gain in every band is an exact fractional delay;
- pulse kernels are their square-root counterparts, whose *energies* add up to that of a flat spectrum, for
  arrivals that are independent from band to band.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from phonotaxis.envs.scenes.materials import OCTAVE_BANDS_HZ

PHASES = 64  # nearest phase: at most 1/128 of a sample of delay error
PATH_TAPS = 64
PULSE_TAPS = (256, 192, 128, 64, 40, 28)  # long enough to tell a band from its neighbour, which may decay far slower
PULSE_ROOM = max(PULSE_TAPS)
BANDS = len(OCTAVE_BANDS_HZ)


class BandKernels(NamedTuple):
    """Kernel tables. Tap `k` of phase `p` is the kernel at time `k - room / 2 + 1 - p / PHASES` samples.

    Attributes:
        path: float32 [PHASES, BANDS, PATH_TAPS].
        pulse: float32 [PHASES, BANDS, PULSE_ROOM], zero outside each band's own taps.
        pulse_first: int64 [BANDS], first tap of the band that is not zero.
        pulse_taps: int64 [BANDS], number of taps from there.
    """

    path: np.ndarray
    pulse: np.ndarray
    pulse_first: np.ndarray
    pulse_taps: np.ndarray


def band_weights(frequency_hz: np.ndarray) -> np.ndarray:
    """Return the share of each band at each frequency, float64 [bands, frequencies]; the bands add up to 1.

    Neighbours cross over with a raised cosine on a logarithmic axis, half an octave wide about their edge.
    """
    edges = np.sqrt(np.array(OCTAVE_BANDS_HZ[:-1]) * np.array(OCTAVE_BANDS_HZ[1:]))
    octaves = np.log2(np.maximum(frequency_hz, 1e-3)[None, :] / edges[:, None])
    above = 0.5 - 0.5 * np.cos(np.pi * np.clip(octaves + 0.5, 0.0, 1.0))  # 0 below each edge, 1 above it
    ones = np.ones((1, frequency_hz.size))
    return np.concatenate([ones, above]) - np.concatenate([above, 0.0 * ones])


@lru_cache(maxsize=8)
def band_kernels(sample_rate_hz: int) -> BandKernels:
    """Build the tables for a sample rate.

    Each kernel is the inverse Fourier integral of its band, a Kaiser window (beta 6) times the integral's value at
    the tap's exact time.
    """
    points = 4096
    frequency_hz = (np.arange(points) + 0.5) * (sample_rate_hz / 2) / points
    weights = band_weights(frequency_hz)
    angle = 2 * np.pi * frequency_hz[:, None] / sample_rate_hz
    time = _times(PATH_TAPS)
    path = (weights @ (np.cos(angle * time.reshape(1, -1)) / points)).reshape(BANDS, PHASES, PATH_TAPS)
    path = path.transpose(1, 0, 2) * _kaiser(time, PATH_TAPS)[:, None]
    time = _times(PULSE_ROOM)
    pulse = (np.sqrt(weights) @ (np.cos(angle * time.reshape(1, -1)) / points)).reshape(BANDS, PHASES, PULSE_ROOM)
    pulse = pulse.transpose(1, 0, 2).copy()
    share = weights.mean(axis=1)  # energy a band is to carry
    first = np.array([(PULSE_ROOM - n) // 2 for n in PULSE_TAPS])
    for band, n in enumerate(PULSE_TAPS):
        window = _kaiser(time, n)
        window[:, : first[band]] = 0.0
        window[:, first[band] + n :] = 0.0
        pulse[:, band] *= window
        energy = np.sum(pulse[:, band] ** 2, axis=1, keepdims=True)
        pulse[:, band] *= np.sqrt(share[band] / energy)
    return BandKernels(
        np.ascontiguousarray(path, dtype=np.float32),
        np.ascontiguousarray(pulse, dtype=np.float32),
        first.astype(np.int64),
        np.array(PULSE_TAPS, dtype=np.int64),
    )


def _times(room: int) -> np.ndarray:
    """Return when the taps of each phase are, float64 [PHASES, room], samples."""
    return np.arange(room)[None, :] - room // 2 + 1 - np.arange(PHASES)[:, None] / PHASES


def _kaiser(time: np.ndarray, taps: int) -> np.ndarray:
    inside = np.clip(1.0 - (time / (taps / 2)) ** 2, 0.0, None)
    return np.i0(6.0 * np.sqrt(inside)) / np.i0(6.0) * (inside > 0)
