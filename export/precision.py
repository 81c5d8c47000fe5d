"""Half and eight-bit precision, written into the graph: the products with trained weights, and nothing else.

The front ends stay in full precision, as does everything between the products: normalisation, gates, the recurrent
state, which would lose small updates. So do the last layers before the outputs: they are tiny, and in half precision
logits would tie. In eight bits the encoders of sound and sight stay too: their inputs have long tails, which one scale
can't hold, and they are an eighth of the weights (flipped actions fall by half and more). So does the map, whose belief
outlives many steps.

Eight bits follow the scheme that ONNX Runtime and TensorRT both take: QuantizeLinear and DequantizeLinear around each
product, symmetric, int8, one scale for an activation and one for each output of a weight.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from phonotaxis.export.bundle import PRECISION_KEY, Bundle, BundleError, seal
from phonotaxis.export.weights import WEIGHT

PRECISIONS = ("fp32", "fp16", "int8")
_PRODUCTS = ("Gemm", "MatMul", "Conv")
_NOT_IN_EIGHT_BITS = tuple(WEIGHT + part for part in ("senses.audio.", "senses.depth.", "mind.map."))
_FRONT_ENDS = WEIGHT + "front_ends."  # of which one has learnt: they stay in full precision
_HALF_LARGEST = float(np.finfo(np.float16).max)
_STEPS = 127.0  # int8, symmetric: -127..127


def convert(
    bundle: Bundle, precision: str, ranges: Mapping[str, float] | None = None, facts: Mapping[str, Any] | None = None
) -> bytes:
    """Make a bundle of lower precision of one of full precision.

    Args:
        bundle: as `export_policy` wrote it.
        precision: of `PRECISIONS`; fp32 returns the bundle as it is.
        ranges: for int8 the largest absolute value of each of `activations(model)`, see `calibrate`.
        facts: for the provenance, JSON-able: what the ranges come from.

    Returns:
        The new bundle's bytes.

    Raises:
        BundleError: the bundle isn't of full precision, has no trained weights by name, or a weight that the
            precision can't hold; a range is absent.
    """
    if precision not in PRECISIONS:
        raise BundleError(f"unknown precision '{precision}' (known: {', '.join(PRECISIONS)})")
    if bundle.provenance.get(PRECISION_KEY, "fp32") != "fp32":
        raise BundleError(f"{bundle.path}: is {bundle.provenance[PRECISION_KEY]} already; convert the fp32 bundle")
    if precision == "fp32":
        return bundle.data
    model = bare_model(bundle)
    if not products(model):
        raise BundleError(f"{bundle.path}: no trained weights by name in it; export the training again")
    if precision == "fp16":
        _halve(model)
    else:
        _quantise(model, ranges or {})
    onnx.checker.check_model(model, full_check=True)
    own = {PRECISION_KEY: precision, "converted_from_sha256": bundle.sha256}
    provenance = {**bundle.provenance, **(facts or {}), **own}
    return seal(model.SerializeToString(deterministic=True), bundle.contract, provenance)


def bare_model(bundle: Bundle) -> onnx.ModelProto:
    """Return the bundle's graph without our metadata."""
    model = onnx.load_from_string(bundle.data)
    kept = [entry for entry in model.metadata_props if not entry.key.startswith("phonotaxis.")]
    del model.metadata_props[:]
    model.metadata_props.extend(kept)
    return model


def products(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    """List the products with trained weights that another one follows."""
    needed: set[str] = set()  # tensors that a later product depends on
    found = []
    for node in reversed(model.graph.node):
        weighted = node.op_type in _PRODUCTS and len(node.input) > 1 and _may_be_smaller(node.input[1])
        later = bool(needed.intersection(node.output))
        if weighted and later:
            found.append(node)
        if weighted or later:
            needed.update(node.input)
    return found[::-1]


def _may_be_smaller(name: str) -> bool:
    return name.startswith(WEIGHT) and not name.startswith(_FRONT_ENDS)


def eight_bit_products(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    """List those of `products` that eight bits are enough for."""
    return [node for node in products(model) if not node.input[1].startswith(_NOT_IN_EIGHT_BITS)]


def activations(model: onnx.ModelProto) -> list[str]:
    """List the tensors that products in eight bits read, each once."""
    return list(dict.fromkeys(node.input[0] for node in eight_bit_products(model)))


def _halve(model: onnx.ModelProto) -> None:
    graph = model.graph
    weights = {tensor.name: tensor for tensor in graph.initializer}
    chosen = {node.output[0] for node in products(model)}  # a node's one name that is always there
    cast: dict[str, str] = {}
    nodes = []
    for node in graph.node:
        if node.output[0] not in chosen:
            nodes.append(node)
            continue
        for index, name in enumerate(node.input):
            if name not in cast:
                cast[name] = f"{name}.half"
                if name in weights:
                    graph.initializer.append(_half_tensor(weights[name], cast[name]))
                else:
                    nodes.append(helper.make_node("Cast", [name], [cast[name]], to=TensorProto.FLOAT16))
            node.input[index] = cast[name]
        out, node.output[0] = node.output[0], f"{node.output[0]}.half_product"
        nodes += [node, helper.make_node("Cast", [node.output[0]], [out], to=TensorProto.FLOAT)]
    _replace_nodes(graph, nodes)


def _half_tensor(tensor: onnx.TensorProto, name: str) -> onnx.TensorProto:
    values = numpy_helper.to_array(tensor)
    largest = float(np.abs(values).max(initial=0.0))
    if largest > _HALF_LARGEST:
        raise BundleError(f"'{tensor.name}' holds {largest:g}; half precision ends at {_HALF_LARGEST:g}")
    return numpy_helper.from_array(values.astype(np.float16), name)


def _quantise(model: onnx.ModelProto, ranges: Mapping[str, float]) -> None:
    graph = model.graph
    weights = {tensor.name: tensor for tensor in graph.initializer}
    chosen = {node.output[0] for node in eight_bit_products(model)}
    graph.initializer.append(numpy_helper.from_array(np.zeros((), np.int8), "int8.zero"))
    rounded: dict[str, str] = {}
    nodes = []
    for node in graph.node:
        if node.output[0] not in chosen:
            nodes.append(node)
            continue
        source = node.input[0]
        if source not in rounded:
            rounded[source] = f"{source}.int8"
            nodes += _rounding(graph, source, rounded[source], ranges)
        nodes += _product(graph, node, rounded[source], weights[node.input[1]])
    _replace_nodes(graph, nodes)


def _rounding(graph: onnx.GraphProto, source: str, out: str, ranges: Mapping[str, float]) -> list[onnx.NodeProto]:
    if source not in ranges:
        raise BundleError(f"no range was measured for '{source}'; calibrate on this very bundle")
    scale = np.float32(max(ranges[source], 1e-6) / _STEPS)
    graph.initializer.append(numpy_helper.from_array(np.asarray(scale), f"{out}.scale"))
    parameters = [f"{out}.scale", "int8.zero"]
    return [
        helper.make_node("QuantizeLinear", [source, *parameters], [f"{out}.codes"]),
        helper.make_node("DequantizeLinear", [f"{out}.codes", *parameters], [out]),
    ]


def _product(
    graph: onnx.GraphProto, node: onnx.NodeProto, source: str, weight: onnx.TensorProto
) -> list[onnx.NodeProto]:
    """Return a product's nodes; a Gemm becomes a MatMul and an Add, which ONNX Runtime runs in eight bits."""
    values = numpy_helper.to_array(weight)
    attributes = {item.name: helper.get_attribute_value(item) for item in node.attribute}
    gemm = node.op_type == "Gemm"
    scaled = attributes.get("alpha", 1.0) != 1.0 or attributes.get("beta", 1.0) != 1.0
    if gemm and (attributes.get("transA", 0) or scaled):
        raise BundleError(f"'{node.name}' is a Gemm of another form than a linear layer's; expected alpha = beta = 1")
    if gemm and attributes.get("transB", 0):
        values = values.T
    axis = 0 if node.op_type == "Conv" else values.ndim - 1
    others = tuple(index for index in range(values.ndim) if index != axis)
    scales = np.maximum(np.abs(values).max(axis=others), 1e-12).astype(np.float32) / np.float32(_STEPS)
    shaped = scales.reshape([-1 if index == axis else 1 for index in range(values.ndim)])
    codes = np.clip(np.rint(values / shaped), -_STEPS, _STEPS).astype(np.int8)
    name = f"{weight.name}.int8"
    if name not in {tensor.name for tensor in graph.initializer}:
        zeros = np.zeros(len(scales), np.int8)
        for suffix, array in (("", codes), (".scale", scales), (".zero", zeros)):
            graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(array), name + suffix))
    out = f"{node.output[0]}.weight"
    nodes = [helper.make_node("DequantizeLinear", [name, f"{name}.scale", f"{name}.zero"], [out], axis=axis)]
    if not gemm:
        node.input[0], node.input[1] = source, out
        return [*nodes, node]
    bias = list(node.input[2:])
    product = f"{node.output[0]}.product" if bias else node.output[0]
    nodes.append(helper.make_node("MatMul", [source, out], [product], name=node.name))
    return [*nodes, *([helper.make_node("Add", [product, *bias], [node.output[0]])] if bias else [])]


def _replace_nodes(graph: onnx.GraphProto, nodes: list[onnx.NodeProto]) -> None:
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(copies)
    used = {name for node in graph.node for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)
