"""The evaluation table: which metrics it shows and how their figures are written."""

from __future__ import annotations

import math
from dataclasses import dataclass

from phonotaxis.envs.statistics import Estimate
from phonotaxis.report.data import PolicyRow


@dataclass(frozen=True)
class Column:
    """One column of the table.

    Attributes:
        metric: name in `metrics.METRICS`.
        heading: with its unit.
        scale: what figures are multiplied by.
        digits: after the point.
        share: lies between 0 and 1, so that it can be drawn on a common axis.
        short: heading where there is little room; empty for the same.
    """

    metric: str
    heading: str
    scale: float = 1.0
    digits: int = 2
    share: bool = False
    short: str = ""


COLUMNS = (
    Column("success", "Success (%)", 100.0, 0, True),
    Column("spl", "SPL (%)", 100.0, 0, True),
    Column("softspl", "SoftSPL (%)", 100.0, 0, True),
    Column("sna", "SNA (%)", 100.0, 0, True),
    Column("distance_to_goal_m", "Distance to goal (m)", 1.0, 1, short="To goal (m)"),
    Column("collisions", "Collisions", 1.0, 1),
    Column("reach", "Reach (%)", 100.0, 0, True),
    Column("stop_precision", "Stop precision (%)", 100.0, 0, True),
    Column("sws", "SWS (%)", 100.0, 0, True),
    Column("bearing_error_rad", "Bearing error (°)", 180.0 / math.pi, 0),
)


def columns(rows: tuple[PolicyRow, ...]) -> list[Column]:
    """Return the columns for which any policy has a figure."""
    return [column for column in COLUMNS if any(column.metric in row.estimates for row in rows)]


def figures(estimate: Estimate, column: Column) -> tuple[str, str]:
    """Write an estimate in its column's unit.

    Returns:
        The value, and the interval as `low – high`.
    """
    value, low, high = (f"{x * column.scale:.{column.digits}f}" for x in (estimate.value, estimate.low, estimate.high))
    return value, f"{low} – {high}"
