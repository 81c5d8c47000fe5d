"""A Waveshare UGV's controller board at the far end of a serial line: the firmware's side of the protocol.

It takes T 1 (the wheels' speeds), T 13 (the robot's), T 136 (dead man), T 131 and T 142 (feedback), as the vendor's
ugv_base_ros does. Its dead man stops the wheels when no T 1 has come for its time, 3 s until it is told otherwise; once
it has, it waits for the next T 1. T 13 turns the wheels and doesn't feed it. A wheel over 2 m/s is passed over.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import pty
import select
import threading
import time
import tty
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FIRMWARE_DEAD_MAN_MS = 3000.0
MAX_WHEEL_MPS = 2.0
_POLL_S = 0.002


@dataclass(frozen=True)
class WheelEvent:
    """A change at the wheels.

    Attributes:
        time_ns: monotonic.
        v_mps: speed from then on.
        w_radps: likewise.
        cause: `command`, `dead_man` or `power`.
    """

    time_ns: int
    v_mps: float
    w_radps: float
    cause: str


class Chassis:
    """The board on a pseudo-terminal; `port` is a link to its near end, as udev names a real one.

    Attributes:
        dead_man_ms: as it was told last.
        events: changes of the wheels' speeds.
        arrivals: monotonic time of each T 1 or T 13 with the robot's speeds, to 0.1 mm/s and 0.1 mrad/s.
        refused: lines that it didn't understand.
        encoders: whether it has any; its reports lack the ways of the wheels without.
    """

    def __init__(
        self,
        port: Path,
        odometers: Callable[[int], tuple[float, float]] | None = None,
        noise: bytes = b"",
        track_m: float = 0.172,
    ) -> None:
        """Start the board.

        Args:
            port: where the link is made.
            odometers: the way of the left and the right wheel at a monotonic time, metres; None leaves both at 0.
            noise: sent before every feedback line.
            track_m: between the wheels' middles.
        """
        self._port, self._noise, self._track_m = port, noise, track_m
        self._odometers = odometers or (lambda at_ns: (0.0, 0.0))
        self._lock = threading.Lock()
        self._master = self._slave = -1
        self._on = True
        self._reset()
        self.events: list[WheelEvent] = []
        self.arrivals: list[tuple[int, float, float]] = []
        self.refused = 0
        self.encoders = True
        self._closing = threading.Event()
        self.plug()
        self._thread = threading.Thread(target=self._run, name="chassis", daemon=True)
        self._thread.start()

    def _reset(self) -> None:
        self.dead_man_ms = FIRMWARE_DEAD_MAN_MS
        self._speeds = (0.0, 0.0)
        self._fed_ns, self._fired = time.monotonic_ns(), False
        self._feedback_ns: int | None = None
        self._interval_ns = 100_000_000
        self._rest = b""

    def plug(self) -> None:
        """Connect the serial line."""
        master, slave = pty.openpty()
        tty.setraw(slave)
        os.set_blocking(master, False)
        with self._lock:
            self._master, self._slave, self._rest = master, slave, b""
        self._port.unlink(missing_ok=True)
        self._port.symlink_to(os.ttyname(slave))

    def unplug(self) -> None:
        """Pull the cable: the port vanishes; the board runs on, from its battery."""
        self._port.unlink(missing_ok=True)
        with self._lock:
            for descriptor in (self._master, self._slave):
                with contextlib.suppress(OSError):
                    os.close(descriptor)
            self._master = self._slave = -1
            self._feedback_ns = None

    def switch(self, on: bool) -> None:
        """Cut its power, or give it back: then it knows nothing any more. The port on the computer's side stays."""
        self._on = on
        self._turn_wheels(time.monotonic_ns(), 0.0, 0.0, "power")
        self._reset()

    def _run(self) -> None:
        while not self._closing.is_set():
            with self._lock:
                master = self._master
            if master < 0:
                time.sleep(_POLL_S)
            else:
                try:
                    readable, _, _ = select.select([master], [], [], _POLL_S)
                    if readable:
                        self._take(os.read(master, 4096))
                except (OSError, ValueError):
                    time.sleep(_POLL_S)
            self._watch(time.monotonic_ns())

    def _take(self, data: bytes) -> None:
        if not self._on:
            return
        at_ns = time.monotonic_ns()
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            try:
                self._obey(json.loads(line), at_ns)
            except (ValueError, KeyError, TypeError):
                self.refused += 1

    def _obey(self, message: dict[str, Any], at_ns: int) -> None:
        kind = message["T"]
        if kind == 1:
            left, right = float(message["L"]), float(message["R"])
            self._fed_ns, self._fired = at_ns, False
            self._command(at_ns, (left + right) / 2.0, (right - left) / self._track_m)
        elif kind == 13:
            self._command(at_ns, float(message["X"]), float(message["Z"]))
        elif kind == 136:
            self.dead_man_ms = float(message["cmd"])
        elif kind == 131:
            self._feedback_ns = at_ns if message["cmd"] else None
        elif kind == 142:
            self._interval_ns = int(message["cmd"]) * 1_000_000

    def _command(self, at_ns: int, v: float, w: float) -> None:
        v, w = round(v, 4), round(w, 4)
        self.arrivals.append((at_ns, v, w))
        if abs(v) + abs(w) * self._track_m / 2.0 <= MAX_WHEEL_MPS + 1e-4:
            self._turn_wheels(at_ns, v, w, "command")

    def _turn_wheels(self, at_ns: int, v: float, w: float, cause: str) -> None:
        if (v, w) != self._speeds and math.isfinite(v) and math.isfinite(w):
            self._speeds = (v, w)
            self.events.append(WheelEvent(at_ns, v, w, cause))

    def _watch(self, at_ns: int) -> None:
        if not self._on:
            return
        if not self._fired and at_ns - self._fed_ns > self.dead_man_ms * 1e6:
            self._fired = True
            self._turn_wheels(at_ns, 0.0, 0.0, "dead_man")
        if self._feedback_ns is not None and at_ns >= self._feedback_ns:
            self._feedback_ns = at_ns + self._interval_ns
            self.report(at_ns)

    def report(self, at_ns: int) -> None:
        """Send one line of feedback with the odometers of a time, unless the power is cut."""
        if not self._on:
            return
        said: dict[str, float] = {"T": 1001, "L": 0, "R": 0, "v": 12.0}
        if self.encoders:
            left_m, right_m = self._odometers(at_ns)
            said |= {"odl": round(left_m, 6), "odr": round(right_m, 6)}
        line = json.dumps(said)
        with self._lock, contextlib.suppress(OSError):
            if self._master >= 0:
                os.write(self._master, self._noise + line.encode() + b"\r\n")

    def mean_speeds(self, start_ns: int, end_ns: int) -> tuple[float, float]:
        """Return the time-weighted speeds of a window; the newest counts to its end."""
        v = w = 0.0
        events = list(self.events)
        for i, event in enumerate(events):
            until_ns = events[i + 1].time_ns if i + 1 < len(events) else end_ns
            share = max(0, min(until_ns, end_ns) - max(event.time_ns, start_ns)) / (end_ns - start_ns)
            v, w = v + share * event.v_mps, w + share * event.w_radps
        return v, w

    def stopped_ns(self, after_ns: int) -> int | None:
        """Return when the wheels stood still for good after a time; None while they turn."""
        events = [event for event in list(self.events) if event.time_ns >= after_ns]
        if not events:
            before = [event for event in list(self.events) if event.time_ns < after_ns]
            still = not before or (before[-1].v_mps, before[-1].w_radps) == (0.0, 0.0)
            return after_ns if still else None
        last = events[-1]
        return last.time_ns if (last.v_mps, last.w_radps) == (0.0, 0.0) else None

    def close(self) -> None:
        """Switch the board off."""
        self._closing.set()
        self._thread.join(2.0)
        self.unplug()
