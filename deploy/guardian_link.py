"""The runtime's end of the guardian: starts it, arms it, feeds it and hears what it let through."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from phonotaxis.configs.robot import RobotConfig
from phonotaxis.deploy.clearance import Ahead
from phonotaxis.deploy.emergency_stop import robot_key
from phonotaxis.deploy.guardian_service import MAX_MESSAGE_BYTES
from phonotaxis.deploy.plain_robot import to_plain
from phonotaxis.deploy.service import notify

START_TIMEOUT_S = 20.0
END_TIMEOUT_S = 5.0
ALIVE_S = 1.0  # while the end is waited for the service manager's watchdog is told that often


class GuardianError(RuntimeError):
    """The guardian didn't start, or has gone; the robot doesn't move without it."""


class GuardianLink:
    """A running guardian process and the connection to it.

    Attributes:
        forbidden: forbidden modules that the guardian found in its own process.
        refused: what the system didn't grant it of real-time scheduling and locked memory.
        pid: of the guardian.
    """

    def __init__(self, robot: RobotConfig, shadow: bool = False) -> None:
        """Start the guardian, which opens the drive.

        Args:
            robot: whose drive.
            shadow: a person drives by other means: the guardian reads the wheels and never commands them.

        Raises:
            GuardianError: it didn't come up; its own message went to stderr.
        """
        self._folder = tempfile.TemporaryDirectory(prefix="phonotaxis-guardian-")  # made with mode 0700
        folder = Path(self._folder.name)
        (folder / "robot.json").write_text(to_plain(robot, robot_key(robot)))
        path = folder / "guardian.sock"
        self._process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "phonotaxis.deploy.guardian",
                "--config",
                folder / "robot.json",
                "--socket",
                path,
                *(["--shadow"] if shadow else []),
            ],
            cwd=folder,  # `-m` puts the working folder first on the path: nobody's random.py is imported
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        self.pid = self._process.pid
        self._link: socket.socket | None = None
        try:
            self._link = self._connect(path)
            ready = self._ready(self._link)
        except GuardianError:
            self._give_up()
            raise
        self.forbidden: list[str] = list(ready["forbidden"])
        self.refused: list[str] = list(ready["refused"])
        self._link.setblocking(False)

    def _connect(self, path: Path) -> socket.socket:
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise GuardianError(f"the guardian ended with code {self._process.returncode} as it started")
            link = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            try:
                link.connect(str(path))
            except OSError:
                link.close()
                time.sleep(0.01)
            else:
                return link
        raise GuardianError(f"the guardian did not listen within {START_TIMEOUT_S:g} s")

    def _ready(self, link: socket.socket) -> dict[str, Any]:
        link.settimeout(START_TIMEOUT_S)
        try:
            packet = link.recv(MAX_MESSAGE_BYTES)
        except OSError as error:
            raise GuardianError(f"the guardian did not get ready ({error})") from None
        if not packet:
            raise GuardianError("the guardian could not open the drive; see its message above")
        message: dict[str, Any] = json.loads(packet)
        return message

    def _send(self, message: dict[str, Any]) -> None:
        if self._link is None:
            raise GuardianError("the guardian's connection is closed")
        try:
            self._link.send(json.dumps(message, separators=(",", ":")).encode(), socket.MSG_NOSIGNAL)
        except OSError as error:
            raise GuardianError(f"the guardian has gone ({error}); the drive's dead man stops it") from None

    def arm(self) -> None:
        """Arm: only ever on a person's word."""
        self._send({"type": "arm"})

    def sensors(self, audio_ns: int | None, depth_ns: int | None, ahead: Ahead) -> None:
        """Tell the newest capture times and what the newest frame shows of the way ahead."""
        self._send({"type": "sensors", "audio_ns": audio_ns, "depth_ns": depth_ns, **ahead._asdict()})

    def command(self, v_mps: float, w_radps: float, due_ns: int, sequence: int) -> None:
        """Ask for a setpoint."""
        self._send({"type": "command", "v_mps": v_mps, "w_radps": w_radps, "due_ns": due_ns, "sequence": sequence})

    def stop(self) -> None:
        """Say that the policy has ended the goal: brake and disarm."""
        self._send({"type": "stop"})

    def statuses(self) -> list[dict[str, Any]]:
        """Return the status messages that have arrived, oldest first.

        Raises:
            GuardianError: it has gone.
        """
        found: list[dict[str, Any]] = []
        while self._link is not None:
            try:
                packet = self._link.recv(MAX_MESSAGE_BYTES)
            except BlockingIOError:
                break
            except ConnectionResetError:  # told once where it was killed with our words unread; its own still follow
                continue
            except OSError as error:
                raise GuardianError(f"the guardian has gone ({error})") from None
            if not packet and found:
                break  # its last words first; the next call says that it has gone
            if not packet:
                raise GuardianError("the guardian has gone; the drive's dead man stops the robot")
            found.append(json.loads(packet))
        return found

    def close(self) -> None:
        """Let the guardian brake and end; wait for it. May be called more than once."""
        if self._link is not None:
            with contextlib.suppress(GuardianError, OSError):
                self._send({"type": "quit"})
                self._hear_out(self._link)
        self._give_up()

    def _hear_out(self, link: socket.socket) -> None:
        """Take its last statuses; left unread, they would break its reading of "quit"."""
        link.settimeout(ALIVE_S)
        until_s = time.monotonic() + END_TIMEOUT_S
        while time.monotonic() < until_s:
            notify("WATCHDOG=1")
            with contextlib.suppress(TimeoutError):
                if not link.recv(MAX_MESSAGE_BYTES):
                    return

    def _give_up(self) -> None:
        """End the connection, which ends the guardian; kill it only if it hangs."""
        if self._link is not None:
            self._link.close()
            self._link = None
        until_s = time.monotonic() + END_TIMEOUT_S
        while self._process.poll() is None and time.monotonic() < until_s:
            notify("WATCHDOG=1")
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(ALIVE_S)
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self._folder.cleanup()
