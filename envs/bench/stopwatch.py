"""Where the time goes: a stopwatch that is passed from part to part."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

PARTS = ("responses", "convolution", "converter", "hearing", "depth", "motion", "resets", "tracing", "observations")


class Stopwatch:
    """Splits elapsed time among named parts; a part that calls another hands the time over to it.

    Attributes:
        seconds: by part.
    """

    def __init__(self) -> None:
        self.seconds = dict.fromkeys(PARTS, 0.0)
        self._open: list[str] = []
        self._mark = 0.0

    def watch(self, owner: object, method: str, part: str) -> None:
        """Time a method of one object from now on."""
        inner: Callable[..., Any] = getattr(owner, method)

        def timed(*args: Any, **kwargs: Any) -> Any:
            self._switch(self._part_here(part))
            try:
                return inner(*args, **kwargs)
            finally:
                self._switch(None)

        setattr(owner, method, timed)

    def take(self) -> dict[str, float]:
        """Return the seconds by part since they were last taken, and begin again from zero."""
        taken, self.seconds = self.seconds, dict.fromkeys(PARTS, 0.0)
        return taken

    def _part_here(self, part: str) -> str:
        """Return the part to charge: what a reset renders is the reset's, but for what is traced anew."""
        return "resets" if "resets" in self._open and part != "tracing" else part

    def _switch(self, part: str | None) -> None:
        """Charge the part that ran until now; go on with another, or with the one that called it."""
        now = time.perf_counter()
        if self._open:
            self.seconds[self._open[-1]] += now - self._mark
        if part is None:
            self._open.pop()
        else:
            self._open.append(part)
        self._mark = now
