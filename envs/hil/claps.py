"""Claps before a camera: loud and near at the same time, or apart by a planted offset."""

from __future__ import annotations

import threading
import time

import numpy as np

from phonotaxis.envs.hil.camera import VirtualCamera
from phonotaxis.envs.hil.pipes import Pipe, interleaved
from phonotaxis.envs.hil.pulse import PIPE_CHANNELS, Pulse

APART_S = 0.377  # no multiple of a frame's or a block's time
LOUD_S, NEAR_S = 0.03, 0.1
BLOCK_S = 0.01
FRAMES_PER_S = 60
NEAR_M, FAR_M, NOISE_M = 1.0, 3.0, 0.002


class Claps:
    """Somebody claps before a virtual array and camera until `close`."""

    def __init__(self, pulse: Pulse, camera: VirtualCamera, late_ms: float, sample_rate_hz: int = 16000) -> None:
        """Begin.

        Args:
            pulse: with the array.
            camera: of any size.
            late_ms: by how much the image of a clap is later than its sound; negative where it is earlier.
            sample_rate_hz: of the array.
        """
        self._pulse, self._camera, self._late_s, self._rate_hz = pulse, camera, late_ms * 1e-3, sample_rate_hz
        self._ended = threading.Event()
        self._began_s = time.monotonic() + 0.1
        self._threads = [threading.Thread(target=target, daemon=True) for target in (self._sound, self._show)]
        for thread in self._threads:
            thread.start()

    def _sound(self) -> None:
        pipe, rng, count = Pipe(self._pulse.pipe), np.random.default_rng(2), 0
        size = round(BLOCK_S * self._rate_hz)
        while not self._ended.is_set():
            at_s = count * BLOCK_S + np.arange(size) / self._rate_hz
            loud = (at_s % APART_S < LOUD_S) & (at_s >= APART_S)  # to the sample: a block is as long as the goal twice
            block = (rng.normal(size=(PIPE_CHANNELS, size)) * np.where(loud, 6000, 30)).astype(np.int16)
            count += 1
            self._wait(count * BLOCK_S)
            pipe.write(interleaved(block, PIPE_CHANNELS))
        pipe.close()

    def _show(self) -> None:
        rng, count = np.random.default_rng(3), 0
        while not self._ended.is_set():
            at_s = count / FRAMES_PER_S - self._late_s
            near = at_s % APART_S < NEAR_S and at_s >= APART_S
            noise = rng.normal(size=(self._camera.height, self._camera.width)) * NOISE_M
            self._wait(count / FRAMES_PER_S)
            self._camera.send(((NEAR_M if near else FAR_M) + noise).astype(np.float32))
            count += 1

    def _wait(self, until_s: float) -> None:
        time.sleep(max(0.0, self._began_s + until_s - time.monotonic()))

    def close(self) -> None:
        """Stop clapping."""
        self._ended.set()
        for thread in self._threads:
            thread.join(2.0)
