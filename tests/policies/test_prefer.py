"""Learning preferences: the policy beneath stays as it is, the same seed gives the same bits, and it goes on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from phonotaxis.configs.base import ConfigError
from phonotaxis.configs.lanes import Lane
from phonotaxis.configs.prefer import PreferConfig
from phonotaxis.configs.task import AudioGoalTask
from phonotaxis.configs.training import PolicyConfig
from phonotaxis.envs.field_store import FieldStoreError
from phonotaxis.envs.world import World
from phonotaxis.policies import prefer, preference_task
from phonotaxis.policies.checkpoint import (
    Checkpoint,
    CheckpointError,
    has_checkpoint,
    load_checkpoint,
    save_checkpoint,
)
from phonotaxis.policies.divergence import DivergedError
from phonotaxis.policies.draws import STOP, Draw, draw_episodes
from phonotaxis.policies.episode_seeds import first_seed
from phonotaxis.policies.evaluate import contestant
from phonotaxis.policies.policy import Policy
from phonotaxis.policies.prefer import PreferenceTrainer, PreferProgress, with_knob
from phonotaxis.policies.preferences import Pair, drawn_alike, preference_losses
from phonotaxis.policies.tradeoff import TRAITS, measure_tradeoff

pytestmark = [pytest.mark.usefixtures("compiled"), pytest.mark.timeout(func_only=True)]
MakeTask = Callable[..., AudioGoalTask]
CONFIG = PreferConfig(
    starts=2, draws=4, worlds=4, scene_count=1, episode_steps=10, updates=3, batch_pairs=4, kept_starts=4,
    max_rounds=2, manners={"least": 0.0}, validations=0,
)  # fmt: skip


def _base(task: AudioGoalTask, tiny: PolicyConfig) -> Policy:
    """Return a policy with random weights, which finds stopping best at every tenth step or so: a success here."""
    torch.manual_seed(0)
    policy = Policy(task.contract(), tiny).eval()
    with torch.no_grad():
        policy.heads.action[-1].weight.mul_(1000.0)
        policy.heads.action[-1].bias[STOP] -= 6.65
    return policy


@pytest.fixture(scope="module")
def task(make_task: MakeTask) -> AudioGoalTask:
    """Return a task in which whoever stops has succeeded."""
    return make_task(success_m=10.0)


def _head(policy: Policy) -> dict[str, torch.Tensor]:
    assert policy.caution is not None
    return policy.caution.state_dict()


def test_the_policy_beneath_stays_and_the_head_learns(task: AudioGoalTask, tiny: PolicyConfig, tmp_path: Path) -> None:
    base = _base(task, tiny)
    told: list[PreferProgress] = []
    trainer = PreferenceTrainer(base, [Lane(task=task)], CONFIG, tmp_path, {"seconds": 7.0}, before=({"seed": 3},))
    new = {name: value.clone() for name, value in _head(trainer.policy).items()}
    policy = trainer.run(told.append)
    assert all(torch.equal(policy.state_dict()[name], value) for name, value in base.state_dict().items())
    assert any(not torch.equal(value, new[name]) for name, value in _head(policy).items())
    assert [progress.share for progress in told] == [0.5, 1.0]
    assert told[-1].frames == trainer.counters["prefer_frames"] > 0
    assert told[-1].values["pairs"] > 0
    assert 0.0 <= told[-1].values["loss/agreement"] <= 1.0
    saved = load_checkpoint(tmp_path)
    assert saved.counters["seconds"] == 7.0
    assert saved.counters["prefer_rounds"] == 2
    assert [lane["task"] for lane in saved.config["lanes"]] == [task.model_dump(mode="json")]
    assert saved.before == ({"seed": 3},)
    assert all(torch.equal(saved.policy().state_dict()[name], value) for name, value in policy.state_dict().items())


def test_the_same_seed_gives_the_same_bits(task: AudioGoalTask, tiny: PolicyConfig) -> None:
    heads = []
    for config in (CONFIG, CONFIG.model_copy(update={"worlds": 8}), CONFIG.model_copy(update={"seed": 1})):
        heads.append(_head(PreferenceTrainer(_base(task, tiny), [Lane(task=task)], config).run()))
    last = "added.2.bias"  # of zeros before it learns
    assert all(torch.equal(heads[0][name], value) for name, value in heads[1].items())
    assert bool((heads[0][last] != 0.0).any())
    assert not torch.equal(heads[0][last], heads[2][last])


def test_draws_are_the_policys_own_and_stops_are_not_drawn(task: AudioGoalTask, tiny: PolicyConfig) -> None:
    policy = with_knob(_base(task, tiny))
    assert policy.caution is not None
    torch.nn.init.normal_(policy.caution.added[-1].weight)
    short = task.model_copy(update={"max_steps": 10})
    seeds, cautions = [5, 5, 5, 6], [0.0, 1.0, 0.0, 0.5]
    draws = draw_episodes(policy, World(short, 3), seeds, cautions, (1,), temperature=2.0)
    actions = [draw.actions.tolist() for draw in draws]
    assert len({tuple(row) for row in actions[:3]}) > 1  # one start, several ways
    for draw, caution in zip(draws, cautions):
        assert draw.caution == caution
        with torch.no_grad():
            logits, *_ = policy.heads(draw.read.float())
            whole = draw.logits + policy.caution(draw.read.float(), torch.full((len(draw.read), 1), caution))
        torch.testing.assert_close(logits, draw.logits, atol=0.05, rtol=0.01)  # what is read is kept in 16 bits
        stops = draw.actions == STOP
        sure = whole.topk(2, dim=1).values.diff(dim=1).abs()[:, 0] > 0.05
        assert torch.equal(stops[sure], (whole.argmax(dim=1) == STOP)[sure])
    alone = draw_episodes(policy, World(short, 1), seeds, cautions, (1,), temperature=2.0)
    assert [draw.actions.tolist() for draw in alone] == actions


def test_a_resumed_training_goes_on_where_it_was(task: AudioGoalTask, tiny: PolicyConfig, tmp_path: Path) -> None:
    PreferenceTrainer(_base(task, tiny), [Lane(task=task)], CONFIG, tmp_path).run()
    before = load_checkpoint(tmp_path)
    trainer = PreferenceTrainer.resumed(tmp_path, {"max_rounds": 3})
    assert all(
        torch.equal(value, before.modules["policy"][name]) for name, value in trainer.policy.state_dict().items()
    )
    told: list[PreferProgress] = []
    trainer.run(told.append)
    after = load_checkpoint(tmp_path)
    assert len(told) == 1
    assert after.counters["prefer_rounds"] == 3
    assert after.counters["prefer_episodes"] == before.counters["prefer_episodes"] + 8
    assert after.optimizer is not None
    assert before.optimizer is not None
    assert after.optimizer["state"][0]["step"] == before.optimizer["state"][0]["step"] + CONFIG.updates


def test_several_tasks_take_turns_with_one_head(
    make_task: MakeTask, task: AudioGoalTask, tiny: PolicyConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each has the policy for its own array and body; what is saved serves the first, and knows them all."""
    other = make_task(success_m=10.0, name="other", array="respeaker_6mic", step_m=0.3)
    base, drawn = _base(task, tiny), []

    def draw(policy: Policy, world: World, *rest: Any) -> list[Draw]:
        drawn.append((policy.contract.array.name, world.task.name, policy.caution))
        return draw_episodes(policy, world, *rest)

    def alike(pools: Sequence[Sequence[Pair]], count: int, rng: np.random.Generator) -> list[Pair]:
        learnt.append([{pair.preferred.result.episode_seed for pair in pool} for pool in pools])
        return drawn_alike(pools, count, rng)

    learnt: list[list[set[int]]] = []
    monkeypatch.setattr(preference_task, "draw_episodes", draw)
    monkeypatch.setattr(prefer, "drawn_alike", alike)
    trainer = PreferenceTrainer(base, [Lane(task=task), Lane(task=other)], CONFIG, tmp_path)
    assert trainer.run().contract == with_knob(base).contract
    assert learnt[-1][1]
    for turn, seeds in enumerate(learnt[-1]):  # rounds take turns, and each has seeds of its own
        assert {(seed - first_seed(CONFIG.seed)) // CONFIG.starts % 2 for seed in seeds} <= {turn}
    trainer = PreferenceTrainer.resumed(tmp_path, {"max_rounds": 3})
    assert [(each.task, each.policy.contract.array.name) for each in trainer.tasks.values()] == [
        (task, task.contract().array.name), (other, "respeaker_6mic"),
    ]  # fmt: skip
    assert all(each.policy.caution is trainer.head for each in trainer.tasks.values())
    trainer.run()
    assert [row[:2] for row in drawn] == [
        (task.contract().array.name, task.name), ("respeaker_6mic", "other"), (task.contract().array.name, task.name),
    ]  # fmt: skip
    assert drawn[0][2] is drawn[1][2]
    with pytest.raises(CheckpointError, match="don't fit the network"):
        PreferenceTrainer(base, [Lane(task=task), Lane(task=make_task(actions="continuous"))], CONFIG)


def test_what_can_not_begin_takes_no_folder(task: AudioGoalTask, tiny: PolicyConfig, tmp_path: Path) -> None:
    (tmp_path / "fields").write_text("no folder")
    base = with_knob(_base(task, tiny))  # it would be validated before the first round
    config = CONFIG.model_copy(update={"validations": 1, "validation_episodes": 1})
    trainer = PreferenceTrainer(base, [Lane(task=task)], config, tmp_path / "out", fields=tmp_path / "fields")
    with pytest.raises(FieldStoreError):
        trainer.run()
    assert not has_checkpoint(tmp_path / "out")
    with pytest.raises(ConfigError, match="a round of each task, at least 6, got 4"):
        PreferenceTrainer(base, [Lane(task=task)] * 3, CONFIG)


def test_episodes_are_as_long_as_the_tasks_unless_it_is_said(task: AudioGoalTask, tiny: PolicyConfig) -> None:
    """One that is cut short would count as failed, and the knob learn not to take its time."""
    for config, steps in ((CONFIG, 10), (CONFIG.model_copy(update={"episode_steps": None}), task.max_steps)):
        trainer = PreferenceTrainer(_base(task, tiny), [Lane(task=task)], config)
        assert trainer.tasks[task.name].world.task.max_steps == steps
    assert PreferConfig().episode_steps is None


def test_where_rounds_end_a_training_no_clock_does(task: AudioGoalTask, tiny: PolicyConfig, tmp_path: Path) -> None:
    bounded = CONFIG.model_copy(update={"max_rounds": 8, "minutes": 1.0, "validations": 2})
    trainer = PreferenceTrainer(_base(task, tiny), [Lane(task=task)], bounded, tmp_path)
    trainer.counters |= {"prefer_seconds": 1e6, "prefer_rounds": 3}
    assert trainer.share == 3 / 8
    assert not trainer._validation_is_due()
    trainer.counters["prefer_rounds"] = 4
    assert trainer._validation_is_due()
    trainer.save()
    with pytest.raises(ConfigError, match="ends after max_rounds, 8; leave --minutes or max_rounds out"):
        PreferenceTrainer.resumed(tmp_path, {"minutes": 3.0})


def test_what_diverged_is_not_saved(
    task: AudioGoalTask, tiny: PolicyConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = PreferenceTrainer(_base(task, tiny), [Lane(task=task)], CONFIG, tmp_path)
    before = {name: value.clone() for name, value in _head(trainer.policy).items()}
    monkeypatch.setattr(prefer, "preference_losses", lambda *rest: preference_losses(*rest[:2], float("nan"), 1.0))
    with pytest.raises(DivergedError, match=r"the loss is nan.*learning_rate under 0\.001"):
        trainer.run()
    assert all(torch.equal(value, before[name]) for name, value in _head(trainer.policy).items())
    assert not has_checkpoint(tmp_path)


def test_only_a_training_by_preferences_is_resumed(task: AudioGoalTask, tiny: PolicyConfig, tmp_path: Path) -> None:
    base = _base(task, tiny)
    save_checkpoint(tmp_path, Checkpoint(base.contract, tiny, {"policy": base.state_dict()}))
    with pytest.raises(CheckpointError, match="not of a training by preferences"):
        PreferenceTrainer.resumed(tmp_path, {})


def test_what_has_no_actions_to_rank_is_refused(make_task: MakeTask, tiny: PolicyConfig) -> None:
    task = make_task(actions="continuous")
    with pytest.raises(ConfigError, match="discrete actions"):
        PreferenceTrainer(Policy(task.contract(), tiny), [Lane(task=task)], CONFIG)


def test_a_round_must_be_kept() -> None:
    with pytest.raises(ValueError, match="at least 16, got 8"):
        PreferConfig(kept_starts=8)


def test_a_policy_with_a_knob_goes_on_learning_with_it(task: AudioGoalTask, tiny: PolicyConfig) -> None:
    once = PreferenceTrainer(_base(task, tiny), [Lane(task=task)], CONFIG).run()
    trainer = PreferenceTrainer(once, [Lane(task=task)], CONFIG)
    assert all(torch.equal(_head(once)[name], value) for name, value in _head(trainer.policy).items())


def test_a_tradeoff_pairs_the_same_episodes(task: AudioGoalTask, tiny: PolicyConfig) -> None:
    policy = with_knob(_base(task, tiny))
    assert policy.caution is not None
    with torch.no_grad():
        policy.caution.added[-1].bias.copy_(torch.tensor([-1e4, 0.0, 1e4, 0.0]))  # turned up, it turns for ever
    short = task.model_copy(update={"max_steps": 6})
    found = measure_tradeoff(
        short, range(4), lambda caution: contestant(policy, caution), (0.0, 0.0001, 1.0), threads=1
    )
    assert [[result.episode_seed for result, _ in row] for row in found.episodes] == [[0, 1, 2, 3]] * 3
    assert found.estimate(2, "success").value == 0.0
    assert found.estimate(2, "time_s").value == 1.5
    assert found.over(2, "clearance_m").value == pytest.approx(
        found.estimate(2, "clearance_m").value - found.estimate(0, "clearance_m").value
    )
    turning = [ride for _, ride in found.episodes[2]]
    assert all(np.ptp(ride.clearance_m) == 0.0 and ride.changes == 1 for ride in turning)
    for trait in TRAITS:
        apart = found.estimate(1, trait.name).value - found.estimate(0, trait.name).value
        assert found.over(1, trait.name).value == pytest.approx(apart)
