"""Counter-based random numbers: a hash of what is drawn, so that order, batch and threads don't matter.

SplitMix64's finaliser (Steele, Lea and Flood 2014) over keys that are folded in one at a time.
"""

from __future__ import annotations

import numpy as np
from numba import njit

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_A = np.uint64(0xBF58476D1CE4E5B9)
_MIX_B = np.uint64(0x94D049BB133111EB)
_S30 = np.uint64(30)
_S27 = np.uint64(27)
_S31 = np.uint64(31)
_S11 = np.uint64(11)
_UNIT = 1.0 / 9007199254740992.0  # 2^-53


@njit(cache=True, inline="always")
def fold(key: np.uint64, value: int) -> np.uint64:
    """Return a new key from a key and one more integer."""
    z = (key ^ np.uint64(value)) + _GOLDEN
    z = (z ^ (z >> _S30)) * _MIX_A
    z = (z ^ (z >> _S27)) * _MIX_B
    return z ^ (z >> _S31)


@njit(cache=True, inline="always")
def unit(key: np.uint64) -> float:
    """Return the uniform number in [0, 1) that a key stands for."""
    return float(key >> _S11) * _UNIT


@njit(cache=True)
def key_of(seed: int) -> np.uint64:
    """Return the key that a seed opens."""
    return fold(np.uint64(0x70686F6E6F746178), seed)
