"""The knob in the loop: what `hil --caution` hands to the robot's process and to the simulator alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from phonotaxis import cli
from phonotaxis.deploy import runtime
from phonotaxis.hil import fault_runs, paired
from phonotaxis.hil.loop import HilError, robot_command


@pytest.fixture
def handed(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Collect the caution that each side gets; the loop's first episode doesn't begin."""
    found: list[Any] = []

    def simulate(task: Any, bundle: Any, seeds: list[int], library: Any, caution: float = 0.0) -> list[bool]:
        found.append(("simulator", caution))
        return [True] * len(seeds)

    def run_episode(
        world: Any, policy: Path, episodes: Path, seconds: float, script: Any = None, goal: Any = None,
        device_rate_hz: int | None = None, caution: float | None = None,
    ) -> None:  # fmt: skip
        found.append(("robot", caution))
        raise HilError("enough is seen")

    monkeypatch.setattr(paired, "simulate", simulate)
    for module in (paired, fault_runs):
        monkeypatch.setattr(module, "run_episode", run_episode)
        monkeypatch.setattr(module, "WorldRobot", lambda task, seed, library: SimpleNamespace(goal=""))
    return found


@pytest.fixture
def hil(toy: SimpleNamespace, tmp_path: Path) -> Callable[..., int]:
    def run(*words: str, knob: bool = True) -> int:
        bundle = toy.bundle(tmp_path / "toy.onnx", toy.contract(caution=knob))
        task = tmp_path / "task.yaml"
        task.write_text("camera: {width: 32, height: 32, fx: 16, fy: 16, cx: 16, cy: 16}\n")
        count = [] if {"--faults", "--sync"} & set(words) else ["--episodes", "1"]
        return cli.run(["hil", str(bundle.path), *count, "--task", str(task), "--out", str(tmp_path / "hil"), *words])

    return run


def test_both_sides_get_the_knob_as_it_was_turned(hil: Callable[..., int], handed: list[Any]) -> None:
    assert hil("--caution", "0.7") == 1
    assert handed == [("simulator", 0.7), ("robot", 0.7)]
    handed.clear()
    assert hil("--caution", "0.7", "--faults", "--only", "camera_gone") == 1
    assert handed == [("robot", 0.7)]


def test_where_nobody_says_a_word_the_robot_is_told_none(hil: Callable[..., int], handed: list[Any]) -> None:
    assert hil(knob=False) == 1
    assert handed == [("simulator", 0.0), ("robot", None)]


@pytest.mark.parametrize("words", [[], ["--faults"]])
def test_what_cant_be_turned_is_refused_before_anything_runs(
    hil: Callable[..., int], handed: list[Any], words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert hil("--caution", "0.5", *words, knob=False) == 1
    assert "no caution to turn" in capsys.readouterr().err
    assert hil("--caution", "1.5", *words) == 1
    assert "between 0 and 1, got 1.5" in capsys.readouterr().err
    assert hil("--caution", "0.5", "--sync") == 1
    assert "leave POLICY, --caution, --task and --out out" in capsys.readouterr().err
    assert handed == []


@pytest.mark.parametrize("caution", [None, 0.0, 0.1 + 0.2])
def test_the_robots_process_reads_the_same_number(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caution: float | None
) -> None:
    command = robot_command(tmp_path / "r.yaml", tmp_path / "p.onnx", tmp_path / "log", 70.0, "the phone", caution)
    given: dict[str, Any] = {}

    def run(robot: Any, policy: Path, episodes: Path, seconds: float, **options: Any) -> None:
        given.update(options, policy=policy, episodes=episodes, seconds=seconds)
        raise KeyboardInterrupt

    monkeypatch.setattr(runtime, "run", run)
    monkeypatch.setattr(runtime, "load_robot", lambda name, socket: name)
    monkeypatch.setattr(runtime, "go_first", lambda: None)
    monkeypatch.setattr(runtime, "take_interrupts", lambda: None)
    assert command[1:3] == ["-m", "phonotaxis.deploy.runtime"]
    assert runtime.main(command[3:]) == 130
    assert given["caution"] == caution  # to the bit
    assert (given["goal"], given["seconds"], given["policy"]) == ("the phone", 70.0, tmp_path / "p.onnx")
