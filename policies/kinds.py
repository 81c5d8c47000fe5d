"""How kinds of sound differ to a follower that is told one: by their spectra, learnt from the training bank."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from phonotaxis.configs.contract import Contract
from phonotaxis.configs.goal import signed_words
from phonotaxis.envs import sounds
from phonotaxis.envs.episodes import Episode
from phonotaxis.envs.goals import goal_text
from phonotaxis.envs.instructions import PHRASES
from phonotaxis.envs.library import Library
from phonotaxis.policies.audio_front_end import AudioFrontEnd

INSTANCES = 8
_LEAST, _MOST = 0.1, 5.0  # bounds of a weight: no frequency decides alone

KindOf = Callable[[Library, Episode], str | None]


def named_kind(library: Library, episode: Episode) -> str | None:
    """Return the kind that the task names outright, as in `semantic-v1`."""
    return library.sounds[episode.sound].kind if library.task.goal == "kind" else None


def keyword_kind(library: Library, episode: Episode) -> str | None:
    """Return the kind of the first word in the episode's sentence that training's phrases know; None without one."""
    text = goal_text(library, episode)
    return None if text is None else spot_kind(text)


def spot_kind(text: str) -> str | None:
    """Find the kind of a sentence by its first known word: a keyword search, which understands no negation."""
    kind_of: dict[str, str] = {}
    for kind, phrases in PHRASES["train"].items():
        for phrase in phrases:
            for word, _ in signed_words(phrase):
                kind_of.setdefault(word, kind)
    return next((kind_of[word] for word, _ in signed_words(text) if word in kind_of), None)


@torch.no_grad()
def kind_weights(contract: Contract, kinds: tuple[str, ...] = sounds.TRAINING_KINDS) -> dict[str, np.ndarray]:
    """Say how much each frequency speaks for a kind, against the mean of all kinds.

    Returns:
        By kind float32 [bins] of the front end, mean about 1: the root of its share of the kind's energy over the
        mean of the same of all kinds.
    """
    front_end, window = AudioFrontEnd(contract), contract.window_samples
    roots = {}
    for kind in kinds:
        shares = []
        for sound in sounds.load_bank(0, INSTANCES, contract.sample_rate_hz, (kind,), "train"):
            count = max(1, sound.samples.size // window)
            audio = np.resize(sound.samples, count * window).reshape(count, 1, window)
            power = front_end.spectrum_power(torch.from_numpy(audio.copy())).numpy().astype(np.float64).mean(axis=0)
            shares.append(power / power.sum())
        roots[kind] = np.sqrt(np.mean(shares, axis=0))
    usual = np.mean(list(roots.values()), axis=0)
    return {kind: np.clip(root / usual, _LEAST, _MOST).astype(np.float32) for kind, root in roots.items()}
