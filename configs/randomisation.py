"""Domain randomisation: what is drawn anew for each episode, and from which range.

One block for the whole simulator. A field that is left out stays at the task's own value. `envs.randomise` draws.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field, ValidationInfo, field_validator, model_validator

from phonotaxis.configs import motion
from phonotaxis.configs.base import Frozen


class Range(Frozen):
    """A closed range of numbers, drawn from evenly. In YAML also `[low, high]`, or one number for both."""

    low: float
    high: float

    @model_validator(mode="before")
    @classmethod
    def _short_forms(cls, value: Any) -> Any:
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return {"low": value, "high": value}
        if isinstance(value, (list, tuple)):
            if len(value) != 2:
                raise ValueError(f"expected [low, high], got {len(value)} values")
            return {"low": value[0], "high": value[1]}
        return value

    @model_validator(mode="after")
    def _ordered(self) -> Range:
        if self.low > self.high:
            raise ValueError(f"low {self.low:g} must not exceed high {self.high:g}")
        return self


def _within(low: float, high: float, unit: str) -> Any:
    """Declare a range that may be left out, with the bounds that physics or the simulator sets."""
    return Field(default=None, json_schema_extra={"minimum": low, "maximum": high, "unit": unit})


class Randomisation(Frozen):
    """What varies from one episode to the next; nothing does by default.

    Fields named `_scale` multiply the task's own value, those named `_shift` are added to it, the others replace it.
    Each is drawn by itself, keyed by its name, so that adding a field changes no other's draws.

    Attributes:
        sound_level_shift_db: of the sources' level, dB.
        air_temperature_c: see `Air`.
        air_relative_humidity_percent: see `Air`.
        absorption_scale: of all materials' absorption (each band ends at 1); drawn by the scene, not by the episode,
            since episodes share the traced sound of their scene.
        scattering_scale: of all materials' scattering (each band ends at 1); likewise drawn by the scene.
        diffuse_noise_dba: level of the room's background, dB(A).
        robot_noise_shift_db: of the level of motors and fan, dB.
        self_noise_shift_db: of the microphones' self-noise, dB.
        unit_gain_std_db: see `UnitVariation`; likewise the other four.
        camera_x_shift_m: of the camera's mount, base frame; likewise y and z.
        camera_roll_shift_rad: of the camera's mount; likewise pitch and yaw.
        camera_fov_scale: of the tangent of half the angle of view.
        depth_noise_scale: of the depth camera's lateral and axial noise and dropouts; its steps of disparity, ranges
            and field of view stay, at 0 too.
        radius_m: of the body, metres.
        speed_scale: of the distance and turn of a step; multiplies `drive.speed_scale`.
        max_acceleration_mps2: see `Drive`; likewise the others that follow.
    """

    sound_level_shift_db: Range | None = _within(-40.0, 40.0, "dB")
    air_temperature_c: Range | None = _within(-20.0, 50.0, "degrees Celsius")
    air_relative_humidity_percent: Range | None = _within(0.0, 100.0, "%")
    absorption_scale: Range | None = _within(0.0, 10.0, "times")
    scattering_scale: Range | None = _within(0.0, 10.0, "times")
    diffuse_noise_dba: Range | None = _within(0.0, 80.0, "dB(A)")
    robot_noise_shift_db: Range | None = _within(-60.0, 40.0, "dB")
    self_noise_shift_db: Range | None = _within(-60.0, 40.0, "dB")
    unit_gain_std_db: Range | None = _within(0.0, 12.0, "dB")
    unit_delay_std_us: Range | None = _within(0.0, 1000.0, "microseconds")
    unit_position_std_m: Range | None = _within(0.0, 0.05, "m")
    unit_clip_below_full_scale_db: Range | None = _within(0.0, 40.0, "dB")
    unit_dead_probability: Range | None = _within(0.0, 1.0, "probability")
    camera_x_shift_m: Range | None = _within(-0.5, 0.5, "m")
    camera_y_shift_m: Range | None = _within(-0.5, 0.5, "m")
    camera_z_shift_m: Range | None = _within(-0.5, 0.5, "m")
    camera_roll_shift_rad: Range | None = _within(-0.5, 0.5, "rad")
    camera_pitch_shift_rad: Range | None = _within(-0.5, 0.5, "rad")
    camera_yaw_shift_rad: Range | None = _within(-0.5, 0.5, "rad")
    camera_fov_scale: Range | None = _within(0.5, 2.0, "times")
    depth_noise_scale: Range | None = _within(0.0, 10.0, "times")
    radius_m: Range | None = _within(0.01, 1.0, "m")
    speed_scale: Range | None = _within(*motion.SPEED_SCALES, "times")
    max_acceleration_mps2: Range | None = _within(0.01, motion.MAX_ACCELERATION, "m/s^2")
    max_angular_acceleration_radps2: Range | None = _within(0.01, motion.MAX_ACCELERATION, "rad/s^2")
    latency_s: Range | None = _within(0.0, motion.MAX_LATENCY_S, "s")
    slip_v: Range | None = _within(0.0, motion.MAX_SLIP, "share of the speed")
    slip_w: Range | None = _within(0.0, motion.MAX_SLIP, "share of the turning rate")
    slip_turn_radpm: Range | None = _within(0.0, motion.MAX_SLIP_TURN_RADPM, "rad/m")

    @field_validator("*", mode="after")
    @classmethod
    def _within_bounds(cls, value: Range | None, info: ValidationInfo) -> Range | None:
        if value is None or info.field_name is None:
            return value
        least, most, unit = bounds(info.field_name)
        if value.low < least or value.high > most:
            raise ValueError(f"must lie within {least:g} to {most:g} {unit}")
        return value

    def ranges(self) -> dict[str, Range]:
        """Return the fields that vary, by name."""
        values = {name: getattr(self, name) for name in type(self).model_fields}
        return {name: value for name, value in values.items() if value is not None}


def bounds(name: str) -> tuple[float, float, str]:
    """Return the least and greatest value that a field of `Randomisation` may take, and its unit."""
    extra: Any = Randomisation.model_fields[name].json_schema_extra
    return extra["minimum"], extra["maximum"], extra["unit"]
