"""`phonotaxis evaluate`: paired episodes in unseen scenes against policies that are known."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from phonotaxis.commands.command import Command, Json, Seed
from phonotaxis.figures import emit


def evaluate(
    checkpoint: Annotated[Path, typer.Argument(help="Folder of a training, e.g. runs/train.")],
    episodes: Annotated[int, typer.Option(help="Episodes for each policy.", min=1)] = 200,
    baselines: Annotated[bool, typer.Option(help="Also random, direction follower and expert.")] = True,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Measure a policy on episodes it has not seen, with 95 % intervals, against three others.

    Every policy gets the same episodes, so that differences are paired. Success is to stop within 1 m of the
    source by the shortest walk; SPL weighs it by the length of the way (Anderson et al. 2018).
    """
    from phonotaxis.commands.progress import ProgressBar
    from phonotaxis.policies.evaluate import evaluate_checkpoint

    with ProgressBar("evaluating") as bar:
        figures = evaluate_checkpoint(checkpoint, episodes, baselines=baselines, seed=seed, progress=bar)
    emit("evaluate", figures, json)


COMMAND = Command(
    "evaluate",
    evaluate,
    (
        ("phonotaxis evaluate runs/train", "the table with intervals"),
        ("phonotaxis evaluate runs/train --episodes 1000 --no-baselines --json", "narrower, for a script"),
    ),
    needs_arguments=True,
)
