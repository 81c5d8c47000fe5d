"""Steered response power on plane waves, and the distance between distributions."""

from __future__ import annotations

import numpy as np
import pytest

from phonotaxis.envs.acoustics.air import SPEED_OF_SOUND_MPS
from phonotaxis.envs.truth import srp

RATE_HZ = 16000
ANGLES = np.radians([0.0, 90.0, 180.0, 270.0])
MICS = np.stack([0.032 * np.cos(ANGLES), 0.032 * np.sin(ANGLES), np.full(4, 0.45)], axis=1)


def plane_wave(azimuth_deg: float) -> np.ndarray:
    towards = np.array([np.cos(np.radians(azimuth_deg)), np.sin(np.radians(azimuth_deg)), 0.0])
    delay = 100.0 - MICS @ towards / SPEED_OF_SOUND_MPS * RATE_HZ
    return np.stack([np.sinc(np.arange(400) - samples) for samples in delay])


@pytest.mark.parametrize("azimuth_deg", [0.0, 34.0, 120.0, 181.0, 299.0])
def test_a_plane_wave_of_noise_is_found(azimuth_deg: float) -> None:
    heard = srp.steady_noise(plane_wave(azimuth_deg), RATE_HZ, 3)
    assert heard.shape == (4, 4000)
    found = np.degrees(srp.srp_azimuth_rad(heard, MICS, RATE_HZ))
    assert abs((found - azimuth_deg + 180.0) % 360.0 - 180.0) <= 2.0


def test_the_louder_of_two_waves_is_found() -> None:
    heard = srp.steady_noise(plane_wave(40.0), RATE_HZ, 0) + 0.3 * srp.steady_noise(plane_wave(200.0), RATE_HZ, 1)
    assert np.degrees(srp.srp_azimuth_rad(heard, MICS, RATE_HZ)) == pytest.approx(40.0, abs=2.01)


def test_noise_is_steady_and_seeded() -> None:
    """What came a second before is heard: a response that is one late echo fills the whole window."""
    echo = np.zeros((1, RATE_HZ))
    echo[0, 15000] = 1.0
    heard = srp.steady_noise(echo, RATE_HZ, 5)
    assert np.std(heard) == pytest.approx(1.0, rel=0.05)
    assert np.array_equal(heard, srp.steady_noise(echo, RATE_HZ, 5))
    assert not np.array_equal(heard, srp.steady_noise(echo, RATE_HZ, 6))


def test_distance_between_distributions() -> None:
    rng = np.random.Generator(np.random.PCG64(2))
    sample = rng.exponential(5.0, 200)
    assert srp.wasserstein(sample, rng.permutation(sample)) == 0.0
    assert srp.wasserstein(sample, sample + 3.0) == pytest.approx(3.0)
    assert srp.wasserstein(np.array([0.0, 0.0]), np.array([0.0, 180.0])) == pytest.approx(90.0)
    with pytest.raises(ValueError, match="as many samples, got 200 and 10"):
        srp.wasserstein(sample, sample[:10])
