"""Rooms whose sound is known, and the means to hear where it comes from."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest

from phonotaxis.configs import presets
from phonotaxis.configs.array import MicrophoneArray
from phonotaxis.envs import scenes
from phonotaxis.envs.acoustics.air import SPEED_OF_SOUND_MPS
from phonotaxis.envs.scenes.scene import Scene

RATE_HZ = 16000


@pytest.fixture(scope="session")
def hall() -> Scene:
    """Build a room of 40 x 40 x 12 m that swallows sound: for tens of milliseconds its middle is a free field."""
    return scenes.load(
        "empty_room",
        size_m=[40.0, 40.0],
        height_m=12.0,
        cell_m=0.5,
        floor="carpet",
        walls="curtain",
        ceiling="acoustic_ceiling",
    )


@pytest.fixture(scope="session")
def two_rooms() -> Scene:
    """Build rooms of 5 x 5 m side by side; the wall at x = 5 to 5.1 m has a door at y = 1.0 to 1.9 m."""
    room = scenes.load("empty_room", size_m=[10.0, 5.0])
    floor = room.floor_m.copy()
    column = room.cell_of(5.05, 1.0)[1]
    floor[:, column] = room.height_m
    floor[room.cell_of(0.0, 1.05)[0] : room.cell_of(0.0, 1.85)[0] + 1, column] = 0.0
    return dataclasses.replace(room, name="two_rooms", floor_m=floor)


@pytest.fixture(scope="session")
def array() -> MicrophoneArray:
    return presets.load("arrays", "respeaker_usb_v2", MicrophoneArray)


def microphones_m(array: MicrophoneArray, listener_m: np.ndarray, yaw_rad: float) -> np.ndarray:
    """Place an array's microphones in the world, [mics, 3]."""
    base = array.positions_m() - array.positions_m().mean(axis=0)
    cos, sin = np.cos(yaw_rad), np.sin(yaw_rad)
    return np.asarray(listener_m) + base @ np.array([[cos, sin, 0.0], [-sin, cos, 0.0], [0.0, 0.0, 1.0]])


@pytest.fixture(scope="session")
def place() -> Callable[[MicrophoneArray, np.ndarray, float], np.ndarray]:
    return microphones_m


def delay_error(response: np.ndarray, expected: float) -> tuple[float, float]:
    """Compare the arrival near an expected time, in samples, by the slope of its phase.

    Returns:
        How much later it comes, in samples, and its gain (the mean magnitude from 0.02 to 0.4 of the rate).
    """
    begin = max(int(expected) - 60, 0)
    spectrum = np.fft.rfft(response[begin : int(expected) + 60].astype(float), 4096)
    frequency = np.arange(spectrum.size) / 4096
    spectrum *= np.exp(2j * np.pi * frequency * (expected - begin))
    used = (frequency > 0.02) & (frequency < 0.4)
    weight = np.abs(spectrum[used]) ** 2 * frequency[used]
    slope = (weight * np.angle(spectrum[used])).sum() / (weight * frequency[used]).sum()
    return float(-slope / (2 * np.pi)), float(np.abs(spectrum[used]).mean())


@pytest.fixture(scope="session")
def arrival() -> Callable[[np.ndarray, float], tuple[float, float]]:
    return delay_error


def direction_rad(response: np.ndarray, array: MicrophoneArray, yaw_rad: float, length_s: float = 0.03) -> float:
    """Estimate the azimuth (world) from which the first part of a response comes, by SRP-PHAT."""
    loudest = np.abs(response).max(axis=0)
    first = int(np.argmax(loudest > 0.1 * loudest.max()))
    early = response[:, max(0, first - 16) : first + int(length_s * RATE_HZ)]
    frequency = np.fft.rfftfreq(2048, 1 / RATE_HZ)
    used = (frequency > 300.0) & (frequency < 5000.0)
    spectra = np.fft.rfft(early, 2048, axis=1)[:, used]
    azimuth = np.radians(np.arange(0.0, 360.0, 2.0))
    towards = np.stack([np.cos(azimuth), np.sin(azimuth)], axis=1)
    power = np.zeros(azimuth.size)
    places = array.positions_m()[:, :2]
    for i in range(array.mics):
        for j in range(i):
            cross = spectra[i] * spectra[j].conj()
            lag_s = -(towards @ (places[i] - places[j])) / SPEED_OF_SOUND_MPS
            steering = np.exp(2j * np.pi * np.outer(lag_s, frequency[used]))
            power += np.real(steering @ (cross / (np.abs(cross) + 1e-12)))
    return float(azimuth[power.argmax()] + yaw_rad)


@pytest.fixture(scope="session")
def hear_direction() -> Callable[..., float]:
    return direction_rad
