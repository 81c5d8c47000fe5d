"""Waveshare's UGV chassis over a serial port: one JSON object a line, each way.

Commands as in its wiki, "Sub-controller JSON Command Set": T 1 sets the wheels' speeds L and R in m/s, T 136 the dead
man in milliseconds, T 131 switches the feedback on, T 142 sets its interval, T 143 the echo. Feedback is T 1001 with
the way of each wheel in `odl` and `odr` and the bus voltage in `v`.

Not T 13, which takes X m/s and Z rad/s: in the firmware of boards with encoders (ugv_base_ros, uart_ctrl.h) it doesn't
feed the dead man, which fires once after T 1 or T 11 and then no more, so that wheels told by T 13 turn on for ever.
T 136 sets the time alone, feeds nothing, and is forgotten when the board is switched off. A board without encoders
(ugv_base_general) takes L and R for shares of its power, 0.5 being all of it, and reports no way: it isn't for this,
and three reports in a row without a way say that it is one.
"""

from __future__ import annotations

import contextlib
import json
import math
from typing import TYPE_CHECKING, Any

from phonotaxis.deploy.clock import now_ns
from phonotaxis.deploy.devices import DeviceError, DriveGone, OdometrySample
from phonotaxis.deploy.jetson.drives.lines import LineBuffer
from phonotaxis.deploy.jetson.drives.reader import PortReader
from phonotaxis.deploy.jetson.drives.serial_port import PortBusy, SerialPort
from phonotaxis.deploy.jetson.drives.silence import Silence
from phonotaxis.deploy.jetson.drives.wheels import WheelOdometry

if TYPE_CHECKING:
    from phonotaxis.configs.devices import WaveshareDrive

FEEDBACK = 1001
FEEDBACK_INTERVAL_MS = 20
RETRY_NS = 200_000_000
MAX_WHEEL_MPS = 2.0  # the firmware passes over a faster wheel, both speeds stay as they were, and the dead man is fed
SILENT_NS = 500_000_000  # twenty-five reports
WITHOUT_WAYS = 3  # reports in a row: a line that came to harm is alone, and mostly isn't JSON any more
BOOT_NS = 3_000_000_000  # opening a USB port may reset the board
_RENEW_NS = 1_000_000_000


class Waveshare:
    """The chassis. Its dead man is set when the port opens, and again each second: the board may have been reset.

    One that says nothing may be without power and would drive off when it is back, so that it counts as gone, and isn't
    told to move, until it reports. So does one whose reports have no ways of wheels: it has no encoders.

    Attributes:
        dead_man_ms: without a command for so long its firmware stops the wheels.
        noise: lines that weren't feedback.
    """

    def __init__(self, config: WaveshareDrive, dead_man_ms: float, shadow: bool = False) -> None:
        """Open the port for this process alone.

        Args:
            config: its port.
            dead_man_ms: to be set.
            shadow: a person drives by other means: feedback is asked for, and nothing else. The dead man stays theirs.

        Raises:
            DeviceError: it isn't there, or another process holds it.
        """
        self._config, self.dead_man_ms, self._shadow = config, dead_man_ms, shadow
        self._port: SerialPort | None = None
        self._reader: PortReader | None = None
        self._tried_ns = self._renewed_ns = self._heard_ns = 0
        self._lines, self._wheels = LineBuffer(), WheelOdometry(config.track_m)
        self._silence = Silence(SILENT_NS, None)
        self._motions: list[OdometrySample] = []
        self._without_ways = 0
        self._reported = False  # since the port was opened
        self.noise = 0
        self._open()

    def _open(self) -> None:
        self._tried_ns = now_ns()
        name = self._config.port
        try:
            port = SerialPort(name, self._config.baud)
        except (OSError, ValueError) as error:
            busy = isinstance(error, PortBusy)
            hint = "another program holds it; end that" if busy else "check devices.drive.port, the cable and the group"
            raise DeviceError(f"{name}: can't open the drive's port ({error}); {hint}") from None
        self._port, self._reader = port, PortReader(port)
        self._lines, self._wheels = LineBuffer(), WheelOdometry(self._config.track_m)
        self._silence, self._without_ways = Silence(SILENT_NS, self._tried_ns + BOOT_NS), 0
        self._reported = False
        self._set_up(self._tried_ns)

    def _set_up(self, at_ns: int) -> None:
        if not self._shadow:
            self._write_line(b"\n")  # half a line that was left in the board would take the first one with it
            self._write({"T": 136, "cmd": int(self.dead_man_ms)})
        self._write({"T": 143, "cmd": 0})
        self._write({"T": 142, "cmd": FEEDBACK_INTERVAL_MS})
        self._write({"T": 131, "cmd": 1})
        self._renewed_ns = at_ns

    def command(self, v_mps: float, w_radps: float) -> None:
        """Read what the chassis has said, and set both speeds.

        Nothing turns before it has reported once, with its dead man set behind that.

        Raises:
            DriveGone: the port has gone, and a later call opens it again and sets the dead man first; or the chassis
                has fallen silent, and a later call finds that it reports again; or it has no encoders.
        """
        at_ns = self._ready()
        self._read()
        silent = self._silence.asked(at_ns)
        if at_ns - self._renewed_ns > _RENEW_NS:
            self._renew(at_ns, silent or not self._reported)
        if self._without_ways >= WITHOUT_WAYS:
            raise DriveGone(
                f"{self._config.port}: the chassis reports no ways of its wheels (odl, odr), as boards without "
                "encoders do, which take m/s for shares of their power; it isn't driven: take a board with encoders "
                "and Waveshare's firmware ugv_base_ros"
            )
        if silent:
            raise DriveGone(
                f"{self._config.port}: the chassis has said nothing for {SILENT_NS / 1e9:g} s: is it switched on, and "
                "are devices.drive.port and baud its own?"
            )
        if self._reported:
            self._turn(v_mps, w_radps)
        else:  # it may still be starting, its dead man unset
            self._turn(0.0, 0.0)

    def _renew(self, at_ns: int, forgotten: bool) -> None:
        """Set the dead man again; a board that was switched off, or has just begun, has forgotten the rest, too."""
        if forgotten:
            self._set_up(at_ns)
            return
        self._write({"T": 136, "cmd": int(self.dead_man_ms)})
        self._renewed_ns = at_ns

    def _turn(self, v_mps: float, w_radps: float) -> None:
        """Set the wheels' speeds; too fast for the firmware, both are slowed alike, which keeps the curve."""
        half_mps = w_radps * self._config.track_m / 2.0
        left_mps, right_mps = v_mps - half_mps, v_mps + half_mps
        over = max(1.0, abs(left_mps) / MAX_WHEEL_MPS, abs(right_mps) / MAX_WHEEL_MPS)
        self._write({"T": 1, "L": round(left_mps / over, 6), "R": round(right_mps / over, 6)})

    def fileno(self) -> int:
        """Return what tells that the chassis has said something, -1 while the port has gone."""
        return -1 if self._reader is None else self._reader.fileno()

    def listen(self) -> None:
        """Take what the chassis has said; whoever else drives it isn't disturbed.

        A shadow asks for feedback again where none comes: nobody else does when the board has been switched off.

        Raises:
            DriveGone: as in `command`.
        """
        at_ns = self._ready()
        self._read()
        if self._shadow and at_ns - max(self._heard_ns, self._renewed_ns) > _RENEW_NS:
            self._reported = False
            self._set_up(at_ns)

    def _ready(self) -> int:
        at_ns = now_ns()
        if self._port is None:
            self._reopen(at_ns)
        return at_ns

    def _reopen(self, at_ns: int) -> None:
        if at_ns - self._tried_ns < RETRY_NS:
            raise DriveGone(f"{self._config.port}: the drive's port has gone")
        try:
            self._open()
        except DriveGone:
            raise
        except DeviceError as error:
            raise DriveGone(str(error)) from None

    def _write(self, message: dict[str, Any]) -> None:
        self._write_line(json.dumps(message, separators=(",", ":")).encode() + b"\n")

    def _write_line(self, data: bytes) -> None:
        assert self._port is not None
        try:
            written = self._port.write(data)
        except OSError as error:
            self._lose(error)
        else:
            if written != len(data):
                self._lose(OSError(f"it took {written} of {len(data)} bytes"))

    def _read(self) -> None:
        assert self._reader is not None
        for at_ns, data in self._reader.take():
            for line in self._lines.feed(data):
                self._take(line, at_ns)
        if self._reader.failed:
            self._lose(OSError(self._reader.failed))

    def _take(self, line: bytes, at_ns: int) -> None:
        try:
            said = json.loads(line)
            if said["T"] != FEEDBACK:
                return
            self._heard_ns = at_ns
            if self._silence.heard(at_ns) or not self._reported:  # it may have begun anew, its odometers at 0
                self._reported = True
                self._wheels = WheelOdometry(self._config.track_m)
                self._set_up(at_ns)  # and its dead man forgotten, before it is told to move
            self._without_ways = 0 if {"odl", "odr"} <= said.keys() else self._without_ways + 1
            unit_m = self._config.odometer_unit_m
            left_m, right_m = float(said["odl"]) * unit_m, float(said["odr"]) * unit_m
        except (ValueError, KeyError, TypeError, RecursionError, OverflowError):
            self.noise += 1
            return
        if not (math.isfinite(left_m) and math.isfinite(right_m)):
            self.noise += 1
            return
        moved = self._wheels.moved(left_m, right_m)
        if moved is not None:
            self._motions.append(OdometrySample(*moved, collision=False, capture_ns=at_ns))

    def _lose(self, error: OSError) -> None:
        if self._reader is not None:
            self._reader.close()
        self._port = self._reader = None
        self._tried_ns = now_ns()
        raise DriveGone(f"{self._config.port}: the drive's port has gone ({error}); its dead man stops the wheels")

    def motions(self) -> list[OdometrySample]:
        """Return the odometry since the last call."""
        motions, self._motions = self._motions, []
        return motions

    def close(self) -> None:
        """Stop the wheels, unless a person drives them, and let go of the port."""
        if self._port is not None and not self._shadow:
            with contextlib.suppress(DriveGone):
                self._turn(0.0, 0.0)
        if self._reader is not None:
            self._reader.close(wait=True)
        self._port = self._reader = None
