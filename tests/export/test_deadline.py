from __future__ import annotations

import gc
import threading
import time

import pytest

from phonotaxis.export.engines import DeadlineError
from phonotaxis.export.engines.deadline import Deadline


def test_an_overdue_step_is_asked_to_end() -> None:
    asked = threading.Event()
    deadline = Deadline(0.05, asked.set)
    with pytest.raises(DeadlineError, match="deadline is 0.05 s"), deadline:
        assert asked.wait(5.0)


def test_a_step_that_ends_late_by_itself_is_late() -> None:
    with pytest.raises(DeadlineError), Deadline(0.01, lambda: None):
        time.sleep(0.02)


def test_the_end_it_asked_for_is_a_missed_deadline() -> None:
    def terminated() -> None:
        time.sleep(0.02)
        raise RuntimeError("terminated")

    with pytest.raises(DeadlineError), Deadline(0.01, lambda: None):
        terminated()


def test_steps_in_time_are_left_alone() -> None:
    asked = threading.Event()
    deadline = Deadline(0.2, asked.set)
    begun_s = time.monotonic()
    while time.monotonic() - begun_s < 0.5:  # longer than the deadline, in steps that are shorter
        with deadline:
            pass
    assert not asked.is_set()
    with pytest.raises(KeyError), deadline:
        raise KeyError("the step's own error")


def test_without_a_deadline_nothing_watches() -> None:
    before = threading.active_count()
    with Deadline(None, lambda: None):
        assert threading.active_count() == before


def test_the_watch_ends_with_its_deadline() -> None:
    deadline = Deadline(0.05, lambda: None)
    assert "engine-deadline" in [thread.name for thread in threading.enumerate()]
    del deadline
    gc.collect()
    ends_s = time.monotonic() + 5.0
    while "engine-deadline" in [thread.name for thread in threading.enumerate()]:
        assert time.monotonic() < ends_s
        time.sleep(0.01)
