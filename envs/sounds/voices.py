"""Sounds of living things: speech, crying, dogs, birds. Each takes (rng, n, rate_hz), gives float64 [n]."""

from __future__ import annotations

import numpy as np

from phonotaxis.envs.sounds.signals import (
    band,
    event_times_s,
    glide,
    harmonics,
    noise,
    place,
    resonances,
    swell,
    unit,
)

# First three formants of men's vowels, Hz: Peterson and Barney, JASA 24(2), 1952, table II.
FORMANTS_HZ = np.array(
    [
        [270.0, 2290.0, 3010.0],  # heed
        [390.0, 1990.0, 2550.0],  # hid
        [530.0, 1840.0, 2480.0],  # head
        [660.0, 1720.0, 2410.0],  # had
        [730.0, 1090.0, 2440.0],  # hod
        [570.0, 840.0, 2410.0],  # hawed
        [440.0, 1020.0, 2240.0],  # hood
        [300.0, 870.0, 2240.0],  # who'd
        [640.0, 1190.0, 2390.0],  # hud
        [490.0, 1350.0, 1690.0],  # heard
    ]
)
WIDTHS_HZ = (80.0, 110.0, 160.0, 250.0)
VOICED = [k**-1.1 for k in range(1, 41)]  # the glottis falls by some 12 dB an octave, the lips give 6 back


def speech(rng: np.random.Generator, n: int, rate_hz: int) -> np.ndarray:
    """Babble: syllables of a consonant and a gliding vowel, four to seven a second, at one voice's pitch."""
    voice = _Voice(rng, rate_hz)
    times_s, now_s, syllables = [], 0.03, []
    while now_s < n / rate_hz - 0.08:
        length_s = float(rng.uniform(0.12, 0.27))
        syllables.append(voice.syllable(rng, round((length_s + 0.03) * rate_hz)))
        times_s.append(now_s)
        now_s += length_s + (float(rng.uniform(0.1, 0.35)) if rng.random() < 0.15 else 0.0)
    return place(n, rate_hz, times_s, lambda i: syllables[i]) + 1e-3 * noise(rng, n, rate_hz)


class _Voice:
    """One speaker: a pitch range, a vocal tract's length, a breathiness."""

    def __init__(self, rng: np.random.Generator, rate_hz: int) -> None:
        self.rate_hz = rate_hz
        self.pitch_hz = float(np.exp(rng.uniform(np.log(90.0), np.log(260.0))))
        self.tract = 1.0 + 0.25 * (self.pitch_hz - 90.0) / 170.0 + rng.uniform(-0.05, 0.05)
        self.breath = rng.uniform(0.03, 0.12)

    def syllable(self, rng: np.random.Generator, n: int) -> np.ndarray:
        """Make one syllable, float64 [n], at a random stress."""
        pitch_hz = self.pitch_hz * glide(rng, n, 0.85, 1.2, 2)
        source = unit(harmonics(pitch_hz, VOICED, self.rate_hz)) + self.breath * rng.standard_normal(n)
        first, last = FORMANTS_HZ[rng.integers(len(FORMANTS_HZ), size=2)] * self.tract
        share = np.linspace(0.0, 1.0, n)
        vowel = self._vowel(source, first) * (1.0 - share) + self._vowel(source, last) * share
        return rng.uniform(0.6, 1.0) * (self._consonant(rng, n) + unit(vowel) * swell(n, self.rate_hz, 0.04, 0.05))

    def _vowel(self, source: np.ndarray, formants_hz: np.ndarray) -> np.ndarray:
        centres_hz = [*formants_hz, 3500.0 * self.tract]
        return resonances(source, centres_hz, WIDTHS_HZ, (1.0, 0.6, 0.35, 0.2), self.rate_hz)

    def _consonant(self, rng: np.random.Generator, n: int) -> np.ndarray:
        """Make a fricative or a plosive's burst; now and then none."""
        out = np.zeros(n)
        choice = rng.random()
        length = min(n, round((0.07 if choice < 0.4 else 0.018) * self.rate_hz))
        if choice < 0.8:
            low_hz = rng.uniform(1500.0, 4000.0)
            hiss = unit(band(rng.standard_normal(length), low_hz, low_hz + 3000.0, self.rate_hz))
            out[:length] = rng.uniform(0.25, 0.7) * hiss * swell(length, self.rate_hz, 0.003, 0.012)
        return out


def crying(rng: np.random.Generator, n: int, rate_hz: int) -> np.ndarray:
    """Cry like a child: sobs whose pitch rises and falls at 350 to 700 Hz, and short breaths between."""
    base_hz, tract = rng.uniform(330.0, 520.0), rng.uniform(1.3, 1.6)
    lengths_s = rng.uniform(0.3, 0.75, 20)
    starts_s = 0.03 + np.concatenate([[0.0], np.cumsum(lengths_s + rng.uniform(0.08, 0.35, 20))[:-1]])
    starts_s = starts_s[starts_s < n / rate_hz - 0.1]

    def sob(i: int) -> np.ndarray:
        m = round(lengths_s[i] * rate_hz)
        arc = 1.0 + rng.uniform(0.2, 0.5) * np.sin(np.pi * np.linspace(0.0, 1.0, m) ** 0.7)
        tremor = 1.0 + 0.03 * np.sin(2.0 * np.pi * rng.uniform(6.0, 11.0) * np.arange(m) / rate_hz)
        source = unit(harmonics(base_hz * arc * tremor, [k**-0.7 for k in range(1, 16)], rate_hz))
        source += 0.15 * rng.standard_normal(m)
        wave = resonances(source, FORMANTS_HZ[3] * tract, (150.0, 200.0, 250.0), (1.0, 0.8, 0.6), rate_hz)
        return unit(wave) * swell(m, rate_hz, 0.05, 0.12)

    return place(n, rate_hz, starts_s.tolist(), sob) + 1e-3 * noise(rng, n, rate_hz)


def barking(rng: np.random.Generator, n: int, rate_hz: int) -> np.ndarray:
    """Bark: a pitch that leaps and falls, rough breath through three formants, 0.12 to 0.22 s each."""
    base_hz = rng.uniform(250.0, 600.0)
    centres_hz = rng.uniform([500.0, 1100.0, 2300.0], [900.0, 1800.0, 3200.0])
    times_s = event_times_s(rng, n, rate_hz, 0.28, 0.6)

    def bark(_: int) -> np.ndarray:
        m = round(rng.uniform(0.12, 0.22) * rate_hz)
        x = np.linspace(0.0, 1.0, m)
        pitch_hz = base_hz * (1.0 + 0.6 * np.sin(np.pi * x**0.6)) * rng.uniform(0.95, 1.05)
        rough = unit(harmonics(pitch_hz, [k**-0.8 for k in range(1, 16)], rate_hz))
        rough = (rough + 0.6 * rng.standard_normal(m)) * (1.0 + 0.5 * np.sin(2 * np.pi * 70.0 * np.arange(m) / rate_hz))
        voiced = resonances(rough, centres_hz, (200.0, 250.0, 350.0), (1.0, 0.8, 0.5), rate_hz)
        return unit(voiced) * swell(m, rate_hz, 0.012, 0.08) * rng.uniform(0.7, 1.0)

    return place(n, rate_hz, times_s, bark) + 1e-3 * noise(rng, n, rate_hz)


def birdsong(rng: np.random.Generator, n: int, rate_hz: int) -> np.ndarray:
    """Sing like a bird: a phrase of fast glides between 1.5 and 6 kHz, repeated with small changes."""
    notes = int(rng.integers(3, 7))
    lengths_s, gaps_s = rng.uniform(0.04, 0.16, notes), rng.uniform(0.02, 0.1, notes)
    gaps_s[-1] = rng.uniform(0.15, 0.4)
    ends_hz = rng.uniform(1500.0, 5500.0, (notes, 2))
    times_s: list[float] = []
    order: list[int] = []
    now_s = 0.03
    while now_s < n / rate_hz - 0.03:
        order.append(len(order) % notes)
        times_s.append(now_s)
        now_s += lengths_s[order[-1]] + gaps_s[order[-1]]

    def note(i: int) -> np.ndarray:
        k = order[i]
        m = round(lengths_s[k] * rate_hz)
        pitch_hz = np.geomspace(float(ends_hz[k, 0]), float(ends_hz[k, 1]), m) * rng.uniform(0.97, 1.03)
        breath = band(rng.standard_normal(m), 1000.0, 7000.0, rate_hz)
        return (harmonics(pitch_hz, [1.0, 0.25, 0.1], rate_hz) + 0.1 * breath) * swell(m, rate_hz, 0.008, 0.015)

    return place(n, rate_hz, times_s, note) + 2e-3 * noise(rng, n, rate_hz)
