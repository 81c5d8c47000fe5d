"""Unit variation: nothing where nothing is asked for, the spread that is asked for otherwise, and keys that keep."""

from __future__ import annotations

import numpy as np
import pytest

from phonotaxis.configs import presets
from phonotaxis.configs.array import MicrophoneArray
from phonotaxis.configs.unit_variation import UnitVariation
from phonotaxis.envs.acoustics.unit_variation import draw_unit

RATE_HZ = 16000
SPREAD = UnitVariation(
    gain_std_db=1.0, delay_std_us=5.0, position_std_m=0.002, clip_below_full_scale_db=6.0, dead_probability=0.1
)


@pytest.fixture(scope="module")
def array() -> MicrophoneArray:
    return presets.load("arrays", "matrix_creator", MicrophoneArray)


def test_without_variation_a_unit_is_the_data_sheets(array: MicrophoneArray) -> None:
    unit = draw_unit(array, UnitVariation(), 7, RATE_HZ)
    np.testing.assert_array_equal(unit.positions_m, array.positions_m())
    np.testing.assert_array_equal(unit.gain, 1.0)
    np.testing.assert_array_equal(unit.delay_samples, 0.0)
    np.testing.assert_array_equal(unit.clip, 1.0)
    assert unit.alive.all()


@pytest.mark.parametrize("key", [0, -1, 2**63, 12345678901234567890])
def test_a_key_names_a_unit(array: MicrophoneArray, key: int) -> None:
    one, again, other = (draw_unit(array, SPREAD, k, RATE_HZ) for k in (key, key, key + 1))
    for a, b, c in zip(one, again, other):
        np.testing.assert_array_equal(a, b)
        assert a.dtype == bool or not np.array_equal(a, c)


def test_spreads_are_those_asked_for(array: MicrophoneArray) -> None:
    units = [draw_unit(array, SPREAD, key, RATE_HZ) for key in range(1000)]
    gain_db = 20 * np.log10(np.stack([unit.gain for unit in units]))
    delay_us = np.stack([unit.delay_samples for unit in units]) / RATE_HZ * 1e6
    moved_m = np.stack([unit.positions_m for unit in units]) - array.positions_m()
    clip_db = 20 * np.log10(np.stack([unit.clip for unit in units]))
    for values, deviation in ((gain_db, 1.0), (delay_us, 5.0), (moved_m, 0.002)):
        assert values.std() == pytest.approx(deviation, rel=0.04)  # 8000 draws: 4 standard errors are 3 %
        assert abs(values.mean()) < 0.05 * deviation
        assert np.abs(values).max() <= 3.0001 * deviation
    assert -6.0001 <= clip_db.min() < -5.9
    assert -0.1 < clip_db.max() <= 0.0
    assert clip_db.mean() == pytest.approx(-3.0, abs=0.1)
    assert np.mean([unit.alive for unit in units]) == pytest.approx(0.9, abs=0.015)


def test_microphones_and_quantities_are_independent(array: MicrophoneArray) -> None:
    units = [draw_unit(array, SPREAD, key, RATE_HZ) for key in range(1000)]
    draws = np.stack([np.concatenate([u.gain, u.delay_samples, u.positions_m.ravel(), u.clip]) for u in units])
    correlation = np.corrcoef(draws.T) - np.eye(draws.shape[1])
    assert np.abs(correlation).max() < 5 / np.sqrt(len(units))


def test_one_spread_does_not_move_another(array: MicrophoneArray) -> None:
    alone = draw_unit(array, UnitVariation(gain_std_db=1.0), 3, RATE_HZ)
    np.testing.assert_array_equal(alone.gain, draw_unit(array, SPREAD, 3, RATE_HZ).gain)


def test_delays_scale_with_the_sample_rate(array: MicrophoneArray) -> None:
    slow, fast = (draw_unit(array, SPREAD, 3, rate_hz).delay_samples for rate_hz in (16000, 48000))
    np.testing.assert_allclose(fast, 3 * slow)


def test_one_microphone_always_lives(array: MicrophoneArray) -> None:
    for key in range(20):
        assert draw_unit(array, UnitVariation(dead_probability=1.0), key, RATE_HZ).alive.sum() == 1
