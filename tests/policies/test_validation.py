"""Validation on the way: other scenes and sounds than training's and the test's, and the best is kept."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest
import torch

from phonotaxis.configs.imitation import ImitationConfig
from phonotaxis.configs.suite import SCENE_SEEDS, load_suite
from phonotaxis.envs.library import load_sounds
from phonotaxis.envs.sounds import KINDS_OF
from phonotaxis.policies.checkpoint import load_checkpoint
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


def test_a_lane_is_validated_as_its_policy_hears_and_not_as_it_learns() -> None:
    suite = load_suite("audiogoal-hard-v1")
    train = suite.task_of("train")
    eased = train.sources.model_copy(update={"stops_after_s": None})
    lane = train.model_copy(update={"goal": "absent", "window_samples": 8000, "sources": eased})
    found = validation_task(lane)
    assert (found.goal, found.window_samples) == ("absent", 8000)
    assert found.sources.stops_after_s == suite.task_of("validation").sources.stops_after_s
    assert found.contract().observations() == lane.contract().observations()


def test_the_next_validation_is_due_so_long_after_this_one_ended(
    make_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that takes longer than the time between two must not leave a round of learning for each."""
    trainer = ImitationTrainer(make_config(validate_every_minutes=0.02), tmp_path)

    def slow(self: Validation, policy_for: object) -> dict[str, float]:
        time.sleep(1.3)  # longer than 0.02 minutes
        return {"a": 0.5}

    monkeypatch.setattr(Validation, "measure", slow)
    trainer.seconds = 10.0
    trainer.run()
    assert trainer._validated_at == trainer.seconds > 11.0


def test_ones_own_task_is_validated_on_neither_train_nor_test(make_config: MakeConfig) -> None:
    task = make_config().task
    found = validation_task(task)
    assert found.scenes.first_seed == SCENE_SEEDS["validation"][0]
    assert found.sounds.split == "validation"
    test = unseen(task)
    assert test.scenes.first_seed + test.scenes.count <= found.scenes.first_seed


@pytest.mark.parametrize("split", ["validation", "test"])
def test_a_suite_of_ones_own_finds_its_goals_among_new_sounds(split: Literal["validation", "test"]) -> None:
    """Its training's goals are of kinds that the new sounds haven't; its distractors are known by theirs."""
    task = load_suite("audiogoal-hard-v2").task_of("train").model_copy(update={"name": "quiet-hard-v1"})
    found = unseen(task, split)
    few = found.model_copy(update={"sounds": found.sounds.model_copy(update={"instances_per_kind": 1})})
    kinds = {sound.kind for sound in load_sounds(few)}
    assert set(found.sources.goal_kinds) == set(KINDS_OF[split])
    assert found.sources.distractor_kinds == task.sources.distractor_kinds
    assert kinds == {*found.sources.goal_kinds, *found.sources.distractor_kinds}
    alone = task.model_copy(update={"sources": task.sources.model_copy(update={"distractor_kinds": ()})})
    assert unseen(alone, split).sources.goal_kinds == ()
    named = load_suite("semantic-v1").task_of("train")
    assert unseen(named, split).sources == named.sources


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
    again = ImitationTrainer(make_config(), tmp_path)
    again.resume()  # as if killed right after the last validation
    assert again.best == pytest.approx(0.6)


def test_who_is_killed_before_the_best_is_noted_finds_it_in_its_folder(
    make_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = ImitationTrainer(make_config(), tmp_path)
    trainer.save()
    monkeypatch.setattr(Validation, "measure", lambda self, policy_for: {"a": 0.7})
    with monkeypatch.context() as patch:
        patch.setattr(ImitationTrainer, "save", lambda self: None)
        trainer.validate()
    assert load_checkpoint(tmp_path).counters["best_spl"] == -1.0
    again = ImitationTrainer(make_config(), tmp_path)
    again.resume()
    assert again.best == 0.7


def test_short_sittings_validate_too(make_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = make_config(validate_every_minutes=1.0)
    trainer = ImitationTrainer(config, tmp_path)
    monkeypatch.setattr(Validation, "measure", lambda self, policy_for: {"a": 0.7})
    trainer.seconds = 30.0
    trainer.validate()
    trainer.seconds = 80.0
    trainer.save()
    again = ImitationTrainer(config, tmp_path)
    again.resume()
    assert not again._validation_is_due()
    again.seconds = 90.0
    assert again._validation_is_due()


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
