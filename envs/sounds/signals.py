"""Building blocks of the procedural sounds: noise, tones, resonances and events in time."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import scipy.fft
import scipy.signal

TOP = 0.45  # highest frequency that is made, as a fraction of the sample rate: clear of aliasing
FIRST_EVENT_S = 0.03  # events begin after the seam's cross-fade, which would blunt their onset

Values = Sequence[float] | np.ndarray


def noise(rng: np.random.Generator, n: int, rate_hz: int, slope_db: float = 0.0, low_hz: float = 60.0) -> np.ndarray:
    """Make Gaussian noise with a power spectrum that falls by `-slope_db` an octave above `low_hz`.

    Returns:
        float64 [n], RMS 1.
    """
    length = scipy.fft.next_fast_len(n, real=True)
    spectrum = scipy.fft.rfft(rng.standard_normal(length))
    frequency_hz = scipy.fft.rfftfreq(length, 1.0 / rate_hz)
    octaves = np.log2(np.maximum(frequency_hz, low_hz) / low_hz)
    spectrum *= 10.0 ** (slope_db * octaves / 20.0)
    spectrum[frequency_hz < 0.5 * low_hz] = 0.0
    return unit(scipy.fft.irfft(spectrum, length)[:n])


def band(wave: np.ndarray, low_hz: float, high_hz: float, rate_hz: int) -> np.ndarray:
    """Pass a band by a Butterworth filter, 12 dB an octave; edges beyond the range are pulled in."""
    high_hz = min(high_hz, TOP * rate_hz)
    low_hz = min(low_hz, 0.7 * high_hz)
    sos = scipy.signal.butter(2, [low_hz, high_hz], "bandpass", fs=rate_hz, output="sos")
    return scipy.signal.sosfilt(sos, wave)


def resonances(
    wave: np.ndarray,
    centres_hz: Values,
    widths_hz: Values,
    gains: Values,
    rate_hz: int,
) -> np.ndarray:
    """Pass a wave through parallel two-pole resonators, each with the given gain at its centre.

    Source: Klatt, Software for a cascade/parallel formant synthesizer, JASA 67(3), 1980, section I.D.
    """
    out = np.zeros_like(wave)
    for centre_hz, width_hz, gain in zip(centres_hz, widths_hz, gains):
        if centre_hz < TOP * rate_hz:
            radius = np.exp(-np.pi * width_hz / rate_hz)
            turn = 2.0 * np.pi * centre_hz / rate_hz
            poles = np.array([1.0, -2.0 * radius * np.cos(turn), radius * radius])
            at_centre = abs(np.polyval(poles, np.exp(1j * turn)))
            out += gain * scipy.signal.lfilter([float(at_centre)], poles, wave)
    return out


def harmonics(pitch_hz: np.ndarray, amplitudes: Values, rate_hz: int) -> np.ndarray:
    """Sum the harmonics of a moving pitch; what would lie above the top of the range is faded out.

    Args:
        pitch_hz: float64 [n], fundamental at each sample.
        amplitudes: of the first, second, ... harmonic.
        rate_hz: samples a second.

    Returns:
        float64 [n].
    """
    turn = 2.0 * np.pi * np.cumsum(pitch_hz) / rate_hz
    lowest_hz, top_hz = float(pitch_hz.min()), TOP * rate_hz
    rotation = np.exp(1j * turn)
    power = np.ones_like(rotation)
    out = np.zeros(pitch_hz.size)
    for number, amplitude in enumerate(amplitudes, start=1):
        if number * lowest_hz >= top_hz:
            break
        power = power * rotation
        room = np.clip((top_hz - number * pitch_hz) / (0.1 * top_hz), 0.0, 1.0)
        out += amplitude * room * power.imag
    return out


def ring(n: int, rate_hz: int, partials_hz: Values, decays_s: Values, gains: Values) -> np.ndarray:
    """Make what a struck body gives off: damped partials (decay to 1/e) after an onset of 1 ms."""
    t = np.arange(n) / rate_hz
    out = np.zeros(n)
    for frequency_hz, decay_s, gain in zip(partials_hz, decays_s, gains):
        if frequency_hz < TOP * rate_hz:
            out += gain * np.exp(-t / decay_s) * np.sin(2.0 * np.pi * frequency_hz * t)
    return out * np.minimum(1.0, t / 0.001)


def burst(rng: np.random.Generator, n: int, rate_hz: int, decay_s: float) -> np.ndarray:
    """Make a burst of white noise that decays to 1/e in `decay_s`."""
    return rng.standard_normal(n) * np.exp(-np.arange(n) / (decay_s * rate_hz))


def swell(n: int, rate_hz: int, attack_s: float, release_s: float) -> np.ndarray:
    """Make an envelope that rises and falls as a raised cosine and is 1 between; float64 [n]."""
    t = np.arange(n) / rate_hz
    rise = np.clip(t / attack_s, 0.0, 1.0)
    fall = np.clip((n / rate_hz - t) / release_s, 0.0, 1.0)
    return (0.5 - 0.5 * np.cos(np.pi * rise)) * (0.5 - 0.5 * np.cos(np.pi * fall))


def event_times_s(rng: np.random.Generator, n: int, rate_hz: int, shortest_s: float, longest_s: float) -> list[float]:
    """Draw the times of events at intervals within a range, over the seam as well (nearly)."""
    times, now_s, end_s = [], FIRST_EVENT_S, n / rate_hz
    while now_s < end_s - 0.5 * shortest_s:
        times.append(now_s)
        now_s += float(rng.uniform(shortest_s, longest_s))
    return times


def place(n: int, rate_hz: int, times_s: Sequence[float], make: Callable[[int], np.ndarray]) -> np.ndarray:
    """Lay events into n samples; `make(i)` gives the i-th. What runs past the end is faded out there."""
    out = np.zeros(n)
    for index, time_s in enumerate(times_s):
        start = round(time_s * rate_hz)
        event = make(index)[: n - start]
        out[start : start + event.size] += event
    return out


def glide(rng: np.random.Generator, n: int, low: float, high: float, points: int) -> np.ndarray:
    """Draw a smooth random course within a range through a number of points; float64 [n]."""
    values = rng.uniform(low, high, max(points, 2))
    position = np.linspace(0.0, values.size - 1.0, n)
    left = np.minimum(position.astype(np.int64), values.size - 2)
    share = 0.5 - 0.5 * np.cos(np.pi * (position - left))
    return values[left] * (1.0 - share) + values[left + 1] * share


def unit(wave: np.ndarray) -> np.ndarray:
    """Scale to RMS 1; silence stays silence."""
    rms = float(np.sqrt(np.mean(np.square(wave))))
    return wave / rms if rms > 0.0 else wave
