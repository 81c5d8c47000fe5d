"""Renders impulse responses for many worlds at once."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit, prange
from numba.typed import List

from phonotaxis.envs.acoustics.air import SPEED_OF_SOUND_MPS, amplitude_exponent_per_m
from phonotaxis.envs.acoustics.bands import band_kernels
from phonotaxis.envs.acoustics.field import SceneSound, SourceField
from phonotaxis.envs.acoustics.paths import Surfaces, early_paths, empty_paths
from phonotaxis.envs.acoustics.response import add_paths, add_pulses
from phonotaxis.envs.acoustics.tail import PULSE_FIELDS, draw_pulses, pulse_capacity
from phonotaxis.envs.hashing import fold
from phonotaxis.envs.scenes.materials import absorption_table, scattering_table
from phonotaxis.envs.threads import launch_threads


class Listeners(NamedTuple):
    """The worlds' state that responses depend on, and the pulses they keep from step to step.

    Attributes:
        scene: int64 [worlds], index into the scenes.
        field: int64 [worlds], index into the fields.
        pose: float64 [worlds, 3], x, y, yaw of the base, world, metres and radians.
        region: int64 [worlds], region of the kept pulses; -1 for none.
        pulses: float32 [worlds, capacity, 6].
        pulse_count: int64 [worlds].
        visible: bool [worlds], the source was in line of sight at the last render.
    """

    scene: np.ndarray
    field: np.ndarray
    pose: np.ndarray
    region: np.ndarray
    pulses: np.ndarray
    pulse_count: np.ndarray
    visible: np.ndarray


class ResponseRenderer:
    """Renders impulse responses at an array's microphones.

    Args:
        mic_xyz_m: float64 [mics, 3], microphones in the robot's base frame, metres.
        sample_rate_hz: of the responses.
        taps: length of the responses, samples.
    """

    def __init__(self, mic_xyz_m: np.ndarray, sample_rate_hz: int, taps: int) -> None:
        launch_threads()
        self.mic_xyz_m = np.ascontiguousarray(mic_xyz_m, dtype=np.float64)
        self.sample_rate_hz = sample_rate_hz
        self.taps = taps
        self.kernels = band_kernels(sample_rate_hz)
        self.surfaces = Surfaces(
            absorption_table(), scattering_table().mean(axis=1).astype(np.float32), amplitude_exponent_per_m()
        )

    def listeners(self, worlds: int) -> Listeners:
        """Allocate the state of a number of worlds."""
        capacity = pulse_capacity(self.taps / self.sample_rate_hz)
        return Listeners(
            np.zeros(worlds, dtype=np.int64),
            np.zeros(worlds, dtype=np.int64),
            np.zeros((worlds, 3)),
            np.full(worlds, -1, dtype=np.int64),
            np.zeros((worlds, capacity, PULSE_FIELDS), dtype=np.float32),
            np.zeros(worlds, dtype=np.int64),
            np.zeros(worlds, dtype=np.bool_),
        )

    def render(self, worlds: np.ndarray, scenes: List, fields: List, listeners: Listeners, out: np.ndarray) -> None:
        """Render the responses of some worlds at their poses.

        Args:
            worlds: int64 [k], which.
            scenes: typed list of `SceneSound`.
            fields: typed list of `SourceField`.
            listeners: the worlds' state; kept pulses are drawn anew where a world changed its region.
            out: float32 [worlds, mics, taps], filled where asked for: pressure relative to the source's own at 1 m.
        """
        _render(
            worlds,
            scenes,
            fields,
            listeners,
            self.mic_xyz_m,
            self.kernels,
            self.surfaces,
            self.sample_rate_hz,
            out,
        )


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


@njit(cache=True, error_model="numpy", parallel=True, nogil=True)
def _render(worlds, scenes, fields, listeners, mic_base, kernels, surfaces, rate_hz, out):
    for k in prange(worlds.size):
        _render_one(scenes, fields, listeners, mic_base, kernels, surfaces, rate_hz, out, worlds[k])


@njit(cache=True, error_model="numpy")
def _render_one(scenes, fields, listeners, mic_base, kernels, surfaces, rate_hz, out, world):
    scene, field = scenes[listeners.scene[world]], fields[listeners.field[world]]
    x, y, yaw = listeners.pose[world]
    cos, sin = np.cos(yaw), np.sin(yaw)
    mics = mic_base.shape[0]
    mic_xyz = np.empty((mics, 3))
    centre = np.zeros(3)
    for mic in range(mics):
        mic_xyz[mic, 0] = x + cos * mic_base[mic, 0] - sin * mic_base[mic, 1]
        mic_xyz[mic, 1] = y + sin * mic_base[mic, 0] + cos * mic_base[mic, 1]
        mic_xyz[mic, 2] = mic_base[mic, 2]
        for axis in range(3):
            centre[axis] += mic_xyz[mic, axis] / mics
    response = out[world]
    response[:] = 0.0
    paths = _new_paths()
    reach_m = response.shape[1] / rate_hz * SPEED_OF_SOUND_MPS
    count, visible = early_paths(
        scene.plan,
        scene.faces,
        field.way_m,
        field.way_parent,
        surfaces,
        field.source_m,
        centre,
        reach_m,
        paths,
    )
    listeners.visible[world] = visible
    add_paths(response, paths, count, mic_xyz, kernels.path, rate_hz)
    row, column = int((y - scene.plan.oy) * scene.plan.inv), int((x - scene.plan.ox) * scene.plan.inv)
    region = scene.label[row, column]
    if region < 0:
        return
    if listeners.region[world] != region:
        key = fold(field.key, region)
        earliest_s = _shortest_way_m(scene, field, region, centre[2]) / SPEED_OF_SOUND_MPS
        listeners.pulse_count[world] = draw_pulses(
            field.energy[region], field.flow[region], rate_hz, earliest_s, key, listeners.pulses[world]
        )
        listeners.region[world] = region
    add_pulses(
        response, listeners.pulses[world], listeners.pulse_count[world], scene.centre_m[region], centre, mic_xyz,
        kernels.pulse, kernels.pulse_first, kernels.pulse_taps, rate_hz,
    )  # fmt: skip


@njit(cache=True, error_model="numpy")
def _shortest_way_m(scene, field, region, z):
    """Return the length of the shortest way from a source to a region's centre, round corners where need be."""
    x, y = scene.centre_m[region]
    source = field.source_m
    straight_m = np.sqrt((x - source[0]) ** 2 + (y - source[1]) ** 2 + (z - source[2]) ** 2)
    row, column = int((y - scene.plan.oy) * scene.plan.inv), int((x - scene.plan.ox) * scene.plan.inv)
    way_m = field.way_m[row * scene.plan.floor.shape[1] + column]
    return max(way_m, straight_m) if np.isfinite(way_m) else straight_m


_new_paths = njit(cache=True)(empty_paths)
