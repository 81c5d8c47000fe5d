"""What a step of the worlds leads to."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from phonotaxis.envs.episodes import Episode
from phonotaxis.envs.metrics import EpisodeResult
from phonotaxis.envs.randomise import Variation


class Ending(NamedTuple):
    """How an episode ended in a step that already began the next one in its world.

    Attributes:
        observation: what the agent saw last, by the contract's names.
        result: the episode's account.
    """

    observation: dict[str, np.ndarray]
    result: EpisodeResult


class Outcome(NamedTuple):
    """What a step led to, per world.

    Attributes:
        reward: float32 [worlds].
        terminated: bool [worlds], the agent stopped.
        truncated: bool [worlds], its steps were used up.
        endings: of the worlds, by number and in their order, in which the step began another episode.
    """

    reward: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray
    endings: dict[int, Ending]


class Coming(NamedTuple):
    """An episode that is about to begin, its fields held."""

    episode: Episode
    variation: Variation
    goal: np.ndarray | None


class Snapshot(dict[str, Any]):
    """A copy of the worlds' whole state, by name, from which `World.restore` goes on; something to hang upkeep on."""
