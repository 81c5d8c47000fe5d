"""Empty rooms against exact image sources: reverberation time, direct-to-reverberant ratio, level, SRP-PHAT.

In every room two sources are heard at eight places within half a metre, and by an array at poses drawn over the whole
room. By the reference alone each is also heard at four more places there and at eight about another centre: so far
apart are two measurements of the same room by the truth itself.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np

from phonotaxis.configs import presets
from phonotaxis.configs.array import MicrophoneArray
from phonotaxis.envs.acoustics import impulse_response
from phonotaxis.envs.acoustics.air import SPEED_OF_SOUND_MPS
from phonotaxis.envs.scenes.scene import Scene
from phonotaxis.envs.truth import Progress, Row, measures
from phonotaxis.envs.truth.images import DISPLACED_M, Shoebox, image_responses, smooth_materials
from phonotaxis.envs.truth.srp import srp_azimuth_rad, steady_noise, wasserstein

RATE_HZ = 16000
SEED = 20261123
SOURCES = 2  # in each room
LISTENERS = 8
ARRAY_S = 0.45  # of the responses at arrays: what comes later is no matter of level or direction
BESIDE = 4  # more listeners at the same place, for the reference alone
POSES = 5  # of the array, for each source
ARRAY = "respeaker_usb_v2"
NOISE_SEED, OTHER_NOISE_SEED = 1, 2
ONE_MICROPHONE = MicrophoneArray(name="one", mic_xyz_m=((0.0, 0.0, 0.0),), channel_map=(0,), device_channels=1)

# Absorption of floor, walls and ceiling; exact reverberation times are 0.24 to 0.55 s, as furnished rooms have them.
# Half the absorption takes four times as long and leaves the standing waves as they are.
ROOMS = (
    Shoebox("box room", (3.6, 3.0, 2.5), 0.25, 0.25, 0.25, 0.62),
    Shoebox("bedroom", (4.2, 3.6, 2.6), 0.30, 0.30, 0.30, 0.58),
    Shoebox("living room", (6.0, 5.0, 2.7), 0.35, 0.35, 0.35, 0.62),
    Shoebox("hall", (9.0, 6.5, 3.2), 0.40, 0.40, 0.40, 0.74),
    Shoebox("corridor", (8.0, 2.0, 2.6), 0.40, 0.40, 0.40, 0.74),
    Shoebox("carpeted room", (5.2, 4.4, 2.6), 0.50, 0.25, 0.25, 0.78),
    Shoebox("office", (6.4, 4.8, 2.8), 0.25, 0.35, 0.60, 0.62),
    Shoebox("kitchen", (7.0, 4.0, 2.5), 0.35, 0.35, 0.35, 0.66),
)

Point = tuple[float, float, float]


class Pose(NamedTuple):
    """Where an array stands: x, y, z of its centre, metres, and its heading in radians."""

    centre_m: Point
    yaw_rad: float


class Places(NamedTuple):
    """A source and who hears it.

    Attributes:
        source_m: x, y, z.
        listeners_m: float64 [LISTENERS, 3], about one place.
        beside_m: float64 [BESIDE, 3], about the same place, of which the reference alone is asked.
        elsewhere_m: float64 [LISTENERS, 3], likewise, about another place in the room.
        poses: of the array.
    """

    source_m: Point
    listeners_m: np.ndarray
    beside_m: np.ndarray
    elsewhere_m: np.ndarray
    poses: tuple[Pose, ...]


class Compared(NamedTuple):
    """What came of one source in one room, ours beside the reference.

    Attributes:
        rt60_s: float64 [6, octaves]: ours, reference, reference beside and elsewhere, images added in energy, images
            displaced at random.
        t20_counts: of ours and of the reference.
        too_short: octaves of which the response is shorter than 1.2 reverberation times.
        drr_db: float64 [listeners and poses, 2].
        level_db: float64 [listeners and poses, 2].
        off_deg: float64 [poses, 3], errors of SRP-PHAT: ours, reference, reference with other noise.
    """

    rt60_s: np.ndarray
    t20_counts: tuple[int, int]
    too_short: int
    drr_db: np.ndarray
    level_db: np.ndarray
    off_deg: np.ndarray


def run(progress: Progress) -> list[Row]:
    """Compare all rooms.

    Raises:
        ReferenceMissing: pyroomacoustics isn't installed.
    """
    rng = np.random.Generator(np.random.PCG64(SEED))
    array = presets.load("arrays", ARRAY, MicrophoneArray)
    compared = []
    with smooth_materials(ROOMS):
        for index, room in enumerate(ROOMS):
            scene = room.scene()
            for number in range(SOURCES):
                progress((index + number / SOURCES) / len(ROOMS), f"shoebox: {room.name}")
                compared.append(compare(room, scene, draw_places(room, rng), array))
    return rows(compared)


def draw_places(room: Shoebox, rng: np.random.Generator) -> Places:
    """Draw a source, listeners about one place at least 1 m from it, and poses of the array all over the room."""
    size = np.array(room.size_m)

    def anywhere(margin_m: float, low_m: float, high_m: float) -> np.ndarray:
        xy = margin_m + rng.random(2) * (size[:2] - 2 * margin_m)
        return np.append(xy, rng.uniform(low_m, high_m))

    def away(margin_m: float, from_m: np.ndarray) -> np.ndarray:
        while True:
            point = anywhere(margin_m, 0.4, 0.6)
            if np.linalg.norm((point - from_m)[:2]) >= 1.0:
                return point

    def around(centre: np.ndarray, count: int) -> np.ndarray:
        turn, metres = rng.uniform(0.0, 2.0 * np.pi, count), 0.45 * np.sqrt(rng.random(count))
        return centre + np.stack([metres * np.cos(turn), metres * np.sin(turn), rng.uniform(-0.1, 0.1, count)], axis=1)

    source = anywhere(0.5, 0.3, 1.6)
    near, elsewhere = away(0.8, source), away(0.8, source)
    poses = [Pose(_point(away(0.5, source)), float(rng.uniform(-np.pi, np.pi))) for _ in range(POSES)]
    return Places(
        _point(source), around(near, LISTENERS), around(near, BESIDE), around(elsewhere, LISTENERS), tuple(poses)
    )


def _point(values: np.ndarray) -> Point:
    x, y, z = (float(value) for value in values)
    return x, y, z


def microphones_m(array: MicrophoneArray, pose: Pose) -> np.ndarray:
    """Place an array's microphones in the world about their mean, float64 [mics, 3], metres."""
    base = array.positions_m() - array.positions_m().mean(axis=0)
    cos, sin = np.cos(pose.yaw_rad), np.sin(pose.yaw_rad)
    return np.asarray(pose.centre_m) + base @ np.array([[cos, sin, 0.0], [-sin, cos, 0.0], [0.0, 0.0, 1.0]])


def compare(room: Shoebox, scene: Scene, places: Places, array: MicrophoneArray) -> Compared:
    """Render one source at all places by the simulator and by the reference, and measure both."""
    mics = [microphones_m(array, pose) for pose in places.poses]
    points = np.concatenate([places.listeners_m, places.beside_m, places.elsewhere_m])
    everywhere = image_responses(room, places.source_m, points, RATE_HZ)
    exact, beside, elsewhere = np.split(everywhere, [LISTENERS, LISTENERS + BESIDE])
    brief = dataclasses.replace(room, length_s=min(ARRAY_S, room.length_s))
    exact_arrays = image_responses(brief, places.source_m, np.concatenate(mics), RATE_HZ)
    exact_arrays = exact_arrays.reshape(len(mics), array.mics, -1)
    ours = np.concatenate(
        [
            impulse_response(scene, places.source_m, _point(p), 0.0, ONE_MICROPHONE, RATE_HZ, room.length_s)
            for p in places.listeners_m
        ]
    )
    our_arrays = [
        impulse_response(scene, places.source_m, pose.centre_m, pose.yaw_rad, array, RATE_HZ, brief.length_s)
        for pose in places.poses
    ]
    in_energy = image_responses(room, places.source_m, places.listeners_m[::2], RATE_HZ, SEED)
    displaced = image_responses(room, places.source_m, places.listeners_m[::2], RATE_HZ, places_seed=SEED)
    decays = [measures.room_decay(r, RATE_HZ) for r in (ours, exact, beside, elsewhere, in_energy, displaced)]
    heard_at = [*places.listeners_m, *(mic[0] for mic in mics)]
    pairs = list(zip([*ours, *(r[0] for r in our_arrays)], [*exact, *(r[0] for r in exact_arrays)]))
    arrivals_s = [float(np.linalg.norm(p - np.array(places.source_m))) / SPEED_OF_SOUND_MPS for p in heard_at]
    return Compared(
        rt60_s=np.array([decay.rt60_s for decay in decays]),
        t20_counts=(decays[0].t20_count, decays[1].t20_count),
        too_short=int((1.2 * decays[1].rt60_s > room.length_s).sum()),
        drr_db=np.array([[measures.drr_db(r, s, RATE_HZ) for r in pair] for pair, s in zip(pairs, arrivals_s)]),
        level_db=np.array([[measures.level_db(r, RATE_HZ) for r in pair] for pair in pairs]),
        off_deg=np.array(
            [_off_deg(a, e, pose, places, mic) for a, e, pose, mic in zip(our_arrays, exact_arrays, places.poses, mics)]
        ),
    )


def _off_deg(ours: np.ndarray, exact: np.ndarray, pose: Pose, places: Places, mics_m: np.ndarray) -> list[float]:
    """Return the errors of SRP-PHAT on ours, on the reference, and on the reference with other noise, degrees."""
    truth = np.arctan2(places.source_m[1] - pose.centre_m[1], places.source_m[0] - pose.centre_m[0])
    heard = ((ours, NOISE_SEED), (exact, NOISE_SEED), (exact, OTHER_NOISE_SEED))
    found = [srp_azimuth_rad(steady_noise(r, RATE_HZ, seed), mics_m, RATE_HZ) for r, seed in heard]
    return [float(measures.wrapped_deg(azimuth - truth)) for azimuth in found]


def rows(compared: list[Compared]) -> list[Row]:
    """Make the table's rows of what was compared."""
    ours, exact, beside, elsewhere, in_energy, displaced = np.concatenate([c.rt60_s for c in compared], axis=1)
    errors, near, own = (100.0 * np.abs(rt60_s / exact - 1.0) for rt60_s in (ours, beside, elsewhere))
    t20 = np.sum([c.t20_counts for c in compared], axis=0)
    short = sum(c.too_short for c in compared)
    note = (
        f"{len(ROOMS)} rooms x {SOURCES} sources x {len(measures.OCTAVES_HZ)} octaves, RT60 {exact.min():.2f} to "
        f"{exact.max():.2f} s; bias by octave {_bias(ours, exact)}; T20 in {t20[0]} of ours, {t20[1]} "
        f"of the reference's; {short} responses under 1.2 RT60; the reference itself elsewhere in the room, and at "
        f"the same place {np.median(near):.1f} % (p90 {np.percentile(near, 90):.1f} %)"
    )
    return [
        Row("rt60_error_median_shoebox", float(np.median(errors)), "%", 4.0, float(np.median(own)), note,
            tuple(errors)),
        Row("rt60_error_p90_shoebox", float(np.percentile(errors, 90)), "%", 8.0, float(np.percentile(own, 90))),
        *_in_energy_rows(ours, exact, in_energy),
        *_displaced_rows(ours, exact, displaced),
        *_energy_rows(compared),
        _direction_row(compared),
    ]  # fmt: skip


def _bias(ours: np.ndarray, exact: np.ndarray) -> str:
    """Name the median deviation of each octave, of values that run through the octaves again and again."""
    off = np.median((ours / exact - 1.0).reshape(-1, len(measures.OCTAVES_HZ)), axis=0)
    return ", ".join(f"{hz:.0f} Hz {100.0 * share:+.0f} %" for hz, share in zip(measures.OCTAVES_HZ, off))


def _in_energy_rows(ours: np.ndarray, exact: np.ndarray, in_energy: np.ndarray) -> list[Row]:
    """Rows that tell waves from geometry: the same images with random signs, beside ours and beside the exact sum."""
    errors, waves = 100.0 * np.abs(ours / in_energy - 1.0), 100.0 * np.abs(exact / in_energy - 1.0)
    note = (
        f"against the same images added in energy; by octave {_bias(ours, in_energy)}. The exact sum itself is "
        f"{np.median(waves):.1f} % (p90 {np.percentile(waves, 90):.1f} %) away from it: {_bias(exact, in_energy)}"
    )
    return [
        Row("rt60_error_median_in_energy", float(np.median(errors)), "%", None, None, note, tuple(errors)),
        Row("rt60_error_p90_in_energy", float(np.percentile(errors, 90)), "%"),
    ]


def _displaced_rows(ours: np.ndarray, exact: np.ndarray, displaced: np.ndarray) -> list[Row]:
    """Rows against randomised images: what is left of the difference where the box isn't perfect."""
    errors, waves = 100.0 * np.abs(ours / displaced - 1.0), 100.0 * np.abs(exact / displaced - 1.0)
    note = (
        f"against the same images, each displaced by up to {100.0 * DISPLACED_M:.0f} cm along each axis; by octave "
        f"{_bias(ours, displaced)}. The exact sum itself is {np.median(waves):.1f} % (p90 "
        f"{np.percentile(waves, 90):.1f} %) away from it: {_bias(exact, displaced)}"
    )
    return [
        Row("rt60_error_median_displaced", float(np.median(errors)), "%", None, None, note, tuple(errors)),
        Row("rt60_error_p90_displaced", float(np.percentile(errors, 90)), "%"),
    ]


def _energy_rows(compared: list[Compared]) -> list[Row]:
    ratios = np.concatenate([c.drr_db for c in compared])
    levels = np.concatenate([c.level_db for c in compared])
    ratio_errors, level_errors = (values[:, 0] - values[:, 1] for values in (ratios, levels))
    places = f"{len(ratios)} places, DRR {ratios[:, 1].min():.1f} to {ratios[:, 1].max():.1f} dB"
    return [
        Row("drr_error_db_shoebox", float(np.median(np.abs(ratio_errors))), "dB", 0.5, None, places,
            tuple(ratio_errors)),
        Row("drr_bias_db_shoebox", float(np.mean(ratio_errors)), "dB", 1.0),
        Row("level_std_db_shoebox", float(np.std(level_errors)), "dB", 0.8, None,
            "offset 0 dB: both are relative to the free field at 1 m", tuple(level_errors)),
        Row("level_bias_db_shoebox", float(np.mean(level_errors)), "dB"),
    ]  # fmt: skip


def _direction_row(compared: list[Compared]) -> Row:
    ours, exact, other = np.concatenate([c.off_deg for c in compared]).T
    own = wasserstein(exact, other)
    note = f"{ours.size} poses, median error {np.median(ours):.1f} deg ours, {np.median(exact):.1f} deg reference"
    goal = max(3.0, 2.0 * own)
    return Row("srp_distance_deg_shoebox", wasserstein(ours, exact), "deg", goal, own, note, tuple(ours))
