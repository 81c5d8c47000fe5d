"""Through doors: level and direction against finite differences, where neither rays nor closed forms are the truth.

Two rooms of 4 x 4 m with a door between them (one bend), and two rooms with a passage and two doors that don't face
each other (two bends). Surfaces absorb alike in all octaves and don't scatter, which both sides can do exactly; the
grid's boundary is the real admittance that absorbs as much of sound from everywhere. What is compared is the whole
response of 0.25 s, the direction from which the energy of its first 30 ms comes, counted from the shortest way's
arrival, and where SRP-PHAT hears steady noise, each read by the same estimator from pressure at the array's true
microphones. The simulator draws its late field at random, so it is asked several times under other keys; a single draw
moves the median direction by 10 degrees. SRP-PHAT is read up to 1.4 kHz, where the grid ends.

The reference against itself is another array 0.25 m away: rays and regions can't know more than what the neighbourhood
shares. A grid of 5 cm instead of 3.3 cm changes levels by 0.3 dB and directions by 3 degrees in the median.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import scipy.signal

from phonotaxis.configs import presets
from phonotaxis.configs.array import MicrophoneArray
from phonotaxis.envs.acoustics import impulse_response
from phonotaxis.envs.scenes.scene import Scene
from phonotaxis.envs.truth import Progress, Row
from phonotaxis.envs.truth.finite_difference import SPEED_OF_SOUND_MPS, Room, pulse, room_of, simulate
from phonotaxis.envs.truth.images import Shoebox, smooth_materials
from phonotaxis.envs.truth.measures import intensity_azimuth_rad, wrapped_deg
from phonotaxis.envs.truth.poses import Point, bends, point_of
from phonotaxis.envs.truth.srp import srp_azimuth_rad, steady_noise, wasserstein

RATE_HZ = 16000
LENGTH_S, EARLY_S = 0.25, 0.03
SEED = 20261124
SOURCES, LISTENERS = 4, 14  # in each scene; listeners for each source
DRAWS = 4  # of the simulator's late field
OTHER_NOISE = 100  # added to a noise's seed for another one
FROM_WALLS_M = 0.5
OCTAVES_HZ = (125.0, 250.0, 500.0, 1000.0)
DIRECTION_HZ = (250.0, 1000.0 * np.sqrt(2.0))
SRP_HZ = (300.0, 1000.0 * np.sqrt(2.0))
PEAK_HZ = 600.0  # as strong at the lowest octave's lower edge as at the highest one's upper edge
CELLS = 3  # to a cell of 0.1 m: 10 per wavelength at 1000 Hz
OTHER_M = 0.25  # how far away the reference's other listener is
ARRAY = "respeaker_usb_v2"
ABSORPTION = (0.2, 0.15, 0.4)  # of floor, walls, ceiling: a reverberation time of 0.4 s
TWO_ROOMS = Shoebox("two rooms and a door", (8.1, 4.0, 2.5), *ABSORPTION, length_s=LENGTH_S)
PASSAGE = Shoebox("two rooms and a passage", (8.0, 4.0, 2.5), *ABSORPTION, length_s=LENGTH_S)
LINTEL_M = 2.0
THIN_M = 0.02  # as wide as what walks the shortest way
BEFORE_S = 0.0005
PULSE_MIDDLE_S = 0.002  # of a pulse of 600 Hz


class Wall(NamedTuple):
    """A wall 0.1 m thick across a scene, from `x_m` on, with a door from `low_m` to `high_m` along y."""

    x_m: float
    low_m: float
    high_m: float


class DoorPose(NamedTuple):
    """A source, an array's centre, its heading, and when the first sound arrives by the shortest way."""

    source_m: Point
    centre_m: Point
    yaw_rad: float
    arrival_s: float


class Heard(NamedTuple):
    """What a source sounds like at an array.

    Attributes:
        level_db: float64 [octaves], re free field at 1 m.
        azimuth_rad: whence the energy of the first 30 ms comes.
        srp_rad: float64 [noises], where SRP-PHAT hears steady noise.
    """

    level_db: np.ndarray
    azimuth_rad: float
    srp_rad: np.ndarray


class Compared(NamedTuple):
    """One pose: the simulator's draws, the reference, and the reference's other listener."""

    bends: int
    source_rad: float  # azimuth of the source, world
    ours: list[Heard]
    exact: Heard
    other: Heard


def run(progress: Progress) -> list[Row]:
    """Compare both scenes; half a minute of finite differences each."""
    rng = np.random.Generator(np.random.PCG64(SEED))
    array = presets.load("arrays", ARRAY, MicrophoneArray)
    compared: list[Compared] = []
    with smooth_materials([TWO_ROOMS, PASSAGE]):
        for number, (scene, wanted) in enumerate(((two_rooms(), 1), (passage(), 2))):
            room = room_of(scene, (1000.0,), CELLS)
            for index in range(SOURCES):
                progress((number + index / SOURCES) / 2, f"door: {scene.name}")
                found = draw_poses(scene, rng, wanted)
                others = [beside(scene, pose, rng, wanted) for pose in found]
                exact = listen_on_grid(room, [*found, *others], array)
                ours = [[listen_to_simulator(scene, pose, array, n) for n in range(DRAWS)] for pose in found]
                towards = [_azimuth_rad(pose) for pose in found]
                heard = zip(towards, ours, exact, exact[len(found) :])
                compared += [Compared(wanted, *each) for each in heard]
    return rows(compared)


def two_rooms() -> Scene:
    """Build two rooms of 4 x 4 m with a door of 0.9 x 2.0 m; within `smooth_materials`."""
    return _divided(TWO_ROOMS, [Wall(4.0, 1.0, 1.9)])


def passage() -> Scene:
    """Build two rooms of 3 x 4 m and a passage of 1.8 m between them; within `smooth_materials`."""
    return _divided(PASSAGE, [Wall(3.0, 0.6, 1.5), Wall(4.9, 2.5, 3.4)])


def _divided(box: Shoebox, walls: list[Wall]) -> Scene:
    scene = box.scene()
    floor, ceiling = scene.floor_m.copy(), scene.ceiling_m.copy()
    for wall in walls:
        column = scene.cell_of(wall.x_m + 0.05, 1.0)[1]
        low, high = (scene.cell_of(1.0, y + 0.05)[0] for y in (wall.low_m, wall.high_m))
        floor[:, column] = scene.height_m
        floor[low:high, column], ceiling[low:high, column] = 0.0, LINTEL_M
    return dataclasses.replace(scene, floor_m=floor, ceiling_m=ceiling)


def draw_poses(scene: Scene, rng: np.random.Generator, wanted_bends: int) -> list[DoorPose]:
    """Draw a source and `LISTENERS` arrays that are so many bends away, all 0.5 m from walls.

    The source stands in the middle of a cell of the fine grid.
    """
    inside = scene.walkable(FROM_WALLS_M)
    places = np.argwhere(inside)

    def anywhere(height_m: float) -> np.ndarray:
        row, column = places[rng.integers(len(places))]
        x, y = scene.centre_of(int(row), int(column))
        return np.array([x, y, height_m])

    while True:
        source, found = anywhere(float(rng.choice([0.55, 1.05, 1.55]))), []
        for _ in range(40 * LISTENERS):
            centre = anywhere(0.45) + np.append(rng.uniform(-0.04, 0.04, 2), rng.uniform(0.0, 0.4))
            if bends(scene, point_of(source), point_of(centre)) == wanted_bends:
                found.append(_pose(scene, source, centre, float(rng.uniform(-np.pi, np.pi))))
            if len(found) == LISTENERS:
                return found


def beside(scene: Scene, pose: DoorPose, rng: np.random.Generator, wanted_bends: int) -> DoorPose:
    """Draw an array `OTHER_M` from a pose's, as many bends from the source and a little less clear of walls."""
    clear = scene.walkable(FROM_WALLS_M - OTHER_M)
    while True:
        turn = rng.uniform(0.0, 2.0 * np.pi)
        centre = np.array(pose.centre_m) + OTHER_M * np.array([np.cos(turn), np.sin(turn), 0.0])
        row, column = scene.cell_of(float(centre[0]), float(centre[1]))
        if clear[row, column] and bends(scene, pose.source_m, point_of(centre)) == wanted_bends:
            return _pose(scene, np.array(pose.source_m), centre, pose.yaw_rad)


def _pose(scene: Scene, source: np.ndarray, centre: np.ndarray, yaw_rad: float) -> DoorPose:
    path = scene.shortest_path(point_of(centre), point_of(source), THIN_M)
    flat_m = float(np.hypot(*np.diff(path, axis=0).T).sum())
    arrival_s = np.hypot(flat_m, source[2] - centre[2]) / SPEED_OF_SOUND_MPS
    return DoorPose(point_of(source), point_of(centre), yaw_rad, float(arrival_s))


def listen_on_grid(room: Room, poses: list[DoorPose], array: MicrophoneArray) -> list[Heard]:
    """Simulate the poses' one source by finite differences and read it at every array."""
    mics = [_microphones_m(array, pose) for pose in poses]
    recorded = simulate(room, np.array(poses[0].source_m), np.concatenate(mics), LENGTH_S + 0.004, PEAK_HZ)
    sent = pulse(np.arange(recorded.shape[1]) * room.step_s, PEAK_HZ)
    heard = recorded.reshape(len(poses), array.mics, -1)
    rate_hz = 1.0 / room.step_s
    noises = [noise + other for other in (0, OTHER_NOISE) for noise in range(DRAWS)]
    return [_read(audio, sent, rate_hz, mic, pose.arrival_s, noises) for audio, mic, pose in zip(heard, mics, poses)]


def listen_to_simulator(scene: Scene, pose: DoorPose, array: MicrophoneArray, draw: int = 0) -> Heard:
    """Send the grid's pulse through the simulator's response and read it at the array.

    Args:
        scene: where; its name keys the late field, so each draw has its own.
        pose: of source and array.
        array: of microphones.
        draw: of the late field, and of the noise.
    """
    scene = dataclasses.replace(scene, name=f"{scene.name} {draw}")
    response = impulse_response(scene, pose.source_m, pose.centre_m, pose.yaw_rad, array, RATE_HZ, LENGTH_S)
    taps = round((LENGTH_S + 0.004) * RATE_HZ)
    sent = pulse(np.arange(taps) / RATE_HZ, PEAK_HZ)
    audio = scipy.signal.fftconvolve(response.astype(np.float64), sent[None, :], axes=1)[:, :taps]
    return _read(audio, sent, float(RATE_HZ), _microphones_m(array, pose), pose.arrival_s, [draw])


def _microphones_m(array: MicrophoneArray, pose: DoorPose) -> np.ndarray:
    base = array.positions_m() - array.positions_m().mean(axis=0)
    cos, sin = np.cos(pose.yaw_rad), np.sin(pose.yaw_rad)
    return np.asarray(pose.centre_m) + base @ np.array([[cos, sin, 0.0], [-sin, cos, 0.0], [0.0, 0.0, 1.0]])


def _azimuth_rad(pose: DoorPose) -> float:
    return float(np.arctan2(pose.source_m[1] - pose.centre_m[1], pose.source_m[0] - pose.centre_m[0]))


def _read(
    audio: np.ndarray, sent: np.ndarray, rate_hz: float, mics_m: np.ndarray, arrival_s: float, noises: Sequence[int]
) -> Heard:
    """Read levels per octave, mean over microphones, the direction of the early energy, and that of steady noise."""
    points = scipy.fft.next_fast_len(2 * sent.size)
    power = np.mean(np.abs(np.fft.rfft(audio, points, axis=1)) ** 2, axis=0)
    free = np.abs(np.fft.rfft(sent, points)) ** 2
    frequency_hz = np.fft.rfftfreq(points, 1.0 / rate_hz)
    bands = [(frequency_hz >= c * np.sqrt(0.5)) & (frequency_hz < c * np.sqrt(2.0)) for c in OCTAVES_HZ]
    levels = np.array([10.0 * np.log10(power[band].sum() / free[band].sum()) for band in bands])
    begin, end = (round((arrival_s + s) * rate_hz) for s in (-BEFORE_S, PULSE_MIDDLE_S + EARLY_S))
    early = audio[:, max(0, begin) : end]
    evenly = scipy.signal.resample(audio, round(audio.shape[1] * RATE_HZ / rate_hz), axis=1)
    steady = [srp_azimuth_rad(steady_noise(evenly, RATE_HZ, seed), mics_m, RATE_HZ, *SRP_HZ) for seed in noises]
    return Heard(levels, intensity_azimuth_rad(early, mics_m, round(rate_hz), *DIRECTION_HZ), np.array(steady))


def rows(compared: list[Compared]) -> list[Row]:
    """Make the table's rows of what was compared."""
    level = np.array([[o.level_db - c.exact.level_db for o in c.ours] for c in compared])  # [poses, draws, octaves]
    turned = np.array([[float(wrapped_deg(o.azimuth_rad - c.exact.azimuth_rad)) for o in c.ours] for c in compared])
    own_level = np.abs([c.other.level_db - c.exact.level_db for c in compared])
    own_turned = [float(wrapped_deg(c.other.azimuth_rad - c.exact.azimuth_rad)) for c in compared]
    kinds = np.array([c.bends for c in compared])
    per_octave = ", ".join(
        f"{hz:.0f} Hz {np.median(np.abs(level[..., k])):.1f} ({level[..., k].mean():+.1f})"
        for k, hz in enumerate(OCTAVES_HZ)
    )
    per_kind = ", ".join(f"{n} bend(s) {np.median(np.abs(level[kinds == n])):.1f}" for n in (1, 2))
    turned_kind = ", ".join(f"{n} bend(s) {np.median(turned[kinds == n]):.0f}" for n in (1, 2))
    draws = ", ".join(f"{np.median(each):.0f} (p90 {np.percentile(each, 90):.0f})" for each in turned.T)
    own = (float(np.median(own_level)), float(np.median(own_turned)), float(np.percentile(own_turned, 90)))
    return [
        Row("door_level_error_db", float(np.median(np.abs(level))), "dB", 2.0, own[0],
            f"{len(compared)} poses x {DRAWS} draws x {len(OCTAVES_HZ)} octaves, bias {level.mean():+.1f} dB; median "
            f"(bias): {per_octave}; {per_kind}; its own column: an array 0.25 m away",
            tuple(float(e) for e in level.reshape(-1))),
        Row("door_direction_error_deg", float(np.median(turned)), "deg", 10.0, own[1],
            f"{len(compared)} poses x {DRAWS} draws; {turned_kind}; single draws {draws}",
            tuple(float(t) for t in turned.reshape(-1))),
        Row("door_direction_error_p90_deg", float(np.percentile(turned, 90)), "deg", 30.0, own[2]),
        _srp_row(compared),
    ]  # fmt: skip


def _srp_row(compared: list[Compared]) -> Row:
    """Compare how far SRP-PHAT points from the source, ours against the grid's under the same noises."""
    ours = np.array([wrapped_deg(o.srp_rad[0] - c.source_rad) for c in compared for o in c.ours])
    exact, other = (
        np.concatenate([wrapped_deg(c.exact.srp_rad[part] - c.source_rad) for c in compared])
        for part in (slice(DRAWS), slice(DRAWS, None))
    )
    own = wasserstein(exact, other)
    note = (
        f"{len(compared)} poses x {DRAWS} noises, {SRP_HZ[0]:.0f} to {SRP_HZ[1]:.0f} Hz, as far as the grid goes; "
        f"median error {np.median(ours):.0f} deg ours, {np.median(exact):.0f} deg reference"
    )
    return Row("srp_distance_deg_door", wasserstein(ours, exact), "deg", max(3.0, 2.0 * own), own, note, tuple(ours))
