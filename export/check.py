"""The check of an exported policy: precision against the network it came from, open loop and closed loop."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from phonotaxis.configs.base import ConfigError
from phonotaxis.configs.contract_parts import BUILT_IN, differing
from phonotaxis.configs.task import AudioGoalTask
from phonotaxis.configs.trained import TRAINING, trained_tasks
from phonotaxis.envs import metrics
from phonotaxis.envs.statistics import Estimate
from phonotaxis.envs.world import World
from phonotaxis.export.bundle import Bundle, open_bundle
from phonotaxis.export.calibrate import Calibration
from phonotaxis.export.decider import EngineDecider
from phonotaxis.export.engines import open_engine
from phonotaxis.export.openloop import OpenLoop, OpenLoopDecider, Step, float64_step, torch_step
from phonotaxis.export.parity import ParityReport
from phonotaxis.export.precision import PRECISIONS, convert
from phonotaxis.export.weights import restored_policy
from phonotaxis.policies.evaluate import unseen
from phonotaxis.policies.policy import Policy
from phonotaxis.policies.rollout import Decider, run_episodes

FP32_LOGITS = 1e-4  # float32 leaves some 1e-6 a step; a wrong graph leaves 1e-2 and more
FP16_LOGITS = 1e-2  # what half precision of the products may leave; the shipped policy's differ by 3.5e-3
# By how much PyTorch may have preferred its action to a flipped one: each of the two logits may be off by the bound.
# Eight bits are bound by their success alone.
FLIPPED_MARGIN = {"fp32": 2.0 * FP32_LOGITS, "fp16": 2.0 * FP16_LOGITS}
FLIPPED_SHARE = {"fp32": 1.0, "fp16": 0.005, "int8": 1.0}  # fp32 is bound by its logits, int8 by its success
GAP_POINTS = {"fp16": 1.0, "int8": 2.0}  # of success that a precision may cost
CALIBRATION_EPISODES = 24
_WORLDS = 16
_CALIBRATION_SEED, _OPEN_SEED, _CLOSED_SEED = 7_000_000, 8_000_000, 9_000_000  # no training draws from there
Progress = Callable[[float, str], None]


@dataclass(frozen=True)
class Verdict:
    """What was found of one precision.

    Attributes:
        precision: its name.
        report: of the open loop.
        success: of the policy in this precision, in closed loop; None where that wasn't run.
        gap_points: by how much it succeeds less often than in full precision, percentage points, paired.
        reasons: why it is refused; empty where it is accepted.
    """

    precision: str
    report: ParityReport
    success: float | None = None
    gap_points: Estimate | None = None
    reasons: tuple[str, ...] = field(default=())

    @property
    def accepted(self) -> bool:
        """Whether it may be used."""
        return not self.reasons

    @property
    def unexplained_flips(self) -> int | None:
        """How many actions flipped that rounding doesn't explain; None where no bound says what it explains."""
        allowed = FLIPPED_MARGIN.get(self.precision)
        return None if allowed is None else len(self.report.flips_over(allowed))


def task_of(bundle: Bundle) -> AudioGoalTask:
    """Return the task that a bundle was trained for, with validation's scenes and sounds, which training doesn't have.

    Raises:
        ConfigError: its provenance names none, or one for another robot.
    """
    return unseen(trained_task(bundle), "validation")


def trained_task(bundle: Bundle) -> AudioGoalTask:
    """Return the task that a bundle was trained for, of several the first, with the scenes and sounds of its training.

    Raises:
        ConfigError: its provenance names none, or one for another robot.
    """
    training = bundle.provenance.get(TRAINING)
    tasks = trained_tasks(training, f"{bundle.path}: training") if isinstance(training, dict) else []
    if not tasks:
        raise ConfigError(f"{bundle.path}: doesn't say for which task it was trained; name a --suite to check it on")
    check_task(bundle, tasks[0])
    return tasks[0]


def check_task(bundle: Bundle, task: AudioGoalTask) -> None:
    """Check that a task shows what the policy sees.

    Raises:
        ConfigError: it doesn't; says which of the contract's parts differs.
    """
    odd = differing(bundle.contract, task.contract(), (*BUILT_IN, "actions", "goal"))
    if odd:
        raise ConfigError(f"{bundle.path}: its {' and '.join(odd)} differ from those of the task '{task.name}'")


def in_precisions(
    bundle: Bundle, chosen: tuple[str, ...] = PRECISIONS, calibration: Calibration | None = None
) -> dict[str, Bundle]:
    """Make the bundle in each precision.

    Args:
        bundle: of full precision.
        chosen: the precisions.
        calibration: for eight bits.

    Raises:
        BundleError: it can't be converted.
    """
    ranges = None if calibration is None else calibration.ranges()
    facts = {} if calibration is None else {"calibration_steps": calibration.steps}
    return {
        name: open_bundle(convert(bundle, name, ranges, facts if name == "int8" else None), f"{bundle.path} ({name})")
        for name in chosen
    }


def calibrated(bundle: Bundle, task: AudioGoalTask) -> Calibration:
    """Measure the ranges of activations while the policy itself acts, on a task that it isn't checked on."""
    world = World(task, min(_WORLDS, CALIBRATION_EPISODES))
    calibration = Calibration(bundle, world.num_worlds)

    def look(now: World) -> None:
        calibration.add(now.observation, np.flatnonzero(now.active))

    seeds = range(_CALIBRATION_SEED, _CALIBRATION_SEED + CALIBRATION_EPISODES)
    run_episodes(world, EngineDecider(bundle, world.num_worlds), seeds, on_step=look)
    return calibration


def knob_ends(bundle: Bundle) -> tuple[float, ...]:
    """Return at which cautions a policy is checked: both ends of its knob, 0 where it has none."""
    return (0.0, 1.0) if bundle.contract.caution else (0.0,)


def reference_of(bundle: Bundle, policy: Policy | None = None) -> Step:
    """Return the network in PyTorch: the given one, or the one that the bundle holds."""
    return torch_step(policy or restored_policy(bundle))


def witness_of(bundle: Bundle, policy: Policy | None = None) -> Step:
    """Return the same network in float64."""
    return float64_step(policy or restored_policy(bundle))


def open_loop(
    bundles: Mapping[str, Bundle],
    reference: Step,
    task: AudioGoalTask,
    steps: int,
    progress: Progress = lambda share, text: None,
    witness: Step | None = None,
    caution: float = 0.0,
) -> dict[str, ParityReport]:
    """Run all precisions beside the reference, which acts, through whole episodes until there are enough steps.

    Args:
        bundles: by precision.
        reference: the network.
        task: whose episodes are run.
        steps: at least so many.
        progress: told the share done.
        witness: the network in float64, which full precision is held against too.
        caution: where the knob stands, of a policy that has one.
    """
    engines = {name: open_engine(bundle).run for name, bundle in bundles.items()}
    contract = next(iter(bundles.values())).contract
    world = World(task, _WORLDS)
    loop = OpenLoop(contract, reference, engines, world.num_worlds, witness, caution=caution)
    first = _OPEN_SEED
    done = next(iter(loop.reports.values()))

    def tell(_: World) -> None:
        progress(min(1.0, done.frames / steps), f"open loop, {done.frames:,} steps")

    while done.frames < steps:
        run_episodes(world, OpenLoopDecider(loop), range(first, first + _WORLDS), on_step=tell)
        first += _WORLDS
    return loop.reports


def closed_loop(
    bundles: Mapping[str, Bundle],
    task: AudioGoalTask,
    episodes: int,
    progress: Progress = lambda share, text: None,
    caution: float = 0.0,
) -> dict[str, list[metrics.EpisodeResult]]:
    """Let each precision act on the same episodes, with the knob of a policy that has one at `caution`."""
    world = World(task, min(64, episodes))
    results: dict[str, list[metrics.EpisodeResult]] = {}
    seeds = range(_CLOSED_SEED, _CLOSED_SEED + episodes)
    for number, (name, bundle) in enumerate(bundles.items()):
        ended = 0

        def tell(_: metrics.EpisodeResult, number: int = number, name: str = name) -> None:
            nonlocal ended
            ended += 1
            progress((number + ended / episodes) / len(bundles), f"closed loop in {name}")

        decider: Decider = EngineDecider(bundle, world.num_worlds, caution)
        results[name] = run_episodes(world, decider, seeds, on_episode=tell)
    return results


def verdicts(
    reports: Mapping[str, ParityReport], results: Mapping[str, list[metrics.EpisodeResult]] | None = None
) -> dict[str, Verdict]:
    """Judge each precision by the bounds above."""
    found = {}
    for name, report in reports.items():
        success, gap = None, None
        if results is not None:
            success = float(np.mean(metrics.values(results[name], "success")))
            if name != "fp32":
                lost = metrics.paired_difference(results["fp32"], results[name], "success")
                gap = Estimate(100.0 * lost.value, 100.0 * lost.low, 100.0 * lost.high)
        found[name] = Verdict(name, report, success, gap, tuple(_reasons(name, report, gap)))
    return found


def _told(report: ParityReport) -> str:
    """Say where a difference comes from."""
    origin = report.origin
    if origin is None:
        return ""
    return (
        f" (in {report.episodes_over(FP32_LOGITS)} of {len(report.episodes)} episodes, in the median of them all by "
        f"{report.median_episode:.2g}; from the same memory by {origin.step:.2g} in a step, the rest its memory makes "
        f"of that; of the network in float64 the engine is off by {origin.engine:.2g} and PyTorch by "
        f"{origin.reference:.2g})"
    )


def _reasons(name: str, report: ParityReport, gap: Estimate | None) -> list[str]:
    reasons = []
    allowed = FLIPPED_MARGIN.get(name, math.inf)
    unexplained = len(report.flips_over(allowed))
    logits = report.largest.get("logits", report.largest.get("mean", 0.0))
    if name == "fp32" and logits > FP32_LOGITS:
        reasons.append(f"logits differ by {logits:.2g}, {FP32_LOGITS:g} is allowed{_told(report)}")
    if unexplained:
        reasons.append(f"{unexplained} actions flipped by a margin over {allowed:g}, more than rounding explains")
    share = len(report.flips) / max(report.frames, 1)
    if share > FLIPPED_SHARE[name]:
        reasons.append(f"{share:.2%} of the actions flipped, {FLIPPED_SHARE[name]:.2%} are allowed")
    if gap is None and name == "int8":
        reasons.append("how often it succeeds wasn't measured, which is all that bounds eight bits")
    if gap is not None and gap.value > GAP_POINTS[name]:
        reasons.append(f"success falls by {gap.value:.1f} points, {GAP_POINTS[name]:g} are allowed")
    return reasons
