"""Delays at every microphone of every array preset, in a free field."""

from __future__ import annotations

import numpy as np

from phonotaxis.configs import presets
from phonotaxis.configs.array import MicrophoneArray
from phonotaxis.envs import scenes
from phonotaxis.envs.acoustics import impulse_response
from phonotaxis.envs.acoustics.air import SPEED_OF_SOUND_MPS
from phonotaxis.envs.scenes.scene import Scene
from phonotaxis.envs.truth import Progress, Row
from phonotaxis.envs.truth.shoebox import Pose, microphones_m

RATE_HZ = 16000
DIRECTIONS = 200
DISTANCE_M = 2.0
CENTRE_M = (20.1, 19.7, 10.0)
LOW_HZ, HIGH_HZ = 300.0, 6000.0
_LENGTH_S = 0.02  # what is thrown back by the hall arrives after 0.05 s
_AROUND = 60  # samples about the arrival that are looked at
_GOLDEN_ANGLE = np.pi * (3.0 - np.sqrt(5.0))


def run(progress: Progress) -> list[Row]:
    """Measure every preset of omnidirectional microphones; others have delays of their own by design."""
    hall = free_field()
    worst, named, directive = [], [], []
    names = presets.names("arrays")
    for index, name in enumerate(names):
        progress(index / len(names), f"delays: {name}")
        array = presets.load("arrays", name, MicrophoneArray)
        if not is_omnidirectional(array):
            directive.append(name)
            continue
        errors = np.array([direction_errors(hall, array, direction) for direction in directions()])
        worst.append(float(np.abs(errors).max()))
        named.append(f"{name} {worst[-1]:.4f}")
    note = f"largest of {DIRECTIONS} directions and all microphones: {', '.join(named)}"
    if directive:
        note += f"; directive, not judged here: {', '.join(directive)}"
    return [Row("delay_error_samples", max(worst, default=float("nan")), "samples", 0.02, None, note, tuple(worst))]


def is_omnidirectional(array: MicrophoneArray) -> bool:
    """Tell whether a preset's microphones are bare points: what they hear is pressure, at their own places."""
    directivity = getattr(array, "directivity", None)
    return directivity is None or getattr(directivity, "kind", "") == "omnidirectional"


def free_field() -> Scene:
    """Build a hall of 40 x 40 x 20 m: in its middle nothing comes back for a while."""
    return scenes.load(
        "empty_room", size_m=[40.0, 40.0], height_m=20.0, cell_m=0.5,
        floor="carpet", walls="curtain", ceiling="acoustic_ceiling",
    )  # fmt: skip


def directions() -> np.ndarray:
    """Return unit vectors spread evenly over the sphere up to 80 degrees of elevation, float64 [DIRECTIONS, 3]."""
    z = np.sin(np.radians(80.0)) * (1.0 - 2.0 * (np.arange(DIRECTIONS) + 0.5) / DIRECTIONS)
    flat, azimuth = np.sqrt(1.0 - z * z), _GOLDEN_ANGLE * np.arange(DIRECTIONS)
    return np.stack([flat * np.cos(azimuth), flat * np.sin(azimuth), z], axis=1)


def direction_errors(hall: Scene, array: MicrophoneArray, direction: np.ndarray) -> np.ndarray:
    """Return how much too late the direct sound reaches each microphone, samples, float64 [mics].

    Args:
        hall: a free field about `CENTRE_M`.
        array: at `CENTRE_M`, turned with the direction so that all headings occur.
        direction: float64 [3], unit vector towards the source at `DISTANCE_M`.
    """
    pose = Pose(CENTRE_M, float(3.0 * direction[2]))
    source = np.array(CENTRE_M) + DISTANCE_M * direction
    x, y, z = (float(value) for value in source)
    response = impulse_response(hall, (x, y, z), pose.centre_m, pose.yaw_rad, array, RATE_HZ, _LENGTH_S)
    metres = np.linalg.norm(microphones_m(array, pose) - source, axis=1)
    expected = metres / SPEED_OF_SOUND_MPS * RATE_HZ
    return np.array([late_samples(row, samples) for row, samples in zip(response, expected)])


def late_samples(response: np.ndarray, expected: float, rate_hz: int = RATE_HZ) -> float:
    """Return how much later than expected a pulse arrives, by the slope of its phase from 300 to 6000 Hz.

    Args:
        response: float [taps], holding one arrival.
        expected: its time, samples.
        rate_hz: of the response.
    """
    begin = max(int(expected) - _AROUND, 0)
    spectrum = np.fft.rfft(np.asarray(response[begin : int(expected) + _AROUND], dtype=np.float64), 4096)
    turns = np.arange(spectrum.size) / 4096
    spectrum *= np.exp(2j * np.pi * turns * (expected - begin))
    used = (turns * rate_hz >= LOW_HZ) & (turns * rate_hz <= HIGH_HZ)
    weight = np.abs(spectrum[used]) ** 2 * turns[used]
    slope = (weight * np.angle(spectrum[used])).sum() / (weight * turns[used]).sum()
    return float(-slope / (2.0 * np.pi))
