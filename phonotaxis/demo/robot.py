"""The demo's robot: the runtime in a process of its own, against a simulated robot in another."""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from phonotaxis.configs.robot import simulated_robot
from phonotaxis.configs.task import AudioGoalTask

_READY_S = 180.0  # a slow machine that compiles the simulator anew


class RobotFailed(RuntimeError):
    """The simulated robot or the runtime didn't do its job; the message holds what it said."""


@dataclass(frozen=True)
class RobotDrive:
    """One run of the robot.

    Attributes:
        episode: the episode's file.
        summary: what the runtime said of it, see `deploy.loop.RunSummary`.
        truth: what the simulator knows of each window: pose, bearing, distance.
        seed: of the episode in the simulator.
    """

    episode: Path
    summary: dict[str, Any]
    truth: list[dict[str, Any]]
    seed: int


def drive_simulated_robot(
    task: AudioGoalTask, seed: int, out: Path, longest_s: float, say: Callable[[str], None]
) -> RobotDrive:
    """Run `out/policy.onnx` on an episode of a task, in real time, armed.

    Raises:
        RobotFailed: a process didn't start, or ended badly.
    """
    folder = Path(tempfile.mkdtemp(prefix="phonotaxis-"))  # short and 0700: sockets' paths are limited to 107 bytes
    try:
        return _drive(task, seed, out, folder / "robot.sock", longest_s, say)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _drive(
    task: AudioGoalTask, seed: int, out: Path, socket: Path, longest_s: float, say: Callable[[str], None]
) -> RobotDrive:
    task_file, robot_file, truth_file = out / "robot-task.yaml", out / "robot.yaml", out / "truth.jsonl"
    _write_yaml(task_file, task.model_dump(mode="json"))
    contract = task.contract()
    _write_yaml(robot_file, simulated_robot(contract.array, contract.camera, socket).model_dump(mode="json"))
    simulator = _start(
        "phonotaxis.envs.simulated_robot",
        *("--task", task_file, "--seed", seed, "--socket", socket, "--truth", truth_file),
    )
    try:
        _wait_until_listening(simulator)
        say(f"a simulated robot listens; the runtime drives it in real time, at most {longest_s:.0f} s")
        runtime = _start(
            "phonotaxis.deploy.runtime",
            *("--robot", robot_file, "--policy", out / "policy.onnx", "--episode", out / "episodes"),
            *("--duration", longest_s, "--arm"),
        )
        said, errors = runtime.communicate(timeout=longest_s + _READY_S)
    finally:
        simulator.terminate()
        simulator.communicate(timeout=10.0)
    if runtime.returncode != 0:
        raise RobotFailed(f"the runtime ended with code {runtime.returncode}: {errors.strip()[-400:]}")
    summary = json.loads(said)
    truth = [json.loads(line) for line in truth_file.read_text().splitlines()]
    windows = [fact for fact in truth if fact.get("type") == "window"]
    say(f"{summary['outcome']}: {summary['message']}" if summary["message"] else summary["outcome"])
    say(
        f"{summary['steps']} steps in {summary['seconds']:.1f} s, decided in {summary['decide_ms_mean']:.1f} ms on "
        f"average, {summary['decide_ms_max']:.1f} ms at most; ended {windows[-1]['distance_to_goal_m']:.2f} m away"
    )
    foreign = summary["loaded_modules_forbidden"]
    if foreign:
        raise RobotFailed(f"the runtime had loaded what a robot doesn't have: {', '.join(foreign)}")
    say("its process and the guardian's held no simulator, no torch, no numba, no gymnasium")
    return RobotDrive(Path(summary["episode"]), summary, windows, seed)


def _start(module: str, *arguments: object) -> subprocess.Popen[str]:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", module, *(str(argument) for argument in arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def _wait_until_listening(simulator: subprocess.Popen[str]) -> None:
    assert simulator.stdout is not None
    deadline = time.monotonic() + _READY_S
    while time.monotonic() < deadline and simulator.poll() is None:
        if select.select([simulator.stdout], [], [], 0.2)[0]:
            if "listening" in simulator.stdout.readline():
                return
            break
    simulator.kill()
    errors = simulator.communicate()[1]
    raise RobotFailed(f"the simulated robot didn't start: {errors.strip()[-400:] or 'it said nothing'}")


def _write_yaml(path: Path, data: dict[str, Any]) -> None:
    path.write_text(yaml.safe_dump(data, sort_keys=False), encoding="utf-8")
