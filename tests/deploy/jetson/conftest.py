"""The operating system's own devices: a sound server with a virtual array, pipes, a pseudo-terminal."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from phonotaxis.configs.robot import RobotConfig
from phonotaxis.envs.hil.camera import VirtualCamera
from phonotaxis.envs.hil.chassis import Chassis
from phonotaxis.envs.hil.pipes import Pipe, interleaved
from phonotaxis.envs.hil.pulse import PIPE_CHANNELS, Pulse

ARRAY = "virtual-array"
CHANNELS = 6
SCENE = np.full((64, 64), 2.0, dtype=np.float32)


class Bench:
    """A robot on a bench, its wheels in the air: noise in front of it, a wall two metres away."""

    def __init__(self, pulse: Pulse, folder: Path) -> None:
        self.pulse, self.port = pulse, folder / "ttyDRIVE"
        self.camera = VirtualCamera(64, 64)
        self.board = Chassis(self.port, self._odometers)
        self._way_m, self._at_ns = 0.0, time.monotonic_ns()
        self.dead: list[int] = []
        self._done = threading.Event()
        self._pipe = Pipe(pulse.pipe)
        self._thread = threading.Thread(target=self._play, daemon=True)
        self._thread.start()

    def _odometers(self, at_ns: int) -> tuple[float, float]:
        v, _ = self.board._speeds
        self._way_m += v * (at_ns - self._at_ns) * 1e-9
        self._at_ns = at_ns
        return self._way_m, self._way_m

    def _play(self) -> None:
        rng, began_s, count = np.random.default_rng(1), time.monotonic(), 0
        while not self._done.is_set():
            count += 1
            wave = rng.normal(size=160) * 2000
            block = np.tile(wave, (6, 1)) + rng.normal(size=(6, 160)) * 60
            block[self.dead] = 0
            self._pipe.write(interleaved(block.astype(np.int16), PIPE_CHANNELS))
            if count % 10 == 0:
                self.camera.send(SCENE)
            time.sleep(max(0.0, began_s + count * 0.01 - time.monotonic()))

    def robot(self, **drive: Any) -> RobotConfig:
        return RobotConfig.model_validate(
            {
                "name": "bench",
                "array": "respeaker_usb_v2",
                "drive": {"dead_man_ms": 200, **drive},
                "devices": {
                    "kind": "hardware",
                    "microphones": {"device": "virtual-array"},
                    "camera": {"pipeline": self.camera.pipeline},
                    "drive": {"kind": "waveshare", "port": str(self.port), "odometer_unit_m": 1.0},
                },
            }
        )

    def pause(self) -> None:
        """Fall silent and dark, for somebody else to play."""
        self._done.set()
        self._thread.join(2.0)

    def close(self) -> None:
        self.pause()
        self._pipe.close()
        self.board.close()
        self.camera.close()


@pytest.fixture
def pulse(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pulse]:
    """Run a sound server with an array of six channels, which this process finds."""
    server = Pulse(folder / "pulse", ARRAY, CHANNELS, 16000)
    for name, value in server.environment().items():
        monkeypatch.setenv(name, value)
    yield server
    server.close()


@pytest.fixture
def bench(pulse: Pulse, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    bench = Bench(pulse, folder)
    yield bench
    bench.close()
