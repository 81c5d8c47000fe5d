"""Diffraction by a rigid wedge in closed form: the truth behind corners and wall ends.

Two independent derivations of the same field. The uniform theory of diffraction (UTD) is what a simulator can afford;
the Biot-Tolstoy-Medwin integral (BTM) is exact for an infinite rigid wedge and tells how good UTD is.

Coordinates are cylindrical about the edge: distance from it, angle from one face (the 0-face) through the air, height
along it. The air fills angles from 0 to `exterior_rad`: 2 pi for a half-plane (a thin wall's end), 3 pi / 2 for the
corner of a building. Phases follow exp(+i omega t), so a wave that has travelled R metres is exp(-i k R) / R.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.special import wofz

SPEED_OF_SOUND_MPS = 343.2  # at 20 degrees Celsius
HALF_PLANE_RAD = 2.0 * np.pi
RIGHT_ANGLE_RAD = 1.5 * np.pi
OCTAVES_HZ = (250.0, 500.0, 1000.0, 2000.0, 4000.0)

# Both formulas are 0 x infinity on a shadow or reflection boundary; their limits from either side are finite and
# differ by what the geometric wave jumps there. So near, the angle moves this far to the lit side or the dark one.
_OFF_BOUNDARY_RAD = 1e-6
# The substitution of the BTM integral, log-spaced: from where it no longer resolves `_OFF_BOUNDARY_RAD` to where
# the integrand has died out; trapezoids converge exponentially (2,000 of them agree with 8,000 to 1e-8).
_LOG_ETA = np.linspace(np.log(1e-10), np.log(40.0), 2400)


class EdgePoint(NamedTuple):
    """A point in the edge's own cylindrical coordinates.

    Attributes:
        distance_m: from the edge, more than 0.
        angle_rad: from the 0-face through the air, 0 to the wedge's exterior angle.
        height_m: along the edge.
    """

    distance_m: float
    angle_rad: float
    height_m: float


Pressure = Callable[[np.ndarray, float, EdgePoint, EdgePoint], np.ndarray]


def straight_m(source: EdgePoint, listener: EdgePoint) -> float:
    """Return the distance of two points, through the wedge if it lies between them, metres."""
    return _image_distance_m(source, listener, source.angle_rad - listener.angle_rad)


def round_edge_m(source: EdgePoint, listener: EdgePoint) -> float:
    """Return the length of the shortest way over the edge, metres."""
    return float(np.hypot(source.distance_m + listener.distance_m, source.height_m - listener.height_m))


def geometric_pressure(
    frequency_hz: np.ndarray, exterior_rad: float, source: EdgePoint, listener: EdgePoint
) -> np.ndarray:
    """Return what rays alone bring: the direct wave and a mirror image in each face, where they reach.

    Args:
        frequency_hz: float64 [frequencies].
        exterior_rad: angle the air fills.
        source: of unit amplitude at 1 m.
        listener: where.

    Returns:
        complex128 [frequencies], pressure relative to the source's free field at 1 m.

    Raises:
        ValueError: a point in the wedge or on its edge.
    """
    listener = _checked(exterior_rad, source, listener)
    wavenumber = 2.0 * np.pi * np.asarray(frequency_hz, dtype=np.float64) / SPEED_OF_SOUND_MPS
    pressure = np.zeros(wavenumber.shape, dtype=np.complex128)
    images = (
        listener.angle_rad - source.angle_rad,  # the source itself
        listener.angle_rad + source.angle_rad,  # mirrored in the 0-face
        2.0 * exterior_rad - listener.angle_rad - source.angle_rad,  # mirrored in the other face
    )
    for angle_rad in images:
        if abs(angle_rad) < np.pi:
            distance_m = _image_distance_m(source, listener, angle_rad)
            pressure += np.exp(-1j * wavenumber * distance_m) / distance_m
    return pressure


def utd_pressure(frequency_hz: np.ndarray, exterior_rad: float, source: EdgePoint, listener: EdgePoint) -> np.ndarray:
    """Return the total field of a rigid wedge after UTD.

    Kouyoumjian and Pathak, Proc. IEEE 62 (1974), eqs. 25-33 with the signs of a hard (Neumann) boundary; spherical
    incidence as in Tsingos et al., SIGGRAPH 2001, eqs. 1-6.

    Args and Returns: as of `geometric_pressure`.
    """
    listener = _checked(exterior_rad, source, listener)
    return geometric_pressure(frequency_hz, exterior_rad, source, listener) + utd_diffraction(
        frequency_hz, exterior_rad, source, listener
    )


def utd_diffraction(
    frequency_hz: np.ndarray, exterior_rad: float, source: EdgePoint, listener: EdgePoint
) -> np.ndarray:
    """Return the wave from the edge alone after UTD; see `utd_pressure`."""
    listener = _checked(exterior_rad, source, listener)
    wavenumber = 2.0 * np.pi * np.asarray(frequency_hz, dtype=np.float64) / SPEED_OF_SOUND_MPS
    n = exterior_rad / np.pi
    way_m = round_edge_m(source, listener)
    flat_m = source.distance_m + listener.distance_m
    before_m, after_m = (way_m * point.distance_m / flat_m for point in (source, listener))
    sine = flat_m / way_m  # of the angle between the ray and the edge
    spread_m = before_m * after_m / way_m * sine**2
    total = np.zeros(wavenumber.shape, dtype=np.complex128)
    for beta in (listener.angle_rad - source.angle_rad, listener.angle_rad + source.angle_rad):
        for sign in (1.0, -1.0):
            nearest = np.round((beta + sign * np.pi) / (2.0 * np.pi * n))
            amount = 2.0 * np.cos(np.pi * n * nearest - beta / 2.0) ** 2
            cotangent = 1.0 / np.tan((np.pi + sign * beta) / (2.0 * n))
            total += cotangent * transition(wavenumber * spread_m * amount)
    coefficient = -np.exp(-0.25j * np.pi) / (2.0 * n * np.sqrt(2.0 * np.pi * wavenumber) * sine) * total
    return coefficient * np.exp(-1j * wavenumber * way_m) / before_m * np.sqrt(before_m / (after_m * way_m))


def transition(x: np.ndarray) -> np.ndarray:
    """Return the Fresnel transition function of UTD, complex128 like `x`; it tends to 1 far from a boundary.

    F(x) = 2 i sqrt(x) exp(i x) times the integral of exp(-i t^2) from sqrt(x) to infinity (Kouyoumjian and Pathak,
    eq. 29), written with the Faddeeva function.
    """
    root = np.sqrt(np.asarray(x, dtype=np.float64))
    return np.sqrt(np.pi) * root * np.exp(0.25j * np.pi) * wofz(np.exp(0.75j * np.pi) * root)


def exact_pressure(frequency_hz: np.ndarray, exterior_rad: float, source: EdgePoint, listener: EdgePoint) -> np.ndarray:
    """Return the total field of an infinite rigid wedge, exact but for rounding.

    Biot and Tolstoy's wave from the edge (Svensson, Fred and Vanderkooy, JASA 106 (1999), eqs. 14-19, over an
    infinite edge) as an integral over eta, which shifted into the lower half of its plane no longer oscillates.

    Args and Returns: as of `geometric_pressure`.
    """
    listener = _checked(exterior_rad, source, listener)
    wavenumber = 2.0 * np.pi * np.asarray(frequency_hz, dtype=np.float64) / SPEED_OF_SOUND_MPS
    index = np.pi / exterior_rad
    real = np.exp(_LOG_ETA)
    # The poles lie on the imaginary axis, which this path leaves at 0 for good.
    eta = real - 0.5j * np.pi * np.tanh(real)
    slope = real * (1.0 - 0.5j * np.pi / np.cosh(real) ** 2)
    sides = source.distance_m, listener.distance_m
    squared = sides[0] ** 2 + sides[1] ** 2 + (source.height_m - listener.height_m) ** 2
    distance = np.sqrt(squared + 2.0 * sides[0] * sides[1] * np.cosh(eta))
    directivity = np.zeros(eta.shape, dtype=np.complex128)
    for a in (1.0, -1.0):
        for b in (1.0, -1.0):
            angle = index * (np.pi + a * source.angle_rad + b * listener.angle_rad)
            # cosh(x) - cos(y) without the cancellation that both being nearly 1 would bring
            below = 2.0 * (np.sinh(0.5 * index * eta) ** 2 + np.sin(0.5 * angle) ** 2)
            directivity += np.sin(angle) / below
    integrand = np.exp(-1j * wavenumber[..., None] * distance) * (directivity * slope / distance)
    edge_wave = -index / (2.0 * np.pi) * integrand.sum(axis=-1) * (_LOG_ETA[1] - _LOG_ETA[0])
    return geometric_pressure(frequency_hz, exterior_rad, source, listener) + edge_wave


def octave_levels_db(pressure: Pressure, exterior_rad: float, source: EdgePoint, listener: EdgePoint) -> np.ndarray:
    """Return the level of a flat-spectrum sound in octaves, relative to the free field at the same distance.

    Args:
        pressure: `utd_pressure` or `exact_pressure`.
        exterior_rad: angle the air fills.
        source: where the sound is.
        listener: where it is heard.

    Returns:
        float64 [octaves], decibels in the octaves `OCTAVES_HZ`: energy, evenly weighted over frequency.
    """
    edges = np.sqrt(0.5), np.sqrt(2.0)
    steps = (np.arange(48) + 0.5) / 48
    frequency_hz = np.array(OCTAVES_HZ)[:, None] * (edges[0] + (edges[1] - edges[0]) * steps)
    heard = pressure(frequency_hz.reshape(-1), exterior_rad, source, listener).reshape(frequency_hz.shape)
    energy = np.mean(np.abs(heard) ** 2, axis=1)
    return 10.0 * np.log10(energy) + 20.0 * np.log10(straight_m(source, listener))


def _image_distance_m(source: EdgePoint, listener: EdgePoint, angle_rad: float) -> float:
    a, b = source.distance_m, listener.distance_m
    across = a * a + b * b - 2.0 * a * b * np.cos(angle_rad)
    return float(np.sqrt(max(across, 0.0) + (source.height_m - listener.height_m) ** 2))


def _checked(exterior_rad: float, source: EdgePoint, listener: EdgePoint) -> EdgePoint:
    """Refuse points that are not in the air; return the listener, moved off a boundary it stands on."""
    for name, point in (("source", source), ("listener", listener)):
        if not point.distance_m > 0.0 or not 0.0 <= point.angle_rad <= exterior_rad:
            raise ValueError(
                f"the {name} must be off the edge and at an angle of 0 to {exterior_rad:.4f} rad, "
                f"got {point.distance_m} m and {point.angle_rad} rad"
            )
    boundaries = (
        source.angle_rad + np.pi,
        source.angle_rad - np.pi,
        np.pi - source.angle_rad,
        2.0 * exterior_rad - np.pi - source.angle_rad,
    )
    for boundary in boundaries:
        off = listener.angle_rad - boundary
        if abs(off) < _OFF_BOUNDARY_RAD:
            away = _OFF_BOUNDARY_RAD if off >= 0.0 else -_OFF_BOUNDARY_RAD
            return listener._replace(angle_rad=float(np.clip(boundary + away, 0.0, exterior_rad)))
    return listener
