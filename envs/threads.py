"""Threads that share work out among them.

No kernel starts threads of its own: those of a library for parallel loops wait for one another at each loop's end,
spin while they wait, and set for everybody in the process how many there are.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait

import numpy as np

_SHARES = 2  # of each thread: who is done early takes another


def cores() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Crew:
    """Threads that share out worlds, or whatever else has numbers.

    Each share goes through all that its worlds hear and see in one thread, by kernels that don't hold Python's lock; so
    threads meet once for all of it, and one that is held up by a busy machine holds up its share alone.

    Args:
        threads: how many; 1 does all work in the thread that asks for it.

    Raises:
        ValueError: no thread.
    """

    def __init__(self, threads: int) -> None:
        if threads < 1:
            raise ValueError(f"threads must be at least 1, got {threads}")
        self.threads = threads
        self._pool = ThreadPoolExecutor(threads, "phonotaxis-worlds") if threads > 1 else None

    def share(self, work: Callable[[np.ndarray], None], numbers: np.ndarray) -> None:
        """Do some work for numbers, int [k]; it is called with each share of them, perhaps in several threads.

        Raises:
            Exception: what the first share that failed raised, once all have come to an end.
        """
        if self._pool is None or numbers.size < 2:
            work(numbers)
            return
        shares = np.array_split(numbers, min(numbers.size, _SHARES * self.threads))
        jobs = [self._pool.submit(work, share) for share in shares]
        try:
            wait(jobs)
        except BaseException:  # Ctrl-C: nobody may go on writing what the next call writes
            for job in jobs:
                job.cancel()
            wait(jobs)
            raise
        for job in jobs:
            job.result()


ALONE = Crew(1)
