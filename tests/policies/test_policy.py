from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from phonotaxis.configs import presets
from phonotaxis.configs.array import MicrophoneArray
from phonotaxis.configs.contract import ContinuousActions, Contract, GoalSpec, discrete_actions
from phonotaxis.configs.training import PolicyConfig
from phonotaxis.policies.memory import InputGatedMemory, RecentSteps
from phonotaxis.policies.motion_front_end import MotionFrontEnd
from phonotaxis.policies.policy import ExportablePolicy, Policy, PolicyOutput, contract_with_state

FORMS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "default": ({}, {}),
    "attention": ({}, {"fusion": "attention"}),
    "film": ({}, {"fusion": "film"}),
    "lstm": ({}, {"memory": "lstm", "memory_size": 24}),
    "mingru": ({}, {"memory": "mingru", "memory_size": 24}),
    "transformer": ({}, {"memory": "transformer", "memory_steps": 4}),
    "no memory": ({}, {"memory": "none"}),
    "map": ({}, {"map_cells": 6}),
    "map, listening": ({}, {"map_cells": 6, "listening_size": 8}),
    "directions": ({}, {"directions": 24}),
    "goal": ({"goal": GoalSpec(size=5, embedding="test")}, {}),
    "continuous": ({"actions": ContinuousActions()}, {"memory_size": 32}),
}


def _policy(form: str) -> Policy:
    contract, config = FORMS[form]
    array = presets.load("arrays", "respeaker_usb_v2", MicrophoneArray)
    parts = {"task": "test", "array": array, "actions": discrete_actions(0.25, 0.17, 0.25), **contract}
    torch.manual_seed(0)
    policy = Policy(Contract.model_validate(parts), PolicyConfig(**config)).eval()
    if policy.mind.map is not None:  # new it believes and says nothing
        for layer in (policy.mind.map.read, policy.mind.map.likelihood, policy.mind.map.range_and_trust):
            torch.nn.init.normal_(layer.weight, std=0.1)
        if policy.mind.map.listening is not None:
            torch.nn.init.normal_(policy.mind.map.listening.heed.weight, std=0.1)
    if policy.directions is not None:  # new it holds all of them for equal
        torch.nn.init.normal_(policy.directions.layers[-1].weight, std=0.5)
    return policy


def _observation(policy: Policy, batch: int, seed: int = 0) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {
        spec.name: torch.rand((batch, *spec.shape), generator=generator) * 0.3
        for spec in policy.contract.observations()
    }


def _chunk(policy: Policy, time: int, batch: int) -> dict[str, Tensor]:
    rows = [policy.features(_observation(policy, batch, seed)) for seed in range(time)]
    return {name: torch.stack([row[name] for row in rows]) for name in rows[0]}


@pytest.mark.parametrize("form", FORMS)
def test_unroll_is_step_by_step(form: str) -> None:
    policy = _policy(form)
    time, batch = 6, 3
    chunk = _chunk(policy, time, batch)
    starts = torch.zeros(time, batch, 1)
    starts[0, 0] = starts[3, 1] = 1.0
    state = torch.rand(batch, *policy.contract.state_shape, generator=torch.Generator().manual_seed(1)) * 0.8
    with torch.no_grad():
        together = policy.unroll(chunk, state, starts)
        for now in range(time):
            output = policy.step({name: value[now] for name, value in chunk.items()}, state, starts[now])
            state = output.state
            for alone, all_steps in zip(_tensors(output), _tensors(together)):
                torch.testing.assert_close(alone, all_steps[now], atol=1e-5, rtol=0)


@pytest.mark.parametrize("form", FORMS)
def test_outputs_are_the_contracts(form: str) -> None:
    policy = _policy(form)
    exportable = ExportablePolicy(policy)
    observation = _observation(policy, batch=2)
    observation["state_in"] = policy.initial_state(2)
    with torch.no_grad():
        outputs = exportable(*(observation[name] for name in exportable.input_names))
    for spec, value in zip(policy.contract.outputs(), outputs, strict=True):
        assert value.shape == (2, *spec.shape), spec.name
        assert str(value.dtype) == f"torch.{spec.dtype}", spec.name
        assert float(value.min()) >= spec.low
        assert float(value.max()) <= spec.high


def test_bearing_and_distance_are_distributions() -> None:
    policy = _policy("default")
    for scale in (0.0, 1.0, 100.0):
        memory = torch.randn(50, 512, generator=torch.Generator().manual_seed(2)) * scale
        with torch.no_grad():
            _, _, bearing, distance = policy.heads(memory)
        assert bool(torch.isfinite(bearing).all())
        assert float(bearing[:, 2].min()) > 0.0
        assert float(distance[:, 1].min()) >= 0.05
        if scale:
            torch.testing.assert_close(bearing[:, :2].norm(dim=1), torch.ones(50))


def test_an_episodes_start_forgets() -> None:
    policy = _policy("default")
    features = policy.features(_observation(policy, 2))
    state = torch.randn(2, 256, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        fresh = policy.step(features, policy.initial_state(2), torch.zeros(2, 1))
        reset = policy.step(features, state, torch.tensor([[1.0], [0.0]]))
    torch.testing.assert_close(reset.state[0], fresh.state[0], atol=1e-6, rtol=0)
    assert float((reset.state[1] - fresh.state[1]).abs().max()) > 0.1


def test_a_start_stops_the_gradient_too() -> None:
    policy = _policy("default")
    chunk = _chunk(policy, 3, 2)
    state = policy.initial_state(2).requires_grad_()
    starts = torch.zeros(3, 2, 1)
    starts[1, 0] = 1.0
    policy.unroll(chunk, state, starts).state[2].sum().backward()
    assert state.grad is not None
    assert float(state.grad[0].abs().max()) == 0.0
    assert float(state.grad[1].abs().max()) > 0.0


@pytest.mark.parametrize("form", FORMS)
def test_every_weight_learns(form: str) -> None:
    policy = _policy(form).train()
    output = policy.unroll(_chunk(policy, 2, 3), policy.initial_state(3), torch.zeros(2, 3, 1))
    loss = sum((value * torch.rand_like(value)).sum() for value in _tensors(output))
    assert isinstance(loss, Tensor)
    loss.backward()
    idle = [name for name, weight in policy.named_parameters() if weight.grad is None or not weight.grad.any()]
    assert idle == (["log_std"] if form == "continuous" else [])


@pytest.mark.parametrize("memory", ["gru", "mingru", "lstm", "transformer"])
def test_what_was_is_remembered(memory: str) -> None:
    """Two steps ago something else was seen, and it shows; after a start it doesn't."""
    torch.manual_seed(0)
    array = presets.load("arrays", "respeaker_usb_v2", MicrophoneArray)
    contract = Contract(task="test", array=array, actions=discrete_actions(0.25, 0.17, 0.25))
    policy = Policy(contract, PolicyConfig(memory=memory, memory_steps=4)).eval()  # type: ignore[arg-type]
    chunk = _chunk(policy, 3, 1)
    other = {name: torch.cat([value[:1] + 1.0, value[1:]]) for name, value in chunk.items()}
    starts = torch.zeros(3, 1, 1)
    with torch.no_grad():
        was, is_other = (policy.unroll(seen, policy.initial_state(1), starts).logits[2] for seen in (chunk, other))
        assert float((was - is_other).abs().max()) > 1e-6
        starts[1:] = 1.0
        was, is_other = (policy.unroll(seen, policy.initial_state(1), starts).logits[2] for seen in (chunk, other))
    assert torch.equal(was, is_other)


def test_steps_long_ago_are_forgotten() -> None:
    """Attention reaches `memory_steps` back and no further."""
    torch.manual_seed(0)
    memory = RecentSteps(6, PolicyConfig(memory_steps=3, attention_size=8, attention_heads=2, memory_size=8))
    inputs = torch.randn(5, 1, 6)
    starts, state = torch.zeros(5, 1, 1), torch.zeros(1, memory.state_size)
    with torch.no_grad():
        reads = memory.read(memory.unroll(inputs, state, starts))
        inputs[0] += 5.0
        changed = memory.read(memory.unroll(inputs, state, starts))
    assert [bool((a != b).any()) for a, b in zip(reads, changed)] == [True, True, True, False, False]


def test_gates_that_see_the_input_alone_drive_no_two_states_apart() -> None:
    """With weights as large as they like: what differs by rounding differs by less a step later, in both layers."""
    torch.manual_seed(0)
    memory = InputGatedMemory(6, PolicyConfig(memory="mingru", memory_size=16))
    for weight in memory.parameters():
        torch.nn.init.normal_(weight, std=3.0)
    inputs, starts = torch.randn(40, 8, 6), torch.zeros(40, 8, 1)
    state = torch.rand(8, memory.state_size) * 2.0 - 1.0
    first = torch.cat([torch.zeros(16), torch.ones(16)])  # the second layer's state alone differs
    with torch.no_grad():
        apart = [
            (memory.unroll(inputs, state, starts) - memory.unroll(inputs, state + 0.1 * moved, starts)).abs()
            for moved in (first, 1.0 - first)
        ]
        bounded = memory.unroll(inputs, state, starts).abs().max()
    assert bool((apart[0].diff(dim=0) <= 1e-6).all())
    assert bool((apart[1][..., :16].diff(dim=0) <= 1e-6).all())
    assert float(apart[1][-1].max()) < 1e-4
    assert float(bounded) <= 1.0


def test_a_sense_left_out_says_nothing() -> None:
    contract = _policy("default").contract
    for sense in ("audio", "depth"):
        rest = tuple({"audio", "depth"} - {sense})
        policy = Policy(contract, PolicyConfig(senses=rest)).eval()  # type: ignore[arg-type]
        observation = _observation(policy, 2)
        changed = observation | {sense: observation[sense] * 0.5}
        assert torch.equal(policy.features(observation)[sense], policy.features(changed)[sense])
        with torch.no_grad():
            whole = Policy(contract).features(observation)[sense]
        assert policy.features(observation)[sense].shape == whole.shape
        assert not policy.features(observation)[sense].any()


def test_a_sense_left_out_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(*_: object) -> None:
        raise AssertionError("a front end ran whose features are thrown away")

    policy = Policy(_policy("default").contract, PolicyConfig(senses=("depth",))).eval()
    monkeypatch.setattr(policy.front_ends.audio, "forward", run)
    policy.features(_observation(policy, 2))


def test_one_microphone_hears_what_but_not_from_where() -> None:
    policy = Policy(_policy("default").contract, PolicyConfig(senses=("one_microphone", "depth"))).eval()
    observation = _observation(policy, 2)
    heard = policy.features(observation)["audio"]
    layout = policy.front_ends.audio.layout
    assert not heard[:, : layout.sizes[0]].any()  # no map
    others, first = observation["audio"].clone(), observation["audio"].clone()
    others[:, 1:] *= 0.5
    first[:, 0] *= 0.5
    assert torch.equal(policy.features(observation | {"audio": others})["audio"], heard)
    assert not torch.equal(policy.features(observation | {"audio": first})["audio"], heard)
    with pytest.raises(ValueError, match="not both"):
        PolicyConfig(senses=("one_microphone", "audio"))


def test_every_sense_is_heard() -> None:
    policy = _policy("goal")
    observation = _observation(policy, 1)
    state, start = policy.initial_state(1), torch.zeros(1, 1)
    with torch.no_grad():
        before = policy.step(policy.features(observation), state, start).state
        for name in ("audio", "depth", "depth_age_s", "motion", "motion_valid", "goal"):
            changed = {**observation, name: observation[name] * 0.5}
            after = policy.step(policy.features(changed), state, start).state
            assert float((after - before).abs().max()) > 1e-5, name


def test_default_size_is_lean() -> None:
    count = sum(weight.numel() for weight in _policy("default").parameters())
    assert 600_000 < count < 900_000


def test_a_map_moves_as_far_as_the_body_whose_features_it_gets() -> None:
    """Lanes of a training share a network; each robot's steps are as long as its own front end says."""
    policy = _policy("map")
    assert policy.mind.map is not None
    slow = policy.contract.body.model_copy(update={"max_v_mps": 0.3})
    moved = torch.tensor([[0.06, -0.01, 0.1, 0.24, 0.4, 1.0]])
    contracts = (policy.contract, policy.contract.model_copy(update={"body": slow}))
    rows = [MotionFrontEnd(contract)(moved, torch.ones(1, 1), torch.zeros(1, 1)) for contract in contracts]
    features = policy.features(_observation(policy, 2)) | {"motion": torch.cat(rows)}
    state = policy.step(features, torch.zeros(2, *policy.contract.state_shape), torch.ones(2, 1)).state
    pose = state[:, policy.mind.memory.state_size :][:, :3]
    torch.testing.assert_close(pose, torch.tensor([[0.06, policy.mind.map.grid.side_m - 0.01, 0.1]] * 2))


def test_actions() -> None:
    discrete, continuous = _policy("default"), _policy("continuous")
    logits = torch.tensor([[0.0, 1.0, 1.0, 1.0], [2.0, 2.0, 0.0, 2.0], [0.0, 0.0, 0.0, 0.0]])
    assert discrete.action(logits).tolist() == [1, 0, 0]
    assert discrete.action(logits[None]).shape == (1, 3)
    np.testing.assert_allclose(continuous.action(torch.tensor([[3.0, -0.5, -9.0]])), [[1.0, -0.5, -1.0]])


def test_features_need_no_gradient() -> None:
    policy = _policy("default")
    features = policy.features(_observation(policy, 2))
    assert set(features) == {"audio", "depth", "motion"}
    assert not any(value.requires_grad for value in features.values())


def test_state_shape_follows_the_network() -> None:
    policy = _policy("continuous")
    assert policy.contract.state_shape == (32,)
    assert contract_with_state(policy.contract, PolicyConfig(memory_size=64)).state_shape == (64,)
    with pytest.raises(ValueError, match="multiple of attention_heads"):
        PolicyConfig(attention_size=30, attention_heads=4)


def _tensors(output: PolicyOutput) -> list[Tensor]:
    """Return an output's tensors, those of the belief and the directions last."""
    thought = () if output.directions is None else (output.directions,)
    return [*output.tensors().values(), *(output.belief or ()), *thought]
