"""The page: self-contained, every string escaped, nothing that can run."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from html import escape
from itertools import groupby

from phonotaxis.envs.statistics import Estimate
from phonotaxis.page_head import page_head
from phonotaxis.report.data import Fact, PolicyRow, ReportData
from phonotaxis.report.style import ACCENT, CSS, INK, RULE
from phonotaxis.report.table import Column, columns, figures

BAR_WIDTH = 84


def page(data: ReportData, map_svg: bytes, timeline_svg: bytes) -> str:
    """Write the page.

    Images are data URLs in `img`, where an SVG can neither run scripts nor load anything; the policy in the
    head allows them, this style sheet (by its hash) and nothing else.
    """
    title, outcome = escape(data.title), escape(data.outcome)
    return f"""{page_head(data.title, CSS)}
<body>
<main>
<h1>{title}</h1>
<p class="outcome">{outcome}</p>
<section class="episode">
{_image(map_svg, f"Map with the robot's way and the source. {data.outcome}")}
{_image(timeline_svg, "Spectrogram, bearing, distance and actions over time")}
</section>
{_evaluation(data)}{_facts(data.facts)}</main>
</body>
</html>
"""


def _image(svg: bytes, alt: str) -> str:
    encoded = base64.b64encode(svg).decode()
    return f'<img alt="{escape(alt)}" src="data:image/svg+xml;base64,{encoded}">'


def _evaluation(data: ReportData) -> str:
    if not data.rows:
        return ""
    shown = columns(data.rows)
    heads = "".join(f'<th scope="col">{escape(column.heading)}</th>' for column in shown)
    body = "\n".join(_row(row, shown) for row in data.rows)
    note = f"Values with 95 % bootstrap intervals. {data.table_note}".strip()
    return f"""<section>
<h2>Evaluation</h2>
<div class="scroll"><table>
<thead><tr><th scope="col">Policy</th>{heads}</tr></thead>
<tbody>
{body}
</tbody>
</table></div>
<p class="note">{escape(note)}</p>
</section>
"""


def _row(row: PolicyRow, shown: list[Column]) -> str:
    cells = "".join(_cell(row.estimates.get(column.metric), column, row.ours) for column in shown)
    return f'<tr{" class=ours" if row.ours else ""}><th scope="row">{escape(row.name)}</th>{cells}</tr>'


def _cell(estimate: Estimate | None, column: Column, ours: bool) -> str:
    if estimate is None:
        return "<td>–</td>"
    value, interval = figures(estimate, column)
    bar = _bar(estimate, ours) if column.share else ""
    return f'<td><span class="value">{value}</span><span class="interval">{interval}</span>{bar}</td>'


def _bar(estimate: Estimate, ours: bool) -> str:
    """Draw a share's interval on the axis 0 to 1."""
    ends = (min(max(x, 0.0), 1.0) for x in (estimate.low, estimate.value, estimate.high))
    low, value, high = (4 + (BAR_WIDTH - 8) * x for x in ends)
    colour = ACCENT if ours else INK
    return (
        f'<svg width="{BAR_WIDTH}" height="10" viewBox="0 0 {BAR_WIDTH} 10" aria-hidden="true">'
        f'<line x1="4" y1="5" x2="{BAR_WIDTH - 4}" y2="5" stroke="{RULE}" stroke-width="2"/>'
        f'<line x1="{low:.1f}" y1="5" x2="{high:.1f}" y2="5" stroke="{colour}" stroke-width="2"/>'
        f'<circle cx="{value:.1f}" cy="5" r="3.5" fill="{colour}"/></svg>'
    )


def _facts(facts: tuple[Fact, ...]) -> str:
    if not facts:
        return ""
    groups = "\n".join(_group(name, members) for name, members in groupby(facts, key=lambda fact: fact.group))
    return f'<section class="facts">\n{groups}\n</section>\n'


def _group(name: str, facts: Iterable[Fact]) -> str:
    marks = {True: ' class="good"', False: ' class="bad"', None: ""}
    lines = "".join(f"<dt>{escape(f.name)}</dt><dd{marks[f.good]}>{escape(f.value)}</dd>" for f in facts)
    return f"<div><h3>{escape(name)}</h3><dl>{lines}</dl></div>"
