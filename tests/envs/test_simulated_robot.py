from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from phonotaxis.configs import presets, wire
from phonotaxis.configs.array import MicrophoneArray
from phonotaxis.configs.contract import Contract, discrete_actions
from phonotaxis.envs.simulated_robot import Drive, RobotServer, WindowResult

MS = 1_000_000


def test_a_window_weights_what_the_drive_was_told_by_time() -> None:
    drive = Drive(dead_man_ms=300.0)
    drive.command(0, 1.0, 0.0)
    drive.command(25 * MS, 0.0, 0.5)
    v, w = drive.mean_setpoint(0, 250 * MS)
    assert v == pytest.approx(0.1)
    assert w == pytest.approx(0.45)
    assert drive.mean_setpoint(250 * MS, 500 * MS) == pytest.approx((0.0, 0.5))  # it still holds the last one


def test_commands_before_the_window_hold_into_it() -> None:
    drive = Drive(dead_man_ms=300.0)
    drive.command(-100 * MS, 1.0, 0.0)
    drive.command(50 * MS, 0.5, 0.0)
    assert drive.mean_setpoint(0, 250 * MS)[0] == pytest.approx(0.2 * 1.0 + 0.8 * 0.5)


def test_the_dead_man_stops_it() -> None:
    drive = Drive(dead_man_ms=100.0)
    assert drive.mean_setpoint(0, 250 * MS) == (0.0, 0.0)
    drive.command(0, 1.0, 1.0)
    assert drive.mean_setpoint(100 * MS, 350 * MS) == (0.0, 0.0)
    drive.command(350 * MS, 1.0, 0.0)
    drive.command(550 * MS, 0.0, 0.0)  # it stood from 450 on
    assert drive.mean_setpoint(350 * MS, 600 * MS)[0] == pytest.approx(0.4)


@dataclass
class Ticker:
    """A world whose windows tell their number."""

    contract: Contract
    held: list[tuple[float, float]] = field(default_factory=list)

    def start(self) -> WindowResult:
        return self._window()

    def hold(self, v_mps: float, w_radps: float) -> WindowResult:
        self.held.append((v_mps, w_radps))
        return self._window()

    def _window(self) -> WindowResult:
        n = len(self.held)
        audio = np.full((6, self.contract.hop_samples), n, dtype=np.int16)
        return WindowResult(audio, np.full((64, 64), n + 1, np.float32), (n, 0, 0), (0.1, 0, 0), n == 2, 9.0 - n)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Path, Ticker, threading.Thread]]:
    array = presets.load("arrays", "respeaker_usb_v2", MicrophoneArray)
    contract = Contract(task="t", array=array, actions=discrete_actions(0.25, 0.2, 0.25))
    world, path = Ticker(contract), tmp_path / "wire" / "robot.sock"
    server = RobotServer(world, path, tmp_path / "truth.jsonl", dead_man_ms=100.0)
    thread = threading.Thread(target=server.serve, args=(10.0, 10.0), daemon=True)
    thread.start()
    yield path, world, thread
    thread.join(15)
    assert not thread.is_alive()
    assert not path.exists()


def test_a_client_gets_each_window_in_order_and_in_time(
    served: tuple[Path, Ticker, threading.Thread], tmp_path: Path
) -> None:
    path, world, thread = served
    frames: list[tuple[str, dict[str, Any], bytes, int]] = []
    with wire.connect(path, "sensors", 5.0) as sensors, wire.connect(path, "drive", 5.0) as drive:
        while sum(kind == "depth" for kind, *_ in frames) < 4:
            header, payload = wire.receive(sensors)
            frames.append((header["type"], header, payload, time.monotonic_ns()))
            if header["type"] == "audio":
                wire.send(drive, {"type": "command", "v_mps": 0.5, "w_radps": 0.0})
    thread.join(15)
    kinds = [kind for kind, *_ in frames]
    assert kinds[:7] == ["audio"] * 4 + ["depth", "odometry", "audio"]  # the scene precedes the last block
    audio = [(header, payload) for kind, header, payload, _ in frames if kind == "audio"]
    assert [header["first_sample"] for header, _ in audio] == [800 * n for n in range(len(audio))]
    first_ns = audio[0][0]["capture_ns"]
    assert [header["capture_ns"] - first_ns for header, _ in audio] == [50 * MS * n for n in range(len(audio))]
    for n, (header, payload) in enumerate(audio):
        assert (wire.array_from(header, payload, "int16", 2) == n // 5).all()
    depth_ns = [header["capture_ns"] - first_ns for kind, header, *_ in frames if kind == "depth"]
    assert depth_ns == [250 * MS * (n + 1) for n in range(4)]
    # in real time: a block never comes before its last sample was captured
    assert all(at_ns >= header["capture_ns"] + 50 * MS for kind, header, _, at_ns in frames if kind == "audio")
    collisions = [header["collision"] for kind, header, *_ in frames if kind == "odometry"]
    assert collisions == [False, False, True]
    assert world.held[0][0] == pytest.approx(0.5, abs=0.2)


def test_it_stands_once_the_client_has_gone_and_the_truth_says_so(
    served: tuple[Path, Ticker, threading.Thread], tmp_path: Path
) -> None:
    path, world, thread = served
    with wire.connect(path, "sensors", 5.0) as sensors, wire.connect(path, "drive", 5.0) as drive:
        for _ in range(9):
            wire.receive(sensors)
            wire.send(drive, {"type": "command", "v_mps": 0.5, "w_radps": 0.0})
        wire.send(drive, {"type": "command", "v_mps": float("nan"), "w_radps": 0.0})
    thread.join(15)
    facts = [json.loads(line) for line in (tmp_path / "truth.jsonl").read_text().splitlines()]
    windows = [fact for fact in facts if fact["type"] == "window"]
    assert [window["window"] for window in windows] == list(range(len(windows)))
    assert windows[-1]["v_mps"] == 0.0
    assert not windows[-1]["connected"]
    assert world.held[-1] == (0.0, 0.0)
    assert {"type", "time_ns", "x_m", "y_m", "yaw_rad", "distance_to_goal_m"} <= set(windows[0])


def test_nobody_connecting_ends_it(tmp_path: Path) -> None:
    array = presets.load("arrays", "respeaker_usb_v2", MicrophoneArray)
    contract = Contract(task="t", array=array, actions=discrete_actions(0.25, 0.2, 0.25))
    server = RobotServer(Ticker(contract), tmp_path / "wire" / "robot.sock")
    with pytest.raises(wire.WireError, match="nobody connected as drive and sensors"):
        server.serve(1.0, connect_timeout_s=0.05)
