"""The benchmark as one picture: how far each quantity is from its goal, and how its errors spread."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from phonotaxis.envs.truth import Row

_GOOD, _BAD, _INK, _MUTED = "#15803d", "#b91c1c", "#1f2937", "#6b7280"
_LONGEST = 3.0  # goals


class PlotError(ValueError):
    """A picture that can't be drawn or written; the message says why."""


def check_plot_path(path: Path) -> None:
    """Refuse a file that couldn't be written, before minutes are spent on what it shall show.

    Raises:
        PlotError: not a .png, or its folder isn't there.
    """
    if path.suffix.lower() != ".png":
        raise PlotError(f"{path}: expected a file that ends in .png")
    if not path.absolute().parent.is_dir():
        raise PlotError(f"{path}: its folder isn't there; make it, or choose another")


def write_plot(rows: Sequence[Row], path: Path) -> None:
    """Draw the judged rows against their goals, and the spread of those that hold single values.

    Args:
        rows: of the benchmark.
        path: of the PNG file to write.

    Raises:
        PlotError: no row has a goal.
    """
    judged = [row for row in rows if row.limit is not None]
    if not judged:
        raise PlotError("nothing to draw: no quantity with a goal was measured")
    import matplotlib.figure

    spread = [row for row in judged if len(row.samples) > 20]
    height = max(2.5, 0.42 * len(judged) + 1.0)
    figure = matplotlib.figure.Figure(figsize=(13.0 if spread else 8.0, height), layout="constrained", dpi=130)
    axes = figure.subplots(1, 2 if spread else 1, squeeze=False)[0]
    _draw_goals(axes[0], judged)
    if spread:
        _draw_spread(axes[1], spread)
    figure.savefig(path, format="png")


def _draw_goals(axes: Any, rows: Sequence[Row]) -> None:
    """Draw each magnitude as a share of what it is held to."""
    shares = np.array([abs(row.value) / (row.limit or 1.0) for row in rows])
    places = np.arange(len(rows))
    colours = [_GOOD if row.met else _BAD for row in rows]
    axes.barh(places, np.nan_to_num(np.minimum(shares, _LONGEST)), color=colours, height=0.6)
    axes.axvline(1.0, color=_INK, linewidth=1.0)
    for place, row, share in zip(places, rows, shares):
        text = f"{row.value:.3g} of {row.limit:.3g} {row.unit}".rstrip()
        at = min(share, _LONGEST) if np.isfinite(share) else 0.0
        axes.text(at + 0.04, place, text, va="center", fontsize=8, color=_MUTED)
    axes.set_yticks(places, [row.name for row in rows], fontsize=8)
    axes.invert_yaxis()
    axes.set_xlim(0.0, _LONGEST + 1.0)
    axes.set_xlabel("share of the goal, or of the reference against itself where that is larger")


def _draw_spread(axes: Any, rows: Sequence[Row]) -> None:
    """Draw the share of single values that lie below each magnitude, in units of what the figure is held to."""
    for row in rows:
        values = np.sort(np.abs(np.array(row.samples))) / (row.limit or 1.0)
        axes.step(values, (np.arange(values.size) + 1) / values.size, where="post", linewidth=1.2, label=row.name)
    axes.axvline(1.0, color=_INK, linewidth=1.0)
    axes.set_xlim(0.0, 2.0 * _LONGEST)
    axes.set_ylim(0.0, 1.0)
    axes.set_xlabel("magnitude of single values, in units of the goal")
    axes.set_ylabel("share of values below")
    axes.legend(fontsize=8, loc="lower right", frameon=False)
