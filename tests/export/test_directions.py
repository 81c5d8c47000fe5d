"""A policy whose bearing is read from directions leaves training whole."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from phonotaxis.configs.contract import Contract
from phonotaxis.configs.training import PolicyConfig
from phonotaxis.export.bundle import Bundle, open_bundle
from phonotaxis.export.engines import open_engine
from phonotaxis.export.onnx import export_policy
from phonotaxis.export.precision import convert
from phonotaxis.export.weights import restored_policy
from phonotaxis.policies.policy import Policy

Observations = Callable[..., list[dict[str, np.ndarray]]]


@pytest.fixture(scope="module")
def thinking(contract: Contract, observations: Observations) -> Policy:
    torch.manual_seed(5)
    policy = Policy(contract, PolicyConfig(memory_size=48, directions=72)).eval()
    assert policy.directions is not None
    _, first, _, last = policy.directions.layers
    with torch.no_grad():  # as after training: directions differ, and from input to input
        (row,) = observations(policy.contract, steps=1, batch=16, seed=0)
        tensors = {name: torch.from_numpy(value) for name, value in row.items()}
        perceived = policy.perceive(policy.features(tensors))
        read, _, _ = policy.mind.step(perceived, policy.initial_state(16), tensors["episode_start"])
        reads = read @ first.weight.T
        first.weight.div_(reads.std(dim=0)[:, None])
        first.bias.copy_(-(reads / reads.std(dim=0)).mean(dim=0))
        last.weight.normal_(0.0, 0.5)
    return policy


@pytest.fixture(scope="module")
def exported(thinking: Policy) -> Bundle:
    return open_bundle(export_policy(thinking, {}))


def _bearings(bundle: Bundle, rows: list[dict[str, np.ndarray]]) -> np.ndarray:
    engine, state, found = open_engine(bundle), bundle.initial_state(3), []
    for row in rows:
        said = engine.run({**row, "state_in": state})
        state = said["state_out"]
        found.append(said["bearing"])
    return np.stack(found)


def test_the_graph_says_what_the_network_says(thinking: Policy, exported: Bundle, observations: Observations) -> None:
    rows = observations(exported.contract, steps=8, batch=3, seed=1)
    state, expected = thinking.initial_state(3), []
    for row in rows:
        tensors = {name: torch.from_numpy(value) for name, value in row.items()}
        with torch.no_grad():
            output = thinking.step(thinking.features(tensors), state, tensors["episode_start"])
        state = output.state
        expected.append(output.bearing.numpy())
    found = _bearings(exported, rows)
    assert np.abs(found[..., :2] - np.stack(expected)[..., :2]).max() < 1e-3
    assert np.allclose(found[..., 2], np.stack(expected)[..., 2], rtol=1e-3)
    assert np.ptp(np.arctan2(found[..., 1], found[..., 0])) > 0.5
    assert np.allclose(np.linalg.norm(found[..., :2], axis=-1), 1.0, atol=1e-4)


def test_it_comes_back_as_the_policy_that_it_was(thinking: Policy, exported: Bundle) -> None:
    again = restored_policy(exported)
    assert again.config == thinking.config
    theirs = again.state_dict()
    assert all(torch.equal(theirs[name], value) for name, value in thinking.state_dict().items())


def test_half_precision_points_nearly_there(exported: Bundle, observations: Observations) -> None:
    rows = observations(exported.contract, steps=8, batch=3, seed=2)
    half = open_bundle(convert(exported, "fp16"))
    whole, lower = (_bearings(bundle, rows)[..., :2] for bundle in (exported, half))
    assert np.median((whole * lower).sum(axis=-1)) > 0.99
