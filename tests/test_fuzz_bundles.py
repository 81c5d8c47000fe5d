"""Mutated bundles, metadata and plans: clear errors, no crash, no hang, bounded memory."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType

import pytest

COUNT = 20_000


@pytest.fixture(scope="module")
def tool(repository: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("fuzz_bundles", repository / "tools/fuzz_bundles.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["fuzz_bundles"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def base(repository: Path) -> bytes:
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
    return seal(module.tiny_model(contract).SerializeToString(), contract, {"commit": "abc"})


@pytest.mark.timeout(1500)
def test_twenty_thousand_mutations(tool: ModuleType, base: bytes) -> None:
    found = tool.fuzz(base, COUNT)
    assert found.findings == []
    assert sum(found.outcomes.values()) == COUNT
    # Each stage was reached: reading, the engine, plans, and policies that run all the same.
    assert {"refused when read", "refused by the engine", "plan refused", "runs"} <= set(found.outcomes)
    assert found.memory_mb < 1500
    assert found.slowest_s < tool.HANG_S


def test_a_crash_and_a_wrong_error_are_found(tool: ModuleType, base: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    def planted(data: bytes, seed: int) -> str:
        if seed == 2:
            os.abort()
        if seed == 4:
            raise KeyError("unexpected")
        return "runs"

    monkeypatch.setattr(tool, "attempt", planted)
    found = tool.fuzz(base, 6)
    assert found.outcomes["runs"] == 4
    assert "seed 2: the process died or hung" in found.findings[0]
    assert "seed 4: KeyError" in found.findings[1]
