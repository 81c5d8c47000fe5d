"""The guardian: the process that alone owns the drive.

It starts disarmed, arms only by an explicit message (a person's act), passes every command through the safety
filter fifty times a second, and stops the drive when the runtime falls silent or its connection ends, which
also disarms. A tick that comes more than 60 ms late brakes: what was asked for then is old. It imports the standard
library and numpy alone, its garbage collector is frozen, and where the system permits it is scheduled before all
ordinary processes and never paged out. A software stop is no safety function: a robot also needs a switch that
cuts the power of its motors.

Messages are JSON, one a packet, over a SOCK_SEQPACKET socket that only this user can reach. To the guardian:
`arm`, `disarm`, `sensors` (ages and clearance), `command` (setpoint), `stop` (the policy ends the goal) and
`quit`. From it: `ready`, then `status` at every change and at least ten times a second, `odometry` where the drive
delivers any, and a `notice` of the arm button's, or of why the drive has gone. A person reaches it beside the runtime:
`control.py`, `arm_button.py`.
"""

from __future__ import annotations

import argparse
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from phonotaxis.configs.config_error import ConfigError
from phonotaxis.deploy.arm_button import ArmButton
from phonotaxis.deploy.clock import now_ns
from phonotaxis.deploy.control import Control, control_path
from phonotaxis.deploy.devices import DeviceError, DriveDevice, DriveGone, OdometrySample, open_drive
from phonotaxis.deploy.emergency_stop import EmergencyStop, latch_path
from phonotaxis.deploy.forbidden import forbidden_modules
from phonotaxis.deploy.guardian_service import GOAL_REACHED, TICK_S, accept_runtime, brake, say, serve
from phonotaxis.deploy.plain_robot import plain_robot
from phonotaxis.deploy.realtime import be_punctual, freeze_garbage
from phonotaxis.deploy.safety import LATER, Allowed, Command, SafetyFilter, SensorState

if TYPE_CHECKING:
    from phonotaxis.configs.robot import RobotConfig

LATE_NS = 60_000_000
_TICK_NS = int(TICK_S * 1e9)


class Guardian:
    """Turns messages and time into drive commands; one `tick` a call."""

    def __init__(
        self,
        robot: RobotConfig,
        drive: DriveDevice,
        emergency: EmergencyStop | None = None,
        shadow: bool = False,
    ) -> None:
        """Start disarmed.

        Args:
            robot: its limits.
            drive: which nobody else has.
            emergency: the latch; None in tests of what has nothing to do with it.
            shadow: a person drives by other means: the drive is read and never commanded.
        """
        self._filter = SafetyFilter(robot)
        self._drive = drive
        self._emergency, self._shadow = emergency, shadow
        self._limits = robot.safety
        self._command: Command | None = None
        self._sensors: SensorState | None = None
        self._ticked_ns: int | None = None
        self._armed_ns = 0
        self._cause = "disarmed"
        self._gone = False
        self._forbidden = False  # a person said so, and none has armed since
        self.older = False  # as before a person's word held against the runtime's: for the replay of logs of then
        self.notices: list[str] = []  # of the drive, for the runtime to log and say
        self.motions: list[OdometrySample] = []
        self.allowed = Allowed(0.0, 0.0, "disarmed")
        self.quit = False

    def handle(self, message: dict[str, Any], at_ns: int) -> bool:
        """Take one message of the runtime; returns whether the drive should hear of it before the next tick.

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
                *(_number(message.get(name, old)) or 0.0 for name, old in LATER.items()),
            )
            return False
        if kind == "command":
            self._command = Command(
                float(message["v_mps"]),
                float(message["w_radps"]),
                int(message["due_ns"]),
                int(message["sequence"]),
            )
        elif kind == "arm":
            if not self._forbidden or self.older:  # the runtime's word is that of its start, --arm
                self.arm(at_ns)
        elif kind in ("disarm", "stop", "quit"):
            self.disarm({"disarm": "disarmed", "stop": GOAL_REACHED, "quit": "runtime ended"}[kind])
            self.quit = kind == "quit"
        else:
            raise ValueError(f"unknown message '{kind}'")
        return True

    def arm(self, at_ns: int) -> str:
        """Let commands through from now on, unless the emergency stop is latched; returns why not, or nothing."""
        if self._shadow:
            return "this run is a shadow: a person drives, and the policy only looks on"
        if self._emergency is not None and self._emergency.reason:
            self._cause = "emergency stop"
            return f"the emergency stop is latched ({self._emergency.reason}); look at the robot, then release it"
        if not self._filter.armed:
            self._filter.arm()
            self._armed_ns = at_ns
            self._command = None  # what was asked for before a person armed does not move the robot
        return ""

    def disarm(self, cause: str) -> None:
        """Let nothing through any more, and say why in the status."""
        self._filter.disarm()
        self._command = None
        self._cause = cause

    def person(self, request: str, at_ns: int) -> tuple[bool, str]:
        """Do what a person asks for; returns whether it was done, and what to tell."""
        if request == "arm":
            self._forbidden = False
            return self._arm_for_person(at_ns)
        if request in ("disarm", "emergency_stop"):
            self._forbidden = True
        if request == "disarm":
            self.disarm("disarmed by a person")
            return True, "disarmed"
        if request == "emergency_stop":
            self.disarm("emergency stop")
            try:
                self._send(0.0, 0.0)  # before the file is written, which may take its time
            finally:  # a drive that goes for good ends this process, and the latch must outlive it
                latched = self._latch("a person pressed it")
            return latched
        if request == "release":
            return self._release()
        if request == "status":
            return True, f"{'armed' if self._filter.armed else 'disarmed'}: {self.allowed.reason}"
        return False, "this is no request to a guardian"

    def _arm_for_person(self, at_ns: int) -> tuple[bool, str]:
        """Arm, and look at once for what the next tick would disarm for: who armed goes away."""
        refusal = self.arm(at_ns)
        if refusal:
            return False, refusal
        self._find_stale(at_ns)
        if self._gone and self._filter.armed:
            self._send(0.0, 0.0)  # it may be back; where it isn't, this disarms
        if not self._filter.armed:
            return False, f"not armed: {self._cause}; mend that, then arm again"
        return True, "armed: the robot may move"

    def _latch(self, reason: str) -> tuple[bool, str]:
        kept = True
        if self._emergency is not None:
            self._emergency.latch(reason)
            kept = self._emergency.kept
        if self._shadow:
            latched = "latched for the next run" if kept else "IT COULD NOT BE LATCHED for the next run"
            nothing = "NOTHING WAS STOPPED: this run is a shadow; stop whatever drives it, or cut the motors' power"
            return False, f"{latched}; {nothing}"
        if self._emergency is None:
            return True, "stopped and disarmed"
        forgotten = "" if kept else "; IT COULD NOT BE WRITTEN DOWN and a restart would forget it"
        return True, f"emergency stop latched{forgotten}"

    def _release(self) -> tuple[bool, str]:
        try:
            if self._emergency is not None:
                self._emergency.release()
        except OSError as error:
            return False, f"the latch can't be removed ({error})"
        self._cause = "disarmed"
        return True, "released; the robot stays disarmed until somebody arms it"

    def tick(self, at_ns: int) -> Allowed:
        """Filter the newest command and send the result to the drive.

        Raises:
            DeviceError: the drive has gone for good.
        """
        late = self._watch(at_ns)
        allowed = self._filter.filter(None if late else self._command, at_ns, self._sensors)
        if not self._filter.armed:
            allowed = Allowed(0.0, 0.0, self._cause)
        if not self._send(allowed.v_mps, allowed.w_radps):
            allowed = Allowed(0.0, 0.0, self._cause)
        self.allowed = allowed
        return allowed

    def _watch(self, at_ns: int) -> bool:
        """Disarm where something has been wrong for long; returns whether this tick is late, and so brakes.

        A command from before the gap is dropped; one that came in it counts from the next tick on.
        """
        last_ns, self._ticked_ns = self._ticked_ns, at_ns
        late = last_ns is not None and at_ns - last_ns > _TICK_NS + LATE_NS
        if late:
            self._filter.brake("late tick")
            if self._command is not None and last_ns is not None and self._command.due_ns < last_ns:
                self._command = None
        self._find_stale(at_ns)
        return late

    def _find_stale(self, at_ns: int) -> None:
        if not self._filter.armed:
            return
        # what has never come is as old as the arming: it may come much later, and must move nothing by itself then
        sensors = self._sensors or SensorState(None, None, None, self._armed_ns)
        if at_ns - sensors.heard_ns > self._limits.runtime_silence_ms * 1e6:
            self.disarm("runtime silent")
            return
        for name, then_ns in (("audio", sensors.audio_ns), ("depth", sensors.depth_ns)):
            if at_ns - (self._armed_ns if then_ns is None else then_ns) > self._limits.device_lost_ms * 1e6:
                self.disarm(f"{name} lost")

    def _send(self, v_mps: float, w_radps: float) -> bool:
        try:
            if self._shadow:
                self._drive.listen()
            else:
                self._drive.command(v_mps, w_radps)
        except DriveGone as error:  # its dead man stops the wheels; it is opened again, which moves nothing by itself
            self._lose(error)
            self.disarm("drive gone")
            return False
        self._gone = False
        self._take_motions()
        return True

    def _lose(self, error: DriveGone) -> None:
        """Keep why the drive has gone, once; later tries to open it again say less."""
        if not self._gone:
            self.notices.append(str(error))
        self._gone = True

    def _take_motions(self) -> None:
        for motion in self._drive.motions():
            self._filter.observe_motion(motion.dx_m, motion.dyaw_rad, motion.capture_ns)
            if self._filter.blocked(motion.capture_ns):
                motion = replace(motion, collision=True)
            self.motions.append(motion)

    def listen(self) -> None:
        """Take what the drive has said between two ticks."""
        try:
            self._drive.listen()
            self._take_motions()
        except DriveGone as error:  # the next tick finds that out, and acts on it
            self._lose(error)

    @property
    def armed(self) -> bool:
        """Whether commands are let through."""
        return self._filter.armed

    @property
    def drive_descriptor(self) -> int:
        """What becomes readable when the drive has said something; -1 where nothing does."""
        return self._drive.fileno()

    def status(self, at_ns: int) -> dict[str, Any]:
        """Return what the runtime logs: what the drive got, why, and for which command."""
        return {
            "type": "status",
            "time_ns": at_ns,
            "v_mps": self.allowed.v_mps,
            "w_radps": self.allowed.w_radps,
            "reason": self.allowed.reason,
            "armed": self._filter.armed,
            "blocked": self._filter.blocked(at_ns),
            "sequence": -1 if self._command is None else self._command.sequence,
        }


def _integer(value: Any) -> int | None:
    return None if value is None else int(value)


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


def main(arguments: list[str] | None = None) -> int:
    """Own the drive until the runtime is done; exit code 0 if it quit in order."""
    parser = argparse.ArgumentParser(prog="phonotaxis.deploy.guardian", description=__doc__.splitlines()[0])
    parser.add_argument("--config", type=Path, required=True, help="robot configuration as JSON")
    parser.add_argument("--socket", type=Path, required=True, help="where to wait for the runtime")
    parser.add_argument("--shadow", action="store_true", help="read the drive, never command it")
    options = parser.parse_args(arguments)
    # Ctrl-C reaches every process of the terminal: the runtime decides what it means, the guardian stays
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        robot = plain_robot(options.config.read_text())
        link = accept_runtime(options.socket)
        control = Control(control_path(robot))
    except (ConfigError, OSError, ValueError) as error:
        print(f"guardian: {error}", file=sys.stderr)
        return 1
    try:
        drive = open_drive(robot, options.shadow)
    except (ConfigError, DeviceError) as error:
        control.close()
        print(f"guardian: {error}", file=sys.stderr)
        return 1
    from phonotaxis.deploy.traced_guardian import TracedGuardian  # it stands on this module

    guardian = TracedGuardian(robot, drive, EmergencyStop(latch_path(robot)), options.shadow)
    button = ArmButton(robot.arm_button, now_ns()) if robot.arm_button is not None else None
    refused = be_punctual()
    ready = {"type": "ready", "dead_man_ms": drive.dead_man_ms, "forbidden": forbidden_modules(), "refused": refused}
    say(link, ready)
    freeze_garbage()
    try:
        how = serve(link, guardian, control, guardian.trace, button)
    except DeviceError as error:
        print(f"guardian: {error}", file=sys.stderr)
        how = "drive gone"
    finally:
        if not options.shadow:
            brake(guardian, "runtime ended")
        drive.close()
        control.close()
        if button is not None:
            button.close()
        link.close()
    return 0 if how == "quit" else 1


if __name__ == "__main__":
    raise SystemExit(main())
