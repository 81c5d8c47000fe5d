"""`phonotaxis tradeoff`: what a policy gives and takes as its knob is turned."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from phonotaxis.commands.command import Command, Json, TrainingOrBundle, check_picture, policy_or_shipped, say
from phonotaxis.figures import Figure, print_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from phonotaxis.configs.suite import SplitName
    from phonotaxis.configs.task import AudioGoalTask
    from phonotaxis.envs.statistics import Estimate
    from phonotaxis.policies.tradeoff import Tradeoff, Trait

_TABLES = (("success", "spl", "time_s"), ("clearance_m", "low_clearance_m", "changes_per_m", "collisions"))


def tradeoff(
    policy: TrainingOrBundle = None,
    suite: Annotated[
        str,
        typer.Option(
            help="A suite of the benchmark; see `evaluate --help`. 'own': the training's own task, its first."
        ),
    ] = "audiogoal-v1",
    split: Annotated[str, typer.Option(help="validation, by which to choose where the knob stands, or test.")] = (
        "validation"
    ),
    episodes: Annotated[
        int | None, typer.Option(help="The first N of the split's; without, all, and 200 of --suite own.", min=1)
    ] = None,
    caution: Annotated[str, typer.Option(help="Where the knob stands, e.g. 0,0.5,1; the first is compared with.")] = (
        "0,0.25,0.5,0.75,1"
    ),
    plot: Annotated[Path | None, typer.Option(help="Draw it into this PNG.")] = None,
    threads: Annotated[int, typer.Option(help="Of the simulator; results don't depend on it.", min=1)] = 2,
    json: Json = False,
) -> None:
    """Measure what a policy with a knob gives and takes as it is turned, on the same episodes, with 95 % intervals.

    `phonotaxis prefer` adds a knob; the shipped policy has one. Clearance is of the body's edge from the nearest
    obstacle of the plan, the mean over an episode's steps and what a tenth of them fall below; changes are those of
    speed and of turning direction, a metre of the shortest way. Differences from the first caution are paired by
    episode.
    """
    from rich.console import Console

    from phonotaxis.commands.contestants import OWN_EPISODES, OWN_TASK, turnable
    from phonotaxis.commands.evaluate import split_named
    from phonotaxis.commands.progress import ProgressBar
    from phonotaxis.configs.suite import load_suite
    from phonotaxis.policies.tradeoff import measure_tradeoff

    cautions, part, policy = cautions_of(caution), split_named(split), policy_or_shipped(policy)
    if plot is not None:
        check_picture("--plot", plot)
    if suite == OWN_TASK:
        task, seeds = _own(policy, part, episodes or OWN_EPISODES)
    else:
        where = load_suite(suite)
        task, seeds = where.task_of(part), where.seeds(part, episodes)
    with ProgressBar("measuring") as bar:
        turned = turnable("the policy", policy, task.contract(), part)
        found = measure_tradeoff(task, seeds, turned, cautions, threads, bar)
    what = f"{suite}, {split} split, {len(seeds)} episodes"
    if plot is not None:
        from phonotaxis.report.tradeoff import draw_tradeoff

        draw_tradeoff(plot, found, what)
        say(f"wrote {plot}")
    if json:
        print_json("tradeoff", tradeoff_figures(found))
        return
    say(what)
    print_tradeoff(found, Console(highlight=False))


def _own(policy: Path, split: SplitName, episodes: int) -> tuple[AudioGoalTask, Sequence[int]]:
    """Return what `evaluate --suite own` measures on."""
    from phonotaxis.commands.contestants import own_task
    from phonotaxis.policies.episode_seeds import evaluation_seeds
    from phonotaxis.policies.evaluate import unseen

    own = own_task(policy, split)
    return unseen(own.task, own.split), evaluation_seeds(own.split, 0, episodes)


def cautions_of(text: str) -> tuple[float, ...]:
    """Read a list of cautions.

    Raises:
        ConfigError: not numbers from 0 to 1 with commas between, or one of them twice.
    """
    from phonotaxis.configs.base import ConfigError

    try:
        found = tuple(float(part) for part in text.split(","))
    except ValueError:
        found = ()
    if not found or len(set(found)) < len(found) or not all(0.0 <= value <= 1.0 for value in found):
        raise ConfigError(f"--caution {text}: expected different numbers from 0 to 1 with commas between: 0,0.5,1")
    return found


def tradeoff_figures(found: Tradeoff) -> dict[str, Figure]:
    """Return every trait at every caution as `caution_0_25.trait`, and its difference from the first, paired."""
    from phonotaxis.policies.tradeoff import TRAITS

    figures = {"episodes": Figure(len(found.episodes[0]))}
    for at, caution in enumerate(found.cautions):
        place = f"caution_{caution:g}".replace(".", "_").replace("-", "_")
        for trait in TRAITS:
            unit = trait.unit if trait.unit in ("m", "s", "1/m") else ""
            estimate = found.estimate(at, trait.name)
            figures[f"{place}.{trait.name}"] = Figure(estimate.value, unit, (estimate.low, estimate.high))
            if at:
                more = found.over(at, trait.name)
                figures[f"{place}.{trait.name}_more"] = Figure(more.value, unit, (more.low, more.high))
    return figures


def print_tradeoff(found: Tradeoff, console: Console) -> None:
    """Print two tables for people: the traits at each caution, and below their differences from the first."""
    from rich.table import Table

    from phonotaxis.policies.tradeoff import TRAIT

    first = f"{found.cautions[0]:g}"
    for names in _TABLES:
        table = Table(box=None, pad_edge=False)
        table.add_column("caution", no_wrap=True)
        for name in names:
            table.add_column(f"{TRAIT[name].label}\n{TRAIT[name].unit}", justify="right")
        for at, caution in enumerate(found.cautions):
            table.add_row(f"{caution:g}", *(_cell(found.estimate(at, name), TRAIT[name]) for name in names))
        for at, caution in enumerate(found.cautions[1:], 1):
            table.add_row(f"{caution:g} minus {first}", *(_cell(found.over(at, name), TRAIT[name]) for name in names))
        console.print(table)
        console.print()


def _cell(estimate: Estimate, trait: Trait) -> str:
    from rich.markup import escape

    return escape(estimate.text(0, 100.0) if trait.unit == "%" else estimate.text())


COMMAND = Command(
    "tradeoff",
    tradeoff,
    (
        (
            "phonotaxis tradeoff runs/prefer --plot tradeoff.png",
            "success, clearance and the rest over the knob",
        ),
        ("phonotaxis tradeoff careful.onnx --split validation --episodes 100", "the file that drives, in a hurry"),
        ("phonotaxis tradeoff --suite audiogoal-robot-v1 --caution 0,1", "the shipped policy, as a rover"),
    ),
    needs_arguments=True,
)
