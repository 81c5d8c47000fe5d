"""Counter-based random numbers."""

from __future__ import annotations

import numpy as np
from numba import njit

from phonotaxis.envs.hashing import fold, key_of, unit


def test_keys_are_those_of_splitmix64() -> None:
    """The finaliser over key + golden ratio: SplitMix64's first two outputs from state 0 and 1234567."""
    assert int(fold(np.uint64(0), 0)) == 0xE220A8397B1DCDAF
    assert int(fold(np.uint64(1234567), 0)) == 6457827717110365317


def test_uniform_numbers_are_uniform_and_independent() -> None:
    numbers = _draw(5, 500, 40)
    assert 0.0 <= numbers.min() < numbers.max() < 1.0
    assert abs(numbers.mean() - 0.5) < 0.01
    assert abs(numbers.var() - 1 / 12) < 0.005
    correlation = np.corrcoef(numbers.T) - np.eye(40)
    assert np.abs(correlation).max() < 0.2
    assert np.unique(numbers).size == numbers.size


@njit
def _draw(seed: int, rows: int, columns: int) -> np.ndarray:
    out = np.empty((rows, columns))
    for i in range(rows):
        for j in range(columns):
            out[i, j] = unit(fold(fold(key_of(seed), i), j))
    return out


def test_a_bit_of_the_seed_changes_half_of_the_keys_bits() -> None:
    changed = [bin(int(key_of(9)) ^ int(key_of(9 ^ (1 << bit)))).count("1") for bit in range(31)]
    assert 24 < np.mean(changed) < 40
    assert min(changed) > 12


def test_unit_never_reaches_one() -> None:
    assert unit(np.uint64(2**64 - 1)) < 1.0
    assert unit(np.uint64(0)) == 0.0
