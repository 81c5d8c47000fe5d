"""The knob in the exported graph: an input like any other, in every engine and precision."""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import onnx
import pytest
import torch

from phonotaxis.export.bundle import Bundle, open_bundle
from phonotaxis.export.engines import open_engine
from phonotaxis.export.onnx import export_policy
from phonotaxis.export.parity import compare
from phonotaxis.export.precision import convert
from phonotaxis.export.weights import restored_policy
from phonotaxis.policies.policy import Policy
from phonotaxis.policies.prefer import with_knob

Observations = Callable[..., list[dict[str, np.ndarray]]]


@pytest.fixture(scope="module")
def knobbed(policy: Policy) -> Policy:
    torch.manual_seed(5)
    found = with_knob(copy.deepcopy(policy))
    assert found.caution is not None
    torch.nn.init.normal_(found.caution.added[-1].weight)
    torch.nn.init.normal_(found.caution.added[-1].bias)
    return found


@pytest.fixture(scope="module")
def cautious(knobbed: Policy) -> Bundle:
    return open_bundle(export_policy(knobbed, {"commit": "abc"}))


def _turned(rows: list[dict[str, np.ndarray]], caution: float) -> list[dict[str, np.ndarray]]:
    return [{**row, "caution": np.full((len(row["depth"]), 1), caution, dtype=np.float32)} for row in rows]


@pytest.mark.parametrize("caution", [0.0, 0.5, 1.0])
def test_agrees_wherever_the_knob_stands(
    knobbed: Policy, cautious: Bundle, observations: Observations, caution: float
) -> None:
    rows = _turned(observations(cautious.contract, steps=20, batch=2, seed=4), caution)
    report = compare(knobbed, open_engine(cautious), rows)
    assert report.frames == 40
    assert report.largest["logits"] < 2e-5  # as without a knob, see test_parity; the rest is compared below, to the bit
    assert report.flips == []


def test_turned_down_it_says_what_the_bundle_without_a_knob_says_to_the_bit(
    bundle: Bundle, cautious: Bundle, observations: Observations
) -> None:
    plain, knobbed = open_engine(bundle), open_engine(cautious)
    state, other = bundle.initial_state(2), cautious.initial_state(2)
    apart = 0.0
    for row in observations(bundle.contract, steps=12, batch=2, seed=6):
        (down,), (up,) = _turned([row], 0.0), _turned([row], 1.0)
        before = plain.run(bundle.contract.feed(row, state))
        after = knobbed.run(cautious.contract.feed(down, other))
        apart = max(
            apart, float(np.abs(knobbed.run(cautious.contract.feed(up, other))["logits"] - after["logits"]).max())
        )
        assert all(before[name].tobytes() == after[name].tobytes() for name in before)
        state, other = before["state_out"], after["state_out"]
    assert apart > 0.1  # it isn't for want of a head that they agree


def test_it_adds_no_operators_of_a_new_kind(bundle: Bundle, cautious: Bundle) -> None:
    kinds = [{node.op_type for node in onnx.load_from_string(one.data).graph.node} for one in (bundle, cautious)]
    assert kinds[1] <= kinds[0] | {"Mul", "Add"}


def test_a_bundle_turns_back_into_the_policy_with_its_knob(knobbed: Policy, cautious: Bundle) -> None:
    restored = restored_policy(cautious)
    assert restored.contract == knobbed.contract
    assert all(torch.equal(restored.state_dict()[name], value) for name, value in knobbed.state_dict().items())


def test_half_precision_keeps_the_knob(cautious: Bundle, observations: Observations) -> None:
    half = open_bundle(convert(cautious, "fp16"))
    assert half.contract == cautious.contract
    (row,) = observations(cautious.contract, steps=1, batch=2, seed=8)
    said = [
        open_engine(one).run(one.contract.feed(turned, one.initial_state(2)))["logits"]
        for one in (half, cautious)
        for turned in _turned([row], 1.0)
    ]
    np.testing.assert_allclose(said[0], said[1], atol=0.05)
