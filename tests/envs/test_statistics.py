from __future__ import annotations

import numpy as np
import pytest

from phonotaxis.envs import statistics
from phonotaxis.envs.statistics import Estimate


def test_the_interval_of_a_normal_mean_is_that_of_theory() -> None:
    samples = np.random.default_rng(0).normal(3.0, 2.0, 400)
    estimate = statistics.mean(samples)
    half = 1.96 * samples.std() / np.sqrt(samples.size)
    assert estimate.value == pytest.approx(samples.mean())
    assert estimate.low == pytest.approx(samples.mean() - half, abs=0.06 * half)
    assert estimate.high == pytest.approx(samples.mean() + half, abs=0.06 * half)


def test_the_interval_of_a_share_is_that_of_the_binomial() -> None:
    # 60 successes of 200: a resample's count is binomial(200, 0.3), whose 2.5 % and 97.5 % points are 47, 73.
    estimate = statistics.mean([1.0] * 60 + [0.0] * 140)
    assert estimate == Estimate(pytest.approx(0.3), pytest.approx(0.235, abs=0.0051), pytest.approx(0.365, abs=0.0051))


def test_intervals_cover_the_truth_as_often_as_they_say() -> None:
    rng = np.random.default_rng(1)
    draws = [statistics.mean(rng.exponential(1.0, 100), seed=i, resamples=500) for i in range(300)]
    covered = np.mean([d.low <= 1.0 <= d.high for d in draws])
    assert 0.88 <= covered <= 0.98  # nominally 0.95; percentile intervals of skewed samples fall a little short


def test_same_seed_same_bits_other_seed_others() -> None:
    samples = np.random.default_rng(2).random(50)
    assert statistics.mean(samples, seed=4) == statistics.mean(samples, seed=4)
    assert statistics.mean(samples, seed=4) != statistics.mean(samples, seed=5)


def test_chunks_do_not_matter_to_the_value(monkeypatch: pytest.MonkeyPatch) -> None:
    samples = np.random.default_rng(3).random(100)
    whole = statistics.mean(samples)
    monkeypatch.setattr(statistics, "CHUNK", 1000)
    chunked = statistics.mean(samples)
    assert chunked == whole  # PCG64 deals the same integers in parts


def test_pairing_removes_what_both_share() -> None:
    rng = np.random.default_rng(4)
    hardness = rng.normal(0.0, 10.0, 200)
    ours, theirs = hardness + 0.5 + rng.normal(0.0, 0.5, 200), hardness
    paired = statistics.paired_difference(ours, theirs)
    assert 0.3 < paired.low < paired.value < paired.high < 0.7
    alone = statistics.mean(ours)
    assert alone.high - alone.low > 10.0 * (paired.high - paired.low)


def test_an_interval_over_trainings_and_episodes_is_that_of_both() -> None:
    rng = np.random.default_rng(5)
    trainings, episodes = rng.normal(0.0, 1.0, (30, 1)), rng.normal(0.0, 3.0, (1, 400))
    table = 2.0 + trainings + episodes
    estimate = statistics.crossed_mean(table)
    half = 1.96 * np.sqrt(trainings.var() / 30 + episodes.var() / 400)
    assert estimate.value == pytest.approx(table.mean())
    assert (estimate.low, estimate.high) == pytest.approx((table.mean() - half, table.mean() + half), abs=0.08 * half)
    only_episodes = statistics.mean(table.mean(axis=0))
    assert only_episodes.high - only_episodes.low < 0.75 * (estimate.high - estimate.low)
    assert statistics.crossed_mean(table) == estimate
    assert statistics.crossed_mean(np.ones((3, 5))) == Estimate(*[pytest.approx(1.0)] * 3)


@pytest.mark.parametrize("samples", [[1.0, 2.0], [[]], [[1.0, np.nan]]])
def test_a_table_that_is_none_is_refused(samples: list[float]) -> None:
    with pytest.raises(ValueError, match=r"finite samples \[trainings, episodes\]"):
        statistics.crossed_mean(np.array(samples))


def test_a_median_over_trainings_and_episodes_has_the_interval_of_both() -> None:
    """A hundred times drawn trainings, which run a hundred times drawn episodes: 95 % is where 95 % of them lie."""
    rng = np.random.default_rng(6)
    trainings, episodes = rng.normal(0.0, 1.0, (30, 1)), rng.normal(0.0, 3.0, (1, 400))
    table = (2.0 + trainings + episodes)[..., None]
    estimate = statistics.crossed(table, statistics.median_of_known)
    assert estimate is not None
    assert estimate.value == pytest.approx(np.median(table[..., 0], axis=1).mean())
    half = 1.96 * np.sqrt(trainings.var() / 30 + np.pi / 2.0 * episodes.var() / 400)
    assert estimate.high - estimate.low == pytest.approx(2.0 * half, rel=0.2)
    same = statistics.crossed(np.ones((3, 5, 2)), statistics.ratio_of_sums)
    assert same == Estimate(1.0, 1.0, 1.0)


def test_what_cant_be_said_of_a_training_or_a_resample_is_left_out() -> None:
    stopped_never = np.zeros((2, 6, 2))
    stopped_never[0, :, 1] = 1.0
    assert statistics.crossed(stopped_never, statistics.ratio_of_sums) is None
    once = np.zeros((2, 6, 2))
    once[:, 0] = 1.0  # of six episodes one stopped: many a resample holds none
    assert statistics.crossed(once, statistics.ratio_of_sums) == Estimate(1.0, 1.0, 1.0)
    with pytest.raises(ValueError, match=r"expected samples \[trainings, episodes, columns\], got \[3, 5\]"):
        statistics.crossed(np.ones((3, 5)), statistics.ratio_of_sums)


@pytest.mark.parametrize("count", [1, 2, 5, 6])
def test_a_median_of_what_is_known_is_numpys(count: int) -> None:
    rng = np.random.default_rng(count)
    column = rng.normal(size=(4, 7, 1))
    column[:, count:] = np.nan
    rng.permuted(column, axis=1, out=column)
    np.testing.assert_array_equal(statistics.median_of_known(column), np.nanmedian(column[..., 0], axis=1))
    assert np.isnan(statistics.median_of_known(np.full((7, 1), np.nan)))


def test_a_ratio_is_that_of_the_sums() -> None:
    # 3 successes of 4 stops; with 20 copies of the 5 episodes the interval narrows about 0.75.
    few = statistics.ratio([1, 1, 1, 0, 0], [1, 1, 1, 1, 0])
    many = statistics.ratio([1, 1, 1, 0, 0] * 20, [1, 1, 1, 1, 0] * 20)
    assert few.value == many.value == 0.75
    assert few.low < many.low < 0.75 < many.high < few.high


def test_resamples_without_a_denominator_are_left_out() -> None:
    assert statistics.ratio([1.0, 0.0, 0.0], [1.0, 0.0, 0.0]) == Estimate(1.0, 1.0, 1.0)


def test_a_median_is_robust() -> None:
    assert statistics.median([1.0, 2.0, 3.0, 4.0, 1000.0]).value == 3.0


def test_constant_samples_have_no_width() -> None:
    assert statistics.mean([0.5] * 10) == Estimate(0.5, 0.5, 0.5)


def test_estimates_are_written_with_their_interval() -> None:
    assert Estimate(0.756, 0.7, 0.8123).text() == "0.76 [0.70, 0.81]"
    assert Estimate(0.756, 0.7, 0.8123).text(digits=1, scale=100.0) == "75.6 [70.0, 81.2]"


def test_bad_samples_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one sample"):
        statistics.mean([])
    with pytest.raises(ValueError, match="1 of the samples are not finite"):
        statistics.mean([1.0, float("nan")])
    with pytest.raises(ValueError, match=r"got \[2\] and \[3\]"):
        statistics.paired_difference([1.0, 2.0], [1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match="add up to 0"):
        statistics.ratio([0.0], [0.0])
