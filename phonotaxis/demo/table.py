"""The evaluation table, for people."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from phonotaxis.envs.metrics import BY_NAME
from phonotaxis.policies.evaluate import Evaluation

COLUMNS = ("success", "spl", "softspl", "sna", "distance_to_goal_m", "collisions", "reach", "steps")
_SHARES = ("success", "spl", "softspl", "sna", "reach")


def print_table(console: Console, evaluation: Evaluation) -> None:
    """Print a row per policy: each metric with its 95 % interval; shares in percent."""
    table = Table(box=None, padding=(0, 1), header_style="bold")
    table.add_column("")
    for name in COLUMNS:
        metric = BY_NAME[name]
        table.add_column(metric.label + (" (m)" if metric.unit == "m" else ""), justify="right")
    for policy in evaluation.results:
        summary = evaluation.summary(policy)
        cells = [summary[name].text(0, 100.0) if name in _SHARES else summary[name].text(1) for name in COLUMNS]
        table.add_row(policy, *cells, style="bold green" if policy == "learnt" else None)
    console.print(table)
