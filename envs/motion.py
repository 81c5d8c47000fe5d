"""Drives: bodies that ramp to their setpoints, late, with slip, and stop or slide at walls; and their odometry.

`move` drives every world as its own parameters say. Where a drive has none of these, `body.drive` is all it is.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from phonotaxis.configs.motion import Drive
from phonotaxis.envs.body import LEAST_RADIUS_CELLS, clearance_at, drive, pieces_of, wrap
from phonotaxis.envs.hashing import fold, unit

_SLIP_KEY = 0x736C6970  # "slip"
_SLIP_LIMIT = 3.0  # standard deviations at which slip is cut
_ALONG_WALL_TRIES = 3

# Where the odometry comes from, by the contract's `motion_source`, as `move` takes it.
ODOMETRY = {"wheel": 0, "external": 1, "commanded": 2}
_EXTERNAL, _COMMANDED = ODOMETRY["external"], ODOMETRY["commanded"]


class DriveParameters(NamedTuple):
    """How each world's body drives; float64 [worlds] but for `slides`. See `configs.motion.Drive`."""

    max_acceleration_mps2: np.ndarray  # infinity: at once
    max_angular_acceleration_radps2: np.ndarray
    latency_s: np.ndarray
    speed_scale: np.ndarray
    slip_v: np.ndarray
    slip_w: np.ndarray
    slip_turn_radpm: np.ndarray
    radius_m: np.ndarray
    slides: np.ndarray  # bool


class DriveState(NamedTuple):
    """What each world's drive is at, float64 [worlds]: the wheels' speeds now and the setpoints last given."""

    v_mps: np.ndarray
    w_radps: np.ndarray
    v_setpoint_mps: np.ndarray
    w_setpoint_radps: np.ndarray


class Way(NamedTuple):
    """One body on its way through a control period."""

    x: float  # world, metres
    y: float
    yaw: float  # radians, not wrapped
    rolled_x: float  # pose by the wheels, in the base frame at the start
    rolled_y: float
    rolled_yaw: float
    travelled: float  # metres over ground
    touched: bool
    blocked: float  # sign of the speed at which something stopped it; 0 where nothing did
    progress: float  # share of its forward speed that the last piece kept, 0..1


def drive_parameters(drive: Drive, radius_m: float, num_worlds: int) -> DriveParameters:
    """Lay out a drive's parameters, the same for every world.

    Args:
        drive: the configuration.
        radius_m: of the body's disc.
        num_worlds: how many.
    """
    rates = (drive.max_acceleration_mps2, drive.max_angular_acceleration_radps2)
    values = (*(np.inf if rate is None else rate for rate in rates), drive.latency_s, drive.speed_scale)
    slips = (drive.slip_v, drive.slip_w, drive.slip_turn_radpm)
    rows = (np.full(num_worlds, value, dtype=np.float64) for value in (*values, *slips, radius_m))
    return DriveParameters._make((*rows, np.full(num_worlds, drive.wall == "slide")))


def drive_state(num_worlds: int) -> DriveState:
    """Lay out the state of drives at rest."""
    return DriveState(*(np.zeros(num_worlds) for _ in DriveState._fields))


def rest(state: DriveState, worlds: np.ndarray) -> None:
    """Bring the drives of some worlds (int [k]) to rest, as an episode begins."""
    for array in state:
        array[worlds] = 0.0


@njit(cache=True, error_model="numpy", nogil=True)
def move(
    worlds, grounds, scene_of, pose, v_mps, w_radps, seconds, drives, state, keys, steps, odometry, motion, path_m
):
    """Drive the bodies of some worlds for one control period. Each world's bits depend on that world alone.

    Args:
        worlds: int [k], which, each once.
        grounds: typed list of `Ground`, by scene slot.
        scene_of: int [worlds], scene slots.
        pose: float64 [worlds, 3], x, y, yaw; updated.
        v_mps: float64 [worlds], the setpoints.
        w_radps: float64 [worlds].
        seconds: the control period.
        drives: `DriveParameters`.
        state: `DriveState`; updated.
        keys: uint64 [worlds], of the episodes; slip is drawn from them and
        steps: int64 [worlds], the number of this step in its episode.
        odometry: one of `ODOMETRY`.
        motion: float32 [worlds, 6], the contract's; written.
        path_m: float64 [worlds], metres over ground so far; updated.
    """
    for index in range(worlds.size):
        world = worlds[index]
        _move_world(
            world, grounds[scene_of[world]], pose[world], v_mps[world], w_radps[world], seconds, drives, state,
            keys[world], steps[world], odometry, motion[world], path_m,
        )  # fmt: skip


@njit(cache=True, error_model="numpy")
def _move_world(
    world, ground, pose, v_mps, w_radps, seconds, drives, state, key, step, odometry, motion, path_m
):  # fmt: skip
    """Drive one world's body; pose [3] and motion [6] are its own."""
    x0, y0, yaw0 = pose
    v, w = v_mps * drives.speed_scale[world], w_radps * drives.speed_scale[world]
    plain = _reaches_setpoints_at_once(drives, world)
    if plain:
        x, y, yaw, travelled, touched = drive(ground, x0, y0, yaw0, v, w, seconds, drives.radius_m[world])
        state.v_mps[world], state.w_radps[world] = 0.0 if touched else v, w
    else:
        way = _drive_world(ground, x0, y0, yaw0, v, w, seconds, drives, state, world, key, step)
        x, y, yaw, travelled, touched = way.x, way.y, wrap(way.yaw), way.travelled, way.touched
        motion[0], motion[1], motion[2] = way.rolled_x, way.rolled_y, wrap(way.rolled_yaw)
    state.v_setpoint_mps[world], state.w_setpoint_radps[world] = v, w
    if odometry == _COMMANDED:
        _write_arc(motion, v_mps, w_radps, seconds)
    elif plain or odometry == _EXTERNAL:
        cos, sin = np.cos(yaw0), np.sin(yaw0)
        motion[0] = cos * (x - x0) + sin * (y - y0)
        motion[1] = cos * (y - y0) - sin * (x - x0)
        motion[2] = wrap(yaw - yaw0)
    pose[0], pose[1], pose[2] = x, y, yaw
    path_m[world] += travelled
    motion[3], motion[4], motion[5] = v_mps, w_radps, 1.0 if touched else 0.0


@njit(cache=True, error_model="numpy", inline="always")
def _reaches_setpoints_at_once(drives, world):
    """Tell whether plain `drive` is all there is to it."""
    return (
        np.isinf(drives.max_acceleration_mps2[world])
        and np.isinf(drives.max_angular_acceleration_radps2[world])
        and drives.latency_s[world] == 0.0
        and drives.slip_v[world] == 0.0
        and drives.slip_w[world] == 0.0
        and drives.slip_turn_radpm[world] == 0.0
        and not drives.slides[world]
    )


@njit(cache=True, error_model="numpy")
def _write_arc(motion, v_mps, w_radps, seconds):
    """Write where setpoints held for a while would lead from the origin: an arc."""
    turn = w_radps * seconds
    metres = v_mps * seconds
    chord = metres if abs(turn) < 1e-9 else metres * np.sin(0.5 * turn) / (0.5 * turn)
    motion[0], motion[1] = chord * np.cos(0.5 * turn), chord * np.sin(0.5 * turn)
    motion[2] = wrap(turn)


@njit(cache=True, error_model="numpy")
def _drive_world(ground, x, y, yaw, v_mps, w_radps, seconds, drives, state, world, key, step):
    """Drive one world's body with all its parameters, and note the wheels' speeds at the end."""
    rates = drives.max_acceleration_mps2[world], drives.max_angular_acceleration_radps2[world]
    spread = drives.slip_v[world], drives.slip_w[world], drives.slip_turn_radpm[world]
    way, v, w = drive_ramped(
        ground, x, y, yaw, (state.v_mps[world], state.w_radps[world]),
        (state.v_setpoint_mps[world], state.w_setpoint_radps[world]), (v_mps, w_radps), seconds, rates,
        drives.latency_s[world], slip_factors(key, step, spread), drives.radius_m[world], drives.slides[world],
    )  # fmt: skip
    state.v_mps[world], state.w_radps[world] = v * way.progress, w
    return way


@njit(cache=True, error_model="numpy")
def slip_factors(key, step, spread):
    """Draw a step's slip.

    Args:
        key: uint64, of the episode.
        step: its number.
        spread: standard deviations: share of v, share of w, and radians per metre.

    Returns:
        Speed over ground per wheel speed, turning rate likewise, and the turn per metre; cut at 3 deviations.
    """
    key = fold(fold(key, _SLIP_KEY), step)
    across = _normal(fold(key, 0), fold(key, 1))
    return (
        1.0 + spread[0] * across[0],
        1.0 + spread[1] * across[1],
        spread[2] * _normal(fold(key, 2), fold(key, 3))[0],
    )


@njit(cache=True, error_model="numpy")
def _normal(first, second):
    """Return two standard normal numbers of two keys (Box and Muller 1958), cut at 3 deviations."""
    away = np.sqrt(-2.0 * np.log(1.0 - unit(first)))
    turn = 2.0 * np.pi * unit(second)
    a, b = away * np.cos(turn), away * np.sin(turn)
    return min(max(a, -_SLIP_LIMIT), _SLIP_LIMIT), min(max(b, -_SLIP_LIMIT), _SLIP_LIMIT)


@njit(cache=True, error_model="numpy")
def drive_ramped(ground, x, y, yaw, speeds, before, setpoint, seconds, rates, latency_s, slip, radius_m, slides):
    """Drive for a while toward velocity setpoints. Each pair below is of v (m/s) and w (rad/s).

    The wheels hold on to the last setpoint until the latency is over; their speeds ramp at constant rates, and the
    metres rolled and the turn are integrated in closed form; x and y follow in pieces of 2 cm and 0.05 rad.

    Args:
        ground: a `Ground`.
        x: world, metres.
        y: world, metres.
        yaw: world, radians.
        speeds: of the wheels now.
        before: the last setpoint.
        setpoint: the new one.
        seconds: how long.
        rates: of the ramps, m/s^2 and rad/s^2; infinity reaches a setpoint at once.
        latency_s: until the new setpoint acts.
        slip: from `slip_factors`.
        radius_m: of the disc.
        slides: along what it touches; otherwise it stays there until it is driven the other way.

    Returns:
        The `Way`, and the speeds v and w that the wheels' controller has reached.
    """
    way = Way(x, y, yaw, 0.0, 0.0, 0.0, 0.0, False, 0.0, 1.0)
    radius_m = max(radius_m, LEAST_RADIUS_CELLS * ground.cell)
    v, w = speeds
    waiting_s = min(latency_s, seconds)
    for phase in range(2):
        to_v, to_w = before if phase == 0 else setpoint
        lasts_s = waiting_s if phase == 0 else seconds - waiting_s
        if lasts_s <= 0.0:
            continue
        ends_v, ends_w = abs(to_v - v) / rates[0], abs(to_w - w) / rates[1]
        from_s = 0.0
        for corner_s in (min(ends_v, ends_w), max(ends_v, ends_w), lasts_s):
            until_s = min(corner_s, lasts_s)
            if until_s > from_s:
                v_pair = _ramp(v, to_v, rates[0], from_s), _ramp(v, to_v, rates[0], until_s)
                w_pair = _ramp(w, to_w, rates[1], from_s), _ramp(w, to_w, rates[1], until_s)
                way = _roll(ground, way, v_pair, w_pair, until_s - from_s, slip, radius_m, slides)
                from_s = until_s
        v, w = _ramp(v, to_v, rates[0], lasts_s), _ramp(w, to_w, rates[1], lasts_s)
    return way, v, w


@njit(cache=True, error_model="numpy", inline="always")
def _ramp(start, target, rate, seconds):
    """Speed after a ramp of some seconds from one speed toward another; at 0 s of an infinite rate, the target."""
    change = target - start
    if np.isinf(rate) or abs(change) <= rate * seconds:
        return target
    return start + np.copysign(rate * seconds, change)


@njit(cache=True, error_model="numpy")
def _roll(ground, way, v_pair, w_pair, seconds, slip, radius_m, slides):
    """Roll on while the wheels' speeds change evenly from the first to the second of each pair."""
    v_slope, w_slope = (v_pair[1] - v_pair[0]) / seconds, (w_pair[1] - w_pair[0]) / seconds
    most_v = max(abs(v_pair[0]), abs(v_pair[1]))
    most_w = max(abs(w_pair[0]), abs(w_pair[1]))
    metres = slip[0] * most_v * seconds
    pieces = pieces_of(ground, metres, max(slip[1] * most_w + abs(slip[2]) * most_v, most_w) * seconds)
    dt = seconds / pieces
    for piece in range(pieces):
        middle_s = (piece + 0.5) * dt
        v, w = v_pair[0] + v_slope * middle_s, w_pair[0] + w_slope * middle_s
        turning = slip[1] * w + slip[2] * v
        # The heading at the middle of a piece over which the turning rate itself changes.
        bend = 0.125 * dt * dt
        middle = way.yaw + 0.5 * turning * dt - bend * (slip[1] * w_slope + slip[2] * v_slope)
        rolled_middle = way.rolled_yaw + 0.5 * w * dt - bend * w_slope
        way = _advance(ground, way, middle, rolled_middle, v * dt, slip[0], radius_m, slides)
        way = _turned(way, turning * dt, w * dt)
    return way


@njit(cache=True, error_model="numpy", inline="always")
def _turned(way, turn, rolled_turn):
    return Way(
        way.x, way.y, way.yaw + turn, way.rolled_x, way.rolled_y, way.rolled_yaw + rolled_turn, way.travelled,
        way.touched, way.blocked, way.progress,
    )  # fmt: skip


@njit(cache=True, error_model="numpy")
def _advance(ground, way, heading, rolled_heading, rolls_m, slip, radius_m, slides):
    """Go one piece ahead, along what is in the way, or not at all. The wheels turn as far as the body goes forward."""
    if rolls_m == 0.0 or rolls_m * way.blocked > 0.0:
        return way
    cos, sin = np.cos(heading), np.sin(heading)
    metres = slip * rolls_m
    dx, dy = metres * cos, metres * sin
    here = clearance_at(ground, way.x, way.y)
    there = clearance_at(ground, way.x + dx, way.y + dy)
    touched, blocked, progress = way.touched, 0.0, 1.0
    if not (there >= radius_m or there > here):  # a disc that was put too near a wall may leave it
        touched = True
        if slides:
            dx, dy = _along_wall(ground, way.x, way.y, dx, dy, here, radius_m)
            progress = min(max((dx * cos + dy * sin) / metres, 0.0), 1.0)
        else:
            dx, dy, progress, blocked = 0.0, 0.0, 0.0, np.copysign(1.0, rolls_m)
    rolled_m = progress * rolls_m
    return Way(
        way.x + dx, way.y + dy, way.yaw,
        way.rolled_x + rolled_m * np.cos(rolled_heading), way.rolled_y + rolled_m * np.sin(rolled_heading),
        way.rolled_yaw, way.travelled + np.hypot(dx, dy), touched, blocked, progress,
    )  # fmt: skip


@njit(cache=True, error_model="numpy")
def _along_wall(ground, x, y, dx, dy, here, radius_m):
    """Turn a move that is blocked into one along the wall, no longer than it; (0, 0) in a corner."""
    longest = np.hypot(dx, dy)
    h = 0.5 * ground.cell
    to_x, to_y = x + dx, y + dy
    for attempt in range(_ALONG_WALL_TRIES):
        # Clearance grows away from the wall.
        away_x = clearance_at(ground, to_x + h, to_y) - clearance_at(ground, to_x - h, to_y)
        away_y = clearance_at(ground, to_x, to_y + h) - clearance_at(ground, to_x, to_y - h)
        steepness = np.hypot(away_x, away_y)
        if steepness < 1e-9:
            break
        away_x, away_y = away_x / steepness, away_y / steepness
        if attempt == 0:
            push = -min(dx * away_x + dy * away_y, 0.0)
        else:
            push = radius_m - clearance_at(ground, to_x, to_y)
        to_x, to_y = to_x + push * away_x, to_y + push * away_y
        moved = np.hypot(to_x - x, to_y - y)
        if moved > longest:
            to_x, to_y = x + (to_x - x) * longest / moved, y + (to_y - y) * longest / moved
        there = clearance_at(ground, to_x, to_y)
        if there >= radius_m or there > here:
            return to_x - x, to_y - y
    return 0.0, 0.0
