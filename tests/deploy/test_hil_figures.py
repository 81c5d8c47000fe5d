"""What the loop's figures are made of."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from phonotaxis.configs.config_error import ConfigError
from phonotaxis.envs.hil.chassis import WheelEvent
from phonotaxis.hil.fault_runs import FaultResult, _moved_since, fault_figures
from phonotaxis.hil.faults import FAULTS
from phonotaxis.hil.measure import Measured, level_of_difference_db, upper_loss_points
from phonotaxis.hil.paired import Paired, checked_rate_hz, figures, median_latency_s

BY_NAME = {fault.name: fault for fault in FAULTS}


def _measured(*latency_ms: float) -> Measured:
    times = np.array(latency_ms)
    return Measured(len(times), 100, 0, 0, np.zeros(len(times)), 0, times, 0.5 * times, 0.5 * times)


def test_the_gap_and_how_much_of_it_the_latency_explains() -> None:
    paired = Paired(
        simulated=[True] * 9 + [False] + [True] * 10,  # the loop's ten, and ten more
        late=[True] * 9 + [False] + [True] * 8 + [False] * 2,
        looped=[True] * 7 + [False] * 3,
        measured=[_measured(10.0, 20.0), _measured(90.0)],
        cpu_share=[0.2, 0.4],
    )
    found = {name: figure.value for name, figure in figures(paired).items()}
    assert found["success_simulated"] == pytest.approx(0.9)
    assert found["success_loop"] == pytest.approx(0.7)
    assert found["latency_cost_points"] == pytest.approx(10.0)  # two of twenty
    assert found["explained_gap_points"] == pytest.approx(10.0)  # the loop loses 20
    assert found["latency_pairs"] == 20
    assert found["latency_ms_p50"] == 20.0
    assert median_latency_s(paired.measured) == pytest.approx(0.02)
    assert median_latency_s([_measured()]) == 0.0


def test_a_resampled_array_is_measured_by_other_names() -> None:
    paired = Paired([True], [True], looped=[True], measured=[_measured(10.0)], cpu_share=[0.2])
    assert "blocks_differing" in figures(paired)
    paired.device_rate_hz = 48000
    paired.measured = [replace(_measured(10.0), blocks_differing=2, difference_db=db) for db in (-30.0, -20.0)]
    found = {name: figure.value for name, figure in figures(paired).items()}
    assert "blocks_differing" not in found
    assert (found["device_rate_hz"], found["blocks_resampled_differing"]) == (48000, 4)
    assert found["sound_difference_db"] == -20.0


def test_the_difference_is_told_against_the_sound_that_was_heard() -> None:
    sound = np.full((2, 100), 1000, dtype=np.int16)
    known = np.arange(100) < 60
    heard = np.where(known, sound + 100, 0).astype(np.int16)
    assert level_of_difference_db(heard, sound, known) == pytest.approx(-20.0)
    assert level_of_difference_db(heard, sound, ~known) == pytest.approx(0.0)
    assert level_of_difference_db(heard, 0 * sound, known) is None


def test_rates_that_no_array_of_the_loop_has(toy: SimpleNamespace) -> None:
    contract = toy.contract()
    assert [checked_rate_hz(rate, contract) for rate in (None, 16000, 44100, 48000)] == [None, None, 44100, 48000]
    for rate_hz in (8000, 16001, 192000):
        with pytest.raises(ConfigError, match=f"--device-rate {rate_hz}: expected a rate from 16000"):
            checked_rate_hz(rate_hz, contract)


def test_no_loss_in_few_pairs_is_not_none_at_all() -> None:
    assert upper_loss_points(0, 0, 10) > 10.0
    assert upper_loss_points(0, 0, 1000) < 1.0
    assert upper_loss_points(5, 0, 100) > upper_loss_points(5, 5, 100) > upper_loss_points(0, 5, 100)


def test_wheels_that_turn_on_the_spot_have_moved_again() -> None:
    still, turning = WheelEvent(20, 0.0, 0.0, "command"), WheelEvent(30, 0.0, 0.7, "command")
    driving = WheelEvent(30, 0.5, 0.0, "command")
    assert [_moved_since([still, event], since) for event in (turning, driving) for since in (25, 35)] == [
        True, False, True, False,
    ]  # fmt: skip
    assert not _moved_since([still], 10)


def test_a_fault_misses_by_its_median_and_where_nothing_stopped() -> None:
    goal_ms = BY_NAME["camera_gone"].goal_ms
    kept = FaultResult(BY_NAME["camera_gone"], [goal_ms + 1, goal_ms - 1, goal_ms - 2], recovered_ms=[200.0, 300.0])
    late = FaultResult(BY_NAME["policy_killed"], [99.0, 101.0, float("inf")])
    never = FaultResult(BY_NAME["disk_full"])
    busy = FaultResult(BY_NAME["core_eaten"], [float("nan")], late_steps=2, brakes=1)
    unable = FaultResult(BY_NAME["disk_full"], skipped="needs root")
    assert [result.missed for result in (kept, late, never, busy, unable)] == [False, True, True, False, False]
    stepped = BY_NAME["wall_clock_back"]
    calm, braked = FaultResult(stepped, [float("nan")]), FaultResult(stepped, [float("nan")], brakes=1)
    slow, undone = FaultResult(stepped, [float("nan")], late_steps=1), FaultResult(stepped)
    assert [result.missed for result in (calm, braked, slow, undone)] == [False, True, True, True]
    found = {name: figure.value for name, figure in fault_figures([kept, late, busy]).items()}
    assert found["camera_gone.stopped_ms"] == goal_ms - 1
    assert found["camera_gone.recovered_ms"] == 250.0
    assert found["policy_killed.stopped_ms"] == 101.0
    assert (found["core_eaten.late_steps"], found["core_eaten.brakes"]) == (2, 1)
    assert found["faults_missed"] == 1
    again = replace(kept, moved_again=1)
    gone = replace(kept, recovered_ms=[200.0, float("inf"), 210.0])
    assert [result.missed for result in (again, gone, replace(kept, recovered_ms=[]))] == [True, True, False]
    assert fault_figures([kept, again, gone])["faults_missed"].value == 2
    assert {name: figure.value for name, figure in fault_figures([unable]).items()} == {
        "disk_full.done": False,
        "faults_missed": 0,
    }
