"""From pressure to codes: levels, self-noise, clipping, 16 bits."""

from __future__ import annotations

import numpy as np
import pytest

from phonotaxis.configs import presets
from phonotaxis.configs.array import MicrophoneArray
from phonotaxis.envs.acoustics.converter import (
    NoiseStreams,
    a_weighting_db,
    level_gain,
    self_noise,
    self_noise_gain,
)
from phonotaxis.envs.acoustics.converter import convert as convert_hop
from phonotaxis.envs.hashing import key_of

RATE_HZ = 16000


class Parts:
    """What a hop's conversion takes beside its sound, for worlds of nothing but their self-noise."""

    def __init__(self, array: MicrophoneArray, sound: np.ndarray, seed: int = 0, step: int = 0) -> None:
        worlds, mics = sound.shape[:2]
        self.hiss, self.sound = self_noise(array, RATE_HZ, sound.shape[2]), sound.astype(np.float32)
        self.keys = np.array([key_of(seed + world) for world in range(worlds)], dtype=np.uint64)
        self.step = np.full(worlds, step)
        self.codes, self.clipped = np.full(sound.shape, 7, dtype=np.int16), np.full(worlds, -1)
        self.noise_gain = np.ones(worlds, dtype=np.float32)
        self.clip, self.mic_gain = (np.ones((worlds, mics), dtype=np.float32) for _ in range(2))
        none = np.zeros((worlds, 0), dtype=np.float32)
        self.streams = NoiseStreams(np.zeros((0, mics, 1), dtype=np.float32), none, none)

    def convert(self, *worlds: int) -> np.ndarray:
        """Convert some of the worlds, all if none is named; returns all codes."""
        chosen = np.array(worlds) if worlds else np.arange(len(self.sound))
        convert_hop(
            chosen, chosen, self.sound, self.hiss, self.noise_gain, self.streams, self.keys, self.step, self.codes,
            self.clipped, self.clip, self.mic_gain,
        )  # fmt: skip
        return self.codes


def convert(array: MicrophoneArray, sound: np.ndarray, seed: int = 0, step: int = 0) -> np.ndarray:
    return Parts(array, sound, seed, step).convert()


def silent(array: MicrophoneArray) -> MicrophoneArray:
    return array.model_copy(update={"self_noise_dba": 0.0, "sensitivity_dbfs_at_94_db_spl": -60.0})


def test_94_db_spl_reads_as_the_sensitivity_says(array: MicrophoneArray) -> None:
    """A tone of 94 dB SPL, RMS 1 Pa, reads -26 dBFS, where 0 dBFS is a sine of full scale (AES17)."""
    gain = float(level_gain(array, 94.0))
    tone = gain * np.sqrt(2.0) * np.sin(2 * np.pi * 1000 * np.arange(16000) / RATE_HZ)  # a loop of RMS 1
    dbfs = 20 * np.log10(np.sqrt(np.mean(tone**2)) * np.sqrt(2.0))
    assert dbfs == pytest.approx(array.sensitivity_dbfs_at_94_db_spl, abs=0.05)  # 94 dB SPL is 1.0024 Pa
    assert level_gain(array, 74.0) == pytest.approx(gain / 10.0, rel=1e-6)
    assert level_gain(array, np.array([94.0, 114.0])).tolist() == pytest.approx([gain, 10.0 * gain])


@pytest.mark.parametrize("self_noise_dba", [20.0, 30.0, 45.0])
def test_self_noise_has_its_level(array: MicrophoneArray, self_noise_dba: float) -> None:
    """A-weighted and in dB SPL, it is the level that the array's file states, within 0.5 dB."""
    noisy = array.model_copy(update={"self_noise_dba": self_noise_dba, "sensitivity_dbfs_at_94_db_spl": -20.0})
    codes = convert(noisy, np.zeros((16, 4, 4000)))
    spectrum = np.mean(np.abs(np.fft.rfft(codes / 32768.0, axis=2) / 4000) ** 2, axis=(0, 1)) * 2
    weight = 10 ** (a_weighting_db(np.fft.rfftfreq(4000, 1 / RATE_HZ)) / 10)
    pascal = np.sqrt((spectrum * weight)[1:].sum()) * noisy.full_scale_pascal
    # Rounding to 16 bits adds white noise of a twelfth of a squared step, seen for the quietest.
    rounding = (noisy.full_scale_pascal / 32768) ** 2 / 12 * weight.mean()
    level = 10 * np.log10((pascal**2 - rounding) / 20e-6**2)
    assert level == pytest.approx(self_noise_dba, abs=0.5)


def test_self_noise_is_new_in_each_step_episode_and_microphone(array: MicrophoneArray) -> None:
    noisy = array.model_copy(update={"self_noise_dba": 50.0})
    silence = np.zeros((2, 4, 4000))
    first, second = convert(noisy, silence, step=0), convert(noisy, silence, step=1)
    rows = np.concatenate([first.reshape(8, -1), second.reshape(8, -1)]).astype(float)
    correlation = np.corrcoef(rows) - np.eye(16)
    assert np.abs(correlation).max() < 0.1
    assert np.array_equal(first, convert(noisy, silence, step=0))


def test_no_two_microphones_ever_hear_the_same_self_noise(array: MicrophoneArray) -> None:
    """At no lag, in no hop: shared noise that comes a little later in one of two sounds like a direction."""
    noisy = array.model_copy(update={"self_noise_dba": 50.0})
    parts = Parts(noisy, np.zeros((64, 4, 4000)))
    spectra = np.fft.rfft(parts.convert() / parts.codes.std(), 8192, axis=2)
    pairs = [(a, b) for a in range(4) for b in range(a)]
    alike = [np.abs(np.fft.irfft(spectra[:, a] * spectra[:, b].conj(), axis=1)).max() / 4000 for a, b in pairs]
    assert max(alike) < 0.1


def test_the_bank_of_self_noise_is_longer_than_any_hop(array: MicrophoneArray) -> None:
    codes = convert(array.model_copy(update={"self_noise_dba": 50.0}), np.zeros((1, 4, 300_000)))
    assert 0.9 < codes[0, :, :1000].std() / codes[0, :, -1000:].std() < 1.1


def test_codes_are_rounded_and_clipped(array: MicrophoneArray) -> None:
    sound = np.zeros((1, 4, 4000), dtype=np.float32)
    sound[0, :, :5] = np.array([0.5, -0.5, 3.0, -3.0, 100.4 / 32768])
    codes = convert(silent(array), sound)
    assert codes.dtype == np.int16
    assert codes[0, 0, :5].tolist() == [16384, -16384, 32767, -32768, 100]


def test_only_the_worlds_asked_for_are_converted(array: MicrophoneArray) -> None:
    codes = Parts(silent(array), np.full((3, 4, 4000), 0.25)).convert(1)
    assert (codes[[0, 2]] == 7).all()
    assert (np.abs(codes[1] - 8192) < 5).all()


def test_a_weighting_has_the_standards_values() -> None:
    """IEC 61672-1:2013, table 3, whose frequencies are 1000 Hz times powers of 10^0.3."""
    frequency_hz = 1000.0 * 10.0 ** (0.3 * np.arange(-5, 4))
    expected_db = [-39.4, -26.2, -16.1, -8.6, -3.2, 0.0, 1.2, 1.0, -1.1]
    np.testing.assert_allclose(a_weighting_db(frequency_hz), expected_db, atol=0.06)


def test_self_noise_gain_follows_the_sensitivity() -> None:
    array = presets.load("arrays", "respeaker_usb_v2", MicrophoneArray)
    louder = array.model_copy(update={"sensitivity_dbfs_at_94_db_spl": -6.0})
    assert self_noise_gain(louder, RATE_HZ) == pytest.approx(10.0 * self_noise_gain(array, RATE_HZ), rel=1e-5)


def test_what_lies_over_full_scale_is_counted(array: MicrophoneArray) -> None:
    """Codes run from -32768 to 32767; what rounds to these is not clipped, one more is."""
    sound = np.zeros((3, 4, 4000), dtype=np.float32)
    sound[0, 0, :4] = np.array([32767.4, 32767.6, -32768.4, -32768.6]) / 32768
    sound[2, 3, 7:12] = 1.5
    parts = Parts(array, sound)
    parts.noise_gain[:] = 0.0
    codes = parts.convert(0, 2)
    assert parts.clipped.tolist() == [2, -1, 5]
    assert codes[0, 0, :5].tolist() == [32767, 32767, -32768, -32768, 0]
    assert (codes[2, 3, 7:12] == 32767).all()


def test_each_microphone_of_each_world_clips_at_its_own_level(array: MicrophoneArray) -> None:
    """What is over it is cut and counted as at full scale: what rounds to the level is not, one more is."""
    clip = np.array([[1.0, 0.5, 0.25, 0.125], [0.5, 1.0, 1.0, 1.0]], dtype=np.float32)
    sound = np.zeros((2, 4, 4000), dtype=np.float32)
    sound[:, :, :4] = np.array([0.4, -0.4, 2.0, -2.0])
    sound[:, 1, 8:12] = np.array([16384.4, 16384.6, -16384.4, -16384.6]) / 32768
    parts = Parts(array, sound)
    parts.noise_gain[:], parts.clip = 0.0, clip
    codes = parts.convert()
    assert codes[0, :, :4].tolist() == [
        [13107, -13107, 32767, -32768],
        [13107, -13107, 16384, -16384],
        [8192, -8192, 8192, -8192],
        [4096, -4096, 4096, -4096],
    ]
    assert codes[0, 1, 8:12].tolist() == [16384, 16384, -16384, -16384]
    assert codes[1, 1, 8:12].tolist() == [16384, 16385, -16384, -16385]
    assert parts.clipped.tolist() == [2 + 2 + 2 + 4 + 4, 4 * 2]


def test_self_noise_is_scaled_for_each_world(array: MicrophoneArray) -> None:
    loud = array.model_copy(update={"self_noise_dba": 50.0})
    parts = Parts(loud, np.zeros((3, 4, 4000)))
    parts.keys[:] = key_of(9)
    parts.noise_gain[:] = 1.0, 0.0, 2.0
    codes = parts.convert()
    assert not codes[1].any()
    assert np.abs(codes[2] - 2.0 * codes[0]).max() <= 1.5
    assert np.array_equal(codes[0], convert(loud, np.zeros((1, 4, 4000)), seed=9)[0])


def test_a_microphones_gain_is_that_of_the_noise_and_a_dead_channel_is_silent(array: MicrophoneArray) -> None:
    parts = Parts(array, np.zeros((2, 4, 4000)))
    loops, ones = np.full((1, 4, 50), 0.1, dtype=np.float32), np.ones((2, 1), dtype=np.float32)
    parts.streams = NoiseStreams(loops, ones, 2.0 * ones)
    parts.noise_gain[:] = 0.0
    parts.mic_gain[1] = 0.0, 0.5, 1.0, 2.0
    codes = parts.convert().astype(float)
    np.testing.assert_allclose(codes[1], codes[0] * parts.mic_gain[1][:, None], atol=1.0)
    parts.noise_gain[:] = 1.0
    assert not parts.convert()[1, 0].any()
    assert (parts.codes[1, 1:] != 0).any(axis=1).all()
