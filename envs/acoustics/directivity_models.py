"""What a sphere, a plate and a pattern of first order do to a plane wave.

Responses are relative to the free field at the microphone's own place, in the engineer's sign of time: a delay of
t seconds is exp(-2j pi f t).
"""

from __future__ import annotations

import numpy as np
from scipy.special import eval_legendre, spherical_jn, spherical_yn

from phonotaxis.configs.directivity import Ambisonic, Plate
from phonotaxis.envs.acoustics.air import SPEED_OF_SOUND_MPS


def first_order_gain(ambisonic: Ambisonic, direction: np.ndarray) -> np.ndarray:
    """Return what patterns of first order gain from directions.

    Args:
        ambisonic: a pattern for each microphone.
        direction: float64 [directions, 3], unit vectors towards the sound.

    Returns:
        float64 [directions, mics], signed.
    """
    gain = np.empty((len(direction), len(ambisonic.patterns)))
    for mic, pattern in enumerate(ambisonic.patterns):
        axis = np.asarray(pattern.axis, dtype=np.float64)
        gain[:, mic] = pattern.pressure + pattern.velocity * (direction @ (axis / np.sqrt(axis @ axis)))
    return gain


def rigid_sphere_response(cosine: np.ndarray, frequency_hz: np.ndarray, radius_m: float) -> np.ndarray:
    """Return the pressure on a rigid sphere in a plane wave, over the free field at the same place.

    The series of Duda and Martens (1998), Range dependence of the response of a spherical head model, equation A2,
    for a source at infinity: `p / p_centre = -i / (ka)^2 sum (2m + 1) i^m P_m(cos) / h_m'(ka)` with spherical
    Hankel functions of the second kind, and `p_free / p_centre = exp(i ka cos)`.

    Args:
        cosine: float64 [directions], of the angle between the microphone and the incoming sound, seen from the
            sphere's centre.
        frequency_hz: float64 [frequencies], 0 or more.
        radius_m: of the sphere.

    Returns:
        complex128 [directions, frequencies]; 1 at 0 Hz.
    """
    ka = 2 * np.pi * np.maximum(frequency_hz, 1.0) * radius_m / SPEED_OF_SOUND_MPS
    orders = _orders(ka)
    m = np.arange(orders.max() + 1)[:, None]
    with np.errstate(over="ignore", invalid="ignore"):  # of orders that are left out below
        slope = spherical_jn(m, ka, derivative=True) - 1j * spherical_yn(m, ka, derivative=True)
    terms = np.where(m <= orders, (2 * m + 1) * 1j ** (m % 4) / np.where(m <= orders, slope, 1.0), 0.0)
    legendre = eval_legendre(m[:, 0], np.clip(cosine, -1.0, 1.0)[:, None])
    total = (legendre @ terms) * (-1j / np.square(ka))
    return total * np.exp(-1j * ka * cosine[:, None])


def _orders(ka: np.ndarray) -> np.ndarray:
    """Return the last order needed at each `ka` (Wiscombe 1980's rule with some to spare)."""
    return np.ceil(ka + 4.0 * np.cbrt(ka) + 8.0).astype(int)


def plate_response(plate: Plate, direction: np.ndarray, frequency_hz: np.ndarray) -> np.ndarray:
    """Return the pressure at a microphone over a round plate, over the free field at the same place.

    A model of first order: `1 + reflection * w * exp(-i phase)`, where `w = v / (1 + |v|)` and
    `v = cos(angle from the normal) * sqrt(k radius)`. In front `w` grows from 0 (a plate smaller than the wave
    reflects nothing) to 1, and the reflection comes later by `2 height cos / c`; behind it falls to -1, a shadow
    whose rest decays with `v` as an edge's diffraction does (Keller 1962), later by the detour round the rim,
    `radius (1 - sin) / c`, as far as the shadow goes. At grazing incidence nothing changes, as at an edge's
    shadow boundary with the microphone on the surface: half of a doubled pressure.

    Args:
        plate: radius, height, normal and reflection.
        direction: float64 [directions, 3], unit vectors towards the sound.
        frequency_hz: float64 [frequencies].

    Returns:
        complex128 [directions, frequencies]; 1 at 0 Hz.
    """
    normal = np.asarray(plate.normal, dtype=np.float64)
    cosine = (direction @ (normal / np.sqrt(normal @ normal)))[:, None]
    k = 2 * np.pi * frequency_hz[None, :] / SPEED_OF_SOUND_MPS
    v = cosine * np.sqrt(k * plate.radius_m)
    w = v / (1.0 + np.abs(v))
    front = 1.0 + plate.reflection * w * np.exp(-2j * k * plate.height_m * cosine)
    sine = np.sqrt(np.clip(1.0 - cosine**2, 0.0, 1.0))
    behind = (1.0 + plate.reflection * w) * np.exp(-1j * k * plate.radius_m * (1.0 - sine) * np.abs(w))
    return np.where(cosine > 0.0, front, behind)
