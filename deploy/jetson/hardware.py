"""A real robot's devices, opened as its configuration names them."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from phonotaxis.deploy.devices import DriveDevice, Sensors

if TYPE_CHECKING:
    from phonotaxis.configs.devices import HardwareDevices
    from phonotaxis.configs.robot import RobotConfig


def open_sensors(robot: RobotConfig) -> Sensors:
    """Open microphones and camera; a drive that delivers odometry hands it to the runtime by the guardian.

    Raises:
        DeviceError: one of them isn't there or doesn't do what the configuration says.
    """
    from phonotaxis.deploy.jetson.cameras import LiveCamera
    from phonotaxis.deploy.jetson.microphones import LiveMicrophones

    devices = _devices(robot)
    microphones = LiveMicrophones(devices.microphones, robot.array, robot.sample_rate_hz)
    try:
        return Sensors(microphones, LiveCamera(devices.camera, robot.camera), None)
    except BaseException:
        microphones.close()
        raise


def open_drive(robot: RobotConfig, shadow: bool = False) -> DriveDevice:
    """Open the drive; only the guardian does. See `deploy.devices.open_drive`.

    Raises:
        DeviceError: it isn't there, or somebody else holds it.
    """
    drive = _devices(robot).drive
    if drive.kind == "waveshare":
        from phonotaxis.deploy.jetson.drives.waveshare import Waveshare

        return Waveshare(drive, robot.drive.dead_man_ms, shadow)
    from phonotaxis.deploy.jetson.drives.ros2 import Ros2

    return Ros2(drive, robot.drive.dead_man_ms, shadow)


def _devices(robot: RobotConfig) -> HardwareDevices:
    return cast("HardwareDevices", robot.devices)  # what is opened here is of that kind; the guardian's is plain
