"""Pictures of scenes from above."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from phonotaxis.envs.scenes.materials import MATERIALS
from phonotaxis.envs.scenes.scene import Scene

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WALL_COLOR = (52, 55, 62)
# Pale, and told apart by colour-blind readers too: rooms are also divided by walls.
ROOM_COLORS = (
    (232, 240, 246), (248, 238, 226), (233, 243, 231), (243, 233, 243),
    (250, 244, 220), (228, 241, 240), (245, 230, 230), (236, 236, 244),
)  # fmt: skip
PATH_COLORS = ("#1668b5", "#d1495b", "#2e8b57", "#8e5ea2", "#e08e1b")
SOURCE_COLOR = "#d1495b"
SCALE_BAR_SHARE = 0.07  # of the plan's height, below it


def plan_image(scene: Scene) -> np.ndarray:
    """Paint the plan: rooms tinted, walls dark, furniture in its material's colour, doors between.

    Args:
        scene: the scene.

    Returns:
        uint8 [rows, columns, 3], row 0 at the lowest y.
    """
    tints = np.array(ROOM_COLORS, np.float32)
    colors = np.array([material.color for material in MATERIALS], np.float32)
    walls = scene.is_wall
    image = tints[np.maximum(scene.room, 0) % len(tints)]
    # A breath of the floor's own colour, so that tiles, carpet and wood can be told apart.
    image = 0.82 * image + 0.18 * colors[scene.floor_material]
    solid = (scene.floor_m > 0) & ~walls
    # The higher a piece stands the darker it is drawn.
    shade = 1.0 - 0.25 * np.clip(scene.floor_m / max(scene.height_m, 1e-6), 0, 1)
    image[solid] = (colors[scene.floor_material] * shade[..., None])[solid]
    lintels = (scene.ceiling_m < np.float32(scene.height_m)) & ~walls & ~solid
    image[lintels] = 0.6 * image[lintels] + 0.4 * colors[scene.ceiling_material[lintels]]
    image[walls] = WALL_COLOR
    glazed = walls & np.isin(scene.side_material, [i for i, m in enumerate(MATERIALS) if m.name == "glass"])
    image[glazed] = 0.35 * np.array(WALL_COLOR) + 0.65 * np.array((150, 200, 225))
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def draw_plan(axes: Axes, scene: Scene) -> None:
    """Draw the plan with a scale bar into matplotlib axes whose coordinates are world metres."""
    rows, columns = scene.shape
    x0, y0 = scene.origin_m
    x1, y1 = x0 + columns * scene.cell_m, y0 + rows * scene.cell_m
    axes.imshow(plan_image(scene), origin="lower", extent=(x0, x1, y0, y1), interpolation="nearest", zorder=0)
    axes.set_aspect("equal")
    axes.set_xlim(x0, x1)
    length = _scale_length_m(x1 - x0)
    strip = SCALE_BAR_SHARE * (y1 - y0)
    axes.set_ylim(y0 - strip, y1)
    axes.plot([x0, x0 + length], [y0 - 0.5 * strip] * 2, color="#34373e", lw=2.5, solid_capstyle="butt")
    axes.text(x0 + length, y0 - 0.5 * strip, f"  {length:g} m", ha="left", va="center", fontsize=9)
    axes.set_axis_off()


def draw_paths(axes: Axes, paths: Sequence[np.ndarray]) -> None:
    """Draw walks, each float64 [points, 2] in world metres: a dot at the start, an arrow at the end."""
    for index, path in enumerate(paths):
        points = np.asarray(path, np.float64)
        if points.ndim != 2 or points.shape[1] != 2:
            raise ValueError(f"path {index}: expected [points, 2], got {list(points.shape)}")
        if len(points) == 0:
            continue
        color = PATH_COLORS[index % len(PATH_COLORS)]
        axes.plot(points[:, 0], points[:, 1], color="white", lw=4.0, alpha=0.8, zorder=2)
        axes.plot(points[:, 0], points[:, 1], color=color, lw=2.0, solid_joinstyle="round", zorder=3)
        axes.plot(*points[0], "o", color=color, mec="white", ms=8, zorder=4)
        if len(points) > 1:
            axes.annotate(
                "", xy=points[-1], xytext=points[-2], zorder=4,
                arrowprops={"arrowstyle": "-|>", "color": color, "lw": 2.0, "mutation_scale": 16},
            )  # fmt: skip


def draw_source(axes: Axes, source_m: Sequence[float]) -> None:
    """Mark a sound source at world x, y (metres) by a dot with rings of sound around it."""
    from matplotlib.patches import Circle

    for radius_m, alpha in ((0.22, 0.9), (0.42, 0.55), (0.62, 0.3)):
        ring = Circle((source_m[0], source_m[1]), radius_m, fill=False, lw=1.6, ec=SOURCE_COLOR, alpha=alpha)
        axes.add_patch(ring).set_zorder(4)
    axes.plot(source_m[0], source_m[1], "o", color=SOURCE_COLOR, ms=6, zorder=5)


def top_down_png(
    scene: Scene,
    path: str | Path,
    paths: Sequence[np.ndarray] | None = None,
    source_m: Sequence[float] | None = None,
    title: str | None = None,
    width_px: int = 1000,
) -> None:
    """Write a picture of a scene from above, with a scale bar.

    Args:
        scene: the scene.
        path: of the PNG to write.
        paths: walks to draw, each float64 [points, 2], world metres.
        source_m: world x, y of a sound source to mark (further coordinates are ignored).
        title: above the picture; the scene's name when absent.
        width_px: of the picture; the height follows from the plan.

    Raises:
        ValueError: a path isn't [points, 2].
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows, columns = scene.shape
    inches = width_px / 100.0
    header = 0.4  # inches, for the title
    height = max(1.5, inches * 0.96 * rows / columns * (1.0 + SCALE_BAR_SHARE)) + header
    figure = Figure(figsize=(inches, height), dpi=100)
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0.02, 0.0, 0.96, 1.0 - header / height))
    draw_plan(axes, scene)
    draw_paths(axes, paths or ())
    if source_m is not None:
        draw_source(axes, source_m)
    axes.set_title(scene.name if title is None else title, fontsize=11, loc="left")
    figure.savefig(path, format="png", facecolor="white")


def _scale_length_m(width_m: float) -> float:
    """Return the largest of 1, 2, 5 times a power of ten that is at most a quarter of the width."""
    power = 10.0 ** np.floor(np.log10(width_m / 4.0))
    return float(max(step * power for step in (1.0, 2.0, 5.0) if step * power <= width_m / 4.0))
