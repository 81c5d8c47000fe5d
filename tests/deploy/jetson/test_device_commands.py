"""`phonotaxis devices` and `listen` as they are typed, against the operating system's own devices."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from phonotaxis import cli
from phonotaxis.configs.devices import HardwareDevices
from phonotaxis.configs.robot import load_robot
from phonotaxis.envs.hil.claps import Claps

Typed = Callable[..., tuple[int, dict[str, Any], str]]


@pytest.fixture
def typed(capsys: pytest.CaptureFixture[str]) -> Typed:
    def run(*words: object) -> tuple[int, dict[str, Any], str]:
        code = cli.run([*map(str, words), "--json"])
        out, err = capsys.readouterr()
        lines = [line for line in out.splitlines() if line.startswith("{")]
        figures = json.loads(lines[-1])["figures"] if lines else {}
        return code, {name: figure["value"] for name, figure in figures.items()}, err

    return run


@pytest.fixture
def robot(bench: Any, tmp_path: Path) -> Path:
    path = tmp_path / "bench.yaml"
    path.write_text(bench.robot().model_dump_json())  # JSON is YAML
    return path


def test_what_is_plugged_in_is_listed(pulse: Any, typed: Typed) -> None:
    code, found, _ = typed("devices", "list")
    assert code == 0
    assert any(str(text).startswith("virtual-array: ") for text in found.values())
    assert found["gstreamer_videotestsrc"] is True


def test_an_array_that_is_well_and_one_with_a_dead_channel(bench: Any, robot: Path, typed: Typed) -> None:
    code, found, err = typed("devices", "microphones", "--robot", robot, "--seconds", 1)
    assert code == 0, err
    assert found["faults"] == 0
    assert (found["device_rate"], found["resampled"]) == (16000, False)
    assert -40.0 < found["channel_1_level"] < -10.0
    bench.dead = [3]
    code, found, err = typed("devices", "microphones", "--robot", robot, "--seconds", 1)
    assert code == 1
    assert found["faults"] >= 1
    assert "phonotaxis: channel 3" in err


def test_a_frame_becomes_a_png_in_millimetres(robot: Path, tmp_path: Path, typed: Typed) -> None:
    code, found, err = typed("devices", "camera", "--robot", robot, "--out", tmp_path / "frame.png")
    assert code == 0, err
    data = (tmp_path / "frame.png").read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">IIBB", data[16:26]) == (64, 64, 16, 0)
    assert found["nearest"] == pytest.approx(2.0, abs=1e-3)
    assert found["known"] == 1.0


def test_an_offset_is_measured_and_stored_where_a_run_finds_it(
    pulse: Any, bench: Any, robot: Path, typed: Typed
) -> None:
    bench.pause()
    before = robot.read_text()
    claps = Claps(pulse, bench.camera, late_ms=30.0)
    code, found, err = typed("devices", "sync", "--robot", robot, "--seconds", 10, "--no-store")
    assert code == 0, err
    assert (found["stored"], robot.read_text()) == (False, before)
    assert f"write into {robot}: devices: {{camera: {{latency_ms: " in err
    code, found, err = typed("devices", "sync", "--robot", robot, "--seconds", 10)
    claps.close()
    assert code == 0, err
    assert found["events"] >= 20
    assert found["image_late"] == pytest.approx(30.0, abs=15.0)  # three times the goal of 5 ms
    assert (found["stored"], err.strip()) == (True, f"stored in {robot}")
    devices = load_robot(robot).devices
    assert isinstance(devices, HardwareDevices)
    assert devices.camera.latency_ms == found["camera_latency"] == round(found["image_late"], 1)


def test_a_camera_that_shows_nothing_is_told_before_claps_are(bench: Any, tmp_path: Path, typed: Typed) -> None:
    robot = tmp_path / "wrong.yaml"
    colour = "videotestsrc is-live=true ! video/x-raw,format=RGB,width=64,height=64,framerate=20/1"
    devices = bench.robot().devices
    camera = devices.camera.model_copy(update={"pipeline": colour})
    wrong = bench.robot().model_copy(update={"devices": devices.model_copy(update={"camera": camera})})
    robot.write_text(wrong.model_dump_json())
    code, found, err = typed("devices", "sync", "--robot", robot, "--seconds", 5)
    assert (code, found) == (1, {})
    assert "the camera delivers RGB of 64 x 64, expected GRAY16_LE" in err


def test_a_simulated_robot_has_no_devices_to_try(typed: Typed) -> None:
    for command in ("microphones", "camera", "sync"):
        code, found, err = typed("devices", command, "--robot", "simulated")
        assert (code, found) == (1, {})
        assert "this is for devices.kind: hardware" in err


def test_listening_needs_no_robot(bench: Any, toy: Any, tmp_path: Path, typed: Typed) -> None:
    bundle = toy.bundle(tmp_path / "toy.onnx", toy.contract())
    code, found, err = typed("listen", bundle.path, "--device", "virtual-array", "--seconds", 2)
    assert code == 0, err
    assert 3 <= found["steps"] <= 8
    assert "apart_median" in found
    assert found["samples_lost"] == 0


def test_listening_to_nothing_is_told(bench: Any, toy: Any, tmp_path: Path, typed: Typed) -> None:
    bundle = toy.bundle(tmp_path / "toy.onnx", toy.contract())
    code, _, err = typed("listen", bundle.path, "--device", "ReSpeaker", "--seconds", 1)
    assert code == 1
    assert "no microphone array 'ReSpeaker'" in err
