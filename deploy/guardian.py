"""The guardian: the process that alone owns the drive.

It starts disarmed, arms only by an explicit message (a person's act), passes every command through the safety
filter fifty times a second, and stops the drive when the runtime falls silent or its connection ends, which
also disarms. It imports little and allocates little, and its garbage collector is frozen. A software stop is
no safety function: a robot also needs a switch that cuts the power of its motors.

Messages are JSON, one a packet, over a SOCK_SEQPACKET socket that only this user can reach. To the guardian:
`arm`, `disarm`, `sensors` (ages and clearance), `command` (setpoint), `stop` (the policy ends the goal) and
`quit`. From it: `ready`, then `status` at every change and at least ten times a second.
"""

from __future__ import annotations

import argparse
import gc
import json
import select
import signal
import socket
import sys
from pathlib import Path
from typing import Any

from phonotaxis.configs.base import ConfigError
from phonotaxis.configs.robot import RobotConfig, robot_from_json
from phonotaxis.configs.wire import peer_is_self
from phonotaxis.deploy.clock import now_ns
from phonotaxis.deploy.devices import DeviceError, DriveDevice, open_drive
from phonotaxis.deploy.forbidden import forbidden_modules
from phonotaxis.deploy.guardian_trace import GuardianTrace
from phonotaxis.deploy.safety import Allowed, Command, SafetyFilter, SensorState

TICK_S = 0.02
HEARTBEAT_NS = 100_000_000
BRAKE_TICKS = 25  # half a second of zeros after the runtime has gone, then the drive's own dead man holds
MAX_MESSAGE_BYTES = 4096


class Guardian:
    """Turns messages and time into drive commands; one `tick` a call."""

    def __init__(self, robot: RobotConfig, drive: DriveDevice) -> None:
        self._filter = SafetyFilter(robot)
        self._drive = drive
        self._silence_ns = int(robot.safety.runtime_silence_ms * 1e6)
        self._command: Command | None = None
        self._sensors: SensorState | None = None
        self._cause = "disarmed"
        self.allowed = Allowed(0.0, 0.0, "disarmed")
        self.quit = False

    def handle(self, message: dict[str, Any], at_ns: int) -> None:
        """Take one message of the runtime.

        Raises:
            ValueError: an unknown message; KeyError or TypeError: one with missing or wrong fields.
        """
        kind = message["type"]
        if kind == "sensors":
            self._sensors = SensorState(
                _integer(message["audio_ns"]),
                _integer(message["depth_ns"]),
                _number(message["clearance_m"]),
                at_ns,
            )
        elif kind == "command":
            self._command = Command(
                float(message["v_mps"]),
                float(message["w_radps"]),
                int(message["due_ns"]),
                int(message["sequence"]),
            )
        elif kind == "arm":
            self._filter.arm()
            self._command = None  # what was asked for before a person armed does not move the robot
        elif kind in ("disarm", "stop", "quit"):
            self.disarm({"disarm": "disarmed", "stop": "goal reached", "quit": "runtime ended"}[kind])
            self.quit = kind == "quit"
        else:
            raise ValueError(f"unknown message '{kind}'")

    def disarm(self, cause: str) -> None:
        """Let nothing through any more, and say why in the status."""
        self._filter.disarm()
        self._command = None
        self._cause = cause

    def tick(self, at_ns: int) -> Allowed:
        """Filter the newest command and send the result to the drive.

        Raises:
            DeviceError: the drive has gone.
        """
        sensors = self._sensors
        if self._filter.armed and sensors is not None and at_ns - sensors.heard_ns > self._silence_ns:
            self.disarm("runtime silent")
        allowed = self._filter.filter(self._command, at_ns, sensors)
        if not self._filter.armed:
            allowed = Allowed(0.0, 0.0, self._cause)
        self._drive.command(allowed.v_mps, allowed.w_radps)
        self.allowed = allowed
        return allowed

    def status(self, at_ns: int) -> dict[str, Any]:
        """Return what the runtime logs: what the drive got, why, and for which command."""
        return {
            "type": "status",
            "time_ns": at_ns,
            "v_mps": self.allowed.v_mps,
            "w_radps": self.allowed.w_radps,
            "reason": self.allowed.reason,
            "armed": self._filter.armed,
            "sequence": -1 if self._command is None else self._command.sequence,
        }


def _integer(value: Any) -> int | None:
    return None if value is None else int(value)


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


def serve(link: socket.socket, guardian: Guardian) -> str:
    """Run until the runtime quits or its connection ends; returns which.

    Raises:
        DeviceError: the drive has gone; its own dead-man timeout stops the robot.
    """
    next_tick_ns, said_ns = now_ns(), 0
    said: dict[str, Any] = {}
    trace = GuardianTrace()
    while True:
        wait_s = max(0.0, (next_tick_ns - now_ns()) * 1e-9)
        readable, _, _ = select.select([link], [], [], wait_s)
        if readable and not _take(link, guardian, trace):
            return "connection ended"
        if guardian.quit:
            return "quit"
        at_ns = now_ns()
        if readable or at_ns >= next_tick_ns:  # a new command acts at once, not at the next tick
            guardian.tick(at_ns)
            trace.ticked(at_ns)
            next_tick_ns = at_ns + int(TICK_S * 1e9)
            status = guardian.status(at_ns)
            if at_ns - said_ns > HEARTBEAT_NS or _differs(status, said):
                if _say(link, {**status, "trace": trace.offer()}):
                    trace.sent()
                said_ns, said = at_ns, status


def _take(link: socket.socket, guardian: Guardian, trace: GuardianTrace) -> bool:
    """Handle what has arrived; False when the connection has ended or speaks nonsense."""
    try:
        packet = link.recv(MAX_MESSAGE_BYTES)
    except ConnectionResetError:
        return False  # killed with our statuses unread: an end like any other
    if not packet:
        return False
    try:
        message, at_ns = json.loads(packet), now_ns()
        guardian.handle(message, at_ns)
        trace.heard(at_ns, message)
    except (ValueError, KeyError, TypeError) as error:
        print(f"guardian: the runtime's connection is broken ({error}); stopping", file=sys.stderr)
        return False
    return True


def _differs(status: dict[str, Any], said: dict[str, Any]) -> bool:
    return any(status[key] != said.get(key) for key in ("v_mps", "w_radps", "reason", "armed", "sequence"))


def _say(link: socket.socket, message: dict[str, Any]) -> bool:
    """Send without ever waiting: a runtime that doesn't listen must not hold up the drive. False if it isn't sent."""
    try:
        link.send(json.dumps(message, separators=(",", ":")).encode(), socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
    except OSError:
        return False  # its silence, or the end of its connection, is noticed where messages are taken
    return True


def brake(guardian: Guardian, cause: str) -> None:
    """Disarm and send zeros for half a second, as far as the drive still listens."""
    guardian.disarm(cause)
    for _ in range(BRAKE_TICKS):
        try:
            guardian.tick(now_ns())
        except DeviceError:
            return
        select.select([], [], [], TICK_S)


def accept_runtime(path: Path, timeout_s: float = 30.0) -> socket.socket:
    """Wait at the path for the one runtime of this user.

    Raises:
        OSError: nobody came, or somebody else.
    """
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        listener.bind(str(path))
        path.chmod(0o600)
        listener.listen(1)
        listener.settimeout(timeout_s)
        link, _ = listener.accept()
    finally:
        listener.close()
        path.unlink(missing_ok=True)
    if not peer_is_self(link):
        link.close()
        raise PermissionError("the runtime belongs to another user")
    link.setblocking(True)
    return link


def main(arguments: list[str] | None = None) -> int:
    """Own the drive until the runtime is done; exit code 0 if it quit in order."""
    parser = argparse.ArgumentParser(prog="phonotaxis.deploy.guardian", description=__doc__.splitlines()[0])
    parser.add_argument("--config", type=Path, required=True, help="robot configuration as JSON")
    parser.add_argument("--socket", type=Path, required=True, help="where to wait for the runtime")
    options = parser.parse_args(arguments)
    # Ctrl-C reaches every process of the terminal: the runtime decides what it means, the guardian stays
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        robot = robot_from_json(options.config.read_text(), str(options.config))
        link = accept_runtime(options.socket)
        drive = open_drive(robot)
    except (ConfigError, DeviceError, OSError) as error:
        print(f"guardian: {error}", file=sys.stderr)
        return 1
    guardian = Guardian(robot, drive)
    _say(link, {"type": "ready", "dead_man_ms": drive.dead_man_ms, "forbidden": forbidden_modules()})
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        how = serve(link, guardian)
    except DeviceError as error:
        print(f"guardian: {error}", file=sys.stderr)
        how = "drive gone"
    finally:
        brake(guardian, "runtime ended")
        drive.close()
        link.close()
    return 0 if how == "quit" else 1


if __name__ == "__main__":
    raise SystemExit(main())
