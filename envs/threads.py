"""Threads: those that share worlds out among them, and those of parallel kernels."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

import numpy as np
from numba import njit, prange

_SHARES = 2  # of each thread: who is done early takes another


class Crew:
    """Threads that share worlds out among them.

    Each share goes through everything that is to be done with it in one thread, kernel after kernel, none of which
    holds Python's lock; so threads meet once in a step, not once in a kernel, and one that is held up by a busy
    machine holds up its share alone.

    Args:
        threads: how many; 1 does all work in the thread that asks for it.
    """

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self._pool = ThreadPoolExecutor(threads, "phonotaxis-worlds") if threads > 1 else None

    def share(self, work: Callable[[np.ndarray], None], worlds: np.ndarray) -> None:
        """Do some work for worlds, int [k]; it is called with each share of them, perhaps in several threads.

        Raises:
            Exception: what the work raised first, once all of it has come to an end.
        """
        if self._pool is None or worlds.size < 2:
            work(worlds)
            return
        shares = np.array_split(worlds, min(worlds.size, _SHARES * self.threads))
        for done in [self._pool.submit(work, share) for share in shares]:
            done.result()


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
