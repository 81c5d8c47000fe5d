"""The stopwatch: each part is charged for its own time, no moment twice."""

from __future__ import annotations

import pytest

from phonotaxis.envs.bench import stopwatch
from phonotaxis.envs.bench.stopwatch import PARTS, Stopwatch


class Clock:
    """A clock that work pushes on."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now


class Outer:
    def __init__(self, clock: Clock) -> None:
        self.clock = clock

    def begin(self) -> None:
        self.clock.now += 2.0
        self.render()
        self.trace()

    def render(self) -> None:
        self.clock.now += 1.0

    def trace(self) -> None:
        self.clock.now += 3.0

    def fail(self) -> None:
        self.clock.now += 5.0
        raise ValueError("lost")


@pytest.fixture
def outer(monkeypatch: pytest.MonkeyPatch) -> Outer:
    clock = Clock()
    monkeypatch.setattr(stopwatch, "time", clock)
    return Outer(clock)


def test_each_part_is_charged_for_its_own_time(outer: Outer) -> None:
    watch = Stopwatch()
    for method, part in (("begin", "resets"), ("render", "depth"), ("trace", "tracing")):
        watch.watch(outer, method, part)
    outer.begin()
    outer.clock.now += 100.0  # nobody's
    outer.render()
    expected = dict.fromkeys(PARTS, 0.0) | {"resets": 3.0, "tracing": 3.0, "depth": 1.0}
    assert watch.take() == expected  # what a reset renders is the reset's
    assert watch.take() == dict.fromkeys(PARTS, 0.0)


def test_a_part_that_fails_is_charged_too_and_left(outer: Outer) -> None:
    watch = Stopwatch()
    watch.watch(outer, "fail", "motion")
    watch.watch(outer, "render", "depth")
    with pytest.raises(ValueError, match="lost"):
        outer.fail()
    outer.render()
    taken = watch.take()
    assert (taken["motion"], taken["depth"]) == (5.0, 1.0)
