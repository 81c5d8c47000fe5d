"""Seeds of the episodes of trainings and of evaluations on their tasks: no split's and no two lanes' meet."""

from __future__ import annotations

from phonotaxis.configs.suite import EPISODE_SEEDS, SplitName

LANES = 64  # of a training, at most
_STRIDE = 1_000_003  # more episodes than a lane of a training or an evaluation has
_SEEDINGS = 1_000_000  # so many strides lie below the seeds of validation


def first_seed(seed: int, lane: int = 0) -> int:
    """Return the seed of a training's first episode, from which it counts up.

    Args:
        seed: of the training.
        lane: number of the lane, below `LANES`.
    """
    return (seed * LANES + lane) % _SEEDINGS * _STRIDE


def evaluation_seeds(split: SplitName, seed: int, episodes: int) -> range:
    """Return the seeds of an evaluation's episodes, which no training and no other split has.

    Args:
        split: whose they are.
        seed: of the evaluation.
        episodes: how many.
    """
    first = EPISODE_SEEDS[split][0] + seed % _SEEDINGS * _STRIDE
    return range(first, first + episodes)


def selection_seeds(episodes: int) -> range:
    """Return the seeds of the validation episodes by which a training chooses what it keeps.

    They are of validation's range but above those of all its evaluations: what chose can't measure.
    """
    first = EPISODE_SEEDS["validation"][0] + _SEEDINGS * _STRIDE
    return range(first, first + episodes)
