"""How fast a converter's clock runs against the computer's: capture times regressed on sample indices, robustly."""

from __future__ import annotations

import numpy as np

from phonotaxis.deploy.clock import NS_PER_S

BIN_NS = NS_PER_S  # one point for each second of sound: the median of its blocks
MOST = 4096  # points; beyond, every other one goes, so that a day costs no more than an hour
FEWEST = 5
OUTLYING = 3.0  # standard deviations, told from the median absolute deviation
ROUNDS = 5
_MAD_TO_STD = 1.4826  # of a normal distribution


class Drift:
    """Least squares over all that was heard, without what lies far off, each unbroken stretch with its own beginning.

    Blocks come late by a varying time, and what opens a device anew shifts all that follow: neither is drift.
    """

    def __init__(self, sample_rate_hz: int) -> None:
        self._rate_hz = sample_rate_hz
        self._points: list[tuple[int, int, float]] = []  # stretch, nominal ns, capture time less that
        self._bin: list[float] = []
        self._bin_ns = 0
        self._stretch = 0
        self._next_sample: int | None = None
        np.median(np.zeros(1))  # numpy loads what it needs at the first call, which takes 0.2 s on a loaded machine

    def observe(self, first_sample: int, samples: int, capture_ns: int) -> None:
        """Take note of a block: index of its first sample, their number, and when the first one was captured."""
        nominal_ns = first_sample * NS_PER_S // self._rate_hz
        if first_sample != self._next_sample:
            self._bin, self._bin_ns = [], nominal_ns
            self._stretch += 1
        self._next_sample = first_sample + samples
        if nominal_ns - self._bin_ns >= BIN_NS:
            self._points.append((self._stretch, self._bin_ns, sorted(self._bin)[len(self._bin) // 2]))
            self._bin, self._bin_ns = [], nominal_ns
            if len(self._points) > MOST:
                self._points = self._points[::2]
        self._bin.append(float(capture_ns - nominal_ns))

    def fit(self) -> tuple[float, float] | None:
        """Return how much faster than nominal the converter runs, and the standard error, ppm; None before it is known.

        Of x, nominal time, and y, capture time less nominal, the slope is sum(x y) / sum(x x), both less the means of
        their stretch (Draper and Smith 1998, chapter 1, with a dummy for each stretch).
        """
        stretch = np.array([point[0] for point in self._points])
        x = np.array([point[1] for point in self._points], dtype=np.float64)
        y = np.array([point[2] for point in self._points])
        kept = np.ones(len(stretch), dtype=bool)
        for _ in range(ROUNDS):
            if kept.sum() < FEWEST:
                return None
            fitted = _slope(x[kept], y[kept], stretch[kept])
            if fitted is None:
                return None
            slope, error = fitted
            residual = _less_medians(y - slope * x, stretch)
            spread = _MAD_TO_STD * float(np.median(np.abs(residual)))
            inlying = np.abs(residual) <= max(OUTLYING * spread, 1.0)
            if (inlying == kept).all():
                break
            kept = inlying
        return (1.0 / (1.0 + slope) - 1.0) * 1e6, error * 1e6


def _less_medians(values: np.ndarray, stretch: np.ndarray) -> np.ndarray:
    _, which, counts = np.unique(stretch, return_inverse=True, return_counts=True)
    ordered = values[np.lexsort((values, which))]  # stretch by stretch; a loop over thousands would hold up a step
    first = np.cumsum(counts) - counts
    medians = (ordered[first + (counts - 1) // 2] + ordered[first + counts // 2]) / 2.0
    left: np.ndarray = values - medians[which]
    return left


def _less_means(values: np.ndarray, which: np.ndarray) -> np.ndarray:
    left: np.ndarray = values - (np.bincount(which, values) / np.bincount(which))[which]
    return left


def _slope(x: np.ndarray, y: np.ndarray, stretch: np.ndarray) -> tuple[float, float] | None:
    """Return slope and standard error; None where no stretch has two points."""
    stretches, which = np.unique(stretch, return_inverse=True)
    x, y = _less_means(x, which), _less_means(y, which)
    spread, free = float((x**2).sum()), len(x) - len(stretches) - 1
    if spread == 0.0 or free < 1:
        return None
    slope = float((x * y).sum()) / spread
    variance = float(((y - slope * x) ** 2).sum()) / free
    return slope, float(np.sqrt(variance / spread))
