"""Handles: what kernels need, given to them as one thing.

Each array that Python passes to a kernel is taken apart under Python's lock, about a microsecond apiece; where a kernel
needs a hundred and is called by several threads, they wait for each other. A handle is taken apart once, when made.
"""

from __future__ import annotations

from typing import Any

from numba import njit
from numba.typed import List


@njit(cache=True)
def handle_of(item: Any) -> Any:
    """Return a handle on a named tuple of arrays and numbers; kernels read `handle[0]`. The arrays stay shared."""
    items = List()
    items.append(item)
    return items
