"""The array manifold: the phases with which a plane wave from each direction reaches the microphones.

This is where an array's geometry enters the policy. Sound is steered with it, so that what the network reads is a map
over azimuth, whatever the array; and the map that a plane wave would make says how sharp this array's maps are.
"""

from __future__ import annotations

import math
from itertools import combinations
from typing import NamedTuple

import numpy as np

from phonotaxis.configs.array import MicrophoneArray
from phonotaxis.configs.directivity import Omnidirectional
from phonotaxis.envs.acoustics.directivity import Directivity, build_directivity, direction_index

SPEED_OF_SOUND_MPS = 343.2  # dry air at 20 degrees Celsius (Cramer 1993)
TURNS = 7  # of the array's own response: 0 to 180 degrees off the wave
# An array far smaller than the wavelength makes flat maps. Rooms let a pair's correlation vary by some 0.06 from
# step to step, so maps flatter than this are not blown up to the size of others.
_FLATTEST = 0.05
_SCALE = 2.0  # in rooms maps reach a third of what one plane wave makes


class Steering(NamedTuple):
    """How cross-spectra become maps.

    Attributes:
        bands: for each band a matrix float64 [pairs * 2 * bins of the band, azimuths]: pair by pair real parts, then
            imaginary ones, to the map's values of order one, zero in the mean over azimuths.
        response: float64 [bands, TURNS], the map of a plane wave at 0 to 180 degrees from it, the mean over all
            directions of the wave and both sides.
    """

    bands: tuple[np.ndarray, ...]
    response: np.ndarray


def pairs_of(mics: int) -> list[tuple[int, int]]:
    """List the pairs of microphones in the order of their cross-spectra."""
    return list(combinations(range(mics), 2))


def manifold(
    array: MicrophoneArray, bins_hz: np.ndarray, azimuths: int, rate_hz: int, elevation_rad: float = 0.0
) -> np.ndarray:
    """Return the phasors of plane waves at the microphones.

    Args:
        array: with its directional response, where it has one; a head's shadow and a pattern's sign are in it.
        bins_hz: frequencies [bins].
        azimuths: directions evenly spaced, the first straight ahead, then counter-clockwise.
        rate_hz: of the samples.
        elevation_rad: of all directions, above the horizon.

    Returns:
        complex128 [mics, bins, azimuths], each of unit size, or 0 where a microphone is deaf.
    """
    azimuth_rad = 2.0 * np.pi * np.arange(azimuths) / azimuths
    level, up = math.cos(elevation_rad), math.sin(elevation_rad)
    towards = np.stack([level * np.cos(azimuth_rad), level * np.sin(azimuth_rad), np.full(azimuths, up)])
    offsets_m = array.positions_m() - array.positions_m().mean(axis=0)
    lead_s = offsets_m @ towards / SPEED_OF_SOUND_MPS  # the microphone nearer to the source hears first
    waves = np.exp(2j * np.pi * bins_hz[None, :, None] * lead_s[:, None, :])
    if isinstance(array.directivity, Omnidirectional):
        return waves
    directivity = build_directivity(array, rate_hz)
    assert directivity is not None
    waves = waves * _responses(directivity, towards, bins_hz / rate_hz)
    size = np.abs(waves)
    return np.where(size > 1e-3, waves / np.maximum(size, 1e-3), 0.0)


def _responses(directivity: Directivity, towards: np.ndarray, cycles: np.ndarray) -> np.ndarray:
    """Microphones' own responses [mics, bins, azimuths] at the grid's nearest directions, bins in cycles a sample."""
    chosen = [direction_index(directivity, *(float(part) for part in way)) for way in towards.T]
    taps = np.arange(directivity.fir.shape[2]) - directivity.fir_delay_samples
    basis = np.exp(-2j * np.pi * taps[:, None] * cycles[None, :])
    out: np.ndarray = np.moveaxis(directivity.fir[chosen].astype(np.float64) @ basis, 0, 2)
    return out


def steering(waves: np.ndarray, edges: np.ndarray) -> Steering:
    """Make the matrices that steer.

    Args:
        waves: of `manifold`, two microphones at least.
        edges: of the bands, int64 [bands + 1], indices of bins.
    """
    first, second = (list(side) for side in zip(*pairs_of(len(waves))))
    cross = waves[first] * waves[second].conj()  # what one plane wave's whitened cross-spectra are
    bands, responses = [], []
    for low, high in zip(edges, edges[1:]):
        part = cross[:, low:high]  # [pairs, bins, azimuths]
        matrix = np.concatenate([part.real, part.imag], axis=1).reshape(-1, part.shape[2])
        matrix = matrix / (len(first) * (high - low))
        steered = matrix - matrix.mean(axis=1, keepdims=True)
        own = (matrix.T @ steered) * (len(first) * (high - low))  # [wave, azimuth]
        scale = _SCALE / (_FLATTEST + float(np.sqrt((own**2).mean())))
        bands.append(steered * scale)
        responses.append(_about_the_wave(own) * scale)
    return Steering(tuple(bands), np.stack(responses))


def over_all_bands(waves: np.ndarray) -> np.ndarray:
    """Make the matrix that steers all bands at once.

    Args:
        waves: of `manifold`, two microphones at least.

    Returns:
        float64 [pairs * 2 * bins, azimuths]; what one plane wave's whitened cross-spectra make of its own direction
        is 1.
    """
    first, second = (list(side) for side in zip(*pairs_of(len(waves))))
    cross = waves[first] * waves[second].conj()
    power = np.concatenate([cross.real, cross.imag], axis=1).reshape(-1, waves.shape[2])
    out: np.ndarray = power / (len(first) * waves.shape[1])
    return out


def _about_the_wave(own: np.ndarray) -> np.ndarray:
    """Average maps [wave, azimuth] over waves and both sides, read at `TURNS` turns off the wave."""
    azimuths = len(own)
    turned = np.stack([np.roll(row, -wave) for wave, row in enumerate(own)]).mean(axis=0)
    turned = 0.5 * (turned + turned[-np.arange(azimuths)])
    at = np.linspace(0.0, azimuths / 2, TURNS)
    return np.interp(at, np.arange(azimuths + 1), np.append(turned, turned[0]))
