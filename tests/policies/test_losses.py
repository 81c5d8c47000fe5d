"""What imitation minimises, against small cases worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from phonotaxis.configs.task import AudioGoalTask
from phonotaxis.policies import losses
from phonotaxis.policies.chunks import Chunk
from phonotaxis.policies.losses import bearing_nll, imitation_losses
from phonotaxis.policies.policy import PolicyOutput

TASK = AudioGoalTask()


def output(logits: list[float], value: float = 0.0, distance: tuple[float, float] = (0.0, 1.0)) -> PolicyOutput:
    """Say one thing of one frame, [time 1, batch 1]."""
    return PolicyOutput(
        logits=torch.tensor([[logits]], requires_grad=True),
        value=torch.tensor([[[value]]]),
        bearing=torch.tensor([[[1.0, 0.0, 2.0]]]),
        distance=torch.tensor([[list(distance)]]),
        state=torch.zeros(1, 1, 1),
    )


def seen(regrets: list[float], distance_m: float = 1.0, bearing_rad: float = 0.0, to_go: float = 1.0) -> Chunk:
    return Chunk(
        features={},
        episode_start=torch.zeros(1, 1, 1),
        state=torch.zeros(1, 1),
        regrets=torch.tensor([[regrets]]),
        bearing_rad=torch.tensor([[bearing_rad]]),
        range_m=torch.tensor([[distance_m]]),
        distance_m=torch.tensor([[distance_m]]),
        to_go=torch.tensor([[to_go]]),
    )


def test_regret_is_what_the_policy_would_lose() -> None:
    """Probabilities 1/2, 1/4, 1/4 over regrets 0, 1, 4."""
    logits = [math.log(2.0), 0.0, 0.0]
    found = imitation_losses(output(logits), seen([0.0, 1.0, 4.0]), TASK)
    assert found.regret.item() == pytest.approx(0.25 * 1.0 + 0.25 * 4.0)


def test_imitation_is_least_where_the_policy_says_what_the_expert_does() -> None:
    regrets = [0.0, 0.3, 0.6]
    logits = [-regret / losses._TEMPERATURE for regret in regrets]
    target = torch.softmax(torch.tensor(logits), 0)
    entropy = -(target * target.log()).sum().item()
    assert imitation_losses(output(logits), seen(regrets), TASK).imitation.item() == pytest.approx(entropy)
    for other in ([0.0, 0.0, 0.0], [-1.0, 0.0, 1.0]):
        assert imitation_losses(output(other), seen(regrets), TASK).imitation.item() > entropy


def test_a_policy_sure_of_the_wrong_thing_still_learns() -> None:
    """Where the expected regret's gradient has died, imitation's has not."""
    said = output([-30.0, 30.0])
    imitation_losses(said, seen([0.0, 5.0]), TASK).total.backward()
    assert said.logits.grad is not None
    assert said.logits.grad[0, 0, 0].item() < -0.1
    assert said.logits.grad[0, 0, 1].item() > 0.1


def test_distance_is_a_log_normal_likelihood() -> None:
    """At e^2 metres, mean 1, deviation 0.5: half of ((2 - 1) / 0.5)^2, plus log 0.5."""
    found = imitation_losses(output([0.0], distance=(1.0, 0.5)), seen([0.0], distance_m=math.e**2), TASK)
    assert found.distance.item() == pytest.approx(2.0 + math.log(0.5), rel=1e-5)


def test_value_is_the_experts_return() -> None:
    """3 m and 12 actions to go: 10 + 3 - 0.12; two off, a smooth absolute error of 1.5."""
    expected = 10.0 + 3.0 - 0.12
    found = imitation_losses(output([0.0], value=expected - 2.0), seen([0.0], 3.0, to_go=12.0), TASK)
    assert found.value.item() == pytest.approx(1.5, rel=1e-5)
    found = imitation_losses(output([0.0], value=expected + 0.5), seen([0.0], 3.0, to_go=12.0), TASK)
    assert found.value.item() == pytest.approx(0.125, rel=1e-4)


@pytest.mark.parametrize("far", [float("inf"), float("nan")])
def test_a_place_without_a_way_teaches_no_distance(far: float) -> None:
    said = output([0.0, 1.0], value=5.0)
    found = imitation_losses(said, seen([0.0, 1.0], distance_m=far, to_go=far), TASK)
    assert found.distance.item() == 0.0
    assert found.value.item() == 0.0
    assert math.isfinite(found.total.item())
    found.total.backward()
    assert said.logits.grad is not None
    assert torch.isfinite(said.logits.grad).all()


def test_the_total_is_the_weighted_sum() -> None:
    found = imitation_losses(output([0.3, -0.2], 4.0, (0.5, 0.8)), seen([0.0, 2.0], 2.5, 0.4, 9.0), TASK)
    parts = {name: value.item() for name, value in found._asdict().items() if name != "total"}
    assert set(parts) == set(losses._WEIGHTS)
    weighted = sum(losses._WEIGHTS[name] * value for name, value in parts.items())
    assert found.total.item() == pytest.approx(weighted, rel=1e-6)


def test_frames_are_averaged() -> None:
    first, second = output([1.0, 0.0]).tensors(), output([0.0, 2.0]).tensors()
    two = PolicyOutput(*(torch.cat([first[name], second[name]], dim=1) for name in first))
    chunk = seen([0.0, 3.0])
    columns = {name: torch.cat([value] * 2, dim=1) for name, value in chunk._asdict().items() if name != "features"}
    both = Chunk(features={}, **columns)
    apart = [imitation_losses(output(logits), chunk, TASK).regret.item() for logits in ([1.0, 0.0], [0.0, 2.0])]
    assert imitation_losses(two, both, TASK).regret.item() == pytest.approx(sum(apart) / 2)


def test_bearing_is_a_von_mises_likelihood() -> None:
    """The density integrates to 1 (but for the constant 2 pi), and is largest at the mean."""
    angles = torch.arange(0.0, 2 * math.pi, 2 * math.pi / 720)
    for concentration in (0.0, 0.7, 40.0, 700.0):
        said = torch.tensor([math.cos(1.2), math.sin(1.2), concentration]).expand(angles.numel(), 3)
        nll = bearing_nll(said, angles).double()
        assert torch.isfinite(nll).all()
        assert torch.exp(-nll).mean().item() == pytest.approx(1.0, rel=2e-3)
        if concentration > 0:
            assert angles[nll.argmin()].item() == pytest.approx(1.2, abs=0.01)
    assert _nll(0.0, 1.0) == pytest.approx(0.0, abs=1e-6)
    assert _nll(2.0, 1.0) == pytest.approx(math.log(2.2795853) - 2.0 * math.cos(1.0), rel=1e-5)  # I0(2)


def _nll(concentration: float, off_rad: float) -> float:
    said: Tensor = torch.tensor([1.0, 0.0, concentration])
    return float(bearing_nll(said, torch.tensor(off_rad)))
