"""The soak: a small one finds nothing, and what it looks for is found where it is planted."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from phonotaxis.envs.outcome import Outcome
from phonotaxis.envs.world import World


@pytest.fixture(scope="module")
def soak(repository: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("soak", repository / "tools" / "soak.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["soak"] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.timeout(1200)  # a minute on a quiet machine
def test_a_small_soak_finds_nothing(soak: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    """Twenty thousand steps through a hundred apartments, of which twelve are kept."""
    assert soak.main(["--steps", "20000", "--scenes", "100", "--worlds", "8"]) == 0
    out = capsys.readouterr().out
    assert out.count(" steps ") == soak.REPORTS
    assert int(out.rsplit("MiB; ")[-1].split()[0]) > 90  # scenes visited


@pytest.fixture
def world(soak: ModuleType) -> World:
    world = World(soak.soak_task(1).model_copy(update={"response_s": 0.1}), 2)
    world.begin(np.arange(2), np.arange(2))
    soak.check_begin(world, np.arange(2))
    return world


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("audio", np.nan, "audio: a value that isn't finite: apartment:0, episode 1, step 0, pose"),
        ("audio", 1.5, "audio: a sample beyond full scale"),
        ("depth", -0.1, "depth: a negative distance"),
        ("motion", np.inf, "motion: a value that isn't finite"),
    ],
)
def test_a_wrong_observation_is_a_fault(soak: ModuleType, world: World, name: str, value: float, message: str) -> None:
    outcome = Outcome(np.zeros(2, np.float32), np.zeros(2, np.bool_), np.zeros(2, np.bool_), {})
    soak.check_step(world, outcome)
    world.observation[name][1].flat[3] = value
    with pytest.raises(soak.Fault, match=message):
        soak.check_step(world, outcome)


def test_a_start_without_a_way_is_a_fault(soak: ModuleType, world: World) -> None:
    world.pose[0, :2] = 1000.0
    with pytest.raises(soak.Fault, match="no way to the source: apartment:0, episode 0"):
        soak.check_begin(world, np.array([0]))


def test_clipping_that_nothing_marks_is_a_fault(soak: ModuleType) -> None:
    sound = np.zeros((2, 1, 5), np.float32)
    sound[1, 0, 2] = -1.5
    codes, marks = np.clip(sound * 32768, -32768, 32767).astype(np.int16), np.array([0, 1])
    soak.check_clipping(sound, codes, marks)
    with pytest.raises(soak.Fault, match="not marked as clipped"):
        soak.check_clipping(sound, codes, np.array([1, 0]))
    with pytest.raises(soak.Fault, match="came out of the converter under it"):
        soak.check_clipping(sound, codes // 2, marks)
    sound[0] = np.nan
    with pytest.raises(soak.Fault, match="isn't finite"):
        soak.check_clipping(sound, codes, marks)


def test_memory_that_grows_is_a_fault(soak: ModuleType) -> None:
    flat = soak.Account(clipped_hops=1, resident_mib=[*range(40), *[40.0] * 60])
    assert soak.verdict(flat) == []
    leak = soak.Account(clipped_hops=1, resident_mib=[2.0 * k for k in range(100)])
    assert leak.growth_mib == pytest.approx(80.0)
    assert soak.verdict(leak) == ["memory grew by 80.0 MiB after the warm-up, more than 48"]


def test_a_fault_ends_the_soak_with_its_code(
    soak: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def found(*_: object) -> None:
        raise soak.Fault("planted")

    monkeypatch.setattr(soak, "check_step", found)
    assert soak.main(["--steps", "8", "--scenes", "1", "--worlds", "1"]) == 1
    assert capsys.readouterr().err == "FAULT planted\n"
