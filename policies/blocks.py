"""Networks in blocks of one size: a row's bits then depend on that row alone.

A matrix product chooses its kernel, and with it the order of its sums, by the number of rows. In blocks of `ROWS`, the
last one filled up with zeros, an episode ends the same to the last digit whatever runs beside it. That rows of one
block don't depend on their place in it is how such kernels are made; a test holds it on the machine at hand.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

ROWS = 8
Arrays = dict[str, np.ndarray]


def in_blocks(function: Callable[[Arrays], Arrays], inputs: Mapping[str, np.ndarray]) -> Arrays:
    """Apply a function of [ROWS, ...] arrays to arrays of any number of rows.

    Args:
        function: maps arrays [ROWS, ...] by name to others.
        inputs: arrays [rows, ...], at least one row.

    Returns:
        What it returns, put together again: [rows, ...].
    """
    rows = next(iter(inputs.values())).shape[0]
    parts = []
    for start in range(0, rows, ROWS):
        block = {name: _filled(array[start : start + ROWS]) for name, array in inputs.items()}
        parts.append(function(block))
    return {name: np.concatenate([part[name] for part in parts])[:rows] for name in parts[0]}


def _filled(rows: np.ndarray) -> np.ndarray:
    """Fill up with rows of zeros; contiguous."""
    if len(rows) == ROWS:
        return np.ascontiguousarray(rows)
    out = np.zeros((ROWS, *rows.shape[1:]), dtype=rows.dtype)
    out[: len(rows)] = rows
    return out
