"""How far off a decider's belief of the source's direction is, step by step."""

from __future__ import annotations

import dataclasses

import numpy as np

from phonotaxis.envs.metrics import EpisodeResult
from phonotaxis.envs.world import World


class Bearings:
    """Collects the errors of the episodes that run in a number of worlds."""

    def __init__(self, num_worlds: int) -> None:
        self._errors_rad: list[list[float]] = [[] for _ in range(num_worlds)]
        self._in_sight: list[list[bool]] = [[] for _ in range(num_worlds)]

    def begin(self, worlds: np.ndarray) -> None:
        """Forget what was in these worlds."""
        for index in worlds:
            self._errors_rad[index].clear()
            self._in_sight[index].clear()

    def note(self, world: World, decider: object) -> None:
        """Compare what a decider has just said, if it says anything, with the truth at the same pose."""
        said_rad: np.ndarray | None = getattr(decider, "bearing_rad", None)
        if said_rad is None:
            return
        off_rad = np.abs((said_rad - world.bearing_rad + np.pi) % (2.0 * np.pi) - np.pi)
        for index in np.flatnonzero(world.active & np.isfinite(off_rad)):
            self._errors_rad[index].append(float(off_rad[index]))
            self._in_sight[index].append(bool(world.source_visible[index]))

    def into(self, result: EpisodeResult, world: int) -> EpisodeResult:
        """Return a result with the medians of its world's errors."""
        errors_rad, in_sight = np.array(self._errors_rad[world]), np.array(self._in_sight[world], dtype=np.bool_)
        return dataclasses.replace(
            result,
            bearing_error_rad=_median(errors_rad),
            bearing_error_in_sight_rad=_median(errors_rad[in_sight]),
            bearing_error_out_of_sight_rad=_median(errors_rad[~in_sight]),
        )


def _median(values: np.ndarray) -> float | None:
    return float(np.median(values)) if values.size else None
