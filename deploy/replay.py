"""Replay: recompute every decision of an episode from its raw samples and frames, and compare.

Three stages: what the policy saw, what it said, and what safety let through. Where the engine's fingerprint is the
one that the robot had, everything must be identical bit for bit. On another machine or version the observations
still must, and the engine's outputs may differ by `TOLERANCE`, or by more where a GPU computed them
(`replay_engine.GPU_TOLERANCES`); an action may differ only where its margin was smaller than that could bridge.

    python -m phonotaxis.deploy.replay EPISODE.mcap --policy POLICY.onnx
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

from phonotaxis.deploy import messages
from phonotaxis.deploy.episode_info import EpisodeError
from phonotaxis.deploy.episode_reader import Episode, read_episode
from phonotaxis.deploy.replay_engine import engine_of, tolerance_of
from phonotaxis.deploy.replay_feed import replayed
from phonotaxis.deploy.replay_policy import PolicyComparison
from phonotaxis.deploy.replay_report import TOLERANCE, Mismatch, ReplayReport, Stage
from phonotaxis.deploy.replay_safety import check_safety
from phonotaxis.deploy.steps import PolicyRunner
from phonotaxis.export.bundle import Bundle, BundleError, read_bundle
from phonotaxis.export.engines import Engine, EngineError

__all__ = ["TOLERANCE", "Mismatch", "ReplayReport", "Stage", "check", "main", "replayed"]


def check(
    episode: Path | str | Episode,
    bundle: Bundle,
    engine: Engine | None = None,
    exact: bool | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> ReplayReport:
    """Recompute an episode and compare it with its log.

    Args:
        episode: path of the file, or what `read_episode` returned.
        bundle: the policy that the robot ran.
        engine: to run it on; by default the one that recorded it where that is available, else ONNX Runtime.
        exact: ask for the same bits; by default where the engine's fingerprint is the recorded one.
        say: gets a line of text where another engine is taken than the recorded one.

    Raises:
        EpisodeError: not an episode, or one of another policy.
        EngineError: the policy can't be loaded.
    """
    episode = episode if isinstance(episode, Episode) else read_episode(episode)
    if episode.info.bundle_sha256 != bundle.sha256:
        raise EpisodeError(
            f"{episode.path}: recorded with policy {episode.info.bundle_sha256[:12]}, got {bundle.path} "
            f"({bundle.sha256[:12]}); give the bundle that ran"
        )
    if episode.info.contract != bundle.contract:
        raise EpisodeError(f"{episode.path}: its contract is not that of the policy it names: it was altered")
    engine = engine or engine_of(episode.info, bundle, say)
    tolerance = tolerance_of(episode.info, bundle, engine)
    same_engine = episode.info.engine == engine.fingerprint if exact is None else exact
    comparison = PolicyComparison(PolicyRunner(bundle.contract, engine), same_engine, tolerance)
    for found in replayed(episode):
        comparison.step(found)
    safety, odd_statuses = check_safety(episode, exact=same_engine)
    mismatches = sorted([*comparison.mismatches, *odd_statuses], key=lambda mismatch: mismatch.step)
    return ReplayReport(
        episode=str(episode.path),
        bundle_sha256=bundle.sha256,
        steps=comparison.steps,
        mismatches=tuple(mismatches),
        same_engine=same_engine,
        largest_difference=comparison.largest_difference,
        lost=episode.what_is_lost(),
        safety_records=sum(message.topic == messages.SAFETY_TOPIC for message in episode.messages),
        stages=(*comparison.stages(), safety),
        skipped=comparison.skipped,
        flips=tuple(comparison.flips),
        tolerance=tolerance,
    )


def main(arguments: list[str] | None = None) -> int:
    """Check an episode from the command line: exit code 0 if every step agrees."""
    parser = argparse.ArgumentParser(prog="phonotaxis.deploy.replay", description="Recompute an episode.")
    parser.add_argument("episode", type=Path, help="episode (.mcap)")
    parser.add_argument("--policy", type=Path, required=True, help="the bundle that ran (.onnx)")
    options = parser.parse_args(arguments)
    try:
        report = check(options.episode, read_bundle(options.policy), say=lambda text: print(text, file=sys.stderr))
    except (EpisodeError, BundleError, EngineError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    stages = [str(stage) for stage in report.stages]
    print(json.dumps({"ok": report.ok, "steps": report.steps, "report": str(report), "stages": stages}))
    return 0 if report.ok else 1


if __name__ == "__main__":
    raise SystemExit(main())
