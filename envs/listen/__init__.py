"""A walk through a scene, to listen to and to look at: the simulator judged by ears and eyes.

The route is planned (`route`), walked (`poses`), heard by the engine that policies hear by (`sound`), and drawn
(`pictures`, `video`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numba

Progress = Callable[[float, str], None]
"""Told of the share that is done, 0..1, and a few words on how it goes."""


class ListenError(ValueError):
    """A walk that can't be made, heard or filmed; the message says why and what to do."""


def silent(share: float, note: str = "") -> None:
    """Tell nobody: the `Progress` of a walk that isn't watched."""


@contextmanager
def one_thread() -> Iterator[None]:
    """Let parallel kernels use one thread: a hop of one world is no work for two that wait for each other."""
    previous = numba.get_num_threads()
    numba.set_num_threads(1)
    try:
        yield
    finally:
        numba.set_num_threads(previous)
