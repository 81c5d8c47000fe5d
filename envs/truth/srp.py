"""Where an array hears a sound: SRP-PHAT, as policies and baselines of the field use it.

Steered response power with phase transform (DiBiase 2000, chapter 6), in the plane of the floor.
"""

from __future__ import annotations

import numpy as np
import scipy.signal

from phonotaxis.envs.acoustics.air import SPEED_OF_SOUND_MPS

GRID_DEG = 2.0
LOW_HZ, HIGH_HZ = 300.0, 6000.0
N_FFT, HOP = 256, 128
LEAD_S = 1.0  # how long the noise has been playing when the window begins
WINDOW_S = 0.25


def srp_azimuth_rad(
    audio: np.ndarray, mic_xyz_m: np.ndarray, sample_rate_hz: int, low_hz: float = LOW_HZ, high_hz: float = HIGH_HZ
) -> float:
    """Return the azimuth with the most steered power, on a grid of 2 degrees.

    Args:
        audio: float [mics, samples].
        mic_xyz_m: float [mics, 3], in the frame of the azimuth.
        sample_rate_hz: of the audio.
        low_hz: lowest frequency that counts.
        high_hz: highest.

    Returns:
        Radians in [0, 2 pi).
    """
    frequency_hz, _, spectra = scipy.signal.stft(
        audio, sample_rate_hz, nperseg=N_FFT, noverlap=N_FFT - HOP, boundary=None, padded=False
    )
    used = (frequency_hz >= low_hz) & (frequency_hz <= high_hz)
    phases = spectra[:, used] / np.maximum(np.abs(spectra[:, used]), 1e-20)
    azimuth = np.radians(np.arange(0.0, 360.0, GRID_DEG))
    towards = np.stack([np.cos(azimuth), np.sin(azimuth)], axis=1)
    ahead_s = np.asarray(mic_xyz_m)[:, :2] @ towards.T / SPEED_OF_SOUND_MPS  # [mics, azimuths]
    power = np.zeros(azimuth.size)
    for i in range(len(audio)):
        for j in range(i):
            cross = (phases[i] * phases[j].conj()).sum(axis=1)
            power += np.real(np.exp(-2j * np.pi * np.outer(ahead_s[i] - ahead_s[j], frequency_hz[used])) @ cross)
    return float(azimuth[power.argmax()])


def steady_noise(responses: np.ndarray, sample_rate_hz: int, seed: int) -> np.ndarray:
    """Return a window of what an array hears of white noise that began 1 s before the window.

    Args:
        responses: float [mics, taps], impulse responses.
        sample_rate_hz: of the responses.
        seed: of the noise.

    Returns:
        float64 [mics, samples], the window of 0.25 s.
    """
    lead, window = round(LEAD_S * sample_rate_hz), round(WINDOW_S * sample_rate_hz)
    noise = np.random.Generator(np.random.PCG64([0x737270, seed])).standard_normal(lead + window)
    heard: np.ndarray = scipy.signal.fftconvolve(np.asarray(responses, dtype=np.float64), noise[None, :], axes=1)
    return heard[:, lead : lead + window]


def wasserstein(first: np.ndarray, second: np.ndarray) -> float:
    """Return the Wasserstein-1 distance between two distributions of as many samples, in the samples' unit.

    Raises:
        ValueError: the numbers of samples differ.
    """
    if np.size(first) != np.size(second) or np.size(first) == 0:
        raise ValueError(f"expected two sets of as many samples, got {np.size(first)} and {np.size(second)}")
    return float(np.abs(np.sort(np.ravel(first)) - np.sort(np.ravel(second))).mean())
