"""Estimates with 95 % intervals: the percentile bootstrap (Efron and Tibshirani 1993, chapter 13)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

RESAMPLES = 10_000
CONFIDENCE = 0.95
CHUNK = 1 << 21  # indices drawn at a time: 16 MB

Statistic = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Estimate:
    """A value and its interval.

    Attributes:
        value: of the statistic over all samples.
        low: lower end of the interval.
        high: upper end of the interval.
    """

    value: float
    low: float
    high: float

    def text(self, digits: int = 2, scale: float = 1.0) -> str:
        """Write as `value [low, high]`, each times `scale` and with so many digits after the point."""
        value, low, high = (f"{scale * x:.{digits}f}" for x in (self.value, self.low, self.high))
        return f"{value} [{low}, {high}]"


def bootstrap(
    samples: Sequence[float] | np.ndarray, statistic: Statistic, seed: int = 0, resamples: int = RESAMPLES
) -> Estimate:
    """Estimate a statistic and its 95 % percentile interval by resampling with replacement.

    The interval says how much the value would vary over other episodes of the same distribution. It has no
    width where all samples are equal (0 or n successes of n), and is too narrow below some 20 samples.

    Args:
        samples: float [n] or [n, columns]; rows are resampled together.
        statistic: maps [..., n] (or [..., n, columns]) to [...]; resamples for which it is NaN are left out.
        seed: of the PCG64 stream; the same seed and samples give the same interval.
        resamples: how many.

    Raises:
        ValueError: no samples, or some that are not finite.
    """
    rows = np.asarray(samples, dtype=np.float64)
    if rows.shape[0] == 0:
        raise ValueError("an estimate needs at least one sample, got none")
    if not np.isfinite(rows).all():
        raise ValueError(f"{int(np.count_nonzero(~np.isfinite(rows)))} of the samples are not finite")
    rng = np.random.Generator(np.random.PCG64(seed))
    at_once = max(1, CHUNK // rows.shape[0])
    parts = []
    for start in range(0, resamples, at_once):
        count = min(at_once, resamples - start)
        parts.append(statistic(rows[rng.integers(rows.shape[0], size=(count, rows.shape[0]))]))
    drawn = np.concatenate(parts)
    drawn = drawn[~np.isnan(drawn)]
    value = float(statistic(rows))
    if drawn.size == 0:
        return Estimate(value, value, value)
    tail = 0.5 * (1.0 - CONFIDENCE)
    low, high = np.quantile(drawn, [tail, 1.0 - tail])
    return Estimate(value, float(low), float(high))


def mean(samples: Sequence[float] | np.ndarray, seed: int = 0, resamples: int = RESAMPLES) -> Estimate:
    """Estimate a mean; see `bootstrap`."""
    return bootstrap(samples, lambda drawn: drawn.mean(axis=-1), seed, resamples)


def crossed_mean(
    samples: Sequence[Sequence[float]] | np.ndarray, seed: int = 0, resamples: int = RESAMPLES
) -> Estimate:
    """Estimate a mean over trainings and episodes, each training having run the same episodes.

    Both are resampled with replacement, independently of each other (the pigeonhole bootstrap, Owen 2007), so that the
    interval says how much the value would vary over other trainings and other episodes. Few trainings make it too
    narrow, three by up to a fifth.

    Args:
        samples: float [trainings, episodes].
        seed: as of `bootstrap`.
        resamples: how many.

    Raises:
        ValueError: no samples, or some that are not finite.
    """
    table = np.asarray(samples, dtype=np.float64)
    if table.ndim != 2 or table.size == 0 or not np.isfinite(table).all():
        raise ValueError(f"expected finite samples [trainings, episodes], got {list(table.shape)}")
    rng = np.random.Generator(np.random.PCG64(seed))
    at_once, parts = max(1, CHUNK // table.size), []
    for start in range(0, resamples, at_once):
        count = min(at_once, resamples - start)
        # How often each training and each episode was drawn.
        trainings, episodes = (rng.multinomial(size, np.full(size, 1.0 / size), count) / size for size in table.shape)
        parts.append(np.einsum("kt,te,ke->k", trainings, table, episodes, optimize=True))
    tail = 0.5 * (1.0 - CONFIDENCE)
    low, high = np.quantile(np.concatenate(parts), [tail, 1.0 - tail])
    return Estimate(float(table.mean()), float(low), float(high))


def crossed(
    samples: Sequence[Sequence[Sequence[float]]] | np.ndarray,
    statistic: Statistic,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Estimate | None:
    """Estimate the mean over trainings of what is no mean over episodes, as `crossed_mean` does of what is.

    Args:
        samples: float [trainings, episodes, columns]; an episode's are resampled together.
        statistic: maps [..., n, columns] to [...], NaN where that can't be said: resamples with such are left out.
        seed: as of `bootstrap`.
        resamples: how many.

    Returns:
        None where it can't be said of one of the trainings.

    Raises:
        ValueError: no samples, or of another form.
    """
    table = np.asarray(samples, dtype=np.float64)
    if table.ndim != 3 or table.size == 0:
        raise ValueError(f"expected samples [trainings, episodes, columns], got {list(table.shape)}")
    trainings, episodes = table.shape[:2]
    value = float(statistic(table).mean())
    if np.isnan(value):
        return None
    rng = np.random.Generator(np.random.PCG64(seed))
    at_once, parts = max(1, CHUNK // table.size), []
    for start in range(0, resamples, at_once):
        count = min(at_once, resamples - start)
        own = statistic(table[:, rng.integers(episodes, size=(count, episodes))]).T
        drawn = rng.multinomial(trainings, np.full(trainings, 1.0 / trainings), count) / trainings
        parts.append(np.where(drawn > 0.0, drawn * own, 0.0).sum(axis=-1))
    found = np.concatenate(parts)
    tail = 0.5 * (1.0 - CONFIDENCE)
    low, high = np.quantile(found[~np.isnan(found)], [tail, 1.0 - tail])
    return Estimate(value, float(low), float(high))


def ratio_of_sums(columns: np.ndarray) -> np.ndarray:
    """Return the sum of the first column over that of the second, [..., n, 2] to [...]; NaN where that is 0."""
    sums = columns.sum(axis=-2)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(sums[..., 1] == 0.0, np.nan, sums[..., 0] / sums[..., 1])


def median_of_known(columns: np.ndarray) -> np.ndarray:
    """Return the median of the only column, [..., n, 1] to [...], without what is NaN; NaN where all of it is."""
    ordered = np.sort(columns[..., 0], axis=-1)  # NaN come last
    known = np.count_nonzero(~np.isnan(ordered), axis=-1)[..., None]
    low, high = (np.take_along_axis(ordered, at, axis=-1) for at in (np.maximum(known - 1, 0) // 2, known // 2))
    return np.asarray(0.5 * (low + high))[..., 0]  # where nothing is known the first, NaN


def median(samples: Sequence[float] | np.ndarray, seed: int = 0, resamples: int = RESAMPLES) -> Estimate:
    """Estimate a median; see `bootstrap`."""
    return bootstrap(samples, lambda drawn: np.median(drawn, axis=-1), seed, resamples)


def ratio(
    numerators: Sequence[float] | np.ndarray,
    denominators: Sequence[float] | np.ndarray,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Estimate:
    """Estimate the ratio of two sums over the same episodes, such as successes to stops.

    Raises:
        ValueError: as `bootstrap`, or the denominators add up to nothing.
    """
    above, below = _paired(numerators, denominators)
    if below.sum() == 0.0:
        raise ValueError("the denominators add up to 0: there is no ratio to estimate")
    # a resample may hold no stop at all: left out
    return bootstrap(np.stack([above, below], axis=-1), ratio_of_sums, seed, resamples)


def paired_difference(
    ours: Sequence[float] | np.ndarray,
    theirs: Sequence[float] | np.ndarray,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Estimate:
    """Estimate the mean of `ours - theirs` over the same episodes; pairing removes how hard each one is.

    Raises:
        ValueError: as `bootstrap`, or the lengths differ.
    """
    first, second = _paired(ours, theirs)
    return mean(first - second, seed, resamples)


def _paired(first: Sequence[float] | np.ndarray, second: Sequence[float] | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    one, other = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if one.shape != other.shape or one.ndim != 1:
        raise ValueError(f"expected pairs, [n] and [n], got {list(one.shape)} and {list(other.shape)}")
    return one, other
