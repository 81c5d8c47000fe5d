"""Can this robot carry this policy? Every point in which it can't, said in one go."""

from __future__ import annotations

import itertools
import math
from pathlib import PurePath
from typing import Any, NamedTuple

import numpy as np

from phonotaxis.configs.array import MicrophoneArray
from phonotaxis.configs.base import ConfigError
from phonotaxis.configs.contract import DEPTH, Contract, DiscreteActions, PinholeCamera
from phonotaxis.configs.directivity import Directivity
from phonotaxis.configs.geometry import camera_from_base, pixel_rays
from phonotaxis.configs.robot import RobotConfig

# 2 mm is a sixth of a sample of sound at 16 kHz: below it the phases that the policy learnt still hold.
MICROPHONE_TOLERANCE_M = 0.002
PATTERN_TOLERANCE = 0.05  # of parts of a pattern, a reflection or a direction: half a decibel
MOTION_TOLERANCE = 0.10  # of the distance or turn of one control period (the design's 10 %)
MIN_VIEW_COVERED = 0.90  # of the policy's pixels that the robot's camera must see
BLIND_TOLERANCE_M = 0.25  # by which the robot's camera may begin to see farther off than the policy's
HEIGHT_TOLERANCE_M = 0.05  # by which the robot may be higher than the body that training kept clear of things
PARALLAX_DEPTHS_M = (
    0.5,
    2.0,
    5.0,
)  # where coverage is tested: two mounts see the same only beyond some depth


def mismatches(contract: Contract, robot: RobotConfig) -> list[str]:
    """List every point in which the robot can't do what the policy was trained with; empty if it can."""
    return [
        *_audio(contract, robot),
        *_camera(contract, robot),
        *_motion(contract, robot),
        *_body(contract, robot),
        *_safety(contract, robot),
    ]


def check_compatible(contract: Contract, robot: RobotConfig) -> None:
    """Refuse a robot that doesn't match the policy.

    Raises:
        ConfigError: one line for each point, with what the policy needs and what the robot has.
    """
    found = mismatches(contract, robot)
    if found:
        points = "\n".join(f"  - {point}" for point in found)
        raise ConfigError(
            f"robot '{robot.name}' can't run this policy ({len(found)} point(s)); change the robot's configuration, or "
            f"write the policy for this robot by `phonotaxis export --robot`, or train for it:\n{points}"
        )


def _audio(contract: Contract, robot: RobotConfig) -> list[str]:
    faults = []
    if robot.sample_rate_hz != contract.sample_rate_hz:
        faults.append(f"sample rate: policy {contract.sample_rate_hz} Hz, robot {robot.sample_rate_hz} Hz")
    return faults + array_mismatches(contract.array, robot.array)


def array_mismatches(wanted: MicrophoneArray, own: MicrophoneArray) -> list[str]:
    """List the points in which a robot's microphones hear otherwise than a policy's; empty where they hear alike."""
    if own.mics != wanted.mics:
        return [f"microphones: policy {wanted.mics} ({wanted.name}), robot {own.mics} ({own.name})"]
    faults = []
    apart_m = _distances_m(own.positions_m(), wanted.positions_m())
    if apart_m.max() > MICROPHONE_TOLERANCE_M:
        worst = int(apart_m.argmax())
        faults.append(
            f"microphone positions: number {worst} lies {apart_m[worst] * 1000:.1f} mm from where the policy "
            f"has it (at most {MICROPHONE_TOLERANCE_M * 1000:g} mm){_other_order(wanted, own)}"
        )
    differing = _differences(wanted.directivity, own.directivity)
    if differing:
        faults.append(
            f"array.directivity: policy {wanted.directivity.kind}, robot {own.directivity.kind} (they differ in "
            f"{', '.join(differing)}); mount the microphones as the policy's are and say so in the robot's array, or "
            "train with the robot's"
        )
    return faults


def _differences(wanted: Directivity, own: Directivity) -> list[str]:
    """Name the fields in which two directivities differ; files are known by their names alone."""
    if wanted.kind != own.kind:
        return ["kind"]
    ours, theirs = wanted.model_dump(), own.model_dump()
    return [name for name in ours if name != "common_delay_s" and not _alike(name, ours[name], theirs[name])]


def _alike(name: str, wanted: Any, own: Any) -> bool:
    if isinstance(wanted, dict) and isinstance(own, dict):
        return all(_alike(key, wanted[key], own[key]) for key in wanted)
    if isinstance(wanted, (tuple, list)) and isinstance(own, (tuple, list)):
        return len(wanted) == len(own) and all(_alike(name, a, b) for a, b in zip(wanted, own))
    if isinstance(wanted, float) and isinstance(own, float):
        return abs(wanted - own) <= (MICROPHONE_TOLERANCE_M if name.endswith("_m") else PATTERN_TOLERANCE)
    if name == "path":
        return PurePath(wanted).name == PurePath(own).name
    return bool(wanted == own)


def _distances_m(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.sqrt(((a - b) ** 2).sum(axis=1))


def _other_order(wanted: MicrophoneArray, own: MicrophoneArray) -> str:
    """Say which order of the robot's microphones would match; searched for up to 8 of them."""
    ours, theirs = own.positions_m(), wanted.positions_m()
    order = [int(np.argmin(_distances_m(ours, np.broadcast_to(m, ours.shape)))) for m in theirs]
    if len(set(order)) < len(order) or _distances_m(ours[order], theirs).max() > MICROPHONE_TOLERANCE_M:
        return ""
    channels = [own.channel_map[i] for i in order]
    return f"; they match in another order: list them as {order}, with channel_map {channels}"


def _camera(contract: Contract, robot: RobotConfig) -> list[str]:
    wanted, own = contract.camera, robot.camera.pinhole
    beyond = [name for name in contract.modalities if name != DEPTH]
    faults = [f"camera: the policy sees {' and '.join(beyond)}, robots' cameras deliver depth alone"] if beyond else []
    if wanted == own:
        return faults
    covered = min(_covered(wanted, own, depth_m, contract.view_deg) for depth_m in PARALLAX_DEPTHS_M)
    if covered < MIN_VIEW_COVERED:
        faults.append(
            f"camera: it sees {covered:.0%} of the policy's view (at least {MIN_VIEW_COVERED:.0%}); policy "
            f"{_view(wanted, contract.view_deg)}, robot {_view(own)}"
        )
    if own.fx < 0.95 * wanted.fx or own.fy < 0.95 * wanted.fy:
        faults.append(
            f"camera: {own.fx:g} x {own.fy:g} pixels per unit of tangent are coarser than the policy's "
            f"{wanted.fx:g} x {wanted.fy:g}, which would leave holes"
        )
    if own.max_range_m < 0.5 * wanted.max_range_m:
        faults.append(f"camera range: policy {wanted.max_range_m:g} m, robot {own.max_range_m:g} m")
    if own.min_range_m > wanted.min_range_m + BLIND_TOLERANCE_M:
        faults.append(
            f"camera range: the policy sees from {wanted.min_range_m:g} m on, the robot's camera from "
            f"{own.min_range_m:g} m (at most {BLIND_TOLERANCE_M:g} m farther)"
        )
    return faults


def _view(camera: PinholeCamera, view_deg: tuple[float, float] | None = None) -> str:
    across = np.degrees(np.arctan(camera.cx / camera.fx) + np.arctan((camera.width - camera.cx) / camera.fx))
    upright = np.degrees(np.arctan(camera.cy / camera.fy) + np.arctan((camera.height - camera.cy) / camera.fy))
    if view_deg is not None:
        across, upright = min(across, view_deg[0]), min(upright, view_deg[1])
    return f"{across:.0f} x {upright:.0f} deg from {camera.mount_xyz_m} turned {camera.mount_rpy_rad}"


def _covered(wanted: PinholeCamera, own: PinholeCamera, depth_m: float, view_deg: tuple[float, float] | None) -> float:
    """Return the share of the policy's pixels, within its view, whose point at a depth lies in the robot's image.

    A view that is narrower than a pixel has none: nothing of it is covered.
    """
    rays = pixel_rays(wanted).reshape(-1, 3)
    if view_deg is not None:
        rays = rays[(np.abs(rays[:, :2]) <= np.tan(0.5 * np.radians(view_deg))).all(axis=1)]
    if not len(rays):
        return 0.0
    points = rays * depth_m
    points = np.concatenate([points, np.ones((len(points), 1))], axis=1)
    seen = points @ (camera_from_base(own) @ np.linalg.inv(camera_from_base(wanted))).T
    z = np.maximum(seen[:, 2], 1e-9)
    u, v = seen[:, 0] / z * own.fx + own.cx, seen[:, 1] / z * own.fy + own.cy
    inside = (seen[:, 2] > 0) & (u >= 0) & (u < own.width) & (v >= 0) & (v < own.height)
    return float(inside.mean())


class Axis(NamedTuple):
    """What a robot's drive and guardian make of the speeds of one axis; m/s and its derivatives, or rad/s and its.

    Attributes:
        reach: what the drive reaches.
        limit: what the guardian lets through.
        acceleration: the least of drive's and guardian's; None where neither has any.
        jerk: the guardian's; None where it has none.
    """

    reach: float
    limit: float
    acceleration: float | None
    jerk: float | None


def axes_of(robot: RobotConfig) -> tuple[Axis, Axis]:
    """Return what a robot makes of forward speeds, and of turning ones."""
    drive, limits = robot.drive, robot.safety
    turning = least(drive.max_angular_acceleration_radps2, limits.max_angular_acceleration_radps2)
    return (
        Axis(
            drive.max_v_mps, limits.max_v_mps,
            least(drive.max_acceleration_mps2, limits.max_acceleration_mps2), limits.max_jerk_mps3,
        ),
        Axis(drive.max_w_radps, limits.max_w_radps, turning, limits.max_angular_jerk_radps3),
    )  # fmt: skip


def _motion(contract: Contract, robot: RobotConfig) -> list[str]:
    body, period_s, latency_s = contract.body, contract.control_period_s, robot.drive.latency_s
    faults = []
    if latency_s > period_s:
        faults.append(
            f"drive.latency_s {latency_s:g} s: a setpoint acts after its control period of {period_s:g} s is over, "
            "which no training meets; make the drive answer sooner"
        )
    rows = (
        ("v", "m/s", "mps", body.max_acceleration_mps2),
        ("w", "rad/s", "radps", body.max_angular_acceleration_radps2),
    )
    for index, ((name, unit, ending, trained), axis) in enumerate(zip(rows, axes_of(robot))):
        top = max(abs(setpoint[index]) for setpoint in _setpoints(contract))
        if top > axis.reach * (1 + 1e-9):
            faults.append(f"{name}: the policy asks for {top:g} {unit}, the drive reaches {axis.reach:g}")
        if top > axis.limit * (1 + 1e-9):
            faults.append(f"{name}: safety.max_{name}_{ending} {axis.limit:g} {unit} would clip the policy's {top:g}")
        wanted = covered_in_period(top, trained, body.latency_s, period_s)
        done = covered_in_period(top, axis.acceleration, latency_s, period_s, axis.jerk)
        if abs(done - wanted) > MOTION_TOLERANCE * wanted + 1e-9:
            jerk = "" if axis.jerk is None else f" within a jerk of {axis.jerk:g}"
            faults.append(
                f"{name} from rest: in one control period of {period_s:g} s training covered {wanted:.3g}, "
                f"this robot {done:.3g} (acceleration {_text(trained)} -> {_text(axis.acceleration)}{jerk}, latency "
                f"{body.latency_s:g} -> {latency_s:g} s); at most {MOTION_TOLERANCE:.0%} apart"
            )
    if robot.odometry is not None and robot.odometry.source != contract.motion_source:
        faults.append(
            f"odometry.source: the policy was trained with {contract.motion_source} odometry, the robot has "
            f"{robot.odometry.source}"
        )
    return faults


def _body(contract: Contract, robot: RobotConfig) -> list[str]:
    body, faults = contract.body, []
    if robot.radius_m > body.radius_m * 1.1 + 1e-9:
        faults.append(f"body: trained with a radius of {body.radius_m:g} m, robot {robot.radius_m:g} m")
    if robot.height_m > body.height_m + HEIGHT_TOLERANCE_M + 1e-9:
        faults.append(f"body: trained with a height of {body.height_m:g} m, robot {robot.height_m:g} m")
    return faults


def _setpoints(contract: Contract) -> list[tuple[float, float]]:
    if isinstance(contract.actions, DiscreteActions):
        return list(contract.actions.setpoints)
    ends = (-1.0, 1.0)
    return [(v * contract.body.max_v_mps, w * contract.body.max_w_radps) for v, w in itertools.product(ends, ends)]


def least(*values: float | None) -> float | None:
    """Return the least of several limits, of which None is none."""
    known = [value for value in values if value is not None]
    return min(known) if known else None


def _text(acceleration: float | None) -> str:
    return "unlimited" if acceleration is None else f"{acceleration:g}"


def covered_in_period(
    speed: float, acceleration: float | None, latency_s: float, period_s: float, jerk: float | None = None
) -> float:
    """Return the distance (or turn) covered from rest in one control period.

    Args:
        speed: setpoint, m/s or rad/s.
        acceleration: m/s^2 or rad/s^2, at most; None bounds none.
        latency_s: during which nothing moves.
        period_s: the control period.
        jerk: m/s^3 or rad/s^3, at which the acceleration comes and goes, as on the guardian's ramp; None: at once.
    """
    time_s = max(0.0, period_s - latency_s)
    if speed == 0.0 or (acceleration is None and jerk is None):
        return speed * time_s
    if jerk is not None:
        return _covered_within_jerk(speed, math.inf if acceleration is None else acceleration, jerk, time_s)
    assert acceleration is not None
    ramp_s = min(time_s, speed / acceleration)
    return 0.5 * acceleration * ramp_s**2 + speed * (time_s - ramp_s)


def _covered_within_jerk(speed: float, acceleration: float, jerk: float, time_s: float) -> float:
    """Integrate a speed whose acceleration rises, stays and falls again: four cubics, each from its own beginning."""
    rising_s = min(math.sqrt(speed / jerk), acceleration / jerk)
    ramp_s = rising_s + speed / (jerk * rising_s)
    begun_s = (0.0, rising_s, ramp_s - rising_s, ramp_s)
    cubes = [max(0.0, time_s - begin_s) ** 3 for begin_s in begun_s]
    return jerk / 6.0 * (cubes[0] - cubes[1] - cubes[2] + cubes[3])


def steady_acceleration(speed: float, axis: Axis, time_s: float) -> float | None:
    """Return the constant acceleration that covers from rest in this time what a robot covers; None: as if at once."""
    if axis.jerk is None or time_s <= 0.0:
        return axis.acceleration
    way = covered_in_period(speed, axis.acceleration, 0.0, time_s, axis.jerk)
    if way <= 0.5 * speed * time_s:  # still on its ramp at the end
        return 2.0 * way / time_s**2
    lost = speed * time_s - way
    return speed**2 / (2.0 * lost) if lost > 1e-12 else None


def _safety(contract: Contract, robot: RobotConfig) -> list[str]:
    faults = []
    period_ms = contract.control_period_s * 1000
    if robot.safety.command_expiry_ms < 1.2 * period_ms:
        faults.append(
            f"safety.command_expiry_ms {robot.safety.command_expiry_ms:g} would expire commands between two "
            f"steps of {period_ms:g} ms; at least {1.2 * period_ms:g}"
        )
    return faults
