"""Steps along the orthogonal part of a momentum."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from phonotaxis.configs.imitation import ImitationConfig
from phonotaxis.policies import imitation
from phonotaxis.policies.imitation import ImitationTrainer
from phonotaxis.policies.muon import Muon, orthogonal


def network(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(30, 40), nn.Tanh(), nn.Linear(40, 3))


def stepped(model: nn.Module, optimizer: torch.optim.Optimizer, steps: int, seed: int = 1) -> list[float]:
    """Fit random targets; returns the losses."""
    draw = torch.Generator().manual_seed(seed)
    given, wanted = torch.randn(64, 30, generator=draw), torch.randn(64, 3, generator=draw)
    history = []
    for _ in range(steps):
        loss = ((model(given) - wanted) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        history.append(float(loss.detach()))
    return history


@pytest.mark.parametrize(
    ("shape", "half", "along", "beside"),
    [
        ((30, 30), False, 1e-3, 1e-3),
        ((24, 200), True, 1e-3, 1e-3),
        ((200, 24), False, 1e-3, 1e-3),
        ((200, 130), True, 0.02, 0.1),  # bfloat16's rounding is made larger too, where nothing else is
    ],
)
def test_directions_stay_and_lengths_become_one(
    shape: tuple[int, int], half: bool, along: float, beside: float
) -> None:
    torch.manual_seed(0)
    left, _ = torch.linalg.qr(torch.randn(shape[0], 20))
    right, _ = torch.linalg.qr(torch.randn(shape[1], 20))
    lengths = torch.logspace(-7, -5, 20)  # a hundred to one, as small as gradients are
    step = orthogonal((left * lengths) @ right.T, half)
    found = left.T @ step @ right
    assert float((step - left @ found @ right.T).abs().max()) < beside
    assert step.dtype == torch.float32
    assert torch.allclose(found, torch.diag(found.diag()), atol=along)
    assert 0.6 < float(found.diag().min()) <= float(found.diag().max()) < 1.3


def test_bfloat16_is_for_what_is_large_enough() -> None:
    torch.manual_seed(0)
    for rows, parted in ((24, False), (130, True)):
        matrix = torch.randn(rows, 200)
        assert torch.equal(orthogonal(matrix, half=True), orthogonal(matrix)) is not parted


@pytest.mark.parametrize(("has", "wanted"), [(True, True), (True, False), (False, True)])
def test_a_training_iterates_in_bfloat16_where_it_multiplies_in_it(
    make_config: Callable[..., ImitationConfig], monkeypatch: pytest.MonkeyPatch, has: bool, wanted: bool
) -> None:
    monkeypatch.setattr(imitation, "multiplies_bfloat16", lambda: has)
    trainer = ImitationTrainer(make_config(optimizer="muon", half_precision=wanted))
    assert isinstance(trainer.optimizer, Muon)
    assert trainer.optimizer.half is (has and wanted)


def test_nothing_learnt_moves_nothing() -> None:
    assert torch.equal(orthogonal(torch.zeros(30, 40)), torch.zeros(30, 40))


def test_a_step_is_as_long_as_one_of_adam() -> None:
    model = nn.Linear(100, 50, bias=False)
    before = model.weight.detach().clone()
    model.weight.grad = 1e-4 * torch.randn(50, 100)
    Muon(model, 1.0, 0.01, weight_decay=0.0).step()
    step = model.weight.detach() - before
    assert float(step.square().mean().sqrt()) == pytest.approx(0.2 * 0.01, rel=0.25)
    assert float((step * model.weight.grad).sum()) < 0


def test_what_is_no_matrix_steps_as_under_adamw() -> None:
    ours, theirs = network(), network()
    for model in (ours, theirs):
        model[0].weight.requires_grad_(False)
    mine = Muon(ours, 3e-3, 1.0, weight_decay=0.1)
    assert [group["name"] for group in mine.param_groups] == ["rest"]  # the last layer is too narrow
    stepped(ours, mine, 20)
    stepped(theirs, torch.optim.AdamW([p for p in theirs.parameters() if p.requires_grad], 3e-3, weight_decay=0.1), 20)
    for own, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.allclose(own, other, rtol=1e-5, atol=1e-7)


def test_it_fits() -> None:
    model = network()
    history = stepped(model, Muon(model, 3e-3, 1e-2, weight_decay=0.0), 60)
    assert history[-1] < 0.5 * history[0]


def test_a_training_goes_on_with_its_momentum(make_config: Callable[..., ImitationConfig], tmp_path: Path) -> None:
    config = make_config(optimizer="muon", matrix_learning_rate=2e-3)
    trainer = ImitationTrainer(config, tmp_path)
    trainer.run()
    names = [group["name"] for group in trainer.optimizer.param_groups]
    assert names == ["matrices", "rest"]
    peaks = [group["lr"] / group["peak"] for group in trainer.optimizer.param_groups]
    assert peaks[0] == pytest.approx(peaks[1])
    assert peaks[0] < 1.0
    again = ImitationTrainer(config, tmp_path)
    again.resume()
    left, right = (each.optimizer.state_dict()["state"] for each in (trainer, again))
    assert left.keys() == right.keys()
    assert len(left) > 2
    for index, slots in left.items():
        assert slots.keys() == right[index].keys()
        for name, value in slots.items():
            assert torch.equal(torch.as_tensor(value), torch.as_tensor(right[index][name]))
