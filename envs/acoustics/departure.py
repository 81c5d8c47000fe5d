"""What paths and rays take from a directive source, by the direction in which they leave it."""

from __future__ import annotations

import numpy as np
from numba import njit

from phonotaxis.envs.acoustics.bands import BANDS

_AT_SOURCE_M = 1e-9


@njit(cache=True, error_model="numpy")
def gain_towards(beam, cosine, gain):
    """Fill what a source sends in a direction, float64 [bands]; between the table's angles in a straight line.

    Args:
        beam: float32 [ANGLES, bands] of a `Beam`.
        cosine: of the angle from the axis.
        gain: filled.
    """
    at = np.arccos(min(max(cosine, -1.0), 1.0)) / np.pi * (beam.shape[0] - 1)
    row = min(int(at), beam.shape[0] - 2)
    share = at - row
    for band in range(BANDS):
        gain[band] = (1.0 - share) * beam[row, band] + share * beam[row + 1, band]


@njit(cache=True, error_model="numpy", inline="always")
def leave(leaves, from_xyz, to_xyz):
    """Write x and y of the unit vector from one point, float64 [3], to another; 0 where they are one."""
    dx, dy, dz = to_xyz[0] - from_xyz[0], to_xyz[1] - from_xyz[1], to_xyz[2] - from_xyz[2]
    length = max(np.sqrt(dx * dx + dy * dy + dz * dz), _AT_SOURCE_M)
    leaves[0], leaves[1] = dx / length, dy / length


@njit(cache=True, error_model="numpy")
def aim(paths, count, beam, heading):
    """Give paths what the source sends their way.

    Args:
        paths: a `Paths`, whose gains are those of an omnidirectional source.
        count: of them.
        beam: float32 [ANGLES, bands] of a `Beam`.
        heading: float64 [2] of it. It lies level, so that the height a path leaves at doesn't matter but for its
            length, and images at floor and ceiling leave as their unfolded lines do.
    """
    gain = np.empty(BANDS)
    for path in range(count):
        gain_towards(beam, paths.leaves[path, 0] * heading[0] + paths.leaves[path, 1] * heading[1], gain)
        for band in range(BANDS):
            paths.gain[path, band] *= gain[band]
