"""A sheet of episodes that went wrong, seen from above."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from phonotaxis.envs.metrics import EpisodeResult
from phonotaxis.envs.scenes.render import draw_paths, draw_plan, draw_source
from phonotaxis.policies.trails import Trail

_COLUMNS, _INCHES = 4, 3.6


def draw_trails(path: str | Path, trails: Sequence[Trail], title: str) -> None:
    """Write a PNG of episodes: plan, way from dot to arrow, source, and how it ended.

    Args:
        path: of the file; its folder is made.
        trails: one or more.
        title: above all of them.
    """
    columns = min(_COLUMNS, len(trails))
    rows = math.ceil(len(trails) / columns)
    figure = Figure(figsize=(_INCHES * columns, (_INCHES + 0.3) * rows + 0.5), dpi=80, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title, fontsize=12)
    for axes, trail in zip(figure.subplots(rows, columns, squeeze=False).flat, trails):
        draw_plan(axes, trail.scene)
        draw_paths(axes, [trail.way_m])
        draw_source(axes, trail.source_m.tolist())
        axes.set_title(how_it_ended(trail.result), fontsize=9, loc="left")
    for axes in figure.axes[len(trails) :]:
        axes.set_axis_off()
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(target, format="png", facecolor="white")


def how_it_ended(result: EpisodeResult) -> str:
    """Say in a line how an episode ended."""
    name = f"{result.episode_seed % 2**40}: "
    if result.success:
        return f"{name}stopped at the source after {result.steps} steps"
    how = "stopped" if result.stopped else "out of time"
    been = ", had been there" if result.reached else ""
    return f"{name}{how} {result.final_distance_m:.1f} of {result.shortest_path_m:.1f} m away{been}"
