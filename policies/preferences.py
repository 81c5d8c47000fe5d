"""Which of two episodes is preferred, and how far a policy agrees: direct preference optimisation.

Rafailov et al. 2023, Direct preference optimization: your language model is secretly a reward model. An episode stands
where a sentence stands there; what the world does is the same for policy and reference and cancels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import log_softmax, logsigmoid

from phonotaxis.configs.prefer import Manners
from phonotaxis.envs.metrics import EpisodeResult
from phonotaxis.policies.draws import Draw
from phonotaxis.policies.heads import CautionHead
from phonotaxis.policies.manners import Ride


class Pair(NamedTuple):
    """Two episodes from one start."""

    preferred: Draw
    other: Draw


class PreferenceLosses(NamedTuple):
    """Scalars.

    Attributes:
        total: what is minimised.
        ranking: minus the log probability that the preferred ones are preferred (equation 7).
        divergence: of the policy with the knob turned up from the one without, nats a step.
        agreement: share of pairs that the policy ranks as they are ranked.
    """

    total: Tensor
    ranking: Tensor
    divergence: Tensor
    agreement: Tensor


def discomfort(result: EpisodeResult, ride: Ride, manners: Manners) -> float:
    """Return how uncomfortable an episode was; see `configs.prefer.Manners`."""
    return (
        manners.nearness * ride.nearness(manners.clearance_m)
        + manners.changes * ride.changes_per_m(result)
        + manners.time * result.steps / max(result.shortest_actions, 1.0)
        + manners.collisions * result.collisions
    )


def pairs_of(draws: Sequence[Draw], manners: Manners) -> list[Pair]:
    """Rank the draws from one start; two that both failed, or felt alike, make no pair."""
    felt = [discomfort(draw.result, draw.ride, manners) for draw in draws]
    found = []
    for first in range(len(draws)):
        for second in range(first + 1, len(draws)):
            one, other = draws[first], draws[second]
            if one.result.success != other.result.success:
                found.append(Pair(one, other) if one.result.success else Pair(other, one))
            elif one.result.success and abs(felt[first] - felt[second]) > manners.least:
                found.append(Pair(one, other) if felt[first] < felt[second] else Pair(other, one))
    return found


def drawn_alike(pools: Sequence[Sequence[Pair]], count: int, rng: np.random.Generator) -> list[Pair]:
    """Draw pairs, from each pool that has any as often, however many it has; one of them must have some."""
    filled = [pool for pool in pools if pool]
    chosen = [filled[int(pick)] for pick in rng.integers(len(filled), size=count)]
    return [pool[int(rng.integers(len(pool)))] for pool in chosen]


def preference_losses(head: CautionHead, pairs: Sequence[Pair], beta: float, hold: float) -> PreferenceLosses:
    """Compute what is minimised on some pairs, with the knob turned up all the way.

    Args:
        head: that is learnt.
        pairs: one or more.
        beta: see `configs.prefer.PreferConfig`.
        hold: likewise.
    """
    episodes = [pair.preferred for pair in pairs] + [pair.other for pair in pairs]
    lengths = torch.tensor([len(episode.actions) for episode in episodes])
    whose = torch.repeat_interleave(torch.arange(len(episodes)), lengths)
    read = torch.cat([episode.read for episode in episodes]).float()
    logits = torch.cat([episode.logits for episode in episodes])
    actions = torch.cat([episode.actions for episode in episodes])[:, None]
    before = log_softmax(logits, dim=-1)
    after = log_softmax(logits + head(read, torch.ones(len(read), 1)), dim=-1)
    moved = (after - before).gather(1, actions)[:, 0]
    by_episode = torch.zeros(len(episodes)).index_add(0, whose, moved)
    margin = beta * (by_episode[: len(pairs)] - by_episode[len(pairs) :])
    ranking = -logsigmoid(margin).mean()
    divergence = (before.exp() * (before - after)).sum(dim=-1).mean()
    return PreferenceLosses(ranking + hold * divergence, ranking, divergence, (margin > 0).float().mean())
