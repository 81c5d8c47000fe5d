"""Validation on the way: other scenes and sounds than training's and the test's, and the best is kept."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest
import torch

from phonotaxis.configs.base import build
from phonotaxis.configs.imitation import ImitationConfig
from phonotaxis.configs.lanes import Lane, suite_tasks, without_void
from phonotaxis.configs.suite import SCENE_SEEDS, load_suite
from phonotaxis.envs.sound_table import sound_table
from phonotaxis.envs.sounds import KINDS_OF
from phonotaxis.policies import imitation
from phonotaxis.policies.checkpoint import load_checkpoint
from phonotaxis.policies.evaluate import unseen
from phonotaxis.policies.imitation import ImitationTrainer
from phonotaxis.policies.validation import BEST, Validation, validation_task

MakeConfig = Callable[..., ImitationConfig]


class _Clock:
    """A tenth of a second for each round."""

    now = 0.0

    def monotonic(self) -> float:
        self.now += 0.1
        return self.now


def test_where_frames_end_a_training_rounds_say_when_it_is_validated(make_config: MakeConfig, tmp_path: Path) -> None:
    """However fast the machine is, the same weights are the best."""
    config = make_config(max_frames=100 * 24, minutes=10.0, validate_every_minutes=2.5)
    trainer, due = ImitationTrainer(config, tmp_path), list[int]()
    for trainer.rounds in range(1, 101):
        trainer.seconds += 1000.0 / trainer.rounds
        if trainer._validation_is_due():
            due.append(trainer.rounds)
            trainer._note_validation()
    assert due == [25, 50, 75, 100]
    trainer.save()
    trainer.rounds = 120
    again = ImitationTrainer(config, tmp_path)
    again.resume()
    assert again._validated_round == 100


def test_tasks_of_one_name_are_validated_each_and_arrays_of_one_task_once(make_config: MakeConfig) -> None:
    task = make_config().task
    far = task.model_copy(update={"success_m": 2.0})
    lanes = [Lane(task=each) for each in (task, task.model_copy(update={"array": "respeaker_6mic"}), far)]
    lanes += [Lane.model_validate({"suite": "audiogoal-v1", **more}) for more in ({}, {"changes": {"step_reward": 0}})]
    arenas = Validation(lanes, 3)._arenas
    assert list(arenas) == ["audiogoal", "audiogoal 2", "audiogoal-v1"]
    assert [arena.task.success_m for arena in arenas.values()] == [1.0, 2.0, 1.0]
    assert arenas["audiogoal"].task.array == task.array
    assert len({tuple(arena.seeds) for arena in arenas.values()}) == 1


def test_a_suite_of_ones_own_is_validated_as_it_says(tmp_path: Path) -> None:
    """Also when a checkpoint goes on, and its file is gone."""
    mine = tmp_path / "mine.yaml"
    mine.write_text("like: audiogoal-v1\nname: quiet-v1\nvalidation: {scene_count: 7, instances_per_kind: 3}\n")
    expected = load_suite(str(mine)).task_of("validation")
    in_lanes = ImitationConfig.model_validate({"lanes": [{"suite": str(mine), "array": "respeaker_6mic"}]})
    alone = ImitationConfig.model_validate(suite_tasks(str(mine)))
    saved = [without_void(config.model_dump(mode="json")) for config in (in_lanes, alone)]
    mine.unlink()
    for config, array in zip((build(ImitationConfig, each, "checkpoint") for each in saved), ("respeaker_6mic", None)):
        (arena,) = Validation(config.all_lanes, 3)._arenas.values()
        assert arena.task == expected.model_copy(update={"array": array or expected.array})
        assert arena.task.scenes.count == 7
    with pytest.raises(ValueError, match="validation: void beside a suite"):
        Lane.model_validate({"suite": "audiogoal-v1", "validation": {}})


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
    config = make_config(validate_every_minutes=0.02, max_frames=None, minutes=13.0 / 60.0)
    trainer, clock, began = ImitationTrainer(config, tmp_path), _Clock(), list[float]()

    def slow(self: Validation, policy_for: object) -> dict[str, float]:
        began.append(trainer.seconds)
        clock.now += 1.3  # longer than 0.02 minutes
        return {"a": 0.5}

    monkeypatch.setattr(Validation, "measure", slow)
    monkeypatch.setattr(imitation, "time", clock)
    trainer.seconds = 10.0
    trainer.run()
    assert began == [10.0, pytest.approx(12.6, abs=0.15)]
    assert trainer._validated_at == trainer.seconds


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
    kinds = {sound.kind for sound in sound_table(few).sounds}
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
    config = make_config(validate_every_minutes=1.0, max_frames=None)
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
    validation = Validation(config.all_lanes, 2)
    before = torch.get_rng_state()
    checkpoint = trainer._checkpoint()
    first, again = (validation.measure(lambda contract: checkpoint.policy(contract=contract)) for _ in range(2))
    assert first == again
    assert set(first) == {config.task.name}
    assert torch.equal(torch.get_rng_state(), before)
