from __future__ import annotations

import numpy as np
import onnx
import pytest
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from phonotaxis.export import scan
from phonotaxis.export.scan import ScanError, TruncatedError, scan_model


def test_reads_what_onnx_reads(model: onnx.ModelProto) -> None:
    model.metadata_props.add(key="a", value="ü")
    data = model.SerializeToString()
    found = scan_model(data)
    assert [port.name for port in found.inputs] == [value.name for value in model.graph.input]
    assert found.inputs[0].dims == ("batch", 4, 4000)
    assert [port.dtype for port in found.outputs][:2] == ["int64", "float32"]
    assert found.metadata == {"a": "ü"}
    first, last = found.value_span["a"]
    assert data[first:last].decode() == "ü"
    assert found.opset == 18
    assert found.nodes == 6
    assert found.operators == {"Gather", "ArgMax", "Add"}


def test_refuses_what_is_not_onnx() -> None:
    with pytest.raises(ScanError, match="empty"):
        scan_model(b"")
    with pytest.raises(ScanError, match="not ONNX"):
        scan_model(b"\x00\x00\x00")
    for junk in (b"RIFF....WAVEfmt ", b"<!doctype html><html></html>", b"PK\x03\x04" * 50, bytes(range(256))):
        with pytest.raises(ScanError):
            scan_model(junk)


def test_refuses_too_large(monkeypatch: pytest.MonkeyPatch, model: onnx.ModelProto) -> None:
    monkeypatch.setattr(scan, "MAX_BYTES", 100)
    with pytest.raises(ScanError, match="over the bound of 100"):
        scan_model(model.SerializeToString())


def test_bounds_the_number_of_fields(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan, "MAX_FIELDS", 1000)
    with pytest.raises(ScanError, match="more than 1000 fields"):
        scan_model(b"\x08\x01" * 5000)
    packed = helper.make_tensor("t", TensorProto.FLOAT, [1] * 5000, np.zeros(1, np.float32))
    with pytest.raises(ScanError, match="more than 1000 fields"):
        scan_model(onnx.ModelProto(graph=onnx.GraphProto(initializer=[packed])).SerializeToString())


def test_refuses_custom_domains(model: onnx.ModelProto) -> None:
    model.opset_import.add(domain="com.evil", version=1)
    with pytest.raises(ScanError, match="opset_import names the operator domain 'com.evil'"):
        scan_model(model.SerializeToString())
    del model.opset_import[1]
    model.graph.node[0].domain = "com.evil"
    with pytest.raises(ScanError, match="a node names the operator domain 'com.evil'"):
        scan_model(model.SerializeToString())


def test_refuses_custom_domains_in_subgraphs(model: onnx.ModelProto, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan, "OPERATORS", scan.OPERATORS | {"If", "Boom"})
    inner = helper.make_graph([helper.make_node("Boom", [], ["x"], domain="com.evil")], "inner", [], [])
    model.graph.node.append(helper.make_node("If", ["c"], ["y"], then_branch=inner, else_branch=inner))
    with pytest.raises(ScanError, match=r"com\.evil"):
        scan_model(model.SerializeToString())


def test_bounds_nesting(model: onnx.ModelProto, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan, "OPERATORS", scan.OPERATORS | {"If"})
    graph = helper.make_graph([], "leaf", [], [])
    for _ in range(scan.MAX_GRAPH_DEPTH):
        graph = helper.make_graph([helper.make_node("If", ["c"], ["y"], then_branch=graph)], "g", [], [])
    model.graph.node.append(helper.make_node("If", ["c"], ["y"], then_branch=graph))
    with pytest.raises(ScanError, match="nest deeper"):
        scan_model(model.SerializeToString())


@pytest.mark.parametrize("where", ["initializer", "attribute"])
def test_refuses_external_data(model: onnx.ModelProto, where: str) -> None:
    tensor = numpy_helper.from_array(np.zeros(3, np.float32), "w")
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")
    if where == "initializer":
        model.graph.initializer.append(tensor)
    else:
        model.graph.node.append(helper.make_node("Constant", [], ["w"], value=tensor))
    with pytest.raises(ScanError, match="another file"):
        scan_model(model.SerializeToString())


@pytest.mark.parametrize(
    "name", ["If", "Loop", "Scan", "RandomNormal", "ConstantOfShape", "StringNormalizer", "relu", ""]
)
def test_refuses_all_but_arithmetic(model: onnx.ModelProto, name: str) -> None:
    model.graph.node[0].op_type = name
    with pytest.raises(ScanError, match=f"a node is a '{name}'; only arithmetic on tensors is run"):
        scan_model(model.SerializeToString())


def test_refuses_functions_and_training(model: onnx.ModelProto) -> None:
    model.functions.add(name="f")
    with pytest.raises(ScanError, match="model-local functions"):
        scan_model(model.SerializeToString())
    del model.functions[:]
    model.training_info.add()
    with pytest.raises(ScanError, match="training graph"):
        scan_model(model.SerializeToString())


@pytest.mark.parametrize("dims", [[2**40, 2**40], [2**62] * 300, [2**62] * 200_000])
def test_refuses_enormous_tensors(model: onnx.ModelProto, dims: list[int]) -> None:
    """However many their sides: the product of a million would take hours, and Python prints no such number."""
    model.graph.initializer.add(dims=dims, data_type=TensorProto.FLOAT)
    with pytest.raises(ScanError, match="over the bound"):
        scan_model(model.SerializeToString())


@pytest.mark.parametrize("where", ["initializer", "attribute", "list"])
def test_refuses_sparse_tensors(model: onnx.ModelProto, where: str) -> None:
    """A few bytes that a runtime makes a dense tensor of, of whatever size they name."""
    values, indices = numpy_helper.from_array(np.ones(1, np.float32), "s"), numpy_helper.from_array(np.zeros(1, "i8"))
    sparse = helper.make_sparse_tensor(values, indices, [2**31])
    if where == "initializer":
        model.graph.sparse_initializer.append(sparse)
    else:
        node = model.graph.node.add(op_type="Constant", output=["s"])
        attribute = node.attribute.add(name="sparse_value")
        (attribute.sparse_tensor if where == "attribute" else attribute.sparse_tensors.add()).CopyFrom(sparse)
    with pytest.raises(ScanError, match="holds a sparse tensor"):
        scan_model(model.SerializeToString())


def test_two_graphs_would_be_merged_by_a_parser(model: onnx.ModelProto) -> None:
    data = model.SerializeToString()
    with pytest.raises(ScanError, match="2 graphs"):
        scan_model(data + data)


def test_a_cut_is_known_as_such(model: onnx.ModelProto) -> None:
    data = model.SerializeToString()
    with pytest.raises(TruncatedError):
        scan_model(data[: len(data) // 2])


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_answered(data: bytes) -> None:
    """Nothing but its own error comes out, whatever goes in."""
    try:
        found = scan_model(data)
    except ScanError:
        return
    assert found.opset


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_agrees_with_a_parser_on_damaged_files(data: st.DataObject) -> None:
    """What passes, means to a protobuf parser what was scanned: neither sees another graph."""
    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 3])],
    )
    content = bytearray(helper.make_model(graph).SerializeToString())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = scan_model(bytes(content))
        model = onnx.load_from_string(bytes(content))
    except (ScanError, DecodeError):
        return
    assert [port.name for port in found.inputs] == [value.name for value in model.graph.input]
    assert [port.name for port in found.outputs] == [value.name for value in model.graph.output]
    assert found.nodes == len(model.graph.node)
    assert found.operators == {node.op_type for node in model.graph.node if node.HasField("op_type")}
    assert all(node.domain in scan.STANDARD_DOMAINS for node in model.graph.node)
    assert not any(tensor.external_data or tensor.data_location for tensor in model.graph.initializer)
