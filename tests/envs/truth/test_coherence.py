"""Coherence of fields whose coherence is known."""

from __future__ import annotations

import numpy as np
import pytest

from phonotaxis.envs.truth.coherence import ARRAY, HIGH_HZ, LOW_HZ, coherence

RATE_HZ = 16000
SPEED_MPS = 343.2


def noise_field(flat: bool, poses: int = 30, waves: int = 24) -> np.ndarray:
    """Make decaying plane waves of noise from all around: over the sphere, or along the floor."""
    rng = np.random.Generator(np.random.PCG64(4))
    taps = 4800
    mics = ARRAY.positions_m()
    turns = np.fft.rfftfreq(taps, 1.0 / RATE_HZ)
    out = np.empty((poses, ARRAY.mics, taps))
    for pose in range(poses):
        z = np.zeros(waves) if flat else rng.uniform(-1.0, 1.0, waves)
        azimuth = rng.uniform(0.0, 2.0 * np.pi, waves)
        towards = np.stack([np.sqrt(1 - z**2) * np.cos(azimuth), np.sqrt(1 - z**2) * np.sin(azimuth), z])
        sound = np.fft.rfft(rng.standard_normal((waves, taps)), axis=1)
        delays = np.exp(2j * np.pi * turns[None, :, None] * (mics @ towards / SPEED_MPS)[:, None, :])
        out[pose] = np.fft.irfft(np.einsum("mfw,wf->mf", delays, sound), taps, axis=1)
    return out * 10.0 ** (-3.0 * np.arange(taps) / RATE_HZ / 0.3)


def third_octaves() -> np.ndarray:
    return LOW_HZ * 2.0 ** ((np.arange(round(3 * np.log2(HIGH_HZ / LOW_HZ))) + 0.5) / 3.0)


def test_a_diffuse_field_has_a_sinc() -> None:
    """The coherence of a spherically isotropic field (Cook et al. 1955), beside and above alike."""
    found = coherence(noise_field(flat=False), RATE_HZ)
    for row, (i, j) in zip(found, [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]):
        spacing_m = np.linalg.norm(ARRAY.positions_m()[i] - ARRAY.positions_m()[j])
        expected = np.sinc(2.0 * third_octaves() * spacing_m / SPEED_MPS)
        assert np.sqrt(np.mean(np.abs(row - expected) ** 2)) < 0.05


def test_a_flat_field_is_told_from_a_diffuse_one() -> None:
    """Above each other nothing differs but for the little that one stands aside; beside each other it is J0."""
    flat, diffuse = (coherence(noise_field(flat=flat), RATE_HZ) for flat in (True, False))
    assert np.abs(flat[2]).mean() > np.abs(diffuse[2]).mean() + 0.1
    assert np.sqrt(np.mean(np.abs(flat - diffuse) ** 2)) > 0.1


def test_every_frame_counts_alike() -> None:
    """A loud beginning that is coherent doesn't hide a long incoherent rest."""
    rng = np.random.Generator(np.random.PCG64(5))
    responses = rng.standard_normal((40, 2, 6400))
    responses[:, 1, :2400] = responses[:, 0, :2400]
    responses[:, :, :2400] *= 100.0
    found = np.abs(coherence(responses, RATE_HZ))
    assert found.shape == (1, 13)
    assert found.mean() == pytest.approx(0.17, abs=0.06)  # 50 of 300 ms
