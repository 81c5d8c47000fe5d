"""Ranking episodes, and learning from ranks: the loss is the published one, and a known preference is learnt."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from phonotaxis.configs.prefer import Manners
from phonotaxis.envs.metrics import EpisodeResult
from phonotaxis.policies.draws import Draw
from phonotaxis.policies.heads import CautionHead
from phonotaxis.policies.manners import Ride
from phonotaxis.policies.preferences import Pair, discomfort, drawn_alike, pairs_of, preference_losses

MANNERS = Manners()


def _draw(success: bool = True, clearance_m: float = 0.5, changes: int = 10, **fields: Any) -> Draw:
    facts = {"steps": 40, "collisions": 0, "path_length_m": 5.0} | fields
    result = EpisodeResult(
        episode_seed=1, scene="s", success=success, stopped=success, shortest_path_m=5.0, shortest_actions=40.0,
        final_distance_m=0.5, reached=success, **facts,
    )  # fmt: skip
    ride = Ride([clearance_m] * 3, changes)
    return Draw(result, ride, 0.0, torch.zeros(3, 4).half(), torch.zeros(3, 4), torch.zeros(3, dtype=torch.int64))


@pytest.mark.parametrize("worse", [{"clearance_m": 0.3}, {"changes": 20}, {"steps": 80}, {"collisions": 3}])
def test_each_discomfort_counts_among_successes(worse: dict[str, Any]) -> None:
    good, bad = _draw(), _draw(**worse)
    assert discomfort(good.result, good.ride, MANNERS) < discomfort(bad.result, bad.ride, MANNERS)
    for order in ([good, bad], [bad, good]):
        (pair,) = pairs_of(order, MANNERS)
        assert pair.preferred is good
        assert pair.other is bad


def test_room_beyond_the_comfortable_does_not_count() -> None:
    near, far = _draw(clearance_m=0.5), _draw(clearance_m=3.0)
    assert discomfort(near.result, near.ride, MANNERS) == discomfort(far.result, far.ride, MANNERS)


def test_success_comes_first_whatever_it_felt_like() -> None:
    rude, failed = _draw(clearance_m=0.0, changes=300, collisions=40, steps=400), _draw(success=False, clearance_m=2.0)
    (pair,) = pairs_of([failed, rude], MANNERS)
    assert pair.preferred is rude


def test_failures_and_equals_make_no_pair() -> None:
    assert pairs_of([_draw(success=False), _draw(success=False, clearance_m=0.1)], MANNERS) == []
    assert pairs_of([_draw(), _draw(), _draw()], MANNERS) == []
    nearly = _draw(clearance_m=0.5 - 0.9 * MANNERS.least * MANNERS.clearance_m / MANNERS.nearness)
    assert pairs_of([_draw(), nearly], MANNERS) == []


def test_a_task_with_more_pairs_does_not_weigh_more() -> None:
    few, many = ([Pair(_draw(), _draw()) for _ in range(count)] for count in (2, 60))
    drawn = drawn_alike([few, [], many], 2000, np.random.default_rng(0))
    of_few = [any(pair is one for one in few) for pair in drawn]
    assert 0.45 < np.mean(of_few) < 0.55
    assert len({id(pair) for pair in drawn}) == 62
    assert len(drawn_alike([[], few], 5, np.random.default_rng(0))) == 5


def test_losses_are_those_of_the_paper_by_hand() -> None:
    """One step each: the preferred takes action 1, the other action 2; the head adds 2 to action 1."""
    head = CautionHead(4, 8, 3)
    with torch.no_grad():
        head.added[-1].bias.copy_(torch.tensor([0.0, 2.0, 0.0]))
    own = _draw()
    logits = torch.tensor([[0.0, 1.0, 0.0]])
    one, other = (
        Draw(own.result, own.ride, 0.0, torch.zeros(1, 4).half(), logits, torch.tensor([action])) for action in (1, 2)
    )
    losses = preference_losses(head, [Pair(one, other)], beta=0.3, hold=0.5)
    before = [math.exp(x) / (2 + math.e) for x in (0.0, 1.0, 0.0)]
    after = [math.exp(x) / (2 + math.e**3) for x in (0.0, 3.0, 0.0)]
    margin = 0.3 * (math.log(after[1] / before[1]) - math.log(after[2] / before[2]))
    ranking = math.log(1 + math.exp(-margin))
    divergence = sum(p * math.log(p / q) for p, q in zip(before, after))
    assert float(losses.ranking.detach()) == pytest.approx(ranking, rel=1e-5)
    assert float(losses.divergence.detach()) == pytest.approx(divergence, rel=1e-5)
    assert float(losses.total.detach()) == pytest.approx(ranking + 0.5 * divergence, rel=1e-5)
    assert float(losses.agreement) == 1.0


def test_a_new_head_is_undecided() -> None:
    losses = preference_losses(CautionHead(4, 8, 4), [Pair(_draw(), _draw())], beta=0.1, hold=1.0)
    assert float(losses.ranking.detach()) == pytest.approx(math.log(2))
    assert float(losses.divergence.detach()) == 0.0


def _worlds_of_two_kinds(rng: torch.Generator) -> list[Pair]:
    """Episodes of 20 steps near a wall on the left or on the right (the first number read): turn away is preferred."""
    pairs = []
    for _ in range(64):
        side = torch.where(torch.rand(20, generator=rng) < 0.5, 1.0, -1.0)
        read = torch.cat([side[:, None], torch.randn(20, 3, generator=rng)], dim=1).half()
        away = torch.where(side > 0, 3, 2)
        own = _draw()
        good, bad = (Draw(own.result, own.ride, 0.0, read, torch.zeros(20, 4), actions) for actions in (away, 5 - away))
        pairs.append(Pair(good, bad))
    return pairs


def test_a_known_preference_is_learnt_and_the_hold_limits_it() -> None:
    torch.manual_seed(0)
    pairs = _worlds_of_two_kinds(torch.Generator().manual_seed(1))
    found = {}
    for hold in (0.01, 30.0):
        head = CautionHead(4, 16, 4)
        optimizer = torch.optim.Adam(head.parameters(), lr=1e-2)
        for _ in range(120):
            optimizer.zero_grad()
            preference_losses(head, pairs, 0.1, hold).total.backward()
            optimizer.step()
        found[hold] = preference_losses(head, pairs, 0.1, hold)
        wall_left = torch.tensor([[1.0, 0.0, 0.0, 0.0]])
        with torch.no_grad():
            said = head(wall_left, torch.ones(1, 1))[0]
        assert float(said[3]) > float(said[2])
    assert float(found[0.01].agreement) == 1.0
    assert float(found[0.01].ranking.detach()) < 0.1
    assert float(found[30.0].divergence.detach()) < 0.2 * float(found[0.01].divergence.detach())
