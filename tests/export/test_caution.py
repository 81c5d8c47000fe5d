"""The knob in the exported graph: an input like any other, in every engine and precision."""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import onnx
import pytest
import torch

from phonotaxis.export.bundle import Bundle, open_bundle
from phonotaxis.export.calibrate import Calibration
from phonotaxis.export.check import knob_ends, verdicts
from phonotaxis.export.engines import open_engine
from phonotaxis.export.onnx import export_policy
from phonotaxis.export.openloop import OpenLoop, torch_step
from phonotaxis.export.parity import compare
from phonotaxis.export.precision import activations, bare_model, convert, eight_bit_products
from phonotaxis.export.weights import restored_policy
from phonotaxis.policies.policy import Policy
from phonotaxis.policies.prefer import with_knob

EIGHT_BITS = 0.05  # of logits: they differ by up to 0.017 here, and by 3 where the head is left out
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


@pytest.fixture(scope="module")
def ranges(cautious: Bundle, observations: Observations) -> dict[str, float]:
    calibration = Calibration(cautious, rows=3)
    for row in observations(cautious.contract, steps=12, batch=3, seed=5):
        calibration.add({name: value for name, value in row.items() if name != "caution"}, np.arange(3))
    return calibration.ranges()


@pytest.mark.parametrize("caution", [0.0, 1.0])
def test_eight_bits_keep_the_knob(
    bundle: Bundle, cautious: Bundle, ranges: dict[str, float], observations: Observations, caution: float
) -> None:
    """Turned down the head says nothing, so eight bits say what they say without one; turned up they say the sum."""
    plain_ranges = {name: ranges[name] for name in ranges if name in activations(bare_model(bundle))}
    eight, plain = open_bundle(convert(cautious, "int8", ranges)), open_bundle(convert(bundle, "int8", plain_ranges))
    own = [node.input[1] for node in eight_bit_products(bare_model(cautious)) if "caution" in node.input[1]]
    assert own == ["weight.caution.added.0.weight.T"] or own == ["weight.caution.added.0.weight"]
    assert eight.contract == cautious.contract
    state, full_state, plain_state = (one.initial_state(3) for one in (eight, cautious, plain))
    engines = [open_engine(one) for one in (eight, cautious, plain)]
    moved = 0.0
    for row in observations(cautious.contract, steps=12, batch=3, seed=6):
        (turned,) = _turned([row], caution)
        said = engines[0].run(eight.contract.feed(turned, state))
        full = engines[1].run(cautious.contract.feed(turned, full_state))
        without = engines[2].run(plain.contract.feed(row, plain_state))
        np.testing.assert_allclose(said["logits"], full["logits"], atol=EIGHT_BITS)
        moved = max(moved, float(np.abs(said["logits"] - without["logits"]).max()))
        state, full_state, plain_state = said["state_out"], full["state_out"], without["state_out"]
    assert (moved > 0.5) == (caution == 1.0)
    assert caution == 1.0 or moved == 0.0


def test_a_head_that_differs_shows_where_the_knob_is_turned_up(
    knobbed: Policy, cautious: Bundle, observations: Observations
) -> None:
    other = copy.deepcopy(knobbed)
    assert other.caution is not None
    with torch.no_grad():
        other.caution.added[-1].bias[2] += 5.0
    precisions = {"fp32": cautious, "fp16": open_bundle(convert(cautious, "fp16"))}
    engines = {name: open_engine(one).run for name, one in precisions.items()}
    found = {}
    assert knob_ends(cautious) == (0.0, 1.0)
    for caution in knob_ends(cautious):
        for name, network in (("same", knobbed), ("other", other)):
            loop = OpenLoop(cautious.contract, torch_step(network), engines, episodes=2, caution=caution)
            for row in observations(cautious.contract, steps=10, batch=2, seed=3):
                shown = {key: value for key, value in row.items() if key != "caution"}
                loop.add(shown, np.arange(2))
            found[name, caution] = verdicts(loop.reports)
            assert loop.reports["fp32"].frames == 20
    for caution in (0.0, 1.0):
        assert found["same", caution]["fp32"].accepted
        assert found["same", caution]["fp16"].report.largest["logits"] < 0.05
    assert found["other", 0.0]["fp32"].accepted
    assert "logits differ by 5" in found["other", 1.0]["fp32"].reasons[0]
