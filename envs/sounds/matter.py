"""Sounds of things struck, flowing, frying or played. Each takes (rng, n, rate_hz), gives float64 [n]."""

from __future__ import annotations

import numpy as np
import scipy.signal

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


def dripping(rng: np.random.Generator, n: int, rate_hz: int) -> np.ndarray:
    """Drip: the click of the impact, then a bubble that rings at a rising pitch."""
    times_s = event_times_s(rng, n, rate_hz, 0.12, 0.5)
    base_hz = rng.uniform(700.0, 1800.0)

    def drop(_: int) -> np.ndarray:
        m = round(0.12 * rate_hz)
        t = np.arange(m) / rate_hz
        pitch_hz = base_hz * rng.uniform(0.8, 1.3) * (1.0 + 4.0 * t)
        bubble = harmonics(pitch_hz, [1.0, 0.3, 0.15], rate_hz) * np.exp(-t / rng.uniform(0.015, 0.035))
        return (bubble + 0.7 * burst(rng, m, rate_hz, 0.003)) * rng.uniform(0.5, 1.0)

    return place(n, rate_hz, times_s, drop) + 2e-3 * noise(rng, n, rate_hz)


def knocking(rng: np.random.Generator, n: int, rate_hz: int) -> np.ndarray:
    """Knock on a door: groups of two to five, each a click over the panel's low modes."""
    modes_hz = rng.uniform([110.0, 260.0, 600.0, 1300.0], [220.0, 480.0, 1100.0, 2600.0])
    interval_s, group = rng.uniform(0.14, 0.26), int(rng.integers(2, 6))
    pause_s = rng.uniform(0.2, 0.45)
    period_s = (group - 1) * interval_s + pause_s
    starts_s = np.arange(0.03, n / rate_hz - 0.03, period_s)
    times_s = [t for s in starts_s for t in s + interval_s * np.arange(group) if t < n / rate_hz - 0.03]
    gains = rng.uniform(0.6, 1.0, len(times_s))
    m = round(0.18 * rate_hz)
    panel = unit(ring(m, rate_hz, modes_hz, [0.05, 0.035, 0.02, 0.01], [1.0, 0.9, 0.6, 0.4]))

    def knock(i: int) -> np.ndarray:
        return gains[i] * (panel + rng.uniform(0.4, 0.8) * unit(burst(rng, m, rate_hz, 0.004)))

    return place(n, rate_hz, times_s, knock) + 1e-3 * noise(rng, n, rate_hz)


def applause(rng: np.random.Generator, n: int, rate_hz: int) -> np.ndarray:
    """Applaud: 25 to 150 claps a second by eight pairs of hands, each with a resonance of its own."""
    claps_a_second = np.exp(rng.uniform(np.log(25.0), np.log(150.0)))
    out = np.zeros(n)
    m = round(0.05 * rate_hz)
    for _ in range(8):
        count = int(claps_a_second / 8.0 * n / rate_hz)
        impulses = np.zeros(n)
        impulses[rng.integers(n, size=count)] += rng.uniform(0.3, 1.0, count)
        clap = burst(rng, m, rate_hz, rng.uniform(0.004, 0.01))
        centre_hz = rng.uniform(800.0, 2400.0)
        clap = unit(resonances(clap, [centre_hz], [centre_hz / 3.0], [1.0], rate_hz)) + 0.4 * unit(clap)
        out += scipy.signal.oaconvolve(impulses, clap)[:n]
    return unit(out) + 0.02 * noise(rng, n, rate_hz)


def water(rng: np.random.Generator, n: int, rate_hz: int) -> np.ndarray:
    """Run a tap: coloured noise that flutters, with the splash's resonances."""
    flow = noise(rng, n, rate_hz, slope_db=rng.uniform(-4.0, -1.0), low_hz=300.0)
    centres_hz = rng.uniform([400.0, 1000.0, 2500.0], [900.0, 2200.0, 5000.0])
    splash = resonances(noise(rng, n, rate_hz), centres_hz, centres_hz / 5.0, [0.8, 1.0, 0.8], rate_hz)
    return unit(flow) + unit(splash) * glide(rng, n, 0.3, 1.0, round(25 * n / rate_hz))


def sizzling(rng: np.random.Generator, n: int, rate_hz: int) -> np.ndarray:
    """Fry: a hiss that swells and ebbs, and crackles over it."""
    hiss = band(noise(rng, n, rate_hz), rng.uniform(800.0, 1800.0), rng.uniform(5000.0, 7000.0), rate_hz)
    count = int(rng.uniform(15.0, 60.0) * n / rate_hz)
    impulses = np.zeros(n)
    impulses[rng.integers(n, size=count)] = rng.uniform(0.2, 1.0, count)
    crackle = scipy.signal.oaconvolve(impulses, burst(rng, round(0.012 * rate_hz), rate_hz, 0.002))[:n]
    swelling = unit(hiss) * glide(rng, n, 0.5, 1.0, round(4 * n / rate_hz))
    return swelling + rng.uniform(0.3, 0.7) * unit(crackle)


def music(rng: np.random.Generator, n: int, rate_hz: int) -> np.ndarray:
    """Play broken chords, three to eight notes a second, plucked or held, in one key."""
    root_hz = 110.0 * 2.0 ** (rng.integers(12) / 12.0)
    chords = np.array([[0, 4, 7, 12, 16], [9, 12, 16, 21, 24], [5, 9, 12, 17, 21], [7, 11, 14, 19, 23]])
    note_s = 1.0 / rng.uniform(3.0, 8.0)
    times_s = np.arange(0.03, n / rate_hz - 0.05, note_s).tolist()
    decay_s, plucked, tilt = rng.uniform(0.15, 0.5), rng.random() < 0.6, rng.uniform(0.8, 1.3)
    steps = rng.integers(5, size=len(times_s))

    def note(i: int) -> np.ndarray:
        semitone = chords[(i // 8) % 4, steps[i]]
        m = round((3.0 * decay_s if plucked else 1.2 * note_s) * rate_hz)
        tone = harmonics(np.full(m, root_hz * 2.0 ** (semitone / 12.0)), [k**-tilt for k in range(1, 25)], rate_hz)
        tone += 0.1 * burst(rng, m, rate_hz, 0.01)
        if plucked:
            tone *= np.exp(-np.arange(m) / (decay_s * rate_hz))
        return tone * swell(m, rate_hz, 0.004, 0.03)

    return place(n, rate_hz, times_s, note) + 2e-3 * noise(rng, n, rate_hz)
