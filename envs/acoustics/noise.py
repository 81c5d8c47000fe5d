"""Noise of rooms and robots: multichannel loops made once for an array, of which every episode hears a stretch.

A loop is made in the frequency domain at its whole length, so it closes without a seam, delays between microphones
are exact, and a step of noise costs one multiplication and one addition a sample.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import scipy.fft
from numba import njit

from phonotaxis.configs.air import Air
from phonotaxis.configs.array import MicrophoneArray, Vector3
from phonotaxis.configs.directivity import MeasuredFile, SofaFile
from phonotaxis.configs.noise import Noise, RobotNoise
from phonotaxis.envs.acoustics.air import SPEED_OF_SOUND_MPS, speed_of_sound_mps
from phonotaxis.envs.acoustics.directivity import build_directivity
from phonotaxis.envs.acoustics.noise_loops import (
    at_level,
    diffuse_spectrum,
    hoth_density,
    loop_of,
    machine_spectrum,
)

LOOP_S = 16.0
# The motors' pitch follows their speed in octaves: loops at these shares of full speed, mixed by power in between.
MOTOR_SPEEDS = (0.25, 0.5, 1.0)
FAN_CENTRE_HZ, MOTOR_CENTRE_HZ = 500.0, 1000.0  # of their broadband noise
_SEED = 20261124


class NoiseGains(NamedTuple):
    """Factors on the noise of each world, for domain randomisation.

    Attributes:
        diffuse: float32 [worlds], on the room's noise.
        robot: float32 [worlds], on the robot's.
    """

    diffuse: np.ndarray
    robot: np.ndarray


class NoiseConstants(NamedTuple):
    """What noise is made with, as kernels take it.

    Attributes:
        bank: float32 [streams, mics, length], see `NoiseSource`.
        diffuse: how many of the streams, the first ones, are the room's.
        motors_from: the first of the motors'.
        full_speed_mps: of the wheels' rims.
        speed_exponent: by which motors get louder.
    """

    bank: np.ndarray
    diffuse: int
    motors_from: int
    full_speed_mps: float
    speed_exponent: float


class NoiseSource:
    """Noise around an array: diffuse, of the robot's motors and of its fan.

    An episode's hash chooses where in each loop it begins, and from there the noise goes on from step to step. Bits
    don't depend on the batch or on threads.

    Args:
        array: whose microphones hear it, each by its directional response.
        sample_rate_hz: of the samples.
        noise: levels and places.
        air: of which the speed of sound follows; None is the simulator's nominal air.

    Attributes:
        bank: float32 [streams, mics, length], loops, full scale ±1, at their nominal levels. Streams: diffuse, fan,
            motors at each of `MOTOR_SPEEDS`, of which those that are off are left out.
    """

    def __init__(
        self,
        array: MicrophoneArray,
        sample_rate_hz: int,
        noise: Noise,
        air: Air | None = None,
    ) -> None:
        self.noise = noise
        measured = isinstance(array.directivity, (MeasuredFile, SofaFile))  # a file may be another the next time
        self.bank = (_bank.__wrapped__ if measured else _bank)(array, sample_rate_hz, noise, air)
        robot = noise.robot
        diffuse = int(noise.diffuse_dba is not None)
        motors_from = diffuse + int(robot.fan_dba is not None)
        self.constants = NoiseConstants(
            self.bank, diffuse, motors_from, float(robot.full_speed_mps), float(robot.speed_exponent)
        )  # fmt: skip


def wheel_speed_mps(v_mps: np.ndarray, w_radps: np.ndarray, track_m: float) -> np.ndarray:
    """Return the mean speed of a differential drive's two wheels, whichever way they turn, m/s.

    Args:
        v_mps: float [...], forward.
        w_radps: float [...], turning.
        track_m: distance between the wheels.
    """
    half = 0.5 * track_m * np.asarray(w_radps)
    return np.maximum(np.abs(v_mps), np.abs(half))  # (|v - half| + |v + half|) / 2


@njit(cache=True, error_model="numpy", nogil=True)
def _fill_motors(share, exponent, out):
    """Fill how loud each of the motors' loops is at a share of full speed, float32 [MOTOR_SPEEDS].

    Their squares add up to share^(2 exponent); the two loops nearest in pitch share it.
    """
    share = abs(share)
    octave = np.log2(min(max(share, MOTOR_SPEEDS[0]), MOTOR_SPEEDS[-1]))
    for k in range(len(MOTOR_SPEEDS)):
        weight = max(0.0, 1.0 - abs(octave - np.log2(MOTOR_SPEEDS[k])))
        out[k] = np.sqrt(weight) * share**exponent


@njit(cache=True, error_model="numpy", nogil=True)
def fill_factors(constants, speed_mps, diffuse, robot, out):
    """Fill how loud each stream is in one world at a speed of its wheels' rims, float32 [streams]."""
    if constants.motors_from < out.size:
        _fill_motors(speed_mps / constants.full_speed_mps, constants.speed_exponent, out[constants.motors_from :])
    for stream in range(out.size):
        loud = np.float32(1.0) if stream < constants.motors_from else out[stream]
        out[stream] = loud * (diffuse if stream < constants.diffuse else robot)


@lru_cache(maxsize=4)
def _bank(array: MicrophoneArray, sample_rate_hz: int, noise: Noise, air: Air | None) -> np.ndarray:
    """Make the loops, float32 [streams, mics, length]; read-only, for all sources of one kind share them."""
    speed_mps = SPEED_OF_SOUND_MPS if air is None else speed_of_sound_mps(air)
    length = scipy.fft.next_fast_len(int(np.ceil(LOOP_S * sample_rate_hz)), real=True)
    length += length % 2
    frequency_hz = np.arange(length // 2 + 1) * (sample_rate_hz / length)
    rng = np.random.Generator(np.random.PCG64(_SEED))
    places, robot = array.positions_m(), noise.robot
    spectra: list[np.ndarray] = []
    directivity = None if noise == Noise() else build_directivity(array, sample_rate_hz)
    if noise.diffuse_dba is not None:
        power = at_level(hoth_density(frequency_hz), frequency_hz, noise.diffuse_dba)
        spectra.append(diffuse_spectrum(frequency_hz, power, places, speed_mps, rng, directivity))
    for level_dba, tone, centre_hz, sources in _machines(robot):
        spectra.append(
            machine_spectrum(frequency_hz, level_dba, tone, centre_hz, sources, places, speed_mps, rng, directivity)
        )
    bank = np.zeros((len(spectra), array.mics, length), dtype=np.float32)
    for loops, spectrum in zip(bank, spectra):
        loops[:] = loop_of(spectrum, length) / np.float32(array.full_scale_pascal)
    bank.flags.writeable = False
    return bank


def _machines(robot: RobotNoise) -> list[tuple[float, tuple[float, float], float, tuple[Vector3, ...]]]:
    """List level, tone, centre of the broadband noise and places of each loop of the robot."""
    machines: list[tuple[float, tuple[float, float], float, tuple[Vector3, ...]]] = []
    if robot.fan_dba is not None:
        tone = (robot.fan_tone_hz, robot.fan_tonal_share)
        machines.append((robot.fan_dba, tone, FAN_CENTRE_HZ, (robot.fan_xyz_m,)))
    if robot.motor_dba_at_full_speed is not None:
        for share in MOTOR_SPEEDS:
            tone = (robot.motor_tone_hz * share, robot.motor_tonal_share)
            machines.append((robot.motor_dba_at_full_speed, tone, MOTOR_CENTRE_HZ, robot.motor_xyz_m))
    return machines
