"""A step's deadline: a watch that calls for an end when a step isn't over in time."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable

from phonotaxis.export.engines import DeadlineError

_LOOKS_PER_DEADLINE = 8  # how exactly an overdue step is ended; one that ends by itself is timed exactly


class Deadline:
    """Guards steps: `with deadline: run()`.

    One thread looks at the clock a few times per deadline; a step costs no thread, no lock that is waited for and no
    system call.
    """

    def __init__(self, seconds: float | None, expire: Callable[[], None]) -> None:
        """Begin to watch.

        Args:
            seconds: that a step may take; None watches nothing.
            expire: called from the watching thread while a step is overdue, perhaps twice; it asks the step to end.
        """
        self._seconds, self._expire = seconds, expire
        self._lock = threading.Lock()
        self._begun_s: float | None = None
        if seconds is not None:
            gone = threading.Event()
            weakref.finalize(self, gone.set)
            watch = threading.Thread(target=_watch, args=(weakref.ref(self), seconds, gone), daemon=True)
            watch.name = "engine-deadline"
            watch.start()

    def __enter__(self) -> Deadline:
        if self._seconds is not None:
            with self._lock:
                self._begun_s = time.monotonic()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if self._seconds is None:
            return
        with self._lock:
            begun_s, self._begun_s = self._begun_s, None
        took_s = time.monotonic() - (begun_s or 0.0)
        if took_s > self._seconds and (error is None or isinstance(error, Exception)):
            raise DeadlineError(
                f"a step took {took_s:.3g} s, the deadline is {self._seconds:g} s: the processor is too busy or too "
                "slow for this policy"
            ) from None

    def look(self) -> None:
        """Call for the end of a step that is overdue."""
        with self._lock:  # the step can't end, and another begin, between the comparison and the call
            if self._begun_s is not None and time.monotonic() - self._begun_s > (self._seconds or 0.0):
                self._expire()


def _watch(watched: weakref.ref[Deadline], seconds: float, gone: threading.Event) -> None:
    while not gone.wait(seconds / _LOOKS_PER_DEADLINE):
        deadline = watched()
        if deadline is not None:
            deadline.look()
        del deadline
