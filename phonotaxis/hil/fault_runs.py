"""Faults in the loop, each in runs of its own: when the wheels stood, what the log says, and what comes back."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from phonotaxis.configs.base import ConfigError, did_you_mean
from phonotaxis.configs.caution import told_caution
from phonotaxis.configs.task import AudioGoalTask
from phonotaxis.deploy.episode_reader import Episode, EpisodeError, read_episode
from phonotaxis.envs.hil.chassis import WheelEvent
from phonotaxis.envs.library import Library
from phonotaxis.envs.simulated_world import WorldRobot
from phonotaxis.export.bundle import Bundle
from phonotaxis.figures import Figure
from phonotaxis.hil.disk import small_disk
from phonotaxis.hil.faults import AUDIO, DEPTH, FAULTS, GOES_ON, Fault
from phonotaxis.hil.loop import HilEpisode, Running, run_episode
from phonotaxis.hil.paired import said, told

MOVING_S = 20.0
STANDING_NS = 400_000_000  # the wheels must stand for so long to count as stopped
GIVE_UP_S = 5.0
OUTAGE_S = 2.5  # longer than what disarms, so that what comes back moves nothing by itself
BACK_S = 4.0
SEARCHES = 20  # seeds that are tried until the robot is on its way when the fault comes
BUSY_S = 8.0  # under a fault that stops nothing
MENDED_S = 2.0  # after its end
HASTE = ("late tick", "runtime silent", "audio stale", "depth stale", "command expired")


@dataclass(eq=False)
class FaultResult:
    """How the repeats of one fault went.

    Attributes:
        fault: which.
        stopped_ms: of each repeat.
        recovered_ms: from the cause's end to the first that was sensed after it, of each repeat.
        lost_ms: of sound before the fault that the log doesn't hold, of each repeat.
        moved_again: repeats in which the wheels turned after the cause's end, with nobody arming.
        brakes: statuses of the guardian that braked for lateness, under faults that stop nothing.
        late_steps: likewise, steps decided more than a period late.
        said: what the logs say, each thing once.
        skipped: why it couldn't be done here; empty where it was.
    """

    fault: Fault
    stopped_ms: list[float] = field(default_factory=list)
    recovered_ms: list[float] = field(default_factory=list)
    lost_ms: list[float] = field(default_factory=list)
    moved_again: int = 0
    brakes: int = 0
    late_steps: int = 0
    said: list[str] = field(default_factory=list)
    skipped: str = ""

    @property
    def missed(self) -> bool:
        """Whether the median is beyond the goal, or there is none; of what shall go unnoticed, whether it didn't.

        Wheels that turned again with nobody arming are a miss, once is enough, and so is what never came back; a time
        of return is noted of those faults alone in which something shall.
        """
        if self.skipped:
            return False
        if self.fault.goal_ms == GOES_ON:
            return self.fault.unnoticed and (not self.stopped_ms or self.late_steps + self.brakes > 0)
        if self.moved_again or float("inf") in self.recovered_ms:
            return True
        return not self.stopped_ms or bool(np.median(self.stopped_ms) > self.fault.goal_ms)


def chosen_faults(names: Sequence[str]) -> list[Fault]:
    """Return the faults of these names, or all.

    Raises:
        ConfigError: no such fault.
    """
    known = {fault.name: fault for fault in FAULTS}
    for name in names:
        if name not in known:
            raise ConfigError(f"unknown fault '{name}'{did_you_mean(name, known)} (known: {', '.join(known)})")
    return [known[name] for name in names] or list(FAULTS)


def run_faults(
    task: AudioGoalTask,
    bundle: Bundle,
    repeats: int,
    folder: Path,
    say: Callable[[str], None],
    only: Sequence[str] = (),
    caution: float | None = None,
) -> list[FaultResult]:
    """Do faults so many times, each in a run of its own.

    Args:
        task: of the episodes.
        bundle: the policy.
        repeats: of each fault, as far as the robot is on its way within `SEARCHES` seeds for each.
        folder: for the robot's logs and for broken policies.
        say: told of each fault.
        only: their names; all without.
        caution: where the knob stands, for a policy that has one.

    Raises:
        ConfigError: no such fault, or the policy has no knob, or not one that can be turned so far.
    """
    faults = chosen_faults(only)
    told_caution(bundle.contract, caution)
    task = told(task, bundle)
    library = Library(task, max_fields=64)
    results = []
    for fault in faults:
        result = FaultResult(fault)
        try:
            _repeat(result, task, bundle, library, repeats, folder, caution)
        except PermissionError as error:
            result.skipped = str(error)
        results.append(result)
        say(_told(result))
    return results


def _repeat(
    result: FaultResult, task: AudioGoalTask, bundle: Bundle, library: Library, repeats: int, folder: Path,
    caution: float | None,
) -> None:  # fmt: skip
    fault = result.fault
    policy = bundle if fault.policy is None else fault.policy(bundle, folder / f"{fault.name}.onnx")
    for seed in range(SEARCHES * repeats):
        if len(result.stopped_ms) == repeats:
            return
        episodes = folder / fault.name / str(seed)
        episodes.mkdir(mode=0o700, parents=True, exist_ok=True)
        with small_disk(episodes) if fault.small_disk else contextlib.nullcontext():
            world = WorldRobot(task, seed, library)
            goal = said(world, bundle)
            seconds = MOVING_S + OUTAGE_S + BACK_S + BUSY_S + MENDED_S
            episode = run_episode(world, policy.path, episodes, seconds, _script(fault), goal, caution=caution)
            if episode.facts.get("moved"):
                _note(result, episode)


def _script(fault: Fault) -> Callable[[Running], dict[str, Any]]:
    def script(running: Running) -> dict[str, Any]:
        if not _driving(running):
            return {"moved": False}
        at_ns = time.monotonic_ns()
        fault.happen(running)
        try:
            return _watch(fault, running, at_ns)
        finally:
            for process in running.left_behind:
                process.kill()
            for pid in (running.guardian_pid, running.process.pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)
            time.sleep(0.3)
            running.stage.stop.set()

    return script


def _watch(fault: Fault, running: Running, at_ns: int) -> dict[str, Any]:
    facts: dict[str, Any] = {"moved": True, "at_ns": at_ns, "interrupted": True}
    if fault.goal_ms == GOES_ON:
        try:
            time.sleep(BUSY_S)
        finally:
            if fault.mend is not None:
                fault.mend(running)
        time.sleep(MENDED_S)
        return {**facts, "stopped_ms": float("nan"), "until_ns": time.monotonic_ns()}
    stopped_ns = _standing(running, at_ns)
    facts["stopped_ms"] = float("inf") if stopped_ns is None else max(0.0, (stopped_ns - at_ns) * 1e-6)
    if fault.mend is not None:
        time.sleep(max(0.0, OUTAGE_S - (time.monotonic_ns() - at_ns) * 1e-9))
        begun_ns = time.monotonic_ns()
        fault.mend(running)
        facts["mended_ns"] = time.monotonic_ns() if fault.name == "sound_server_killed" else begun_ns
        time.sleep(BACK_S)
        facts["moved_again"] = _moved_since(running.stage.chassis.events, begun_ns)
    return facts


def _moved_since(events: Sequence[WheelEvent], since_ns: int) -> bool:
    """Tell whether a wheel turned, on the spot too."""
    return any(event.time_ns > since_ns and (event.v_mps or event.w_radps) for event in list(events))


def _driving(running: Running) -> bool:
    """Wait until the wheels have just been told to drive forward, so that nothing but the fault stops them soon."""
    deadline_s = time.monotonic() + MOVING_S
    while time.monotonic() < deadline_s and running.process.poll() is None:
        events = running.stage.chassis.events
        if events and events[-1].v_mps > 0.0:
            return True
        time.sleep(0.002)
    return False


def _standing(running: Running, since_ns: int) -> int | None:
    deadline_s = time.monotonic() + GIVE_UP_S
    while time.monotonic() < deadline_s:
        stopped_ns = running.stage.chassis.stopped_ns(since_ns)
        if stopped_ns is not None and time.monotonic_ns() - max(stopped_ns, since_ns) > STANDING_NS:
            return stopped_ns
        time.sleep(0.01)
    return None


def _note(result: FaultResult, episode: HilEpisode) -> None:
    facts, words = episode.facts, [episode.outcome]
    result.stopped_ms.append(facts["stopped_ms"])
    result.moved_again += facts.get("moved_again", False)
    result.late_steps += episode.summary.get("late_steps", 0)
    with contextlib.suppress(EpisodeError, OSError):  # its folder is what was taken away
        if episode.path is not None:
            log = read_episode(episode.path)
            words += [event["event"] for event in log.health()]
            _note_log(result, log, facts)
    result.said += [word for word in dict.fromkeys(words) if word not in (*result.said, "episode_start", "armed")]


def _note_log(result: FaultResult, log: Episode, facts: dict[str, Any]) -> None:
    at_ns = facts["at_ns"]
    before = [block.capture_ns for block in log.audio() if block.capture_ns < at_ns]
    result.lost_ms.append((at_ns - max(before)) * 1e-6 if before else float("nan"))
    until_ns = facts.get("until_ns", at_ns)
    result.brakes += sum(status["reason"] in HASTE and at_ns < status["time_ns"] <= until_ns for status in log.safety())
    if "mended_ns" in facts and result.fault.back:
        after = [time_ns for time_ns in _times(log, result.fault.back) if time_ns > facts["mended_ns"]]
        result.recovered_ms.append((min(after) - facts["mended_ns"]) * 1e-6 if after else float("inf"))


def _times(log: Episode, what: str) -> list[int]:
    if what == AUDIO:
        return [block.capture_ns for block in log.audio()]
    if what == DEPTH:
        return [frame.capture_ns for frame in log.depth()]
    return [sample.capture_ns for sample in log.odometry()]


def _told(result: FaultResult) -> str:
    fault = result.fault
    if result.skipped:
        return f"{fault.name}: not done here: {result.skipped}"
    if fault.goal_ms == GOES_ON:
        return f"{fault.name}: {result.late_steps} late steps, {result.brakes} brakes; {', '.join(result.said)}"
    ms = ", ".join(f"{value:.0f}" for value in result.stopped_ms)
    back = ", ".join(f"{value:.0f}" for value in result.recovered_ms)
    return (
        f"{fault.name}: stopped after {ms} ms (goal {fault.goal_ms:.0f})"
        + (f", back after {back} ms" if back else "")
        + (f", MOVED AGAIN {result.moved_again} times" if result.moved_again else "")
        + f"; {', '.join(result.said)}"
    )


def fault_figures(results: Sequence[FaultResult]) -> dict[str, Figure]:
    """Return the medians by fault, and how many missed their goal."""
    found: dict[str, Figure] = {}
    for result in results:
        name = result.fault.name
        if result.skipped:
            found[f"{name}.done"] = Figure(False)
            continue
        if result.fault.goal_ms == GOES_ON:
            found[f"{name}.late_steps"] = Figure(result.late_steps)
            found[f"{name}.brakes"] = Figure(result.brakes)
        else:
            found[f"{name}.stopped_ms"] = Figure(_median(result.stopped_ms), "ms")
            found[f"{name}.goal_ms"] = Figure(result.fault.goal_ms, "ms")
            found[f"{name}.moved_again"] = Figure(result.moved_again)
        if result.recovered_ms:
            found[f"{name}.recovered_ms"] = Figure(_median(result.recovered_ms), "ms")
        if result.lost_ms:
            found[f"{name}.lost_ms"] = Figure(_median(result.lost_ms), "ms")
    found["faults_missed"] = Figure(sum(result.missed for result in results))
    return found


def _median(values: Sequence[float]) -> float:
    return float(np.median(values)) if values else float("nan")
