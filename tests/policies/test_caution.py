"""A policy's knob: at 0 it is the policy without one, to the bit, and checkpoints of either kind stay what they are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from phonotaxis.configs.base import ConfigError
from phonotaxis.configs.caution import told_caution
from phonotaxis.configs.contract import CAUTION, ContinuousActions, Contract
from phonotaxis.configs.imitation import ImitationConfig
from phonotaxis.configs.ppo import PpoConfig
from phonotaxis.configs.task import AudioGoalTask
from phonotaxis.configs.training import PolicyConfig
from phonotaxis.envs.world import World
from phonotaxis.policies.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from phonotaxis.policies.policy import Policy
from phonotaxis.policies.ppo import tune
from phonotaxis.policies.prefer import with_knob
from phonotaxis.policies.rollout import PolicyDecider
from phonotaxis.policies.starts import without_knob

MakeTask = Callable[..., AudioGoalTask]


def _knobbed(contract: Contract, tiny: PolicyConfig) -> tuple[Policy, Policy]:
    """Return a policy and the same with a head of preferences that says something."""
    torch.manual_seed(1)
    base = Policy(contract, tiny).eval()
    policy = with_knob(base)
    assert policy.caution is not None
    torch.nn.init.normal_(policy.caution.added[-1].weight)
    torch.nn.init.normal_(policy.caution.added[-1].bias)
    return base, policy


def _features(policy: Policy, batch: int, caution: float) -> dict[str, torch.Tensor]:
    torch.manual_seed(2)
    observation = {spec.name: torch.rand(batch, *spec.shape) for spec in policy.contract.observations()}
    return policy.features(observation | {CAUTION: torch.full((batch, 1), caution)})


@pytest.mark.parametrize("cells", [0, 5])
def test_without_caution_it_is_the_policy_it_was_to_the_bit(
    make_task: MakeTask, tiny: PolicyConfig, cells: int
) -> None:
    base, policy = _knobbed(make_task().contract(), tiny.model_copy(update={"map_cells": cells}))
    own, state, start = _features(base, 3, 0.0), base.initial_state(3), torch.zeros(3, 1)
    with torch.no_grad():
        before = base.step(own, state, start).tensors()
        after = policy.step(_features(policy, 3, 0.0), state, start).tensors()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_caution_scales_what_is_added_and_touches_nothing_else(make_task: MakeTask, tiny: PolicyConfig) -> None:
    _, policy = _knobbed(make_task().contract(), tiny)
    said = {}
    with torch.no_grad():
        for caution in (0.0, 0.25, 1.0):
            features = _features(policy, 3, caution)
            said[caution] = policy.step(features, policy.initial_state(3), torch.zeros(3, 1)).tensors()
    whole = said[1.0]["logits"] - said[0.0]["logits"]
    assert float(whole.abs().min()) > 1e-3
    torch.testing.assert_close(said[0.25]["logits"] - said[0.0]["logits"], 0.25 * whole, atol=1e-6, rtol=1e-5)
    for name in ("value", "bearing", "distance", "state"):
        assert torch.equal(said[0.0][name], said[1.0][name])


def test_unrolling_is_stepping(make_task: MakeTask, tiny: PolicyConfig) -> None:
    _, policy = _knobbed(make_task().contract(), tiny)
    features = {name: value.unflatten(0, (4, 2)) for name, value in _features(policy, 8, 0.6).items()}
    starts, state = torch.zeros(4, 2, 1), policy.initial_state(2)
    with torch.no_grad():
        unrolled = policy.unroll(features, state, starts)
        for step in range(4):
            output = policy.step({name: value[step] for name, value in features.items()}, state, starts[step])
            torch.testing.assert_close(unrolled.logits[step], output.logits, atol=1e-5, rtol=0)
            state = output.state


def test_continuous_means_are_moved_too(make_task: MakeTask, tiny: PolicyConfig) -> None:
    contract = make_task().contract().model_copy(update={"actions": ContinuousActions()})
    _, policy = _knobbed(contract, tiny)
    with torch.no_grad():
        low, high = (
            policy.step(_features(policy, 1, caution), policy.initial_state(1), torch.zeros(1, 1)).mean
            for caution in (0.0, 1.0)
        )
    assert not torch.equal(low, high)


def test_only_a_policy_with_a_knob_has_it_in_its_contract(make_task: MakeTask, tiny: PolicyConfig) -> None:
    task = make_task()
    base, policy = _knobbed(task.contract(), tiny)
    assert CAUTION not in [spec.name for spec in (*task.contract().inputs(), *base.contract.inputs())]
    names = [spec.name for spec in policy.contract.inputs()]
    assert names[names.index(CAUTION) + 1] == "episode_start"
    assert Contract.from_json(policy.contract.to_json()) == policy.contract
    old = base.contract.to_json().replace('"caution":false,', "")
    assert old != base.contract.to_json()
    assert Contract.from_json(old) == base.contract


def test_without_its_knob_it_is_the_policy_that_it_was(make_task: MakeTask, tiny: PolicyConfig) -> None:
    """As `tune` begins with it; what `prefer` counted, and the head that it was learning, stay behind."""
    base, policy = _knobbed(make_task().contract(), tiny)
    assert policy.caution is not None
    modules = {"policy": policy.state_dict(), "learning": policy.caution.state_dict()}
    counters: dict[str, float | int] = {"frames": 7, "prefer_kept_round": 3}
    bare = without_knob(Checkpoint(policy.contract, policy.config, modules, counters=counters))
    assert (bare.contract, bare.policy_config) == (base.contract, base.config)
    assert (list(bare.modules), bare.counters) == (["policy"], {"frames": 7})
    assert all(torch.equal(bare.policy().state_dict()[name], value) for name, value in base.state_dict().items())


def test_a_checkpoint_keeps_the_knob_and_one_without_has_none(
    make_task: MakeTask, tiny: PolicyConfig, tmp_path: Path
) -> None:
    for number, policy in enumerate(_knobbed(make_task().contract(), tiny)):
        folder = tmp_path / str(number)
        save_checkpoint(folder, Checkpoint(policy.contract, policy.config, {"policy": policy.state_dict()}))
        for contract in (None, make_task(array="matrix_voice").contract()):
            restored = load_checkpoint(folder).policy(contract=contract)
            assert restored.contract.caution == policy.contract.caution == bool(number)
            assert all(torch.equal(restored.state_dict()[name], value) for name, value in policy.state_dict().items())


def test_what_a_person_asks_of_the_knob_is_checked(make_task: MakeTask, tiny: PolicyConfig) -> None:
    base, policy = _knobbed(make_task().contract(), tiny)
    assert told_caution(base.contract, None) == told_caution(policy.contract, None) == 0.0
    assert told_caution(policy.contract, 0.7) == 0.7
    with pytest.raises(ConfigError, match="no caution to turn.*but `tradeoff` take this one without"):
        told_caution(base.contract, 0.0)
    for wrong in (-0.1, 1.01, float("nan")):
        with pytest.raises(ConfigError, match="between 0 and 1, got"):
            told_caution(policy.contract, wrong)


def test_in_the_simulator_the_decider_turns_the_knob(make_task: MakeTask, tiny: PolicyConfig) -> None:
    task = make_task()
    base, policy = _knobbed(task.contract(), tiny)
    logits = {}
    for name, own, caution in (("base", base, 0.0), ("low", policy, 0.0), ("high", policy, 1.0)):
        world = World(task, 2)
        world.begin(np.arange(2), np.arange(2))
        decider = PolicyDecider(own, 2, caution)
        decider.begin(np.arange(2))
        decider.decide(world)
        assert decider.output is not None
        logits[name] = decider.output.logits
    assert torch.equal(logits["base"], logits["low"])
    assert not torch.equal(logits["low"], logits["high"])


def test_other_trainings_say_that_the_knob_comes_last(make_task: MakeTask, tiny: PolicyConfig, tmp_path: Path) -> None:
    task = make_task()
    _, policy = _knobbed(task.contract(), tiny)
    with pytest.raises(ValueError, match="phonotaxis prefer"):
        ImitationConfig(task=task, policy=tiny.model_copy(update={"caution": True}))
    start = Checkpoint(policy.contract, policy.config, {"policy": policy.state_dict()})
    with pytest.raises(ConfigError, match="tune first, then `phonotaxis prefer`"):
        tune(start, PpoConfig(task=task, worlds=4, steps=8), tmp_path)
