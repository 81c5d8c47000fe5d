"""Threads of parallel kernels, kept apart from those of others who use OpenMP."""

from __future__ import annotations

import threading
from functools import lru_cache

import numpy as np
from numba import njit, prange


@lru_cache(maxsize=1)
def launch_threads() -> None:
    """Launch numba's threads, once, without touching what this thread has set for OpenMP.

    Where numba uses OpenMP, launching sets the number of threads of the thread that launches, to all cores, for
    whoever else uses the library there: torch.set_num_threads(1) would be undone by the first parallel kernel, and
    a small network that waits for a second core at each layer is a hundred times slower on a busy machine. That
    setting is each thread's own, so another thread launches them.
    """
    launcher = threading.Thread(target=_touch, args=(np.zeros(2),))
    launcher.start()
    launcher.join()


@njit(cache=True, parallel=True)
def _touch(values: np.ndarray) -> None:
    for index in prange(values.size):
        values[index] = 1.0
