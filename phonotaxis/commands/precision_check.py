"""The check of precisions that `phonotaxis export` runs, for its own sake or before it writes a lower one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from phonotaxis.figures import Figure

if TYPE_CHECKING:
    from phonotaxis.configs.task import AudioGoalTask
    from phonotaxis.export.bundle import Bundle
    from phonotaxis.export.calibrate import Calibration
    from phonotaxis.export.check import Verdict
    from phonotaxis.policies.policy import Policy


class Trial(NamedTuple):
    """On what precisions are held against the network.

    Attributes:
        steps: of the open loop, at least.
        episodes: of the closed loop.
        suite: whose validation split they are of; None for the training's task.
        logged: episodes, or folders of them, that eight bits are calibrated on; none takes the task's.
    """

    steps: int
    episodes: int
    suite: str | None
    logged: tuple[Path, ...]


def checked(
    bundle: Bundle, policy: Policy | None, chosen: tuple[str, ...], trial: Trial
) -> tuple[dict[str, Bundle], dict[str, Verdict]]:
    """Make a bundle in precisions, full precision among them, and judge each at both ends of its knob.

    Args:
        bundle: of full precision.
        policy: the network that it was made of, where that is at hand.
        chosen: the precisions.
        trial: on what.

    Returns:
        The bundles by precision, and what was found by precision, with the knob turned up by `precision_caution_1`.
    """
    from phonotaxis.commands.progress import ProgressBar
    from phonotaxis.export import check

    task = _task(bundle, trial.suite)
    with ProgressBar("checking") as bar:
        bar(0.0, "reference")
        reference, witness = check.reference_of(bundle, policy), check.witness_of(bundle, policy)
        bar(0.0, "calibrating" if "int8" in chosen else "converting")
        calibration = _calibration(bundle, trial) if "int8" in chosen else None
        chosen = ("fp32", *(name for name in chosen if name != "fp32"))
        bundles = check.in_precisions(bundle, chosen, calibration)
        found: dict[str, Verdict] = {}
        for caution in check.knob_ends(bundle):
            where = f"caution_{caution:g}" if caution else ""

            def tell(share: float, text: str, where: str = where) -> None:
                bar(share, f"{text} {where}".rstrip())

            reports = check.open_loop(bundles, reference, task, trial.steps, tell, witness, caution)
            results = check.closed_loop(bundles, task, trial.episodes, tell, caution) if trial.episodes else None
            judged = check.verdicts(reports, results)
            found |= {f"{name}_{where}".rstrip("_"): verdict for name, verdict in judged.items()}
    return bundles, found


def _task(bundle: Bundle, suite: str | None) -> AudioGoalTask:
    from phonotaxis.configs.suite import load_suite
    from phonotaxis.export.check import check_task, task_of

    if suite is None:
        return task_of(bundle)
    task = load_suite(suite).task_of("validation")
    check_task(bundle, task)
    return task


def _calibration(bundle: Bundle, trial: Trial) -> Calibration:
    """Measure activations on logged episodes, or on the training's own task, in the scenes and sounds of training.

    A bundle for a robot with another array than the training's is measured on the suite's training split instead.
    """
    from phonotaxis.commands.calibration import calibration_of
    from phonotaxis.configs.base import ConfigError
    from phonotaxis.configs.suite import load_suite
    from phonotaxis.export import check

    if trial.logged:
        return calibration_of(bundle, trial.logged)
    try:
        task = check.trained_task(bundle)
    except ConfigError:
        if trial.suite is None:
            raise
        task = load_suite(trial.suite).task_of("train")
    return check.calibrated(bundle, task)


def refusals(found: dict[str, Verdict]) -> list[str]:
    """List what isn't accepted, each with its reasons."""
    return [f"{name} is refused: {'; '.join(one.reasons)}" for name, one in found.items() if not one.accepted]


def verdict_figures(found: dict[str, Verdict]) -> dict[str, Figure]:
    """Return what was found, by `precision.name`, and with the knob turned up by `precision_caution_1.name`."""
    from phonotaxis.export.check import FP32_LOGITS

    figures: dict[str, Figure] = {}
    for name, verdict in found.items():
        report = verdict.report
        own = {"steps": Figure(report.frames)}
        for output in report.largest:
            word = {"logits": "logit"}.get(output, output)
            if output != "action":
                own[f"largest_{word}_difference"] = Figure(report.largest[output])
                own[f"mean_{word}_difference"] = Figure(report.mean[output])
        if report.episodes:
            own["episodes"] = Figure(len(report.episodes))
            own["episodes_over_fp32_bound"] = Figure(report.episodes_over(FP32_LOGITS))
            own["median_episode_difference"] = Figure(report.median_episode)
        if report.origin is not None:
            own["largest_difference_in_a_step"] = Figure(report.origin.step)
            own["largest_difference_from_float64"] = Figure(report.origin.engine)
            own["pytorch_largest_difference_from_float64"] = Figure(report.origin.reference)
        own["flipped_actions"] = Figure(len(report.flips))
        own["flipped_actions_share"] = Figure(len(report.flips) / max(report.frames, 1))
        own["largest_flipped_margin"] = Figure(max((flip.margin for flip in report.flips), default=None))
        own["unexplained_flips"] = Figure(verdict.unexplained_flips)
        if verdict.success is not None:
            own["success"] = Figure(verdict.success)
        if verdict.gap_points is not None:
            gap = verdict.gap_points
            own["success_gap_points"] = Figure(gap.value, "%", (gap.low, gap.high))
        own["emulated"] = Figure(verdict.precision == "fp16")
        own["accepted"] = Figure(verdict.accepted)
        figures |= {f"{name}.{word}": figure for word, figure in own.items()}
    return figures
