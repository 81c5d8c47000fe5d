"""A stop that comes while a run is ending."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from phonotaxis.deploy import runtime
from phonotaxis.deploy.interrupts import put_off_interrupts, take_interrupts
from phonotaxis.deploy.loop import RunEnd
from phonotaxis.deploy.summary import RunSummary


@pytest.fixture(autouse=True)
def sigterm_as_ctrl_c() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.default_int_handler)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize(("ignored", "raises"), [(False, True), (True, False)])  # the latter under nohup
def test_a_terminal_that_closes_ends_a_run_in_order(ignored: bool, raises: bool) -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN if ignored else signal.SIG_DFL)
    take_interrupts()
    with pytest.raises(KeyboardInterrupt) if raises else contextlib.nullcontext():
        os.kill(os.getpid(), signal.SIGHUP)


def test_a_terminal_that_closes_may_say_so_again(monkeypatch: pytest.MonkeyPatch) -> None:
    put_off_interrupts()
    for _ in range(3):
        os.kill(os.getpid(), signal.SIGHUP)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_one_passes_and_the_next_acts(number: signal.Signals) -> None:
    put_off_interrupts()
    os.kill(os.getpid(), number)
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), number)


def test_a_stop_at_the_goal_does_not_take_the_summary_with_it() -> None:
    """The service manager stops the runtime just when the policy has."""
    said: list[str] = []

    class Loop:
        summary = RunSummary(guardian_pid=0, sync_limit_ms=0.0)

        def until(self, deadline_ns: int) -> None:
            raise RunEnd("goal_reached", "the policy stopped")

        def finish(self) -> None:
            os.kill(os.getpid(), signal.SIGTERM)

    log: Any = SimpleNamespace(health=lambda at_ns, level, event, message: said.append(event))
    loop: Any = Loop()
    summary = runtime._guarded(loop, log, 1.0)
    assert summary.outcome == "goal_reached"
    assert said == ["ended_goal_reached"]
