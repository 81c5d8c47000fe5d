"""The figures: map and timeline for the page, and everything on one sheet for the PNG."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpecFromSubplotSpec, SubplotSpec
from matplotlib.ticker import MaxNLocator

from phonotaxis.report import panels
from phonotaxis.report.data import Fact, ReportData
from phonotaxis.report.panels import drawable
from phonotaxis.report.style import ACCENT, INK, MUTED, RULE
from phonotaxis.report.table import Column, columns, figures

TIMELINE_HEIGHTS = (3.0, 3.0, 2.2, 1.5)
SHEET_COLUMNS = 6  # metrics that the sheet has room for
DPI = 120
GOOD, BAD = "#15803d", "#b91c1c"


def map_figure(data: ReportData) -> Figure:
    """Draw the map alone."""
    figure = Figure(figsize=(5.6, 5.6), layout="constrained")
    axes = figure.add_subplot()
    panels.draw_map(axes, data)
    width, height = abs(axes.get_xlim()[1] - axes.get_xlim()[0]), abs(axes.get_ylim()[1] - axes.get_ylim()[0])
    figure.set_size_inches(5.6, min(8.0, 1.0 + 5.0 * height / width))
    return figure


def timeline_figure(data: ReportData) -> Figure:
    """Draw spectrogram, bearing, distance and actions over one time axis."""
    figure = Figure(figsize=(8.6, 7.8))
    _timeline(figure, figure.add_gridspec(1, 1, left=0.085, right=0.985, top=0.965, bottom=0.07)[0], data)
    return figure


def sheet_figure(data: ReportData) -> Figure:
    """Draw the whole report on one sheet."""
    figure = Figure(figsize=(15.0, 11.0), dpi=DPI)
    figure.text(0.045, 0.962, drawable(data.title, 100), size=19, weight="bold", parse_math=False)
    figure.text(0.045, 0.935, drawable(data.outcome, 170), size=12, color=MUTED, parse_math=False)
    grid = figure.add_gridspec(
        2, 2, left=0.045, right=0.98, top=0.89, bottom=0.04, height_ratios=(7.2, 2.5), width_ratios=(5, 7),
        hspace=0.24, wspace=0.13,
    )  # fmt: skip
    panels.draw_map(figure.add_subplot(grid[0, 0], anchor="N"), data)
    _timeline(figure, grid[0, 1], data)
    below = GridSpecFromSubplotSpec(1, 2, grid[1, :], width_ratios=(8.6, 5), wspace=0.1)
    if data.rows:
        _forest(figure, below[0], data)
    _facts(figure.add_subplot(below[1] if data.rows else grid[1, :]), data.facts)
    return figure


def _timeline(figure: Figure, place: SubplotSpec, data: ReportData) -> None:
    grid = GridSpecFromSubplotSpec(4, 1, place, height_ratios=TIMELINE_HEIGHTS, hspace=0.45)
    draw = (panels.draw_spectrogram, panels.draw_bearing, panels.draw_distance, panels.draw_actions)
    first: Axes | None = None
    for row, panel in enumerate(draw):
        axes = figure.add_subplot(grid[row], sharex=first)
        first = first or axes
        panel(axes, data)
        axes.set_xlim(0.0, data.duration_s)
        axes.xaxis.set_major_locator(MaxNLocator(10, steps=[1, 2, 5, 10]))
        if row < len(draw) - 1:
            axes.tick_params(labelbottom=False)


def _forest(figure: Figure, place: SubplotSpec, data: ReportData) -> None:
    """Draw the table as values with their intervals, a column a metric, a row a policy."""
    shown = columns(data.rows)[:SHEET_COLUMNS]
    longest = max(len(drawable(row.name, 24)) for row in data.rows)
    widths = (0.25 + 0.055 * longest, *[1.0] * len(shown))  # the names stand in a column of their own
    grid = GridSpecFromSubplotSpec(1, len(shown) + 1, place, width_ratios=widths, wspace=0.12)
    names = figure.add_subplot(grid[0], ylim=_rows_span(data), xlim=(0.0, 1.0))
    names.axis("off")
    for y, row in enumerate(data.rows):
        weight = "bold" if row.ours else "normal"
        colour = ACCENT if row.ours else INK
        names.text(0.0, y, drawable(row.name, 24), color=colour, weight=weight, va="center", parse_math=False)
    for index, column in enumerate(shown, start=1):
        _forest_column(figure.add_subplot(grid[index]), data, column)
    note = "95 % intervals" + (f"; {data.table_note}" if data.table_note else "")
    names.annotate(
        drawable(note, 110), (0.0, 0.0), (0, -26), xycoords="axes fraction", textcoords="offset points",
        color=MUTED, size=8.5, annotation_clip=False, parse_math=False,
    )  # fmt: skip


def _rows_span(data: ReportData) -> tuple[float, float]:
    return len(data.rows) - 0.5, -0.7


def _forest_column(axes: Axes, data: ReportData, column: Column) -> None:
    for y, row in enumerate(data.rows):
        estimate = row.estimates.get(column.metric)
        if estimate is None:
            continue
        colour = ACCENT if row.ours else INK
        low, value, high = (column.scale * x for x in (estimate.low, estimate.value, estimate.high))
        axes.plot([low, high], [y, y], color=colour, lw=1.8, solid_capstyle="butt")
        axes.plot(value, y, "o", ms=6, color=colour)
        axes.annotate(
            figures(estimate, column)[0], (value, y), (0, 7), textcoords="offset points",
            ha="center", color=colour, size=9, weight="bold" if row.ours else "normal",
        )  # fmt: skip
    axes.set(ylim=_rows_span(data), yticks=[])
    axes.set_title(column.short or column.heading, size=9.5)
    right = 100.0 if column.share else axes.get_xlim()[1]
    axes.set_xlim(-0.08 * right, 1.08 * right)
    axes.grid(axis="x", color=RULE, lw=0.6)
    axes.set_axisbelow(True)
    axes.spines["left"].set_visible(False)


def _facts(axes: Axes, facts: tuple[Fact, ...]) -> None:
    """Write the facts as lines of name and value under their groups."""
    axes.axis("off")
    lines = len(facts) + 1.5 * len({fact.group for fact in facts})
    step, y, group = 1.0 / max(lines, 12.0), 1.0, None
    for fact in facts:
        if fact.group != group:
            y -= 0.5 * step if group is not None else 0.0
            group = fact.group
            axes.text(0.0, y, drawable(group, 40), size=10, weight="bold", va="center", parse_math=False)
            y -= step
        colour = {True: GOOD, False: BAD, None: INK}[fact.good]
        mark = {True: "✓ ", False: "✗ ", None: ""}[fact.good]
        axes.text(0.0, y, drawable(fact.name, 38), size=9, color=MUTED, va="center", parse_math=False)
        value = mark + drawable(fact.value, 46)
        axes.text(1.0, y, value, size=9, color=colour, ha="right", va="center", parse_math=False)
        y -= step
    axes.set(xlim=(0, 1), ylim=(y, 1.05))
