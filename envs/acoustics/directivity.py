"""The directional response of an array's microphones: short filters on a grid of directions.

Whatever surrounds a microphone (a head, a plate, a pattern, a measurement) becomes one table: for each direction
that sound comes from, a filter *relative to the free field at the microphone's own place*. Delays between
microphones stay with their positions, so filters are short and vary slowly over directions, and linear
interpolation between four neighbours is exact enough for phase.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numba import njit

from phonotaxis.configs.array import MicrophoneArray
from phonotaxis.configs.directivity import Ambisonic, Omnidirectional, Plate, RigidSphere, sphere_centre_m
from phonotaxis.envs.acoustics.bands import BANDS, band_weights
from phonotaxis.envs.acoustics.directivity_models import first_order_gain, plate_response, rigid_sphere_response
from phonotaxis.envs.acoustics.measured_response import read_measured

MAX_TAPS = 64
RING_STEP_RAD = np.pi / 36  # 5 degrees: with interpolation, delays of a head are true to 0.02 samples at 16 kHz
_FIR_DELAY = 24  # taps before the free field's arrival: a bass is heard early at a head, and filters ring ahead
_FADE = 8  # taps, at both ends of a filter
_SPECTRUM = 512  # taps of the filters before they are cut
_CROP = 1e-6  # of the strongest tap's energy: what is weaker at either end is cut from all filters


class Directivity(NamedTuple):
    """Filters of an array's microphones on a grid of directions.

    The grid is one of rings of equal elevation, from straight down to straight up, evenly spaced; on each ring
    directions are evenly spaced in azimuth, counter-clockwise from base x.

    Attributes:
        fir: float32 [directions, mics, taps], at the sample rate it was built for; taps <= `MAX_TAPS`. An ideal
            microphone in the free field has 1 at tap `fir_delay_samples` and 0 elsewhere.
        fir_delay_samples: to be taken off every arrival that a filter is used for.
        gain: float32 [directions, mics, bands], RMS gain per octave band; negative where the pattern inverts.
        delay: float32 [directions, mics], samples that energy comes later than in the free field, over all bands.
        direction: float64 [directions, 3], unit vectors from the array towards the sound, base frame.
        ring_first: int64 [rings], index of each ring's first direction.
        ring_count: int64 [rings], directions on each ring.
    """

    fir: np.ndarray
    fir_delay_samples: int
    gain: np.ndarray
    delay: np.ndarray
    direction: np.ndarray
    ring_first: np.ndarray
    ring_count: np.ndarray


class _Filters(NamedTuple):
    """Filters [directions, mics, taps] and the tap of the free field's arrival."""

    fir: np.ndarray
    delay_samples: int


def build_directivity(array: MicrophoneArray, sample_rate_hz: int) -> Directivity | None:
    """Build the table of an array's directional response.

    Args:
        array: whose `directivity` to build, at its nominal positions.
        sample_rate_hz: of the filters, 8000 to 96000.

    Returns:
        The table, or None where the microphones are omnidirectional in the free field and need none.

    Raises:
        ConfigError: a file of measured responses can't be read or doesn't fit the array.
    """
    if isinstance(array.directivity, Omnidirectional):
        return None
    ring_first, ring_count, direction = direction_grid(RING_STEP_RAD)
    filters = _filters(array, direction, sample_rate_hz)
    gain, delay = _summaries(filters, sample_rate_hz)
    return Directivity(
        np.ascontiguousarray(filters.fir, dtype=np.float32),
        filters.delay_samples,
        gain,
        delay,
        direction,
        ring_first,
        ring_count,
    )


def direction_grid(step_rad: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Lay out rings of directions, neighbours at most a step apart.

    Returns:
        First index and count of each ring, int64 [rings], and unit vectors, float64 [directions, 3].
    """
    rings = int(np.ceil(np.pi / step_rad)) + 1
    elevation = np.linspace(-np.pi / 2, np.pi / 2, rings)
    count = np.maximum(np.ceil(2 * np.pi * np.cos(elevation) / step_rad - 1e-9).astype(np.int64), 1)
    first = np.concatenate([[0], np.cumsum(count)[:-1]]).astype(np.int64)
    rows = []
    for ring, n in enumerate(count):
        azimuth = 2 * np.pi * np.arange(n) / n
        flat = np.cos(elevation[ring])
        rows.append(np.stack([flat * np.cos(azimuth), flat * np.sin(azimuth), np.full(n, np.sin(elevation[ring]))], 1))
    return first, count, np.concatenate(rows)


@njit(cache=True, error_model="numpy", inline="always")
def _ring_position(directivity: Directivity, x: float, y: float, z: float) -> tuple[int, float]:
    """Return the lower of the two rings that a direction lies between, and how far it is towards the upper, 0..1."""
    top = directivity.ring_first.size - 1
    at = (np.arctan2(z, np.sqrt(x * x + y * y)) / np.pi + 0.5) * top
    lower = min(max(int(at), 0), top - 1)
    return lower, at - lower


@njit(cache=True, error_model="numpy", inline="always")
def _azimuth_position(x: float, y: float, count: int) -> float:
    """Return a direction's place on a ring of so many, 0 to count."""
    turn = np.arctan2(y, x) / (2.0 * np.pi)
    return (turn - np.floor(turn)) * count


@njit(cache=True, error_model="numpy")
def direction_index(directivity: Directivity, x: float, y: float, z: float) -> int:
    """Return the index of the grid's direction nearest to (x, y, z).

    No search: the nearest lies on one of the two rings about it, since a further ring is at least a step away and
    neighbours on a ring at most one.

    Args:
        directivity: a `Directivity`.
        x: from the array's centre TO the incoming sound, base frame; of any length but 0.
        y: likewise.
        z: likewise.
    """
    lower, _ = _ring_position(directivity, x, y, z)
    best, nearest = 0, -np.inf
    for ring in range(lower, lower + 2):
        count = directivity.ring_count[ring]
        place = int(_azimuth_position(x, y, count) + 0.5) % count
        index = directivity.ring_first[ring] + place
        towards = directivity.direction[index]
        cosine = towards[0] * x + towards[1] * y + towards[2] * z
        if cosine > nearest:
            best, nearest = index, cosine
    return best


@njit(cache=True, error_model="numpy")
def interpolate_fir(directivity: Directivity, x: float, y: float, z: float, out: np.ndarray) -> None:
    """Write every microphone's filter for a direction, linear between the four directions about it.

    Args:
        directivity: a `Directivity`.
        x: from the array's centre TO the incoming sound, base frame; of any length but 0.
        y: likewise.
        z: likewise.
        out: float32 [mics, taps], overwritten.
    """
    mics, taps = out.shape
    out[:] = np.float32(0.0)
    lower, upwards = _ring_position(directivity, x, y, z)
    for ring in range(lower, lower + 2):
        count, first = directivity.ring_count[ring], directivity.ring_first[ring]
        share = upwards if ring > lower else 1.0 - upwards
        at = _azimuth_position(x, y, count)
        place = int(at)
        onwards = at - place
        a, b = first + place % count, first + (place + 1) % count
        of_a, of_b = np.float32(share * (1.0 - onwards)), np.float32(share * onwards)
        for mic in range(mics):
            row, fir_a, fir_b = out[mic], directivity.fir[a, mic], directivity.fir[b, mic]
            for k in range(taps):
                row[k] += of_a * fir_a[k] + of_b * fir_b[k]


def _filters(array: MicrophoneArray, direction: np.ndarray, sample_rate_hz: int) -> _Filters:
    """Return an array's filters for directions [directions, 3]."""
    if isinstance(array.directivity, Ambisonic):
        return _Filters(first_order_gain(array.directivity, direction)[:, :, None], 0)
    frequency_hz = np.arange(_SPECTRUM // 2 + 1) * sample_rate_hz / _SPECTRUM
    response = _model(array, sample_rate_hz)
    firs = [_fir(response(mic, direction, frequency_hz), frequency_hz / sample_rate_hz) for mic in range(array.mics)]
    return _crop(np.stack(firs, axis=1))


def _model(array: MicrophoneArray, sample_rate_hz: int) -> Callable[[int, np.ndarray, np.ndarray], np.ndarray]:
    """Return a function of (mic, direction [directions, 3], frequency_hz [frequencies]).

    It gives the microphone's response relative to the free field at its place, complex [directions, frequencies].
    """
    directivity = array.directivity
    if isinstance(directivity, RigidSphere):
        positions_m = array.positions_m()
        outward = positions_m - sphere_centre_m(directivity, positions_m)
        outward /= np.sqrt((outward**2).sum(axis=1, keepdims=True))
        radius_m = directivity.radius_m
        return lambda mic, direction, frequency_hz: rigid_sphere_response(
            direction @ outward[mic], frequency_hz, radius_m
        )
    if isinstance(directivity, Plate):
        plate = directivity
        return lambda mic, direction, frequency_hz: plate_response(plate, direction, frequency_hz)
    return read_measured(array, sample_rate_hz).response


def _fir(response: np.ndarray, frequency: np.ndarray) -> np.ndarray:
    """Turn responses [directions, frequencies] into filters [directions, MAX_TAPS]; frequency in cycles a sample."""
    # The last tenth below half the rate is faded out: a fractional delay has no real spectrum at its very end.
    fade = 0.5 + 0.5 * np.cos(np.pi * np.clip((frequency - 0.45) / 0.05, 0.0, 1.0))
    delayed = response * fade * np.exp(-2j * np.pi * frequency * _FIR_DELAY)
    window = np.ones(MAX_TAPS)
    window[:_FADE] = np.sin(np.pi / 2 * (np.arange(_FADE) + 0.5) / _FADE) ** 2
    window[-_FADE:] = window[:_FADE][::-1]
    return np.fft.irfft(delayed, _SPECTRUM, axis=1)[:, :MAX_TAPS] * window


def _crop(fir: np.ndarray) -> _Filters:
    """Cut the taps at both ends that no direction and no microphone needs."""
    energy = np.square(fir).max(axis=(0, 1))
    needed = np.flatnonzero(energy > _CROP * energy.max())
    first = min(int(needed[0]), _FIR_DELAY)
    return _Filters(fir[:, :, first : int(needed[-1]) + 1], _FIR_DELAY - first)


def _summaries(filters: _Filters, sample_rate_hz: int) -> tuple[np.ndarray, np.ndarray]:
    """Return signed RMS gains [directions, mics, bands] and energy-weighted delays [directions, mics] of filters.

    The centroid of a filter's energy in time is its group delay, weighted with energy over frequency (Cohen 1995,
    Time-Frequency Analysis, section 1.4).
    """
    fir = filters.fir.astype(np.float64)
    power = np.square(fir)
    energy = power.sum(axis=2)
    centroid = (power @ np.arange(fir.shape[2])) / np.maximum(energy, 1e-30)
    delay = np.where(energy > 1e-12, centroid - filters.delay_samples, 0.0)
    frequency_hz = np.arange(_SPECTRUM // 2 + 1) * sample_rate_hz / _SPECTRUM
    weights = band_weights(frequency_hz)
    weights /= weights.sum(axis=1, keepdims=True)
    gain = np.empty((*energy.shape, BANDS), dtype=np.float32)
    peak = np.take_along_axis(fir, np.abs(fir).argmax(axis=2)[:, :, None], axis=2)
    for mic in range(fir.shape[1]):  # one at a time: spectra of all microphones at once would be 100 MB and more
        spectrum = np.square(np.abs(np.fft.rfft(fir[:, mic], _SPECTRUM, axis=1)))
        gain[:, mic] = np.sqrt(spectrum @ weights.T) * np.where(peak[:, mic] < 0, -1.0, 1.0)
    return gain, delay.astype(np.float32)
