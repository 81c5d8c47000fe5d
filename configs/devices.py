"""The devices behind the robot's interfaces: the simulated robot's, or a real one's by name, pipeline and port."""

from __future__ import annotations

from typing import Annotated, Literal, Union

from pydantic import Field, model_validator

from phonotaxis.configs.base import Frozen


class SimulatedDevices(Frozen):
    """Everything of the simulated robot, over a Unix-domain socket.

    A relative or empty socket path is looked for in the folder of `XDG_RUNTIME_DIR`.
    """

    kind: Literal["simulated"] = "simulated"
    socket: str = "phonotaxis/robot.sock"


class Microphones(Frozen):
    """The sound card of the microphone array, through PortAudio.

    Attributes:
        device: a part of PortAudio's name for it; empty takes the array's `device_name`.
        block_ms: how much sound the driver hands over at a time.
        latency_ms: from the converter to the driver, taken off capture times.
        resample: a device that can't do the policy's rate runs at a higher one and is resampled; otherwise refused.
        device_rate_hz: at which to open the device, at least the policy's rate; None takes the policy's where the
            device does it. Behind a sound server every device seems to do every rate: this names the hardware's own.
    """

    device: str = ""
    block_ms: float = Field(default=10.0, ge=2.0, le=100.0)
    latency_ms: float = Field(default=0.0, ge=0.0, le=500.0)
    resample: bool = True
    device_rate_hz: int | None = Field(default=None, ge=8000, le=192000)


class CameraPipeline(Frozen):
    """The camera as a GStreamer pipeline without its sink, e.g. `v4l2src device=/dev/depth ! video/x-raw,format=...`.

    Attributes:
        pipeline: ends in frames of `camera.pinhole`'s size: GRAY16_LE where it delivers depth.
        delivers: `depth` is 16-bit codes of the distance along the axis, 0 = unknown; `colour` carries no depth.
        depth_scale_m: metres of one code.
        latency_ms: from exposure to the pipeline's time stamp, taken off capture times.
    """

    pipeline: str = Field(min_length=1)
    delivers: Literal["depth", "colour"] = "depth"
    depth_scale_m: float = Field(default=0.001, gt=0.0, le=1.0)
    latency_ms: float = Field(default=0.0, ge=0.0, le=1000.0)


class WaveshareDrive(Frozen):
    """Waveshare's UGV chassis: JSON lines over a serial port (its wiki, "Sub-controller JSON Command Set").

    Attributes:
        port: e.g. /dev/ttyTHS1, or a name of your own by udev.
        baud: of the firmware.
        track_m: between the wheels' middles, for the odometry.
        odometer_unit_m: of `odl` and `odr`: 0.01 in the current firmware, 1 in older ones.
    """

    kind: Literal["waveshare"] = "waveshare"
    port: str = Field(min_length=1)
    baud: int = Field(default=115200, ge=9600, le=4_000_000)
    track_m: float = Field(default=0.172, gt=0.0, le=2.0)
    odometer_unit_m: float = Field(default=0.01, gt=0.0, le=1.0)


class Ros2Drive(Frozen):
    """A base driven by ROS 2: geometry_msgs/Twist out, nav_msgs/Odometry in."""

    kind: Literal["ros2"] = "ros2"
    topic: str = "/cmd_vel"
    odometry_topic: str = "/odom"


DriveDeviceConfig = Annotated[Union[WaveshareDrive, Ros2Drive], Field(discriminator="kind")]  # noqa: UP007

WAVESHARE_DEAD_MAN_MS = 200.0  # at most: longer, and a robot at 1 m/s drives on for more than its own length


class ArmButtonConfig(Frozen):
    """A button that arms the robot while it is held, and disarms when it is pressed: a Linux input device.

    Attributes:
        device: its path, best one that stays, of /dev/input/by-id or by udev.
        key_code: of linux/input-event-codes.h, as `phonotaxis devices button` shows it, e.g. 28 for Enter.
        hold_s: to arm; a bump is shorter.
    """

    device: str = Field(pattern="^/")
    key_code: int = Field(ge=1, le=767)
    hold_s: float = Field(default=1.0, ge=0.5, le=10.0)


class HardwareDevices(Frozen):
    """The devices of a real robot."""

    kind: Literal["hardware"] = "hardware"
    microphones: Microphones = Microphones()
    camera: CameraPipeline
    drive: DriveDeviceConfig

    @model_validator(mode="after")
    def _no_sink(self) -> HardwareDevices:
        if self.camera.pipeline.rstrip().endswith("!"):
            raise ValueError("camera.pipeline must end in an element, not in '!': the sink is added by the runtime")
        return self


Devices = Annotated[Union[SimulatedDevices, HardwareDevices], Field(discriminator="kind")]  # noqa: UP007
