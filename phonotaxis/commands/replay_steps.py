"""What `phonotaxis replay` does, each option a function that returns its figures."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from phonotaxis.commands.command import say
from phonotaxis.errors import UserError
from phonotaxis.figures import Figure

if TYPE_CHECKING:
    from phonotaxis.deploy.episode_reader import Episode
    from phonotaxis.deploy.replay_other import OtherReport
    from phonotaxis.deploy.replay_report import ReplayReport
    from phonotaxis.export.bundle import Bundle

MOST_CANDIDATES = 50
TOLD_PARTINGS = 8


def recovered(source: Path, target: Path, compress: bool) -> dict[str, Figure]:
    """Write a whole copy."""
    from phonotaxis.deploy.recover import recover

    found = recover(source, target, compress)
    say(f"wrote {target}: {found.messages} messages, {found.steps} steps" + (f"; {found.lost}" if found.lost else ""))
    return {
        "recovered_messages": Figure(found.messages),
        "recovered_steps": Figure(found.steps),
        "recovered_size": Figure(found.bytes, "byte"),
    }


def policies(
    episode: Episode, given: Bundle | None, check: bool, turned: bool = False
) -> tuple[Bundle | None, Bundle | None]:
    """Return the policy that ran, and another one to be asked; each where there is one.

    Where the knob is turned, the one that ran is another one, too.

    Raises:
        UserError: the policy that ran is needed and wasn't found.
    """
    wanted = episode.info.bundle_sha256
    if given is not None and given.sha256 == wanted:
        return given, given if turned else None
    ran = _beside(episode.path, wanted)
    if check and ran is None:
        got = f"; {given.path} is {given.sha256[:12]}" if given is not None else ""
        raise UserError(
            f"{episode.path}: recorded with policy {wanted[:12]}, which isn't beside it{got}: "
            "give the bundle that ran with --policy"
        )
    return ran, given


def _beside(path: Path, sha256: str) -> Bundle | None:
    """Look for a bundle in the episode's folder and the two above."""
    from phonotaxis.export.bundle import BundleError, read_bundle

    folder = path.resolve().parent
    candidates = [file for place in (folder, *folder.parents[:2]) for file in sorted(place.glob("*.onnx"))]
    for file in candidates[:MOST_CANDIDATES]:
        try:
            bundle = read_bundle(file)
        except BundleError:
            continue
        if bundle.sha256 == sha256:
            return bundle
    return None


def checked(episode: Episode, ran: Bundle | None, wanted: bool) -> ReplayReport | None:
    """Recompute the episode, where that is wanted and its policy is at hand."""
    from phonotaxis.deploy.replay import check

    return None if ran is None or not wanted else check(episode, ran, say=say)


def asked(episode: Episode, other: Bundle | None, caution: float | None = None) -> OtherReport | None:
    """Ask another policy, where there is one, with its knob where the episode's stood, or elsewhere."""
    from phonotaxis.deploy.replay_other import ask_other

    return None if other is None else ask_other(episode, other, caution=caution)


def summary(episode: Episode) -> dict[str, Figure]:
    """Say what the file holds.

    Raises:
        UserError: a message in it lacks what it must have.
    """
    messages = episode.messages
    seconds = (messages[-1].log_ns - messages[0].log_ns) * 1e-9 if messages else 0.0
    try:
        actions = Counter(str(step["action_name"]) for step in episode.steps())
        events = [f"{event['event']}: {event['message']}" for event in episode.health() if int(event["level"]) >= 3]
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise UserError(f"{episode.path}: a message in it can't be used ({error!r}); use another copy") from None
    for event in events:
        say(event)
    return {
        "robot": Figure(episode.info.robot.name),
        "task": Figure(episode.info.contract.task),
        "policy": Figure(episode.info.bundle_sha256[:16]),
        **({"caution": Figure(episode.info.caution)} if episode.info.contract.caution else {}),
        "recorded": Figure(episode.metadata.get("started_utc")),
        "duration": Figure(seconds, "s"),
        "steps": Figure(actions.total()),
        "actions": Figure(", ".join(f"{count} {name}" for name, count in actions.items()) or None),
        "files": Figure(max(1, len(episode.parts))),
        "lost": Figure(episode.what_is_lost() or None),
    }


def check_figures(report: ReplayReport | None) -> dict[str, Figure]:
    """Return what the check found."""
    if report is None:
        return {}
    stages = {f"{stage.name}_compared": Figure(stage.compared) for stage in report.stages}
    stages |= {f"{stage.name}_differing": Figure(stage.differing) for stage in report.stages}
    return {
        "agrees": Figure(report.ok),
        "steps": Figure(report.steps),
        "steps_that_differ": Figure(len({mismatch.step for mismatch in report.mismatches})),
        "first_difference": Figure(None if report.first is None else str(report.first)),
        "same_engine": Figure(report.same_engine),
        "largest_difference": Figure(report.largest_difference),
        "tolerance": Figure(0.0 if report.same_engine else report.tolerance),
        "flips": Figure(len(report.flips)),
        "steps_skipped": Figure(report.skipped),
        **stages,
        "lost": Figure(report.lost or None),
    }


def other_figures(report: OtherReport | None) -> dict[str, Figure]:
    """Return what the other policy would have done, in figures."""
    if report is None:
        return {}
    first = report.first_parting
    knob = {} if report.caution is None else {"other_caution": Figure(report.caution)}
    return {
        **knob,
        "other_steps": Figure(len(report.steps)),
        "other_agreement": Figure(100 * report.agreement, "%"),
        "other_first_parting_step": Figure(None if first is None else first.step),
        "other_first_parting": Figure(None if first is None else first.time_s, "s"),
        "other_bearing_apart_median": Figure(_median_degrees(report), "deg"),
    }


def _median_degrees(report: OtherReport) -> float:
    import numpy as np

    apart = [step.bearing_apart_rad for step in report.steps]
    return float(np.rad2deg(np.median(apart))) if apart else float("nan")


def tell_other(report: OtherReport) -> None:
    """Say where the policies part."""
    if report.caution is not None:
        say(f"the other policy is asked at caution {report.caution:g}")
    if not report.partings:
        say(f"the other policy does the same in all {len(report.steps)} steps")
        return
    say(f"the same action in {100 * report.agreement:.1f} % of {len(report.steps)} steps; they part:")
    for first, count in report.partings[:TOLD_PARTINGS]:
        plural = "s" if count > 1 else ""
        say(f"  {first.time_s:7.2f} s, {count} step{plural} from {first.step}: {first.done} -> {first.other}")
    left = len(report.partings) - TOLD_PARTINGS
    if left > 0:
        say(f"  and {left} times more; --report shows them all")


def page(
    episode: Episode,
    path: Path,
    proof: ReplayReport | None,
    other: OtherReport | None,
    from_s: float,
    to_s: float | None,
) -> dict[str, Figure]:
    """Write the page."""
    from phonotaxis.episode_page import write_episode_page

    size = write_episode_page(path, episode, proof, other, from_s, to_s)
    say(f"wrote {path}: open it in a browser. It holds what was recorded, sound and images: keep it to yourself")
    return {"report": Figure(str(path)), "report_size": Figure(size, "byte")}


def to_rerun(episode: Episode, path: Path) -> dict[str, Figure]:
    """Convert for Rerun."""
    from phonotaxis.convert.rerun_file import write_rerun

    count = write_rerun(path, episode)
    say(f"wrote {path}; next: `rerun {path}`")
    return {"rerun": Figure(str(path)), "rerun_messages": Figure(count)}


def to_lerobot(episode: Episode, folder: Path) -> dict[str, Figure]:
    """Add to a LeRobot data set."""
    from phonotaxis.convert.lerobot import write_lerobot

    episodes, frames = write_lerobot(folder, episode)
    say(f"added {episodes} episode(s), {frames} frames to {folder}")
    return {"lerobot": Figure(str(folder)), "lerobot_episodes": Figure(episodes), "lerobot_frames": Figure(frames)}
