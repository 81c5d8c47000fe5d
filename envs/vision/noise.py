"""The noise of a real depth camera, laid over exact depth."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from scipy.special import ndtri

from phonotaxis.configs.contract import PinholeCamera
from phonotaxis.configs.vision import DepthNoise
from phonotaxis.envs.hashing import fold

_BITS = 12  # of one normal draw: four fit into one hash, so a pixel costs one
_STREAM = 0x64657074  # keeps these draws apart from others that are keyed by the same episode


class NoiseModel(NamedTuple):
    """`DepthNoise` as the kernels take it."""

    normal: np.ndarray  # float64 [2^_BITS], quantiles of the standard normal distribution
    range_m: np.ndarray  # float64 [2]
    lateral_px: float
    axial_m: float
    axial_per_m: float
    disparity_m: float  # depth at which the disparity is one step; 0 = depth is not quantised
    edge_dropout: float
    edge_jump: float
    seen: np.ndarray  # int64 [4], first and last + 1 of the columns and of the rows that the real camera sees


def noise_model(noise: DepthNoise, camera: PinholeCamera) -> NoiseModel:
    """Prepare the noise of a camera for the kernels; the camera's own range holds beside the noise's."""
    quantiles = ndtri((np.arange(1 << _BITS) + 0.5) / (1 << _BITS))
    focal_px = camera.fx if noise.focal_px is None else noise.focal_px
    step_px = noise.disparity_step_px
    return NoiseModel(
        normal=quantiles / quantiles.std(),  # midpoints fall short of unit variance by a thousandth
        range_m=np.array(
            [
                max(camera.min_range_m, noise.min_range_m or 0.0),
                min(camera.max_range_m, noise.max_range_m or np.inf),
            ]
        ),
        lateral_px=noise.lateral_px,
        axial_m=noise.axial_m,
        axial_per_m=noise.axial_per_m,
        disparity_m=noise.baseline_m * focal_px / step_px if step_px > 0.0 else 0.0,
        edge_dropout=noise.edge_dropout,
        edge_jump=noise.edge_jump,
        seen=_seen(noise.field_of_view_deg, camera),
    )


def _seen(field_of_view_deg: tuple[float, float] | None, camera: PinholeCamera) -> np.ndarray:
    """Return the columns and rows whose centres lie within an angle of view about the principal point, int64 [4]."""
    if field_of_view_deg is None:
        return np.array([0, camera.width, 0, camera.height])
    tangents = np.tan(0.5 * np.radians(field_of_view_deg))
    columns = np.abs(np.arange(camera.width) + 0.5 - camera.cx) <= tangents[0] * camera.fx
    rows = np.abs(np.arange(camera.height) + 0.5 - camera.cy) <= tangents[1] * camera.fy
    ends = [np.flatnonzero(inside)[[0, -1]] + [0, 1] if inside.any() else np.zeros(2) for inside in (columns, rows)]
    return np.concatenate(ends).astype(np.int64)


class DepthCamera:
    """Makes exact depth what a real camera would have measured.

    Args:
        camera: whose depth it is.
        noise: what the real camera does to it.
        num_worlds: how many worlds.

    Attributes:
        gain: float64 [worlds], by which each world's lateral and axial noise and its dropouts are multiplied; 1
            unless changed.
    """

    def __init__(self, camera: PinholeCamera, noise: DepthNoise, num_worlds: int) -> None:
        self.noise = noise
        self.model = noise_model(noise, camera)
        self.gain = np.ones(num_worlds)

    def spoil(self, worlds: np.ndarray, depth_m: np.ndarray, keys: np.ndarray, steps: np.ndarray) -> None:
        """Add the noise to some worlds' images, in place; the same bits for any batch and number of threads.

        Args:
            worlds: int64 [k], which, each once.
            depth_m: float32 [worlds, height, width], exact depth, metres, 0 = unknown.
            keys: uint64 [worlds], of the episodes (`hashing.key_of`).
            steps: int64 [worlds], of the episodes: a step's noise is drawn once.
        """
        if not self.noise.off:
            add_depth_noise(worlds, depth_m, keys, steps, self.gain, self.model)


@njit(cache=True, error_model="numpy", fastmath=False, nogil=True)
def add_depth_noise(
    worlds: np.ndarray,
    depth_m: np.ndarray,
    keys: np.ndarray,
    steps: np.ndarray,
    gain: np.ndarray,
    model: NoiseModel,
) -> None:
    """Add noise to worlds' images in place; the arguments are those of `DepthCamera`."""
    for index in range(worlds.size):
        world = worlds[index]
        _spoil(depth_m[world], fold(fold(keys[world], _STREAM), steps[world]), gain[world], model)


@njit(cache=True, error_model="numpy", fastmath=False)
def _spoil(image: np.ndarray, key: np.uint64, gain: float, model: NoiseModel) -> None:
    """Spoil one image; every pixel draws from its own hash."""
    height, width = image.shape
    clean = image.copy()
    edges = np.zeros(image.shape, np.bool_)
    dropout = min(1.0, model.edge_dropout * gain)
    if dropout > 0.0:
        mark_edges(clean, model.edge_jump, edges)
    mask = np.uint64((1 << _BITS) - 1)
    lateral = model.lateral_px * gain
    left, right, top, bottom = model.seen[0], model.seen[1], model.seen[2], model.seen[3]
    for row in range(height):
        for column in range(width):
            bits = fold(key, row * width + column)
            along = model.normal[bits & mask]
            aside = model.normal[(bits >> np.uint64(_BITS)) & mask]
            below = model.normal[(bits >> np.uint64(2 * _BITS)) & mask]
            chance = float(bits >> np.uint64(3 * _BITS)) / float(1 << (64 - 3 * _BITS))
            i = min(max(column + int(np.rint(lateral * aside)), 0), width - 1)
            j = min(max(row + int(np.rint(lateral * below)), 0), height - 1)
            depth = float(clean[j, i])
            unseen = not (left <= column < right and top <= row < bottom)
            if unseen or depth <= 0.0 or (edges[row, column] and chance < dropout):
                image[row, column] = 0.0
                continue
            depth += (model.axial_m + model.axial_per_m * depth * depth) * gain * along
            image[row, column] = _quantised(depth, model.disparity_m)
            if not model.range_m[0] <= image[row, column] <= model.range_m[1]:
                image[row, column] = 0.0


@njit(cache=True, error_model="numpy", fastmath=False)
def _quantised(depth_m: float, disparity_m: float) -> float:
    """Return the depth whose disparity is the nearest whole number of steps; 0 where that is none."""
    if disparity_m == 0.0 or depth_m <= 0.0:
        return max(depth_m, 0.0)
    steps = np.rint(disparity_m / depth_m)
    return disparity_m / steps if steps >= 1.0 else 0.0


@njit(cache=True, error_model="numpy", fastmath=False)
def mark_edges(depth_m: np.ndarray, jump: float, edges: np.ndarray) -> None:
    """Mark the pixels on either side of a step in depth.

    The inverse depth of a plane is linear in the pixels, so a slanted plane has no edge however much depth changes
    from pixel to pixel, nor has a crease, where the change lies between the slopes on either side.

    Args:
        depth_m: float32 [height, width], exact, metres; 0 = unknown, beside which no edge is known.
        jump: least step, as a share of the farther depth.
        edges: bool [height, width], all False; set where there is an edge.
    """
    height, width = depth_m.shape
    inverse = np.where(depth_m > 0.0, 1.0 / np.maximum(depth_m, 1e-9), 0.0)
    for j in range(height):
        line = inverse[j]
        for i in range(1, width - 2):
            step = _steps(line[i - 1], line[i], line[i + 1], line[i + 2], jump)
            edges[j, i] |= step
            edges[j, i + 1] |= step
    for j in range(1, height - 2):
        a, b, c, d = inverse[j - 1], inverse[j], inverse[j + 1], inverse[j + 2]
        for i in range(width):
            step = _steps(a[i], b[i], c[i], d[i], jump)
            edges[j, i] |= step
            edges[j + 1, i] |= step


@njit(cache=True, error_model="numpy", fastmath=False)
def _steps(a: float, b: float, c: float, d: float, jump: float) -> bool:
    """Tell whether depth steps between the second and the third of four inverse depths in a line (0 = unknown)."""
    before, step, after = b - a, c - b, d - c
    excess = max(step - max(before, after), min(before, after) - step)
    return (min(min(a, b), min(c, d)) > 0.0) & (excess > jump * max(b, c))
