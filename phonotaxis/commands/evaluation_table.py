"""What an evaluation prints: tables for people, figures for programs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from phonotaxis.figures import Figure, free_name

if TYPE_CHECKING:
    from rich.console import Console

    from phonotaxis.envs.metrics import EpisodeResult
    from phonotaxis.envs.statistics import Estimate
    from phonotaxis.policies.benchmark import Evaluation

OURS, RIVALS = "learnt", ("follower", "keyword")
SEED, SEEDS_MEAN = "seed_", "seeds_mean"  # of the names of one training's seeds, and their mean
_SHARES = ("success", "spl", "softspl", "sna", "reach", "stop_precision", "sws")
_REST = (
    "distance_to_goal_m", "collisions_per_m", "time_to_goal_s", "bearing_error_deg_in_sight",
    "bearing_error_deg_out_of_sight",
)  # fmt: skip
_PAIRED = ("success", "spl")
_WIDE = 110  # columns of a terminal from which on an interval stands beside its value, not under it
_UNITS = ("m", "rad", "s", "deg", "1/m")
_DIGITS = {"collisions_per_m": 2, "bearing_error_deg_in_sight": 0, "bearing_error_deg_out_of_sight": 0}


def evaluation_figures(evaluation: Evaluation) -> dict[str, Figure]:
    """Return every metric of every policy as `policy.metric`, and what ours is ahead of each rival, paired.

    Rivals are the follower, the keyword search and every other policy: `learnt.success_over_follower`,
    `learnt.spl_over_deaf`. Of several seeds of a training ours is the first, and `seeds_mean` their mean.
    """
    from phonotaxis.envs.metrics import BY_NAME

    figures = {"episodes": Figure(max(len(results) for results in evaluation.results.values()))}
    for policy, summary in _summaries(evaluation).items():
        for name, estimate in summary.items():
            unit = BY_NAME[name].unit if BY_NAME[name].unit in _UNITS else ""
            figures[f"{policy}.{name}"] = Figure(estimate.value, unit, (estimate.low, estimate.high))
    for ours, other in _pairs(evaluation):
        for metric in _PAIRED:
            ahead = evaluation.over(ours, other, metric)
            figures[f"{ours}.{metric}_over_{other}"] = Figure(ahead.value, "", (ahead.low, ahead.high))
    return figures


def figures_by_sound(evaluation: Evaluation) -> dict[str, Figure]:
    """Return every policy's success by what the goal sounds like, as `policy.success_of_siren`.

    Of a recording's name what is neither letter nor digit becomes an underscore, and a number tells apart what is then
    the same.
    """
    figures: dict[str, Figure] = {}
    for policy, results in evaluation.results.items():
        for sound, success in _success_by_sound(results).items():
            name = free_name(sound, figures, f"{policy}.success_of_", "sound")
            figures[name] = Figure(success.value, "", (success.low, success.high))
    return figures


def print_by_sound(evaluation: Evaluation, console: Console) -> None:
    """Print a table for people: success by what the goal sounds like, a column for each policy."""
    from rich.markup import escape
    from rich.table import Table

    from phonotaxis.envs.metrics import by_sound

    found = {policy: _success_by_sound(results) for policy, results in evaluation.results.items()}
    counts = {sound: len(of) for sound, of in by_sound(next(iter(evaluation.results.values()))).items()}
    table = Table(box=None, pad_edge=False, title="Success by sound, %", title_justify="left")
    table.add_column("sound", no_wrap=True)
    table.add_column("episodes", justify="right")
    for policy in found:
        table.add_column(policy, justify="right", no_wrap=True)
    for sound, count in counts.items():
        table.add_row(escape(sound), str(count), *(escape(each[sound].text(0, 100.0)) for each in found.values()))
    console.print(table)


def _success_by_sound(results: Sequence[EpisodeResult]) -> dict[str, Estimate]:
    from phonotaxis.envs import metrics, statistics

    return {
        sound: statistics.mean(metrics.values(of, "success"), 0) for sound, of in metrics.by_sound(results).items()
    }  # fmt: skip


def print_evaluation(evaluation: Evaluation, console: Console) -> None:
    """Print two tables for people, a row for each policy, and what ours is ahead of its rivals; 95 % intervals."""
    from phonotaxis.envs.metrics import BY_NAME

    summaries = _summaries(evaluation)
    for names in (_SHARES, _REST):
        shown = [name for name in names if any(name in summary for summary in summaries.values())]
        _print_table(summaries, shown, console)
    for ours, other in _pairs(evaluation):
        ahead = [f"{BY_NAME[name].label} {evaluation.over(ours, other, name).text(0, 100.0)} %" for name in _PAIRED]
        console.print(f"{ours} minus {other}, paired: {', '.join(ahead)}", markup=False, soft_wrap=True)


def _print_table(summaries: dict[str, dict[str, Estimate]], names: list[str], console: Console) -> None:
    from rich.markup import escape
    from rich.table import Table

    from phonotaxis.envs.metrics import BY_NAME

    table = Table(box=None, pad_edge=False)
    table.add_column("policy", no_wrap=True)
    for name in names:
        unit = "%" if BY_NAME[name].unit == "1" else BY_NAME[name].unit
        table.add_column(f"{BY_NAME[name].label}\n{unit}", justify="right")
    for policy, summary in summaries.items():
        cells = []
        for name in names:
            share = BY_NAME[name].unit == "1"
            digits = 0 if share else _DIGITS.get(name, 1)
            cell = summary[name].text(digits, 100.0 if share else 1.0) if name in summary else "–"
            cells.append(cell if console.width >= _WIDE else cell.replace(" [", "\n[", 1))
        table.add_row(policy, *map(escape, cells), style="bold" if policy in (OURS, SEEDS_MEAN) else None)
    console.print(table)
    console.print()


def _summaries(evaluation: Evaluation) -> dict[str, dict[str, Estimate]]:
    """Return the metrics of each policy, and before those the mean of several seeds of one training."""
    from phonotaxis.envs.metrics import over_trainings

    seeds = [name for name in evaluation.contestants if name.startswith(SEED)] if _ours(evaluation) != OURS else []
    mean = {SEEDS_MEAN: over_trainings([evaluation.results[name] for name in seeds])} if len(seeds) > 1 else {}
    return mean | {policy: evaluation.summary(policy) for policy in evaluation.results}


def _ours(evaluation: Evaluation) -> str:
    first = next(iter(evaluation.contestants), OURS)
    return first if first.startswith(SEED) else OURS


def _pairs(evaluation: Evaluation) -> list[tuple[str, str]]:
    """Return ours, or the first seed of it, with each of its rivals: none where ours wasn't measured."""
    ours = _ours(evaluation)
    rivals = [name for name in evaluation.results if name in (*RIVALS, *evaluation.contestants) and name != ours]
    return [(ours, rival) for rival in rivals if ours in evaluation.results]
