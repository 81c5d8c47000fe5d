"""Sentences from which it is learnt what words mean: in seconds, without a simulator.

A policy that learns words along with all else meets a few hundred thousand episodes that name a goal, and needs them
for other things. From sentences alone there are as many as one likes, and they can be varied: words get other endings,
and words that nobody has heard stand between them, so that new words are met as what they are.
"""

from __future__ import annotations

import re
import string
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from phonotaxis.configs.goal import embed, signed_words, spoken
from phonotaxis.envs.instructions import OTHER_ORDERS, OTHER_THINGS, PHRASES, TEMPLATES, draw_sentence
from phonotaxis.policies.understanding import Understanding

Phrases = Mapping[str, Sequence[str]]  # of each kind, how it may be called

_COUNT, _STEPS, _BATCH, _RATE, _DECAY = 20480, 3500, 256, 3e-3, 1e-2
_NOISE = 1.0  # of a goal's numbers, whose root mean square is 1
_OTHERS = 2  # kinds that can be heard besides, as in the suites
_NOTHING = 0.2  # share of sentences that name none of the kinds
_BARE = 0.15  # share of those about a thing that are its name and no more: "the kettle"
_UNHEARD, _ORDER = 0.3, 0.2  # of those that name none, shares of a thing that nobody has heard of and of other orders
_ENDING, _INSERTED = 0.4, 0.15  # probability for each word of another ending, and of a word that nobody knows before it
_LEAST_STEM = 3  # letters
_ALONE = {split: ["{goal}", *(text for text in texts if "{other}" not in text)] for split, texts in TEMPLATES.items()}


def teach(understanding: Understanding, seed: int, phrases: Phrases | None = None) -> None:
    """Learn from sentences, and from the kinds' names; the same seed gives the same weights on one machine.

    Args:
        understanding: whose weights are learnt.
        seed: of sentences, noise and order.
        phrases: more of a kind than training's own; a kind that has neither is known by its name alone.
    """
    rng = np.random.Generator(np.random.PCG64([0x756E6465, seed]))
    names = range(len(understanding.kinds))
    texts = [(spoken(kind), number) for number, kind in enumerate(understanding.kinds)]
    known = [_phrases_of(kind, phrases or {}) for kind in understanding.kinds]
    unknown = _unknown("train", known)
    for _ in range(_COUNT):
        meant, *others = (int(at) for at in rng.permutation(len(names))[: 1 + _OTHERS])
        besides = [phrase for other in others for phrase in known[other]]
        if rng.random() >= _NOTHING:
            text = _sentence(known[meant], besides, rng)
        else:
            meant, text = len(names), _of_no_kind(unknown, besides, rng)
        texts.append((varied(text, rng), meant))
    goals = torch.from_numpy(np.stack([embed(text) for text, _ in texts]))
    _fit(understanding.layers, goals, torch.tensor([meant for _, meant in texts]), rng)


class _Unknown(NamedTuple):
    """Things that are none of the kinds, and sentences that name none."""

    things: list[str]
    orders: list[str]


def _unknown(split: str, known: Sequence[Sequence[str]]) -> _Unknown:
    """Return what a split has of these, but for what one of the kinds is called by."""
    called = {phrase.lower() for phrases in known for phrase in phrases}
    things, orders = ([text for text in pool[split] if text not in called] for pool in (OTHER_THINGS, OTHER_ORDERS))
    return _Unknown(things, orders)


def _of_no_kind(unknown: _Unknown, besides: Sequence[str], rng: np.random.Generator) -> str:
    chance = rng.random()
    if chance < _ORDER:
        return unknown.orders[int(rng.integers(len(unknown.orders)))]
    if chance < _ORDER + _UNHEARD:
        return _sentence([" ".join(_unheard(rng) for _ in range(int(rng.integers(1, 3))))], besides, rng)
    return _sentence(unknown.things, besides, rng)


def mistaken(understanding: Understanding, split: str, phrases: Phrases | None = None) -> float:
    """Measure which share of a split's sentences that name none of the kinds is taken for one all the same.

    Args:
        understanding: that is measured.
        split: train or validation.
        phrases: what it was taught besides.
    """
    unknown = _unknown(split, [_phrases_of(kind, phrases or {}) for kind in understanding.kinds])
    texts = [template.format(goal=thing) for template in _ALONE[split] for thing in unknown.things] + unknown.orders
    return sum(understanding.kind_of(text) is not None for text in texts) / len(texts)


def understood(understanding: Understanding, split: str, count: int = 1000) -> tuple[float, float] | None:
    """Measure on sentences of a split.

    Args:
        understanding: measured on those of its kinds that the split has phrases for.
        split: train or validation.
        count: of sentences.

    Returns:
        The share whose kind is found, and the share that is taken for another kind; None where there are phrases for
        less than three of its kinds.
    """
    known = [kind for kind in understanding.kinds if kind in PHRASES[split]]
    if len(known) <= _OTHERS:
        return None
    rng = np.random.Generator(np.random.PCG64([0x73617964, count]))
    right, wrong = 0, 0
    for number in range(count):
        kind, *others = (known[int(at)] for at in rng.permutation(len(known))[: 1 + _OTHERS])
        found = understanding.kind_of(draw_sentence(split, kind, others, number))
        right, wrong = right + (found == kind), wrong + (found not in (kind, None))
    return right / count, wrong / count


def varied(text: str, rng: np.random.Generator) -> str:
    """Give some of a sentence's words other endings, and put some that nobody has heard between them."""
    words = []
    for word in re.findall(r"[^\W\d_]+(?:'[^\W\d_]+)?|[,.;:!?]", text):
        if word.isalpha() and rng.random() < _INSERTED:
            words.append(_unheard(rng))
        if word.isalpha() and len(word) > _LEAST_STEM and word not in _KEPT and rng.random() < _ENDING:
            stem = int(rng.integers(_LEAST_STEM, len(word) + 1))
            word = word[:stem] + _letters(rng, int(rng.integers(0, 4)))
        words.append(word)
    other = " ".join(words)
    return other if signed_words(other) else text  # "fork" may have become "for"


_KEPT = frozenset(("ignore", "avoid", "never", "without", "instead", "rather"))  # they turn a sentence's meaning round


def _phrases_of(kind: str, more: Phrases) -> list[str]:
    return [spoken(kind), *PHRASES["train"].get(kind, ()), *more.get(kind, ())]


def _sentence(named: Sequence[str], others: Sequence[str], rng: np.random.Generator) -> str:
    if rng.random() < _BARE:
        return named[int(rng.integers(len(named)))]
    templates = [text for text in TEMPLATES["train"] if others or "{other}" not in text]
    goal, other = (pool[int(rng.integers(len(pool)))] if pool else "" for pool in (named, others))
    return templates[int(rng.integers(len(templates)))].format(goal=goal, other=other)


def _unheard(rng: np.random.Generator) -> str:
    return _letters(rng, int(rng.integers(3, 9)))


def _letters(rng: np.random.Generator, count: int) -> str:
    return "".join(string.ascii_lowercase[int(at)] for at in rng.integers(26, size=count))


def _fit(layers: nn.Sequential, goals: Tensor, meant: Tensor, rng: np.random.Generator) -> None:
    layers.requires_grad_(True)
    optimizer = torch.optim.AdamW(layers.parameters(), lr=_RATE, weight_decay=_DECAY)
    with torch.enable_grad():
        for step in range(_STEPS):
            for group in optimizer.param_groups:
                group["lr"] = 0.5 * _RATE * (1.0 + float(np.cos(np.pi * step / _STEPS)))
            chosen = torch.from_numpy(rng.integers(len(goals), size=_BATCH))
            noise = torch.from_numpy(rng.standard_normal((_BATCH, goals.shape[1]), dtype=np.float32))
            loss = nn.functional.cross_entropy(layers(goals[chosen] + _NOISE * noise), meant[chosen])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
    layers.requires_grad_(False)
