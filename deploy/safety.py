"""The safety filter: what of a command the drive may get, as a function of explicit time.

It holds no clock, no thread and no device, so every case can be tested; the guardian feeds it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from phonotaxis.deploy.ramp import Ramp
from phonotaxis.deploy.way import Mark, Way

if TYPE_CHECKING:
    from phonotaxis.configs.robot import RobotConfig

CREEP_MPS = 0.02  # slower than this the drive would only hum against an obstacle
# 20 degrees, by which the frame's corridor no longer lies ahead: more than a frame's age and a step's turn take in
# normal running (0.2), less than what a camera that stalls for its max_age_ms lets by
MAX_TURN_RAD = 0.35


@dataclass(frozen=True)
class Command:
    """A setpoint that the policy asks for.

    Attributes:
        v_mps: forward speed.
        w_radps: turning speed, counter-clockwise.
        due_ns: when its step was due; it expires relative to this, so a backlog of old steps moves nothing.
        sequence: the step's number.
    """

    v_mps: float
    w_radps: float
    due_ns: int
    sequence: int


@dataclass(frozen=True)
class SensorState:
    """What the runtime last knew of its sensors.

    Attributes:
        audio_ns: capture time of the newest sample; None before the first.
        depth_ns: capture time of the newest frame; None before the first.
        clearance_m: free way ahead at `depth_ns`; None if unknown.
        heard_ns: when the runtime said so.
        hidden_m: how much of the free way is left when the camera sees the nearest thing no more, see
            `clearance.Ahead`.
        nearest_x_m: where that is at `depth_ns`, base frame.
        nearest_y_m: likewise.
        floor_m: free way at `depth_ns` on which floor is known.
    """

    audio_ns: int | None
    depth_ns: int | None
    clearance_m: float | None
    heard_ns: int
    hidden_m: float = 0.0
    nearest_x_m: float = 0.0
    nearest_y_m: float = 0.0
    floor_m: float = math.inf


# What older logs lack of a `SensorState`, in its order, and what it counts as there.
LATER = {"hidden_m": 0.0, "nearest_x_m": 0.0, "nearest_y_m": 0.0, "floor_m": math.inf}
SAME_M = 0.05  # apart, where two frames show the same thing: noise, and the error of the way between them


@dataclass(frozen=True)
class _Nearest:
    """The nearest thing that a frame showed.

    Attributes:
        x_m: where it was, base frame.
        y_m: likewise.
        hidden_m: how much of the way to it is left when it is hidden.
        seen_from: where the robot was then.
        frame_ns: of the newest frame that has been looked at since.
        sure: two frames in a row showed it; one alone may be a camera's error.
    """

    x_m: float
    y_m: float
    hidden_m: float
    seen_from: Mark
    frame_ns: int
    sure: bool


@dataclass(frozen=True)
class Allowed:
    """What the drive gets, and why it isn't what was asked for (`ok` where it is)."""

    v_mps: float
    w_radps: float
    reason: str


class SafetyFilter:
    """Clips, expires and stops. Disarmed from the start; only `arm` changes that."""

    def __init__(self, robot: RobotConfig) -> None:
        limits = robot.safety
        self._limits, self._camera, self._drive = limits, robot.camera, robot.drive
        self._radius_m = robot.radius_m
        self.armed = False
        self._last = Allowed(0.0, 0.0, "disarmed")
        self._last_ns: int | None = None
        self._braked = ""
        self._asked_mps = 0.0
        self._v = Ramp(limits.max_acceleration_mps2, limits.max_jerk_mps3)
        self._w = Ramp(limits.max_angular_acceleration_radps2, limits.max_angular_jerk_radps3)
        self._way = Way()
        self._nearest: _Nearest | None = None

    def arm(self) -> None:
        """Let commands through from now on: a person's act, who may have carried it elsewhere."""
        self.armed = True
        self._nearest = None

    def disarm(self) -> None:
        """Let nothing through any more."""
        self.armed = False

    def brake(self, reason: str) -> None:
        """Say why the last command was dropped, until there is another."""
        self._braked = reason

    def observe_motion(self, dx_m: float, dyaw_rad: float, capture_ns: int) -> None:
        """Take what the wheels really did, which decides how far the robot still rolls and where it looks."""
        self._way.measure(dx_m, dyaw_rad, capture_ns)

    def blocked(self, now_ns: int) -> bool:
        """Whether something keeps the robot from going on: it pushes against it, or was stopped before it.

        In training, this is what a policy knows as a collision and turns away from.
        """
        stopped = self._last.reason in ("obstacle", "way ahead unknown") and self._last.v_mps < 0.5 * self._asked_mps
        return stopped or self._way.stalled(now_ns, self._drive.latency_s + self._ramp_s())

    def _ramp_s(self) -> float:
        """Return how long the drive takes to the speed that was asked for."""
        rate = self._drive.max_acceleration_mps2
        return 0.0 if rate is None else abs(self._asked_mps) / rate

    def filter(self, command: Command | None, now_ns: int, sensors: SensorState | None) -> Allowed:
        """Decide what the drive gets now.

        Args:
            command: the newest one, None before the first.
            now_ns: monotonic time.
            sensors: the newest state, None before the first.

        Returns:
            Velocities within every limit; 0 wherever one of the conditions of `stop_reason` holds.
        """
        passed_s = 0.0 if self._last_ns is None else (now_ns - self._last_ns) * 1e-9
        self._way.drive(max(0.0, self._last.v_mps), self._last.w_radps, passed_s, now_ns)
        if sensors is not None:
            self._look(sensors)
        reason = self.stop_reason(command, now_ns, sensors)
        if reason or command is None or sensors is None:
            allowed = Allowed(0.0, 0.0, reason)
            self._v.stop()
            self._w.stop()
        else:
            self._braked = ""
            allowed = self._limit(command, now_ns, sensors, passed_s)
        if allowed.v_mps < 0.0:
            self._nearest = None  # the way is that driven forward
        self._last, self._last_ns = allowed, now_ns
        return allowed

    def stop_reason(self, command: Command | None, now_ns: int, sensors: SensorState | None) -> str:
        """Return why nothing may move now, or an empty string."""
        limits = self._limits
        if not self.armed:
            return "disarmed"
        if sensors is None or _older(sensors.heard_ns, now_ns, limits.runtime_silence_ms):
            return "runtime silent"
        if _older(sensors.audio_ns, now_ns, limits.audio_max_age_ms):
            return "audio stale"
        if _older(sensors.depth_ns, now_ns, self._camera.max_age_ms):
            return "depth stale"
        if command is None:
            return self._braked or "no command yet"
        if _older(command.due_ns, now_ns, limits.command_expiry_ms):
            return "command expired"
        if not (math.isfinite(command.v_mps) and math.isfinite(command.w_radps)):
            return "command not finite"
        return ""

    def _limit(self, command: Command, now_ns: int, sensors: SensorState, passed_s: float) -> Allowed:
        limits = self._limits
        v, w, reason = command.v_mps, command.w_radps, "ok"
        self._asked_mps = v
        if abs(v) > limits.max_v_mps or abs(w) > limits.max_w_radps:
            v = math.copysign(min(abs(v), limits.max_v_mps), v)
            w = math.copysign(min(abs(w), limits.max_w_radps), w)
            reason = "speed limit"
        if v < 0.0 and not limits.reverse_allowed:
            v, reason = 0.0, "nothing looks backwards"
        top = self._obstacle_speed(now_ns, sensors)
        if v > top:
            v, reason = top, "obstacle" if self._way_known(sensors) else "way ahead unknown"
        ramped_v, ramped_w = self._v(v, passed_s), self._w(w, passed_s)
        if ramped_v > top:  # a stop before an obstacle is not slowed down by the comfort of a ramp
            ramped_v = top
            self._v.jump(top)
        elif (ramped_v, ramped_w) != (v, w) and reason == "ok":
            reason = "acceleration limit"
        return Allowed(ramped_v, ramped_w, reason)

    def _look(self, sensors: SensorState) -> None:
        """Take the nearest thing of a new frame, unless the last one's is hidden by now, and still ahead."""
        if sensors.depth_ns is None or sensors.clearance_m is None:
            return
        before, here = self._nearest, self._way.mark(sensors.depth_ns)
        if before is not None and before.frame_ns == sensors.depth_ns:
            return
        left_m = math.inf if before is None else self._left_m(before, here)
        same = abs(sensors.clearance_m - left_m) <= SAME_M
        if before is not None and before.sure and not same and left_m < min(before.hidden_m, sensors.clearance_m):
            moved = before.seen_from.forward_to(here) > 0.0 or before.seen_from.turned_to(here) > 0.0
            if moved:  # by itself; what goes away from a robot that stands has gone
                self._nearest = replace(before, frame_ns=sensors.depth_ns)
                return
        at_m = sensors.nearest_x_m, sensors.nearest_y_m
        self._nearest = _Nearest(*at_m, sensors.hidden_m, here, sensors.depth_ns, same)

    def _left_m(self, thing: _Nearest, here: Mark) -> float:
        """Return how far the body can drive from a place on before it touches a thing; infinite beside it."""
        way_m, turn_rad = thing.seen_from.forward_to(here), self._way.turn(thing.seen_from, here)
        half = 0.5 * turn_rad  # the robot has driven a bend, whose chord points there
        x, y = thing.x_m - way_m * math.cos(half), thing.y_m - way_m * math.sin(half)
        cos, sin = math.cos(turn_rad), math.sin(turn_rad)
        ahead_m, aside_m = cos * x + sin * y, cos * y - sin * x
        if ahead_m <= 0.0 or abs(aside_m) >= self._radius_m:
            return math.inf
        return ahead_m - math.sqrt(self._radius_m**2 - aside_m**2)

    def _hidden_way_m(self) -> float:
        """Return the way to what was seen ahead, and may be seen no more."""
        nearest = self._nearest
        return math.inf if nearest is None or nearest.hidden_m <= 0.0 else self._left_m(nearest, self._way.now)

    def _way_known(self, sensors: SensorState) -> bool:
        """Whether the newest frame shows what lies ahead now: the robot may have turned away from that."""
        if sensors.clearance_m is None or sensors.depth_ns is None:
            return False
        return self._way.turned_since(sensors.depth_ns) <= MAX_TURN_RAD

    def _obstacle_speed(self, now_ns: int, sensors: SensorState) -> float:
        """Return the forward speed at which neither `obstacle_ahead_s` nor braking reaches the margin.

        Braking starts from the speed that the wheels report, where they do and it is the higher one: where that
        needs the whole way, nothing forward is left to allow.
        """
        if sensors.clearance_m is None or sensors.depth_ns is None or not self._way_known(sensors):
            return 0.0
        seen_m = min(sensors.clearance_m, sensors.floor_m) - self._way.since(sensors.depth_ns)
        free_m = min(seen_m, self._hidden_way_m()) - self._limits.obstacle_margin_m
        braking = self._drive.max_acceleration_mps2
        if free_m <= 0.0 or self._stopping_m(now_ns, braking) > free_m:
            return 0.0
        speed = free_m / self._limits.obstacle_ahead_s
        if braking is not None:
            # v t + v^2 / 2a = free: the drive's latency passes before it begins to brake
            late = braking * self._drive.latency_s
            speed = min(speed, math.sqrt(late**2 + 2.0 * braking * free_m) - late)
        return speed if speed >= CREEP_MPS else 0.0

    def _stopping_m(self, now_ns: int, braking: float | None) -> float:
        speed = self._way.measured_mps(now_ns)
        return speed * self._drive.latency_s + (0.0 if braking is None else speed**2 / (2.0 * braking))


def _older(then_ns: int | None, now_ns: int, limit_ms: float) -> bool:
    return then_ns is None or now_ns - then_ns > limit_ms * 1e6
