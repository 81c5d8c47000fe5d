"""A guardian that writes down all that its decisions follow from, and a stand-in for its drive to repeat them with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from phonotaxis.deploy.clock import NS_PER_S, now_ns
from phonotaxis.deploy.devices import DriveDevice, DriveGone, OdometrySample
from phonotaxis.deploy.emergency_stop import EmergencyStop
from phonotaxis.deploy.guardian import Guardian
from phonotaxis.deploy.guardian_trace import MAX_MOTIONS, GuardianTrace
from phonotaxis.deploy.safety import Allowed

if TYPE_CHECKING:
    from phonotaxis.configs.robot import RobotConfig

RULES = 1  # of what a guardian makes of its inputs; 0, which older traces don't name: it armed against a person's word
MOST_EVENTS = 2000  # a second: fifty ticks, at most as many again for commands, and each report of sensors and wheels


class TracedDrive:
    """A drive whose answers are noted; the last ones can be taken."""

    def __init__(self, drive: DriveDevice) -> None:
        self._drive = drive
        self.dead_man_ms = drive.dead_man_ms
        self._gone = False
        self._said: list[OdometrySample] = []

    def command(self, v_mps: float, w_radps: float) -> None:
        """Pass a command on; see `DriveDevice`."""
        try:
            self._drive.command(v_mps, w_radps)
        except DriveGone:
            self._gone = True
            raise

    def listen(self) -> None:
        """Take what the drive has said; see `DriveDevice`."""
        try:
            self._drive.listen()
        except DriveGone:
            self._gone = True
            raise

    def motions(self) -> list[OdometrySample]:
        """Return the drive's own odometry; see `DriveDevice`."""
        found = self._drive.motions()
        self._said += found
        return found

    def fileno(self) -> int:
        """Return what becomes readable; see `DriveDevice`."""
        return self._drive.fileno()

    def close(self) -> None:
        """Let go of the drive."""
        self._drive.close()

    def answers(self) -> list[dict[str, Any]]:
        """Return what the drive answered since the last call, in pieces of `MAX_MOTIONS`; empty if nothing."""
        motions = [[m.dx_m, m.dy_m, m.dyaw_rad, m.collision, m.capture_ns] for m in self._said]
        found: list[dict[str, Any]] = [{"gone": True}] if self._gone else []
        found += [{"motions": motions[at : at + MAX_MOTIONS]} for at in range(0, len(motions), MAX_MOTIONS)]
        self._gone, self._said = False, []
        return found


class TracedGuardian(Guardian):
    """A guardian with a trace of its inputs.

    Attributes:
        trace: what to send along with the statuses.
    """

    def __init__(self, robot: RobotConfig, drive: DriveDevice, emergency: EmergencyStop, shadow: bool = False) -> None:
        """Start disarmed; see `Guardian`."""
        self.trace = GuardianTrace()
        self._traced, self._latch_of = TracedDrive(drive), emergency
        self.trace.heard(now_ns(), {"type": "begin", "shadow": shadow, "emergency": emergency.reason, "rules": RULES})
        super().__init__(robot, self._traced, emergency, shadow)

    def arm(self, at_ns: int) -> str:
        """Arm, unless the latch holds, which another process may have written; see `Guardian`."""
        before = self._latch_of.reason
        if self._latch_of.look() != before:
            self.trace.heard(at_ns, {"type": "latched", "reason": self._latch_of.reason})
        return super().arm(at_ns)

    def handle(self, message: dict[str, Any], at_ns: int) -> bool:
        """Take a message of the runtime; see `Guardian`."""
        acts = super().handle(message, at_ns)
        self.trace.heard(at_ns, message)
        return acts

    def person(self, request: str, at_ns: int) -> tuple[bool, str]:
        """Do what a person asks for; see `Guardian`."""
        answer = super().person(request, at_ns)
        self._note(at_ns, {"type": "person", "request": request})
        return answer

    def tick(self, at_ns: int) -> Allowed:
        """Filter and send; see `Guardian`."""
        allowed = super().tick(at_ns)
        self._note(at_ns, {"type": "tick"})
        return allowed

    def listen(self) -> None:
        """Take what the drive has said between two ticks; see `Guardian`."""
        super().listen()
        self._note(now_ns(), {"type": "listen"})

    def _note(self, at_ns: int, event: dict[str, Any]) -> None:
        """Note a call with the drive's answers. What doesn't fit follows as if the drive had been listened to then.

        Nothing is decided between a call's end and its last motions, so that is the same.
        """
        first, *more = self._traced.answers() or [{}]
        if event["type"] == "tick" and not first:
            self.trace.ticked(at_ns)
        elif event["type"] != "listen" or first:
            self.trace.heard(at_ns, {**event, **first})
        for answers in more:
            self.trace.heard(at_ns, {"type": "listen", **answers})


class RepeatedDrive:
    """Answers as a trace says that the drive did, and moves nothing."""

    dead_man_ms = 100.0

    def __init__(self) -> None:
        self._gone = False
        self._motions: list[OdometrySample] = []

    def answer(self, event: dict[str, Any]) -> None:
        """Take the answers to the next call, from an event of the trace."""
        self._gone = bool(event.get("gone", False))
        self._motions = [
            OdometrySample(float(dx), float(dy), float(dyaw), bool(collision), int(at))
            for dx, dy, dyaw, collision, at in event.get("motions", ())
        ]

    def command(self, v_mps: float, w_radps: float) -> None:
        """Be gone, if the drive was."""
        if self._gone:
            raise DriveGone("the trace says that the drive was gone")

    def listen(self) -> None:
        """Be gone, if the drive was."""
        self.command(0.0, 0.0)

    def motions(self) -> list[OdometrySample]:
        """Return what the drive reported."""
        found, self._motions = self._motions, []
        return found

    def fileno(self) -> int:
        """Return -1: nothing becomes readable."""
        return -1

    def close(self) -> None:
        """Do nothing."""


class _RepeatedLatch(EmergencyStop):
    """An emergency stop's latch in memory alone."""

    def __init__(self, reason: str) -> None:
        self.kept = True
        self.reason = reason

    def latch(self, reason: str) -> None:
        self.reason = reason

    def release(self) -> None:
        self.reason = ""


class RepeatedGuardian:
    """Decides again as a trace says.

    Attributes:
        guardian: None before the trace began.
        latch: its emergency stop.
    """

    def __init__(self, robot: RobotConfig) -> None:
        self._robot = robot
        self._drive = RepeatedDrive()
        self.latch = _RepeatedLatch("")
        self.guardian: Guardian | None = None
        self._since_ns, self._events = -NS_PER_S, 0

    def _pace(self, at_ns: int) -> None:
        """Refuse more events than a guardian has time for, which a stranger's trace may hold: each costs as many."""
        if at_ns - self._since_ns >= NS_PER_S:
            self._since_ns, self._events = at_ns, 0
        self._events += 1
        if self._events > MOST_EVENTS:
            raise ValueError(f"a guardian's trace of more than {MOST_EVENTS} events in a second")

    def take(self, event: list[Any]) -> None:
        """Repeat one event of a trace.

        Raises:
            ValueError: it can't be one; KeyError, TypeError or IndexError: likewise.
        """
        at_ns, fields = int(event[0]), event[1] if len(event) > 1 else {"type": "tick"}
        kind = fields["type"]
        if kind == "begin":
            self.latch = _RepeatedLatch(str(fields["emergency"]))
            self.guardian = Guardian(self._robot, self._drive, self.latch, bool(fields["shadow"]))
            self.guardian.older = int(fields.get("rules", 0)) < RULES
            return
        if self.guardian is None:
            raise ValueError("a guardian's trace that doesn't begin with its beginning")
        self._pace(at_ns)
        if kind == "latched":
            self.latch.latch(str(fields["reason"]))
            return
        if kind in ("tick", "listen", "person"):
            self._drive.answer(fields)
        if kind == "tick":
            self.guardian.tick(at_ns)
        elif kind == "listen":
            self.guardian.listen()
        elif kind == "person":
            self.guardian.person(str(fields["request"]), at_ns)
        else:
            self.guardian.handle(fields, at_ns)
        self.guardian.motions.clear()
