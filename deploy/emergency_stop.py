"""The emergency stop: once latched it holds over restarts, and only a person releases it.

The latch is a file, so that nothing which ends a process forgets it. It is no safety function: the switch that
cuts the motors' power is.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from phonotaxis.configs.atomic_file import sync_folder
from phonotaxis.deploy.plain_robot import PlainRobot

if TYPE_CHECKING:
    from phonotaxis.configs.robot import RobotConfig


def robot_key(robot: RobotConfig) -> str:
    """Return a name for files of this robot on this machine: its own name, and a hash of where its drive is reached.

    Nothing else of its devices: the emergency stop stays latched when a latency is measured or a camera exchanged.
    """
    if isinstance(robot, PlainRobot):
        return str(robot.key)
    name = "".join(c if c.isalnum() or c in "-_" else "_" for c in robot.name)[:32]
    drive = getattr(robot.devices, "drive", robot.devices)  # the simulated robot is one device
    where = drive.model_dump_json(include={"kind", "port", "topic", "socket"})
    return f"{name}-{hashlib.sha256(where.encode()).hexdigest()[:8]}"


def latch_path(robot: RobotConfig) -> Path:
    """Return where this robot's latch lies: under `XDG_STATE_HOME`, by default ~/.local/state.

    A latch that was left under another name of the robot, whose drive is reached the same way, is this robot's.
    """
    state = Path(os.environ.get("XDG_STATE_HOME", ""))
    # a relative one is none (XDG Base Directory Specification), and the guardian's working folder goes with it
    base = state if state.is_absolute() else Path.home() / ".local" / "state"
    own = base / "phonotaxis" / "emergency-stop" / f"{robot_key(robot)}.json"
    drive = own.stem.rpartition("-")[2]
    left = sorted(own.parent.glob(f"*-{drive}.json"))
    return own if not left or own in left else left[0]


class EmergencyStop:
    """The latch of one robot.

    Attributes:
        reason: why it is latched; empty where it is not.
        kept: the latch would survive a restart; False where its file could not be written.
    """

    def __init__(self, path: Path) -> None:
        """Read the latch; a file that can't be read counts as latched."""
        self._path = path
        self.kept = True
        self.reason = self._read()

    def _read(self) -> str:
        try:
            return str(json.loads(self._path.read_text(encoding="utf-8"))["reason"]) or "latched"
        except FileNotFoundError:
            return ""
        except (OSError, ValueError, KeyError, TypeError):
            return "latched (its file can't be read)"

    def look(self) -> str:
        """Read the latch again where it isn't latched: another process may have written it; returns the reason."""
        self.reason = self.reason or self._read()
        return self.reason

    def latch(self, reason: str) -> None:
        """Latch, at once in memory and then in the file."""
        self.reason = reason
        fact = json.dumps({"reason": reason, "wall_clock_s": time.time()})
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            # in its place, not beside it: from its first moment the file latches, whatever is in it yet
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(fact)
                file.flush()
                os.fsync(file.fileno())
        except OSError:
            self.kept = False
        with contextlib.suppress(OSError):  # not every file system does
            for folder in list(self._path.parents)[:3]:  # its name and its folders' too: who presses may cut all power
                sync_folder(folder)

    def release(self) -> None:
        """Release the latch: a person's act.

        Raises:
            OSError: its file can't be removed; the latch holds.
        """
        with contextlib.suppress(FileNotFoundError):
            self._path.unlink()
        self.reason, self.kept = "", True
