"""Things that go wrong, done for real in the loop, and when the wheels stood by the board's own time stamps."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from phonotaxis.configs.task import AudioGoalTask
from phonotaxis.deploy.episode_reader import read_episode
from phonotaxis.envs.library import Library
from phonotaxis.envs.simulated_world import WorldRobot
from phonotaxis.export.bundle import Bundle
from phonotaxis.figures import Figure
from phonotaxis.hil.loop import DEAD_MAN_MS, HilEpisode, Running, run_episode

MOVING_S = 20.0
STANDING_NS = 400_000_000  # the wheels must stand for so long to count as stopped
SEARCHES = 20  # seeds that are tried until the robot is on its way when the fault comes


@dataclass(frozen=True)
class Fault:
    """Something that goes wrong.

    Attributes:
        name: for the table.
        goal_ms: within which the wheels shall stand.
        happen: makes it happen.
    """

    name: str
    goal_ms: float
    happen: Callable[[Running], None]


@dataclass(eq=False)
class FaultResult:
    """How the repeats of one fault went.

    Attributes:
        fault: which.
        stopped_ms: of each repeat.
        outcomes: of the runs.
        said: what the logs say, each thing once.
    """

    fault: Fault
    stopped_ms: list[float] = field(default_factory=list)
    outcomes: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)


def _to_runtime(number: int) -> Callable[[Running], None]:
    return lambda running: running.process.send_signal(number)


def _to_guardian(number: int) -> Callable[[Running], None]:
    return lambda running: os.kill(running.guardian_pid, number)


def _kill_all(running: Running) -> None:
    os.kill(running.guardian_pid, signal.SIGKILL)
    running.process.kill()


# command expiry 450 ms, audio 250 ms and camera 600 ms of age, as the robot's configuration declares them
FAULTS = (
    Fault("policy_killed", 100.0, _to_runtime(signal.SIGKILL)),
    Fault("policy_stopped", 1.5 * 250.0 + 50.0, _to_runtime(signal.SIGSTOP)),
    Fault("policy_terminated", 100.0, _to_runtime(signal.SIGTERM)),
    Fault("policy_interrupted", 100.0, _to_runtime(signal.SIGINT)),
    Fault("guardian_killed", DEAD_MAN_MS + 50.0, _to_guardian(signal.SIGKILL)),
    Fault("guardian_stopped", DEAD_MAN_MS + 50.0, _to_guardian(signal.SIGSTOP)),
    Fault("all_killed", DEAD_MAN_MS + 50.0, _kill_all),
    Fault("port_unplugged", DEAD_MAN_MS + 50.0, lambda running: running.stage.chassis.unplug()),
    Fault("sound_server_killed", 250.0 + 50.0, lambda running: running.stage.pulse.kill()),
    Fault("source_removed", 250.0 + 50.0, lambda running: running.stage.pulse.unload_array()),
    Fault("camera_gone", 600.0 + 50.0, lambda running: running.stage.camera.close()),
)


def run_faults(
    task: AudioGoalTask, bundle: Bundle, repeats: int, folder: Path, say: Callable[[str], None]
) -> list[FaultResult]:
    """Do every fault so many times, each in a run of its own."""
    library = Library(task, max_fields=64)
    results = []
    for fault in FAULTS:
        result = FaultResult(fault)
        for seed in range(SEARCHES):
            if len(result.stopped_ms) == repeats:
                break
            episode = run_episode(WorldRobot(task, seed, library), bundle.path, folder, MOVING_S + 10.0, _script(fault))
            if episode.facts.get("moved"):
                _note(result, episode)
        results.append(result)
        ms = ", ".join(f"{value:.0f}" for value in result.stopped_ms)
        say(f"{fault.name}: stopped after {ms} ms (goal {fault.goal_ms:.0f}); {'; '.join(result.said)}")
    return results


def _script(fault: Fault) -> Callable[[Running], dict[str, Any]]:
    def script(running: Running) -> dict[str, Any]:
        if not _driving(running):
            return {"moved": False}
        at_ns = time.monotonic_ns()
        fault.happen(running)
        stopped_ns = _standing(running, at_ns)
        for pid in (running.guardian_pid, running.process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        time.sleep(0.5)
        running.stage.stop.set()
        ms = float("inf") if stopped_ns is None else max(0.0, (stopped_ns - at_ns) * 1e-6)
        return {"moved": True, "stopped_ms": ms, "interrupted": True}

    return script


def _driving(running: Running) -> bool:
    """Wait until the wheels have just been told to drive on, so that nothing but the fault stops them soon."""
    deadline_s = time.monotonic() + MOVING_S
    while time.monotonic() < deadline_s and running.process.poll() is None:
        events = running.stage.chassis.events
        if events and (events[-1].v_mps, events[-1].w_radps) != (0.0, 0.0):
            return True
        time.sleep(0.002)
    return False


def _standing(running: Running, since_ns: int) -> int | None:
    deadline_s = time.monotonic() + 5.0
    while time.monotonic() < deadline_s:
        stopped_ns = running.stage.chassis.stopped_ns(since_ns)
        if stopped_ns is not None and time.monotonic_ns() - max(stopped_ns, since_ns) > STANDING_NS:
            return stopped_ns
        time.sleep(0.01)
    return None


def _note(result: FaultResult, episode: HilEpisode) -> None:
    result.stopped_ms.append(episode.facts["stopped_ms"])
    result.outcomes.append(episode.outcome)
    said = [episode.outcome]
    if episode.path is not None:
        said += [event["event"] for event in read_episode(episode.path).health()]
    result.said += [text for text in said if text not in (*result.said, "episode_start", "armed")]


def fault_figures(results: list[FaultResult]) -> dict[str, Figure]:
    """Return the median time to a standstill by fault, and how many missed their goal."""
    found = {}
    for result in results:
        median = float(np.median(result.stopped_ms)) if result.stopped_ms else float("nan")
        found[f"{result.fault.name}.stopped_ms"] = Figure(median, "ms")
        found[f"{result.fault.name}.goal_ms"] = Figure(result.fault.goal_ms, "ms")
    medians = [(np.median(one.stopped_ms) if one.stopped_ms else np.inf, one.fault.goal_ms) for one in results]
    found["faults_missed"] = Figure(sum(bool(median > goal) for median, goal in medians))
    return found
