"""`phonotaxis evaluate`: paired episodes in unseen scenes against policies that are known."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from phonotaxis.commands.command import Command, Json, Seed
from phonotaxis.figures import Figure, print_json

if TYPE_CHECKING:
    from rich.console import Console

    from phonotaxis.policies.evaluate import Evaluation

OURS, RIVAL = "learnt", "follower"
_SHOWN = ("success", "spl", "softspl", "sna", "distance_to_goal_m", "collisions")


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
    from rich.console import Console

    from phonotaxis.commands.progress import ProgressBar
    from phonotaxis.policies.evaluate import evaluate_checkpoint

    with ProgressBar("evaluating") as bar:
        evaluation = evaluate_checkpoint(checkpoint, episodes, baselines=baselines, seed=seed, progress=bar)
    if json:
        print_json("evaluate", evaluation_figures(evaluation))
    else:
        print_evaluation(evaluation, Console(highlight=False))


def evaluation_figures(evaluation: Evaluation) -> dict[str, Figure]:
    """Return every metric of every policy as `<policy>_<metric>`, and what ours is ahead of the follower."""
    from phonotaxis.envs.metrics import BY_NAME

    figures = {"episodes": Figure(max(len(results) for results in evaluation.results.values()))}
    for policy in evaluation.results:
        for name, estimate in evaluation.summary(policy).items():
            unit = BY_NAME[name].unit if BY_NAME[name].unit in ("m", "rad") else ""
            figures[f"{policy}_{name}"] = Figure(estimate.value, unit, (estimate.low, estimate.high))
    if {OURS, RIVAL} <= evaluation.results.keys():
        ahead = evaluation.over(OURS, RIVAL)
        figures[f"{OURS}_over_{RIVAL}_spl"] = Figure(ahead.value, "", (ahead.low, ahead.high))
    return figures


def print_evaluation(evaluation: Evaluation, console: Console) -> None:
    """Print the table for people: a row for each policy, shares in percent, 95 % intervals in brackets."""
    from rich.markup import escape
    from rich.table import Table

    from phonotaxis.envs.metrics import BY_NAME

    table = Table(box=None, pad_edge=False)
    table.add_column("policy")
    for name in _SHOWN:
        unit = "%" if BY_NAME[name].unit == "1" else BY_NAME[name].unit
        table.add_column(f"{BY_NAME[name].label}\n{unit}", justify="right")
    for policy in evaluation.results:
        estimates = evaluation.summary(policy)
        cells = [
            estimates[name].text(0, 100.0) if BY_NAME[name].unit == "1" else estimates[name].text(1) for name in _SHOWN
        ]
        table.add_row(policy, *map(escape, cells), style="bold" if policy == OURS else None)
    console.print(table)
    if {OURS, RIVAL} <= evaluation.results.keys():
        ahead = evaluation.over(OURS, RIVAL).text(0, 100.0)
        console.print(f"SPL of {OURS} minus {RIVAL}, paired: {ahead} %", markup=False)


COMMAND = Command(
    "evaluate",
    evaluate,
    (
        ("phonotaxis evaluate runs/train", "the table with intervals"),
        ("phonotaxis evaluate runs/train --episodes 1000 --no-baselines --json", "narrower, for a script"),
    ),
    needs_arguments=True,
)
