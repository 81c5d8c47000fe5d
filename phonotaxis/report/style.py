"""The report's look: light, one accent colour, for what the policy did or believed; ink is the truth."""

from __future__ import annotations

from typing import Any

ACCENT = "#c2410c"
ACCENT_SOFT = "#fbd9c8"
INK = "#1f2937"
MUTED = "#6b7280"
RULE = "#d7dbe0"
WALL = "#4b5563"
OBSTACLE = "#cfd5dc"
FLOOR = "#f6f7f9"
PAPER = "#ffffff"

RC: dict[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9.0,
    "text.color": INK,
    "axes.edgecolor": RULE,
    "axes.labelcolor": MUTED,
    "axes.titlecolor": INK,
    "axes.titlesize": 10.0,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 7.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "xtick.color": RULE,
    "ytick.color": RULE,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "xtick.major.size": 3.0,
    "ytick.major.size": 3.0,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "figure.facecolor": PAPER,
    "axes.facecolor": PAPER,
    "svg.fonttype": "path",
    "svg.hashsalt": "phonotaxis",  # the same data give the same bytes
}

CSS = f"""
:root {{ color-scheme: light; }}
* {{ box-sizing: border-box; }}
body {{ margin: 0; background: {FLOOR}; color: {INK}; font: 15px/1.5 system-ui, sans-serif; }}
main {{ max-width: 1180px; margin: 0 auto; padding: 32px 24px 56px; }}
h1 {{ font-size: 26px; line-height: 1.25; margin: 0 0 4px; overflow-wrap: anywhere; }}
h2 {{ font-size: 16px; margin: 0 0 12px; }}
h3 {{ font-size: 13px; margin: 0 0 6px; color: {MUTED}; font-weight: 600; }}
.outcome {{ color: {MUTED}; margin: 0 0 24px; font-size: 16px; overflow-wrap: anywhere; }}
section {{ background: {PAPER}; border: 1px solid {RULE}; border-radius: 8px; padding: 20px; }}
section {{ margin: 0 0 20px; }}
.episode {{ display: grid; grid-template-columns: minmax(0, 5fr) minmax(0, 7fr); gap: 20px; }}
.episode {{ align-items: start; }}
img {{ display: block; width: 100%; height: auto; }}
.scroll {{ overflow-x: auto; }}
table {{ border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }}
th, td {{ text-align: right; padding: 8px 10px; border-bottom: 1px solid {RULE}; white-space: nowrap; }}
th {{ font-size: 13px; color: {MUTED}; font-weight: 600; }}
th:first-child, td:first-child {{ text-align: left; padding-left: 0; }}
tbody tr:last-child th, tbody tr:last-child td {{ border-bottom: 0; }}
tbody th {{ color: {INK}; font-size: 15px; font-weight: 400; }}
.ours th, .ours .value {{ color: {ACCENT}; font-weight: 600; }}
.interval {{ display: block; color: {MUTED}; font-size: 12px; }}
td svg {{ display: block; margin: 2px 0 0 auto; }}
.note {{ color: {MUTED}; font-size: 13px; margin: 12px 0 0; }}
.facts {{ display: grid; grid-template-columns: repeat(auto-fit, minmax(300px, 1fr)); gap: 20px 32px; }}
dl {{ display: grid; grid-template-columns: minmax(0, auto) minmax(0, 1fr); gap: 4px 14px; margin: 0; }}
dt {{ color: {MUTED}; }}
dd {{ margin: 0; text-align: right; overflow-wrap: anywhere; font-variant-numeric: tabular-nums; }}
.good::before {{ content: "\\2713\\00a0"; color: #15803d; font-weight: 700; }}
.bad::before {{ content: "\\2717\\00a0"; color: #b91c1c; font-weight: 700; }}
@media (max-width: 820px) {{ .episode {{ grid-template-columns: 1fr; }} }}
@media print {{ body {{ background: {PAPER}; }} section {{ break-inside: avoid; }} }}
"""
