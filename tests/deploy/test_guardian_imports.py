"""The guardian stands on the standard library and numpy: what it doesn't import can't fail it."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from phonotaxis.configs.robot import RobotConfig, load_robot
from phonotaxis.deploy.control import control_path
from phonotaxis.deploy.emergency_stop import latch_path, robot_key
from phonotaxis.deploy.plain_robot import plain_robot, to_plain
from phonotaxis.deploy.safety import SafetyFilter

ALLOWED = {"numpy", "phonotaxis"}
# all that `guardian.main` imports and opens
SCRIPT = """
import json, sys
from pathlib import Path
import phonotaxis.deploy.guardian, phonotaxis.deploy.traced_guardian
from phonotaxis.deploy.devices import DeviceError, open_drive
from phonotaxis.deploy.plain_robot import plain_robot
robot = plain_robot(Path(sys.argv[1]).read_text())
try:
    open_drive(robot).close()
except DeviceError as error:
    assert "no simulated robot listens" in str(error), error
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""


def _robot(port: str | None) -> RobotConfig:
    robot = load_robot("simulated")
    if port is None:
        return robot
    devices = {
        "kind": "hardware",
        "camera": {"pipeline": "videotestsrc"},
        "drive": {"kind": "waveshare", "port": port},
    }
    return RobotConfig.model_validate({**robot.model_dump(), "drive": {"dead_man_ms": 200.0}, "devices": devices})


@pytest.mark.parametrize("kind", ["simulated", "waveshare"])
def test_it_imports_the_standard_library_and_numpy_alone(kind: str, tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    try:
        robot = _robot(os.ttyname(theirs) if kind == "waveshare" else None)
        (tmp_path / "robot.json").write_text(to_plain(robot, robot_key(robot)))
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, str(tmp_path / "robot.json")],
            capture_output=True, text=True, check=False, cwd=tmp_path,
            env={**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)},
        )  # fmt: skip
    finally:
        os.close(ours)
        os.close(theirs)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert set(found) >= ALLOWED
    # an editable install leaves a finder of its own behind, and setuptools a hook: neither is the guardian's
    foreign = {
        name for name in found if name not in sys.stdlib_module_names and not name.startswith(("__", "_distutils_hack"))
    }
    assert foreign == ALLOWED


def test_what_it_is_handed_has_the_same_names_and_values() -> None:
    robot = load_robot("simulated")
    plain = plain_robot(to_plain(robot, robot_key(robot)))
    assert vars(plain.safety) == robot.safety.model_dump()
    assert vars(plain.drive) == robot.drive.model_dump()
    assert plain.camera.max_age_ms == robot.camera.max_age_ms
    assert plain.array.mic_xyz_m == robot.array.mic_xyz_m
    assert (control_path(plain), latch_path(plain)) == (control_path(robot), latch_path(robot))
    assert SafetyFilter(plain).stop_reason(None, 0, None) == "disarmed"


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"robot": 1, "key": "a"}', '{"robot": {}}'])
def test_what_is_no_configuration_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        plain_robot(text)
