"""Noise: what the microphones hear besides the source. The array's file states the self-noise of its microphones."""

from __future__ import annotations

from pydantic import Field, model_validator

from phonotaxis.configs.array import Vector3
from phonotaxis.configs.base import Frozen


class RobotNoise(Frozen):
    """The robot's own noise: motors, as loud as the wheels turn fast, and a fan that runs always.

    Levels are dB(A) in the free field 1 m from the source, as a data sheet states them, so they are louder at the
    microphones: by 10 dB at 0.32 m. Positions are in the base frame, metres. None switches a source off; a small
    indoor robot's gear motors make 45 to 60 dB(A) at 1 m, the fan of its computer 20 to 35.

    Attributes:
        motor_dba_at_full_speed: of all motors together.
        motor_xyz_m: where they are; each makes its own noise.
        motor_tone_hz: of the first harmonic at full speed (commutation, gear mesh).
        motor_tonal_share: of the A-weighted power that is in the harmonics; the rest is broadband.
        full_speed_mps: speed of the wheels' rims at which the level holds.
        speed_exponent: pressure grows as speed to this power; 1 is 6 dB for twice the speed.
        fan_dba: level.
        fan_xyz_m: where it is.
        fan_tone_hz: its blades' passing frequency, number of blades times turns a second.
        fan_tonal_share: like the motors'.
    """

    motor_dba_at_full_speed: float | None = Field(default=None, ge=0.0, le=100.0)
    motor_xyz_m: tuple[Vector3, ...] = Field(
        default=((0.0, 0.12, 0.06), (0.0, -0.12, 0.06)), min_length=1, max_length=8
    )
    motor_tone_hz: float = Field(default=240.0, ge=80.0, le=2000.0)
    motor_tonal_share: float = Field(default=0.5, ge=0.0, le=1.0)
    full_speed_mps: float = Field(default=1.0, gt=0.0, le=5.0)
    speed_exponent: float = Field(default=1.0, ge=0.5, le=3.0)
    fan_dba: float | None = Field(default=None, ge=0.0, le=100.0)
    fan_xyz_m: Vector3 = (-0.08, 0.0, 0.2)
    fan_tone_hz: float = Field(default=350.0, ge=80.0, le=2000.0)
    fan_tonal_share: float = Field(default=0.1, ge=0.0, le=1.0)

    @model_validator(mode="after")
    def _on_the_robot(self) -> RobotNoise:
        for name, places in (("motor_xyz_m", self.motor_xyz_m), ("fan_xyz_m", (self.fan_xyz_m,))):
            if any(sum(c * c for c in place) > 4.0 for place in places):
                raise ValueError(f"{name}: more than 2 m from the robot's base: are the positions in metres?")
        return self


class Noise(Frozen):
    """Noise around the robot and of it; all of it is off unless a level is given.

    Attributes:
        diffuse_dba: level of the room's background, dB(A); None is off. A quiet bedroom has 30, a living room 35 to
            40, an office 45.
        robot: the robot's own noise.
    """

    diffuse_dba: float | None = Field(default=None, ge=0.0, le=90.0)
    robot: RobotNoise = RobotNoise()
