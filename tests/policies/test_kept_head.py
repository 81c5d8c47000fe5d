"""Of the heads that a training learns the most comfortable one that succeeds is kept, or none, and no kill loses it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from phonotaxis.configs.lanes import Lane
from phonotaxis.configs.prefer import Manners, PreferConfig
from phonotaxis.configs.suite import load_suite, overlap
from phonotaxis.configs.task import AudioGoalTask
from phonotaxis.configs.training import PolicyConfig
from phonotaxis.envs.metrics import EpisodeResult
from phonotaxis.policies.checkpoint import CheckpointError, load_checkpoint, save_checkpoint
from phonotaxis.policies.draws import STOP
from phonotaxis.policies.episode_seeds import selection_seeds
from phonotaxis.policies.heads import CautionHead
from phonotaxis.policies.kept_head import Comfort, KnobValidation, compared
from phonotaxis.policies.manners import Ride
from phonotaxis.policies.policy import Policy
from phonotaxis.policies.prefer import PreferenceTrainer, with_knob
from phonotaxis.policies.preferences import discomfort

pytestmark = [pytest.mark.usefixtures("compiled"), pytest.mark.timeout(func_only=True)]
MakeTask = Callable[..., AudioGoalTask]
CONFIG = PreferConfig(
    starts=1, draws=2, worlds=2, scene_count=1, episode_steps=3, updates=1, batch_pairs=1, max_rounds=2, validations=2,
    validation_episodes=2,
)  # fmt: skip


def _episode(success: bool, clearance_m: float) -> tuple[EpisodeResult, Ride]:
    result = EpisodeResult(
        episode_seed=1, scene="s", success=success, stopped=success, shortest_path_m=5.0, shortest_actions=40.0,
        final_distance_m=0.5, reached=success, steps=40, collisions=0, path_length_m=5.0,
    )  # fmt: skip
    return result, Ride([clearance_m] * 3, 10)


def _measured(success: float, more: float) -> Comfort:
    return Comfort(0.9, success, 3.0, 3.0 + more, 50)


def _trainer(make_task: MakeTask, tiny: PolicyConfig, out: Path | None = None, **changes: Any) -> PreferenceTrainer:
    torch.manual_seed(0)
    task = make_task(success_m=10.0, max_steps=3)
    return PreferenceTrainer(Policy(task.contract(), tiny), [Lane(task=task)], CONFIG.model_copy(update=changes), out)


def _mark(head: CautionHead | None, value: float) -> None:
    assert head is not None
    with torch.no_grad():
        head.added[-1].bias.fill_(value)


def _marked(head: CautionHead | None) -> float:
    assert head is not None
    return float(head.added[-1].bias[0].detach())


def _say(monkeypatch: pytest.MonkeyPatch, *found: Comfort) -> None:
    said = iter(found)
    monkeypatch.setattr(KnobValidation, "measure", lambda self, policy: next(said))


def test_discomfort_is_that_of_the_ranking_where_both_succeed() -> None:
    without = (_episode(True, 0.1), _episode(True, 0.0), _episode(False, 0.0), _episode(True, 0.4))
    cautious = (_episode(True, 0.3), _episode(False, 0.0), _episode(True, 0.2), _episode(True, 0.5))
    found = compared(without, cautious, Manners())
    assert (found.success_without, found.success_with, found.compared) == (0.75, 0.75, 2)
    felt = [[discomfort(*rows[at], Manners()) for at in (0, 3)] for rows in (without, cautious)]
    assert found.discomfort_without == pytest.approx(sum(felt[0]) / 2)
    assert found.discomfort_with == pytest.approx(sum(felt[1]) / 2)
    assert found.more < 0.0
    assert compared(without[:1], cautious[1:2], Manners()).more == 0.0


def test_the_tolerance_is_a_share_of_the_episodes() -> None:
    assert Comfort(0.9, 0.88, 0.0, 0.0, 1).succeeds(0.02)
    assert not Comfort(0.9, 0.87, 0.0, 0.0, 1).succeeds(0.02)
    assert Comfort(0.9, 0.95, 0.0, 0.0, 1).succeeds(0.0)


def test_the_most_comfortable_that_succeeds_is_kept(
    make_task: MakeTask, tiny: PolicyConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = _trainer(make_task, tiny)
    found = [(0.7, -2.0), (0.9, 0.5), (0.89, -0.5), (0.95, -0.2), (0.9, -0.9), (0.87, -1.0)]
    _say(monkeypatch, *(_measured(*one) for one in found))
    kept = []
    for number in range(1, 7):
        _mark(trainer.head, number)
        trainer.validate()
        kept.append(_marked(trainer.kept_policy().caution))
    assert kept == [0, 0, 3, 3, 5, 5]  # too few successes, more discomfort than none, the first, less so, the best, few
    assert list(trainer.comfort.values()) == [_measured(0.9, -0.9)]
    assert list(trainer.measured.values()) == [_measured(0.87, -1.0)]
    assert _marked(trainer.head) == 6  # learning goes on with what is learnt last


def test_of_several_tasks_one_is_kept_that_is_good_on_each(
    make_task: MakeTask, tiny: PolicyConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lanes = [Lane(task=make_task(max_steps=3, name=name)) for name in ("one", "two")]
    trainer = PreferenceTrainer(Policy(lanes[0].task.contract(), tiny), lanes, CONFIG, tmp_path)
    rounds = [
        ((0.9, -2.0), (0.9, 0.1)),  # less comfortable on one
        ((0.9, -2.0), (0.8, -1.0)),  # too few successes there
        ((0.9, -0.2), (0.9, -0.4)),  # the first
        ((0.9, -0.5), (0.9, -0.3)),  # better in the mean
        ((0.9, -0.35), (0.9, -0.4)),  # better where it is worst, not in the mean
        ((0.9, -0.6), (0.9, -0.1)),  # better on the first
    ]
    _say(monkeypatch, *(_measured(*found) for each in rounds for found in each))
    kept = []
    for number in range(1, 7):
        _mark(trainer.head, number)
        trainer.validate()
        kept.append(_marked(trainer.kept_policy().caution))
    assert kept == [0, 0, 3, 4, 4, 4]
    found = PreferenceTrainer.resumed(tmp_path, {}).comfort
    assert found == {"one": _measured(0.9, -0.5), "two": _measured(0.9, -0.3)}


def test_where_none_is_good_enough_what_is_left_adds_nothing(
    make_task: MakeTask, tiny: PolicyConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    knobbed = with_knob(Policy(make_task().contract(), tiny))
    _mark(knobbed.caution, 7.0)
    for base in (Policy(make_task().contract(), tiny), knobbed):  # not even the head that it began with
        _say(monkeypatch, *[_measured(0.5, -1.0)] * 3)
        trainer = PreferenceTrainer(
            base, [Lane(task=make_task(max_steps=3))], CONFIG, tmp_path / str(base.config.caution)
        )
        _mark(trainer.head, 7.0)
        learnt = trainer.run().caution
        assert learnt is not None
        assert not learnt(torch.rand(9, learnt.added[0].in_features), torch.ones(9, 1)).detach().any()
        saved = load_checkpoint(tmp_path / str(base.config.caution))
        assert Comfort.of_counters(saved.counters, "prefer_kept_") is None
        assert _marked(saved.policy().caution) == 0.0


def test_the_head_that_it_began_with_may_be_the_best(
    make_task: MakeTask, tiny: PolicyConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = with_knob(Policy(make_task().contract(), tiny))
    _mark(base.caution, 7.0)
    _say(monkeypatch, _measured(0.9, -1.0), _measured(0.9, -0.5), _measured(0.9, -0.6))
    trainer = PreferenceTrainer(base, [Lane(task=make_task(max_steps=3))], CONFIG)
    assert _marked(trainer.run().caution) == 7.0
    assert trainer.counters["prefer_kept_round"] == 0


def test_it_is_measured_evenly_and_at_the_end_and_a_kill_loses_nothing(
    make_task: MakeTask, tiny: PolicyConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = _trainer(make_task, tiny, tmp_path, max_rounds=5)
    found = [(0.9, -0.3), (0.9, -0.2), (0.9, -0.4)]
    rounds: list[int] = []

    def measure(self: KnobValidation, policy: Policy) -> Comfort:
        rounds.append(int(trainer.counters["prefer_rounds"]))
        _mark(trainer.head, float(len(rounds)))
        return _measured(*found[len(rounds) - 1])

    monkeypatch.setattr(KnobValidation, "measure", measure)
    trainer.run()
    before = load_checkpoint(tmp_path)
    assert rounds == [3, 5]
    assert _marked(before.policy().caution) == 1.0
    newest = sorted(tmp_path.glob("checkpoint-*"))[-1]
    (newest / "tensors.safetensors").write_bytes(b"half of it")  # as a failing disk, or a kill, leaves it
    trainer = PreferenceTrainer.resumed(tmp_path, {"max_rounds": 6})
    assert list(trainer.comfort.values()) == [_measured(0.9, -0.3)]
    assert _marked(trainer.kept_policy().caution) == 1.0
    trainer.run()
    after = load_checkpoint(tmp_path)
    assert rounds == [3, 5, 6]
    assert Comfort.of_counters(after.counters, "prefer_kept_") == _measured(0.9, -0.4)
    assert after.counters["prefer_kept_round"] == 6
    assert _marked(after.policy().caution) == 3.0


def test_what_was_due_when_it_was_stopped_is_due_when_it_goes_on(
    make_task: MakeTask, tiny: PolicyConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(self: KnobValidation, policy: Policy) -> Comfort:
        raise KeyboardInterrupt

    monkeypatch.setattr(KnobValidation, "measure", stop)
    with pytest.raises(KeyboardInterrupt):
        _trainer(make_task, tiny, tmp_path, max_rounds=4).run()
    again = PreferenceTrainer.resumed(tmp_path, {})
    assert again.counters["prefer_rounds"] == 2
    assert again._validation_is_due()
    assert not PreferenceTrainer.resumed(tmp_path, {"max_rounds": 40})._validation_is_due()


def test_ones_own_suite_says_on_what_it_is_validated(make_task: MakeTask, tiny: PolicyConfig, tmp_path: Path) -> None:
    task, validation = make_task(max_steps=3), make_task(max_steps=3, step_m=0.3)
    base = Policy(task.contract(), tiny)
    trainer = PreferenceTrainer(base, [Lane(task=task, validation=validation)], CONFIG, tmp_path)
    trainer.save()
    for each in (trainer, PreferenceTrainer.resumed(tmp_path, {})):
        assert each.tasks[task.name].judge.arena.task == validation


def test_each_task_is_validated_as_itself(
    make_task: MakeTask, tiny: PolicyConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a training that is gone on with too, be it one that the version before wrote, which knew one task."""
    lanes = [
        Lane(task=make_task(max_steps=3, name="one"), validation=make_task(max_steps=3, name="one", step_m=0.3)),
        Lane(task=make_task(max_steps=3, name="two", array="respeaker_6mic")),
    ]
    met: list[tuple[str, float, str]] = []

    def measure(self: KnobValidation, policy: Policy) -> Comfort:
        met.append((self.arena.task.name, self.arena.task.step_m, policy.contract.array.name))
        return _measured(0.9, -0.5)

    monkeypatch.setattr(KnobValidation, "measure", measure)
    own = lanes[0].task.contract().array.name
    wanted = [("one", 0.3, own), ("two", lanes[1].task.step_m, "respeaker_6mic")]
    PreferenceTrainer(Policy(lanes[0].task.contract(), tiny), lanes, CONFIG, tmp_path).validate()
    PreferenceTrainer.resumed(tmp_path, {}).validate()
    assert met == wanted * 2
    saved = load_checkpoint(tmp_path)
    [first, _] = saved.config.pop("lanes")
    save_checkpoint(tmp_path, replace(saved, config=saved.config | first))
    before = PreferenceTrainer.resumed(tmp_path, {})
    before.validate()
    assert met[4:] == wanted[:1]


def test_a_checkpoint_without_the_head_in_training_is_refused(
    make_task: MakeTask, tiny: PolicyConfig, tmp_path: Path
) -> None:
    trainer = _trainer(make_task, tiny, tmp_path)
    trainer.save()
    saved = load_checkpoint(tmp_path)
    del saved.modules["learning"]
    save_checkpoint(tmp_path, saved)
    with pytest.raises(CheckpointError, match="no head in training that fits.*begins one with the head that it kept"):
        PreferenceTrainer.resumed(tmp_path, {})


def test_both_ends_of_the_knob_run_the_same_validation_episodes(make_task: MakeTask, tiny: PolicyConfig) -> None:
    task = make_task(success_m=10.0, max_steps=3)
    policy = with_knob(Policy(task.contract(), tiny).eval())
    with torch.no_grad():
        policy.heads.action[-1].bias[STOP] += 100.0  # whoever stops has succeeded here
    validation = KnobValidation(task, 2, Manners())
    same = validation.measure(policy)
    assert (same.success_without, same.success_with, same.compared, same.more) == (1.0, 1.0, 2, 0.0)
    assert same.discomfort_without > 0.0
    assert policy.caution is not None
    with torch.no_grad():
        policy.caution.added[-1].bias[STOP] = -1e4
    found = validation.measure(policy)
    assert (found.success_without, found.success_with, found.compared, found.more) == (1.0, 0.0, 0, 0.0)


def test_the_test_split_is_never_touched(tiny: PolicyConfig) -> None:
    suite = load_suite("audiogoal-v1")
    task = suite.task_of("train")
    trainer = PreferenceTrainer(Policy(task.contract(), tiny), [Lane(task=task)], PreferConfig())
    arena = trainer.tasks[task.name].judge.arena
    assert arena.task == suite.task_of("validation")
    assert overlap(arena.task) is None
    assert arena.seeds == selection_seeds(100)
