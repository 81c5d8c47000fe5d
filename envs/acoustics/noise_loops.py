"""The spectra of noise: of a room's background and of a robot's motors and fan, at every microphone of an array.

A spectrum here is complex [mics, frequencies] in pascal: the mean square of a bin is the mean square pressure that
it adds. It belongs to a loop, so it repeats without a seam and delays are exact at every frequency.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.fft

from phonotaxis.configs.array import Vector3
from phonotaxis.envs.acoustics.converter import REFERENCE_PASCAL, a_weighting_db
from phonotaxis.envs.acoustics.directivity import Directivity, interpolate_fir

NEAREST_M = 0.03  # a source has some extent: 1 / distance holds no nearer
HARMONICS = 10
_HARMONIC_DROP_DB = 4.0
_DETUNING = 0.01  # of each further motor: no two turn alike

# IEEE 269-2001, room noise after Hoth (1941), dB SPL/Hz at thirds of an octave from 100 to 8000 Hz: near to -5 dB
# an octave. Only its form counts here. It is continued in a straight line, and ends below 50 Hz, where rooms are
# loud but the microphones of arrays hear little.
_HOTH_DB = (
    32.4, 30.9, 29.1, 27.6, 26.0, 24.4, 22.7, 21.1, 19.5, 17.8, 16.2, 14.6, 12.9, 11.3, 9.6, 7.8, 5.4, 2.6, -1.3, -6.6,
)  # fmt: skip
_LOWEST_HZ = 50.0
_BLOCK = 8192  # frequencies mixed at once: bounds memory
_GRID = 1025  # frequencies of a response or a coherence, at least; straight lines in between
_POINTS_PER_PERIOD = 32  # of a coherence's ripple over frequency; lines between them err by 0.5 % of it


def hoth_density(frequency_hz: np.ndarray) -> np.ndarray:
    """Return the form of a room's background, power per Hz, float64 [frequencies], 1 where it is 0 dB SPL/Hz."""
    thirds = 10.0 * np.log10(np.maximum(frequency_hz, 1.0) / 1000.0)
    table = np.arange(-10.0, 10.0)
    density_db = np.interp(thirds, table, _HOTH_DB)
    density_db += np.minimum(thirds - table[0], 0.0) * (_HOTH_DB[10] - _HOTH_DB[0]) / 10.0
    density_db += np.maximum(thirds - table[-1], 0.0) * (_HOTH_DB[-1] - _HOTH_DB[-2])
    return np.where(frequency_hz >= _LOWEST_HZ, 10.0 ** (density_db / 10.0), 0.0)


def hump_density(frequency_hz: np.ndarray, centre_hz: float) -> np.ndarray:
    """Return the form of a machine's broadband noise, power per Hz: 6 dB an octave down on both sides of a centre."""
    ratio = np.maximum(frequency_hz, 1.0) / centre_hz
    return np.where(frequency_hz >= _LOWEST_HZ, 1.0 / (ratio**2 + ratio**-2), 0.0)


def at_level(density: np.ndarray, frequency_hz: np.ndarray, level_dba: float) -> np.ndarray:
    """Scale a form to a level.

    Args:
        density: float64 [frequencies], power on any scale; evenly spaced in frequency.
        frequency_hz: float64 [frequencies].
        level_dba: A-weighted level of the whole.

    Returns:
        Mean square pressure of each frequency, float64 [frequencies], Pa^2.
    """
    heard = density @ 10.0 ** (a_weighting_db(frequency_hz) / 10.0)
    return density * (REFERENCE_PASCAL**2 * 10.0 ** (level_dba / 10.0) / heard)


def diffuse_spectrum(
    frequency_hz: np.ndarray,
    power: np.ndarray,
    mic_xyz_m: np.ndarray,
    speed_mps: float,
    rng: np.random.Generator,
    directivity: Directivity | None = None,
) -> np.ndarray:
    """Draw noise that comes from all directions alike, complex64 [mics, frequencies].

    Independent noises are mixed by the square root of the coherence matrix at each frequency (Habets, Cohen and
    Gannot 2008; the symmetric root is the balanced mixing of Mirabilii, Schlecht and Habets 2021, whose spectra are
    smooth), so that it can be tabulated.

    Args:
        frequency_hz: float64 [frequencies], evenly spaced from 0.
        power: float64 [frequencies], mean square pressure of each, Pa^2.
        mic_xyz_m: float64 [mics, 3], base frame.
        speed_mps: of sound.
        rng: what to draw from.
        directivity: of the microphones, built for the loops' sample rate; None is omnidirectional.
    """
    mics, top_hz = len(mic_xyz_m), frequency_hz[-1]
    widest_m = np.linalg.norm(mic_xyz_m[:, None] - mic_xyz_m[None], axis=2).max()
    points = max(_GRID, int(np.ceil(_POINTS_PER_PERIOD * top_hz * widest_m / speed_mps)) + 1)
    grid_hz = np.linspace(0.0, top_hz, points)
    if directivity is None:
        mixing = _root(isotropic_coherence(grid_hz, mic_xyz_m, speed_mps))
    else:
        mixing = _root(directive_coherence(grid_hz, mic_xyz_m, speed_mps, directivity))
    spectrum = _gaussian(rng, (mics, frequency_hz.size)) * np.sqrt(power).astype(np.float32)
    for first in range(0, frequency_hz.size, _BLOCK):
        block = slice(first, first + _BLOCK)
        place = frequency_hz[block] / top_hz * (points - 1)
        low = np.minimum(place.astype(np.int64), points - 2)
        share = (place - low)[:, None, None]
        mixed = (1.0 - share) * mixing[low] + share * mixing[low + 1]
        spectrum[:, block] = np.einsum("fij,jf->if", mixed, spectrum[:, block])
    return spectrum


def isotropic_coherence(frequency_hz: np.ndarray, mic_xyz_m: np.ndarray, speed_mps: float) -> np.ndarray:
    """Return the coherence of omnidirectional microphones in a diffuse field, float64 [frequencies, mics, mics].

    sin(kd) / kd for a distance d and the wave number k (Cook et al. 1955).
    """
    distance_m = np.linalg.norm(mic_xyz_m[:, None] - mic_xyz_m[None], axis=2)
    return np.sinc(2.0 * frequency_hz[:, None, None] * distance_m / speed_mps)


def directive_coherence(
    frequency_hz: np.ndarray, mic_xyz_m: np.ndarray, speed_mps: float, directivity: Directivity
) -> np.ndarray:
    """Return the cross-spectra of directional microphones in a diffuse field, complex128 [frequencies, mics, mics].

    Plane waves averaged over the sphere; an omnidirectional microphone would have 1 on the diagonal. The grid of
    directions is fine enough for microphones up to 3 wavelengths apart; beyond that, coherence is near 0.

    Args:
        frequency_hz: float64 [frequencies], evenly spaced from 0 to half the sample rate of the filters.
        mic_xyz_m: float64 [mics, 3], base frame.
        speed_mps: of sound.
        directivity: of the microphones.
    """
    share = _solid_angles(directivity)
    # a microphone nearer to where the wave comes from hears it earlier
    lead_s = directivity.direction @ mic_xyz_m.T / speed_mps
    taps = np.arange(directivity.fir.shape[2]) - directivity.fir_delay_samples
    cycles = 0.5 * frequency_hz / frequency_hz[-1]  # a sample
    out = np.empty((frequency_hz.size, len(mic_xyz_m), len(mic_xyz_m)), dtype=np.complex128)
    for first in range(0, frequency_hz.size, 32):
        block = slice(first, first + 32)
        response = directivity.fir @ np.exp(-2j * np.pi * np.outer(taps, cycles[block]))
        waves = np.exp(2j * np.pi * lead_s[:, :, None] * frequency_hz[block]) * response
        waves = waves.transpose(2, 1, 0)  # [frequencies, mics, directions]
        out[block] = (waves * share) @ waves.conj().transpose(0, 2, 1)
    return out


def _solid_angles(directivity: Directivity) -> np.ndarray:
    """Return each direction's share of the sphere, float64 [directions]: its ring's belt in equal parts."""
    rings = directivity.ring_count.size
    edges = np.clip((np.arange(rings + 1) - 0.5) / (rings - 1) - 0.5, -0.5, 0.5) * np.pi
    return np.repeat(np.diff(np.sin(edges)) / 2.0 / directivity.ring_count, directivity.ring_count)


def _root(matrices: np.ndarray) -> np.ndarray:
    """Return the Hermitian square root of positive semidefinite matrices [..., n, n]."""
    values, vectors = np.linalg.eigh(matrices)
    roots = np.sqrt(np.maximum(values, 0.0))  # rounding leaves some of the zeros below 0
    return (vectors * roots[..., None, :]) @ vectors.conj().swapaxes(-1, -2)


def near_spectrum(
    frequency_hz: np.ndarray,
    power: np.ndarray,
    tones: np.ndarray,
    source_xyz_m: Vector3,
    mic_xyz_m: np.ndarray,
    speed_mps: float,
    rng: np.random.Generator,
    directivity: Directivity | None = None,
) -> np.ndarray:
    """Draw the noise of one source on the robot, complex64 [mics, frequencies].

    It reaches each microphone with its own delay and as 1 / distance, and so is coherent between them.

    Args:
        frequency_hz: float64 [frequencies], evenly spaced from 0.
        power: float64 [frequencies], of the broadband part 1 m from the source, Pa^2.
        tones: float64 [frequencies], of the tones, likewise; steady, of random phase.
        source_xyz_m: base frame.
        mic_xyz_m: float64 [mics, 3], base frame.
        speed_mps: of sound.
        rng: what to draw from.
        directivity: of the microphones, built for the loops' sample rate; None is omnidirectional.
    """
    source = _gaussian(rng, frequency_hz.shape) * np.sqrt(power)
    source += np.exp(2j * np.pi * rng.random(frequency_hz.size)) * np.sqrt(tones)
    distance_m = np.maximum(np.linalg.norm(mic_xyz_m - np.array(source_xyz_m), axis=1), NEAREST_M)
    spectrum = np.empty((len(mic_xyz_m), frequency_hz.size), dtype=np.complex64)
    for mic, distance in enumerate(distance_m):
        spectrum[mic] = source * np.exp(-2j * np.pi * frequency_hz * (distance / speed_mps)) / distance
    if directivity is not None:
        x, y, z = np.array(source_xyz_m) - mic_xyz_m.mean(axis=0)
        fir = np.empty(directivity.fir.shape[1:], dtype=np.float32)
        interpolate_fir(directivity, x, y, z, fir)
        spectrum *= scipy.fft.rfft(fir, n=2 * (frequency_hz.size - 1), axis=1)
        cycles = 0.5 * frequency_hz / frequency_hz[-1]  # a sample
        spectrum *= np.exp(2j * np.pi * cycles * directivity.fir_delay_samples)
    return spectrum


def harmonics(frequency_hz: np.ndarray, first_hz: float, source: int) -> np.ndarray:
    """Return the tones of a machine, power on any scale, float64 [frequencies], each at the nearest frequency.

    Args:
        frequency_hz: float64 [frequencies], evenly spaced from 0.
        first_hz: of the first harmonic.
        source: which of several alike; they are a little out of tune.
    """
    out = np.zeros(frequency_hz.size)
    for number in range(HARMONICS):
        tone_hz = first_hz * (1.0 + _DETUNING * source) * (number + 1)
        at = int(round(tone_hz / frequency_hz[1]))
        if tone_hz >= _LOWEST_HZ and at < out.size - 1:
            out[at] = 10.0 ** (-_HARMONIC_DROP_DB * number / 10.0)
    return out


def loop_of(spectrum: np.ndarray, length: int) -> np.ndarray:
    """Return the loop of a spectrum, float32 [mics, length], pascal.

    Args:
        spectrum: complex64 [mics, length // 2 + 1].
        length: samples.
    """
    return scipy.fft.irfft(spectrum, n=length, axis=1) * np.float32(length / np.sqrt(2.0))


def machine_spectrum(
    frequency_hz: np.ndarray,
    level_dba: float,
    tone: tuple[float, float],
    centre_hz: float,
    sources_xyz_m: Sequence[Vector3],
    mic_xyz_m: np.ndarray,
    speed_mps: float,
    rng: np.random.Generator,
    directivity: Directivity | None = None,
) -> np.ndarray:
    """Draw the noise of a machine's sources, complex64 [mics, frequencies].

    Args:
        frequency_hz: float64 [frequencies], evenly spaced from 0.
        level_dba: of all sources together, 1 m from each.
        tone: its first harmonic in Hz, and the share of the A-weighted power that is in tones.
        centre_hz: of its broadband noise.
        sources_xyz_m: where they are, base frame.
        mic_xyz_m: float64 [mics, 3], base frame.
        speed_mps: of sound.
        rng: what to draw from.
        directivity: of the microphones, built for the loops' sample rate; None is omnidirectional.
    """
    first_hz, tonal = tone
    each_dba = level_dba - 10.0 * np.log10(len(sources_xyz_m))
    broad = at_level(hump_density(frequency_hz, centre_hz), frequency_hz, each_dba) * (1.0 - tonal)
    total = np.zeros((len(mic_xyz_m), frequency_hz.size), dtype=np.complex64)
    for number, place in enumerate(sources_xyz_m):
        tones = at_level(harmonics(frequency_hz, first_hz, number), frequency_hz, each_dba) * tonal
        total += near_spectrum(frequency_hz, broad, tones, place, mic_xyz_m, speed_mps, rng, directivity)
    return total


def _gaussian(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Draw complex normal numbers of mean square 1, complex64 [...]."""
    parts = rng.standard_normal((*shape, 2), dtype=np.float32)
    return parts.view(np.complex64)[..., 0] * np.float32(np.sqrt(0.5))
