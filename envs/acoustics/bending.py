"""Rays bend at edges: what a wave does where it passes the end of a wall, as energy.

A ray that passes an edge is turned about the vertical by a random angle, the more the nearer it passes and the longer
the wave (Stephenson, Acta Acustica 96 (2010), takes this from the uncertainty relation). The angle's distribution is
chosen here so that the rays that pass a half-plane carry into its shadow what Keller's diffraction coefficient says
(J. Opt. Soc. Am. 52 (1962)): at the small angle e to the boundary an edge sends out lambda / (2 pi e)^2 of the energy
that falls on a metre beside it. Rays at the distance a from the edge, turned with a density (a / lambda) f(a e /
lambda), carry lambda / e^2 times the integral of u f(u) there; a Laplace distribution with a mean of
|e| = lambda / (2 pi^2 a) has the integral that is wanted, 1 / (2 pi)^2.

All octaves turn by one angle, drawn for one of them; each is weighted by how likely it was to turn so. What an edge
takes it gives: no energy is lost, and a diffuse field stays as it is.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from phonotaxis.envs.acoustics.air import SPEED_OF_SOUND_MPS
from phonotaxis.envs.acoustics.bands import BANDS
from phonotaxis.envs.hashing import fold, unit
from phonotaxis.envs.scenes.materials import OCTAVE_BANDS_HZ

NO_EDGE = -1
BENDS_UNTIL_M = 30.0  # later, as much is turned away from everywhere as towards it
_PASSES_M = 1.0  # from an edge; at this distance an octave of 500 Hz is turned by 2 degrees
_LEAST_M = 0.01
_MOST_RAD = 0.5 * np.pi
_MEAN_TURN_RAD = SPEED_OF_SOUND_MPS / np.array(OCTAVE_BANDS_HZ) / (2.0 * np.pi**2)  # at 1 m, square to the edge


@njit(cache=True, error_model="numpy")
def next_edge(at_m, x, y, dx, dy, last):
    """Find the edge that a ray passes next, whatever may stand between them.

    Args:
        at_m: float64 [edges, 2] of `Edges`.
        x: where the ray is, world, metres.
        y: likewise.
        dx: of its direction, a unit vector in space.
        dy: likewise.
        last: the edge it has just passed, which it doesn't pass again; `NO_EDGE` for none.

    Returns:
        The edge, `NO_EDGE` where it passes none, the length of the way to where it passes nearest, metres, and the
        distance there.
    """
    found, way_m, apart_m = NO_EDGE, np.inf, 0.0
    flat = np.sqrt(dx * dx + dy * dy)
    if flat < 1e-6:
        return found, way_m, apart_m
    ux, uy = dx / flat, dy / flat
    for edge in range(at_m.shape[0]):
        to_x, to_y = at_m[edge, 0] - x, at_m[edge, 1] - y
        ahead = to_x * ux + to_y * uy
        aside = abs(to_x * uy - to_y * ux)
        if ahead >= 0.0 and aside < _PASSES_M and ahead < way_m and edge != last:
            found, way_m, apart_m = edge, ahead, aside
    return found, way_m / flat, apart_m


@njit(cache=True, error_model="numpy")
def turn_at_edge(dx, dy, apart_m, key, energy):
    """Turn a ray that passes an edge.

    Args:
        dx: of its direction, a unit vector in space.
        dy: likewise.
        apart_m: how far from the edge it passes.
        key: uint64, of this event.
        energy: float64 [bands] of the ray, weighted.

    Returns:
        The new dx, dy.
    """
    apart_m = max(apart_m, _LEAST_M) * np.sqrt(dx * dx + dy * dy)
    mean = _MEAN_TURN_RAD[min(int(unit(key) * BANDS), BANDS - 1)] / apart_m
    share = unit(fold(key, 1))
    angle = -mean * np.log(1.0 - share * (1.0 - np.exp(-_MOST_RAD / mean)))
    total = 0.0
    for band in range(BANDS):
        total += _density(angle, _MEAN_TURN_RAD[band] / apart_m) / BANDS
    for band in range(BANDS):
        energy[band] *= _density(angle, _MEAN_TURN_RAD[band] / apart_m) / total
    if unit(fold(key, 2)) < 0.5:
        angle = -angle
    cos, sin = np.cos(angle), np.sin(angle)
    return cos * dx - sin * dy, sin * dx + cos * dy


@njit(cache=True, error_model="numpy", inline="always")
def _density(angle, mean):
    """Return the density of a turn, on either side, of a Laplace distribution within `_MOST_RAD`."""
    return np.exp(-angle / mean) / (mean * (1.0 - np.exp(-_MOST_RAD / mean)))
