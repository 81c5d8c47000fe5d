"""Exported policies before NVIDIA's own parser and builder, for devices that aren't there."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import onnx

from phonotaxis.configs.contract import Contract
from phonotaxis.export.bundle import Bundle, seal


def build(tensorrt_tools: Path, *bundles: Path) -> dict[str, Any]:
    script = Path(__file__).with_name("rtx_build.py")
    command = [sys.executable, str(script), str(tensorrt_tools / "rtx"), *map(str, bundles)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=280)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_fp32_parses_and_builds(tensorrt_tools: Path, bundle: Bundle) -> None:
    found = build(tensorrt_tools, bundle.path)[str(bundle.path)]
    assert "error" not in found, found
    assert found["unsupported"] == []
    assert found["plan_bytes"] > 100_000
    assert found["half_layers"] == found["int8_layers"] == 0
    expected = {"float32": "FLOAT", "int64": "INT64"}
    assert found["outputs"] == {spec.name: expected[spec.dtype] for spec in bundle.contract.outputs()}
    assert found["told"]
    assert all(line.startswith("TensorRT: ") for line in found["told"])


def test_what_it_refuses_is_named(
    tensorrt_tools: Path, contract: Contract, model: onnx.ModelProto, tmp_path: Path
) -> None:
    """A graph that passes the scan, and whose first operator lacks an input."""
    del model.graph.node[0].input[1:]
    path = tmp_path / "policy.onnx"
    path.write_bytes(seal(model.SerializeToString(), contract, {}))
    found = build(tensorrt_tools, path)[str(path)]
    assert "TensorRT can't read this policy: node 0" in found["error"]
