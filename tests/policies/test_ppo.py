"""Reinforcement from where imitation ended: the same network, its critic first, checkpoints of the same form."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from sb3_contrib import RecurrentPPO
from sb3_contrib.common.recurrent.type_aliases import RNNStates

from phonotaxis.configs.ppo import PpoConfig
from phonotaxis.configs.task import AudioGoalTask
from phonotaxis.configs.training import PolicyConfig
from phonotaxis.envs.sb3 import make_sb3
from phonotaxis.policies.checkpoint import Checkpoint, load_checkpoint
from phonotaxis.policies.policy import Policy
from phonotaxis.policies.ppo import PpoProgress, tune
from phonotaxis.policies.recurrent import FeatureEnv, RecurrentPolicy

MakeTask = Callable[..., AudioGoalTask]
CONFIG = PpoConfig(worlds=4, steps=8, frames=3 * 32, epochs=1, critic_rollouts=1)


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
    only_critic = tune(start, task, CONFIG.model_copy(update={"frames": 32}), tmp_path / "a", told.append)
    changed = {name for name, value in only_critic.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {"heads.value.weight", "heads.value.bias"}
    tuned = tune(start, task, CONFIG, tmp_path / "b", told.append)
    changed = {name for name, value in tuned.state_dict().items() if not torch.equal(value, before[name])}
    assert {"heads.action.2.weight", "mind.memory.gates_state.weight", "senses.audio.around.weight"} <= changed
    assert told[-1].share == 1.0
    saved = load_checkpoint(tmp_path / "b")
    assert saved.counters["ppo_frames"] == 96
    assert all(torch.equal(value, tuned.state_dict()[name]) for name, value in saved.policy().state_dict().items())


def test_tuning_repeats(make_task: MakeTask, tiny: PolicyConfig, tmp_path: Path) -> None:
    task = make_task()
    first, second = (tune(_start(task, tiny), task, CONFIG, tmp_path / name).state_dict() for name in ("a", "b"))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_few_scenes_are_drawn_from_and_their_fields_kept(
    make_task: MakeTask, tiny: PolicyConfig, tmp_path: Path
) -> None:
    """Another tuning with the same folder traces nothing, and learns the same; more threads change nothing either."""
    task, kept = make_task("apartment", count=6), tmp_path / "fields"
    few = CONFIG.model_copy(update={"scene_count": 1, "frames": 32})
    first = tune(_start(task, tiny), task, few, tmp_path / "a", fields=kept).state_dict()
    stored = {file: file.stat().st_ino for file in kept.rglob("*") if file.is_file()}
    assert len([file for file in stored if file.suffix == ".field"]) == 1
    alone = few.model_copy(update={"threads": 1})
    second = tune(_start(task, tiny), task, alone, tmp_path / "b", fields=kept).state_dict()
    assert {file: file.stat().st_ino for file in kept.rglob("*") if file.is_file()} == stored
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_continuous_actions_are_refused(make_task: MakeTask, tiny: PolicyConfig) -> None:
    task = make_task(actions="continuous")
    policy = Policy(task.contract(), tiny)
    env = FeatureEnv(make_sb3(2, seed=0, task=task, actions="continuous"), policy)
    with pytest.raises(ValueError, match="discrete actions"):
        RecurrentPPO(RecurrentPolicy, env, policy_kwargs={"policy": policy})
    env.close()
