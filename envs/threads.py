"""Threads that share work out among them.

No kernel starts threads of its own: those of a library for parallel loops wait for one another at each loop's end,
spin while they wait, and set for everybody in the process how many there are.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any, TypeVar

import numpy as np

First = TypeVar("First")
Second = TypeVar("Second")
_CUTS = 2  # a share is one in so many of each thread's part of what is left


def cores() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Crew:
    """Threads that share out worlds, or whatever else has numbers.

    Each share goes through all that its worlds hear and see in one thread, by kernels that don't hold Python's lock; so
    threads meet once for all of it. Shares get smaller toward the end (guided self-scheduling, Polychronopoulos and
    Kuck 1987), so that all threads end together, whatever each share takes and whoever is held up by a busy machine.

    Args:
        threads: how many, with the one that asks, which works, too; 1 does all work in it.

    Raises:
        ValueError: no thread.
    """

    def __init__(self, threads: int) -> None:
        if threads < 1:
            raise ValueError(f"threads must be at least 1, got {threads}")
        self.threads = threads
        self._pool = ThreadPoolExecutor(threads - 1, "phonotaxis-worlds") if threads > 1 else None

    def close(self) -> None:
        """Send the threads home; what is shared out afterwards, who asks does alone."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown()

    def share(self, work: Callable[[np.ndarray], None], numbers: np.ndarray) -> None:
        """Do some work for numbers, int [k]; it is called with each share of them, perhaps in several threads.

        Work may share out again: who asks does alone what nobody is free for.

        Raises:
            Exception: what the first share that failed raised, once all have come to an end.
        """
        if self._pool is None or numbers.size < 2:
            work(numbers)
            return
        left = deque(enumerate(_shares(numbers, self.threads)))
        failed: dict[int, Exception] = {}

        def take() -> None:
            while left:
                try:
                    number, share = left.popleft()
                except IndexError:  # another thread took the last
                    return
                try:
                    work(share)
                except Exception as error:  # noqa: BLE001 - raised below, by the thread that asked
                    failed[number] = error

        jobs = [self._pool.submit(take) for _ in range(min(self.threads, len(left)) - 1)]
        try:
            take()
            begun = [job for job in jobs if not job.cancel()]  # who hasn't come yet isn't waited for
            wait(begun)
        except BaseException:  # Ctrl-C: nobody may go on writing what the next call writes
            left.clear()
            wait([job for job in jobs if not job.cancel()])
            raise
        for job in begun:
            job.result()
        if failed:
            raise failed[min(failed)]

    def both(self, first: Callable[[], First], second: Callable[[], Second]) -> tuple[First, Second]:
        """Do two jobs, each of which may share out work of its own; return what they return.

        Raises:
            Exception: what the first that failed raised, once both have come to an end.
        """
        jobs: tuple[Callable[[], Any], ...] = (first, second)
        found: dict[int, Any] = {}

        def work(numbers: np.ndarray) -> None:
            for number in numbers:
                found[int(number)] = jobs[number]()

        self.share(work, np.arange(2))
        return found[0], found[1]


def _shares(numbers: np.ndarray, threads: int) -> list[np.ndarray]:
    """Cut numbers into shares, large ones first."""
    shares, begin = [], 0
    while begin < numbers.size:
        size = -(-(numbers.size - begin) // (_CUTS * threads))
        shares.append(numbers[begin : begin + size])
        begin += size
    return shares


ALONE = Crew(1)
