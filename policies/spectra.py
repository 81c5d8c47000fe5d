"""Constants of the audio front end: its frequencies, its frames, the Fourier transform and bands of mel."""

from __future__ import annotations

import numpy as np

from phonotaxis.configs.config_error import ConfigError
from phonotaxis.configs.contract import Contract


def mel(hz: np.ndarray) -> np.ndarray:
    """Return frequencies on the mel scale (O'Shaughnessy 1987)."""
    out: np.ndarray = 2595.0 * np.log10(1.0 + hz / 700.0)
    return out


def frequencies_hz(contract: Contract) -> np.ndarray:
    """Frequencies of the bins between the front end's bounds, without the constant; [bins].

    Raises:
        ConfigError: fewer than two bins lie between the bounds.
    """
    spec = contract.front_end
    all_hz = np.arange(spec.n_fft // 2 + 1) * contract.sample_rate_hz / spec.n_fft
    chosen = all_hz[(all_hz >= max(spec.low_hz, 1e-9)) & (all_hz <= spec.high_hz)]
    if len(chosen) < 2:
        raise ConfigError(
            f"front_end: {len(chosen)} bins lie between {spec.low_hz} and {spec.high_hz} Hz, two are needed; "
            "widen the bounds or raise n_fft"
        )
    return chosen


def frame_starts(window_samples: int, n_fft: int, hop: int) -> np.ndarray:
    """First sample of each frame; the last frame ends with the window, the oldest samples may go unread."""
    count = (window_samples - n_fft) // hop + 1
    return window_samples - n_fft - hop * np.arange(count, dtype=np.int64)[::-1]


def hann(n_fft: int) -> np.ndarray:
    """Periodic Hann window, float64 [n_fft]."""
    return 0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(n_fft) / n_fft)


def folded_bases(n_fft: int, rate_hz: int, bins_hz: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Windowed DFT of half frames, samples n and n_fft - n added for the cosines, subtracted for the sines.

    Returns:
        Cosines and minus sines, each float64 [n_fft // 2, bins], for n from 1: at 0 the window is 0.
    """
    samples = np.arange(1, n_fft // 2 + 1)
    angles = 2.0 * np.pi * np.outer(samples, bins_hz) / rate_hz
    window = hann(n_fft)[samples]
    window[2 * samples == n_fft] *= 0.5  # the middle one is its own counterpart
    return np.cos(angles) * window[:, None], -np.sin(angles) * window[:, None]


def mel_weights(bins_hz: np.ndarray, bands: int) -> np.ndarray:
    """Triangular bands evenly spaced in mel, each of unit sum: [bins, bands]."""
    at = mel(bins_hz)
    centres = np.linspace(at[0], at[-1], bands)
    # No narrower than the bins are apart, so that no band is empty where bins are sparse.
    half_width = max((at[-1] - at[0]) / max(bands - 1, 1), float(np.diff(at).max()))
    weights = np.maximum(1.0 - np.abs(at[:, None] - centres[None, :]) / half_width, 0.0)
    return weights / weights.sum(axis=0, keepdims=True)


def band_edges(bins_hz: np.ndarray, bands: int) -> np.ndarray:
    """Cut bins into bands about equally wide on the mel scale, of one bin at least.

    Returns:
        int64 [bands + 1]: band b holds the bins from edge b up to edge b + 1.

    Raises:
        ConfigError: there are fewer bins than bands.
    """
    bins = len(bins_hz)
    if bins < bands:
        raise ConfigError(f"front_end: {bins} bins can't make {bands} direction_bands; raise n_fft or ask for fewer")
    at = mel(bins_hz)
    edges = np.searchsorted(at, np.linspace(at[0], at[-1], bands + 1))
    edges[0], edges[-1] = 0, bins
    for band in range(1, bands):  # where bins are sparse
        edges[band] = max(edges[band], edges[band - 1] + 1)
    for band in range(bands - 1, 0, -1):
        edges[band] = min(edges[band], edges[band + 1] - 1)
    return edges.astype(np.int64)
