"""Validation on the way: other scenes and sounds than training's and the test's, and the best is kept."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from phonotaxis.configs.imitation import ImitationConfig
from phonotaxis.configs.suite import SCENE_SEEDS, load_suite
from phonotaxis.policies.checkpoint import has_checkpoint, load_checkpoint
from phonotaxis.policies.evaluate import unseen
from phonotaxis.policies.imitation import ImitationTrainer
from phonotaxis.policies.validation import BEST, Validation, validation_task

MakeConfig = Callable[..., ImitationConfig]


@pytest.mark.parametrize("name", ["audiogoal-v1", "semantic-v1"])
def test_a_suites_task_is_validated_on_its_validation_split(name: str) -> None:
    suite = load_suite(name)
    train = suite.task_of("train").model_copy(update={"array": "respeaker_6mic"})
    found = validation_task(train)
    assert found.scenes == suite.task_of("validation").scenes
    assert found.sounds.split == "validation"
    assert found.array == "respeaker_6mic"


def test_ones_own_task_is_validated_on_neither_train_nor_test(make_config: MakeConfig) -> None:
    task = make_config().task
    found = validation_task(task)
    assert found.scenes.first_seed == SCENE_SEEDS["validation"][0]
    assert found.sounds.split == "validation"
    test = unseen(task)
    assert test.scenes.first_seed + test.scenes.count <= found.scenes.first_seed


def test_the_best_is_kept(make_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = ImitationTrainer(make_config(), tmp_path)
    said = iter([{"a": 0.4, "b": 0.6}, {"a": 0.5, "b": 0.3}, {"a": 0.8, "b": 0.4}])
    monkeypatch.setattr(Validation, "measure", lambda self, policy_for: next(said))
    kept = []
    for _ in range(3):
        trainer.rounds += 1
        trainer.validate()
        kept.append((trainer.best, load_checkpoint(tmp_path / BEST).counters["rounds"]))
    assert kept == [(0.5, 1), (0.5, 1), (pytest.approx(0.6), 3)]
    assert not has_checkpoint(tmp_path)
    trainer.save()
    again = ImitationTrainer(make_config(), tmp_path)
    again.resume()
    assert again.best == pytest.approx(0.6)


def test_measuring_twice_says_the_same(make_config: MakeConfig) -> None:
    config = make_config()
    trainer = ImitationTrainer(config)
    validation = Validation([config.task], 2)
    before = torch.get_rng_state()
    checkpoint = trainer._checkpoint()
    first, again = (validation.measure(lambda contract: checkpoint.policy(contract=contract)) for _ in range(2))
    assert first == again
    assert set(first) == {config.task.name}
    assert torch.equal(torch.get_rng_state(), before)
