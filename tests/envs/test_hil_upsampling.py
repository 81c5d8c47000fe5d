"""The virtual array's converter: at its own rate, late by what it says, and never ahead of the world."""

from __future__ import annotations

import numpy as np
import pytest
import soxr

from phonotaxis.envs.hil.upsampling import Upsampler

RATE = 16000


@pytest.mark.parametrize("device_hz", [44100, 48000, 96000])
def test_windows_join_into_the_same_sound_late_by_what_is_told(device_hz: int) -> None:
    seconds = np.arange(RATE) / RATE
    wave = np.rint(9000 * np.array([np.sin(2 * np.pi * hz * seconds) for hz in (440.0, 6500.0)])).astype(np.int16)
    upsampler = Upsampler(RATE, device_hz, 2)
    out = np.concatenate([upsampler.take(window) for window in np.split(wave, 4, axis=1)], axis=1)
    assert out.shape == (2, device_hz)
    heard = soxr.resample(out.T.astype(np.float32), device_hz, RATE).T
    late = upsampler.delay_samples
    assert late == 80
    np.testing.assert_allclose(heard[:, 1000:15000], wave[:, 1000 - late : 15000 - late], atol=4.0)


def test_what_comes_later_changes_nothing_before() -> None:
    rng = np.random.default_rng(0)
    first = rng.integers(-9000, 9000, (1, 4000)).astype(np.int16)
    one, other = Upsampler(RATE, 48000, 1), Upsampler(RATE, 48000, 1)
    np.testing.assert_array_equal(one.take(first), other.take(first))
    assert not np.array_equal(one.take(first), other.take(-first))


def test_a_window_without_a_whole_number_of_samples_is_refused() -> None:
    with pytest.raises(ValueError, match="take multiples of 160"):
        Upsampler(RATE, 44100, 1).take(np.zeros((1, 4001), dtype=np.int16))
