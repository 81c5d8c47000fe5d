"""What a directive source sends in each direction, by octave band.

A pattern turns about the source's heading, which lies level. Its table is pressure over that on the axis, so that a
source of so many dB SPL at 1 m has that level in front of it, and less all round than an omnidirectional one.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.special import eval_legendre, spherical_jn, spherical_yn

from phonotaxis.configs.source_directivity import (
    Cardioid,
    Loudspeaker,
    OmnidirectionalSource,
    SourceDirectivity,
    Talker,
)
from phonotaxis.envs.acoustics.air import SPEED_OF_SOUND_MPS
from phonotaxis.envs.acoustics.bands import BANDS
from phonotaxis.envs.scenes.materials import OCTAVE_BANDS_HZ

ANGLES = 37  # of a table, 0 to 180 degrees from the axis
_TONES = 24  # of a band, whose energies are averaged

# Levels of running speech in octave bands about the head, horizontal plane, dB over the front: B. B. Monson, E. J.
# Hunter and B. H. Story, Horizontal directivity of low- and high-frequency energy in speech and singing, J. Acoust.
# Soc. Am. 132 (2012) 433-441, normal speech, every 30 degrees; taken from a published filter after the paper, not
# from its own figures.
_TALKER_DEG = np.arange(0.0, 181.0, 30.0)
_TALKER_DB = np.array(
    [
        [0.0, -0.1, -0.6, -1.6, -2.7, -3.5, -3.6],
        [0.0, -0.2, -0.8, -2.3, -3.9, -4.9, -5.1],
        [0.0, 0.1, -0.1, -1.6, -4.4, -6.0, -5.9],
        [0.0, -0.7, -1.5, -1.6, -4.6, -7.9, -6.3],
        [0.0, -0.1, -2.5, -7.0, -7.9, -13.0, -13.1],
        [0.0, -0.7, -3.9, -6.3, -12.7, -16.7, -18.9],
    ]
)


class Beam(NamedTuple):
    """What one source sends where.

    Attributes:
        gain: float32 [ANGLES, bands], pressure over that on the axis, evenly from 0 to 180 degrees from it; no rows
            for an omnidirectional source.
        heading: float64 [2], cosine and sine of the azimuth it faces, world.
    """

    gain: np.ndarray
    heading: np.ndarray


def beam(directivity: SourceDirectivity | None = None, heading_rad: float = 0.0) -> Beam:
    """Return what a source sends where.

    Args:
        directivity: of the source; None for an omnidirectional one.
        heading_rad: that it faces, counter-clockwise from world x.
    """
    gain = gain_table(directivity or OmnidirectionalSource())
    return Beam(gain, np.array([np.cos(heading_rad), np.sin(heading_rad)]))


def gain_table(directivity: SourceDirectivity) -> np.ndarray:
    """Return the table of a `Beam`, float32 [ANGLES or 0, bands]."""
    angle_rad = np.linspace(0.0, np.pi, ANGLES)
    if isinstance(directivity, Cardioid):
        order = np.broadcast_to(np.asarray(directivity.order, dtype=np.float64), BANDS)
        gain = (0.5 + 0.5 * np.cos(angle_rad))[:, None] ** order
    elif isinstance(directivity, Talker):
        level_db = np.array([np.interp(np.degrees(angle_rad), _TALKER_DEG, of_band) for of_band in _TALKER_DB])
        gain = 10.0 ** (level_db.T / 20.0)
    elif isinstance(directivity, Loudspeaker):
        gain = _loudspeaker_gain(directivity, np.cos(angle_rad))
    else:
        return np.zeros((0, BANDS), dtype=np.float32)
    return np.ascontiguousarray(gain, dtype=np.float32)


def _loudspeaker_gain(box: Loudspeaker, cosine: np.ndarray) -> np.ndarray:
    """Return the gain of a box in bands, float64 [directions, bands]; energies over the axis's, averaged over tones."""
    octaves = (np.arange(_TONES) + 0.5) / _TONES - 0.5
    frequency_hz = np.array(OCTAVE_BANDS_HZ)[:, None] * 2.0**octaves
    pressure = np.abs(piston_in_sphere(np.append(1.0, cosine), frequency_hz.ravel(), box.radius_m, box.driver_radius_m))
    ratio = np.square(pressure[1:] / pressure[:1]).reshape(cosine.size, BANDS, _TONES)
    gain: np.ndarray = np.sqrt(ratio.mean(axis=2))
    return gain


def piston_in_sphere(
    cosine: np.ndarray, frequency_hz: np.ndarray, radius_m: float, piston_radius_m: float
) -> np.ndarray:
    """Return the far pressure of a cap of a rigid sphere that moves with one radial velocity, up to a common factor.

    `sum u_m i^m P_m(cos) / h_m'(ka)` with `u_m = (P_{m-1}(cos cap) - P_{m+1}(cos cap)) / 2` the velocity's Legendre
    coefficients (Morse and Ingard 1968, Theoretical Acoustics, section 7.2; Aarts and Janssen 2010).

    Args:
        cosine: float64 [directions], of the angle from the cap's axis.
        frequency_hz: float64 [frequencies], over 0.
        radius_m: of the sphere.
        piston_radius_m: of the cap's rim, at most the sphere's.

    Returns:
        complex128 [directions, frequencies].
    """
    ka = 2.0 * np.pi * frequency_hz * radius_m / SPEED_OF_SOUND_MPS
    orders = np.ceil(ka + 4.0 * np.cbrt(ka) + 8.0).astype(int)  # Wiscombe 1980, with some to spare
    m = np.arange(orders.max() + 1)[:, None]
    rim = np.sqrt(1.0 - (piston_radius_m / radius_m) ** 2)
    below = np.where(m > 0, eval_legendre(np.maximum(m - 1, 0), rim), 1.0)
    velocity = 0.5 * (below - eval_legendre(m + 1, rim))
    with np.errstate(over="ignore", invalid="ignore"):  # of orders that are left out below
        slope = spherical_jn(m, ka, derivative=True) - 1j * spherical_yn(m, ka, derivative=True)
    used = m <= orders
    terms = np.where(used, velocity * 1j ** (m % 4) / np.where(used, slope, 1.0), 0.0)
    pressure: np.ndarray = eval_legendre(m[:, 0], np.clip(cosine, -1.0, 1.0)[:, None]) @ terms
    return pressure
