"""From pressure to numbers: microphone self-noise, the converter's clipping and its 16 bits."""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from phonotaxis.configs.array import MicrophoneArray
from phonotaxis.configs.contract import INT16_FULL_SCALE
from phonotaxis.envs.hashing import fold
from phonotaxis.envs.threads import launch_threads

REFERENCE_PASCAL = 20e-6
_BANK = 1 << 18


def level_gain(array: MicrophoneArray, level_db_spl: np.ndarray | float) -> np.ndarray:
    """Return the factor from a loop of RMS 1 to converter full scale, for its level at 1 m in dB SPL."""
    pascal = REFERENCE_PASCAL * 10.0 ** (np.asarray(level_db_spl) / 20.0)
    return (pascal / array.full_scale_pascal).astype(np.float32)


def a_weighting_db(frequency_hz: np.ndarray) -> np.ndarray:
    """Return the A-weighting of IEC 61672-1:2013, annex E, in dB, for frequencies in Hz."""
    f2 = np.square(np.maximum(np.asarray(frequency_hz, dtype=np.float64), 1e-3))
    ratio = 12194.0**2 * f2**2 / (
        (f2 + 20.6**2) * np.sqrt((f2 + 107.7**2) * (f2 + 737.9**2)) * (f2 + 12194.0**2)
    )  # fmt: skip
    return 20.0 * np.log10(ratio) + 2.0


def self_noise_gain(array: MicrophoneArray, sample_rate_hz: int) -> float:
    """Return the RMS, in full scale, of white noise whose A-weighted level is the array's self-noise."""
    frequency_hz = (np.arange(4096) + 0.5) * sample_rate_hz / 2 / 4096
    weight_db = 10.0 * np.log10(np.mean(10.0 ** (a_weighting_db(frequency_hz) / 10.0)))
    return float(level_gain(array, array.self_noise_dba - weight_db))


class Converter:
    """Adds self-noise to what the microphones receive and quantises it to 16 bits.

    Noise is read from one bank of Gaussian numbers at places that a hash of (episode, step, microphone) chooses.

    Args:
        array: whose self-noise to add.
        sample_rate_hz: of the samples.
    """

    def __init__(self, array: MicrophoneArray, sample_rate_hz: int) -> None:
        launch_threads()
        noise = np.random.Generator(np.random.PCG64(20261123)).standard_normal(_BANK, dtype=np.float32)
        self._noise = noise * np.float32(self_noise_gain(array, sample_rate_hz))

    def convert(
        self,
        worlds: np.ndarray,
        sound: np.ndarray,
        episode_key: np.ndarray,
        step: np.ndarray,
        codes: np.ndarray,
    ) -> None:
        """Convert one hop of some worlds.

        Args:
            worlds: int64 [k], which.
            sound: float32 [worlds, mics, hop], full scale ±1.
            episode_key: uint64 [worlds].
            step: int64 [worlds], number of the hop within the episode.
            codes: int16 [worlds, mics, hop], filled where asked for; clipped at full scale.
        """
        _convert(worlds, sound, self._noise, episode_key, step, codes)


@njit(cache=True, error_model="numpy", parallel=True, nogil=True)
def _convert(worlds, sound, noise, episode_key, step, codes):
    mics, hop = sound.shape[1:]
    scale = np.float32(INT16_FULL_SCALE)
    low, high = np.float32(-INT16_FULL_SCALE), np.float32(INT16_FULL_SCALE - 1)
    for index in prange(worlds.size):
        world = worlds[index]
        key = fold(episode_key[world], step[world])
        for mic in range(mics):
            at = int(fold(key, mic) % np.uint64(noise.size - hop))
            row, hiss, to = sound[world, mic], noise[at : at + hop], codes[world, mic]
            for k in range(hop):
                code = np.rint((row[k] + hiss[k]) * scale)
                to[k] = np.int16(min(max(code, low), high))
