"""Mutated bundles, metadata and plans: clear errors, no crash, no hang, bounded memory.

The tool runs as a program of its own, as its users run it: a worker forked from the tests' process would come with
every library that other tests loaded, and be over its bound of memory before it began.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

COUNT = int(os.environ.get("PHONOTAXIS_FUZZ", "6000"))  # by hand, before a release: 20,000 and more
PLANTED = """
import os
import fuzz_bundles as tool

def planted(data, seed):
    if seed == 2:
        os.abort()
    if seed == 4:
        raise KeyError("unexpected")
    return "runs"

tool.attempt = planted
raise SystemExit(tool.main())
"""


@pytest.fixture(scope="module")
def policy(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a bundle small enough for thousands of mutations."""
    spec = importlib.util.spec_from_file_location("export_conftest", repository / "tests/export/conftest.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    from phonotaxis.configs.array import MicrophoneArray
    from phonotaxis.configs.contract import Contract, discrete_actions
    from phonotaxis.configs.presets import load
    from phonotaxis.export.bundle import seal

    array = load("arrays", "respeaker_usb_v2", MicrophoneArray)
    contract = Contract(task="test", array=array, actions=discrete_actions(0.25, 0.17, 0.25), state_shape=(4,))
    path = tmp_path_factory.mktemp("fuzz") / "policy.onnx"
    path.write_bytes(seal(module.tiny_model(contract).SerializeToString(), contract, {"commit": "abc"}))
    return path


def _fuzz(repository: Path, *arguments: str) -> tuple[int, dict[str, Any]]:
    ended = subprocess.run(
        [sys.executable, *arguments], cwd=repository / "tools", capture_output=True, text=True, check=False
    )
    assert ended.stdout, ended.stderr[-2000:]
    return ended.returncode, json.loads(ended.stdout)


@pytest.mark.timeout(1500)
def test_twenty_thousand_mutations(repository: Path, policy: Path) -> None:
    code, found = _fuzz(repository, "fuzz_bundles.py", str(policy), "--count", str(COUNT))
    assert found["findings"] == []
    assert code == 0
    assert found["mutations"] == COUNT
    # Each stage was reached: reading, the engine, plans, and policies that run all the same.
    assert {"refused when read", "refused by the engine", "plan refused", "runs"} <= set(found["outcomes"])
    assert found["memory_mb"] < 1500
    assert found["slowest_s"] < found["hang_s"]


def test_a_crash_and_a_wrong_error_are_found(repository: Path, policy: Path) -> None:
    code, found = _fuzz(repository, "-c", PLANTED, str(policy), "--count", "6")
    assert code == 1
    assert found["outcomes"]["runs"] == 4
    assert "seed 2: the process died or hung" in found["findings"][0]
    assert "seed 4: KeyError" in found["findings"][1]
