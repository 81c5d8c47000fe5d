"""How true the simulator is round one edge: behind a wall's end and behind the corner of a block.

A hall of 12 x 12 x 12 m holds either a wall 2 cm thin (a half-plane, for wavelengths down to 8 cm) or a block (a
wedge of 90 degrees), whose edge stands upright in the middle. Source and listeners are half way up, so nothing but the
edge and the faces that meet in it is heard until sound comes back from floor and ceiling: the response is compared
from 3 ms before the way over the edge to 10 ms after, octave by octave, with the exact field of a rigid wedge.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np

from phonotaxis.configs.array import MicrophoneArray
from phonotaxis.envs.acoustics import impulse_response
from phonotaxis.envs.scenes.empty_room import EmptyRoomConfig, empty_room
from phonotaxis.envs.scenes.materials import INDEX
from phonotaxis.envs.scenes.scene import Scene
from phonotaxis.envs.truth import Progress, Row
from phonotaxis.envs.truth.poses import Point
from phonotaxis.envs.truth.wedge import (
    HALF_PLANE_RAD,
    OCTAVES_HZ,
    RIGHT_ANGLE_RAD,
    SPEED_OF_SOUND_MPS,
    EdgePoint,
    exact_pressure,
    octave_levels_db,
    round_edge_m,
    straight_m,
    utd_pressure,
)

RATE_HZ = 16000
LENGTH_S = 0.05
BEFORE_S, AFTER_S = 0.003, 0.010
HALL_M, HEIGHT_M = (12.0, 12.0), 12.0
THIN_M, BLOCK_CELL_M = 0.02, 0.1
MIDDLE_M = 6.0
# Degrees past the shadow boundary; where a listener would stand closer than this to the far face, it is left out.
SHADOW_DEG = (-5.0, -2.5, 0.0, 2.5, 5.0, 10.0, 20.0, 35.0, 50.0, 65.0, 80.0, 100.0)
FROM_FACE_DEG = 12.0
SOURCE_DEG = (25.0, 50.0, 75.0)
DISTANCES_M = ((2.0, 1.0), (1.2, 2.5), (3.0, 3.0))  # of source and listener from the edge, one pair per source angle
ONE_MICROPHONE = MicrophoneArray(name="one", mic_xyz_m=((0.0, 0.0, 0.0),), channel_map=(0,), device_channels=1)


class WedgePose(NamedTuple):
    """One comparison: the wedge, the source and the listener about its edge, and how far into the shadow."""

    exterior_rad: float
    source: EdgePoint
    listener: EdgePoint
    shadow_deg: float


def run(progress: Progress) -> list[Row]:
    """Compare all poses; no reference needs to be installed."""
    found = []
    wedges = {HALF_PLANE_RAD: thin_wall(), RIGHT_ANGLE_RAD: block()}
    places = poses()
    for number, pose in enumerate(places):
        progress(number / len(places), "wedge")
        found.append(engine_levels_db(wedges[pose.exterior_rad], pose))
    return rows(places, np.array(found))


def poses() -> list[WedgePose]:
    """List the poses: three source angles at each wedge, listeners from 5 degrees in the light to deep shadow."""
    found = []
    for exterior_rad in (HALF_PLANE_RAD, RIGHT_ANGLE_RAD):
        for source_deg, (before_m, after_m) in zip(SOURCE_DEG, DISTANCES_M):
            for shadow_deg in SHADOW_DEG:
                listener_rad = np.radians(source_deg + 180.0 + shadow_deg)
                if listener_rad <= exterior_rad - np.radians(FROM_FACE_DEG):
                    source = EdgePoint(before_m, float(np.radians(source_deg)), MIDDLE_M)
                    listener = EdgePoint(after_m, float(listener_rad), MIDDLE_M)
                    found.append(WedgePose(exterior_rad, source, listener, shadow_deg))
    return found


def thin_wall() -> Scene:
    """Build the hall with a thin wall from the middle to its west side."""
    return _with_matter(THIN_M, "thin wall", (MIDDLE_M - THIN_M / 2, MIDDLE_M + THIN_M / 2))


def block() -> Scene:
    """Build the hall with a block in its south-west quarter."""
    return _with_matter(BLOCK_CELL_M, "block", (0.0, MIDDLE_M))


def _with_matter(cell_m: float, name: str, south_north_m: tuple[float, float]) -> Scene:
    """Fill x up to the middle and a span of y with concrete; the hall is shifted so that it falls on whole cells."""
    config = EmptyRoomConfig(
        size_m=HALL_M, height_m=HEIGHT_M, cell_m=cell_m, floor="carpet", walls="curtain", ceiling="acoustic_ceiling"
    )
    hall = empty_room(config, f"hall with {name}")
    shift_m = (south_north_m[0] / cell_m) % 1.0 * cell_m
    hall = dataclasses.replace(hall, origin_m=(hall.origin_m[0], hall.origin_m[1] + shift_m))
    rows_, columns = hall.shape
    x = hall.origin_m[0] + (np.arange(columns) + 0.5) * cell_m
    y = hall.origin_m[1] + (np.arange(rows_) + 0.5) * cell_m
    solid = (x < MIDDLE_M)[None, :] & ((y > south_north_m[0]) & (y < south_north_m[1]))[:, None]
    floor, side = hall.floor_m.copy(), hall.side_material.copy()
    floor[solid], side[solid] = hall.height_m, INDEX["concrete"]
    return dataclasses.replace(hall, floor_m=floor, side_material=side)


def place(point: EdgePoint) -> Point:
    """Return where a point about the edge lies in the hall; the edge stands in its very middle.

    The source's face is the north face of either obstacle, which runs west from the edge; angles turn from there
    clockwise, seen from above, through the open east.
    """
    heading = np.pi - point.angle_rad
    x = MIDDLE_M + point.distance_m * np.cos(heading)
    return float(x), float(MIDDLE_M + point.distance_m * np.sin(heading)), point.height_m


def engine_levels_db(scene: Scene, pose: WedgePose) -> np.ndarray:
    """Return the simulator's levels re free field at the same distance, float64 [octaves], dB."""
    response = impulse_response(
        scene, place(pose.source), place(pose.listener), 0.0, ONE_MICROPHONE, RATE_HZ, LENGTH_S
    )[0].astype(np.float64)
    arrival_s = round_edge_m(pose.source, pose.listener) / SPEED_OF_SOUND_MPS
    begin, end = (round((arrival_s + s) * RATE_HZ) for s in (-BEFORE_S, AFTER_S))
    power = np.abs(np.fft.rfft(response[max(begin, 0) : end], 4096)) ** 2
    frequency_hz = np.fft.rfftfreq(4096, 1.0 / RATE_HZ)
    bands = [(frequency_hz >= c * np.sqrt(0.5)) & (frequency_hz < c * np.sqrt(2.0)) for c in OCTAVES_HZ]
    energy = np.array([power[band].mean() for band in bands])
    return np.asarray(
        10.0 * np.log10(np.maximum(energy, 1e-12)) + 20.0 * np.log10(straight_m(pose.source, pose.listener))
    )


def rows(places: list[WedgePose], engine_db: np.ndarray) -> list[Row]:
    """Make the table's rows.

    Args:
        places: the poses.
        engine_db: float64 [poses, octaves].
    """
    exact = np.array([octave_levels_db(exact_pressure, p.exterior_rad, p.source, p.listener) for p in places])
    utd = np.array([octave_levels_db(utd_pressure, p.exterior_rad, p.source, p.listener) for p in places])
    error, own = engine_db - exact, np.abs(utd - exact)
    worst = np.unravel_index(np.abs(error).argmax(), error.shape)
    pose = places[worst[0]]
    per_octave = ", ".join(f"{hz:.0f} Hz {e:.1f}" for hz, e in zip(OCTAVES_HZ, np.median(np.abs(error), axis=0)))
    kind = "half-plane" if pose.exterior_rad == HALF_PLANE_RAD else "90 deg wedge"
    samples = tuple(float(e) for e in error.reshape(-1))
    return [
        Row("wedge_error_db", float(np.median(np.abs(error))), "dB", 1.5, float(np.median(own)),
            f"{len(places)} poses x {len(OCTAVES_HZ)} octaves against BTM, its own column UTD; bias "
            f"{error.mean():+.1f} dB; {per_octave}", samples),
        Row("wedge_error_max_db", float(np.abs(error).max()), "dB", 3.0, float(own.max()),
            f"at the {kind}, {pose.shadow_deg:+.1f} deg into the shadow, {OCTAVES_HZ[worst[1]]:.0f} Hz: "
            f"{error[worst]:+.1f} dB"),
    ]  # fmt: skip
