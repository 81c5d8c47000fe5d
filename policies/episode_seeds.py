"""Seeds of the episodes that trainings draw: below those of validation and test, and no two lanes' meet."""

from __future__ import annotations

LANES = 64  # of a training, at most
_STRIDE = 1_000_003  # more episodes than a lane of a training has
_SEEDINGS = 1_000_000  # so many strides lie below the seeds of validation


def first_seed(seed: int, lane: int = 0) -> int:
    """Return the seed of a training's first episode, from which it counts up.

    Args:
        seed: of the training.
        lane: number of the lane, below `LANES`.
    """
    return (seed * LANES + lane) % _SEEDINGS * _STRIDE
