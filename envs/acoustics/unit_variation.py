"""One array off the line: its own gains, delays, places, clipping and dead channels, by an integer key."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from phonotaxis.configs.array import MicrophoneArray
from phonotaxis.configs.unit_variation import UnitVariation
from phonotaxis.envs.hashing import fold, key_of, unit

_STREAM = 0x756E6974  # keeps these draws apart from others of the same key
_NORMALS = 5  # gain, delay, x, y, z
_UNIFORMS = 2  # clipping, death
_MOST_DEVIATIONS = 3.0


class Unit(NamedTuple):
    """One unit of an array.

    Attributes:
        positions_m: float64 [mics, 3], base frame.
        gain: float32 [mics], factor on the microphone's signal, about 1.
        delay_samples: float64 [mics], of either sign; to be added to every arrival.
        clip: float32 [mics], full scale ±1: where the microphone itself clips, 0 (excluded) to 1.
        alive: bool [mics], False where the channel is silent.
    """

    positions_m: np.ndarray
    gain: np.ndarray
    delay_samples: np.ndarray
    clip: np.ndarray
    alive: np.ndarray


def draw_unit(array: MicrophoneArray, variation: UnitVariation, key: int, sample_rate_hz: int) -> Unit:
    """Draw one unit of an array.

    A microphone's draws depend on the key and its number alone, so the same key gives the same unit whatever else
    is drawn, and a spread of one kind doesn't move another's.

    Args:
        array: the data sheet's.
        variation: how far units spread.
        key: names the unit, -2^63 to 2^64 - 1.
        sample_rate_hz: of the delays.
    """
    normal, uniform = _draw(np.uint64(key_of(np.uint64(key % 2**64))), array.mics)
    alive = uniform[:, 1] >= variation.dead_probability
    if not alive.any():
        alive[int(uniform[:, 1].argmax())] = True
    return Unit(
        array.positions_m() + variation.position_std_m * normal[:, 2:5],
        (10.0 ** (variation.gain_std_db * normal[:, 0] / 20.0)).astype(np.float32),
        variation.delay_std_us * 1e-6 * sample_rate_hz * normal[:, 1],
        (10.0 ** (-variation.clip_below_full_scale_db * uniform[:, 0] / 20.0)).astype(np.float32),
        alive,
    )


@njit(cache=True, error_model="numpy")
def _draw(key: np.uint64, mics: int) -> tuple[np.ndarray, np.ndarray]:
    """Return float64 [mics, 5] of normal numbers, cut at three deviations, and [mics, 2] of uniform ones."""
    normal, uniform = np.empty((mics, _NORMALS)), np.empty((mics, _UNIFORMS))
    for mic in range(mics):
        of_mic = fold(fold(key, _STREAM), mic)
        for k in range(_NORMALS):
            of_draw = fold(of_mic, k)
            # Box and Muller 1958; 1 - u lies in (0, 1], so the logarithm is finite.
            radius = np.sqrt(-2.0 * np.log(1.0 - unit(fold(of_draw, 0))))
            value = radius * np.cos(2.0 * np.pi * unit(fold(of_draw, 1)))
            normal[mic, k] = min(max(value, -_MOST_DEVIATIONS), _MOST_DEVIATIONS)
        for k in range(_UNIFORMS):
            uniform[mic, k] = unit(fold(of_mic, _NORMALS + k))
    return normal, uniform
