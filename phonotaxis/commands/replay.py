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

    Ends with 0 only if every step is what the log says. A difference is named by its step and quantity. The
    episode opens in Foxglove as it is.
    """
    from phonotaxis.deploy.replay import check
    from phonotaxis.export.bundle import read_bundle

    report = check(episode, read_bundle(policy))
    figures = {
        "identical": Figure(report.identical),
        "steps": Figure(report.steps),
        "first_difference_step": Figure(report.first_difference_step),
        "first_difference": Figure(report.first_difference),
        "cut_short": Figure(report.cut_short),
    }
    emit("replay", figures, json)
    if not report.identical:
        say(f"phonotaxis: {report.message}")
        raise typer.Exit(1)


COMMAND = Command(
    "replay",
    replay,
    (("phonotaxis replay runs/episodes/episode.mcap --policy policy.onnx", "every action, bit for bit"),),
    needs_arguments=True,
)
