"""A progress bar on standard error: a live line on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType

from phonotaxis.commands.command import say

_PLAIN_EVERY_S = 15.0


class ProgressBar:
    """Shows how far something is. Use as a context manager, and call it with the share that is done.

    Args:
        title: what is going on, e.g. `training`.
        live: draw a moving bar; by default where standard error is a terminal.
    """

    def __init__(self, title: str, live: bool | None = None) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self.title = title
        self.live = sys.stderr.isatty() if live is None else live
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}", markup=False),
            console=Console(stderr=True),
            transient=True,
            disable=not self.live,
        )
        self._task = self._bar.add_task(title, total=1.0, note="")
        self._said_at_s = -_PLAIN_EVERY_S
        self._begun: tuple[float, float] | None = None  # share and time of the first call

    def __call__(self, share: float, note: str = "") -> None:
        """Show the share that is done, 0..1, and a few words on how it goes."""
        self._bar.update(self._task, completed=share, note=note)
        now_s = time.monotonic()
        self._begun = self._begun or (share, now_s)
        if not self.live and (now_s - self._said_at_s >= _PLAIN_EVERY_S or share >= 1.0):
            self._said_at_s = now_s
            say(f"{self.title}: {100 * share:.0f} %  {note}{self._left(share, now_s)}".rstrip())

    def _left(self, share: float, now_s: float) -> str:
        """Say how long it will take, once a hundredth of it tells; at the rate since it began, or went on."""
        assert self._begun is not None
        first, begun_s = self._begun
        if share - first < 0.01 or share >= 1.0:
            return ""
        left_s = (now_s - begun_s) * (1.0 - share) / (share - first)
        return f", {left_s / 60.0:.0f} min left" if left_s >= 90.0 else f", {left_s:.0f} s left"

    def __enter__(self) -> ProgressBar:
        """Begin to draw."""
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Wipe the bar, also when an error or Ctrl-C passes through."""
        self._bar.stop()
