"""Energies in 16 bits: codes of their logarithm, since a field has thousands and they range over twenty octaves.

A half-precision number has the room but not the range (6e-5 to 65,504 with all its bits), and numba can't compute with
it on CPUs. A code of 1/512 octave is within 0.003 dB of what it stands for.
"""

from __future__ import annotations

import numpy as np
from numba import njit

STEPS = 512.0  # codes an octave
_ZERO = 96.0 * STEPS  # code of energy 1: from 2^-96 to 2^32 in all
_LEAST, _MOST = 1, 65535  # code 0 is no energy


def encode(energy: np.ndarray) -> np.ndarray:
    """Return the codes of energies at least 0, uint16 of any shape; less than 2^-96 is none."""
    code = np.rint(np.log2(np.maximum(energy, np.float32(1e-38))) * STEPS + _ZERO)
    return np.where(code < _LEAST, 0, np.minimum(code, _MOST)).astype(np.uint16)


def decode(codes: np.ndarray) -> np.ndarray:
    """Return the energies of codes, float32 of any shape."""
    energy = np.exp2((codes.astype(np.float64) - _ZERO) / STEPS)
    return np.where(codes > 0, energy, 0.0).astype(np.float32)


@njit(cache=True, error_model="numpy", inline="always")
def amplitude_of(code: int) -> float:
    """Return the square root of the energy of a code over 0."""
    return float(np.exp2((code - _ZERO) / (2.0 * STEPS)))
