"""A simulated robot behind the devices of a real one: the simulator's end of the wire, in real time.

It listens on a Unix-domain socket (`configs/wire.py`), delivers sound, depth and odometry when they are due,
and obeys the drive, which stops by itself when its commands cease. Time starts when both the sensors and the
drive are connected. A window of one control period is rendered as a whole soon after it began: what the drive
was told by then decides the robot's way, later changes count in the next window.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np

from phonotaxis.configs import presets, wire
from phonotaxis.configs.base import ConfigError
from phonotaxis.configs.contract import Contract

BLOCK_S = 0.05
DECISION_S = 0.04  # after a window began: the command that the last window provoked has come by then
START_DELAY_NS = 50_000_000
NS_PER_S = 1_000_000_000


@dataclass(frozen=True, eq=False)
class WindowResult:
    """What a robot senses in one control period.

    Attributes:
        audio_int16: int16 [device_channels, hop], converter codes.
        depth_m: float32 [height, width] at the window's end, metres; 0 = unknown.
        pose: x, y, yaw at the window's end, world, metres and radians.
        odometry: dx, dy, dyaw over the window, in the base frame at its start.
        collision: the body touched something.
        distance_to_goal_m: geodesic, at the window's end.
        extra: further truth for the record, JSON-able.
    """

    audio_int16: np.ndarray
    depth_m: np.ndarray
    pose: tuple[float, float, float]
    odometry: tuple[float, float, float]
    collision: bool
    distance_to_goal_m: float
    extra: dict[str, Any] = field(default_factory=dict)


class SimulatedWorld(Protocol):
    """A world with one robot in it, advanced by whole control periods."""

    contract: Contract

    def start(self) -> WindowResult:
        """Return the first window, at rest."""
        ...

    def hold(self, v_mps: float, w_radps: float) -> WindowResult:
        """Hold a setpoint for one control period."""
        ...


class Drive:
    """The simulated motor controller: holds the last command, and nothing once its dead-man time is over."""

    def __init__(self, dead_man_ms: float) -> None:
        self._dead_man_ns = int(dead_man_ms * 1e6)
        self._lock = threading.Lock()
        self._commands: list[tuple[int, float, float]] = []

    def command(self, at_ns: int, v_mps: float, w_radps: float) -> None:
        """Take a command that arrived at a time."""
        with self._lock:
            self._commands.append((at_ns, v_mps, w_radps))

    def mean_setpoint(self, start_ns: int, end_ns: int) -> tuple[float, float]:
        """Return the time-weighted speeds of a window; forgets all but the newest command.

        A command counts from its arrival until the next one, at most for the dead-man time. The newest counts
        to the window's end, since it is expected to be repeated; not at all if it was too old at its start.
        """
        with self._lock:
            commands = list(self._commands)
            self._commands = commands[-1:]
        v = w = 0.0
        for i, (at_ns, v_mps, w_radps) in enumerate(commands):
            last = i + 1 == len(commands)
            until_ns = end_ns if last else min(commands[i + 1][0], at_ns + self._dead_man_ns)
            if last and at_ns + self._dead_man_ns <= start_ns:
                break
            share = max(0, min(until_ns, end_ns) - max(at_ns, start_ns)) / (end_ns - start_ns)
            v, w = v + share * v_mps, w + share * w_radps
        return v, w


class RobotServer:
    """Serves one robot to one client, then ends."""

    def __init__(
        self, world: SimulatedWorld, path: Path, truth: Path | None = None, dead_man_ms: float = 300.0
    ) -> None:
        """Listen at a path.

        Args:
            world: what to simulate.
            path: of the socket; its folder must be this user's alone (made 0700 if absent).
            truth: file of JSON lines: each window's time, pose, speeds and distance, for scoring.
            dead_man_ms: of the drive.

        Raises:
            wire.WireError: the path can't be listened at.
            OSError: the truth's file can't be written.
        """
        self._world, self._path = world, path
        self._drive = Drive(dead_man_ms)
        self._truth: IO[str] | None = truth.open("w", encoding="utf-8") if truth else None
        self._listener = wire.listen(path)
        self._drive_gone = threading.Event()
        self._contract = world.contract

    def serve(self, duration_s: float, connect_timeout_s: float = 60.0) -> int:
        """Serve until the duration is over or the client has gone and the robot stands; returns the windows.

        Raises:
            wire.WireError: nobody connected in time.
        """
        with contextlib.ExitStack() as stack:
            stack.callback(self._close)
            links = self._accept(time.monotonic() + connect_timeout_s)
            for link in links.values():
                stack.callback(link.close)
            reader = threading.Thread(target=self._read_drive, args=(links["drive"],), daemon=True)
            reader.start()
            return self._windows(links["sensors"], duration_s)

    def _accept(self, deadline_s: float) -> dict[str, socket.socket]:
        """Wait for a connection of each role, from this user's processes only."""
        links: dict[str, socket.socket] = {}
        while len(links) < 2:
            self._listener.settimeout(max(0.01, deadline_s - time.monotonic()))
            try:
                link, _ = self._listener.accept()
            except TimeoutError:
                missing = sorted({"sensors", "drive"} - set(links))
                raise wire.WireError(f"{self._path}: nobody connected as {' and '.join(missing)}") from None
            role = self._role(link)
            if role in ("sensors", "drive") and role not in links:
                links[role] = link
            else:
                link.close()
        return links

    def _role(self, link: socket.socket) -> str:
        link.settimeout(5.0)
        try:
            header, _ = wire.receive(link)
        except wire.WireError:
            return ""
        link.settimeout(None)
        return str(header.get("role")) if wire.peer_is_self(link) and header["type"] == "hello" else ""

    def _read_drive(self, link: socket.socket) -> None:
        told: tuple[float, float] | None = None
        while True:
            try:
                header, _ = wire.receive(link)
                v, w = float(header["v_mps"]), float(header["w_radps"])
            except (wire.WireError, KeyError, TypeError, ValueError):
                self._drive_gone.set()
                return
            at_ns = time.monotonic_ns()
            if np.isfinite((v, w)).all():
                self._drive.command(at_ns, v, w)
            if (v, w) != told:
                told = (v, w)
                self._tell({"type": "drive", "time_ns": at_ns, "v_mps": v, "w_radps": w})

    def _windows(self, sensors: socket.socket, duration_s: float) -> int:
        period_ns = self._contract.control_period_ns
        begin_ns = time.monotonic_ns() + START_DELAY_NS
        result, v, w = self._world.start(), 0.0, 0.0
        connected, count = True, 0
        while True:
            start_ns = begin_ns + count * period_ns
            rendered_ms = (time.monotonic_ns() - start_ns) * 1e-6 if count else 0.0
            connected = connected and self._deliver(sensors, result, count, start_ns)
            self._record(result, count, start_ns + period_ns, v, w, rendered_ms, connected)
            count += 1
            at_rest = not connected and self._drive_gone.is_set() and v == 0.0 and w == 0.0
            if at_rest or count * period_ns >= duration_s * NS_PER_S:
                return count
            start_ns += period_ns
            _sleep_until(start_ns + int(DECISION_S * NS_PER_S))
            v, w = self._drive.mean_setpoint(start_ns, start_ns + period_ns)
            result = self._world.hold(v, w)

    def _deliver(self, link: socket.socket, result: WindowResult, count: int, start_ns: int) -> bool:
        """Send a window's data when they are due; False once nobody listens."""
        rate, hop = self._contract.sample_rate_hz, self._contract.hop_samples
        end_ns = start_ns + self._contract.control_period_ns
        try:
            for first, samples in _blocks(result.audio_int16, max(1, round(BLOCK_S * rate))):
                last = first + samples.shape[1]
                _sleep_until(start_ns + last * NS_PER_S // rate)
                if last == hop:
                    self._send_scene(link, result, end_ns)
                description, payload = wire.array_payload(samples)
                header = {
                    "type": "audio",
                    "first_sample": count * hop + first,
                    "capture_ns": start_ns + first * NS_PER_S // rate,
                }
                wire.send(link, {**header, **description}, payload)
        except wire.WireError:
            return False
        return True

    def _send_scene(self, link: socket.socket, result: WindowResult, end_ns: int) -> None:
        """Send depth and odometry, which precede the window's last samples so that its step sees them."""
        description, payload = wire.array_payload(np.asarray(result.depth_m, dtype=np.float32))
        wire.send(link, {"type": "depth", "capture_ns": end_ns, **description}, payload)
        dx, dy, dyaw = (float(value) for value in result.odometry)
        motion = {"dx_m": dx, "dy_m": dy, "dyaw_rad": dyaw, "collision": bool(result.collision)}
        wire.send(link, {"type": "odometry", "capture_ns": end_ns, **motion})

    def _record(
        self,
        result: WindowResult,
        count: int,
        end_ns: int,
        v: float,
        w: float,
        rendered_ms: float,
        connected: bool,
    ) -> None:
        x, y, yaw = (float(value) for value in result.pose)
        self._tell(
            {
                "type": "window",
                "window": count,
                "time_ns": end_ns,
                "x_m": x,
                "y_m": y,
                "yaw_rad": yaw,
                "v_mps": v,
                "w_radps": w,
                "collision": bool(result.collision),
                "distance_to_goal_m": float(result.distance_to_goal_m),
                "rendered_after_ms": rendered_ms,
                "connected": connected,
                **result.extra,
            }
        )

    def _tell(self, fact: dict[str, Any]) -> None:
        if self._truth is not None and not self._truth.closed:
            self._truth.write(json.dumps(fact) + "\n")
            self._truth.flush()

    def _close(self) -> None:
        self._listener.close()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._path)
        if self._truth is not None:
            self._truth.close()


def _blocks(samples: np.ndarray, size: int) -> Iterator[tuple[int, np.ndarray]]:
    for first in range(0, samples.shape[1], size):
        yield first, samples[:, first : first + size]


def _sleep_until(time_ns: int) -> None:
    left_s = (time_ns - time.monotonic_ns()) * 1e-9
    if left_s > 0:
        time.sleep(left_s)


def main(arguments: list[str] | None = None) -> int:
    """Serve an episode of a task; prints one JSON line once it listens, so that a caller can wait for it."""
    parser = argparse.ArgumentParser(prog="phonotaxis.envs.simulated_robot", description=__doc__)
    parser.add_argument("--task", default="audiogoal", help="name of a task, or a .yaml file")
    parser.add_argument("--seed", type=int, default=0, help="of the episode: scene, source, sound and start")
    parser.add_argument("--socket", default="phonotaxis/robot.sock", help="where to listen")
    parser.add_argument("--truth", type=Path, help="file of JSON lines for the truth")
    parser.add_argument("--duration", type=float, default=600.0, help="seconds at most")
    parser.add_argument("--dead-man-ms", type=float, default=300.0, help="of the drive")
    options = parser.parse_args(arguments)
    # the simulator is loaded here alone: the server above serves any world
    from phonotaxis.configs.task import AudioGoalTask
    from phonotaxis.envs.simulated_world import WorldRobot

    try:
        world = WorldRobot(presets.load("tasks", options.task, AudioGoalTask), options.seed)
        path = wire.socket_path(options.socket)
        server = RobotServer(world, path, options.truth, options.dead_man_ms)
        print(json.dumps({"listening": str(path)}), flush=True)
        server.serve(options.duration)
    except (ConfigError, wire.WireError, OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
