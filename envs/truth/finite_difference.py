"""The wave equation on a grid: what a doorway does to sound when nothing is assumed about rays.

The standard leapfrog scheme at its Courant limit in three dimensions, on cubic cells whose faces are the walls (the
finite-volume form of Botteldooren, JASA 98 (1995); Kowalczyk and van Walstijn, IEEE TASLP 19 (2011), with the locally
reacting boundary of a real admittance). Ten cells per wavelength keep the speed of sound within 1 %. A boundary acts
on the middle of its cell, half a cell early: a phase, which changes how much a wall of small admittance takes in
second order alone.

The source is a point that sends out a short pulse; what is recorded at a distance of r metres in a free field is that
pulse, r / c later, divided by r.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from scipy.optimize import brentq

from phonotaxis.envs.scenes.materials import OCTAVE_BANDS_HZ, absorption_table
from phonotaxis.envs.scenes.scene import Scene

SPEED_OF_SOUND_MPS = 343.2  # at 20 degrees Celsius
_MOST_ABSORPTION = 0.95  # of a surface with a real admittance under sound from everywhere
_PULSE_PERIODS = 1.2  # from the pulse's begin to its middle; what is cut off there lies 90 dB below its peak


class Room(NamedTuple):
    """A space cut into cubic cells.

    Attributes:
        air: bool [x, y, z], the outermost layer false.
        admittance: float32 [x, y, z], of each cell of air the sum of the normalised admittances (1 = air's own) of
            those of its faces that touch matter.
        spacing_m: edge of a cell.
        origin_m: float64 [3], lower corner of the first cell, world.
    """

    air: np.ndarray
    admittance: np.ndarray
    spacing_m: float
    origin_m: np.ndarray

    @property
    def step_s(self) -> float:
        """Duration of a time step: the Courant limit."""
        return float(self.spacing_m / (SPEED_OF_SOUND_MPS * np.sqrt(3.0)))


def room_of(scene: Scene, octaves_hz: tuple[float, ...], cells: int) -> Room:
    """Cut a scene into cubes.

    Args:
        scene: of which floors and ceilings lie on whole cubes, or are rounded to them.
        octaves_hz: octave bands whose absorption is averaged into the boundary; it has no frequency of its own.
        cells: how many cubes a cell of the scene has along an edge.
    """
    spacing_m = scene.cell_m / cells
    bands = [OCTAVE_BANDS_HZ.index(octave_hz) for octave_hz in octaves_hz]
    table = np.array([admittance_of(float(a)) for a in absorption_table()[:, bands].mean(axis=1)], dtype=np.float32)
    grids = (scene.floor_m, scene.ceiling_m, scene.side_material, scene.floor_material, scene.ceiling_material)
    floor, ceiling, side, below, above = (np.repeat(np.repeat(g.T, cells, 0), cells, 1) for g in grids)
    layers = round(scene.height_m / spacing_m)
    middle_m = (np.arange(-1, layers + 1) + 0.5) * spacing_m
    air = (middle_m > floor[:, :, None]) & (middle_m < ceiling[:, :, None])
    admittance = np.zeros(air.shape, dtype=np.float32)
    sides = table[side][:, :, None] * ~air
    for axis in (0, 1):
        for shift in (1, -1):
            admittance += np.roll(sides, shift, axis)
    admittance += table[below][:, :, None] * np.roll(~air, 1, 2) + table[above][:, :, None] * np.roll(~air, -1, 2)
    return Room(air, admittance * air, spacing_m, np.array([*scene.origin_m, -spacing_m]))


def shoebox(size_m: tuple[float, float, float], spacing_m: float, admittance: float) -> Room:
    """Build a box of whole cells with its lower corner at 0 and one admittance all over."""
    shape = [round(edge / spacing_m) + 2 for edge in size_m]
    air = np.zeros(shape, dtype=np.bool_)
    air[1:-1, 1:-1, 1:-1] = True
    faces = sum(np.roll(~air, shift, axis).astype(np.float32) for axis in range(3) for shift in (1, -1))
    return Room(air, np.float32(admittance) * faces * air, spacing_m, np.full(3, -spacing_m))


def absorption_of(admittance: float) -> float:
    """Return the share of energy that a locally reacting surface takes from sound that comes from everywhere.

    Args:
        admittance: real, normalised to that of air, more than 0.

    Returns:
        Absorption coefficient, 0..1, by Paris' formula (Kuttruff, Room Acoustics, eq. 2.42 with a real impedance).
    """
    return float(
        8.0 * admittance * (1.0 + admittance / (1.0 + admittance) - 2.0 * admittance * np.log1p(1 / admittance))
    )


def admittance_of(absorption: float) -> float:
    """Return the real normalised admittance, below 1, of a random-incidence absorption coefficient.

    Raises:
        ValueError: the coefficient isn't within 0 to 0.95, which is the most that such a surface takes.
    """
    if not 0.0 <= absorption <= _MOST_ABSORPTION:
        raise ValueError(f"a real admittance absorbs 0 to {_MOST_ABSORPTION}, got {absorption}")
    if absorption == 0.0:
        return 0.0
    return float(brentq(lambda value: absorption_of(value) - absorption, 1e-9, 0.6))


def pulse(time_s: np.ndarray, peak_hz: float) -> np.ndarray:
    """Return the source's pulse, a Ricker wavelet, float64 like `time_s`; its spectrum peaks at `peak_hz`.

    It begins at 0 and has no mean, so that no pressure stays behind in a closed room.
    """
    squared = (np.pi * peak_hz * (time_s - _PULSE_PERIODS / peak_hz)) ** 2
    return (1.0 - 2.0 * squared) * np.exp(-squared)


def simulate(room: Room, source_m: np.ndarray, points_m: np.ndarray, length_s: float, peak_hz: float) -> np.ndarray:
    """Let the pulse spread and record it.

    Args:
        room: where.
        source_m: float64 [3], world, metres; moved to the middle of its cell.
        points_m: float64 [points, 3], world, metres, two cells and more from any matter; read between cells by
            cubic interpolation.
        length_s: of the recording.
        peak_hz: of the pulse.

    Returns:
        float32 [points, steps], pressure; sample n belongs to time n * `room.step_s`, and the pulse begins at 0.

    Raises:
        ValueError: source or point too near to matter, or outside.
    """
    shape = np.array(room.air.shape)
    strides = np.array([shape[1] * shape[2], shape[2], 1])
    cell = np.floor((np.asarray(source_m) - room.origin_m) / room.spacing_m).astype(np.int64)
    if (cell < 0).any() or (cell >= shape).any() or not room.air[tuple(cell)]:
        raise ValueError(f"the source at {np.round(source_m, 3).tolist()} m is not in the room's air")
    nodes, weights = _readers(room, np.atleast_2d(points_m), strides)
    steps = int(np.ceil(length_s / room.step_s))
    # A point source of 1 / r adds 4 pi c^2 dt^2 / h^3 of its signal per step; with the Courant limit's c dt.
    emitted = pulse(np.arange(steps) * room.step_s, peak_hz) * 4.0 * np.pi / (3.0 * room.spacing_m)
    boundary, faces, loss, matter = _boundary(room, strides)
    recorded = np.zeros((len(nodes), steps), dtype=np.float32)
    _leapfrog(
        np.zeros(room.air.size, np.float32), np.zeros(room.air.size, np.float32), int(strides[0]), int(strides[1]),
        boundary, faces, loss, matter, int(cell @ strides), emitted.astype(np.float32), nodes, weights, recorded,
    )  # fmt: skip
    return recorded


def _readers(room: Room, points_m: np.ndarray, strides: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the 64 cells around each point, int64 [points, 64], and their weights, float32, that interpolate."""
    place = (points_m - room.origin_m) / room.spacing_m - 0.5
    first = np.floor(place).astype(np.int64) - 1
    if (first < 0).any() or (first + 4 > room.air.shape).any():
        raise ValueError("a point lies outside the room, or less than two cells from its end")
    x = place - first  # 1..2, in between the second and the third of four cells
    knots = range(4)
    lagrange = np.stack([np.prod([(x - m) / (k - m) for m in knots if m != k], axis=0) for k in knots], axis=-1)
    weights = np.einsum("pi,pj,pk->pijk", lagrange[:, 0], lagrange[:, 1], lagrange[:, 2])
    offsets = (np.indices((4, 4, 4)).reshape(3, -1).T @ strides)[None, :]
    nodes = (first @ strides)[:, None] + offsets
    if not room.air.reshape(-1)[nodes].all():
        raise ValueError("a point lies in matter, or less than two cells from it")
    return nodes, weights.reshape(len(nodes), 64).astype(np.float32)


def _boundary(room: Room, strides: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return the cells of air at matter, their number of free faces and their loss, and the cells of that matter."""
    air = room.air.reshape(-1)
    steps = np.concatenate([strides, -strides])
    free = np.zeros(air.size, dtype=np.int8)
    for step in steps:
        free += np.roll(air, -step)
    boundary = np.flatnonzero(air & (free < 6))
    matter = np.flatnonzero(~air & (free > 0))
    loss = room.admittance.reshape(-1)[boundary] / np.float32(2.0 * np.sqrt(3.0))
    return boundary, free[boundary].astype(np.float32), loss.astype(np.float32), matter


@njit(cache=True, error_model="numpy", fastmath=False)
def _leapfrog(
    now: np.ndarray, before: np.ndarray, stride_x: int, stride_y: int, boundary: np.ndarray, faces: np.ndarray,
    loss: np.ndarray, matter: np.ndarray, source: int, emitted: np.ndarray, nodes: np.ndarray, weights: np.ndarray,
    recorded: np.ndarray,
) -> None:  # fmt: skip
    """Step through time, one thread, in place: `before` becomes what follows `now`.

    At the Courant limit a cell's own present value drops out, so that the bulk is a sum of six neighbours. Cells at
    matter are put right afterwards, and matter, which the sum has reached too, is silenced.
    """
    third = np.float32(1.0 / 3.0)
    one, two = np.float32(1.0), np.float32(2.0)
    kept = np.empty(boundary.size, dtype=np.float32)
    for step in range(emitted.size):
        for point in range(nodes.shape[0]):
            value = np.float32(0.0)
            for n in range(nodes.shape[1]):
                value += weights[point, n] * now[nodes[point, n]]
            recorded[point, step] = value
        for n in range(boundary.size):
            kept[n] = before[boundary[n]]
        _bulk(
            now[: -2 * stride_x], now[2 * stride_x :],
            now[stride_x - stride_y : -stride_x - stride_y], now[stride_x + stride_y : now.size - stride_x + stride_y],
            now[stride_x - 1 : -stride_x - 1], now[stride_x + 1 : now.size - stride_x + 1],
            before[stride_x:-stride_x],
        )  # fmt: skip
        for n in range(boundary.size):
            node = boundary[n]
            value = before[node] + (two - faces[n] * third) * now[node] + loss[n] * kept[n]
            before[node] = value / (one + loss[n])
        for n in range(matter.size):
            before[matter[n]] = 0.0
        before[source] += emitted[step]
        now, before = before, now


@njit(cache=True, error_model="numpy", fastmath=False)
def _bulk(
    west: np.ndarray, east: np.ndarray, south: np.ndarray, north: np.ndarray, down: np.ndarray, up: np.ndarray,
    out: np.ndarray,
) -> None:  # fmt: skip
    third = np.float32(1.0 / 3.0)
    for n in range(out.size):
        out[n] = third * (west[n] + east[n] + south[n] + north[n] + down[n] + up[n]) - out[n]
