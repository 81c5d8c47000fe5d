"""A walk through a scene, to listen to and to look at: the simulator judged by ears and eyes.

The route is planned (`route`), walked (`poses`), heard by the engine that policies hear by (`sound`), and drawn
(`pictures`, `video`).
"""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[float, str], None]
"""Told of the share that is done, 0..1, and a few words on how it goes."""


class ListenError(ValueError):
    """A walk that can't be made, heard or filmed; the message says why and what to do."""


def silent(share: float, note: str = "") -> None:
    """Tell nobody: the `Progress` of a walk that isn't watched."""
