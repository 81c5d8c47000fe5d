from __future__ import annotations

import copy
import json
from collections.abc import Callable

import numpy as np
import pytest
import torch

from phonotaxis.configs.contract import Contract
from phonotaxis.configs.training import PolicyConfig
from phonotaxis.export.bundle import Bundle, open_bundle
from phonotaxis.export.engines import open_engine
from phonotaxis.export.onnx import export_policy
from phonotaxis.export.parity import compare
from phonotaxis.policies.policy import Policy

Observations = Callable[..., list[dict[str, np.ndarray]]]


def test_agrees_over_recurrent_steps(policy: Policy, bundle: Bundle, observations: Observations) -> None:
    rows = observations(bundle.contract, steps=40, batch=3, seed=0)
    report = compare(policy, open_engine(bundle), rows)
    assert report.frames == 120
    # Silence and full scale are among the frames; float32 leaves 1e-6 a step, a wrong graph 1e-2 and more.
    assert report.largest_difference < 2e-5
    assert report.action_agreement == 1.0
    assert report.flips == []
    assert set(report.largest) == {"action", "logits", "value", "bearing", "distance", "state_out"}
    assert all(report.mean[name] <= report.largest[name] for name in report.mean)
    json.dumps(report.to_json(), allow_nan=False)


def test_a_map_agrees_over_recurrent_steps(contract: Contract, observations: Observations) -> None:
    torch.manual_seed(0)
    policy = Policy(contract, PolicyConfig(memory_size=24, map_cells=8)).eval()
    assert policy.mind.map is not None
    torch.nn.init.normal_(policy.mind.map.read.weight)
    bundle = open_bundle(export_policy(policy, {}))
    report = compare(policy, open_engine(bundle), observations(bundle.contract, steps=40, batch=2, seed=0))
    assert report.largest_difference < 2e-5
    assert report.flips == []


def test_sees_another_policy(policy: Policy, bundle: Bundle, observations: Observations) -> None:
    rows = observations(bundle.contract, steps=3, batch=2, seed=0)
    inputs = {**rows[0], "state_in": bundle.initial_state(2)}
    preferred = (int(open_engine(bundle).run(inputs)["action"][0]) + 1) % 4  # not what the bundle says first
    other = copy.deepcopy(policy)
    with torch.no_grad():
        other.heads.action[-1].bias[preferred] += 50.0
    report = compare(other, open_engine(bundle), rows)
    assert report.largest["logits"] == pytest.approx(50.0, abs=1e-3)
    assert report.largest["value"] < 1e-4
    assert report.flips[0].step == report.flips[0].row == 0
    assert all(flip.expected == preferred != flip.received for flip in report.flips)
    assert all(0.0 < flip.margin < 50.0 for flip in report.flips)
    assert report.action_agreement == 1.0 - len(report.flips) / 6


def test_sees_a_memory_that_differs(policy: Policy, bundle: Bundle, observations: Observations) -> None:
    """Each side carries its own state: an error in it is not healed from step to step."""
    other = copy.deepcopy(policy)
    with torch.no_grad():
        other.mind.memory.gates_state.bias.add_(0.1)
    report = compare(other, open_engine(bundle), observations(bundle.contract, steps=4, batch=1, seed=0))
    assert report.largest["state_out"] > 1e-2


def test_batch_must_stay(policy: Policy, bundle: Bundle, observations: Observations) -> None:
    engine = open_engine(bundle)
    rows = observations(bundle.contract, 1, 2, 0) + observations(bundle.contract, 1, 3, 0)
    with pytest.raises(ValueError, match="step 1 has 3 rows, earlier ones 2"):
        compare(policy, engine, rows)
    with pytest.raises(ValueError, match="no observations"):
        compare(policy, engine, [])
