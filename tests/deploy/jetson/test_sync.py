from __future__ import annotations

import threading
import time
from pathlib import Path

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
from phonotaxis.envs.hil.pipes import Pipe, interleaved
from phonotaxis.envs.hil.pulse import PIPE_CHANNELS, Pulse

EVENTS, APART_S, RATE, FPS = 22, 0.377, 16000, 60


def _play(pulse: Pulse, began_s: float) -> None:
    pipe, rng = Pipe(pulse.pipe), np.random.default_rng(2)
    for count in range(round((EVENTS + 1) * APART_S * 100)):
        loud = (count * 0.01) % APART_S < 0.03 and count * 0.01 >= APART_S
        block = (rng.normal(size=(6, 160)) * (6000 if loud else 30)).astype(np.int16)
        time.sleep(max(0.0, began_s + (count + 1) * 0.01 - time.monotonic()))
        pipe.write(interleaved(block, PIPE_CHANNELS))
    pipe.close()


def _show(scene: VirtualCamera, began_s: float, late_s: float) -> None:
    rng = np.random.default_rng(3)
    for count in range(round((EVENTS + 1) * APART_S * FPS)):
        at_s = count / FPS
        near = (at_s - late_s) % APART_S < 0.1 and at_s - late_s >= APART_S
        image = np.full((20, 30), 1.0 if near else 3.0, dtype=np.float32) + rng.normal(size=(20, 30)) * 0.002
        time.sleep(max(0.0, began_s + at_s - time.monotonic()))
        scene.send(image.astype(np.float32))


@pytest.mark.parametrize("late_ms", [-100.0, 0.0, 60.0])
def test_a_planted_offset_is_found(pulse: Pulse, folder: Path, late_ms: float) -> None:
    array = presets.load("arrays", "respeaker_usb_v2", MicrophoneArray)
    scene = VirtualCamera(30, 20)
    camera = LiveCamera(
        CameraPipeline(pipeline=scene.pipeline), CameraConfig(pinhole=PinholeCamera(width=30, height=20, cx=15, cy=10))
    )
    microphones = LiveMicrophones(Microphones(device="virtual-array"), array, RATE)
    began_s = time.monotonic() + 0.3
    players = [
        threading.Thread(target=_play, args=(pulse, began_s)),
        threading.Thread(target=_show, args=(scene, began_s, late_ms * 1e-3)),
    ]
    for player in players:
        player.start()
    blocks, frames = [], []
    while any(player.is_alive() for player in players):
        block = microphones.read_block(0.05)
        blocks += [] if block is None else [block]
        frames += camera.unread()
    microphones.close()
    camera.close()
    scene.close()
    offset = offset_between(sound_onsets(blocks, 1, RATE), image_onsets(frames))
    assert offset.events >= 20
    assert offset.image_late_ms == pytest.approx(late_ms, abs=15.0)  # three times the goal of 5 ms


def test_too_few_events_are_told() -> None:
    with pytest.raises(DeviceError, match=r"1 event\(s\) were both heard \(2\) and seen \(1\)"):
        offset_between(np.array([0, 10**9]), np.array([10**7]))
