"""The robot: what it hears, sees and drives with, and what it may do.

Everything a policy depends on (positions of microphones, camera, speeds) is compared with the bundle's
contract before anything moves: `phonotaxis.configs.compatibility`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from phonotaxis.configs import presets
from phonotaxis.configs.array import MicrophoneArray
from phonotaxis.configs.base import ConfigError, Frozen
from phonotaxis.configs.contract import PinholeCamera
from phonotaxis.configs.devices import (
    WAVESHARE_DEAD_MAN_MS,
    ArmButtonConfig,
    Devices,
    HardwareDevices,
    SimulatedDevices,
)


class CameraConfig(Frozen):
    """The robot's own depth camera: intrinsics, mount in the base frame, and how old a frame may be."""

    pinhole: PinholeCamera = PinholeCamera()
    max_age_ms: float = Field(default=600.0, gt=0, le=10_000)


class DriveConfig(Frozen):
    """The drive. `None` acceleration: it reaches a setpoint at once, as far as a control period can tell.

    `dead_man_ms` is the motor controller's own: without a command for so long it stops by itself, so that a
    robot whose computer hangs stands still.
    """

    kind: Literal["differential"] = "differential"
    max_v_mps: float = Field(default=1.0, gt=0, le=5.0)
    max_w_radps: float = Field(default=1.0, gt=0, le=10.0)
    max_acceleration_mps2: float | None = Field(default=None, gt=0)
    max_angular_acceleration_radps2: float | None = Field(default=None, gt=0)
    latency_s: float = Field(default=0.0, ge=0.0, le=2.0)
    dead_man_ms: float = Field(default=300.0, ge=20.0, le=2000.0)


class OdometryConfig(Frozen):
    """What the drive's odometry is: of its wheels, or of an estimator that sees slip (on ROS 2's topic)."""

    source: Literal["wheel", "external"] = "wheel"
    max_age_ms: float = Field(default=600.0, gt=0, le=10_000)


class SafetyLimits(Frozen):
    """What the guardian allows, whatever a policy says.

    Attributes:
        max_v_mps: forward speed is clipped to this.
        max_w_radps: turning speed is clipped to this.
        max_acceleration_mps2: change of forward speed; None leaves it to the drive. Stops are not slowed.
        max_angular_acceleration_radps2: likewise of turning.
        max_jerk_mps3: change of the forward acceleration; None leaves it to the drive. Stops are not slowed.
        max_angular_jerk_radps3: likewise of turning.
        audio_max_age_ms: stop when the newest sample is older.
        command_expiry_ms: a command counts for so long after its step was due.
        runtime_silence_ms: stop when the runtime has said nothing for so long.
        obstacle_margin_m: kept free between the body and what the depth camera sees.
        obstacle_ahead_s: the forward speed is such that the margin is not reached within this time.
        device_lost_ms: sound or depth stale for so long disarms: what comes back then moves nothing by itself.
        max_unknown_fraction: of the pixels that should see floor ahead; above it the way counts as blocked.
        max_bearing_error_deg: that errors of capture times may make in the fastest turn; where sound or image are
            known to be wrong by more, nothing is done by them.
        reverse_allowed: nothing looks backwards, so driving backwards is off unless allowed here.
    """

    max_v_mps: float = Field(default=1.0, gt=0, le=5.0)
    max_w_radps: float = Field(default=1.0, gt=0, le=10.0)
    max_acceleration_mps2: float | None = Field(default=None, gt=0)
    max_angular_acceleration_radps2: float | None = Field(default=None, gt=0)
    max_jerk_mps3: float | None = Field(default=None, gt=0)
    max_angular_jerk_radps3: float | None = Field(default=None, gt=0)
    audio_max_age_ms: float = Field(default=250.0, gt=0, le=5000)
    command_expiry_ms: float = Field(default=450.0, gt=0, le=5000)
    runtime_silence_ms: float = Field(default=250.0, gt=0, le=5000)
    device_lost_ms: float = Field(default=2000.0, gt=0, le=60_000)
    obstacle_margin_m: float = Field(default=0.03, ge=0, le=2.0)
    obstacle_ahead_s: float = Field(default=0.25, gt=0, le=5.0)
    max_unknown_fraction: float = Field(default=0.3, ge=0, le=1.0)
    max_bearing_error_deg: float = Field(default=5.0, gt=0, le=90.0)
    reverse_allowed: bool = False


class LogConfig(Frozen):
    """The episode log. Episodes record people, so a folder keeps a bounded amount of them; the oldest go first.

    Attributes:
        max_episodes: that a folder keeps.
        max_age_days: files that are known to be older are deleted; None keeps them.
        trust_wall_clock: the computer's clock has a battery and is right, though nothing synchronises it. Without it
            the time for which such a computer was off counts for no file's age.
        max_gb: that a folder keeps, 10^9 bytes.
        rotate_mb: a file that is larger is closed and a new part begun, 10^6 bytes.
        rotate_minutes: likewise of a file that is open for longer.
        queue_mb: that may wait for a slow disk, 10^6 bytes; what comes when it is full is lost, counted and said.
        on_failure: when nothing can be written, `stop` ends the run and `continue` drives on without a log; it
            tries again every second and says what was lost once the cause is gone.
    """

    max_episodes: int = Field(default=100, ge=1, le=100_000)
    max_age_days: float | None = Field(default=30.0, gt=0)
    trust_wall_clock: bool = False
    max_gb: float = Field(default=20.0, gt=0)
    rotate_mb: float = Field(default=500.0, ge=0.1)
    rotate_minutes: float = Field(default=30.0, gt=0)
    queue_mb: float = Field(default=64.0, ge=1.0)
    on_failure: Literal["stop", "continue"] = "stop"


class RobotConfig(Frozen):
    """One robot. `array` is the name of a preset or the array itself."""

    name: str = Field(min_length=1)
    array: MicrophoneArray
    sample_rate_hz: int = Field(default=16000, ge=8000, le=96000)
    radius_m: float = Field(default=0.18, gt=0, le=2.0)
    height_m: float = Field(default=0.6, gt=0, le=3.0)
    camera: CameraConfig = CameraConfig()
    drive: DriveConfig = DriveConfig()
    odometry: OdometryConfig | None = OdometryConfig()
    safety: SafetyLimits = SafetyLimits()
    devices: Devices = SimulatedDevices()
    arm_button: ArmButtonConfig | None = None  # a person arms by the guardian's socket, and by this where there is one
    log: LogConfig = LogConfig()
    trusted_signers: tuple[str, ...] = ()  # public keys; where there are any, only policies they signed are run

    @field_validator("array", mode="before")
    @classmethod
    def _array_by_name(cls, value: Any) -> Any:
        return presets.load("arrays", value, MicrophoneArray) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _dead_man_outlives_a_tick(self) -> RobotConfig:
        if self.safety.command_expiry_ms < self.safety.runtime_silence_ms:
            raise ValueError(
                f"safety.command_expiry_ms {self.safety.command_expiry_ms:g} is below "
                f"safety.runtime_silence_ms {self.safety.runtime_silence_ms:g}: raise the first"
            )
        return self

    @model_validator(mode="after")
    def _dead_man_is_stated(self) -> RobotConfig:
        if not isinstance(self.devices, HardwareDevices):
            return self
        if "dead_man_ms" not in self.drive.model_fields_set:
            raise ValueError(
                "drive.dead_man_ms: state after how long without a command the motor controller stops by itself; "
                "without such a time-out a robot whose computer hangs drives on"
            )
        if self.devices.drive.kind == "waveshare" and self.drive.dead_man_ms > WAVESHARE_DEAD_MAN_MS:
            raise ValueError(
                f"drive.dead_man_ms {self.drive.dead_man_ms:g} exceeds {WAVESHARE_DEAD_MAN_MS:g}, the most for a "
                "Waveshare chassis (it is set by the runtime, T:136)"
            )
        return self

    @model_validator(mode="after")
    def _odometry_has_a_source(self) -> RobotConfig:
        waveshare = isinstance(self.devices, HardwareDevices) and self.devices.drive.kind == "waveshare"
        if waveshare and self.odometry is not None and self.odometry.source == "external":
            raise ValueError(
                "odometry.source: external is what an estimator says on ROS 2's topic; a Waveshare board tells of its "
                "wheels alone: say wheel, or odometry: null for a policy that goes without"
            )
        return self


def load_robot(name: str | Path, socket: str | Path | None = None) -> RobotConfig:
    """Load a shipped robot by name, or the user's own by the path of a .yaml file.

    Args:
        name: e.g. `simulated` or `my_robot.yaml`.
        socket: overrides where the simulated robot listens.

    Raises:
        ConfigError: no such robot, or not a robot's configuration.
    """
    robot = presets.load("robots", name, RobotConfig)
    if socket is None:
        return robot
    if not isinstance(robot.devices, SimulatedDevices):
        raise ConfigError(f"{name}: its devices are {robot.devices.kind}; a socket is for the simulated robot alone")
    return robot.model_copy(update={"devices": robot.devices.model_copy(update={"socket": str(socket)})})


def robot_from_json(text: str, where: str = "robot") -> RobotConfig:
    """Read what `RobotConfig.model_dump_json` wrote.

    Raises:
        ConfigError: not a robot's configuration.
    """
    try:
        return RobotConfig.model_validate_json(text)
    except ValueError as error:
        raise ConfigError(f"{where}: not a robot's configuration ({error})") from None


def simulated_robot(array: MicrophoneArray, camera: PinholeCamera, socket: str | Path, **changes: Any) -> RobotConfig:
    """Return the simulated robot that carries this array and camera, e.g. those of a policy's contract.

    Args:
        array: what the simulator renders for.
        camera: likewise.
        socket: where the simulated robot listens.
        changes: further fields of `RobotConfig`.
    """
    fields: dict[str, Any] = {
        "name": "simulated",
        "array": array,
        "camera": CameraConfig(pinhole=camera),
        "devices": SimulatedDevices(socket=str(socket)),
        **changes,
    }
    return RobotConfig(**fields)
