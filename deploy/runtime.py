"""The robot's runtime: opens the policy, guardian, devices and log, and runs the loop between them.

    python -m phonotaxis.deploy.runtime --robot simulated --policy policy.onnx --episode episodes --arm

The summary goes to stdout as one JSON object, everything else to stderr.
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from phonotaxis.configs.base import ConfigError
from phonotaxis.configs.caution import told_caution
from phonotaxis.configs.compatibility import check_compatible
from phonotaxis.configs.goal import told_goal
from phonotaxis.configs.robot import RobotConfig, load_robot
from phonotaxis.deploy.agreement import Agreement
from phonotaxis.deploy.clock import NS_PER_S, now_ns
from phonotaxis.deploy.devices import DeviceError, open_sensors
from phonotaxis.deploy.emergency_stop import EmergencyStop, latch_path
from phonotaxis.deploy.episode import EpisodeInfo, EpisodeWriter, episode_path
from phonotaxis.deploy.forbidden import forbidden_modules
from phonotaxis.deploy.guardian_link import GuardianError, GuardianLink
from phonotaxis.deploy.interrupts import put_off_interrupts, take_interrupts
from phonotaxis.deploy.loop import LATCHED, Loop, RunEnd
from phonotaxis.deploy.observation import ObservationBuilder
from phonotaxis.deploy.realtime import go_first
from phonotaxis.deploy.retention import prune_to
from phonotaxis.deploy.steps import PolicyRunner
from phonotaxis.deploy.summary import RunSummary
from phonotaxis.deploy.watches import Watches
from phonotaxis.errors import printable
from phonotaxis.export.bundle import Bundle, BundleError, read_bundle
from phonotaxis.export.engines import AUTO, EngineError, open_engine

ENDED_WELL = ("goal_reached", "duration")
# A step that hangs ends the run, as silent microphones do; the guardian has stopped the robot long before.
STEP_DEADLINE_S = 3.0
MAX_S = 366 * 86_400.0


def run(
    robot: RobotConfig,
    policy: Path,
    episode_dir: Path,
    duration_s: float,
    arm: bool = False,
    goal: str | None = None,
    say: Callable[[str], None] = lambda text: None,
    shadow: bool = False,
    engine: str = AUTO,
    caution: float | None = None,
) -> RunSummary:
    """Run a policy on a robot and log the episode.

    Args:
        robot: the robot.
        policy: the bundle's file.
        episode_dir: folder for the episode; made if absent, readable by this user alone.
        duration_s: at most so long, unless the policy stops before.
        arm: a person allows motion; without it everything runs, but the drive gets nothing.
        goal: what to find, a kind's name or a sentence, for a policy that is told; see `configs.goal.told_goal`.
        say: gets a line of text at each stage.
        shadow: a person drives; the policy decides and logs, and its agreement with the person is counted.
        engine: of `export.engines.ENGINES`, or `auto`: TensorRT where there is one, else ONNX Runtime, said aloud.
        caution: how much comfort counts, 0 to 1, for a policy that has this knob; see `configs.caution.told_caution`.

    Returns:
        How it went; `outcome` says why it ended.

    Raises:
        ConfigError: the robot, or what is said of a goal or of caution, doesn't match the policy, or no such duration.
        SignatureError: the robot asks for a signature that the policy lacks.
        BundleError: the policy's file can't be used.
        EngineError: the engine can't load it.
        DeviceError, GuardianError: a device, or the guardian, didn't come up, or the robot shall be armed under a
            latched emergency stop.
        OSError: the episode's folder or file can't be made.
    """
    if not 0.0 < duration_s <= MAX_S:
        raise ConfigError(f"a run lasts up to {MAX_S:g} s (a year), got {duration_s:g}; choose fewer and more than 0")
    if arm and (latched := EmergencyStop(latch_path(robot)).reason):
        raise GuardianError(
            f"{LATCHED} ({latched}); look at the robot, then `phonotaxis robot release --robot FILE`, "
            "or run without --arm"
        )
    bundle = read_bundle(policy, robot.trusted_signers)
    check_compatible(bundle.contract, robot)
    told = told_goal(bundle.contract.goal, goal)
    knob = told_caution(bundle.contract, caution)
    opened = open_engine(bundle, engine, deadline_s=STEP_DEADLINE_S, say=say)
    say(f"policy {bundle.path.name} ({bundle.sha256[:12]}) on {opened.fingerprint['engine']}")
    if told is not None and goal is None:
        say("no --goal was given: it goes to whatever sounds")
    if bundle.contract.caution:
        say(f"caution {knob:g}" + ("" if caution is not None else ": none was asked for by --caution"))
    episode_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    said = _said(bundle, goal, told, say)
    info = EpisodeInfo(
        "robot", bundle.contract, robot, bundle.sha256, dict(opened.fingerprint), bundle.provenance, told, said,
        knob,
    )  # fmt: skip
    builder = ObservationBuilder(bundle.contract, robot, told, knob)
    watches = Watches(robot, bundle.contract)
    guardian = GuardianLink(robot, shadow)
    for refusal in guardian.refused:
        say(f"the guardian runs without {refusal}")
    agreement = Agreement(bundle.contract) if shadow else None
    with ExitStack() as opened_so_far:  # closes what is open, the last first, whatever another's closing raises
        opened_so_far.callback(guardian.close)
        sensors = open_sensors(robot)
        opened_so_far.callback(sensors.close)
        if told_rate := sensors.microphones.rate_told:
            say(told_rate)
        log = _new_log(episode_dir, info)  # behind all that may fail: such a start leaves no file and deletes none
        opened_so_far.callback(log.close)
        opened_so_far.callback(guardian.close)  # the drive first: nothing that follows may keep it moving
        say(f"episode {log.path}")
        runner = PolicyRunner(bundle.contract, opened)
        armed = arm and not shadow
        loop = Loop(runner, builder, sensors, guardian, log, robot, watches, armed, agreement, say)
        summary = _guarded(loop, log, duration_s)
    summary.agreement = None if agreement is None else agreement.share
    summary.caution = knob if bundle.contract.caution else None
    return _complete(summary, log, bundle, guardian)


def _said(bundle: Bundle, goal: str | None, told: np.ndarray | None, say: Callable[[str], None]) -> dict[str, Any]:
    """Return what the episode keeps of a goal in words, and tell the person what the policy takes it for."""
    if goal is None:
        return {}
    taken = None if told is None else bundle.understood(told)
    if taken is None:
        return {"goal": goal}
    say(taken.told(goal))
    return {"goal": goal, "goal_taken_for": taken.kind if taken.sure else "", "goal_probability": taken.probability}


def _new_log(folder: Path, info: EpisodeInfo) -> EpisodeWriter:
    limits = info.robot.log
    prune_to(folder, limits.model_copy(update={"max_episodes": limits.max_episodes - 1}))
    return EpisodeWriter(episode_path(folder), info)


def _guarded(loop: Loop, log: EpisodeWriter, duration_s: float) -> RunSummary:
    gc.collect()
    gc.freeze()  # what start-up left need not be looked at again in the middle of a step
    summary = loop.summary
    try:
        loop.until(now_ns() + int(duration_s * NS_PER_S))
        summary.message = f"{duration_s:g} s are over"
    except RunEnd as end:
        summary.outcome, summary.message = end.outcome, str(end)
    except KeyboardInterrupt:
        summary.outcome, summary.message = "interrupted", "interrupted by a person"
    except DeviceError as error:
        summary.outcome, summary.message = "devices_lost", str(error)
    except GuardianError as error:
        summary.outcome, summary.message = "guardian_lost", str(error)
    except EngineError as error:
        summary.outcome, summary.message = "engine_failed", str(error)
    finally:
        put_off_interrupts()
        gc.unfreeze()
    loop.finish()
    level = "info" if summary.outcome in ENDED_WELL else "error"
    log.health(now_ns(), level, f"ended_{summary.outcome}", summary.message)
    return summary


def _complete(summary: RunSummary, log: EpisodeWriter, bundle: Bundle, guardian: GuardianLink) -> RunSummary:
    if log.failure is not None and summary.outcome in ENDED_WELL:
        summary.outcome, summary.message = "log_failed", log.failure
    summary.episode = str(log.path if log.path.exists() else log.writing)  # someone may have deleted the first file
    summary.log = log.counters()
    summary.bundle_sha256 = bundle.sha256
    summary.loaded_modules_forbidden = sorted({*forbidden_modules(), *guardian.forbidden})
    return summary


def _print(text: str) -> None:
    """Tell on standard error, as `commands.command.say` does; who read it may have gone, and the robot goes on."""
    with suppress(OSError):  # a pipe that is broken, a terminal that has gone
        print(printable(text), file=sys.stderr, flush=True)


def main(arguments: list[str] | None = None) -> int:
    """Run from the command line: exit code 0 for goal reached or time over, 130 if interrupted, else 1."""
    parser = argparse.ArgumentParser(prog="phonotaxis.deploy.runtime", description="Run a policy on a robot.")
    parser.add_argument("--robot", required=True, help="name of a shipped robot, or a .yaml file")
    parser.add_argument("--policy", required=True, type=Path, help="bundle (.onnx)")
    parser.add_argument("--episode", required=True, type=Path, help="folder for the episode's file")
    parser.add_argument("--duration", type=float, default=60.0, help="seconds at most")
    parser.add_argument("--socket", help="where the simulated robot listens")
    parser.add_argument("--goal", help="what to find, for a policy that is told: a sentence or a kind's name")
    parser.add_argument("--caution", type=float, help="0 to 1: how much comfort counts, for a policy with this knob")
    parser.add_argument("--arm", action="store_true", help="let the robot move: a person's act")
    parser.add_argument("--shadow", action="store_true", help="a person drives: decide and log, command nothing")
    options = parser.parse_args(arguments)
    take_interrupts()
    go_first()
    try:
        summary = run(
            load_robot(options.robot, options.socket),
            options.policy,
            options.episode,
            options.duration,
            arm=options.arm,
            goal=options.goal,
            say=_print,
            shadow=options.shadow,
            caution=options.caution,
        )
    except (ConfigError, BundleError, EngineError, DeviceError, GuardianError, OSError, ValueError) as error:
        _print(f"error: {error}")
        return 1
    except KeyboardInterrupt:
        _print("interrupted before the run began")
        return 130
    print(json.dumps(asdict(summary)), flush=True)
    if summary.outcome in ENDED_WELL:
        return 0
    _print(f"{summary.outcome}: {summary.message}")
    return 130 if summary.outcome == "interrupted" else 1


if __name__ == "__main__":
    raise SystemExit(main())
