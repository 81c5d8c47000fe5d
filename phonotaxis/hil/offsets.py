"""`devices sync` as a user runs it, against claps whose sound and image are apart by a known time."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from phonotaxis.configs import presets
from phonotaxis.configs.array import MicrophoneArray
from phonotaxis.configs.contract import PinholeCamera
from phonotaxis.configs.devices import CameraPipeline, HardwareDevices, Microphones, WaveshareDrive
from phonotaxis.configs.robot import CameraConfig, DriveConfig, RobotConfig
from phonotaxis.envs.hil.camera import VirtualCamera
from phonotaxis.envs.hil.claps import Claps
from phonotaxis.envs.hil.pulse import Pulse
from phonotaxis.figures import Figure
from phonotaxis.hil.loop import DEAD_MAN_MS, HilError

PLANTED_MS = (-100.0, -50.0, 0.0, 50.0, 100.0)
SECONDS = 10.0  # 26 claps; 20 are needed
_ARRAY, _NAME = "respeaker_usb_v2", "phonotaxis-array"
_WIDTH, _HEIGHT = 30, 20


def measure_offsets(
    say: Callable[[str], None], planted_ms: Sequence[float] = PLANTED_MS, seconds: float = SECONDS
) -> dict[str, Figure]:
    """Plant offsets, and let `devices sync` find them.

    Args:
        say: told of each.
        planted_ms: by how much the image is later than the sound.
        seconds: that each is watched and listened to.

    Raises:
        HilError: it finds nothing.
        PulseError: no sound server here.
    """
    folder = Path(tempfile.mkdtemp(prefix="ph-hil-"))
    try:
        errors_ms = [_error_ms(folder / str(number), late, seconds, say) for number, late in enumerate(planted_ms)]
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return {
        "offsets": Figure(len(errors_ms)),
        "offset_error_ms": Figure(max(abs(error) for error in errors_ms), "ms"),
        "offset_error_mean_ms": Figure(sum(errors_ms) / len(errors_ms), "ms"),
    }


def _error_ms(folder: Path, late_ms: float, seconds: float, say: Callable[[str], None]) -> float:
    folder.mkdir(mode=0o700)
    array = presets.load("arrays", _ARRAY, MicrophoneArray)
    pulse = Pulse(folder / "pulse", _NAME, array.device_channels, 16000)
    camera = VirtualCamera(_WIDTH, _HEIGHT)
    claps = Claps(pulse, camera, late_ms)
    try:
        robot = folder / "robot.yaml"
        robot.write_text(_robot(array, camera).model_dump_json())  # JSON is YAML
        command = ["devices", "sync", "--robot", str(robot), "--seconds", str(seconds), "--json"]
        done = subprocess.run(
            [sys.executable, "-m", "phonotaxis.cli", *command],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "OMP_NUM_THREADS": "1", **pulse.environment()},
        )
    finally:
        claps.close()
        camera.close()
        pulse.close()
    if done.returncode != 0:
        raise HilError(f"`devices sync` failed: {done.stderr.strip()[-300:]}")
    figures = json.loads(done.stdout)["figures"]
    found_ms = float(figures["image_late"]["value"])
    say(f"planted {late_ms:g} ms, found {found_ms:.1f} ms in {figures['events']['value']} claps")
    return found_ms - late_ms


def _robot(array: MicrophoneArray, camera: VirtualCamera) -> RobotConfig:
    return RobotConfig(
        name="claps",
        array=array,
        camera=CameraConfig(pinhole=PinholeCamera(width=_WIDTH, height=_HEIGHT, cx=_WIDTH / 2, cy=_HEIGHT / 2)),
        drive=DriveConfig(dead_man_ms=DEAD_MAN_MS),
        devices=HardwareDevices(
            microphones=Microphones(device=_NAME),
            camera=CameraPipeline(pipeline=camera.pipeline),
            drive=WaveshareDrive(port="/dev/null"),
        ),
    )
