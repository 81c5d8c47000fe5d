"""Band kernels: equal gains make a flat fractional delay, and each band keeps to its octave."""

from __future__ import annotations

import numpy as np
import pytest

from phonotaxis.envs.acoustics.bands import (
    BANDS,
    PATH_TAPS,
    PHASES,
    PULSE_TAPS,
    band_kernels,
    band_weights,
)
from phonotaxis.envs.scenes.materials import OCTAVE_BANDS_HZ


@pytest.mark.parametrize("rate_hz", [8000, 16000, 48000])
def test_equal_gains_make_a_flat_fractional_delay(rate_hz: int) -> None:
    kernels = band_kernels(rate_hz)
    assert kernels.path.shape == (PHASES, BANDS, PATH_TAPS)
    spectra = np.fft.rfft(kernels.path.sum(axis=1).astype(float), 1024, axis=1)
    frequency = np.arange(spectra.shape[1]) / 1024
    delay = PATH_TAPS // 2 - 1 + np.arange(PHASES) / PHASES
    spectra *= np.exp(2j * np.pi * frequency * delay[:, None])
    passed = frequency < 0.44  # a windowed sinc rolls off towards half the rate
    np.testing.assert_allclose(spectra[:, passed], 1.0, atol=0.01)


def test_bands_add_up_to_one() -> None:
    frequency_hz = np.linspace(0.0, 24000.0, 5001)
    weights = band_weights(frequency_hz)
    assert weights.shape == (BANDS, frequency_hz.size)
    assert weights.min() >= 0.0
    np.testing.assert_allclose(weights.sum(axis=0), 1.0, rtol=1e-12)
    np.testing.assert_allclose(band_weights(np.array(OCTAVE_BANDS_HZ)), np.eye(BANDS), atol=1e-12)


def test_energies_of_pulses_add_up_to_a_flat_spectrum() -> None:
    """Pulses of all bands with equal energies carry what one path of gain 1 does, band by band."""
    kernels = band_kernels(16000)
    frequency_hz = (np.arange(4096) + 0.5) * 8000 / 4096
    share = band_weights(frequency_hz).mean(axis=1)
    energy = (kernels.pulse.astype(float) ** 2).sum(axis=2)
    np.testing.assert_allclose(energy, np.broadcast_to(share, energy.shape), rtol=1e-5)
    spectrum = (np.abs(np.fft.rfft(kernels.pulse.astype(float), 2048, axis=2)) ** 2).sum(axis=1).mean(axis=0)
    passed = np.arange(spectrum.size) / 2048 < 0.42
    level_db = 10 * np.log10(spectrum[passed])
    assert np.abs(level_db).max() < 2.5  # the lowest bands share one broad kernel


def test_pulse_kernels_end_where_the_table_says() -> None:
    kernels = band_kernels(16000)
    assert kernels.pulse_taps.tolist() == list(PULSE_TAPS)
    for band, (first, taps) in enumerate(zip(kernels.pulse_first, kernels.pulse_taps)):
        outside = np.delete(kernels.pulse[:, band], np.s_[first : first + taps], axis=1)
        assert not outside.any()
        assert kernels.pulse[:, band, first : first + taps].any(axis=1).all()


@pytest.mark.parametrize("band", [3, 4, 5])
def test_high_bands_keep_to_their_octave(band: int) -> None:
    """Most of a kernel's energy lies in its octave; a kernel of 4 ms can't do that at 500 Hz and below."""
    centre_hz = OCTAVE_BANDS_HZ[band]
    spectrum = np.abs(np.fft.rfft(band_kernels(16000).pulse[0, band].astype(float), 4096)) ** 2
    frequency_hz = np.arange(spectrum.size) * 16000 / 4096
    high_hz = 8000.0 if band == BANDS - 1 else centre_hz * 2**0.75
    inside = (frequency_hz >= centre_hz / 2**0.75) & (frequency_hz <= high_hz)
    assert spectrum[inside].sum() > 0.9 * spectrum.sum()
