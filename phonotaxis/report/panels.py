"""The panels of a report, each drawn into the axes it is given."""

from __future__ import annotations

import numpy as np
import scipy.signal
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, ListedColormap
from matplotlib.font_manager import findfont, get_font

from phonotaxis.report.data import ReportData
from phonotaxis.report.style import ACCENT, ACCENT_SOFT, FLOOR, INK, MUTED, OBSTACLE, PAPER, RULE, WALL

LEVELS = LinearSegmentedColormap.from_list("level", [PAPER, "#dbe4ee", "#8fa6bf", "#41576f", "#131c28"])
DYNAMIC_RANGE_DB = 60.0
WINDOW_S = 0.032


def drawable(text: str, longest: int = 120) -> str:
    """Replace what the font has no glyph for, and cut what is too long for a picture."""
    font = get_font(findfont("DejaVu Sans"))
    shown = "".join(c if font.get_char_index(ord(c)) and c.isprintable() else "?" for c in text)
    return shown if len(shown) <= longest else shown[: longest - 1] + "…"


def draw_map(axes: Axes, data: ReportData) -> None:
    """Draw walls, furniture, the way gone, the shortest one, start and source."""
    plan = np.zeros(data.wall.shape, dtype=np.uint8)
    plan[data.obstacle] = 1
    plan[data.wall] = 2
    rows, columns = data.wall.shape
    x0, y0 = data.origin_m
    extent = (x0, x0 + columns * data.cell_m, y0, y0 + rows * data.cell_m)
    colours = ListedColormap([FLOOR, OBSTACLE, WALL])
    axes.imshow(plan, cmap=colours, vmin=0, vmax=2, origin="lower", extent=extent, interpolation="nearest")
    if len(data.shortest_path_m):
        axes.plot(*data.shortest_path_m.T, color=INK, lw=1.1, ls=(0, (3, 3)), label="shortest way")
    axes.plot(*data.path_m.T, color=ACCENT, lw=2.0, solid_joinstyle="round", label="robot")
    axes.plot(*data.path_m[0], "o", ms=7, mfc=PAPER, mec=ACCENT, mew=2.0, label="start", zorder=4)
    axes.plot(*data.path_m[-1], "o", ms=7, mfc=ACCENT, mec=PAPER, mew=1.2, label="end", zorder=4)
    axes.plot(*data.source_m, "*", ms=14, mfc=INK, mec=PAPER, mew=1.0, label="source", zorder=5)
    _crop(axes, data, extent)
    axes.set(xlabel="x (m)", ylabel="y (m)", title="Map", aspect="equal")
    axes.legend(  # below the axis' name, whatever the map's height: the distance is in font sizes
        loc="upper center", bbox_to_anchor=(0.5, 0.0), borderaxespad=4.0, ncols=5, handlelength=1.5,
        columnspacing=1.2,
    )  # fmt: skip


def _crop(axes: Axes, data: ReportData, extent: tuple[float, float, float, float]) -> None:
    """Show the plan as far as there is floor in it, with one wall around."""
    rows, columns = np.nonzero(~data.wall)
    if rows.size:
        margin = 4
        x0, y0, cell_m = *data.origin_m, data.cell_m
        left, right = x0 + (columns.min() - margin) * cell_m, x0 + (columns.max() + 1 + margin) * cell_m
        low, high = y0 + (rows.min() - margin) * cell_m, y0 + (rows.max() + 1 + margin) * cell_m
        axes.set_xlim(max(left, extent[0]), min(right, extent[1]))
        axes.set_ylim(max(low, extent[2]), min(high, extent[3]))


def draw_spectrogram(axes: Axes, data: ReportData) -> None:
    """Draw what one microphone heard, over the whole episode."""
    window = max(64, round(WINDOW_S * data.sample_rate_hz))
    window = min(window, data.audio.size)
    hertz, _, power = scipy.signal.spectrogram(
        data.audio.astype(np.float64), data.sample_rate_hz, "hann", window, window // 2, detrend=False
    )
    level_db = 10.0 * np.log10(power + 1e-20)
    top_db = float(np.quantile(level_db, 0.999))
    axes.imshow(
        level_db, cmap=LEVELS, vmin=top_db - DYNAMIC_RANGE_DB, vmax=top_db, origin="lower", aspect="auto",
        extent=(0.0, data.audio.size / data.sample_rate_hz, 0.0, hertz[-1] / 1000.0), interpolation="auto",
    )  # fmt: skip
    axes.set(ylabel="kHz", title="What one microphone heard")


def draw_bearing(axes: Axes, data: ReportData) -> None:
    """Draw the bearing the policy believed in, with one standard deviation, over the true one."""
    time_s = data.step_end_s
    spread = np.rad2deg(np.minimum(data.bearing_std_rad, np.pi))
    for believed in _turns(data.bearing_rad):
        axes.fill_between(time_s, believed - spread, believed + spread, color=ACCENT_SOFT, lw=0)
    for truth in _turns(data.true_bearing_rad):
        axes.plot(time_s, truth, color=INK, lw=1.3)
    for believed in _turns(data.bearing_rad):
        axes.plot(time_s, believed, color=ACCENT, lw=1.6)
    axes.axhline(0.0, color=RULE, lw=0.8, zorder=0)
    axes.set(ylim=(-180.0, 180.0), ylabel="degrees", title="Bearing of the source (left is positive)")
    axes.set_yticks([-180, -90, 0, 90, 180])
    _name_lines(axes)


def draw_distance(axes: Axes, data: ReportData) -> None:
    """Draw the walking distance to the source, the policy's belief of it, and the radius of success."""
    time_s = data.step_end_s
    if data.believed_distance_m.size:
        axes.fill_between(time_s, *data.believed_distance_band_m, color=ACCENT_SOFT, lw=0)
        axes.plot(time_s, data.believed_distance_m, color=ACCENT, lw=1.6)
    axes.plot(time_s, data.distance_m, color=INK, lw=1.3)
    axes.axhline(data.success_radius_m, color=MUTED, lw=0.8, ls=(0, (2, 3)), zorder=0)
    top_m = 1.15 * float(np.max(data.distance_m))
    if data.believed_distance_m.size:
        top_m = max(top_m, 1.1 * float(np.quantile(data.believed_distance_m, 0.98)))
    axes.set(
        ylim=(0.0, max(top_m, 1.5 * data.success_radius_m)),
        ylabel="m",
        title="Walking distance to the source",
    )
    _name_lines(axes)


def draw_actions(axes: Axes, data: ReportData) -> None:
    """Draw which action was taken when, one row an action."""
    count, period_s = len(data.action_names), data.control_period_s
    for action in range(count):
        bars = [(first * period_s, length * period_s) for first, length in _runs(data.actions == action)]
        axes.broken_barh(bars, (count - 1 - action - 0.36, 0.72), facecolor=ACCENT, lw=0)
        axes.axhline(count - 1 - action, color=RULE, lw=0.8, zorder=0)
    axes.set(ylim=(-0.6, count - 0.4), title="Actions", xlabel="time (s)")
    axes.set_yticks(range(count), [drawable(name) for name in data.action_names[::-1]], parse_math=False)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)


def _name_lines(axes: Axes) -> None:
    """Say at the title's height which line is which."""
    for name, colour, shift in (("policy", ACCENT, 0), ("truth", INK, -40)):
        axes.annotate(
            name, (1.0, 1.0), (shift, 4), xycoords="axes fraction", textcoords="offset points",
            ha="right", va="bottom", color=colour,
        )  # fmt: skip


def _turns(azimuth_rad: np.ndarray) -> list[np.ndarray]:
    """Follow an angle over the back, and repeat it by whole turns as often as it takes to fill -180 .. 180.

    Returns:
        Courses float64 [n] in degrees without jumps: what leaves at the top comes back at the bottom.
    """
    course = np.rad2deg(np.unwrap(azimuth_rad))
    first, last = int(np.floor((-360.0 - course.max()) / 360.0)), int(np.ceil((360.0 - course.min()) / 360.0))
    return [course + 360.0 * turn for turn in range(first, last + 1)]


def _runs(taken: np.ndarray) -> list[tuple[int, int]]:
    """List first index and length of each run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], taken, [False]]).astype(np.int8)))
    return [(int(a), int(b - a)) for a, b in zip(edges[::2], edges[1::2])]
