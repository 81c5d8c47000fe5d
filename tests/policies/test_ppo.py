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

from phonotaxis.configs.lanes import Lane
from phonotaxis.configs.ppo import PpoConfig
from phonotaxis.configs.task import AudioGoalTask
from phonotaxis.configs.training import PolicyConfig
from phonotaxis.envs.sb3 import make_sb3
from phonotaxis.policies.checkpoint import Checkpoint, has_checkpoint, load_checkpoint
from phonotaxis.policies.policy import Policy
from phonotaxis.policies.ppo import PpoProgress, tune
from phonotaxis.policies.recurrent import FeatureEnv, RecurrentPolicy
from phonotaxis.policies.several_tasks import SeveralTasks

MakeTask = Callable[..., AudioGoalTask]


def _config(task: AudioGoalTask, **changes: Any) -> PpoConfig:
    fields = {"task": task, "worlds": 4, "steps": 8, "frames": 3 * 32, "epochs": 1, "critic_rollouts": 1}
    return PpoConfig.model_validate(fields | changes)


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
    only_critic = tune(start, _config(task, frames=32), tmp_path / "a", told.append)
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
    alone = tune(start, _config(task, frames=32), tmp_path / "a").state_dict()["heads.value.bias"]
    assert 1e-3 < float(torch.abs(alone - before)) < 5e-3
    together = tune(start, _config(task, frames=32, critic_rollouts=0), tmp_path / "b").state_dict()["heads.value.bias"]
    assert 1e-6 < float(torch.abs(together - before)) < 2e-4


@pytest.mark.parametrize(("trained", "tuned"), [("absent", "none"), ("none", "absent"), ("kind", "absent")])
def test_what_was_trained_without_a_goal_is_tuned_where_one_is_and_the_other_way_round(
    make_task: MakeTask, tiny: PolicyConfig, tmp_path: Path, trained: str, tuned: str
) -> None:
    task = make_task(goal=tuned)
    start = _start(make_task(goal=trained), tiny)
    policy = tune(start, _config(task, frames=32), tmp_path)
    assert policy.contract.goal == start.contract.goal


def test_a_tuning_that_is_gone_on_with_adds_up_and_meets_other_episodes(
    make_task: MakeTask, tiny: PolicyConfig, tmp_path: Path
) -> None:
    task = make_task()
    tune(_start(task, tiny), _config(task, frames=32, critic_rollouts=0), tmp_path / "a")
    once = load_checkpoint(tmp_path / "a")
    again = tune(once, _config(task, frames=32, critic_rollouts=0), tmp_path / "b")
    fresh = dataclasses.replace(once, counters={})
    other = tune(fresh, _config(task, frames=32, critic_rollouts=0), tmp_path / "c")
    assert load_checkpoint(tmp_path / "b").counters["ppo_frames"] == 64
    assert any(not torch.equal(value, other.state_dict()[name]) for name, value in again.state_dict().items())


def test_tuning_repeats(make_task: MakeTask, tiny: PolicyConfig, tmp_path: Path) -> None:
    task = make_task()
    first, second = (tune(_start(task, tiny), _config(task), tmp_path / name).state_dict() for name in ("a", "b"))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_several_tasks_step_as_each_does_alone(make_task: MakeTask, tiny: PolicyConfig) -> None:
    """Worlds of two arrays beside each other: what each gives alone, and infos that name the lane."""
    tasks = make_task(max_steps=3), make_task(array="respeaker_6mic", max_steps=3)

    def batches() -> list[FeatureEnv]:
        made = (make_sb3(1 + number, seed=5, task=task) for number, task in enumerate(tasks))
        return [FeatureEnv(worlds, Policy(task.contract(), tiny)) for worlds, task in zip(made, tasks)]

    together, alone = SeveralTasks(batches()), batches()
    expected = [batch.reset() for batch in alone]
    seen = together.reset()
    for name in seen:
        np.testing.assert_array_equal(seen[name], np.concatenate([part[name] for part in expected]))
    for _ in range(4):
        features, rewards, done, infos = together.step(np.array([1, 2, 3]))
        steps = [alone[0].step(np.array([1])), alone[1].step(np.array([2, 3]))]
        for name in features:
            np.testing.assert_array_equal(features[name], np.concatenate([step[0][name] for step in steps]))
        np.testing.assert_array_equal(rewards, np.concatenate([step[1] for step in steps]))
        np.testing.assert_array_equal(done, np.concatenate([step[2] for step in steps]))
        assert [info["lane"] for info in infos] == [0, 1, 1]
    together.close()


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
    def stop(self: RecurrentPPO, frames: int, callback: object) -> None:
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
