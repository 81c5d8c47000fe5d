"""`phonotaxis bench`: how fast the parts are on this machine, and how true they sound."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from phonotaxis.commands.command import Command, Group, Json, Seed, policy_or_shipped, say
from phonotaxis.figures import Figure, emit, print_json, readable

if TYPE_CHECKING:
    from phonotaxis.envs.bench import Measure
    from phonotaxis.envs.bench.growth import Growth
    from phonotaxis.envs.truth import Row

# phonotaxis.envs.truth.suite.PARTS, which would be loaded for each --help
TRUTH_PARTS = ("arrays", "click", "coherence", "shoebox", "waves", "wedge", "door", "furnished", "rlr")


def sim(
    worlds: Annotated[int, typer.Option(help="Worlds that are stepped at once.", min=1, max=4096)] = 64,
    seconds: Annotated[float, typer.Option(help="How long to measure with each number of threads.", min=0.1)] = 20.0,
    threads: Annotated[int, typer.Option(help="Threads to hold against one; 1 measures one alone.", min=1)] = 2,
    reference: Annotated[bool, typer.Option("--rlr/--no-rlr", help="Time RLR too, where it is installed.")] = True,
    growth: Annotated[
        bool,
        typer.Option(
            "--growth", help="Measure how the cost grows, too: triangles, microphones, sources, taps, worlds."
        ),
    ] = False,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Count the simulator's steps a second: sound, depth, motion, reward, and episodes that begin anew.

    Start-up and the compilation of kernels are left out; everything that a training pays for is in. One thread, more
    threads and RLR Audio Propagation on the same poses alternate within the run. A minute and a half on two quiet
    cores; --growth adds four.
    """
    from phonotaxis.commands.progress import ProgressBar
    from phonotaxis.envs.bench.growth import growth_figures, measure_growth
    from phonotaxis.envs.bench.sim import BENCH_TASK, bench_sim

    with ProgressBar("bench sim") as bar:
        report = bench_sim(worlds, seconds, threads, seed, reference=reference, progress=bar)
        rows = measure_growth(BENCH_TASK, seed, progress=bar) if growth else []
    for line in report.left_out:
        say(f"left out: {line}")
    if json:
        measured = report.figures | growth_figures(rows)
        print_json("bench sim", {name: Figure(*measure) for name, measure in measured.items()})
        return
    emit("bench sim", {name: Figure(*m) for name, m in report.figures.items() if m.unit != "us"}, as_json=False)
    _print_parts(report.figures)
    _print_growth(rows)


def inference(
    policy: Annotated[
        Path | None, typer.Argument(help="A bundle of full precision (.onnx); the shipped policy without.")
    ] = None,
    steps: Annotated[int, typer.Option(help="Of each engine.", min=5)] = 2000,
    json: Json = False,
) -> None:
    """Time one step of a policy, waveform in, action out, in every engine there is here, side by side.

    One thread and a batch of one, as on the robot. Engines take turns, each in a process of its own; start-up counts
    from the start of the process to its first action. fp16 on a CPU is emulation. Half a minute on a quiet core.
    """
    from phonotaxis.commands.progress import ProgressBar
    from phonotaxis.export.bench import bench
    from phonotaxis.export.bundle import open_bundle, read_bundle
    from phonotaxis.export.precision import activations, bare_model, convert

    bundle = read_bundle(policy_or_shipped(policy))
    ranges = dict.fromkeys(activations(bare_model(bundle)), 8.0)  # no value changes how long a step takes
    bundles = {name: open_bundle(convert(bundle, name, ranges)) for name in ("fp32", "fp16", "int8")}
    with ProgressBar("bench inference") as bar:
        found = bench(bundles, steps, bar)
    figures: dict[str, Figure] = {}
    for name, one in found.items():
        units = {"p50_ms": "ms", "p99_ms": "ms", "max_ms": "ms", "memory_mb": "MB", "start_s": "s", "steps": ""}
        figures |= {f"{name}.{key}": Figure(getattr(one, key), unit) for key, unit in units.items()}
    figures["fp32.speed_up"] = Figure(found["eager_fp32"].p50_ms / found["onnxruntime_fp32"].p50_ms)
    if json:
        print_json("bench inference", figures)
        return
    _print_table(
        ("engine", "p50 ms", "p99 ms", "max ms", "memory MB", "first action s"),
        [
            (
                name.replace("_", " ") + (" (emulated)" if name == "onnxruntime_fp16" else ""),
                *(readable(value) for value in (one.p50_ms, one.p99_ms, one.max_ms, one.memory_mb, one.start_s)),
            )
            for name, one in found.items()
        ],
    )
    say(f"ONNX Runtime is {figures['fp32.speed_up'].value:.2f} times as fast as PyTorch in eager mode")
    say("on a CPU fp16 and int8 are computed in float32: smaller files, no faster; a GPU's times are its own")


def _print_parts(figures: Mapping[str, Measure]) -> None:
    """Say where each microsecond of a step goes, beside the transforms alone."""
    step, transforms = figures["step_us"].value, figures["fft_us"].value
    rows = [(name, m.value) for name, m in figures.items() if m.unit == "us" and name != "fft_us"]
    rows.append(("elsewhere_us", 2.0 * step - sum(value for _, value in rows)))
    rows.append(("fft_us", transforms))
    _print_table(
        ("one thread, a step of one world", "us", "share of the step", "times the transforms"),
        [
            (_PART_NAMES.get(name, name[:-3]), readable(us), f"{us / step:.1%}", f"{us / transforms:.2f}")
            for name, us in rows
        ],
    )


_TABLE_WIDTH = 150
_PART_NAMES = {
    "step_us": "all of it",
    "responses_us": "impulse responses",
    "converter_us": "noise and converter",
    "hearing_us": "window of sound, and the rest of hearing",
    "motion_us": "motion, distances, rewards",
    "resets_us": "resets, and what is sensed in them",
    "tracing_us": "scenes built and fields traced",
    "observations_us": "copies of observations",
    "fft_us": "of which the transforms alone",
}


def _print_growth(rows: Sequence[Growth]) -> None:
    """Print the table of growth; nothing without rows."""
    if not rows:
        return
    titles = ("size", *(column.replace("_", " ") for column in rows[0]._fields[2:]))
    _print_table(titles, [(f"{row.what} {row.size}", *(readable(value) for value in row[2:])) for row in rows])
    say(
        "growth: everything made beforehand, one thread. The kernels see no triangles but the cells of a plan: "
        "'triangles' roughens floors and ceilings (from x 300 on in finer cells), 'cells' refines the plan and "
        "leaves the surface as it is."
    )


def _print_table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for number, title in enumerate(titles):
        table.add_column(title, justify="right" if number else "left", no_wrap=number == 0)
    for row in rows:
        table.add_row(*row)
    console = Console(highlight=False, markup=False)
    console.width = max(console.width, _TABLE_WIDTH)  # a number cut short by a narrow terminal would be none
    console.print()
    console.print(table)


def acoustics(
    only: Annotated[list[str] | None, typer.Option(help=f"A part; may be repeated. {', '.join(TRUTH_PARTS)}.")] = None,
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
    from rich.padding import Padding
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    table.add_column("quantity", no_wrap=True)
    for title in ("measured", "goal", "reference itself", "met"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("unit", no_wrap=True, min_width=7)
    for row in rows:
        met = "" if row.met is None else readable(row.met)
        goal, own = ("" if value is None else readable(value) for value in (row.goal, row.reference_own))
        table.add_row(row.name, readable(row.value), goal, own, met, row.unit)
    console = Console(highlight=False, markup=False)
    console.print(table)
    for row in rows:
        if row.note:
            console.print()
            console.print(row.name)
            console.print(Padding(row.note, (0, 0, 0, 2)))


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
            "inference",
            inference,
            (
                ("phonotaxis bench inference policy.onnx", "every engine beside PyTorch"),
                ("phonotaxis bench inference policy.onnx --steps 10000 --json", "for a script"),
            ),
        ),
        Command(
            "sim",
            sim,
            (
                ("phonotaxis bench sim", "one core, two cores, and RLR where it is installed"),
                ("phonotaxis bench sim --growth", "and how the cost grows with scene, array, response and batch"),
                ("phonotaxis bench sim --threads 1 --no-rlr --seconds 5 --json", "one core in a hurry, for a script"),
            ),
        ),
    ),
)
