"""Clocks of sensors: drift in ppm, and capture times that no longer mean what they meant."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest

from phonotaxis.configs.robot import RobotConfig, load_robot
from phonotaxis.deploy.devices import AudioBlock, DepthFrame
from phonotaxis.deploy.drift import MOST, Drift
from phonotaxis.deploy.synchronisation import SETTLED_NS, SyncWatch, bound_ms
from phonotaxis.deploy.timing import Timing

MS, S = 1_000_000, 1_000_000_000


def _hear(drift: Drift, seconds: float, ppm: float, from_s: float = 0.0, off_ns: float = 0.0, seed: int = 1) -> None:
    """Let blocks of 10 ms come from a converter that is fast by so many ppm, late by up to some milliseconds."""
    rng = np.random.default_rng(seed)
    for block in range(int(from_s * 100), int((from_s + seconds) * 100)):
        true_ns = block * 10 * MS / (1.0 + ppm * 1e-6)
        drift.observe(block * 160, 160, int(true_ns + off_ns + rng.exponential(0.5 * MS)))


@pytest.mark.parametrize("ppm", [-180.0, 0.0, 35.0])
def test_drift_is_found_within_its_standard_error(ppm: float) -> None:
    drift = Drift(16000)
    _hear(drift, 300.0, ppm)
    found = drift.fit()
    assert found is not None
    assert found[1] < 1.0
    assert found[0] == pytest.approx(ppm, abs=4.0 * found[1])


def test_what_lies_far_off_is_no_drift() -> None:
    drift, rng = Drift(16000), np.random.default_rng(2)
    for block in range(30_000):
        late_ns = rng.exponential(0.5 * MS) + (40 * MS if 9000 <= block < 10_500 else 0)  # a driver that stalls
        drift.observe(block * 160, 160, int(block * 10 * MS / (1.0 + 50e-6) + late_ns))
    found = drift.fit()
    assert found is not None
    assert found[0] == pytest.approx(50.0, abs=2.0)


def test_a_device_that_is_opened_anew_shifts_nothing() -> None:
    drift = Drift(16000)
    _hear(drift, 100.0, 50.0)
    _hear(drift, 100.0, 50.0, from_s=103.0, off_ns=8 * MS, seed=2)  # a gap, and all later by 8 ms: 80 ppm if drift
    found = drift.fit()
    assert found is not None
    assert found[0] == pytest.approx(50.0, abs=2.0)


def test_an_hour_with_a_gap_every_three_seconds_holds_up_no_step() -> None:
    drift, rng = Drift(16000), np.random.default_rng(3)
    for second in range(6000):
        first = second * 16000 + second // 3 * 160
        drift.observe(first, 16000, int(first * S / 16000 / (1.0 + 20e-6) + rng.normal() * 0.1 * MS))
    drift.fit()
    begun_ns = time.thread_time_ns()
    found = drift.fit()
    assert time.thread_time_ns() - begun_ns < 50 * MS  # of the guardian's patience, 250 ms
    assert found is not None
    assert found[0] == pytest.approx(20.0, abs=4.0 * found[1])


def test_drift_is_not_known_at_once() -> None:
    drift = Drift(16000)
    assert drift.fit() is None
    _hear(drift, 4.0, 50.0)
    assert drift.fit() is None


def test_a_day_of_drift_costs_no_more_than_an_hour() -> None:
    drift = Drift(16000)
    for second in range(3 * MOST):
        drift.observe(second * 16000, 16000, int(second * S / (1.0 + 20e-6)))
    found = drift.fit()
    assert found is not None
    assert found[0] == pytest.approx(20.0, abs=0.01)
    assert len(drift._points) <= MOST


def _robot(**safety: float) -> RobotConfig:
    robot = load_robot("simulated")
    return robot.model_copy(update={"safety": robot.safety.model_copy(update=safety)})


def test_the_bound_is_a_bearing_error_at_the_fastest_turn() -> None:
    turn = math.radians(40.0)  # a second
    assert bound_ms(_robot(max_bearing_error_deg=5.0), turn) == pytest.approx(125.0)
    assert bound_ms(_robot(max_bearing_error_deg=5.0, max_w_radps=turn / 2), turn) == pytest.approx(250.0)


def _watch(transits_ms: list[float], limit_ms: float = 100.0) -> list[str]:
    """Let frames come ten times a second, so long after their capture."""
    watch = SyncWatch("image", limit_ms)
    return [watch(int(i * 100 * MS - late * MS), i * 100 * MS) for i, late in enumerate(transits_ms)]


def test_transit_that_varies_with_the_load_is_no_error() -> None:
    rng = np.random.default_rng(3)
    late = 30.0 + rng.exponential(60.0, 600)
    late[200:215] += 500.0  # a stall of a second and a half
    assert set(_watch(late.tolist())) == {""}


def test_a_clock_that_drifts_or_jumps_is_noticed() -> None:
    settled = [30.0] * (SETTLED_NS // (100 * MS))
    drifting = _watch([*settled, *(30.0 + 0.5 * i for i in range(400))])
    first = next(i for i, said in enumerate(drifting) if said)
    assert 0.5 * (first - len(settled)) == pytest.approx(110.0, abs=3.0)  # the least of two seconds is 10 ms behind
    assert "have moved against their arrival" in drifting[first]
    earlier = _watch([*settled, *[-85.0] * 50])  # captured after it came
    assert "lie in the future" in earlier[len(settled)]
    back = _watch([*settled, *[160.0] * 60, *[30.0] * 60])
    assert back[len(settled) + 40]
    assert back[-1] == ""


def test_times_are_told_once_a_minute_and_in_the_end() -> None:
    timing = Timing(_robot(), 0.7)
    told = []
    for block in range(13_000):
        at_ns = int(block * 10 * MS / (1.0 + 2500e-6))
        assert timing.sound(AudioBlock(np.zeros((6, 160), np.int16), block * 160, at_ns), at_ns + 12 * MS) == ""
        told += [report] if (report := timing.drift(at_ns)) is not None else []
    assert len(told) == 2
    assert told[1].level == "warning"
    assert "no quartz does" in told[1].text
    assert told[1].ppm == pytest.approx(2500.0, rel=1e-3)
    last = timing.drift(at_ns, last=True)
    assert last is not None
    assert last.ppm == pytest.approx(2500.0, rel=1e-3)
    frame = DepthFrame(np.zeros((2, 2), np.float32), at_ns)
    assert timing.image(frame, at_ns) == ""
    assert "in the future" in timing.image(DepthFrame(frame.depth_m, at_ns + 400 * MS), at_ns)
    assert timing.error_ms == pytest.approx(400.0)
