"""Write the report's two files."""

from __future__ import annotations

import io
from pathlib import Path

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from phonotaxis.report.data import ReportData
from phonotaxis.report.figure import map_figure, sheet_figure, timeline_figure
from phonotaxis.report.html import page
from phonotaxis.report.style import RC


def write_report(path_html: str | Path, path_png: str | Path, data: ReportData) -> None:
    """Write a report as a self-contained page and as one picture; folders are made, files replaced.

    Neither needs anything but the file itself to be looked at. The same data give the same bytes.

    Args:
        path_html: of the page.
        path_png: of the picture, 1800 x 1320 pixels.
        data: what to show.

    Raises:
        OSError: a file can't be written.
    """
    html, png = Path(path_html), Path(path_png)
    for path in (html, png):
        path.parent.mkdir(parents=True, exist_ok=True)
    with matplotlib.rc_context(RC):
        text = page(data, _svg(map_figure(data)), _svg(timeline_figure(data)))
        canvas = FigureCanvasAgg(sheet_figure(data))
        with io.BytesIO() as buffer:
            canvas.print_png(buffer, metadata={"Software": "phonotaxis"})
            picture = buffer.getvalue()
    html.write_text(text, encoding="utf-8")
    png.write_bytes(picture)


def _svg(figure: Figure) -> bytes:
    with io.BytesIO() as buffer:
        FigureCanvasSVG(figure).print_svg(buffer, metadata={"Date": None, "Creator": "phonotaxis"})
        return buffer.getvalue()
