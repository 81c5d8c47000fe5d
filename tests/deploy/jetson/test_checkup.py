from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from phonotaxis.configs.base import ConfigError
from phonotaxis.configs.robot import RobotConfig, load_robot
from phonotaxis.deploy.checkup import check_robot
from phonotaxis.envs.hil.camera import VirtualCamera
from phonotaxis.envs.hil.chassis import Chassis
from phonotaxis.envs.hil.pipes import Pipe, interleaved
from phonotaxis.envs.hil.pulse import PIPE_CHANNELS, Pulse

SCENE = np.full((64, 64), 2.0, dtype=np.float32)


class Bench:
    """A robot on a bench, its wheels in the air: noise in front of it, a wall two metres away."""

    def __init__(self, pulse: Pulse, folder: Path) -> None:
        self.pulse, self.port = pulse, folder / "ttyDRIVE"
        self.camera = VirtualCamera(64, 64)
        self.board = Chassis(self.port, self._odometers)
        self._way_m, self._at_ns = 0.0, time.monotonic_ns()
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

    def close(self) -> None:
        self._done.set()
        self._thread.join(2.0)
        self._pipe.close()
        self.board.close()
        self.camera.close()


@pytest.fixture
def bench(pulse: Pulse, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    bench = Bench(pulse, folder)
    yield bench
    bench.close()


def test_a_robot_that_is_well_passes_with_its_dead_man_proven(bench: Bench) -> None:
    checks = {check.name: check for check in check_robot(bench.robot(), wheels_lifted=True)}
    assert set(checks) == {"emergency_stop", "real_time", "microphones", "camera", "drive"}
    failed = {name: check.text for name, check in checks.items() if not check.ok and name != "real_time"}
    assert failed == {}
    assert "without commands the wheels stood after" in checks["drive"].text


def test_a_board_without_dead_man_is_found(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    obey = bench.board._obey
    monkeypatch.setattr(bench.board, "_obey", lambda said, at_ns: None if said["T"] == 136 else obey(said, at_ns))
    checks = {check.name: check for check in check_robot(bench.robot(), wheels_lifted=True)}
    assert not checks["drive"].ok
    assert "DO NOT DRIVE" in checks["drive"].text


def test_what_is_missing_is_named(bench: Bench) -> None:
    bench.camera.close()
    bench.pulse.kill()
    bench.board.unplug()
    checks = {check.name: check for check in check_robot(bench.robot())}
    assert not checks["microphones"].ok
    assert not checks["camera"].ok
    assert not checks["drive"].ok


def test_a_simulated_robot_is_none_to_check() -> None:
    with pytest.raises(ConfigError, match="is simulated"):
        list(check_robot(load_robot("simulated")))


@pytest.mark.parametrize(
    ("drive", "said"), [({}, "state after how long"), ({"dead_man_ms": 300}, "exceeds 200, the most for a Waveshare")]
)
def test_a_drive_without_a_short_dead_man_is_refused(drive: dict[str, Any], said: str) -> None:
    devices = {"kind": "hardware", "camera": {"pipeline": "x"}, "drive": {"kind": "waveshare", "port": "/dev/x"}}
    with pytest.raises(ValueError, match=said):
        RobotConfig.model_validate({"name": "r", "array": "respeaker_usb_v2", "drive": drive, "devices": devices})
