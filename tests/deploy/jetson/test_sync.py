from __future__ import annotations

import time

import numpy as np
import pytest

from phonotaxis.configs import presets
from phonotaxis.configs.array import MicrophoneArray
from phonotaxis.configs.contract import PinholeCamera
from phonotaxis.configs.devices import CameraPipeline, Microphones
from phonotaxis.configs.robot import CameraConfig
from phonotaxis.deploy.devices import DeviceError
from phonotaxis.deploy.jetson.cameras import LiveCamera
from phonotaxis.deploy.jetson.microphones import LiveMicrophones
from phonotaxis.deploy.jetson.sync import image_onsets, offset_between, sound_onsets
from phonotaxis.envs.hil.camera import VirtualCamera
from phonotaxis.envs.hil.claps import Claps
from phonotaxis.envs.hil.pulse import Pulse

RATE = 16000


@pytest.mark.parametrize("late_ms", [-100.0, 0.0, 60.0])
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
