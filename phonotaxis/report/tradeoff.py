"""The picture of a trade-off: each trait over the knob, with 95 % intervals."""

from __future__ import annotations

from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from phonotaxis.policies.tradeoff import TRAIT, Tradeoff
from phonotaxis.report.style import ACCENT, INK, RC, RULE

_PANELS = {
    "Success and SPL, %": ("success", "spl"),
    "Clearance, m": ("clearance_m", "low_clearance_m"),
    "Changes of speed and turning, 1/m": ("changes_per_m",),
    "Time, s": ("time_s",),
}
_COLOURS = (ACCENT, INK)


def draw_tradeoff(path: str | Path, tradeoff: Tradeoff, title: str) -> None:
    """Write a PNG.

    Args:
        path: of the file; its folder is made.
        tradeoff: what was found.
        title: above all panels.
    """
    with matplotlib.rc_context(RC):
        figure = Figure(figsize=(9.0, 6.4), dpi=120, layout="constrained")
        FigureCanvasAgg(figure)
        figure.suptitle(title, fontsize=12)
        for axes, (heading, names) in zip(figure.subplots(2, 2).flat, _PANELS.items()):
            for name, colour in zip(names, _COLOURS):
                _draw_trait(axes, tradeoff, name, colour)
            axes.set_title(heading)
            axes.set_xlabel("caution")
            axes.grid(axis="y", color=RULE, linewidth=0.6)
            if len(names) > 1:
                axes.legend(loc="best")
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(target, format="png", facecolor="white")


def _draw_trait(axes: Axes, tradeoff: Tradeoff, name: str, colour: str) -> None:
    scale = 100.0 if TRAIT[name].unit == "%" else 1.0
    found = [tradeoff.estimate(at, name) for at in range(len(tradeoff.cautions))]
    values = [scale * estimate.value for estimate in found]
    reach = [
        [scale * (estimate.value - estimate.low) for estimate in found],
        [scale * (estimate.high - estimate.value) for estimate in found],
    ]
    axes.errorbar(
        tradeoff.cautions, values, yerr=reach, color=colour, marker="o", markersize=4, capsize=3, linewidth=1.4,
        label=TRAIT[name].label,
    )  # fmt: skip
