"""What an episode's goal is called, and the numbers that tell a policy."""

from __future__ import annotations

import numpy as np

from phonotaxis.configs.base import ConfigError
from phonotaxis.configs.goal import embed, nothing_named, spoken
from phonotaxis.envs.episodes import Episode
from phonotaxis.envs.instructions import PHRASES, draw_sentence
from phonotaxis.envs.library import Library


def goal_text(library: Library, episode: Episode) -> str | None:
    """Return what names the goal: its kind, or a sentence; None where the task names nothing."""
    task = library.task
    if task.goal in ("absent", "none"):
        return None
    kind = library.sounds[episode.sound].kind
    if task.goal == "kind":
        return spoken(kind)
    others = [library.sounds[other.sound].kind for other in episode.others]
    known = PHRASES[task.sounds.split]
    unknown = sorted({kind, *others} - known.keys())
    if unknown:
        raise ConfigError(f"goal: no words are known for {', '.join(unknown)} (known: {', '.join(known)})")
    return draw_sentence(task.sounds.split, kind, others, episode.seed)


def goal_vector(library: Library, episode: Episode) -> np.ndarray:
    """Return the contract's `goal` of an episode: float32 [GOAL_SIZE], zeros where nothing is named."""
    text = goal_text(library, episode)
    return nothing_named() if text is None else embed(text)
