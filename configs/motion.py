"""How a drive carries out velocity setpoints: ramps, latency, slip, and what it does at a wall."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from phonotaxis.configs.base import Frozen

# Bounds of single values and of the ranges in `randomisation` alike. Slip draws are cut at 3 standard deviations, so
# that 0.3 leaves a tenth of the speed at least: slip never drives backwards.
MAX_ACCELERATION = 100.0
MAX_LATENCY_S = 2.0
MAX_SLIP = 0.3
MAX_SLIP_TURN_RADPM = 1.0
SPEED_SCALES = (0.1, 2.0)


class Drive(Frozen):
    """The drive of a simulated differential robot. As it stands by default, setpoints are reached at once and exactly.

    Attributes:
        max_acceleration_mps2: the wheels' forward speed ramps to its setpoint at this rate, m/s^2; None: at once.
        max_angular_acceleration_radps2: likewise their turning rate, rad/s^2.
        latency_s: a new setpoint acts so long after the step began, and the last one until then; seconds, at most
            one control period.
        speed_scale: speed that a setpoint of 1 leads to; the wheels' odometry sees it. `randomise.speed_scale`
            multiplies it.
        slip_v: standard deviation of the forward speed over ground, as a share of the wheels' speed; drawn anew each
            step. The wheels' odometry doesn't see it.
        slip_w: likewise of the turning rate.
        slip_turn_radpm: standard deviation of the turn that driving adds, radians per metre driven.
        wall: `stop`: what touches stays where it is for the rest of the step, and only turns; `slide`: it goes on
            along the wall.
    """

    max_acceleration_mps2: float | None = Field(default=None, gt=0.0, le=MAX_ACCELERATION)
    max_angular_acceleration_radps2: float | None = Field(default=None, gt=0.0, le=MAX_ACCELERATION)
    latency_s: float = Field(default=0.0, ge=0.0, le=MAX_LATENCY_S)
    speed_scale: float = Field(default=1.0, ge=SPEED_SCALES[0], le=SPEED_SCALES[1])
    slip_v: float = Field(default=0.0, ge=0.0, le=MAX_SLIP)
    slip_w: float = Field(default=0.0, ge=0.0, le=MAX_SLIP)
    slip_turn_radpm: float = Field(default=0.0, ge=0.0, le=MAX_SLIP_TURN_RADPM)
    wall: Literal["stop", "slide"] = "stop"


def check_latency(latency_s: float, period_s: float) -> None:
    """Refuse a latency longer than the control period.

    Args:
        latency_s: of a drive, or the highest of a range.
        period_s: of the task.

    Raises:
        ValueError: it is longer; only one setpoint can wait to act.
    """
    if latency_s > period_s:
        raise ValueError(
            f"latency_s {latency_s:g} is longer than the control period of {period_s:g} s; give at most the period"
        )
