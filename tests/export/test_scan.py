from __future__ import annotations

import numpy as np
import onnx
import pytest
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


def test_refuses_custom_domains_in_subgraphs(model: onnx.ModelProto) -> None:
    inner = helper.make_graph([helper.make_node("Boom", [], ["x"], domain="com.evil")], "inner", [], [])
    model.graph.node.append(helper.make_node("If", ["c"], ["y"], then_branch=inner, else_branch=inner))
    with pytest.raises(ScanError, match=r"com\.evil"):
        scan_model(model.SerializeToString())


def test_bounds_nesting(model: onnx.ModelProto) -> None:
    graph = helper.make_graph([], "leaf", [], [])
    for _ in range(scan.MAX_GRAPH_DEPTH):
        graph = helper.make_graph([helper.make_node("If", ["c"], ["y"], then_branch=graph)], "g", [], [])
    model.graph.node.append(helper.make_node("If", ["c"], ["y"], then_branch=graph))
    with pytest.raises(ScanError, match="nest deeper"):
        scan_model(model.SerializeToString())


@pytest.mark.parametrize("where", ["initializer", "attribute", "sparse"])
def test_refuses_external_data(model: onnx.ModelProto, where: str) -> None:
    tensor = numpy_helper.from_array(np.zeros(3, np.float32), "w")
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")
    if where == "initializer":
        model.graph.initializer.append(tensor)
    elif where == "sparse":
        model.graph.sparse_initializer.add().values.CopyFrom(tensor)
    else:
        model.graph.node.append(helper.make_node("Constant", [], ["w"], value=tensor))
    with pytest.raises(ScanError, match="another file"):
        scan_model(model.SerializeToString())


def test_refuses_functions_and_training(model: onnx.ModelProto) -> None:
    model.functions.add(name="f")
    with pytest.raises(ScanError, match="model-local functions"):
        scan_model(model.SerializeToString())
    del model.functions[:]
    model.training_info.add()
    with pytest.raises(ScanError, match="training graph"):
        scan_model(model.SerializeToString())


def test_refuses_enormous_tensors(model: onnx.ModelProto) -> None:
    model.graph.initializer.add(dims=[2**40, 2**40], data_type=TensorProto.FLOAT)
    with pytest.raises(ScanError, match="over the bound"):
        scan_model(model.SerializeToString())


def test_two_graphs_would_be_merged_by_a_parser(model: onnx.ModelProto) -> None:
    data = model.SerializeToString()
    with pytest.raises(ScanError, match="2 graphs"):
        scan_model(data + data)


def test_a_cut_is_known_as_such(model: onnx.ModelProto) -> None:
    data = model.SerializeToString()
    with pytest.raises(TruncatedError):
        scan_model(data[: len(data) // 2])
