"""The head that may be of two minds: what it says, what it learns from, and that nothing else changes for it."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from phonotaxis.configs.base import ConfigError
from phonotaxis.configs.imitation import ImitationConfig
from phonotaxis.configs.training import PolicyConfig
from phonotaxis.policies.checkpoint import CheckpointError
from phonotaxis.policies.directions import Directions, directions_nll
from phonotaxis.policies.imitation import ImitationTrainer
from phonotaxis.policies.policy import Policy

MakeConfig = Callable[..., ImitationConfig]
COUNT = 72


@pytest.fixture
def head() -> Directions:
    torch.manual_seed(0)
    return Directions(12, 8, COUNT).eval()


def peaks(*told: tuple[float, float], concentration: float = 40.0) -> Tensor:
    """Return the logarithm of a mixture: weight and azimuth in degrees of each von Mises peak."""
    azimuth = torch.arange(COUNT) * (2.0 * math.pi / COUNT)
    p = sum(
        weight * torch.softmax(concentration * torch.cos(azimuth - math.radians(degrees)), dim=0)
        for weight, degrees in told
    )
    assert isinstance(p, Tensor)
    return torch.log(p / p.sum())


def degrees(bearing: Tensor) -> float:
    return math.degrees(math.atan2(float(bearing[1]), float(bearing[0])))


@pytest.mark.parametrize("azimuth", [0.0, 2.5, 61.3, 179.9, -90.0])
def test_of_one_mind_it_says_where_that_is(head: Directions, azimuth: float) -> None:
    bearing = head.bearing(peaks((1.0, azimuth), concentration=20.0))
    assert abs((degrees(bearing) - azimuth + 180.0) % 360.0 - 180.0) < 0.5
    assert float(bearing[:2].norm()) == pytest.approx(1.0, abs=1e-5)
    assert float(bearing[2]) == pytest.approx(20.0, rel=0.1)


def test_of_two_minds_it_says_the_likelier_and_is_unsure(head: Directions) -> None:
    """The mean direction of these two is 12 degrees, where the source surely isn't."""
    bearing = head.bearing(peaks((0.6, 60.0), (0.4, -60.0)))
    assert degrees(bearing) == pytest.approx(60.0, abs=2.0)
    assert float(bearing[2]) < 0.25 * float(head.bearing(peaks((1.0, 60.0)))[2])


def test_a_broad_likelihood_beats_a_sharp_one_that_holds_less(head: Directions) -> None:
    log_p = torch.logaddexp(peaks((1.0, 90.0), concentration=30.0) + math.log(0.8), peaks((1.0, -90.0)) + math.log(0.2))
    assert degrees(head.bearing(log_p)) == pytest.approx(90.0, abs=2.0)


def test_equals_are_no_cliff(head: Directions) -> None:
    """The last bit of a product must not turn the bearing round: an exported graph rounds otherwise."""
    even, other = (head.bearing(peaks((0.5 + more, 70.0), (0.5 - more, -70.0))) for more in (0.0, 1e-6))
    assert float((even - other).abs().max()) < 1e-3


def test_directions_turn_with_the_sound(head: Directions) -> None:
    log_p = peaks((0.7, 20.0), (0.3, 100.0))
    turned = head.bearing(torch.roll(log_p, COUNT // 8))
    assert degrees(turned) == pytest.approx(degrees(head.bearing(log_p)) + 45.0, abs=0.01)


@torch.no_grad()
def test_a_new_head_holds_all_directions_for_equal(head: Directions) -> None:
    log_p = head(torch.randn(3, 5, 12))
    assert log_p.shape == (3, 5, COUNT)
    assert torch.allclose(log_p, torch.full_like(log_p, -math.log(COUNT)))
    bearing = head.bearing(log_p)
    assert torch.allclose(bearing[..., :2], torch.tensor([1.0, 0.0]), atol=1e-2)
    assert float(bearing[..., 2].max()) < 0.1


def test_what_is_learnt_is_least_at_the_truth() -> None:
    told = peaks((1.0, 33.0), concentration=30.0)
    at = [float(directions_nll(told, torch.tensor(math.radians(azimuth)))) for azimuth in (33.0, 28.0, 48.0, -147.0)]
    assert at == sorted(at)
    assert float(directions_nll(told.expand(4, COUNT), torch.zeros(4)).shape[0]) == 4


def test_it_learns_two_minds(head: Directions) -> None:
    """What is read can't tell left from right: the mean would be ahead, and half of the time it is right instead."""
    torch.manual_seed(0)
    optimizer = torch.optim.Adam(head.parameters(), lr=0.02)
    for _ in range(300):
        truth = torch.where(torch.rand(64) < 0.65, math.radians(80.0), math.radians(-80.0))
        loss = directions_nll(head(torch.ones(64, 12)), truth).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert degrees(head.bearing(head(torch.ones(12))).detach()) == pytest.approx(80.0, abs=5.0)


def test_directions_alone_learn_behind_a_policy_that_stays(
    make_config: MakeConfig, tiny: PolicyConfig, tmp_path: Path
) -> None:
    before = Policy(make_config().task.contract(), make_config().policy)
    config = make_config(learns=["directions."], policy=tiny.model_copy(update={"directions": COUNT}))
    trainer = ImitationTrainer(config, tmp_path)
    trainer.start_from(before)
    trainer.run()
    given = before.state_dict()
    for policy in (trainer.policy, trainer.average):
        after = policy.state_dict()
        assert all(torch.equal(after[name], value) for name, value in given.items())
        new = {name: value for name, value in after.items() if name not in given}
        assert set(new) == {f"directions.layers.{at}.{part}" for at in (1, 3) for part in ("weight", "bias")}
        assert float(new["directions.layers.3.weight"].abs().max()) > 0.0
    again = ImitationTrainer(config, tmp_path)
    again.resume()
    assert [value.requires_grad for value in again.policy.parameters()].count(True) == 4


def test_what_shall_learn_must_be_there(make_config: MakeConfig) -> None:
    with pytest.raises(ConfigError, match=r"learns: no weight's name begins with 'directions\.'.*heads\.place"):
        ImitationTrainer(make_config(learns=["directions."]))


@pytest.mark.parametrize("count", [1, 23, 361])
def test_as_fine_as_they_count(make_config: MakeConfig, count: int) -> None:
    with pytest.raises(ValueError, match="directions"):
        make_config(policy={"directions": count})


def test_a_network_without_directions_goes_on_with_the_rest(make_config: MakeConfig, tiny: PolicyConfig) -> None:
    with_them = tiny.model_copy(update={"directions": COUNT})
    other = Policy(make_config().task.contract(), with_them)
    trainer = ImitationTrainer(make_config())
    trainer.start_from(other)
    given = other.state_dict()
    assert all(torch.equal(value, given[name]) for name, value in trainer.policy.state_dict().items())
    finer = ImitationTrainer(make_config(policy=tiny.model_copy(update={"directions": 2 * COUNT})))
    with pytest.raises(CheckpointError, match=r"computes otherwise.*\{'directions': 72\}"):
        finer.start_from(other)
