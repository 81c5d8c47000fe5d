"""Reinforcement from where imitation ended: the same network, its critic first, checkpoints of the same form."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sb3_contrib import RecurrentPPO
from sb3_contrib.common.recurrent.type_aliases import RNNStates

from phonotaxis.configs.contract import Contract
from phonotaxis.configs.lanes import Lane
from phonotaxis.configs.ppo import PpoConfig
from phonotaxis.configs.task import AudioGoalTask
from phonotaxis.configs.training import PolicyConfig
from phonotaxis.envs.sb3 import make_sb3
from phonotaxis.policies.checkpoint import Checkpoint, CheckpointError, has_checkpoint, load_checkpoint
from phonotaxis.policies.divergence import DivergedError
from phonotaxis.policies.policy import Policy
from phonotaxis.policies.ppo import PpoProgress, tune
from phonotaxis.policies.recurrent import FeatureEnv, RecurrentPolicy
from phonotaxis.policies.several_tasks import SeveralTasks
from phonotaxis.policies.validation import Validation

MakeTask = Callable[..., AudioGoalTask]


def _config(task: AudioGoalTask, **changes: Any) -> PpoConfig:
    alone = int(changes.get("frames", 96) > 32)  # rollouts of the critic, of which there must be more
    fields = {"task": task, "worlds": 4, "steps": 8, "frames": 3 * 32, "epochs": 1, "critic_rollouts": alone}
    fields["validations"] = 0
    return PpoConfig.model_validate(fields | changes)


def _stop_after_the_first(progress: PpoProgress) -> None:
    if progress.frames >= 32:
        raise KeyboardInterrupt


def _start(task: AudioGoalTask, tiny: PolicyConfig) -> Checkpoint:
    torch.manual_seed(0)
    policy = Policy(task.contract(), tiny)
    return Checkpoint(policy.contract, tiny, {"policy": policy.state_dict()}, {"task": task.model_dump(mode="json")})


@pytest.mark.parametrize(("memory", "cells"), [("gru", 0), ("lstm", 0), ("transformer", 0), ("gru", 5)])
def test_stable_baselines_sees_the_same_numbers(
    make_task: MakeTask, tiny: PolicyConfig, memory: str, cells: int
) -> None:
    """Logits, value and state over several steps, with a start in between, are those of the policy itself."""
    task = make_task()
    policy = Policy(
        task.contract(), tiny.model_copy(update={"memory": memory, "memory_steps": 3, "map_cells": cells})
    ).eval()
    env = FeatureEnv(make_sb3(3, seed=5, task=task), policy)
    theirs = RecurrentPPO(RecurrentPolicy, env, n_steps=8, batch_size=24, policy_kwargs={"policy": policy}).policy
    features = {name: torch.from_numpy(value) for name, value in env.reset().items()}
    state = policy.initial_state(3)
    states = RNNStates((state[None], state[None]), (state[None], state[None]))
    with torch.no_grad():
        for number in range(4):
            starts = torch.tensor([float(number == 0), float(number == 2), 0.0])
            output = policy.step(features, state, starts[:, None])
            distribution, after = theirs.get_distribution(features, states.pi, starts)
            value = theirs.predict_values(features, states.vf, starts)
            own = torch.log_softmax(output.logits, dim=-1)
            torch.testing.assert_close(distribution.distribution.logits, own, atol=1e-5, rtol=0)
            torch.testing.assert_close(value, output.value, atol=1e-5, rtol=0)
            torch.testing.assert_close(after[0][0], output.state, atol=1e-5, rtol=0)
            state, states = output.state, RNNStates(after, after)
            features = {name: torch.from_numpy(v) for name, v in env.step(np.array([1, 2, 3]))[0].items()}
    env.close()


def test_the_critic_learns_first_then_everything(make_task: MakeTask, tiny: PolicyConfig, tmp_path: Path) -> None:
    task, told = make_task(), list[PpoProgress]()
    start = _start(task, tiny)
    before = {name: value.clone() for name, value in start.modules["policy"].items()}
    with pytest.raises(KeyboardInterrupt):
        tune(start, _config(task), tmp_path / "a", _stop_after_the_first)
    only_critic = load_checkpoint(tmp_path / "a").policy()
    changed = {name for name, value in only_critic.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {"heads.value.weight", "heads.value.bias"}
    tuned = tune(start, _config(task), tmp_path / "b", told.append)
    changed = {name for name, value in tuned.state_dict().items() if not torch.equal(value, before[name])}
    assert {"heads.action.2.weight", "mind.memory.gates_state.weight", "senses.audio.around.weight"} <= changed
    assert told[-1].share == 1.0
    saved = load_checkpoint(tmp_path / "b")
    assert saved.counters["ppo_frames"] == 96
    assert all(torch.equal(value, tuned.state_dict()[name]) for name, value in saved.policy().state_dict().items())


def test_the_critic_learns_faster_while_it_learns_alone(
    make_task: MakeTask, tiny: PolicyConfig, tmp_path: Path
) -> None:
    """Adam moves a weight by about its rate a step: at everything's rate two steps would move it by 1e-4."""
    task = make_task()
    start = _start(task, tiny)
    before = start.modules["policy"]["heads.value.bias"].clone()
    with pytest.raises(KeyboardInterrupt):
        tune(start, _config(task), tmp_path / "a", _stop_after_the_first)
    alone = load_checkpoint(tmp_path / "a").modules["policy"]["heads.value.bias"]
    assert 1e-3 < float(torch.abs(alone - before)) < 5e-3
    together = tune(start, _config(task, frames=32), tmp_path / "b").state_dict()["heads.value.bias"]
    assert 1e-6 < float(torch.abs(together - before)) < 2e-4


@pytest.mark.parametrize(("trained", "tuned"), [("absent", "none"), ("none", "absent"), ("kind", "absent")])
def test_what_was_trained_without_a_goal_is_tuned_where_one_is_and_the_other_way_round(
    make_task: MakeTask, tiny: PolicyConfig, tmp_path: Path, trained: str, tuned: str
) -> None:
    task = make_task(goal=tuned)
    start = _start(make_task(goal=trained), tiny)
    policy = tune(start, _config(task, frames=32, validations=1, validation_episodes=1), tmp_path)
    assert policy.contract.goal == start.contract.goal


def test_a_tuning_that_is_gone_on_with_adds_up_and_meets_other_episodes(
    make_task: MakeTask, tiny: PolicyConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = make_task()
    seeds: list[int] = []
    real = RecurrentPPO.set_random_seed

    def note(self: RecurrentPPO, seed: int) -> None:
        seeds.append(seed)
        real(self, seed)

    monkeypatch.setattr(RecurrentPPO, "set_random_seed", note)
    tune(_start(task, tiny), _config(task, frames=32), tmp_path / "a")
    once = load_checkpoint(tmp_path / "a")
    again = tune(once, _config(task, frames=32), tmp_path / "b")
    fresh = dataclasses.replace(once, counters={})
    other = tune(fresh, _config(task, frames=32, seed=2**32 + 1), tmp_path / "c")
    twice = load_checkpoint(tmp_path / "b")
    assert twice.counters["ppo_frames"] == 64
    assert twice.before == once.trainings
    assert seeds == [0, 32, 1]  # its draws are others too, and numpy takes 32 bits
    assert any(not torch.equal(value, other.state_dict()[name]) for name, value in again.state_dict().items())


def test_tuning_repeats(make_task: MakeTask, tiny: PolicyConfig, tmp_path: Path) -> None:
    task = make_task()
    first, second = (tune(_start(task, tiny), _config(task), tmp_path / name).state_dict() for name in ("a", "b"))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_tuning_that_was_interrupted_goes_on(make_task: MakeTask, tiny: PolicyConfig, tmp_path: Path) -> None:
    """It counts on, keeps its optimiser's moments and the critic's head start, and isn't a training of its own."""
    task, told = make_task(), list[PpoProgress]()
    start = _start(task, tiny)
    with pytest.raises(KeyboardInterrupt):
        tune(start, _config(task), tmp_path, _stop_after_the_first)
    halfway = load_checkpoint(tmp_path)
    assert halfway.optimizer is not None
    before = {name: value.clone() for name, value in halfway.modules["policy"].items()}
    steps = {float(slots["step"]) for slots in halfway.optimizer["state"].values()}
    tune(halfway, _config(task), tmp_path, told.append, resume=True)
    ended = load_checkpoint(tmp_path)
    assert halfway.counters["tune_frames"] == 32  # that it has learnt from
    assert [progress.frames for progress in told] == [64, 96]
    assert ended.counters["ppo_frames"] == ended.counters["tune_frames"] == 96
    assert ended.counters["tune_seconds"] > halfway.counters["tune_seconds"]
    assert ended.before == halfway.before == start.trainings
    assert any(not torch.equal(value, before[name]) for name, value in ended.modules["policy"].items())
    assert ended.optimizer is not None
    after = {float(slots["step"]) for slots in ended.optimizer["state"].values()}
    assert max(after) > max(steps)
    with pytest.raises(CheckpointError, match="not of a tuning that can be resumed"):
        tune(start, _config(task), tmp_path / "other", resume=True)


def test_what_is_better_on_validation_than_before_is_kept(
    make_task: MakeTask, tiny: PolicyConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before, twice on the way and at the end; the second of these is the best, and a resumed one keeps it."""
    task, told, measured = make_task(), list[PpoProgress](), list[torch.Tensor]()
    found = [0.5, 0.4, 0.8, 0.6, 0.7, 0.7]

    def measure(self: Validation, policy_for: Callable[[Contract], Policy]) -> dict[str, float]:
        measured.append(policy_for(task.contract()).state_dict()["heads.value.bias"])
        return {"audiogoal": found[len(measured) - 1]}

    monkeypatch.setattr(Validation, "measure", measure)
    tune(_start(task, tiny), _config(task, frames=128, validations=3), tmp_path, told.append)
    assert len(measured) == 4
    assert (told[-1].validation_at_start, told[-1].validation_best) == (0.5, 0.8)
    assert told[-1].validation == {"audiogoal": 0.6}
    best = load_checkpoint(tmp_path / "best")
    assert torch.equal(best.modules["policy"]["heads.value.bias"], measured[2])
    assert not torch.equal(load_checkpoint(tmp_path).modules["policy"]["heads.value.bias"], measured[2])
    tune(load_checkpoint(tmp_path), _config(task, frames=160, validations=3), tmp_path, told.append, resume=True)
    assert (told[-1].validation_at_start, told[-1].validation_best) == (0.5, 0.8)
    assert load_checkpoint(tmp_path / "best").counters == best.counters


def test_a_tuning_that_is_stopped_while_it_is_validated_at_its_end_gets_that_and_then_more_frames(
    make_task: MakeTask, tiny: PolicyConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, told, frames = make_task(), list[PpoProgress](), list[int]()

    def measure(self: Validation, policy_for: Callable[[Contract], Policy]) -> dict[str, float]:
        frames.append(told[-1].frames if told else 0)
        if len(frames) == 3:
            raise KeyboardInterrupt
        return {"audiogoal": 0.5 + 0.1 * len(frames)}

    monkeypatch.setattr(Validation, "measure", measure)
    config = _config(task, frames=64, validations=2)
    with pytest.raises(KeyboardInterrupt):
        tune(_start(task, tiny), config, tmp_path, told.append)
    assert load_checkpoint(tmp_path).counters["tune_frames"] == 64
    assert frames == [0, 0, 32]  # before, half-way, and at the end, each before it is told
    tune(load_checkpoint(tmp_path), config, tmp_path, told.append, resume=True)
    assert len(frames) == 4
    assert told[-1].validation_best == pytest.approx(0.9)
    tune(load_checkpoint(tmp_path), config, tmp_path, told.append, resume=True)
    assert len(frames) == 4  # all is done
    assert told[-1].share == 1.0
    more = _config(task, frames=192, validations=2)
    tune(load_checkpoint(tmp_path), more, tmp_path, told.append, resume=True)
    assert frames[4:] == [64, 160]  # after 96 and 192


def test_validation_changes_nothing_that_is_learnt(make_task: MakeTask, tiny: PolicyConfig, tmp_path: Path) -> None:
    task, told = make_task("apartment", count=6), list[PpoProgress]()
    without = tune(_start(task, tiny), _config(task), tmp_path / "a").state_dict()
    config = _config(task, validations=2, validation_episodes=2)
    measured = tune(_start(task, tiny), config, tmp_path / "b", told.append).state_dict()
    assert all(torch.equal(value, measured[name]) for name, value in without.items())
    assert list(told[-1].validation) == ["audiogoal"]
    assert told[-1].validation_best is not None


def test_several_tasks_step_as_each_does_alone(make_task: MakeTask, tiny: PolicyConfig) -> None:
    """Worlds of two arrays among each other: what each gives alone, and infos that name the lane."""
    tasks = make_task(max_steps=3), make_task(array="respeaker_6mic", max_steps=3)

    def batches() -> list[FeatureEnv]:
        made = (make_sb3(1 + number, seed=5, task=task) for number, task in enumerate(tasks))
        return [FeatureEnv(worlds, Policy(task.contract(), tiny)) for worlds, task in zip(made, tasks)]

    together, alone = SeveralTasks(batches()), batches()
    expected = [batch.reset() for batch in alone]
    seen = together.reset()
    mixed = [1, 0, 2]  # the world of the first stands between the two of the second
    for name in seen:
        np.testing.assert_array_equal(seen[name], np.concatenate([part[name] for part in expected])[mixed])
    for _ in range(4):
        features, rewards, done, infos = together.step(np.array([2, 1, 3]))
        steps = [alone[0].step(np.array([1])), alone[1].step(np.array([2, 3]))]
        for name in features:
            np.testing.assert_array_equal(features[name], np.concatenate([step[0][name] for step in steps])[mixed])
        np.testing.assert_array_equal(rewards, np.concatenate([step[1] for step in steps])[mixed])
        np.testing.assert_array_equal(done, np.concatenate([step[2] for step in steps])[mixed])
        assert [info["lane"] for info in infos] == [1, 0, 1]
    assert [info["lane"] for info in together.reset_infos] == [1, 0, 1]
    assert together.get_attr("contract") == [alone[lane].get_attr("contract")[0] for lane in (1, 0, 1)]
    together.close()


def test_neighbours_are_of_every_task(make_task: MakeTask) -> None:
    """RecurrentPPO's minibatches are half of the worlds, one beside the other, from anywhere on."""
    together = SeveralTasks([make_sb3(count, task=make_task()) for count in (6, 2, 4)])
    together.reset()
    lanes = [info["lane"] for info in together.reset_infos]
    for first in range(12):
        half = [lanes[(first + number) % 12] for number in range(6)]
        assert [half.count(lane) for lane in range(3)] == [3, 1, 2], lanes
    together.close()


def test_no_memory_of_theirs_is_as_large_as_the_state(
    make_task: MakeTask, tiny: PolicyConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A map is a part of the state: an LSTM of its size would have thousands of times its weights."""
    sizes: list[int] = []

    class Noted(torch.nn.LSTM):
        def __init__(self, features: int, size: int, **more: Any) -> None:
            sizes.append(size)
            super().__init__(features, size, **more)

    task = make_task()
    policy = Policy(task.contract(), tiny.model_copy(update={"map_cells": 5})).eval()
    env = FeatureEnv(make_sb3(2, seed=5, task=task), policy)
    monkeypatch.setattr(torch.nn, "LSTM", Noted)
    learner = RecurrentPPO(RecurrentPolicy, env, n_steps=8, batch_size=16, policy_kwargs={"policy": policy})
    assert sizes == [1]
    seen = env.reset()
    assert isinstance(seen, dict)
    _, state = learner.predict(seen, episode_start=np.ones(2))
    assert state is not None
    assert [part.shape for part in state] == [(1, 2, policy.mind.state_size)] * 2
    env.close()


def test_weights_that_diverged_are_not_saved(
    make_task: MakeTask, tiny: PolicyConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def diverge(self: RecurrentPPO) -> None:
        with torch.no_grad():
            next(iter(self.policy.parameters())).fill_(torch.nan)

    task = make_task()
    monkeypatch.setattr(RecurrentPPO, "train", diverge)
    with pytest.raises(DivergedError, match="the largest weight is nan.*learning_rate under 5e-05"):
        tune(_start(task, tiny), _config(task), tmp_path)
    assert not has_checkpoint(tmp_path)


def test_frames_of_which_the_critic_alone_learns_are_too_few(make_task: MakeTask) -> None:
    with pytest.raises(ValueError, match="frames must be over 64, of which the critic learns alone.*got 64"):
        _config(make_task(), frames=64, critic_rollouts=2)
    assert _config(make_task(), frames=65, critic_rollouts=2).frames == 65


def test_other_observations_are_refused(make_task: MakeTask, tiny: PolicyConfig) -> None:
    named, plain = make_task(goal="kind"), make_task()
    batches = [FeatureEnv(make_sb3(1, task=task), Policy(task.contract(), tiny)) for task in (plain, named)]
    with pytest.raises(ValueError, match="batch 1 has other observations"):
        SeveralTasks(batches)


def test_several_lanes_are_tuned_at_once(make_task: MakeTask, tiny: PolicyConfig, tmp_path: Path) -> None:
    task, told = make_task(), list[PpoProgress]()
    lanes = [Lane(task=task, worlds=2), Lane(task=make_task(array="respeaker_6mic", max_steps=4), worlds=2)]
    tune(_start(task, tiny), _config(task, lanes=lanes), tmp_path, told.append)
    assert len(told[-1].success) == 2
    assert load_checkpoint(tmp_path).counters["ppo_frames"] == 96


def test_few_scenes_are_drawn_from_and_their_fields_kept(
    make_task: MakeTask, tiny: PolicyConfig, tmp_path: Path
) -> None:
    """Another tuning with the same folder traces nothing, and learns the same; more threads change nothing either."""
    task, kept = make_task("apartment", count=6), tmp_path / "fields"
    first = tune(_start(task, tiny), _config(task, frames=32, scene_count=1), tmp_path / "a", fields=kept).state_dict()
    stored = {file: file.stat().st_ino for file in kept.rglob("*") if file.is_file()}
    assert len([file for file in stored if file.suffix == ".field"]) == 1
    alone = _config(task, frames=32, scene_count=1, threads=1)
    second = tune(_start(task, tiny), alone, tmp_path / "b", fields=kept).state_dict()
    assert {file: file.stat().st_ino for file in kept.rglob("*") if file.is_file()} == stored
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_where_nothing_was_learnt_nothing_is_written(
    make_task: MakeTask, tiny: PolicyConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(self: RecurrentPPO, frames: int, **more: object) -> None:
        raise KeyboardInterrupt

    task = make_task()
    monkeypatch.setattr(RecurrentPPO, "learn", stop)
    with pytest.raises(KeyboardInterrupt):
        tune(_start(task, tiny), _config(task), tmp_path)
    assert not has_checkpoint(tmp_path)


def test_continuous_actions_are_refused(make_task: MakeTask, tiny: PolicyConfig) -> None:
    task = make_task(actions="continuous")
    policy = Policy(task.contract(), tiny)
    env = FeatureEnv(make_sb3(2, seed=0, task=task, actions="continuous"), policy)
    with pytest.raises(ValueError, match="discrete actions"):
        RecurrentPPO(RecurrentPolicy, env, policy_kwargs={"policy": policy})
    env.close()
