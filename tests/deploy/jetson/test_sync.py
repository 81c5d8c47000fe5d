from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pytest

from phonotaxis.configs import presets
from phonotaxis.configs.array import MicrophoneArray
from phonotaxis.configs.base import ConfigError
from phonotaxis.configs.contract import PinholeCamera
from phonotaxis.configs.devices import CameraPipeline, HardwareDevices, Microphones
from phonotaxis.configs.robot import CameraConfig, load_robot
from phonotaxis.deploy.devices import DepthFrame, DeviceError
from phonotaxis.deploy.jetson.cameras import LiveCamera
from phonotaxis.deploy.jetson.microphones import LiveMicrophones
from phonotaxis.deploy.jetson.sync import (
    Offset,
    by_hand,
    check_spread,
    corrected,
    image_onsets,
    offset_between,
    sound_onsets,
    store,
    thinned,
)
from phonotaxis.envs.hil.camera import VirtualCamera
from phonotaxis.envs.hil.claps import Claps
from phonotaxis.envs.hil.pulse import Pulse

RATE = 16000


@pytest.mark.parametrize("late_ms", [-100.0, 60.0])
def test_a_planted_offset_is_found(pulse: Pulse, late_ms: float) -> None:
    array = presets.load("arrays", "respeaker_usb_v2", MicrophoneArray)
    scene = VirtualCamera(30, 20)
    camera = LiveCamera(
        CameraPipeline(pipeline=scene.pipeline), CameraConfig(pinhole=PinholeCamera(width=30, height=20, cx=15, cy=10))
    )
    microphones = LiveMicrophones(Microphones(device="virtual-array"), array, RATE)
    claps = Claps(pulse, scene, late_ms)
    blocks, frames, until_s = [], [], time.monotonic() + 9.0
    while time.monotonic() < until_s:
        block = microphones.read_block(0.05)
        blocks += [] if block is None else [block]
        frames += camera.unread()
    claps.close()
    microphones.close()
    camera.close()
    scene.close()
    offset = offset_between(sound_onsets(blocks, 1, RATE), image_onsets(frames))
    assert offset.events >= 20
    assert offset.image_late_ms == pytest.approx(late_ms, abs=15.0)  # three times the goal of 5 ms


def test_too_few_events_are_told() -> None:
    with pytest.raises(DeviceError, match=r"1 event\(s\) were both heard \(2\) and seen \(1\)"):
        offset_between(np.array([0, 10**9]), np.array([10**7]))


def test_an_event_is_paired_once() -> None:
    """Who claps moves the hands before and after: twelve claps are no twenty-four events."""
    sound_ns = np.arange(12) * 10**9
    image_ns = np.sort(np.concatenate([sound_ns + 10**7, sound_ns + 27 * 10**7]))
    with pytest.raises(DeviceError, match=r"12 event\(s\) were both heard \(12\) and seen \(24\)"):
        offset_between(sound_ns, image_ns)
    again_ns = np.arange(24) * 10**9
    late_ns = np.sort(np.concatenate([again_ns + 10**7, again_ns[::4] + 27 * 10**7]))
    assert offset_between(again_ns, late_ns) == Offset(pytest.approx(10.0), pytest.approx(0.0, abs=1e-9), 24)


def _moving(seconds: int, lasts_s: float, size: int = 8) -> list[DepthFrame]:
    """Return frames of a hand that moves for a while in every second but the first."""
    rng, frames = np.random.default_rng(0), []
    for count in range(60 * seconds):
        at_s = count / 60
        moves = at_s >= 1.0 and at_s % 1.0 < lasts_s
        depth_m = (1.5 + 0.5 * (count % 2) if moves else 3.0) + rng.normal(size=(size, size)) * 0.002
        frames.append(DepthFrame(depth_m.astype(np.float32), round(at_s * 1e9)))
    return frames


def test_an_event_that_lasts_is_one() -> None:
    found = image_onsets(_moving(10, 0.5))
    np.testing.assert_allclose(found * 1e-9, np.arange(1, 10) - 0.5 / 60, atol=1e-3)


def test_large_images_are_thinned_and_show_the_same() -> None:
    large = _moving(4, 0.1, size=400)
    small = [thinned(frame) for frame in large]
    assert all(4096 <= frame.depth_m.size < 4 * 4096 and frame.depth_m.base is None for frame in small)
    np.testing.assert_array_equal(image_onsets(small), image_onsets(large))
    assert thinned(_moving(1, 0.1)[0]).depth_m.shape == (8, 8)


ROBOT = """\
name: rover  # of the third floor
array: respeaker_usb_v2
drive: {dead_man_ms: 200}
devices:
  kind: hardware
  camera: {pipeline: videotestsrc}
  drive: {kind: waveshare, port: /dev/ttyDRIVE}
"""


@pytest.fixture
def rover(tmp_path: Path) -> Path:
    path = tmp_path / "rover.yaml"
    path.write_text(ROBOT)
    return path


def _devices(path: Path) -> HardwareDevices:
    devices = load_robot(path).devices
    assert isinstance(devices, HardwareDevices)
    return devices


def test_what_is_stored_is_what_a_run_finds_and_nothing_else_changes(rover: Path) -> None:
    store(rover, load_robot(rover), corrected(_devices(rover), Offset(31.24, 2.0, 24)))
    assert rover.read_text() == ROBOT.replace("{pipeline", "{latency_ms: 31.2, pipeline")
    assert (_devices(rover).camera.latency_ms, _devices(rover).microphones.latency_ms) == (31.2, 0.0)
    # measured again, there is nothing left to correct but what has changed since
    store(rover, load_robot(rover), corrected(_devices(rover), Offset(-1.2, 2.0, 24)))
    assert _devices(rover).camera.latency_ms == 30.0
    # and where the sound is the later one, it is the sound's latency
    store(rover, load_robot(rover), corrected(_devices(rover), Offset(-50.0, 2.0, 24)))
    assert (_devices(rover).camera.latency_ms, _devices(rover).microphones.latency_ms) == (0.0, 20.0)
    assert "  # of the third floor\n" in rover.read_text()


def test_what_is_not_stored_is_told_as_a_line_to_write(rover: Path) -> None:
    assert by_hand(corrected(_devices(rover), Offset(-50.0, 2.0, 24))) == (
        "devices: {camera: {latency_ms: 0.0}}; devices: {microphones: {latency_ms: 50.0}}"
    )


def test_a_file_that_was_changed_meanwhile_is_left_alone(rover: Path) -> None:
    before = load_robot(rover)
    edited = ROBOT.replace("200", "150")
    rover.write_text(edited)
    with pytest.raises(ConfigError, match="changed during the measurement"):
        store(rover, before, corrected(_devices(rover), Offset(31.2, 2.0, 24)))
    assert rover.read_text() == edited


def test_what_a_robot_cannot_have_or_nobody_may_write_is_refused_in_words(rover: Path) -> None:
    robot = load_robot(rover)
    with pytest.raises(ConfigError, match=r"devices.*microphones.latency_ms.*500"):
        store(rover, robot, corrected(_devices(rover), Offset(-600.0, 2.0, 24)))
    with pytest.raises(ConfigError, match="no file of yours"):
        store(Path("simulated"), robot, {})
    assert rover.read_text() == ROBOT
    assert os.listdir(rover.parent) == ["rover.yaml"]


def test_events_that_disagree_are_no_offset() -> None:
    check_spread(Offset(5.0, 16.0, 24), between_frames_ms=33.3)
    check_spread(Offset(5.0, 9.9, 24), between_frames_ms=11.1)
    with pytest.raises(DeviceError, match=r"24 events spread by 17\.0 ms, at most 16\.6 ms"):
        check_spread(Offset(5.0, 17.0, 24), between_frames_ms=33.3)
    # sounds and changes of the image that have nothing to do with each other
    rng = np.random.default_rng(4)
    sound, image = (np.sort(rng.integers(0, 40 * 10**9, 120)) for _ in range(2))
    with pytest.raises(DeviceError, match="clap alone"):
        check_spread(offset_between(sound, image), between_frames_ms=33.3)
