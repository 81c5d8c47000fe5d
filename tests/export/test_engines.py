from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from phonotaxis.configs.contract import Contract
from phonotaxis.export.bundle import Bundle, open_bundle, seal
from phonotaxis.export.engines import ENGINES, DeadlineError, EngineError, onnx_runtime, open_engine
from phonotaxis.export.engines.buffers import aligned
from phonotaxis.export.engines.check import check_tensors, zero_inputs
from phonotaxis.export.engines.cpu import cpu_fingerprint


def _inputs(bundle: Bundle, batch: int = 1) -> dict[str, np.ndarray]:
    return zero_inputs(bundle.contract.inputs(), batch)


def test_runs_what_the_graph_says(tiny_bundle: Bundle, engine_name: str) -> None:
    engine = open_engine(tiny_bundle, engine_name)
    inputs = _inputs(tiny_bundle, batch=2)
    inputs["motion"][:] = [[0.1, 0.4, 0.4, 0.2, 0, 0], [0.9, 0.1, 0, 0, 0, 0]]
    inputs["state_in"][:] = 1.0
    outputs = engine.run(inputs)
    assert list(outputs) == [spec.name for spec in tiny_bundle.contract.outputs()]
    assert outputs["action"].tolist() == [1, 0]  # a tie goes to the lowest index
    assert outputs["action"].dtype == np.int64
    np.testing.assert_array_equal(outputs["state_out"], 1.0 + inputs["motion"][:, :4])


def test_outputs_outlive_the_next_run(tiny_bundle: Bundle, engine_name: str) -> None:
    engine = open_engine(tiny_bundle, engine_name)
    first = engine.run(_inputs(tiny_bundle))
    kept = first["state_out"].copy()
    inputs = _inputs(tiny_bundle)
    inputs["state_in"][:] = 5.0
    engine.run(inputs)
    np.testing.assert_array_equal(first["state_out"], kept)


def test_fingerprint_names_what_the_bits_depend_on(tiny_bundle: Bundle) -> None:
    fingerprint = open_engine(tiny_bundle, threads=1).fingerprint
    assert fingerprint["engine"] == "onnxruntime"
    assert fingerprint["threads"] == 1
    assert {"version", "provider", "optimisation", "machine", "cpu_features_sha256"} <= set(fingerprint)
    assert open_engine(tiny_bundle).fingerprint == fingerprint
    assert open_engine(tiny_bundle, threads=2).fingerprint != fingerprint


def test_cpu_fingerprint_reads_both_spellings(tmp_path: Path) -> None:
    x86, arm = tmp_path / "x86", tmp_path / "arm"
    x86.write_text("processor : 0\nflags\t\t: fpu avx2 sse\n")
    arm.write_text("processor : 0\nFeatures\t: fp asimd\n")
    assert cpu_fingerprint(x86)["avx2"] == 1
    assert cpu_fingerprint(x86)["asimd"] == 0
    assert cpu_fingerprint(arm)["asimd"] == 1
    assert cpu_fingerprint(arm)["cpu_features_sha256"] != cpu_fingerprint(x86)["cpu_features_sha256"]
    x86.write_text("flags : sse fpu avx2\n")  # order doesn't matter
    again = cpu_fingerprint(x86)
    x86.write_text("flags : fpu avx2 sse\n")
    assert cpu_fingerprint(x86) == again
    assert cpu_fingerprint(tmp_path / "absent")["avx2"] == 0


def test_bad_inputs_are_named(tiny_bundle: Bundle) -> None:
    engine = open_engine(tiny_bundle)
    good = _inputs(tiny_bundle)
    for change, match in (
        ({"audio": good["audio"][:, :3]}, r"'audio': expected shape \[1, 4, 4000\], got \[1, 3, 4000\]"),
        ({"audio": good["audio"].astype(np.float64)}, "'audio': expected float32, got float64"),
        ({"audio": good["audio"].tolist()}, "'audio': expected float32, got list"),
        ({"depth": np.full_like(good["depth"], np.nan)}, "'depth' holds values that are not finite"),
        ({"motion": np.zeros((2, 6), np.float32)}, "'motion'"),
        ({"depth": good["depth"][0]}, "'depth'"),
        ({"sound": good["audio"]}, "unknown inputs"),
    ):
        with pytest.raises(EngineError, match=match):
            engine.run({**good, **change})
    del good["state_in"]
    with pytest.raises(EngineError, match="'state_in' is absent"):
        engine.run(good)
    with pytest.raises(EngineError, match="'audio'"):
        engine.run(_inputs(tiny_bundle, batch=0))


def test_outputs_that_are_not_finite_are_refused(tiny_bundle: Bundle) -> None:
    engine = open_engine(tiny_bundle)
    inputs = _inputs(tiny_bundle)
    inputs["state_in"][:] = np.finfo(np.float32).max
    inputs["motion"][:] = np.finfo(np.float32).max
    with pytest.raises(EngineError, match="output 'state_out'"):
        engine.run(inputs)


def test_unknown_engine_and_threads(tiny_bundle: Bundle) -> None:
    with pytest.raises(EngineError, match="did you mean 'onnxruntime'"):
        open_engine(tiny_bundle, "onnx-runtime")
    with pytest.raises(EngineError, match=r"1\.\.256, got 0"):
        open_engine(tiny_bundle, threads=0)


def test_an_engine_that_is_not_installed(tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ENGINES, "absent", "phonotaxis_absent.engine:Engine")
    with pytest.raises(EngineError, match="pip install"):
        open_engine(tiny_bundle, "absent")


def test_a_model_that_the_engine_refuses(contract: Contract, model: onnx.ModelProto) -> None:
    model.graph.node[0].op_type = "Conv"  # which takes no indices
    bundle = open_bundle(seal(model.SerializeToString(), contract, {}))
    with pytest.raises(EngineError, match="can't load"):
        open_engine(bundle)


def _folded(elements: int, path: Path) -> bool:
    """Say whether a session makes a tensor of so many equal float32 while it opens, rather than in a step."""
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [None]) for name in "xy")
    constants = {"zero": np.zeros(1, np.float32), "size": np.array([elements])}
    nodes = [helper.make_node("Expand", ["zero", "size"], ["many"]), helper.make_node("Mul", ["many", "x"], ["y"])]
    graph = helper.make_graph(nodes, "g", [x], [y], [numpy_helper.from_array(v, k) for k, v in constants.items()])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    options = onnx_runtime._options(1)
    options.optimized_model_filepath = str(path)
    onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return all(node.op_type != "Expand" for node in onnx.load(path).graph.node)


@pytest.mark.skipif(tuple(map(int, onnxruntime.__version__.split(".")[:2])) < (1, 27), reason="knows no such bound")
def test_what_is_made_of_constants_while_opening_is_bounded(tmp_path: Path) -> None:
    assert _folded(1000, tmp_path / "small.onnx")
    assert not _folded(onnx_runtime.FOLDED_BYTES // 4 + 1, tmp_path / "large.onnx")


@pytest.mark.parametrize("name", ["onnxruntime.InferenceSession", "phonotaxis.export.engines.onnx_runtime.Buffers"])
def test_too_little_memory_is_an_engines_error(tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    def none_left(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr(name, none_left)
    with pytest.raises(EngineError, match="MemoryError"):
        open_engine(tiny_bundle)


def test_same_bits_when_opened_again(bundle: Bundle) -> None:
    engine = open_engine(bundle)
    rng = np.random.default_rng(0)
    inputs = {
        spec.name: rng.uniform(-0.5, 0.5, (4, *spec.shape)).astype(np.float32) for spec in bundle.contract.inputs()
    }
    together = engine.run(inputs)
    for row in range(4):
        alone = engine.run({name: value[row : row + 1] for name, value in inputs.items()})
        np.testing.assert_allclose(alone["logits"][0], together["logits"][row], atol=1e-5, rtol=0)
    again = open_engine(bundle).run(inputs)
    for name, value in together.items():
        assert value.tobytes() == again[name].tobytes()


def test_a_missed_deadline_ends_the_step(bundle: Bundle) -> None:
    """A step of a thousand rows takes longer than a millisecond, and the engine is of use afterwards."""
    engine = open_engine(bundle, deadline_s=1e-3)
    with pytest.raises(DeadlineError, match=r"deadline is 0\.001 s"):
        engine.run(_inputs(bundle, batch=1000))
    assert open_engine(bundle, deadline_s=60.0).run(_inputs(bundle, batch=2))["action"].shape == (2,)


def test_a_first_step_that_lasts_is_ended(
    model: onnx.ModelProto, contract: Contract, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A chain of products that takes seconds stops where it is when the warm-up's deadline has passed."""
    monkeypatch.setattr(onnx_runtime, "WARM_UP_S", 0.1)
    sides = [numpy_helper.from_array(np.array(shape), name) for name, shape in (("wide", [16, 1000]), ("all", [1]))]
    nodes = [
        helper.make_node("Reshape", ["audio", "wide"], ["rows"]),
        helper.make_node("Transpose", ["rows"], ["columns"], perm=[1, 0]),
        helper.make_node("MatMul", ["columns", "rows"], ["product0"]),
        *(helper.make_node("MatMul", [f"product{n}", "product0"], [f"product{n + 1}"]) for n in range(99)),
        helper.make_node("ReduceSum", ["product99"], ["sum"], keepdims=0),
        helper.make_node("Reshape", ["sum", "all"], ["one"]),
    ]
    head = next(node for node in model.graph.node if node.output[0] == "value")
    head.output[0] = "value_alone"
    nodes.append(helper.make_node("Add", ["value_alone", "one"], ["value"]))
    kept = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend([*kept, *nodes])
    model.graph.initializer.extend(sides)
    lasting = open_bundle(seal(model.SerializeToString(), contract, {}))
    with pytest.raises(DeadlineError, match=r"deadline is 0\.1 s") as told:
        open_engine(lasting)
    assert "terminate" in str(told.value.__context__)


def test_bad_deadlines(tiny_bundle: Bundle) -> None:
    for deadline_s in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(EngineError, match="deadline_s must lie in"):
            open_engine(tiny_bundle, deadline_s=deadline_s)


def test_buffers_of_many_batch_sizes(tiny_bundle: Bundle) -> None:
    """Sizes come and go; each gives the same as the first time."""
    engine = open_engine(tiny_bundle)
    for batch in (1, 2, 3, 4, 5, 6, 1, 2):
        inputs = _inputs(tiny_bundle, batch)
        inputs["state_in"][:] = np.arange(batch, dtype=np.float32)[:, None]
        np.testing.assert_array_equal(engine.run(inputs)["state_out"], inputs["state_in"])


def test_buffers_are_aligned_and_apart() -> None:
    arrays = [aligned((3, 5), np.dtype(np.float32)) for _ in range(8)]
    assert all(array.ctypes.data % 64 == 0 for array in arrays)
    assert all(not np.shares_memory(a, b) for a in arrays for b in arrays if a is not b)


@pytest.mark.parametrize("action", [-1, 4])
def test_an_action_that_there_is_not_is_an_error(tiny_bundle: Bundle, action: int) -> None:
    outputs = zero_inputs(tiny_bundle.contract.outputs())
    assert check_tensors(outputs, tiny_bundle.contract.outputs(), "output") == 1
    outputs["action"][0] = action
    with pytest.raises(EngineError, match=rf"output 'action' is \[{action}\]; expected 0 to 3"):
        check_tensors(outputs, tiny_bundle.contract.outputs(), "output")
