"""Renders impulse responses for many worlds at once.

A response has two parts. The early one, `early_taps` long, is written anew for every pose. The late one is written
when a listener enters another region or has turned by `LATE_TURN_RAD` since: what arrives half a hop (an eighth of a
second) after emission or later has mostly been reflected many times and changes its statistics no faster than that, and
its spectra are kept.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numba.typed import List

from phonotaxis.configs.air import Air
from phonotaxis.envs.acoustics.air import SPEED_OF_SOUND_MPS, amplitude_exponent_per_m, speed_of_sound_mps
from phonotaxis.envs.acoustics.bands import BANDS, PULSE_ROOM, BandKernels, band_kernels
from phonotaxis.envs.acoustics.departure import aim
from phonotaxis.envs.acoustics.directivity import Directivity
from phonotaxis.envs.acoustics.edges import find_ways
from phonotaxis.envs.acoustics.field import SceneSound, SourceField
from phonotaxis.envs.acoustics.paths import MAX_PATHS, Paths, Surfaces, add_echoes, early_paths
from phonotaxis.envs.acoustics.response import Ears, add_paths, add_pulses
from phonotaxis.envs.acoustics.tail import PULSE_FIELDS, draw_pulses, pulse_capacity
from phonotaxis.envs.hashing import fold

LATE_TURN_RAD = np.radians(25.0)
_MARGIN = PULSE_ROOM // 2 + 48  # samples by which a pulse may reach beyond its own time: kernel, and place in a region


class Listeners(NamedTuple):
    """The worlds' state that responses depend on, and what they keep from step to step.

    Attributes:
        scene: int64 [worlds], index into the scenes.
        field: int64 [worlds], index into the fields.
        pose: float64 [worlds, 3], x, y, yaw of the base, world, metres and radians.
        source_m: float64 [worlds, 3], where the source is.
        moves: bool [worlds], it is on its way from `field`'s place to that of `next_field`.
        next_field: int64 [worlds], index into the fields.
        blend: float64 [worlds], how far it has come, 0 to 1.
        moving_key: uint64 [worlds], of its late field, the same all the way.
        heading: float64 [worlds, 2], cosine and sine of the azimuth it faces on its way.
        visible: bool [worlds], the source was in line of sight at the last render.
        path_position_m, path_extra_m, path_gain, path_leaves: fields of `Paths` with a first axis of worlds, of
            `paths_at`.
        path_count: int64 [worlds].
        paths_at: float64 [worlds, 2]; NaN for none.
        pulses: float32 [worlds, capacity, 6], of region `region`; those that end early come first.
        pulse_counts: int64 [worlds, 3]: all, the first that are only early, the first that are early at all.
        region: int64 [worlds], -1 for none.
        late_pose: float64 [worlds, 3], at which the late part was rendered; NaN for never.
        mic_xyz_m: float64 [worlds, mics, 3], microphones of each world's own array, base frame.
        mic_gain: float32 [worlds, mics], factor on each microphone's signal; 0 is a dead channel.
        mic_late_by: float64 [worlds, mics], samples by which a microphone is late.
        speed_mps: float64 [worlds], of sound.
        air: float32 [worlds, bands], amplitude's exponent per metre.
    """

    scene: np.ndarray
    field: np.ndarray
    pose: np.ndarray
    source_m: np.ndarray
    moves: np.ndarray
    next_field: np.ndarray
    blend: np.ndarray
    moving_key: np.ndarray
    heading: np.ndarray
    visible: np.ndarray
    path_position_m: np.ndarray
    path_extra_m: np.ndarray
    path_gain: np.ndarray
    path_leaves: np.ndarray
    path_count: np.ndarray
    paths_at: np.ndarray
    pulses: np.ndarray
    pulse_counts: np.ndarray
    region: np.ndarray
    late_pose: np.ndarray
    mic_xyz_m: np.ndarray
    mic_gain: np.ndarray
    mic_late_by: np.ndarray
    speed_mps: np.ndarray
    air: np.ndarray

    def forget(self, world: int) -> None:
        """Forget what a world keeps from step to step."""
        self.region[world] = -1
        self.paths_at[world] = np.nan
        self.late_pose[world] = np.nan


class Responses(NamedTuple):
    """Where responses are written, pressure relative to the source's own at 1 m.

    Attributes:
        early: float32 [worlds, mics, early taps].
        late: float32 [worlds, mics, the rest]; valid where `renewed`.
        renewed: bool [worlds], the late part was written in the last render.
    """

    early: np.ndarray
    late: np.ndarray
    renewed: np.ndarray


class RendererConstants(NamedTuple):
    """What responses are made with.

    Attributes:
        directional: whether `directivity` is to be used.
        directivity: of the microphones.
        kernels: of the bands.
        sample_rate_hz: of the responses.
        taps: length of the responses.
        early_taps: how many of them are written for every pose.
    """

    directional: bool
    directivity: Directivity
    kernels: BandKernels
    sample_rate_hz: int
    taps: int
    early_taps: int


class ResponseRenderer:
    """Renders impulse responses at an array's microphones.

    Args:
        mic_xyz_m: float64 [mics, 3], microphones in the robot's base frame, metres.
        sample_rate_hz: of the responses.
        taps: length of the responses, samples.
        early_taps: how many of them are written for every pose.
        directivity: of the microphones; None for omnidirectional ones in the free field.
        air: of the listeners, until they are given their own; None is the nominal air.
    """

    def __init__(
        self,
        mic_xyz_m: np.ndarray,
        sample_rate_hz: int,
        taps: int,
        early_taps: int,
        directivity: Directivity | None = None,
        air: Air | None = None,
    ) -> None:
        self.mic_xyz_m = np.ascontiguousarray(mic_xyz_m, dtype=np.float64)
        self.sample_rate_hz = sample_rate_hz
        self.taps, self.early_taps = taps, early_taps
        own = directivity if directivity is not None else no_directivity(len(self.mic_xyz_m))
        self.constants = RendererConstants(
            directivity is not None, own, band_kernels(sample_rate_hz), sample_rate_hz, taps, early_taps
        )  # fmt: skip
        self.air = amplitude_exponent_per_m(air)
        self.speed_mps = SPEED_OF_SOUND_MPS if air is None else speed_of_sound_mps(air)

    def listeners(self, worlds: int) -> Listeners:
        """Allocate the state of a number of worlds."""
        capacity = pulse_capacity(self.taps / self.sample_rate_hz)
        return Listeners(
            scene=np.zeros(worlds, dtype=np.int64),
            field=np.zeros(worlds, dtype=np.int64),
            pose=np.zeros((worlds, 3)),
            source_m=np.zeros((worlds, 3)),
            moves=np.zeros(worlds, dtype=np.bool_),
            next_field=np.zeros(worlds, dtype=np.int64),
            blend=np.zeros(worlds),
            moving_key=np.zeros(worlds, dtype=np.uint64),
            heading=np.zeros((worlds, 2)),
            visible=np.zeros(worlds, dtype=np.bool_),
            path_position_m=np.zeros((worlds, MAX_PATHS, 3)),
            path_extra_m=np.zeros((worlds, MAX_PATHS)),
            path_gain=np.zeros((worlds, MAX_PATHS, BANDS), dtype=np.float32),
            path_leaves=np.zeros((worlds, MAX_PATHS, 2)),
            path_count=np.zeros(worlds, dtype=np.int64),
            paths_at=np.full((worlds, 2), np.nan),
            pulses=np.zeros((worlds, capacity, PULSE_FIELDS), dtype=np.float32),
            pulse_counts=np.zeros((worlds, 3), dtype=np.int64),
            region=np.full(worlds, -1, dtype=np.int64),
            late_pose=np.full((worlds, 3), np.nan),
            mic_xyz_m=np.repeat(self.mic_xyz_m[None], worlds, axis=0),
            mic_gain=np.ones((worlds, len(self.mic_xyz_m)), dtype=np.float32),
            mic_late_by=np.zeros((worlds, len(self.mic_xyz_m))),
            speed_mps=np.full(worlds, self.speed_mps),
            air=np.repeat(self.air[None], worlds, axis=0),
        )

    def responses(self, worlds: int) -> Responses:
        """Allocate room for the responses of a number of worlds."""
        mics = len(self.mic_xyz_m)
        return new_responses(worlds, mics, self.constants)

    def render(self, worlds: np.ndarray, scenes: List, fields: List, listeners: Listeners, out: Responses) -> None:
        """Render the responses of some worlds at their poses.

        Args:
            worlds: int64 [k], which.
            scenes: typed list of `SceneSound`.
            fields: typed list of `SourceField`.
            listeners: the worlds' state, brought up to date.
            out: filled where asked for.
        """
        render(worlds, worlds, scenes, fields, listeners, self.constants, out)


@njit(cache=True, error_model="numpy")
def new_responses(rows, mics, constants):
    """Allocate room for responses."""
    return Responses(
        np.zeros((rows, mics, constants.early_taps), dtype=np.float32),
        np.zeros((rows, mics, constants.taps - constants.early_taps), dtype=np.float32),
        np.zeros(rows, dtype=np.bool_),
    )


def no_directivity(mics: int) -> Directivity:
    """Return a table that stands where none is used."""
    one = np.ones((1, mics, 1), dtype=np.float32)
    return Directivity(
        one, 0, np.ones((1, mics, BANDS), dtype=np.float32), np.zeros((1, mics), dtype=np.float32),
        np.array([[1.0, 0.0, 0.0]]), np.zeros(1, dtype=np.int64), np.ones(1, dtype=np.int64),
    )  # fmt: skip


@njit(cache=True)
def new_scene_list(item: SceneSound):
    """Return a typed list that holds one `SceneSound` (compiled, so that the list's code is cached)."""
    items = List()
    items.append(item)
    return items


@njit(cache=True)
def new_field_list(item: SourceField):
    """Return a typed list that holds one `SourceField`."""
    items = List()
    items.append(item)
    return items


@njit(cache=True)
def put(items, index, item):
    """Replace an item of a typed list, or append it where the index is the list's length."""
    if index == len(items):
        items.append(item)
    else:
        items[index] = item


@njit(cache=True, error_model="numpy", nogil=True)
def render(worlds, rows, scenes, fields, listeners, constants, out):
    """Render the responses of some worlds, see `ResponseRenderer.render`.

    Args:
        worlds: int64 [k].
        rows: int64 [k], where each stands in `out`.
        scenes: typed list of `SceneSound`.
        fields: typed list of `SourceField`.
        listeners: `Listeners`.
        constants: the renderer's.
        out: `Responses`, filled.
    """
    rate_hz = constants.sample_rate_hz
    for k in range(worlds.size):
        ears = _ears(listeners, worlds[k], constants.directional, constants.directivity, rate_hz)
        _render_one(scenes, fields, listeners, ears, constants.kernels, rate_hz, out, worlds[k], rows[k])


@njit(cache=True, error_model="numpy")
def _render_one(scenes, fields, listeners, ears, kernels, rate_hz, out, world, row):
    scene, field = scenes[listeners.scene[world]], fields[listeners.field[world]]
    x, y, yaw = listeners.pose[world]
    early, late = out.early[row], out.late[row]
    early_taps, taps = early.shape[1], early.shape[1] + late.shape[1]
    paths = Paths(
        listeners.path_position_m[world], listeners.path_extra_m[world], listeners.path_gain[world],
        listeners.path_leaves[world],
    )  # fmt: skip
    moves = listeners.moves[world]
    region = scene.label[int((y - scene.plan.oy) * scene.plan.inv), int((x - scene.plan.ox) * scene.plan.inv)]
    second = fields[listeners.next_field[world]] if moves else field
    if moves or listeners.paths_at[world, 0] != x or listeners.paths_at[world, 1] != y:
        edge_m, edge_next = field.edge_m, field.edge_next
        if moves:
            edge_m, edge_next = np.empty_like(edge_m), np.empty_like(edge_next)
            find_ways(scene.plan, scene.edges, listeners.source_m[world], edge_m, edge_next)
        surfaces = Surfaces(scene.mirrored, listeners.air[world])
        listeners.path_count[world], listeners.visible[world] = early_paths(
            scene.plan, scene.faces, scene.edges, edge_m, edge_next, surfaces, listeners.source_m[world], ears.centre,
            taps / ears.per_metre, paths,
        )  # fmt: skip
        if region >= 0:
            _add_echoes(scene, field, second, region, surfaces, ears.centre, paths, listeners, world)
        if field.beam.gain.shape[0] > 0:
            heading = listeners.heading[world] if moves else field.beam.heading
            aim(paths, listeners.path_count[world], field.beam.gain, heading)
        listeners.paths_at[world, 0], listeners.paths_at[world, 1] = x, y
    count = listeners.path_count[world]
    turned = abs((yaw - listeners.late_pose[world, 2] + np.pi) % (2.0 * np.pi) - np.pi)
    stale = not turned < LATE_TURN_RAD  # also where there is none yet
    if moves or listeners.region[world] != region or (region < 0 and stale):
        _draw(field, second, region, ears, early_taps, rate_hz, listeners, world)
        stale = True
    all_pulses, only_early, any_early = listeners.pulse_counts[world]
    pulses, around = listeners.pulses[world], scene.centre_m[max(region, 0)]
    early[:] = 0.0
    far = add_paths(early, 0, paths, count, ears, kernels.path)
    add_pulses(early, 0, pulses[:any_early], around, ears, kernels)
    if far and (x != listeners.late_pose[world, 0] or y != listeners.late_pose[world, 1] or turned > 0.0):
        stale = True  # what comes from far away is exact too
    out.renewed[row] = stale
    if stale:
        listeners.late_pose[world, :] = listeners.pose[world]
        late[:] = 0.0
        add_paths(late, early_taps, paths, count, ears, kernels.path)
        add_pulses(late, early_taps, pulses[only_early:all_pulses], around, ears, kernels)


@njit(cache=True, error_model="numpy")
def _add_echoes(scene, field, second, region, surfaces, centre, paths, listeners, world):
    """Add the echoes of the region a world is in; of two fields, by their energies, where the source moves."""
    z, count, blend = listeners.source_m[world, 2], listeners.path_count[world], 0.0
    if listeners.moves[world]:
        blend = listeners.blend[world]
        count = add_echoes(
            scene.plan, surfaces, second.echo[region], second.echoes[region], np.sqrt(blend), z, centre, paths, count
        )
    listeners.path_count[world] = add_echoes(
        scene.plan, surfaces, field.echo[region], field.echoes[region], np.sqrt(1.0 - blend), z, centre, paths, count
    )


@njit(cache=True, error_model="numpy")
def _ears(listeners, world, directional, directivity, rate_hz):
    """Place a world's microphones at its pose."""
    base = listeners.mic_xyz_m[world]
    x, y, yaw = listeners.pose[world]
    cos, sin = np.cos(yaw), np.sin(yaw)
    mics = base.shape[0]
    xyz = np.empty((mics, 3))
    centre = np.zeros(3)
    for mic in range(mics):
        xyz[mic, 0] = x + cos * base[mic, 0] - sin * base[mic, 1]
        xyz[mic, 1] = y + sin * base[mic, 0] + cos * base[mic, 1]
        xyz[mic, 2] = base[mic, 2]
        centre[2] += base[mic, 2] / mics
    centre[0], centre[1] = x, y
    return Ears(
        xyz, centre, cos, sin, listeners.mic_gain[world], listeners.mic_late_by[world], directional, directivity,
        rate_hz / listeners.speed_mps[world],
    )  # fmt: skip


@njit(cache=True, error_model="numpy")
def _draw(field, second, region, ears, early_taps, rate_hz, listeners, world):
    """Draw the pulses of the region a world has entered, early ones first; of two fields where the source moves."""
    listeners.region[world] = region
    counts = listeners.pulse_counts[world]
    counts[:] = 0
    if region < 0:
        return
    blend = listeners.blend[world] if listeners.moves[world] else 0.0
    first_m = (1.0 - blend) * field.first_m[region] + blend * second.first_m[region]
    first_m = np.sqrt(first_m**2 + (ears.centre[2] - listeners.source_m[world, 2]) ** 2)
    pulses = listeners.pulses[world]
    key = fold(listeners.moving_key[world] if listeners.moves[world] else field.key, region)
    count = draw_pulses(
        field.energy[region], field.directions[region], second.energy[region], second.directions[region], blend,
        listeners.air[world], rate_hz, first_m * ears.per_metre / rate_hz, key, pulses,
    )  # fmt: skip
    drawn = pulses[:count].copy()
    at = 0
    for part in range(3):  # only early, both, only late
        for index in range(count):
            when = drawn[index, 0]
            belongs = (when + _MARGIN > early_taps) + (when - _MARGIN >= early_taps)
            if belongs == part:
                pulses[at] = drawn[index]
                at += 1
        if part == 0:
            counts[1] = at
        elif part == 1:
            counts[2] = at
    counts[0] = at
