"""`phonotaxis bench`: how fast the parts are on this machine, and how true they sound."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from phonotaxis.commands.command import Command, Group, Json, Seed, say
from phonotaxis.figures import Figure, emit, print_json, readable

if TYPE_CHECKING:
    from phonotaxis.envs.truth import Row


def sim(
    worlds: Annotated[int, typer.Option(help="Worlds that are stepped at once.", min=1, max=4096)] = 64,
    seconds: Annotated[float, typer.Option(help="How long to measure.", min=0.1)] = 10.0,
    threads: Annotated[int, typer.Option(help="Threads; 1 measures one core.", min=1)] = 1,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Count the simulator's steps a second: sound, depth, motion, reward, and episodes that begin anew.

    Start-up and the compilation of kernels are left out; everything that a training pays for is in.
    """
    from phonotaxis.envs.bench import bench_sim

    measured = bench_sim(worlds=worlds, seconds=seconds, threads=threads, seed=seed)
    emit("bench sim", {name: Figure(value, unit) for name, (value, unit) in measured.items()}, json)


def acoustics(
    only: Annotated[
        list[str] | None, typer.Option(help="A part: arrays, click, coherence, shoebox, ...; may be repeated.")
    ] = None,
    plot: Annotated[Path | None, typer.Option(help="Write a picture of the errors here, a .png file.")] = None,
    json: Json = False,
) -> None:
    """Hold the simulator's sound against references: exact images, wedges, finite differences, other simulators.

    Every figure stands beside its goal and beside the reference against itself, below which no goal lies. Parts
    whose reference isn't installed are left out and named. Ten minutes on one core; scenes, poses and seeds are fixed.
    """
    from phonotaxis.commands.progress import ProgressBar
    from phonotaxis.envs.truth import suite
    from phonotaxis.envs.truth.plot import check_plot_path, write_plot

    suite.check(only or ())
    if plot is not None:
        check_plot_path(plot)
    with ProgressBar("acoustics") as bar:
        outcome = suite.run(only or (), bar)
    for line in outcome.missing:
        say(f"left out: {line}")
    if json:
        print_json("bench acoustics", figures_of(outcome.rows))
    else:
        _print_rows(outcome.rows)
    if plot is not None:
        write_plot(outcome.rows, plot)
        say(f"wrote {plot}")


def figures_of(rows: Sequence[Row]) -> dict[str, Figure]:
    """Return the rows as figures: each value by its name, with `_goal` and `_reference_own` beside it."""
    figures = {}
    for row in rows:
        figures[row.name] = Figure(row.value, row.unit)
        if row.goal is not None:
            figures[f"{row.name}_goal"] = Figure(row.goal, row.unit)
        if row.reference_own is not None:
            figures[f"{row.name}_reference_own"] = Figure(row.reference_own, row.unit)
    return figures


def _print_rows(rows: Sequence[Row]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    table.add_column("quantity", no_wrap=True)
    for title in ("measured", "goal", "reference itself", "met"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("unit", no_wrap=True)
    for row in rows:
        met = "" if row.met is None else readable(row.met)
        goal, own = ("" if value is None else readable(value) for value in (row.goal, row.reference_own))
        table.add_row(row.name, readable(row.value), goal, own, met, row.unit)
    console = Console(highlight=False, markup=False)
    console.print(table)
    for row in rows:
        if row.note:
            console.print(f"{row.name}: {row.note}", soft_wrap=True)


GROUP = Group(
    "bench",
    "How fast the parts are on this machine, and how true they sound.",
    (
        Command(
            "acoustics",
            acoustics,
            (
                ("phonotaxis bench acoustics", "the whole table, against every reference that is installed"),
                ("phonotaxis bench acoustics --only shoebox --plot truth.png", "exact image sources alone"),
            ),
        ),
        Command(
            "sim",
            sim,
            (
                ("phonotaxis bench sim", "one core"),
                ("phonotaxis bench sim --threads 2 --worlds 256 --json", "two cores, for a script"),
            ),
        ),
    ),
)
