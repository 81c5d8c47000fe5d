"""Furnished apartments against RLR Audio Propagation: what no closed form covers.

In each apartment two sources are heard by eight listeners in sight, within half a metre of one another (for the
reverberation time, too), and by seven out of sight: 30 poses. Out of sight RLR's own diffraction is off by some
decibels, so those columns are printed and not judged. Some apartments are rendered by RLR twice: the reference's own
spread, below which no goal can be.

RLR takes scattering coefficients and doesn't use them: with 0, 0.3 and 1 everywhere its decay in an empty room of
6 x 5 x 2.7 m under an absorbing ceiling is the same to 3 %, and is Eyring's, where pyroomacoustics' rays go from
2.1 s to 0.3 s. So reverberation times are compared with everything scattering on our side too: geometry, absorption
and coupled rooms against RLR; mirrors against exact images in shoeboxes. And since its air takes half of what ISO 9613
says (see `rlr`), they are compared in its air, as `shoebox` compares rooms in ours; in our own they are printed beside.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from phonotaxis.configs.array import MicrophoneArray
from phonotaxis.envs import scenes
from phonotaxis.envs.acoustics import impulse_response
from phonotaxis.envs.acoustics.air import SPEED_OF_SOUND_MPS
from phonotaxis.envs.scenes import materials
from phonotaxis.envs.scenes.scene import Scene
from phonotaxis.envs.truth import Progress, Row, measures
from phonotaxis.envs.truth.images import with_air
from phonotaxis.envs.truth.poses import Point, bends, in_air, point_of, sees
from phonotaxis.envs.truth.rlr import AIR_SHARE, RATE_HZ, Rlr

APARTMENTS = tuple(f"apartment:{seed}" for seed in (101, 102, 103, 104, 105, 106))
SEED = 20261125
SOURCES = 2  # in each apartment
IN_SIGHT = 8  # listeners of each source
HIDDEN = ((4, 3), (3, 4))  # listeners one bend away, and more; for each source
CLUSTER_M = 0.45  # about one place
FROM_WALLS_M = 0.5
NEAREST_M = 1.0
LENGTH_S = 2.0
EARLY_S = 0.03
REPEATED = APARTMENTS[:2]
TETRAHEDRON_M = 0.02  # from which the simulator's first-order directions are read, as RLR's are from ambisonics
_CORNERS = TETRAHEDRON_M * np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) / np.sqrt(3.0)
ARRAY = MicrophoneArray(
    name="tetrahedron", mic_xyz_m=tuple(point_of(c) for c in _CORNERS), channel_map=(0, 1, 2, 3), device_channels=4
)
DIRECTION_HZ = (250.0, 2000.0)


class ApartmentPose(NamedTuple):
    """A source, a listener and the corners between them (2 stands for more)."""

    source_m: Point
    listener_m: Point
    bends: int


class Heard(NamedTuple):
    """What is read off one response: DRR (dB; NaN out of sight), level (dB), azimuth of the first 30 ms (rad)."""

    drr_db: float
    level_db: float
    azimuth_rad: float


class Compared(NamedTuple):
    """One apartment's poses, the simulator beside RLR and, where it was asked twice, RLR's second answer."""

    poses: list[ApartmentPose]
    ours: list[Heard]
    reference: list[Heard]
    repeated: list[Heard] | None
    rt60_s: np.ndarray  # float64 [ours in RLR's air, RLR, RLR again (NaN without), ours in air; sources; octaves]
    t20_counts: tuple[int, int]


def run(progress: Progress) -> list[Row]:
    """Compare all apartments.

    Raises:
        ReferenceMissing: RLR isn't installed.
    """
    compared = []
    for number, name in enumerate(APARTMENTS):
        scene = scenes.load(name)

        def tell(share: float, number: int = number, name: str = name) -> None:
            progress((number + share) / len(APARTMENTS), f"furnished: {name}")

        rng = np.random.Generator(np.random.PCG64([SEED, number]))
        compared.append(compare(scene, Rlr(scene), rng, name in REPEATED, tell))
    return rows(compared)


def compare(scene: Scene, rlr: Rlr, rng: np.random.Generator, repeat: bool, tell: Callable[[float], None]) -> Compared:
    """Render one apartment by both and measure.

    Args:
        scene: the apartment.
        rlr: the same in RLR.
        rng: of the poses.
        repeat: ask RLR twice.
        tell: is told the share that is done.
    """
    poses: list[ApartmentPose] = []
    heard: list[list[Heard]] = [[], [], []]
    decays: list[list[np.ndarray]] = [[], [], [], []]
    t20_counts = [0, 0]
    renderers = [_ours(scene), _reference(rlr), *([_reference(rlr)] if repeat else [])]
    for index in range(SOURCES):
        found = draw_poses(scene, rng, *HIDDEN[index])
        for which, render in enumerate(renderers):
            tell((index + which / len(renderers)) / SOURCES)
            responses = [render(pose.source_m, pose.listener_m) for pose in found]
            heard[which] += [read(response, pose, which == 0) for response, pose in zip(responses, found)]
            cluster = _diffuse(scene, found[:IN_SIGHT]) if which == 0 else responses[:IN_SIGHT]
            pressure = np.stack([response[0] for response in cluster]).astype(np.float64)
            if which == 0:
                decays[3].append(measures.room_decay(pressure, RATE_HZ).rt60_s)
                pressure = with_air(pressure, RATE_HZ, AIR_SHARE - 1.0)
            decay = measures.room_decay(pressure, RATE_HZ)
            decays[which].append(decay.rt60_s)
            if which < 2:
                t20_counts[which] += decay.t20_count
        poses += found
    if not repeat:
        decays[2] = [np.full(len(measures.OCTAVES_HZ), np.nan)] * SOURCES
    counts = t20_counts[0], t20_counts[1]
    return Compared(poses, heard[0], heard[1], heard[2] if repeat else None, np.array(decays), counts)


def draw_poses(scene: Scene, rng: np.random.Generator, one_bend: int, more_bends: int) -> list[ApartmentPose]:
    """Draw a source and its listeners: a cluster in sight first, then those one bend away, then more."""
    places = np.argwhere(scene.walkable(FROM_WALLS_M))

    def anywhere(low_m: float, high_m: float) -> Point:
        row, column = places[rng.integers(len(places))]
        x, y = scene.centre_of(int(row), int(column))
        dx, dy = rng.uniform(-0.04, 0.04, 2)
        return x + float(dx), y + float(dy), float(rng.uniform(low_m, high_m))

    while True:
        source = anywhere(0.4, 1.6)
        kinds: tuple[list[ApartmentPose], ...] = ([], [], [])
        for _ in range(200):
            listener = anywhere(0.4, 0.6)
            if np.hypot(listener[0] - source[0], listener[1] - source[1]) < NEAREST_M:
                continue
            kind = bends(scene, source, listener)
            if len(kinds[kind]) < (1, one_bend, more_bends)[kind]:
                kinds[kind].append(ApartmentPose(source, listener, kind))
        if [len(kind) for kind in kinds] == [1, one_bend, more_bends]:
            return [*draw_cluster(scene, rng, kinds[0][0]), *kinds[1], *kinds[2]]


def draw_cluster(scene: Scene, rng: np.random.Generator, pose: ApartmentPose) -> list[ApartmentPose]:
    """Draw `IN_SIGHT` listeners about a pose's own, in open air, in sight of it and of the source."""
    found: list[ApartmentPose] = []
    while len(found) < IN_SIGHT:
        turn, metres = rng.uniform(0.0, 2.0 * np.pi), CLUSTER_M * np.sqrt(rng.random())
        offset = np.array([metres * np.cos(turn), metres * np.sin(turn), rng.uniform(-0.1, 0.1)])
        point = point_of(np.array(pose.listener_m) + offset)
        if in_air(scene, point) and sees(scene, point, pose.listener_m) and sees(scene, point, pose.source_m):
            found.append(ApartmentPose(pose.source_m, point, 0))
    return found


@contextmanager
def diffuse_materials() -> Iterator[None]:
    """Let every surface scatter all it reflects, for as long as the block runs."""
    before = materials.MATERIALS
    try:
        materials.MATERIALS = tuple(replace(kind, scattering=(1.0, 1.0, 1.0, 1.0, 1.0, 1.0)) for kind in before)
        yield
    finally:
        materials.MATERIALS = before


def _diffuse(scene: Scene, poses: list[ApartmentPose]) -> list[np.ndarray]:
    """Render some poses by the simulator where every surface scatters; under another name, as another scene."""
    twin = replace(scene, name=f"{scene.name} diffuse")
    with diffuse_materials():
        return [_ours(twin)(pose.source_m, pose.listener_m) for pose in poses]


Render = Callable[[Point, Point], np.ndarray]


def _ours(scene: Scene) -> Render:
    """Return the simulator as a function of source and listener: float [4, taps], a small tetrahedron."""
    return lambda source_m, listener_m: impulse_response(scene, source_m, listener_m, 0.0, ARRAY, RATE_HZ, LENGTH_S)


def _reference(rlr: Rlr) -> Render:
    """Return RLR likewise: float64 [4, taps], pressure and directions."""

    def render(source_m: Point, listener_m: Point) -> np.ndarray:
        response = rlr.response(source_m, listener_m)[:, : round(LENGTH_S * RATE_HZ)]
        return np.pad(response, ((0, 0), (0, round(LENGTH_S * RATE_HZ) - response.shape[1])))

    return render


def read(response: np.ndarray, pose: ApartmentPose, is_array: bool) -> Heard:
    """Measure one response.

    Args:
        response: float [4, taps], the tetrahedron's microphones, or pressure and directions.
        pose: where it was heard.
        is_array: whether the channels are microphones.
    """
    distance_m = float(np.linalg.norm(np.subtract(pose.source_m, pose.listener_m)))
    ratio = measures.drr_db(response[0], distance_m / SPEED_OF_SOUND_MPS, RATE_HZ) if pose.bends == 0 else np.nan
    loud = np.abs(response[0])
    if not loud.any():
        return Heard(np.nan, -np.inf, np.nan)
    first = int(np.argmax(loud > 0.1 * loud.max()))
    early = response[:, max(0, first - 16) : first + round(EARLY_S * RATE_HZ)]
    if is_array:
        azimuth = measures.intensity_azimuth_rad(early, ARRAY.positions_m(), RATE_HZ, *DIRECTION_HZ)
    else:
        banded = measures.band_pass(early, *DIRECTION_HZ, RATE_HZ)
        azimuth = float(np.arctan2((banded[0] * banded[2]).sum(), (banded[0] * banded[1]).sum()))
    return Heard(ratio, measures.level_db(response[0], RATE_HZ), azimuth)


def rows(compared: list[Compared]) -> list[Row]:
    """Make the table's rows of what was compared."""
    kind = np.array([pose.bends for c in compared for pose in c.poses])
    ours = np.array([heard for c in compared for heard in c.ours])
    reference = np.array([heard for c in compared for heard in c.reference])
    first, second = (
        np.array([heard for c in compared if c.repeated is not None for heard in side(c)])
        for side in (lambda c: c.reference, lambda c: c.repeated)
    )
    again = np.array([pose.bends for c in compared if c.repeated is not None for pose in c.poses])
    return [
        *_decay_rows(compared),
        *_sight_rows((ours - reference)[kind == 0], (second - first)[again == 0]),
        *_hidden_rows(ours[kind > 0], reference[kind > 0], first[again > 0], second[again > 0]),
    ]


def _decay_rows(compared: list[Compared]) -> list[Row]:
    ours, reference, repeated, in_air = (np.concatenate([c.rt60_s[k] for c in compared]) for k in range(4))
    errors, own, airy = (100.0 * np.abs(values / reference - 1.0) for values in (ours, repeated, in_air))

    def bias(values: np.ndarray) -> str:
        off = 100.0 * np.nanmedian(values / reference - 1.0, axis=0)
        return ", ".join(f"{hz:.0f} Hz {percent:+.0f} %" for hz, percent in zip(measures.OCTAVES_HZ, off))

    t20 = np.sum([c.t20_counts for c in compared], axis=0)
    note = (
        f"{len(compared)} apartments x {SOURCES} sources x {len(measures.OCTAVES_HZ)} octaves, everything scattering, "
        f"in RLR's air, RT60 {np.nanmin(reference):.2f} to {np.nanmax(reference):.2f} s; bias {bias(ours)}; "
        f"T20 in {t20[0]} of ours, {t20[1]} of RLR's; neither in {np.isnan(errors).sum()}"
    )
    values = tuple(float(e) for e in errors[np.isfinite(errors)])
    return [
        Row("rt60_error_median_apartments", float(np.nanmedian(errors)), "%", 4.0, float(np.nanmedian(own)), note,
            values),
        Row("rt60_error_p90_apartments", float(np.nanpercentile(errors, 90)), "%", 8.0,
            float(np.nanpercentile(own, 90))),
        Row("rt60_error_median_own_air", float(np.nanmedian(airy)), "%", None, None,
            f"the same with our air on our side; bias {bias(in_air)}", tuple(map(float, airy[np.isfinite(airy)]))),
        Row("rt60_error_p90_own_air", float(np.nanpercentile(airy, 90)), "%"),
    ]  # fmt: skip


def _sight_rows(error: np.ndarray, own: np.ndarray) -> list[Row]:
    """Rows in sight, of differences [poses, fields of `Heard`] to the reference and of it to itself."""
    ratio, level = error[:, 0], error[:, 1]
    note = f"{len(error)} poses in sight"
    return [
        Row("drr_error_db_in_sight", float(np.median(np.abs(ratio))), "dB", 1.5, float(np.median(np.abs(own[:, 0]))),
            note, tuple(float(e) for e in ratio)),
        Row("drr_bias_db_in_sight", float(np.mean(ratio)), "dB", 1.0, abs(float(np.mean(own[:, 0]))), note),
        Row("level_std_db_in_sight", float(np.std(level)), "dB", 0.8, float(np.std(own[:, 1])),
            f"{note}; offset {np.mean(level):+.2f} dB: in an empty room RLR's direct sound is 0.3 dB louder than "
            "1 / r, and its first reflections are about 2 dB louder than a mirror's",
            tuple(float(e) for e in level)),
    ]  # fmt: skip


def _hidden_rows(ours: np.ndarray, reference: np.ndarray, first: np.ndarray, second: np.ndarray) -> list[Row]:
    """Rows out of sight, of [poses, fields of `Heard`]; where RLR returned silence there is nothing to compare."""
    heard, both = np.isfinite(reference[:, 1]), np.isfinite(first[:, 1]) & np.isfinite(second[:, 1])
    error, own = (ours - reference)[heard], (second - first)[both]
    turned, own_turned = (measures.wrapped_deg(values[:, 2]) for values in (error, own))
    note = (
        f"{len(error)} poses out of sight, half of them one bend away; printed, not judged; "
        f"{(~heard).sum()} more in which RLR is silent"
    )
    return [
        Row("level_error_db_out_of_sight", float(np.median(np.abs(error[:, 1]))), "dB", None,
            float(np.median(np.abs(own[:, 1]))), f"{note}; bias {np.mean(error[:, 1]):+.1f} dB",
            tuple(float(e) for e in error[:, 1])),
        Row("direction_error_deg_out_of_sight", float(np.median(turned)), "deg", None, float(np.median(own_turned)),
            f"first 30 ms; p90 {np.percentile(turned, 90):.0f} deg", tuple(float(t) for t in turned)),
    ]  # fmt: skip
