from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, numpy_helper

from phonotaxis.configs.training import PolicyConfig
from phonotaxis.export.bundle import Bundle, BundleError, open_bundle
from phonotaxis.export.calibrate import Calibration
from phonotaxis.export.engines import open_engine
from phonotaxis.export.onnx import export_policy
from phonotaxis.export.precision import activations, bare_model, convert, eight_bit_products, products
from phonotaxis.export.weights import WEIGHT, restored_policy
from phonotaxis.policies.policy import Policy

Observations = Callable[..., list[dict[str, np.ndarray]]]


@pytest.fixture(scope="module")
def ranges(bundle: Bundle, observations: Observations) -> dict[str, float]:
    calibration = Calibration(bundle, rows=3)
    for row in observations(bundle.contract, steps=12, batch=3, seed=5):
        calibration.add(row, np.arange(3))
    assert calibration.steps == 36
    return calibration.ranges()


@pytest.fixture(scope="module")
def half(bundle: Bundle) -> Bundle:
    return open_bundle(convert(bundle, "fp16"))


@pytest.fixture(scope="module")
def eight(bundle: Bundle, ranges: dict[str, float]) -> Bundle:
    return open_bundle(convert(bundle, "int8", ranges))


def test_trained_products_but_the_last_are_chosen(bundle: Bundle, policy: Policy) -> None:
    chosen = {node.input[1].removeprefix("weight.").removesuffix(".T") for node in products(bare_model(bundle))}
    matrices = {name for name, value in policy.state_dict().items() if value.ndim > 1}
    assert matrices - chosen == {"heads.action.2.weight", "heads.place.2.weight", "heads.value.weight"}


def test_the_front_end_stays_as_it_is(bundle: Bundle, half: Bundle, eight: Bundle) -> None:
    def constants(one: Bundle) -> dict[str, bytes]:
        tensors = bare_model(one).graph.initializer
        return {t.name: numpy_helper.to_array(t).tobytes() for t in tensors if t.name.startswith("constant.")}

    assert len(constants(bundle)) > 3
    assert constants(bundle) == constants(half) == constants(eight)


def _trained_bytes(bundle: Bundle) -> int:
    weights = [tensor for tensor in bare_model(bundle).graph.initializer if tensor.name.startswith(WEIGHT)]
    return sum(numpy_helper.to_array(tensor).nbytes for tensor in weights)


def test_half_precision_is_in_the_graph(bundle: Bundle, half: Bundle) -> None:
    model = bare_model(half)
    kinds = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    halved = [name for name, kind in kinds.items() if kind == TensorProto.FLOAT16]
    assert len(halved) >= len(products(bare_model(bundle)))
    assert len(bundle.data) - len(half.data) > 0.45 * _trained_bytes(bundle)  # constants of front ends stay single
    assert half.contract == bundle.contract
    assert half.provenance["precision"] == "fp16"
    assert half.provenance["converted_from_sha256"] == bundle.sha256


def test_eight_bits_are_symmetric_and_per_output(bundle: Bundle, eight: Bundle) -> None:
    model = bare_model(eight)
    tensors = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    quantised = [node for node in model.graph.node if node.op_type == "QuantizeLinear"]
    assert len(quantised) == len(activations(bare_model(bundle)))
    assert all(not tensors[node.input[2]].any() for node in quantised)
    weights = [name for name, value in tensors.items() if value.dtype == np.int8 and name.endswith(".int8")]
    assert len(weights) == len(eight_bit_products(bare_model(bundle)))
    assert {"weight.senses.audio.film.weight", "weight.senses.depth.layers.0.weight"} < set(tensors)  # as they were
    original = {tensor.name: numpy_helper.to_array(tensor) for tensor in bare_model(bundle).graph.initializer}
    for name in weights:
        codes, scales = tensors[name].astype(np.float32), tensors[f"{name}.scale"]
        values = original[name.removesuffix(".int8")]
        if values.ndim == 2 and not name.endswith(".T.int8"):  # a Gemm's weight, which became a MatMul's
            values = values.T
        axis = 0 if values.ndim == 4 else 1
        shaped = scales.reshape([-1 if index == axis else 1 for index in range(values.ndim)])
        assert np.abs(codes).max() == 127
        assert (np.abs(codes * shaped - values) <= 0.5001 * shaped).all()
    smaller = sum(original[name.removesuffix(".int8")].nbytes for name in weights)
    assert len(bundle.data) - len(eight.data) > 0.7 * smaller > 0.3 * _trained_bytes(bundle)


@pytest.mark.parametrize(("precision", "bound"), [("fp16", 0.05), ("int8", 0.17)])
def test_decides_nearly_alike(
    request: pytest.FixtureRequest, bundle: Bundle, observations: Observations, precision: str, bound: float
) -> None:
    """The logits span 0.34 over these rows; a wrong graph differs by as much, eight bits by less than half."""
    lower: Bundle = request.getfixturevalue({"fp16": "half", "int8": "eight"}[precision])
    engine, reference = open_engine(lower), open_engine(bundle)
    largest = spread = 0.0
    state = other = bundle.initial_state(3)
    for row in observations(bundle.contract, steps=10, batch=3, seed=0):
        expected, received = reference.run({**row, "state_in": state}), engine.run({**row, "state_in": other})
        state, other = expected["state_out"], received["state_out"]
        largest = max(largest, float(np.abs(expected["logits"] - received["logits"]).max()))
        spread = max(spread, float(np.ptp(expected["logits"])))
    assert 0.0 < largest < bound < spread


def test_attention_and_lanes_of_products_convert_too(bundle: Bundle) -> None:
    torch.manual_seed(0)
    contract = bundle.contract.model_copy(update={"state_shape": ()})
    other = open_bundle(export_policy(Policy(contract, PolicyConfig(fusion="attention", memory_size=24)).eval(), {}))
    ranges = dict.fromkeys(activations(bare_model(other)), 8.0)
    for precision in ("fp16", "int8"):
        converted = open_bundle(convert(other, precision, ranges))
        open_engine(converted)


def test_what_cant_be_converted(bundle: Bundle, half: Bundle, tiny_bundle: Bundle, policy: Policy) -> None:
    assert convert(bundle, "fp32") == bundle.data
    with pytest.raises(BundleError, match="unknown precision 'fp8'"):
        convert(bundle, "fp8")
    with pytest.raises(BundleError, match="is fp16 already"):
        convert(half, "int8", {})
    with pytest.raises(BundleError, match="no trained weights by name"):
        convert(tiny_bundle, "fp16")
    with pytest.raises(BundleError, match="no range was measured"):
        convert(bundle, "int8", {})
    large = copy.deepcopy(policy)
    with torch.no_grad():
        large.mind.moment.weight[0, 0] = 1e5
    with pytest.raises(BundleError, match="holds 100000; half precision ends at 65504"):
        convert(open_bundle(export_policy(large, {})), "fp16")
    with pytest.raises(BundleError, match="no episode to calibrate on"):
        Calibration(bundle, 1).ranges()


def test_a_bundle_is_turned_back_into_its_network(bundle: Bundle, half: Bundle, policy: Policy) -> None:
    restored = restored_policy(bundle).state_dict()
    assert restored.keys() == policy.state_dict().keys()
    assert all(torch.equal(restored[name], value) for name, value in policy.state_dict().items())
    with pytest.raises(BundleError, match="full precision"):
        restored_policy(half)
    other = bundle.contract.front_end.model_copy(update={"weighting": "phase"})
    task = bundle.contract.model_copy(update={"front_end": other})
    assert restored_policy(bundle, task).contract.front_end == bundle.contract.front_end  # what it was trained with


def test_a_bundle_of_another_network_is_refused(bundle: Bundle) -> None:
    from phonotaxis.export.bundle import seal

    model = bare_model(bundle)
    facts = bundle.provenance | {"network": {**bundle.provenance["network"], "audio_size": 64}}
    odd = open_bundle(seal(model.SerializeToString(), bundle.contract, facts))
    with pytest.raises(BundleError, match="doesn't fit this version's network"):
        restored_policy(odd)
    for tensor in model.graph.initializer:
        if tensor.name == "weight.mind.moment.weight":
            tensor.name = "inner"
    for node in model.graph.node:
        node.input[:] = ["inner" if name == "weight.mind.moment.weight" else name for name in node.input]
    nameless = open_bundle(seal(model.SerializeToString(), bundle.contract, bundle.provenance))
    with pytest.raises(BundleError, match=r"'mind\.moment\.weight' is absent"):
        restored_policy(nameless)
    words = bare_model(bundle)
    for tensor in words.graph.initializer:
        if tensor.name == "weight.mind.moment.weight":
            tensor.CopyFrom(onnx.helper.make_tensor(tensor.name, onnx.TensorProto.STRING, [1], [b"loud"]))
    stranger = open_bundle(seal(words.SerializeToString(), bundle.contract, bundle.provenance))
    with pytest.raises(BundleError, match="doesn't fit this version's network"):
        restored_policy(stranger)
