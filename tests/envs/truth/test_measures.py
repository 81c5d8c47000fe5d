"""Measures on signals whose answers are known by construction."""

from __future__ import annotations

import numpy as np
import pytest

from phonotaxis.envs.truth import measures
from phonotaxis.envs.truth.measures import OCTAVES_HZ

RATE_HZ = 16000


def decaying_tone(frequency_hz: float, rt60_s: float, length_s: float) -> np.ndarray:
    """Make a tone whose level falls by 60 dB in `rt60_s`."""
    seconds = np.arange(int(length_s * RATE_HZ)) / RATE_HZ
    return np.asarray(10.0 ** (-3.0 * seconds / rt60_s) * np.sin(2.0 * np.pi * frequency_hz * seconds))


def pulse(at: int, taps: int = 4000) -> np.ndarray:
    made = np.zeros(taps)
    made[at] = 1.0
    return made


@pytest.mark.parametrize("rt60_s", [0.25, 0.6, 1.5])
@pytest.mark.parametrize("centre_hz", OCTAVES_HZ)
def test_a_known_decay_is_read_within_a_percent(rt60_s: float, centre_hz: float) -> None:
    tone = decaying_tone(centre_hz, rt60_s, 1.2 * rt60_s)
    found = measures.reverberation_time(measures.octave(tone, centre_hz, RATE_HZ), RATE_HZ)
    assert found.range_db == 30
    assert found.rt60_s == pytest.approx(rt60_s, rel=0.01)


def test_noise_that_decays_is_read_without_bias() -> None:
    """40 listeners, every octave with its own decay; what is left of chance is about a percent."""
    rng = np.random.Generator(np.random.PCG64(1))
    seconds = np.arange(RATE_HZ) / RATE_HZ
    fast, slow = (rng.standard_normal((40, RATE_HZ)) * 10.0 ** (-3.0 * seconds / rt60_s) for rt60_s in (0.3, 0.7))
    low, high = measures.band_pass(slow, 20.0, 700.0, RATE_HZ), measures.band_pass(fast, 1450.0, 7900.0, RATE_HZ)
    found = measures.room_decay(low + high, RATE_HZ)
    assert found.rt60_s[[0, 3, 4]] == pytest.approx([0.7, 0.3, 0.3], rel=0.025)
    assert (found.t20_count, found.failed_count) == (0, 0)


def test_a_short_response_falls_back_on_t20_and_then_on_nothing() -> None:
    """A response of 0.7 RT60 has fallen by 42 dB at its end, one of 0.5 RT60 by 30."""
    for share, range_db in ((0.9, 30), (0.7, 20), (0.5, 0)):
        found = measures.reverberation_time(decaying_tone(1000.0, 0.5, 0.5 * share), RATE_HZ)
        assert found.range_db == range_db
        if range_db:
            assert found.rt60_s == pytest.approx(0.5, rel=0.04)
    assert measures.reverberation_time(np.zeros(4000), RATE_HZ).range_db == 0
    counted = measures.room_decay(np.stack([decaying_tone(1000.0, 0.5, 0.35)] * 3), RATE_HZ)
    assert counted.t20_count + counted.failed_count > 0


def test_a_double_slope_is_read_where_it_is_defined() -> None:
    """Early decay apart, only -5 to -35 dB count: a steep first 3 dB change nothing."""
    tone = decaying_tone(1000.0, 0.6, 0.8)
    tone[:40] *= np.sqrt(2.0)
    assert measures.reverberation_time(tone, RATE_HZ).rt60_s == pytest.approx(0.6, rel=0.01)


@pytest.mark.parametrize("ratio_db", [-10.0, 0.0, 10.0])
def test_direct_and_rest_are_told_apart(ratio_db: float) -> None:
    response = 10.0 ** (ratio_db / 20.0) * pulse(200) + pulse(800)
    assert measures.drr_db(response, 200 / RATE_HZ, RATE_HZ) == pytest.approx(ratio_db, abs=0.1)


def test_within_two_and_a_half_milliseconds_all_is_direct() -> None:
    near, far = (pulse(200) + pulse(200 + samples) + pulse(1500) for samples in (25, 65))
    assert measures.drr_db(near, 200 / RATE_HZ, RATE_HZ) > 2.5
    assert measures.drr_db(far, 200 / RATE_HZ, RATE_HZ) == pytest.approx(-3.0, abs=0.3)


def test_level_is_relative_to_the_source_at_a_metre() -> None:
    assert measures.level_db(pulse(500), RATE_HZ) == pytest.approx(0.0, abs=1e-6)
    assert measures.level_db(0.1 * pulse(500), RATE_HZ) == pytest.approx(-20.0, abs=1e-6)
    tone = decaying_tone(1000.0, 0.3, 0.5)
    assert measures.level_db(tone, RATE_HZ, 707.0, 1414.0) > measures.level_db(tone, RATE_HZ, 1414.0, 2828.0) + 20.0


@pytest.mark.parametrize("azimuth_deg", [-170.0, -45.0, 10.0, 90.0])
def test_intensity_points_to_where_a_plane_wave_comes_from(azimuth_deg: float) -> None:
    angles = np.radians([0.0, 90.0, 180.0, 270.0])
    mics = np.stack([0.032 * np.cos(angles), 0.032 * np.sin(angles), np.full(4, 0.4)], axis=1)
    towards = np.array([np.cos(np.radians(azimuth_deg)), np.sin(np.radians(azimuth_deg)), 0.0])
    delay = 300.0 - mics @ towards / 343.0 * RATE_HZ
    responses = np.stack([np.sinc(np.arange(800) - samples) for samples in delay])
    off = measures.intensity_azimuth_rad(responses, mics, RATE_HZ) - np.radians(azimuth_deg)
    assert measures.wrapped_deg(off) < 1.0


def test_intensity_refuses_a_line_of_microphones() -> None:
    line = np.array([[0.0, 0.0, 0.0], [0.1, 0.0, 0.0], [0.2, 0.0, 0.0]])
    with pytest.raises(ValueError, match="span the horizontal plane"):
        measures.intensity_azimuth_rad(np.ones((3, 100)), line, RATE_HZ)


def test_angles_are_wrapped() -> None:
    assert measures.wrapped_deg(np.radians([350.0, -190.0, 180.0])) == pytest.approx([10.0, 170.0, 180.0])
