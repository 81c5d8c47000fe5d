"""Direct sound and mirror images against their closed forms."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from phonotaxis.configs import presets
from phonotaxis.configs.array import MicrophoneArray
from phonotaxis.configs.base import ConfigError
from phonotaxis.envs import scenes
from phonotaxis.envs.acoustics import impulse_response
from phonotaxis.envs.acoustics.air import SPEED_OF_SOUND_MPS, amplitude_exponent_per_m
from phonotaxis.envs.scenes.scene import Scene, SceneError

RATE_HZ = 16000
MAX_ERROR_SAMPLES = 0.02
Arrival = Callable[[np.ndarray, float], tuple[float, float]]
Place = Callable[[MicrophoneArray, np.ndarray, float], np.ndarray]


@pytest.mark.parametrize("name", [name for name in presets.names("arrays") if name not in ("binaural", "foa")])
@pytest.mark.parametrize("azimuth_deg", [5, 77, 160, 251, 318])
def test_direct_sound_comes_when_it_reaches_each_microphone_as_loud_as_at_the_middle(
    hall: Scene, arrival: Arrival, place: Place, name: str, azimuth_deg: int
) -> None:
    """Within 0.02 samples, and 1 / r of the array's middle: levels of the microphones don't differ."""
    array = presets.load("arrays", name, MicrophoneArray)
    azimuth, distance_m, yaw_rad = np.radians(azimuth_deg), 2.0 + azimuth_deg / 160, 0.01 * azimuth_deg
    listener = np.array([20.1, 19.7, 5.0])
    source = listener + [distance_m * np.cos(azimuth), distance_m * np.sin(azimuth), 0.3]
    response = impulse_response(hall, tuple(source), tuple(listener), yaw_rad, name, RATE_HZ, 0.1)
    assert response.shape == (array.mics, 1600)
    assert response.dtype == np.float32
    expected_m = np.linalg.norm(place(array, listener, yaw_rad) - source, axis=1)
    for row, metres in zip(response, expected_m):
        late, gain = arrival(row, metres / SPEED_OF_SOUND_MPS * RATE_HZ)
        assert abs(late) < MAX_ERROR_SAMPLES
        assert gain * np.linalg.norm(source - listener) == pytest.approx(1.0, rel=0.015)  # the rest is air's


@pytest.mark.parametrize("name", ["yaw_rad", "heading_rad"])
@pytest.mark.parametrize("angle", [np.nan, np.inf])
def test_angles_are_finite(hall: Scene, name: str, angle: float) -> None:
    with pytest.raises(ValueError, match=f"{name} must be a finite number, got {angle}"):
        impulse_response(hall, (19.0, 20.0, 5.0), (20.0, 20.0, 5.0), length_s=0.02, **{name: angle})


def test_level_falls_with_distance(hall: Scene, arrival: Arrival) -> None:
    """By 1 / r and what the air takes, which is most at high frequencies."""
    listener = np.array([10.0, 20.0, 5.0])
    metres = np.array([1.0, 2.0, 4.0, 8.0])
    gains = []
    for distance_m in metres:
        source = tuple(listener + [distance_m, 0.0, 0.0])
        response = impulse_response(hall, source, tuple(listener), 0.0, _one_microphone(), RATE_HZ, 0.1)
        gains.append(arrival(response[0], distance_m / SPEED_OF_SOUND_MPS * RATE_HZ)[1])
    highest = np.exp(-amplitude_exponent_per_m()[-1] * metres)
    assert (np.array(gains) * metres <= 1.0 + 1e-3).all()
    assert (np.array(gains) * metres >= highest - 1e-3).all()


def test_nearness_has_a_limit(hall: Scene) -> None:
    """A point source has none; the loudest is what 0.1 m makes it, even at the array's own centre."""
    listener = (20.0, 20.0, 5.0)
    there = impulse_response(hall, listener, listener, 0.0, _one_microphone(), RATE_HZ, 0.05)
    assert np.isfinite(there).all()
    assert np.abs(there).max() == pytest.approx(10.0, rel=0.01)


@pytest.mark.parametrize(
    ("plane", "axis", "offset_m", "source", "listener", "gain"),
    [
        ("floor", 2, 0.0, (15.0, 15.0, 1.0), (18.0, 16.0, 0.9), 0.51),  # carpet: (1 - absorption)(1 - scattering)
        ("ceiling", 2, 12.0, (15.0, 15.0, 11.2), (18.0, 16.0, 11.0), 0.35),
        ("wall x = 0", 0, 0.0, (1.0, 20.0, 6.0), (1.5, 23.0, 6.2), 0.56),
        ("wall y = 40", 1, 40.0, (20.0, 38.8, 6.0), (22.0, 39.0, 6.2), 0.56),
    ],
)
def test_a_mirror_image_arrives_exactly(
    hall: Scene,
    arrival: Arrival,
    plane: str,
    axis: int,
    offset_m: float,
    source: tuple[float, float, float],
    listener: tuple[float, float, float],
    gain: float,
) -> None:
    """Subtracting a room without the reflection leaves it alone: the image's delay and 1 / r."""
    image = list(source)
    image[axis] = 2 * offset_m - source[axis]
    metres = float(np.linalg.norm(np.subtract(image, listener)))
    response = impulse_response(hall, source, listener, 0.0, _one_microphone(), RATE_HZ, 0.1)[0]
    direct_m = float(np.linalg.norm(np.subtract(source, listener)))
    shift = np.subtract((20.0, 20.0, 6.0), source)
    alone = impulse_response(  # the same direct sound in the middle of the hall
        hall, tuple(np.add(source, shift)), tuple(np.add(listener, shift)), 0.0, _one_microphone(), RATE_HZ, 0.1
    )[0]
    assert metres - direct_m > 0.2
    late, level = arrival(response - alone, metres / SPEED_OF_SOUND_MPS * RATE_HZ)
    assert abs(late) < 0.1  # bands of different gain are no pure delay, and the diffuse field has begun
    assert level * metres == pytest.approx(gain, rel=0.3)


def test_sample_rates(hall: Scene, arrival: Arrival) -> None:
    listener, source = (20.0, 20.0, 5.0), (22.0, 21.0, 5.5)
    metres = float(np.linalg.norm(np.subtract(source, listener)))
    for rate_hz in (8000, 48000):
        response = impulse_response(hall, source, listener, 0.0, _one_microphone(), rate_hz, 0.05)
        assert response.shape == (1, round(0.05 * rate_hz))
        assert abs(arrival(response[0], metres / SPEED_OF_SOUND_MPS * rate_hz)[0]) < MAX_ERROR_SAMPLES


@pytest.mark.parametrize(
    ("source", "listener", "message"),
    [
        ((-3.0, 1.0, 1.0), (2.0, 2.0, 0.5), r"the source at \(-3.00, 1.00, 1.00\) m lies outside empty_room"),
        ((1.0, 1.0, 1.0), (2.0, 99.0, 0.5), "the listener at .* lies outside"),
        ((1.0, 1.0, 2.7), (2.0, 2.0, 0.5), "the source at .* lies in matter .*move it into open air"),
        ((1.0, 1.0, 1.0), (-0.05, 2.0, 0.5), "the listener at .* lies in a wall"),
        ((1.0, float("nan"), 1.0), (2.0, 2.0, 0.5), "the source at .*nan.* lies outside"),
    ],
)
def test_a_place_that_is_not_in_the_air_is_named(
    source: tuple[float, float, float], listener: tuple[float, float, float], message: str
) -> None:
    with pytest.raises(SceneError, match=message):
        impulse_response(scenes.load("empty_room"), source, listener)


def test_an_unknown_array_is_named(hall: Scene) -> None:
    with pytest.raises(ConfigError, match="did you mean 'respeaker_usb_v2'"):
        impulse_response(hall, (20.0, 20.0, 5.0), (22.0, 20.0, 5.0), array="respeaker_usb_v3")


@pytest.mark.parametrize(
    ("option", "value"), [("length_s", 0.0), ("length_s", -1.0), ("length_s", float("inf")), ("sample_rate_hz", 0)]
)
def test_a_length_or_rate_that_makes_no_response_is_named(hall: Scene, option: str, value: float) -> None:
    with pytest.raises(ValueError, match=option):
        impulse_response(hall, (20.0, 20.0, 5.0), (22.0, 20.0, 5.0), **{option: value})


def _one_microphone() -> MicrophoneArray:
    return MicrophoneArray(name="one", mic_xyz_m=((0.0, 0.0, 0.0),), channel_map=(0,), device_channels=1)
