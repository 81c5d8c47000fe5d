"""The late tail: a late field drawn as plane-wave pulses.

Each pulse arrives at a time of its own, from a direction of its own, in one octave band; their energies follow the
traced field. Since a pulse is a plane wave, every microphone receives it with its own exact delay: coherence between
microphones, the direction of the doorway, and any array's geometry come out of the same few numbers. Times are
jittered on an even grid per band (velvet noise, Karjalainen and Järveläinen 2007), so no gap and no cluster forms.

Pulses are keyed by (scene, source, region): two sources are not coherent, and the same place sounds the same again.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from phonotaxis.envs.acoustics.air import SPEED_OF_SOUND_MPS, amplitude_exponent_per_m
from phonotaxis.envs.acoustics.bands import BANDS
from phonotaxis.envs.acoustics.energy_codes import STEPS, amplitude_of
from phonotaxis.envs.acoustics.tracer import AZIMUTHS, BIN_S, CERTAIN, DIRECTIONS, ELEVATIONS, slot_of
from phonotaxis.envs.hashing import fold, unit

# Pulses per second and band: several per period of the band's width, where noise statistics are reached.
PULSES_PER_S = np.array([120.0, 200.0, 350.0, 600.0, 900.0, 1300.0])
FLOOR_RATIO = 1e-6  # pulses 60 dB below their band's strongest bin are left out
_FLOOR_CODES = int(np.rint(-np.log2(FLOOR_RATIO) * STEPS))
_SHORTEST_S = 0.002  # into which a bin's energy is narrowed
_BIN_M = BIN_S * SPEED_OF_SOUND_MPS
_TRACED_AIR = amplitude_exponent_per_m()  # per metre and band, which fields are traced in
PULSE_FIELDS = 6  # arrival in samples at the region's centre, amplitude, direction x, y, z, band


def pulse_capacity(length_s: float) -> int:
    """Return the room that the pulses of a tail need."""
    return int(np.ceil(PULSES_PER_S * length_s).sum()) + BANDS


@njit(cache=True, error_model="numpy")
def draw_pulses(
    energy, directions, other_energy, other_directions, blend, air, sample_rate_hz, earliest_s, key, pulses
):  # fmt: skip
    """Draw the pulses of one region.

    A bin says no more than that its energy came within it; nothing is heard before the first sound, however, since
    what precedes it would be taken for its direction. The bin in which it arrives is narrowed to what follows.
    Fields are traced in the nominal air; another takes more or less of each bin, as it would have in the trace.

    Args:
        energy: uint16 [bins, bands], codes of a `SourceField`.
        directions: uint8 [slots, DIRECTIONS] of it, as of a `LateField`.
        other_energy: of a second field, like `energy`.
        other_directions: likewise.
        blend: share of the pulses that stand for the second field, 0 to 1: so fields blend without more pulses.
        air: float32 [bands], amplitude's exponent per metre.
        sample_rate_hz: of the impulse response.
        earliest_s: when the first sound arrives.
        key: uint64, of (scene, source, region).
        pulses: float32 [capacity, PULSE_FIELDS], filled.

    Returns:
        The number of pulses.
    """
    bins = energy.shape[0]
    count = 0
    for band in range(BANDS):
        strongest = 0
        for k in range(bins):
            strongest = max(strongest, int(energy[k, band]))
            if blend > 0.0:
                strongest = max(strongest, int(other_energy[k, band]))
        if strongest == 0:
            continue
        rate = PULSES_PER_S[band]
        per_pulse = np.sqrt(1.0 / (rate * BIN_S))
        weakest = max(strongest - _FLOOR_CODES, 1)
        band_key = fold(key, band)
        excess = (air[band] - _TRACED_AIR[band]) * _BIN_M
        left_of, left = -1, 1.0  # what the air leaves beside the nominal one, and of which bin
        for slot in range(int(bins * BIN_S * rate)):
            pulse_key = fold(band_key, slot)
            seconds = (slot + unit(pulse_key)) / rate
            k = min(int(seconds / BIN_S), bins - 1)
            of_other = blend > 0.0 and unit(fold(pulse_key, 3)) < blend
            strength = int(other_energy[k, band]) if of_other else int(energy[k, band])
            if strength < weakest or count == pulses.shape[0]:
                continue
            if k != left_of:
                left_of, left = k, np.exp(-excess * (k + 0.5))
            begin, end = k * BIN_S, (k + 1) * BIN_S
            if end <= earliest_s:
                continue
            if begin < earliest_s:
                seconds = earliest_s + (seconds - begin) / BIN_S * max(end - earliest_s, _SHORTEST_S)
            sign_key = fold(pulse_key, 1)
            sign = 1.0 if unit(sign_key) < 0.5 else -1.0
            pulses[count, 0] = seconds * sample_rate_hz
            pulses[count, 1] = sign * amplitude_of(strength) * per_pulse * left
            from_where = other_directions if of_other else directions
            _direction(from_where[slot_of(k)], fold(pulse_key, 2), pulses[count])
            pulses[count, 5] = band
            count += 1
    return count


@njit(cache=True, error_model="numpy", inline="always")
def _direction(shares, key, pulse):
    """Draw where a pulse comes from: a cell of direction by its share of the energy, and a place within it."""
    if shares[DIRECTIONS - 1] < CERTAIN:  # no ray came in this slot: from anywhere
        cell = int(unit(fold(key, 2)) * DIRECTIONS)
    else:
        wanted = unit(fold(key, 2)) * CERTAIN
        cell, last = 0, DIRECTIONS - 1
        while cell < last:  # the first whose cumulative share is beyond what is wanted
            middle = (cell + last) // 2
            if shares[middle] > wanted:
                last = middle
            else:
                cell = middle + 1
    z = ((cell // AZIMUTHS) + unit(fold(key, 0))) * (2.0 / ELEVATIONS) - 1.0
    azimuth = ((cell % AZIMUTHS) + unit(fold(key, 1))) * (2.0 * np.pi / AZIMUTHS)
    flat = np.sqrt(max(1.0 - z * z, 0.0))
    pulse[2], pulse[3], pulse[4] = flat * np.cos(azimuth), flat * np.sin(azimuth), z
