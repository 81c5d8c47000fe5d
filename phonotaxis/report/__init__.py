"""The report of an episode and an evaluation: one self-contained HTML page and one PNG."""

from __future__ import annotations

from phonotaxis.report.data import Fact, PolicyRow, ReportData, ReportError, bearing_of_head, distance_of_head
from phonotaxis.report.write import write_report

__all__ = [
    "Fact",
    "PolicyRow",
    "ReportData",
    "ReportError",
    "bearing_of_head",
    "distance_of_head",
    "write_report",
]
