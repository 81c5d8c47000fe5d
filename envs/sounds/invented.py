"""Sounds that nothing makes: drawn at large, for training alone.

Whoever hears a dozen kinds of sound, however many of each, learns these kinds and takes others for none. Here every
instance has a source, a body, a rhythm and a course of its own. Generators take (rng, n, rate_hz), give float64 [n].
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np

from phonotaxis.envs.sounds.signals import (
    band,
    burst,
    event_times_s,
    glide,
    harmonics,
    noise,
    place,
    resonances,
    ring,
    swell,
    unit,
)
from phonotaxis.envs.sounds.sound import longest_pause_s

LONGEST_PAUSE_S = 0.5
Generator = Callable[[np.random.Generator, int, int], np.ndarray]


def _lively(generator: Generator) -> Generator:
    """Draw again what pauses for long, as no sound of the bank does."""

    @functools.wraps(generator)
    def draw(rng: np.random.Generator, n: int, rate_hz: int) -> np.ndarray:
        while True:
            wave = generator(rng, n, rate_hz)
            if longest_pause_s(wave, rate_hz) <= LONGEST_PAUSE_S:
                return wave

    return draw


@_lively
def hums(rng: np.random.Generator, n: int, rate_hz: int) -> np.ndarray:
    """Hum: a pitch that goes on, wavers or beats, with breath in it."""
    wander = _between(rng, 0.001, 0.06)
    pitch_hz = _between(rng, 70.0, 1200.0) * (1.0 + glide(rng, n, -wander, wander, int(rng.integers(2, 30))))
    tone = unit(harmonics(pitch_hz, _partials(rng), rate_hz))
    breath = _between(rng, 0.03, 0.6) * unit(_noise(rng, n, rate_hz)) + 0.1 * noise(rng, n, rate_hz, slope_db=-2.0)
    return _beaten(rng, _bodied(rng, tone + breath, rate_hz), rate_hz)


@_lively
def hisses(rng: np.random.Generator, n: int, rate_hz: int) -> np.ndarray:
    """Hiss: noise of any colour, that flutters or beats."""
    flutter = glide(rng, n, rng.uniform(0.1, 1.0), 1.0, round(_between(rng, 2.0, 40.0) * n / rate_hz))
    return _beaten(rng, _bodied(rng, _noise(rng, n, rate_hz), rate_hz) * flutter, rate_hz)


@_lively
def calls(rng: np.random.Generator, n: int, rate_hz: int) -> np.ndarray:
    """Call: pitches that rise and fall, one after the other, of one to three forms."""
    base_hz, spread = _between(rng, 120.0, 2400.0), rng.uniform(0.05, 1.0)
    partials = _partials(rng)

    def call() -> np.ndarray:
        m = round(_between(rng, 0.06, 0.5) * rate_hz)
        course = 2.0 ** glide(rng, m, -spread, spread, int(rng.integers(2, 6)))
        tone = unit(harmonics(base_hz * course, partials, rate_hz))
        breath = _between(rng, 0.02, 0.5) * unit(_noise(rng, m, rate_hz)) + 0.1 * noise(rng, m, rate_hz, slope_db=-2.0)
        return (tone + breath) * swell(m, rate_hz, _between(rng, 0.003, 0.05), _between(rng, 0.01, 0.06))

    return _bodied(rng, _events(rng, n, rate_hz, call), rate_hz)


@_lively
def blows(rng: np.random.Generator, n: int, rate_hz: int) -> np.ndarray:
    """Strike bodies, one to three of them, that ring for long or hardly."""

    def blow() -> np.ndarray:
        m, count = round(0.6 * rate_hz), int(rng.integers(2, 8))
        partials_hz = _between(rng, 100.0, 2500.0) * np.cumprod(np.append(1.0, rng.uniform(1.1, 2.9, count - 1)))
        decays_s = _between(rng, 0.01, 0.5) / (partials_hz / partials_hz[0]) ** rng.uniform(0.2, 1.0)
        body = unit(ring(m, rate_hz, partials_hz, decays_s, rng.uniform(0.2, 1.0, count)))
        return body + _between(rng, 0.2, 1.0) * unit(burst(rng, m, rate_hz, _between(rng, 0.002, 0.03)))

    return _events(rng, n, rate_hz, blow)


@_lively
def puffs(rng: np.random.Generator, n: int, rate_hz: int) -> np.ndarray:
    """Puff: short noise of one to three colours, together or apart, with sharp or soft beginnings."""

    def puff() -> np.ndarray:
        m = round(_between(rng, 0.04, 0.4) * rate_hz)
        out = np.zeros(m)
        for _ in range(int(rng.integers(1, 4))):
            start = int(rng.integers(0, m // 2))
            part = burst(rng, m - start, rate_hz, _between(rng, 0.004, 0.1))
            low_hz = _between(rng, 80.0, 3000.0)
            out[start:] += rng.uniform(0.3, 1.0) * unit(band(part, low_hz, low_hz * rng.uniform(1.5, 8.0), rate_hz))
        return out * swell(m, rate_hz, _between(rng, 0.001, 0.02), 0.01)

    return _events(rng, n, rate_hz, puff)


@_lively
def rattles(rng: np.random.Generator, n: int, rate_hz: int) -> np.ndarray:
    """Rattle: blows too fast to be told apart, evenly or not, now and then halting."""
    m, apart_s, uneven = round(0.05 * rate_hz), 1.0 / _between(rng, 12.0, 120.0), rng.uniform(0.0, 0.8)
    one = unit(burst(rng, m, rate_hz, _between(rng, 0.001, 0.01)))
    one = one + rng.uniform(0.0, 1.0) * unit(_bodied(rng, one, rate_hz))
    times_s = event_times_s(rng, n, rate_hz, apart_s * (1.0 - uneven), apart_s * (1.0 + uneven))
    gains = rng.uniform(rng.uniform(0.1, 1.0), 1.0, len(times_s))
    return _beaten(rng, place(n, rate_hz, times_s, lambda i: gains[i] * one), rate_hz)


def _between(rng: np.random.Generator, low: float, high: float) -> float:
    """Draw evenly on a logarithmic scale."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def _partials(rng: np.random.Generator) -> np.ndarray:
    """Draw amplitudes of a harmonic sound, up to thirty, some of them weak."""
    numbers = np.arange(1.0, 31.0)
    amplitudes = numbers ** -rng.uniform(0.3, 2.0) * rng.uniform(rng.uniform(0.0, 1.0), 1.0, numbers.size)
    if rng.random() < 0.25:
        amplitudes[1::2] = 0.0
    return amplitudes


def _noise(rng: np.random.Generator, n: int, rate_hz: int) -> np.ndarray:
    wave = noise(rng, n, rate_hz, slope_db=rng.uniform(-8.0, 3.0))
    low_hz = _between(rng, 60.0, 1500.0)
    return unit(band(wave, low_hz, low_hz * _between(rng, 3.0, 60.0), rate_hz))


def _bodied(rng: np.random.Generator, wave: np.ndarray, rate_hz: int) -> np.ndarray:
    """Pass a wave through one to five resonances, and some of it beside them."""
    count = int(rng.integers(1, 6))
    centres_hz = np.exp(rng.uniform(np.log(200.0), np.log(6000.0), count))
    widths_hz = centres_hz / np.exp(rng.uniform(np.log(1.5), np.log(15.0), count))
    shaped = unit(resonances(wave, centres_hz, widths_hz, rng.uniform(0.2, 1.0, count), rate_hz))
    return shaped + _between(rng, 0.3, 1.0) * unit(wave)


def _beaten(rng: np.random.Generator, wave: np.ndarray, rate_hz: int) -> np.ndarray:
    """Let a wave go on, beat, or halt for up to 0.3 s now and then; each one time in three."""
    form, n = rng.integers(3), wave.size
    if form == 1:
        beats = np.sin(2.0 * np.pi * _between(rng, 2.5, 25.0) * np.arange(n) / rate_hz)
        return wave * (1.0 + rng.uniform(0.2, 0.9) * beats)
    if form == 2:
        m = round(_between(rng, 0.08, 1.2) * rate_hz)
        gap_s = rng.uniform(0.04, 0.3)
        times_s = event_times_s(rng, n, rate_hz, m / rate_hz + gap_s, m / rate_hz + gap_s + 0.05)
        gate = place(n, rate_hz, times_s, lambda _: swell(m, rate_hz, _between(rng, 0.003, 0.05), 0.02))
        return wave * gate + 1e-3 * noise(rng, n, rate_hz)
    return wave


def _events(rng: np.random.Generator, n: int, rate_hz: int, make: Callable[[], np.ndarray]) -> np.ndarray:
    """Lay events of one to three forms in turn or at random, evenly or not."""
    forms = [make() for _ in range(int(rng.integers(1, 4)))]
    apart_s, uneven = _between(rng, 0.08, 0.42), rng.uniform(0.0, 0.4)
    apart_s = max(apart_s, 0.3 * min(form.size for form in forms) / rate_hz)
    times_s = event_times_s(rng, n, rate_hz, apart_s * (1.0 - uneven), apart_s * (1.0 + 0.5 * uneven))
    in_turn, gains = rng.random() < 0.5, rng.uniform(rng.uniform(0.3, 1.0), 1.0, len(times_s))
    chosen = np.arange(len(times_s)) if in_turn else rng.integers(len(forms), size=len(times_s))
    laid = place(n, rate_hz, times_s, lambda i: gains[i] * forms[chosen[i] % len(forms)])
    return laid + 2e-3 * noise(rng, n, rate_hz)
