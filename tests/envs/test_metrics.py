from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from phonotaxis.envs import metrics
from phonotaxis.envs.metrics import EpisodeResult
from phonotaxis.envs.statistics import Estimate


def result(**changes: Any) -> EpisodeResult:
    """Stop 0.5 m from the source after 10 m, where 8 m were enough, in 60 actions, where 45 were enough."""
    base = EpisodeResult(
        episode_seed=1,
        scene="apartment:1",
        success=True,
        stopped=True,
        steps=60,
        path_length_m=10.0,
        shortest_path_m=8.0,
        shortest_actions=45.0,
        final_distance_m=0.5,
        collisions=3,
        reached=True,
    )
    return dataclasses.replace(base, **changes)


FAILURE = {"success": False, "final_distance_m": 2.0, "reached": False}


@pytest.mark.parametrize(
    ("name", "changes", "expected"),
    [
        ("success", {}, 1.0),
        ("success", FAILURE, 0.0),
        ("spl", {}, 0.8),  # 8 / 10
        ("spl", FAILURE, 0.0),
        ("spl", {"path_length_m": 7.5}, 1.0),  # stopping early is no better than the shortest path
        ("softspl", {}, 0.75),  # (1 - 0.5 / 8) * 8 / 10
        ("softspl", FAILURE, 0.6),  # (1 - 2 / 8) * 8 / 10
        ("softspl", {**FAILURE, "final_distance_m": 9.0}, 0.0),  # further away than at the start
        ("sna", {}, 0.75),  # 45 / 60
        ("sna", {"steps": 40}, 1.0),
        ("sna", FAILURE, 0.0),
        ("distance_to_goal_m", {}, 0.5),
        ("normalised_distance_to_goal", {}, 0.0625),  # 0.5 / 8
        ("normalised_distance_to_goal", {**FAILURE, "final_distance_m": 12.0}, 1.5),
        ("sws", {}, 0.0),
        ("sws", {"sound_ended": True}, 1.0),
        ("sws", {**FAILURE, "sound_ended": True}, 0.0),
        ("collisions", {}, 3.0),
        ("reach", {}, 1.0),
        ("reach", FAILURE, 0.0),
        ("reach", {"success": False, "stopped": False}, 1.0),  # was there, did not stop
        ("steps", {}, 60.0),
    ],
)
def test_formulas_by_hand(name: str, changes: dict[str, object], expected: float) -> None:
    assert metrics.values([result(**changes)], name) == [pytest.approx(expected)]


def test_an_episode_that_begins_at_the_source() -> None:
    there = result(shortest_path_m=0.0, path_length_m=0.0, final_distance_m=0.0, shortest_actions=1.0, steps=1)
    moved = result(shortest_path_m=0.0, path_length_m=2.0, final_distance_m=0.5)
    assert [metrics.spl(there), metrics.softspl(there), metrics.sna(there)] == [1.0, 0.0, 1.0]
    assert [metrics.spl(moved), metrics.softspl(moved)] == [0.0, 0.0]
    assert [metrics.normalised_distance_to_goal(r) for r in (there, moved)] == [0.0, 1.0]


def test_a_summary_averages_and_bounds() -> None:
    results = [result(episode_seed=i) for i in range(30)]
    results += [result(episode_seed=i, **FAILURE) for i in range(30, 50)]
    summary = metrics.summarise(results)
    assert summary["success"].value == pytest.approx(0.6)
    assert summary["spl"].value == pytest.approx(0.48)
    assert summary["softspl"].value == pytest.approx(0.69)
    assert summary["distance_to_goal_m"].value == pytest.approx(1.1)
    assert summary["success"].low < 0.6 < summary["success"].high
    assert summary["collisions"] == Estimate(3.0, 3.0, 3.0)
    assert list(summary) == [m.name for m in metrics.METRICS if m.name in summary]


def test_stop_precision_counts_stops_only() -> None:
    results = [result()] * 3 + [result(**FAILURE)] + [result(**FAILURE, stopped=False)] * 4
    assert metrics.summarise(results)["stop_precision"].value == pytest.approx(0.75)
    assert "stop_precision" not in metrics.summarise([result(**FAILURE, stopped=False)])


def test_collisions_per_metre_are_all_collisions_over_all_metres() -> None:
    results = [result(), result(collisions=0, path_length_m=2.0)]
    assert metrics.summarise(results)["collisions_per_m"].value == pytest.approx(3.0 / 12.0)
    assert "collisions_per_m" not in metrics.summarise([result(path_length_m=0.0)])


def test_time_to_goal_is_of_successes() -> None:
    results = [result(time_s=10.0), result(time_s=20.0), result(**FAILURE, time_s=90.0)]
    assert metrics.summarise(results)["time_to_goal_s"].value == pytest.approx(15.0)
    assert "time_to_goal_s" not in metrics.summarise([result(**FAILURE, time_s=90.0), result()])


def test_bearing_errors_in_and_out_of_sight_are_medians_in_degrees() -> None:
    results = [result(bearing_error_in_sight_rad=math.radians(deg)) for deg in (2.0, 4.0, 60.0)]
    results += [result(bearing_error_out_of_sight_rad=0.5 * math.pi)]
    summary = metrics.summarise(results)
    assert summary["bearing_error_deg_in_sight"].value == pytest.approx(4.0)
    assert summary["bearing_error_deg_out_of_sight"].value == pytest.approx(90.0)


def test_what_was_not_measured_is_absent() -> None:
    summary = metrics.summarise([result(), result()])
    assert "sws" not in summary
    assert "bearing_error_rad" not in summary
    summary = metrics.summarise(
        [result(sound_ended=True, bearing_error_rad=0.1), result(bearing_error_rad=0.3), result()]
    )
    assert summary["sws"].value == pytest.approx(1 / 3)
    assert summary["bearing_error_rad"].value == pytest.approx(0.2)


def test_the_benchmarks_page_defines_every_metric(repository: Path) -> None:
    page = (
        (repository / "docs" / "benchmark.md").read_text(encoding="utf-8").replace("`…_out", "`bearing_error_deg_out")
    )
    rows = [line for line in page.splitlines() if line.startswith("| `")]
    assert {metric.name for metric in metrics.METRICS} <= {name for row in rows for name in row.split("`")[1::2]}


def test_the_mean_of_trainings_is_over_both() -> None:
    runs = [
        [result(episode_seed=number, **({} if number < good else FAILURE)) for number in range(20)] for good in (5, 15)
    ]
    found = metrics.over_trainings(runs)
    assert found["success"].value == 0.5
    assert found["success"].low < 0.25 < 0.75 < found["success"].high  # wider than what differs between trainings
    assert "sws" not in found
    assert "bearing_error_rad" not in found
    with pytest.raises(ValueError, match="the same episodes"):
        metrics.over_trainings([runs[0], runs[1][:5]])


def test_the_mean_of_trainings_is_the_mean_of_what_is_said_of_each() -> None:
    """Of every metric, whether single episodes have it or not."""
    rng = np.random.default_rng(3)
    runs = [
        [
            result(
                episode_seed=number, success=bool(rng.integers(2)), stopped=True, collisions=int(rng.integers(3)),
                path_length_m=float(rng.uniform(8.0, 20.0)), time_s=float(rng.uniform(5.0, 50.0)), sound_ended=True,
                bearing_error_rad=float(rng.uniform()), bearing_error_in_sight_rad=float(rng.uniform()),
                bearing_error_out_of_sight_rad=None if number == 3 else float(rng.uniform()),
            )
            for number in range(20)
        ]
        for _ in range(3)
    ]  # fmt: skip
    found, each = metrics.over_trainings(runs), [metrics.summarise(run) for run in runs]
    assert list(found) == list(metrics.BY_NAME)
    for name, estimate in found.items():
        assert estimate.value == pytest.approx(np.mean([summary[name].value for summary in each])), name
        assert estimate.low <= estimate.value <= estimate.high, name


def test_a_paired_difference_wants_the_same_episodes() -> None:
    ours = [result(episode_seed=i) for i in range(10)]
    theirs = [result(episode_seed=i, path_length_m=16.0) for i in range(10)]
    assert metrics.paired_difference(ours, theirs, "spl") == Estimate(*[pytest.approx(0.3)] * 3)
    with pytest.raises(ValueError, match="same episodes in the same order"):
        metrics.paired_difference(ours, theirs[::-1], "spl")
    with pytest.raises(ValueError, match="got 10 and 9"):
        metrics.paired_difference(ours, theirs[:9], "spl")


def test_results_go_through_json() -> None:
    one = result(bearing_error_rad=0.25, time_s=15.0)
    assert EpisodeResult.from_dict(json.loads(json.dumps(one.as_dict()))) == one


def test_accounts_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match="success without a stop"):
        result(stopped=False)
    with pytest.raises(ValueError, match="final_distance_m must be finite"):
        result(final_distance_m=float("inf"))
    with pytest.raises(ValueError, match="path_length_m must be finite and not negative, got -1"):
        result(path_length_m=-1.0)
    with pytest.raises(ValueError, match="no episodes"):
        metrics.summarise([])
    with pytest.raises(KeyError, match="no value for a single episode"):
        metrics.values([result()], "stop_precision")
