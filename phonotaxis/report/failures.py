"""A sheet of episodes that went wrong, seen from above."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from phonotaxis.envs.metrics import EpisodeResult
from phonotaxis.envs.scenes.render import PATH_COLORS, SOURCE_COLOR, draw_paths, draw_source, plan_image
from phonotaxis.envs.scenes.scene import Scene
from phonotaxis.policies.trails import Trail

if TYPE_CHECKING:
    from matplotlib.axes import Axes

OTHER_COLOR = "#7a7f87"  # of what plays and isn't sought
_INK = "#34373e"
_COLUMNS, _INCHES = 4, 3.6
_BAR_M = 2.0
_STILL_M = 0.01
_STRIP = 0.08  # below the plans for the bar, of the tallest one's height


def draw_trails(path: str | Path, trails: Sequence[Trail], title: str) -> None:
    """Write a PNG of episodes: plan, way from dot to arrow, sources, and how it ended. All have one scale.

    Args:
        path: of the file; its folder is made.
        trails: one or more.
        title: above all of them.
    """
    columns = min(_COLUMNS, len(trails))
    rows = math.ceil(len(trails) / columns)
    figure = Figure(figsize=(_INCHES * max(columns, 2), (_INCHES + 0.3) * rows + 0.9), dpi=80, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title, fontsize=12)
    width_m, height_m = (max(size) for size in zip(*(_size_m(trail.scene) for trail in trails)))
    for axes, trail in zip(figure.subplots(rows, columns, squeeze=False).flat, trails):
        _draw_plan(axes, trail.scene, width_m, height_m)
        draw_paths(axes, [moves(trail.way_m)])
        for other_m in trail.others_m:
            axes.plot(*other_m[:2], "s", color=OTHER_COLOR, mec="white", ms=8, zorder=5)
        draw_source(axes, trail.source_m.tolist())
        axes.set_title(how_it_ended(trail.result).replace(" (start", "\n(start"), fontsize=9, loc="left")
    for axes in figure.axes[len(trails) :]:
        axes.set_axis_off()
    others = any(len(trail.others_m) for trail in trails)
    figure.legend(handles=_legend(others), loc="outside lower center", ncols=4, frameon=False, fontsize=10)
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(target, format="png", facecolor="white")


def moves(way_m: np.ndarray) -> np.ndarray:
    """Leave out of a way, [steps, 2], the steps on the spot: an arrow needs to know where it came from."""
    gone_m = np.linalg.norm(np.diff(way_m, axis=0), axis=1)
    return way_m[np.concatenate([[True], gone_m > _STILL_M])]


def _size_m(scene: Scene) -> tuple[float, float]:
    rows, columns = scene.shape
    return columns * scene.cell_m, rows * scene.cell_m


def _draw_plan(axes: Axes, scene: Scene, width_m: float, height_m: float) -> None:
    """Draw a plan in the middle of so many metres, with a bar below that is as long in every one."""
    (x, y), (width, height) = scene.origin_m, _size_m(scene)
    axes.imshow(
        plan_image(scene), origin="lower", extent=(x, x + width, y, y + height), interpolation="nearest", zorder=0
    )
    left, low = x + 0.5 * (width - width_m), y + 0.5 * (height - height_m)
    strip = _STRIP * height_m
    axes.set_xlim(left, left + width_m)
    axes.set_ylim(low - strip, low + height_m)
    axes.set_aspect("equal")
    axes.plot([left, left + _BAR_M], [low - 0.5 * strip] * 2, color=_INK, lw=2.5, solid_capstyle="butt")
    axes.text(left + _BAR_M, low - 0.5 * strip, f"  {_BAR_M:g} m", ha="left", va="center", fontsize=9)
    axes.set_axis_off()


def _legend(others: bool) -> list[Line2D]:
    """Say what the signs are; that of other sources where there are any."""
    way: dict[str, Any] = {"color": PATH_COLORS[0], "mec": "white", "ls": "none"}
    signs = [
        Line2D([], [], marker="o", ms=9, label="start", **way),
        Line2D([], [], marker=">", ms=10, label="end", **way),
        Line2D([], [], marker="o", ms=7, color=SOURCE_COLOR, ls="none", label="sought source"),
    ]
    other = Line2D([], [], marker="s", ms=8, color=OTHER_COLOR, mec="white", ls="none", label="other source")
    return [*signs, other] if others else signs


def how_it_ended(result: EpisodeResult) -> str:
    """Say in a line how an episode ended."""
    name = f"{result.episode_seed % 2**40}: "
    if result.success:
        return f"{name}stopped at the source after {result.steps} steps"
    how = "stopped" if result.stopped else "out of time"
    been = ", had been there" if result.reached else ""
    return f"{name}{how} {result.final_distance_m:.1f} m from the source (start {result.shortest_path_m:.1f} m){been}"
