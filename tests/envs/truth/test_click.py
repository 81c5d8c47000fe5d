"""Clicks at boundaries, made by hand."""

from __future__ import annotations

import numpy as np
import pytest

from phonotaxis.envs.truth.click import click_db, voiced_tone

RATE_HZ, HOP = 16000, 4000


def hum(steps: int = 40) -> np.ndarray:
    tone = np.tile(voiced_tone(), 1 + steps * HOP // 32000)[: steps * HOP]
    tone = np.roll(tone, -int(np.abs(tone[:80]).argmax()))  # boundaries fall on its peaks
    return np.stack([[tone, 0.9 * tone], [0.01 * tone, 0.01 * tone]])


def test_a_tone_goes_on_smoothly() -> None:
    assert abs(click_db(hum(), RATE_HZ, HOP)) < 0.05


def test_a_jump_at_every_boundary_is_heard() -> None:
    """The gain halves and doubles from step to step: the waveform breaks off where the steps meet."""
    gains = np.repeat(1.0 - 0.5 * (np.arange(40) % 2), HOP)
    assert click_db(hum() * gains, RATE_HZ, HOP) > 6.0


def test_one_loud_click_in_a_hundred_steps_counts() -> None:
    audio = hum(100)
    audio[:, :, 50 * HOP + 2] += np.abs(audio).max(axis=2)
    found = click_db(audio, RATE_HZ, HOP)
    assert found > 3.0
    middle = hum(100)
    middle[:, :, 50 * HOP + 2000] += np.abs(middle).max(axis=2)  # where nothing should change either
    assert click_db(middle, RATE_HZ, HOP) < found


def test_the_tone_falls_by_twelve_decibels_an_octave() -> None:
    spectrum = np.abs(np.fft.rfft(voiced_tone()))
    lines = spectrum[[400, 800, 1600, 3200]]  # half hertz apart: 200, 400, 800, 1600 Hz
    assert 20 * np.log10(lines[:-1] / lines[1:]) == pytest.approx([12.04] * 3, abs=0.1)
