"""`phonotaxis replay`: prove from the log what the robot decided and why."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from phonotaxis.commands.command import Command, Json, say
from phonotaxis.figures import Figure, emit


def replay(
    episode: Annotated[Path, typer.Argument(help="The episode, an .mcap file.")],
    policy: Annotated[Path, typer.Option(help="The bundle it ran, an .onnx file.")],
    json: Json = False,
) -> None:
    """Recompute every action of an episode from its raw samples and frames, and compare bit for bit.

    Ends with 0 only if every step is what the log says. A difference is named by its step and quantity. On
    the engine and machine that recorded the episode every bit is compared, elsewhere a stated tolerance
    holds. The file opens in Foxglove as it is.
    """
    from phonotaxis.deploy.replay import check
    from phonotaxis.export.bundle import read_bundle

    report = check(episode, read_bundle(policy))
    figures = {
        "agrees": Figure(report.ok),
        "steps": Figure(report.steps),
        "steps_that_differ": Figure(len(report.mismatches)),
        "first_difference": Figure(None if report.first is None else str(report.first)),
        "same_engine": Figure(report.same_engine),
        "largest_difference": Figure(report.largest_difference),
        "lost": Figure(report.lost or None),
    }
    emit("replay", figures, json)
    say(str(report))
    if not report.ok:
        raise typer.Exit(1)


COMMAND = Command(
    "replay",
    replay,
    (("phonotaxis replay runs/episodes/episode.mcap --policy policy.onnx", "every action, bit for bit"),),
    needs_arguments=True,
)
