"""What a robot's devices are to the runtime: interfaces, what they deliver, and the registry of them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from phonotaxis.configs.config_error import ConfigError, did_you_mean

if TYPE_CHECKING:
    from phonotaxis.configs.robot import RobotConfig


class DeviceError(RuntimeError):
    """A device is missing, has gone or delivers nonsense; the message says which and what to do."""


class DriveGone(DeviceError):
    """The drive doesn't answer, and may come back: its wheels stand by its dead man; the next command tries anew."""


@dataclass(frozen=True, eq=False)
class AudioBlock:
    """Consecutive samples of every channel of the device.

    Attributes:
        samples: int16 [device_channels, samples], converter codes.
        first_sample: index of the first one since the stream began; a jump is a gap.
        capture_ns: monotonic time at which the first one was converted.
    """

    samples: np.ndarray
    first_sample: int
    capture_ns: int


@dataclass(frozen=True, eq=False)
class DepthFrame:
    """A depth image of the robot's own camera.

    Attributes:
        depth_m: float32 [height, width], metres along the optical axis; 0 = unknown.
        capture_ns: monotonic time of exposure.
    """

    depth_m: np.ndarray
    capture_ns: int


@dataclass(frozen=True)
class OdometrySample:
    """Motion since the previous sample, in the base frame at that time.

    Attributes:
        dx_m: forward.
        dy_m: to the left.
        dyaw_rad: counter-clockwise.
        collision: a bumper touched, the wheels stall, or the guardian stopped the robot before an obstacle.
        capture_ns: monotonic time at its end.
    """

    dx_m: float
    dy_m: float
    dyaw_rad: float
    collision: bool
    capture_ns: int

    def after(self, pose: tuple[float, float, float]) -> tuple[float, float, float]:
        """Return x, y, yaw, metres and radians, where this motion leads from such a pose."""
        x, y, yaw = pose
        c, s = math.cos(yaw), math.sin(yaw)
        return (x + c * self.dx_m - s * self.dy_m, y + s * self.dx_m + c * self.dy_m, yaw + self.dyaw_rad)


class MicrophoneArrayDevice(Protocol):
    """A microphone array. Its samples are counted, and neither resampled nor dropped in silence.

    Attributes:
        fault: why there is no sound now; empty where there is.
    """

    fault: str

    @property
    def overflow(self) -> str:
        """What the driver says it has thrown away lately, though sound comes; empty where it says nothing."""
        ...

    @property
    def device_rate_hz(self) -> int:
        """The rate at which the device itself runs, samples per second; its blocks have the policy's."""
        ...

    @property
    def rate_told(self) -> str:
        """In words at which rate the device runs, and what follows; empty where a person need not know."""
        ...

    def read_block(self, timeout_s: float) -> AudioBlock | None:
        """Return the next unread block, or None when none came in time.

        Raises:
            DeviceError: the device has gone.
        """
        ...

    def close(self) -> None:
        """Let go of the device."""
        ...


class DepthCameraDevice(Protocol):
    """A depth camera.

    Attributes:
        fault: why no frame comes now; empty where they come.
    """

    fault: str

    def latest(self) -> DepthFrame | None:
        """Return the newest frame, None before the first; it may have been returned before."""
        ...

    def unread(self) -> list[DepthFrame]:
        """Return the frames that came since the last call, oldest first."""
        ...

    def close(self) -> None:
        """Let go of the device."""
        ...


class OdometryDevice(Protocol):
    """A source of odometry."""

    def unread(self) -> list[OdometrySample]:
        """Return the samples that came since the last call, oldest first."""
        ...

    def close(self) -> None:
        """Let go of the device."""
        ...


class DriveDevice(Protocol):
    """A drive, owned by the guardian alone.

    Attributes:
        dead_man_ms: without a command for so long the motor controller stops by itself.
    """

    dead_man_ms: float

    def command(self, v_mps: float, w_radps: float) -> None:
        """Set forward speed and turning speed (counter-clockwise), held until the next command.

        Raises:
            DriveGone: it has gone and may come back.
            DeviceError: it has gone for good.
        """
        ...

    def fileno(self) -> int:
        """Return what becomes readable when the drive has said something, for select; -1 where nothing does."""
        ...

    def listen(self) -> None:
        """Take what the drive has said, and command nothing.

        Raises:
            DriveGone, DeviceError: as in `command`.
        """
        ...

    def motions(self) -> list[OdometrySample]:
        """Return the odometry that the drive itself delivered since the last call, oldest first; most have none."""
        ...

    def close(self) -> None:
        """Stop, unless it was opened as a shadow's, and let go of the device."""
        ...


@dataclass(frozen=True)
class Sensors:
    """The devices that the runtime reads; the drive is not among them."""

    microphones: MicrophoneArrayDevice
    camera: DepthCameraDevice
    odometry: OdometryDevice | None

    def close(self) -> None:
        """Let go of all of them."""
        self.microphones.close()
        self.camera.close()
        if self.odometry is not None:
            self.odometry.close()


# kind of devices: module that has `open_sensors(robot) -> Sensors` and `open_drive(robot, shadow) -> DriveDevice`
DEVICES = {
    "simulated": "phonotaxis.deploy.jetson.simulated",
    "hardware": "phonotaxis.deploy.jetson.hardware",
}


def open_sensors(robot: RobotConfig) -> Sensors:
    """Open the sensors that the robot's configuration names.

    Raises:
        DeviceError: one of them can't be opened.
    """
    sensors: Sensors = _module(robot).open_sensors(robot)
    return sensors


def open_drive(robot: RobotConfig, shadow: bool = False) -> DriveDevice:
    """Open the drive that the robot's configuration names; only the guardian calls this.

    Args:
        robot: whose drive.
        shadow: a person drives by other means: the drive is listened to alone. It is commanded nothing, not even when
            it is closed, and whoever else commands it is welcome.

    Raises:
        DeviceError: it can't be opened.
    """
    drive: DriveDevice = _module(robot).open_drive(robot, shadow)
    return drive


def _module(robot: RobotConfig) -> Any:
    kind = robot.devices.kind
    if kind not in DEVICES:
        raise ConfigError(f"unknown devices.kind '{kind}'{did_you_mean(kind, DEVICES)} (known: {list(DEVICES)})")
    return import_module(DEVICES[kind])
