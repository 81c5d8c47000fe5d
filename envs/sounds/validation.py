"""Sounds that neither training nor test has: policies are chosen by them. Generators take (rng, n, rate_hz)."""

from __future__ import annotations

import numpy as np

from phonotaxis.envs.sounds.signals import band, burst, event_times_s, glide, harmonics, noise, place, ring, unit


def doorbell(rng: np.random.Generator, n: int, rate_hz: int) -> np.ndarray:
    """Chime: two or three bars of metal struck one after the other, again and again."""
    notes = int(rng.integers(2, 4))
    base_hz = rng.uniform(450.0, 900.0)
    pitches_hz = base_hz * rng.permutation([1.0, 0.8, 1.25])[:notes]
    ratios = np.array([1.0, 2.76, 5.4, 8.93])  # of a bar that is free at both ends
    bars = []
    for pitch_hz in pitches_hz:
        decays_s = rng.uniform(0.25, 0.5) / np.sqrt(ratios)
        bar = ring(round(1.2 * rate_hz), rate_hz, pitch_hz * ratios, decays_s, [1.0, 0.5, 0.35, 0.2])
        bar[: round(0.03 * rate_hz)] += 0.4 * burst(rng, round(0.03 * rate_hz), rate_hz, 0.004)
        bars.append(bar)
    gap_s = rng.uniform(0.3, 0.5)
    times_s = np.arange(0.03, n / rate_hz - 0.2, gap_s).tolist()
    return place(n, rate_hz, times_s, lambda i: bars[i % notes]) + 2e-3 * noise(rng, n, rate_hz)


def footsteps(rng: np.random.Generator, n: int, rate_hz: int) -> np.ndarray:
    """Walk on a hard floor: the heel's blow, low, and the sole's slap after it, high."""
    stride_s = rng.uniform(0.38, 0.55)
    thump_hz, slap_hz = rng.uniform(120.0, 260.0), rng.uniform(1500.0, 3500.0)
    heel_s, sole_s = rng.uniform(0.015, 0.03), rng.uniform(0.004, 0.012)
    apart = round(rng.uniform(0.04, 0.09) * rate_hz)

    def step(index: int) -> np.ndarray:
        length = round(0.25 * rate_hz)
        out = 1.5 * unit(band(burst(rng, length, rate_hz, heel_s), 0.5 * thump_hz, 3.0 * thump_hz, rate_hz))
        sole = unit(band(burst(rng, length - apart, rate_hz, sole_s), 0.4 * slap_hz, 2.0 * slap_hz, rate_hz))
        out[apart:] += rng.uniform(0.6, 1.0) * sole
        return out * (1.0 if index % 2 else rng.uniform(0.7, 1.0))

    times_s = event_times_s(rng, n, rate_hz, 0.95 * stride_s, 1.05 * stride_s)
    return place(n, rate_hz, times_s, step) + 1e-3 * noise(rng, n, rate_hz)


def hair_dryer(rng: np.random.Generator, n: int, rate_hz: int) -> np.ndarray:
    """Blow: the rush of air and the whine of a small fast motor."""
    air = unit(band(noise(rng, n, rate_hz, slope_db=-3.0), 200.0, rng.uniform(3500.0, 6500.0), rate_hz))
    pitch_hz = rng.uniform(380.0, 720.0) * (1.0 + glide(rng, n, -0.01, 0.01, 6))
    whine = unit(harmonics(pitch_hz, [1.0, 0.7, 0.5, 0.5, 0.3, 0.2], rate_hz))
    return air + rng.uniform(0.15, 0.4) * whine
