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


class DepthNode(Frozen):
    """A depth camera's own node of the kernel (Video4Linux), for what GStreamer's v4l2src doesn't know.

    Attributes:
        device: its path, best one that stays, of /dev/v4l/by-path.
        format: of its codes, as `v4l2-ctl -d DEVICE --list-formats` shows them: Z16 (e.g. RealSense) or Y16.
        frame_rate_hz: asked for; the driver takes the nearest that it can.
    """

    device: str = Field(pattern="^/")
    format: Literal["Z16", "Y16"] = "Z16"
    frame_rate_hz: int = Field(default=30, ge=1, le=300)


class CameraPipeline(Frozen):
    """The depth camera: a GStreamer pipeline without its sink, or a node of the kernel.

    Codes are of 16 bit, of the distance along the axis, 0 = unknown. A camera that delivers colour can't be used.

    Attributes:
        pipeline: ends in GRAY16_LE of `camera.pinhole`'s size, e.g. `v4l2src device=... ! video/x-raw,format=...`.
        v4l2: the node, where there is no pipeline; it is asked for `camera.pinhole`'s size.
        delivers: depth, and nothing else.
        depth_scale_m: metres of one code.
        latency_ms: from exposure to the frame's time stamp, taken off capture times.
    """

    pipeline: str | None = Field(default=None, min_length=1)
    v4l2: DepthNode | None = None
    delivers: Literal["depth"] = "depth"
    depth_scale_m: float = Field(default=0.001, gt=0.0, le=1.0)
    latency_ms: float = Field(default=0.0, ge=0.0, le=1000.0)

    @model_validator(mode="after")
    def _one_of_both(self) -> CameraPipeline:
        if (self.pipeline is None) == (self.v4l2 is None):
            raise ValueError("the camera is one of both, pipeline (GStreamer's) or v4l2 (a node of the kernel)")
        if self.pipeline is not None and self.pipeline.rstrip().endswith("!"):
            raise ValueError("camera.pipeline must end in an element, not in '!': the sink is added by the runtime")
        return self


class WaveshareDrive(Frozen):
    """Waveshare's UGV chassis: JSON lines over a serial port (its wiki, "Sub-controller JSON Command Set").

    Attributes:
        port: e.g. /dev/ttyTHS1, or a name of your own by udev.
        baud: of the firmware.
        track_m: between the wheels' middles, for their speeds and the odometry: 0.172 is the UGV Rover's in Waveshare's
            firmware, which has 0.125 for the RaspRover and 0.141 for the UGV Beast.
        odometer_unit_m: of `odl` and `odr`: 0.01 in the current firmware, 1 in older ones.
    """

    kind: Literal["waveshare"] = "waveshare"
    port: str = Field(min_length=1)
    baud: int = Field(default=115200, ge=9600, le=4_000_000)
    track_m: float = Field(default=0.172, gt=0.0, le=2.0)
    odometer_unit_m: float = Field(default=0.01, gt=0.0, le=1.0)


class Ros2Drive(Frozen):
    """A base driven by ROS 2: geometry_msgs/Twist or TwistStamped out, as its node takes it, nav_msgs/Odometry in."""

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


Devices = Annotated[Union[SimulatedDevices, HardwareDevices], Field(discriminator="kind")]  # noqa: UP007
