"""What bends at an edge: the uniform theory of diffraction, as kernels.

Kouyoumjian and Pathak, Proc. IEEE 62 (1974), for a wedge whose faces send back a part of the pressure; the Fresnel
transition function after Kawai, as Tsingos et al. (SIGGRAPH 2001) use it. Phases follow exp(+i omega t).
"""

from __future__ import annotations

import numpy as np
from numba import njit

from phonotaxis.envs.acoustics.air import SPEED_OF_SOUND_MPS
from phonotaxis.envs.acoustics.bands import BANDS
from phonotaxis.envs.scenes.materials import OCTAVE_BANDS_HZ

TONES = 3  # frequencies that stand for an octave
_SPREAD = 2.0 ** ((np.arange(TONES) - (TONES - 1) / 2) / TONES)
WAVENUMBER = 2.0 * np.pi / SPEED_OF_SOUND_MPS * np.array(OCTAVE_BANDS_HZ)[:, None] * _SPREAD[None, :]
_NEVER_SINGULAR_RAD = 1e-4
_LAG_BAND = 2  # amid those in which waves that have bent are told apart by their phases


@njit(cache=True, error_model="numpy", inline="always")
def _transition(x):
    """Return the Fresnel transition function, within a percent and a degree; it tends to 1 far from a boundary."""
    root = np.sqrt(x)
    if x < 0.8:
        size = np.sqrt(np.pi) * root * (1.0 - root / (0.7 * root + 1.2))
    else:
        size = 1.0 - 0.8 / (x + 1.25) ** 2
    phase = 0.25 * np.pi * (1.0 - np.sqrt(x / (x + 1.4)))
    return size * complex(np.cos(phase), np.sin(phase))


@njit(cache=True, error_model="numpy", inline="always")
def _term(beta, sign, n, wavenumber, spread_m):
    """Return one of the four terms: cotangent times transition function."""
    angle = np.pi + sign * beta
    nearest = np.rint((beta + sign * np.pi) / (2.0 * np.pi * n))
    off = angle - sign * 2.0 * np.pi * n * nearest  # from the boundary
    if abs(off) < _NEVER_SINGULAR_RAD:  # on the boundary itself the limits differ: keep to this side of it
        step = _NEVER_SINGULAR_RAD if off >= 0.0 else -_NEVER_SINGULAR_RAD
        angle += step
        beta += sign * step
    amount = 2.0 * np.cos(np.pi * n * nearest - 0.5 * beta) ** 2
    return _transition(wavenumber * spread_m * amount) / np.tan(angle / (2.0 * n))


@njit(cache=True, error_model="numpy", inline="always")
def _four_terms(apart, together, n, mirror, wavenumber, spread_m):
    """Return the sum over both shadow boundaries and both faces' reflections."""
    total = _term(apart, 1.0, n, wavenumber, spread_m) + _term(apart, -1.0, n, wavenumber, spread_m)
    mirrored = _term(together, 1.0, n, wavenumber, spread_m) + _term(together, -1.0, n, wavenumber, spread_m)
    return total + mirror * mirrored


@njit(cache=True, error_model="numpy")
def bend_power(start_rad, exterior_rad, mirror, to_source, to_listener, source_m, listener_m, band):
    """Return the squared size of what an edge lets round it at the middle of one band, up to 1.

    It falls with frequency, but no faster than frequency grows; so the octave below has up to twice as much.

    Args:
        start_rad: like the others, of `bend`.
        exterior_rad: likewise.
        mirror: likewise.
        to_source: likewise.
        to_listener: likewise.
        source_m: likewise.
        listener_m: likewise.
        band: which.
    """
    n, two_pi = exterior_rad / np.pi, 2.0 * np.pi
    incident = min((to_source - start_rad) % two_pi, exterior_rad)
    leaving = min((to_listener - start_rad) % two_pi, exterior_rad)
    k, way_m = WAVENUMBER[band, TONES // 2], source_m + listener_m
    spread_m = source_m * listener_m / way_m
    total = _four_terms(leaving - incident, leaving + incident, n, mirror[band], k, spread_m)
    return min(abs(total) ** 2 / (4.0 * n * n * two_pi * k * spread_m), 1.0)


@njit(cache=True, error_model="numpy")
def bend(start_rad, exterior_rad, mirror, to_source, to_listener, source_m, listener_m, sine, out):
    """Work out what an edge lets round it.

    Args:
        start_rad: azimuth at which the air begins, counter-clockwise.
        exterior_rad: angle the air fills.
        mirror: float32 [bands], pressure that the faces send back.
        to_source: azimuth from the edge towards where the sound comes from.
        to_listener: azimuth from the edge towards where it goes.
        source_m: length of the way from the source to the edge, metres.
        listener_m: length of the way on to the listener.
        sine: of the angle between ray and edge.
        out: complex128 [bands, TONES], filled: pressure relative to a free wave over the whole way, without the
            phase of the way itself.

    Returns:
        Whether the listener lies in the edge's shadow.
    """
    n = exterior_rad / np.pi
    two_pi = 2.0 * np.pi
    incident = min((to_source - start_rad) % two_pi, exterior_rad)
    leaving = min((to_listener - start_rad) % two_pi, exterior_rad)
    way_m = source_m + listener_m
    spread_m = source_m * listener_m / way_m * sine * sine
    scale = np.sqrt(way_m / (source_m * listener_m))
    apart, together = leaving - incident, leaving + incident
    for band in range(BANDS):
        for tone in range(TONES):
            size = scale / (2.0 * n * np.sqrt(two_pi * WAVENUMBER[band, tone]) * sine)
            total = _four_terms(apart, together, n, mirror[band], WAVENUMBER[band, tone], spread_m)
            out[band, tone] = -complex(np.sqrt(0.5), -np.sqrt(0.5)) * size * total
    return abs(apart) > np.pi


@njit(cache=True, error_model="numpy", inline="always")
def lag_of(passed, dark):
    """Return by how many metres a bend makes a wave late: its phase at 500 Hz, up to an eighth of a wavelength.

    Args:
        passed: complex128 [bands, TONES] of `bend`.
        dark: whether it is in the edge's shadow; in the light a wave is its negative.
    """
    turn = np.angle(passed[_LAG_BAND, TONES // 2] if dark else -passed[_LAG_BAND, TONES // 2])
    return -turn / WAVENUMBER[_LAG_BAND, TONES // 2]
