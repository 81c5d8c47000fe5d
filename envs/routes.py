"""Ways that sources walk, to and fro, and where they face on them."""

from __future__ import annotations

import zlib
from typing import NamedTuple

import numpy as np

from phonotaxis.configs.sources import WAYPOINT_M
from phonotaxis.envs.scenes.scene import Scene

_NEAR_M, _FAR_M = 2.0, 6.0  # a way leads to a place between so far away, where there is one


class Route(NamedTuple):
    """Slots of the fields along a source's way.

    Attributes:
        there: from its own place on.
        back: at the same way-points, for the way back; empty where the same fields serve.
    """

    there: tuple[int, ...] = ()
    back: tuple[int, ...] = ()


def way_points(
    scene: Scene,
    mask: np.ndarray,
    start_m: np.ndarray,
    distance_m: np.ndarray,
    radius_m: float,
    height_m: float,
    number: int,
) -> np.ndarray:
    """Draw a way from a source to another place of its scene.

    Args:
        scene: where.
        mask: bool [rows, columns], where it may lead.
        start_m: float64 [3], the source, world.
        distance_m: float32 [rows, columns], of the walks to the source.
        radius_m: of a body that can walk it.
        height_m: of it.
        number: of the way; the same source has several.

    Returns:
        float64 [points, 2], world, metres, evenly and at most `WAYPOINT_M` apart; the source's own place alone where
        there is no other.
    """
    rng = np.random.Generator(np.random.PCG64([zlib.crc32(np.asarray(start_m).tobytes()), number]))
    near = np.argwhere(mask & (distance_m > _NEAR_M) & (distance_m < _FAR_M))
    if len(near) == 0:
        near = np.argwhere(mask & np.isfinite(distance_m) & (distance_m > 0.0))
    if len(near) == 0:
        return np.array([start_m[:2]])
    end = scene.centre_of(*(int(v) for v in near[rng.integers(len(near))]))
    return _spaced(scene.shortest_path((start_m[0], start_m[1]), end, radius_m, height_m), WAYPOINT_M)


def headings(points_m: np.ndarray) -> np.ndarray:
    """Return where who walks along points looks at each of them, float64 [points, 2], unit vectors.

    It is the direction of the leg that begins there; at the end, of the last leg.
    """
    legs = np.diff(points_m, axis=0)
    legs /= np.maximum(np.hypot(legs[:, 0], legs[:, 1]), 1e-9)[:, None]
    return np.concatenate([legs, legs[-1:]])


def _spaced(way: np.ndarray, most_m: float) -> np.ndarray:
    """Return points along a way, float64 [points, 2], evenly and at most so far apart, with both ends."""
    if len(way) < 2:
        return way
    along = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(way, axis=0).T))])
    at = np.linspace(0.0, along[-1], max(2, int(np.ceil(along[-1] / most_m)) + 1))
    return np.stack([np.interp(at, along, way[:, 0]), np.interp(at, along, way[:, 1])], axis=1)
