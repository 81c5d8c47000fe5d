"""Sums of scaled rows, against numpy."""

from __future__ import annotations

import numpy as np
import pytest
from numba import njit

from phonotaxis.envs.acoustics.rows import add_scaled, mix


@njit
def _add_scaled(out: np.ndarray, to: int, row: np.ndarray, at: int, count: int, factor: np.float32) -> None:
    add_scaled(out, to, row, at, count, factor)


@njit
def _mix(out: np.ndarray, table: np.ndarray, first: int, rows: int, factors: np.ndarray, factor: np.float32) -> None:
    mix(out, table.reshape(-1), first, table.shape[1], (rows, out.size), factors, 1, factor)


@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 16, 29])
@pytest.mark.parametrize(("to", "at"), [(0, 0), (3, 5), (11, 11)])
def test_a_stretch_is_added_and_nothing_beside_it(count: int, to: int, at: int) -> None:
    rng = np.random.Generator(np.random.PCG64(4))
    out, row = (rng.standard_normal(40).astype(np.float32) for _ in range(2))
    wanted = out.astype(np.float64)
    wanted[to : to + count] += 0.3 * row[at : at + count]
    _add_scaled(out, to, row, at, count, np.float32(0.3))
    np.testing.assert_allclose(out, wanted, atol=1e-6)


@pytest.mark.parametrize("rows", [1, 2, 6])
def test_rows_are_mixed_by_their_factors(rows: int) -> None:
    rng = np.random.Generator(np.random.PCG64(5))
    table = rng.standard_normal((8, 16)).astype(np.float32)
    factors = rng.standard_normal(9).astype(np.float32)
    out = np.full(16, np.nan, dtype=np.float32)
    _mix(out, table, 16, rows, factors, np.float32(-2.0))  # from the second row, by the second factor on
    np.testing.assert_allclose(out, -2.0 * factors[1 : 1 + rows] @ table[1 : 1 + rows], atol=2e-6)
