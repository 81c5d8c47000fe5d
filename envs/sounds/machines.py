"""Sounds of appliances and signals. Each generator takes (rng, n, rate_hz), gives float64 [n]."""

from __future__ import annotations

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


def telephone(rng: np.random.Generator, n: int, rate_hz: int) -> np.ndarray:
    """Ring a telephone: a bell struck 18 to 28 times a second, or an electronic warble, in short rings."""
    if rng.random() < 0.5:
        strike_s = 1.0 / rng.uniform(18.0, 28.0)
        base_hz = rng.uniform(900.0, 1500.0)
        ratios = np.array([1.0, 2.0, 2.76, 4.1, 5.4]) * rng.uniform(0.98, 1.02, 5)  # partials of small bells
        decays_s, gains = [0.09, 0.07, 0.05, 0.03, 0.02], [1.0, 0.8, 0.7, 0.5, 0.4]
        bell = ring(round(0.25 * rate_hz), rate_hz, base_hz * ratios, decays_s, gains)
        bell[: round(0.05 * rate_hz)] += burst(rng, round(0.05 * rate_hz), rate_hz, 0.002)
        times_s = np.arange(0.03, n / rate_hz, strike_s)
        force = rng.uniform(0.8, 1.2, times_s.size)
        wave = place(n, rate_hz, times_s.tolist(), lambda i: force[i] * bell)
    else:
        low_hz, ratio, rate = rng.uniform(600.0, 1100.0), rng.uniform(1.15, 1.35), rng.uniform(12.0, 24.0)
        turn = np.sin(2.0 * np.pi * rate * np.arange(n) / rate_hz)
        wave = harmonics(low_hz * np.where(turn > 0, ratio, 1.0), [1, 0.6, 0.5, 0.3, 0.25, 0.2], rate_hz)
        wave += 0.1 * noise(rng, n, rate_hz)  # the rattle of a small loudspeaker
        wave += 0.1 * noise(rng, n, rate_hz)  # the rattle of a small loudspeaker
    return wave * _rings(rng, n, rate_hz, 0.6, 1.4) + 1e-3 * noise(rng, n, rate_hz)


def _rings(rng: np.random.Generator, n: int, rate_hz: int, shortest_s: float, longest_s: float) -> np.ndarray:
    """Gate a sound: on for a time, off for 0.2 to 0.45 s, and so on."""
    on_s, off_s = rng.uniform(shortest_s, longest_s), rng.uniform(0.2, 0.45)
    rounds = max(1, round(n / rate_hz / (on_s + off_s)))
    period_s = n / rate_hz / rounds
    one = swell(round((period_s - off_s) * rate_hz), rate_hz, 0.01, 0.06)
    return place(n, rate_hz, [i * period_s for i in range(rounds)], lambda _: one)


def alarm_beeps(rng: np.random.Generator, n: int, rate_hz: int) -> np.ndarray:
    """Beep: a piezo buzzer's odd harmonics, 60 to 250 ms on, 60 to 300 ms off."""
    pitch_hz, on_s, off_s = rng.uniform(700.0, 2800.0), rng.uniform(0.06, 0.25), rng.uniform(0.06, 0.3)
    detune = rng.choice([1.0, 1.0, 1.25, 0.8])
    amplitudes = [0.0 if k % 2 == 0 else k**-0.8 for k in range(1, 12)]
    times_s = np.arange(0.03, n / rate_hz, on_s + off_s)
    length = round(on_s * rate_hz)
    envelope = swell(length, rate_hz, 0.003, 0.006)
    tones = [harmonics(np.full(length, pitch_hz * f), amplitudes, rate_hz) for f in (1.0, detune)]
    rattle = [0.2 * band(rng.standard_normal(length), 250.0, 6000.0, rate_hz) for _ in tones]
    beeps = [(tone + buzz) * envelope for tone, buzz in zip(tones, rattle)]
    return place(n, rate_hz, times_s.tolist(), lambda i: beeps[i % 2]) + 2e-3 * noise(rng, n, rate_hz)


def siren(rng: np.random.Generator, n: int, rate_hz: int) -> np.ndarray:
    """Sweep a siren: wail, yelp or two tones, between about 500 and 1500 Hz with strong harmonics."""
    t = np.arange(n) / rate_hz
    low_hz, high_hz = rng.uniform(400.0, 700.0), rng.uniform(1000.0, 1600.0)
    style = int(rng.integers(3))
    if style == 2:
        high_hz = low_hz * rng.uniform(1.25, 1.5)
        course = 0.5 + 0.5 * np.tanh(20.0 * np.sin(2.0 * np.pi * rng.uniform(0.6, 1.2) * t))
    else:
        rate = rng.uniform(0.25, 0.6) if style == 0 else rng.uniform(2.5, 4.5)
        course = 0.5 - 0.5 * np.cos(2.0 * np.pi * rate * t)
    wave = harmonics(low_hz * (high_hz / low_hz) ** course, [k**-0.9 for k in range(1, 12)], rate_hz)
    return unit(wave) + 0.03 * noise(rng, n, rate_hz)


def kettle(rng: np.random.Generator, n: int, rate_hz: int) -> np.ndarray:
    """Whistle like a kettle: a wavering tone at 1.2 to 2.2 kHz, its harmonics, and steam."""
    pitch_hz = rng.uniform(1200.0, 2200.0) * glide(rng, n, 0.97, 1.03, round(6 * n / rate_hz))
    tone = harmonics(pitch_hz, [1.0, 0.35, 0.2, 0.1], rate_hz) * glide(rng, n, 0.7, 1.0, round(10 * n / rate_hz))
    steam = band(noise(rng, n, rate_hz), 900.0, 7000.0, rate_hz)
    return unit(tone) + rng.uniform(0.25, 0.6) * unit(steam)


def vacuum(rng: np.random.Generator, n: int, rate_hz: int) -> np.ndarray:
    """Run a vacuum cleaner: air noise with broad resonances over the motor's harmonics."""
    motor_hz = rng.uniform(180.0, 420.0) * glide(rng, n, 0.985, 1.015, round(3 * n / rate_hz))
    motor = harmonics(motor_hz, rng.uniform(0.2, 1.0, 14), rate_hz)
    air = noise(rng, n, rate_hz, slope_db=rng.uniform(-5.0, -2.5))
    centres_hz = rng.uniform([300.0, 900.0, 2200.0], [800.0, 2000.0, 4500.0])
    return unit(resonances(air, centres_hz, centres_hz / 3.0, [1, 0.8, 0.6], rate_hz) + air) + 0.5 * unit(motor)


def engine(rng: np.random.Generator, n: int, rate_hz: int) -> np.ndarray:
    """Idle an engine: 18 to 45 uneven firings a second through the resonances of exhaust and hood."""
    period_s = 1.0 / rng.uniform(18.0, 45.0)
    count = int(n / rate_hz / period_s)
    times_s = (np.arange(count) + 0.1 + 0.06 * rng.random(count)) * period_s
    firing = burst(rng, round(0.02 * rate_hz), rate_hz, 0.004)
    cylinder = np.tile(rng.uniform(0.5, 1.3, 4), count // 4 + 1)
    pulses = place(n, rate_hz, times_s.tolist(), lambda i: cylinder[i] * firing)
    centres_hz = rng.uniform([90.0, 300.0, 800.0, 1800.0], [180.0, 600.0, 1500.0, 3500.0])
    wave = resonances(pulses, centres_hz, centres_hz / 4.0, [1, 0.8, 0.5, 0.4], rate_hz) + 0.3 * pulses
    return unit(wave) + 0.15 * noise(rng, n, rate_hz, slope_db=-4.0)


def clock(rng: np.random.Generator, n: int, rate_hz: int) -> np.ndarray:
    """Tick a clock two to five times a second: two strokes of unlike pitch on a small wooden box."""
    interval_s = rng.uniform(0.2, 0.5)
    length = round(0.15 * rate_hz)
    strokes = []
    for _ in range(2):
        partials_hz = rng.uniform([400.0, 1200.0, 2500.0, 4000.0], [900.0, 2400.0, 4000.0, 6500.0])
        stroke = ring(length, rate_hz, partials_hz, [0.03, 0.015, 0.008, 0.005], rng.uniform(0.4, 1.0, 4))
        strokes.append(unit(stroke) + 0.5 * unit(burst(rng, length, rate_hz, 0.003)))
    times_s = np.arange(0.03, n / rate_hz - 0.03, interval_s)
    return place(n, rate_hz, times_s.tolist(), lambda i: strokes[i % 2]) + 1e-3 * noise(rng, n, rate_hz)


def typing(rng: np.random.Generator, n: int, rate_hz: int) -> np.ndarray:
    """Type on a keyboard: a press and a weaker release for each key, four to nine keys a second."""
    length = round(0.08 * rate_hz)
    keys = []
    for _ in range(6):
        partials_hz = rng.uniform([250.0, 1500.0, 3000.0], [500.0, 3000.0, 6000.0])
        key = unit(ring(length, rate_hz, partials_hz, [0.02, 0.006, 0.004], [0.6, 0.8, 0.6]))
        keys.append(key + rng.uniform(0.5, 1.0) * unit(burst(rng, length, rate_hz, 0.004)))
    presses_s = event_times_s(rng, n, rate_hz, 0.1, 0.26)
    times_s = [t for press_s in presses_s for t in (press_s, press_s + 0.06) if t < n / rate_hz - 0.01]
    gains = rng.uniform(0.5, 1.0, len(times_s)) * np.where(np.arange(len(times_s)) % 2, 0.4, 1.0)
    choice = rng.integers(len(keys), size=len(times_s))
    return place(n, rate_hz, times_s, lambda i: gains[i] * keys[choice[i]]) + 2e-3 * noise(rng, n, rate_hz)
