from __future__ import annotations

import numpy as np
import pytest

from phonotaxis.configs import presets
from phonotaxis.configs.array import MicrophoneArray
from phonotaxis.deploy.jetson.channel_check import SOUND_MPS, check_channels

RATE = 16000


def _array(name: str = "respeaker_usb_v2") -> MicrophoneArray:
    return presets.load("arrays", name, MicrophoneArray)


def _recording(array: MicrophoneArray, azimuth_deg: float = 20.0, seconds: float = 1.0) -> np.ndarray:
    """Render a plane wave at every microphone, each with a noise of its own 30 dB below; others carry noise."""
    rng = np.random.default_rng(3)
    count = int(seconds * RATE)
    spectrum = np.fft.rfft(rng.normal(size=count))
    hz = np.fft.rfftfreq(count, 1 / RATE)
    towards = np.array([np.cos(np.deg2rad(azimuth_deg)), np.sin(np.deg2rad(azimuth_deg)), 0.0])
    heard = rng.normal(size=(array.device_channels, count))
    for place, channel in zip(array.positions_m(), array.channel_map):
        delay_s = -(place @ towards) / SOUND_MPS
        heard[channel] = np.fft.irfft(spectrum * np.exp(-2j * np.pi * hz * delay_s), count)
        heard[channel] += 0.03 * rng.normal(size=count)
    return (heard * 1500).astype(np.int16)


@pytest.mark.parametrize("name", ["respeaker_usb_v2", "respeaker_4mic_hat", "respeaker_6mic", "uma8"])
@pytest.mark.parametrize("azimuth_deg", [0.0, 20.0, 135.0, -80.0])
def test_an_array_that_is_well_passes_and_says_where_the_sound_is(name: str, azimuth_deg: float) -> None:
    array = _array(name)
    report = check_channels(_recording(array, azimuth_deg), array, RATE, np.deg2rad(azimuth_deg))
    assert report.faults == ()
    assert report.azimuth_rad is not None
    assert np.degrees(np.angle(np.exp(1j * (report.azimuth_rad - np.deg2rad(azimuth_deg))))) == pytest.approx(0, abs=8)


def test_each_fault_is_named() -> None:
    array = _array()
    good = _recording(array)

    def check(change: object, azimuth_deg: float | None = 20.0) -> tuple[str, ...]:
        samples = good.copy()
        change(samples)  # type: ignore[operator]
        known = None if azimuth_deg is None else np.deg2rad(azimuth_deg)
        return check_channels(samples, array, RATE, known).faults

    def dead(samples: np.ndarray) -> None:
        samples[2] = 0

    def inverted(samples: np.ndarray) -> None:
        samples[3] = -samples[3]

    def processed(samples: np.ndarray) -> None:
        samples[1] = np.random.default_rng(9).normal(size=samples.shape[1]) * 1500

    def copied(samples: np.ndarray) -> None:
        samples[2] = samples[1]

    def clipped(samples: np.ndarray) -> None:
        samples[4] = np.where(samples[4] > 0, 32767, -32768)

    def neighbours(samples: np.ndarray) -> None:
        samples[[1, 2]] = samples[[2, 1]]

    def opposite(samples: np.ndarray) -> None:
        samples[[1, 3]] = samples[[3, 1]]

    def older_firmware(samples: np.ndarray) -> None:
        samples[[0, 1, 2, 3, 4]] = samples[[1, 2, 3, 4, 0]]

    assert any("channel 2 is dead" in fault for fault in check(dead))
    assert check(inverted)[0].startswith("channel 3 is inverted")
    assert any("channel 1 is processed" in fault for fault in check(processed))
    assert any("channels 1 and 2 carry the same signal" in fault for fault in check(copied))
    assert any("channel 4 clips" in fault for fault in check(clipped))
    assert "channels 1 and 2 are swapped" in check(neighbours)[0]
    assert "channels 1 and 3 are swapped" in check(opposite)[0]
    assert check(opposite, None) == ()  # a mirrored array is another direction, unless that is known
    found = check(older_firmware)
    assert any("another firmware's layout" in fault for fault in found)
    assert any("channel(s) 0 look like microphones" in fault for fault in found)


def test_another_number_of_channels_is_refused() -> None:
    with pytest.raises(ValueError, match=r"expected int16 \[6, samples\]"):
        check_channels(np.zeros((4, 100), dtype=np.int16), _array(), RATE)


def test_directional_microphones_are_not_judged_by_what_differs_with_direction() -> None:
    """Sound from straight ahead: ambisonics' left and up hear next to nothing, forward and all the same."""
    array = _array("foa")
    wave, noise = np.random.default_rng(3).normal(size=(2, RATE))
    samples = (np.stack([wave, 0.003 * noise, 0.003 * noise, wave]) * 1500).astype(np.int16)
    report = check_channels(samples, array, RATE, 0.0)
    assert (report.faults, report.azimuth_rad) == ((), None)
    assert "ambisonic" in report.unjudged
    assert "polarity, copies and order aren't judged" in report.unjudged
    samples[2] = 0
    assert "channel 2 is dead" in check_channels(samples, array, RATE).faults[0]
    assert check_channels(_recording(_array()), _array(), RATE).unjudged == ""
