"""Everything that can be checked of a robot before its wheels turn, and with them lifted, its dead man."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from phonotaxis.configs.base import ConfigError
from phonotaxis.configs.compatibility import check_compatible
from phonotaxis.configs.devices import ArmButtonConfig, HardwareDevices
from phonotaxis.configs.robot import RobotConfig
from phonotaxis.deploy.clock import now_ns
from phonotaxis.deploy.devices import DeviceError, DriveDevice, open_drive
from phonotaxis.deploy.emergency_stop import EmergencyStop, latch_path
from phonotaxis.deploy.input_device import InputDevice
from phonotaxis.deploy.realtime import PRIORITY
from phonotaxis.export.bundle import BundleError, SignatureError, read_bundle
from phonotaxis.export.engines import AUTO, EngineError, open_engine

LISTEN_S = 2.0
FRAME_S = 10.0
CREEP_MPS = 0.1  # to prove the dead man, wheels lifted; as fast as need be where their way is told in coarse units
CREEP_S = 0.6
DEAD_MAN_SLACK_MS = 50.0
UNIT_MS = 25.0  # that the wheels may turn on without a report showing it, for the slack to be worth something
MAX_WATCH_S = 3.0
REPORT_S = 5.0  # within which a drive tells its odometry: a board that boots as its port is opened takes 3
CEASED_S = 0.5  # without a report of its wheels: the slowest of drives tell ten a second


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes:
        name: of it.
        ok: it is as it must be.
        text: what was found, and what to do where it isn't.
    """

    name: str
    ok: bool
    text: str


def check_robot(
    robot: RobotConfig,
    policy: Path | None = None,
    wheels_lifted: bool = False,
    say: Callable[[str], None] = lambda text: None,
) -> Iterator[Check]:
    """Check one thing after the other; each is yielded as soon as it is known.

    Args:
        robot: its devices must be hardware.
        policy: a bundle that shall run on it; signed, where the robot asks for that.
        wheels_lifted: a person says that the wheels turn freely: the drive's dead man is proven.
        say: gets a line of text where an engine is built, which may take minutes, or passed over.

    Raises:
        ConfigError: the robot is a simulated one.
    """
    if not isinstance(robot.devices, HardwareDevices):
        raise ConfigError(f"robot '{robot.name}' is simulated; this is for devices.kind: hardware")
    if policy is not None:
        yield _guarded("policy", lambda: _policy(robot, policy, say))
    yield _emergency_stop(robot)
    yield _priority()
    yield _guarded("microphones", lambda: _microphones(robot))
    yield _guarded("camera", lambda: _camera(robot))
    if robot.arm_button is not None:
        yield _button(robot.arm_button)
    yield _guarded("drive", lambda: _drive(robot, wheels_lifted))


def _guarded(name: str, check: Callable[[], Check]) -> Check:
    try:
        return check()
    except (ConfigError, BundleError, SignatureError, EngineError, DeviceError, OSError) as error:
        return Check(name, False, str(error))
    except ModuleNotFoundError as error:
        return Check(name, False, f"{error.name} isn't installed: pip install 'phonotaxis[devices]'")


def _policy(robot: RobotConfig, policy: Path, say: Callable[[str], None]) -> Check:
    bundle = read_bundle(policy, robot.trusted_signers)
    check_compatible(bundle.contract, robot)
    engine = open_engine(bundle, AUTO, say=say)  # as `run` does
    return Check("policy", True, f"{bundle.sha256[:12]} fits this robot and runs on {engine.fingerprint['engine']}")


def _emergency_stop(robot: RobotConfig) -> Check:
    reason = EmergencyStop(latch_path(robot)).reason
    text = f"latched ({reason}); `phonotaxis robot release --robot FILE`" if reason else "not latched"
    return Check("emergency_stop", not reason, text)


def _priority() -> Check:
    import resource

    limit = resource.getrlimit(resource.RLIMIT_RTPRIO)[0]
    granted = limit == resource.RLIM_INFINITY or limit >= PRIORITY or os.geteuid() == 0
    text = "real-time scheduling is granted"
    if not granted:
        text = (
            f"real-time scheduling is refused: rtprio is {limit}, the guardian asks for {PRIORITY}; raise rtprio and "
            "memlock in /etc/security/limits.conf, or run as a service"
        )
    return Check("real_time", granted, text)


def _microphones(robot: RobotConfig) -> Check:
    from phonotaxis.deploy.jetson.channel_check import check_channels
    from phonotaxis.deploy.jetson.microphones import LiveMicrophones, record

    assert isinstance(robot.devices, HardwareDevices)
    device = LiveMicrophones(robot.devices.microphones, robot.array, robot.sample_rate_hz)
    try:
        samples = record(device, LISTEN_S)
    finally:
        device.close()
    share = samples.shape[1] / (LISTEN_S * robot.sample_rate_hz)
    report = check_channels(samples, robot.array, robot.sample_rate_hz)
    faults = list(report.faults)
    if abs(share - 1.0) > 0.1:
        faults.insert(0, f"{share:.0%} of the samples that {robot.sample_rate_hz} Hz would give in {LISTEN_S:g} s")
    well = f"{len(samples)} channels, {'none dead or clipping' if report.unjudged else 'all well'}; {device.rate_told}"
    return Check("microphones", not faults, "; ".join([*(faults or [well]), *filter(None, [report.unjudged])]))


def _camera(robot: RobotConfig) -> Check:
    from phonotaxis.deploy.jetson.cameras import LiveCamera

    assert isinstance(robot.devices, HardwareDevices)
    device = LiveCamera(robot.devices.camera, robot.camera)
    try:
        deadline_s = time.monotonic() + FRAME_S
        while (frame := device.latest()) is None and time.monotonic() < deadline_s:
            time.sleep(0.02)
        at_ns = now_ns()
    finally:
        device.close()
    if frame is None:
        return Check("camera", False, device.fault or f"no frame within {FRAME_S:g} s")
    age_ms, known = (at_ns - frame.capture_ns) * 1e-6, float((frame.depth_m > 0).mean())
    text = f"a frame {age_ms:.0f} ms old, {known:.0%} of its pixels known"
    if known == 0.0:
        fault = "is it covered, or is devices.camera.depth_scale_m or camera.pinhole's range wrong?"
    elif age_ms < 0.0:
        fault = "it lies in the future; let the pipeline's source stamp its frames as they come"
    elif age_ms > robot.camera.max_age_ms:
        fault = (
            f"at most camera.max_age_ms {robot.camera.max_age_ms:g}; shorten the pipeline, or devices.camera.latency_ms"
        )
    else:
        fault = ""
    return Check("camera", not fault, f"{text}: {fault}" if fault else text)


def _button(config: ArmButtonConfig) -> Check:
    device = InputDevice(config.device, "arm button", now_ns())
    device.close()
    if device.notices:
        return Check("arm_button", False, f"{device.notices[0][1]}: plug it in, or let this user read it (udev)")
    return Check("arm_button", True, f"{config.device}: hold key {config.key_code} for {config.hold_s:g} s to arm")


def _drive(robot: RobotConfig, wheels_lifted: bool) -> Check:
    if wheels_lifted and EmergencyStop(latch_path(robot)).reason:
        return Check(
            "drive",
            False,
            "no wheel turns while the emergency stop is latched; `phonotaxis robot release --robot FILE` first",
        )
    drive = open_drive(robot)
    try:
        if not _reports(drive):
            need = "its dead man can't be proven without" if wheels_lifted else "robot.odometry needs it"
            fine = robot.odometry is None and not wheels_lifted
            text = f"open, but it told no odometry within {REPORT_S:g} s"
            return Check("drive", fine, text if fine else f"{text}, and {need}: is devices.drive's topic for it right?")
        if not wheels_lifted:
            known = f"its dead man of {drive.dead_man_ms:g} ms is unproven (--wheels-lifted)"
            return Check("drive", True, f"open, and tells its odometry; {known}")
        return _prove_dead_man(drive, *_creep(robot))
    finally:
        drive.close()


def _reports(drive: DriveDevice) -> bool:
    """Tell it to stand until it has told its odometry; returns whether it has, in time."""
    until_s = time.monotonic() + REPORT_S
    while time.monotonic() < until_s:
        drive.command(0.0, 0.0)
        if drive.motions():
            return True
        time.sleep(0.02)
    return False


def _creep(robot: RobotConfig) -> tuple[float, float]:
    """Return how fast to creep, and for how long the wheels turn at that speed between two of their odometers' units.

    A board that counts whole centimetres shows none of the last 100 ms at `CREEP_MPS`, so it creeps faster, as far as
    the robot may.
    """
    told = robot.devices.drive if isinstance(robot.devices, HardwareDevices) else None
    unit_m = getattr(told, "odometer_unit_m", 0.0)
    if unit_m >= 1.0:  # metres, with decimals
        return CREEP_MPS, 0.0
    fastest_mps = max(CREEP_MPS, min(robot.drive.max_v_mps, robot.safety.max_v_mps))
    creep_mps = min(fastest_mps, max(CREEP_MPS, unit_m / (UNIT_MS * 1e-3)))
    return creep_mps, unit_m / creep_mps * 1e3


def _prove_dead_man(drive: DriveDevice, creep_mps: float, unit_ms: float) -> Check:
    """Creep, fall silent, and time until the wheels report that they stand, at the latest."""
    moved_m, until_s = 0.0, time.monotonic() + CREEP_S
    while time.monotonic() < until_s:
        drive.command(creep_mps, 0.0)
        moved_m += sum(abs(motion.dx_m) for motion in drive.motions())
        time.sleep(0.02)
    silent_ns = now_ns()
    if moved_m < 0.2 * creep_mps * CREEP_S:
        return Check("drive", False, "told to creep, its wheels report no motion: is the motors' power on?")
    last_ns = heard_ns = silent_ns
    until_s = time.monotonic() + MAX_WATCH_S
    while time.monotonic() < until_s:
        drive.listen()
        for motion in drive.motions():
            heard_ns = motion.capture_ns
            if abs(motion.dx_m) > 0.05 * creep_mps * 0.02:
                last_ns = motion.capture_ns
        time.sleep(0.005)
    if now_ns() - heard_ns > CEASED_S * 1e9:
        ceased = f"{(heard_ns - silent_ns) * 1e-6:.0f} ms after the last command its reports ceased"
        return Check("drive", False, f"{ceased}: whether its wheels stood nobody knows: DO NOT DRIVE")
    stopped_ms = (last_ns - silent_ns) * 1e-6 + unit_ms
    limit_ms = drive.dead_man_ms + DEAD_MAN_SLACK_MS
    most = f" at most, of which {unit_ms:.0f} ms are what its odometers don't show" if unit_ms else ""
    text = f"without commands the wheels stood after {stopped_ms:.0f} ms{most} (dead man {drive.dead_man_ms:g} ms)"
    hint = "" if stopped_ms <= limit_ms else ": DO NOT DRIVE; a hanging computer would not stop this robot in time"
    return Check("drive", stopped_ms <= limit_ms, text + hint)
