"""The simulated robot's devices: the client's end of the wire that `configs/wire.py` defines."""

from __future__ import annotations

import queue
import socket
import threading
from typing import TYPE_CHECKING, Any, cast

from phonotaxis.configs import wire
from phonotaxis.deploy.devices import AudioBlock, DepthFrame, DeviceError, OdometrySample, Sensors

if TYPE_CHECKING:
    from phonotaxis.configs.devices import SimulatedDevices
    from phonotaxis.configs.robot import RobotConfig

CONNECT_TIMEOUT_S = 10.0
_QUEUED_BLOCKS = 4096  # some minutes of 50 ms blocks: a stalled loop shows as age, not as lost memory


class SimulatedSensors:
    """One connection for all sensors, so that frames arrive in the order in which they happened.

    A thread reads the wire into one queue. Depth and odometry become visible no later than the audio that
    followed them on the wire: `read_block` hands them on as it passes them.

    Attributes:
        device_rate_hz: of its microphones, which is the policy's.
        rate_told: empty; nothing is resampled.
        fault: empty; a robot that has gone is an error.
        overflow: empty; the wire loses nothing.
    """

    rate_told = fault = overflow = ""

    def __init__(self, link: socket.socket, robot: RobotConfig) -> None:
        self._link = link
        self.device_rate_hz = robot.sample_rate_hz
        self._name = robot.name
        self._channels, self._image = (
            robot.array.device_channels,
            (robot.camera.pinhole.height, robot.camera.pinhole.width),
        )
        self._queue: queue.Queue[AudioBlock | DepthFrame | OdometrySample | DeviceError] = queue.Queue(_QUEUED_BLOCKS)
        self._frames: list[DepthFrame] = []
        self._latest: DepthFrame | None = None
        self._odometry: list[OdometrySample] = []
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._read, name="simulated-sensors", daemon=True)
        self._thread.start()

    def _read(self) -> None:
        while not self._closing.is_set():
            try:
                header, payload = wire.receive(self._link)
                item = _decode(header, payload)
                self._check_form(item)
                self._queue.put_nowait(item)
            except wire.WireTimeout:
                continue
            except queue.Full:
                self._fail("the runtime has not read its sensors for minutes")
                return
            except DeviceError as error:
                self._fail(str(error))
                return
            except (wire.WireError, KeyError, TypeError, ValueError) as error:
                self._fail(f"the simulated robot's sensors have gone: {error}")
                return

    def _check_form(self, item: AudioBlock | DepthFrame | OdometrySample) -> None:
        if isinstance(item, AudioBlock) and len(item.samples) != self._channels:
            what, got, wanted = "channels of sound", f"{len(item.samples)}", f"{self._channels}"
        elif isinstance(item, DepthFrame) and item.depth_m.shape != self._image:
            what, got, wanted = "rows and columns of depth", f"{item.depth_m.shape}", f"{self._image}"
        else:
            return
        raise DeviceError(
            f"the simulated robot sends {got} {what}, robot '{self._name}' has {wanted}: name the robot that was "
            "started, or start this one"
        )

    def _fail(self, message: str) -> None:
        if not self._closing.is_set():
            self._queue.put(DeviceError(message))

    def read_block(self, timeout_s: float) -> AudioBlock | None:
        """Return the next block, or None when none came in time; keeps what came before it.

        Raises:
            DeviceError: the robot has gone.
        """
        while True:
            try:
                item = self._queue.get(timeout=timeout_s)
            except queue.Empty:
                return None
            if isinstance(item, DeviceError):
                raise item
            if isinstance(item, AudioBlock):
                return item
            self._keep(item)

    def _keep(self, item: DepthFrame | OdometrySample) -> None:
        if isinstance(item, DepthFrame):
            self._frames.append(item)
            self._latest = item
        else:
            self._odometry.append(item)

    def latest(self) -> DepthFrame | None:
        """Return the newest frame that preceded the last block read."""
        return self._latest

    def frames(self) -> list[DepthFrame]:
        """Return and forget the unread frames."""
        frames, self._frames = self._frames, []
        return frames

    def motions(self) -> list[OdometrySample]:
        """Return and forget the unread odometry."""
        motions, self._odometry = self._odometry, []
        return motions

    def close(self) -> None:
        """Hang up; may be called more than once."""
        if not self._closing.is_set():
            self._closing.set()
            self._link.close()


class SimulatedCamera:
    """The frames of a `SimulatedSensors`.

    Attributes:
        fault: empty; see there.
    """

    fault = ""

    def __init__(self, sensors: SimulatedSensors) -> None:
        self._sensors = sensors

    def latest(self) -> DepthFrame | None:
        """Return the newest frame."""
        return self._sensors.latest()

    def unread(self) -> list[DepthFrame]:
        """Return the frames since the last call."""
        return self._sensors.frames()

    def close(self) -> None:
        """Hang up."""
        self._sensors.close()


class SimulatedOdometry:
    """The odometry of a `SimulatedSensors`."""

    def __init__(self, sensors: SimulatedSensors) -> None:
        self._sensors = sensors

    def unread(self) -> list[OdometrySample]:
        """Return the samples since the last call."""
        return self._sensors.motions()

    def close(self) -> None:
        """Hang up."""
        self._sensors.close()


class SimulatedDrive:
    """The simulated robot's drive; the robot stops by itself `dead_man_ms` after the last command."""

    def __init__(self, link: socket.socket, dead_man_ms: float) -> None:
        self._link = link
        self.dead_man_ms = dead_man_ms

    def command(self, v_mps: float, w_radps: float) -> None:
        """Set both speeds.

        Raises:
            DeviceError: the robot has gone.
        """
        try:
            wire.send(self._link, {"type": "command", "v_mps": v_mps, "w_radps": w_radps})
        except wire.WireError as error:
            raise DeviceError(f"the simulated robot's drive has gone: {error}") from None

    def fileno(self) -> int:
        """Return -1: it says nothing."""
        return -1

    def listen(self) -> None:
        """Do nothing: it says nothing."""

    def motions(self) -> list[OdometrySample]:
        """Return nothing: its odometry comes with the sensors."""
        return []

    def close(self) -> None:
        """Hang up."""
        self._link.close()


def _decode(header: dict[str, Any], payload: bytes) -> AudioBlock | DepthFrame | OdometrySample:
    kind, capture_ns = header["type"], int(header["capture_ns"])
    if kind == "audio":
        samples = wire.array_from(header, payload, "int16", 2)
        return AudioBlock(samples, int(header["first_sample"]), capture_ns)
    if kind == "depth":
        return DepthFrame(wire.array_from(header, payload, "float32", 2), capture_ns)
    if kind == "odometry":
        dx_m, dy_m, dyaw_rad = (float(header[key]) for key in ("dx_m", "dy_m", "dyaw_rad"))
        return OdometrySample(dx_m, dy_m, dyaw_rad, bool(header["collision"]), capture_ns)
    raise ValueError(f"unknown frame '{kind}'")


def open_sensors(robot: RobotConfig) -> Sensors:
    """Connect to the simulated robot's sensors; its time starts when they and the drive are connected.

    Raises:
        DeviceError: nobody listens at the configured socket.
    """
    sensors = SimulatedSensors(_connect(robot, "sensors"), robot)
    odometry = SimulatedOdometry(sensors) if robot.odometry is not None else None
    return Sensors(sensors, SimulatedCamera(sensors), odometry)


def open_drive(robot: RobotConfig, shadow: bool = False) -> SimulatedDrive:
    """Connect to the simulated robot's drive; to hang up commands nothing, so a shadow's is no other.

    Raises:
        DeviceError: nobody listens at the configured socket.
    """
    return SimulatedDrive(_connect(robot, "drive"), robot.drive.dead_man_ms)


def _connect(robot: RobotConfig, role: str) -> socket.socket:
    try:
        devices = cast("SimulatedDevices", robot.devices)
        link = wire.connect(wire.socket_path(devices.socket), role, CONNECT_TIMEOUT_S)
    except wire.WireError as error:
        raise DeviceError(str(error)) from None
    link.settimeout(0.5)
    return link
