"""A run's account: what it counts, and what it doesn't keep."""

from __future__ import annotations

import pytest

from phonotaxis.deploy.summary import MAX_FAULTS, RunSummary


def test_a_summary_keeps_so_many_faults_and_counts_them_all() -> None:
    summary = RunSummary()
    for number in range(MAX_FAULTS + 5):
        summary.add_fault(f"fault {number}")
    assert (len(summary.faults), summary.faults[-1]) == (MAX_FAULTS, f"fault {MAX_FAULTS - 1}")
    assert summary.fault_count == MAX_FAULTS + 5


def test_a_summary_counts_steps_and_keeps_none() -> None:
    summary = RunSummary()
    for took_ms in (3.0, 9.0, 6.0):
        summary.add_step("forward", took_ms, late=took_ms > 8.0)
    assert (summary.steps, summary.late_steps, summary.actions) == (3, 1, {"forward": 3})
    assert (summary.decide_ms_max, summary.decide_ms_mean) == pytest.approx((9.0, 6.0))
