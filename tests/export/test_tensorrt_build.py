"""Exported policies before NVIDIA's own parser and builder, for devices that aren't there."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import onnx

from phonotaxis.configs.contract import Contract
from phonotaxis.configs.training import PolicyConfig
from phonotaxis.export.bundle import Bundle, read_bundle, seal, write_bundle
from phonotaxis.export.engines import open_engine
from phonotaxis.export.onnx import export_policy
from phonotaxis.export.precision import PRECISIONS, activations, bare_model, convert, products
from phonotaxis.policies.policy import Policy
from phonotaxis.policies.prefer import with_knob


def build(tensorrt_tools: Path, *bundles: Path) -> dict[str, Any]:
    script = Path(__file__).with_name("rtx_build.py")
    command = [sys.executable, str(script), str(tensorrt_tools / "rtx"), *map(str, bundles)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=280)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def check_built(found: dict[str, Any], bundle: Bundle) -> None:
    assert "error" not in found, found
    assert found["unsupported"] == []
    assert found["plan_bytes"] > 100_000
    expected = {"float32": "FLOAT", "int64": "INT64"}
    for kind, specs in (("inputs", bundle.contract.inputs()), ("outputs", bundle.contract.outputs())):
        assert found[kind] == {spec.name: expected[spec.dtype] for spec in specs}
    assert found["told"]
    assert all(line.startswith("TensorRT: ") for line in found["told"])


def test_every_precision_parses_and_builds(tensorrt_tools: Path, bundle: Bundle, tmp_path: Path) -> None:
    ranges = dict.fromkeys(activations(bare_model(bundle)), 8.0)
    paths = {name: tmp_path / f"{name}.onnx" for name in PRECISIONS}
    for name, path in paths.items():
        path.write_bytes(convert(bundle, name, ranges))
    found = build(tensorrt_tools, *paths.values())
    layers = {}
    for name, path in paths.items():
        check_built(found[str(path)], bundle)
        layers[name] = found[str(path)]["half_layers"], found[str(path)]["int8_layers"]
    many = len(products(bare_model(bundle)))
    assert layers["fp32"] == (0, 0)
    assert layers["fp16"][0] >= many
    assert layers["fp16"][1] == 0
    assert layers["int8"][0] == 0
    assert layers["int8"][1] >= len(ranges)  # each activation is quantised; weights may come in eight bits


def test_what_a_policy_leaves_out_and_overlapping_windows_build(
    tensorrt_tools: Path, contract: Contract, tmp_path: Path
) -> None:
    """Deaf and without memory, but with a state: the overlap. All inputs stay in the network."""
    changed = contract.model_copy(update={"window_samples": 6000, "state_shape": ()})
    policy = Policy(changed, PolicyConfig(memory="none", memory_size=24, senses=("depth",))).eval()
    path = tmp_path / "policy.onnx"
    write_bundle(path, export_policy(policy, {}))
    bundle = read_bundle(path)
    open_engine(bundle)
    check_built(build(tensorrt_tools, path)[str(path)], bundle)


def test_a_map_builds(tensorrt_tools: Path, contract: Contract, tmp_path: Path) -> None:
    """Its operators are others than a network's: cells are gathered, and sampled between."""
    policy = Policy(contract, PolicyConfig(memory_size=24, map_cells=8)).eval()
    path = tmp_path / "policy.onnx"
    write_bundle(path, export_policy(policy, {}))
    found = build(tensorrt_tools, path)[str(path)]
    check_built(found, read_bundle(path))
    assert {"GridSample", "GatherElements", "Atan"} <= set(found["operators"])


def test_a_knob_builds(tensorrt_tools: Path, contract: Contract, tmp_path: Path) -> None:
    """It stays an input of the plan, also before it has learnt anything, when all that it scales is zero."""
    policy = with_knob(Policy(contract, PolicyConfig(memory_size=24)).eval())
    path = tmp_path / "policy.onnx"
    write_bundle(path, export_policy(policy, {}))
    bundle = read_bundle(path)
    assert "caution" in {spec.name for spec in bundle.contract.inputs()}
    check_built(build(tensorrt_tools, path)[str(path)], bundle)


def test_what_it_refuses_is_named(
    tensorrt_tools: Path, contract: Contract, model: onnx.ModelProto, tmp_path: Path
) -> None:
    """A graph that passes the scan, and whose first operator lacks an input."""
    del model.graph.node[0].input[1:]
    path = tmp_path / "policy.onnx"
    path.write_bytes(seal(model.SerializeToString(), contract, {}))
    found = build(tensorrt_tools, path)[str(path)]
    assert "TensorRT can't read this policy: node 0" in found["error"]
