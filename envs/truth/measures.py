"""What is read off an impulse response: decay, direct-to-reverberant ratio, level, direction.

Responses are pressure relative to the source's free field at 1 m; tap 0 is the moment of emission. All filters are
of zero phase, so that nothing moves in time.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.signal

OCTAVES_HZ = (250.0, 500.0, 1000.0, 2000.0, 4000.0)
BAND_HZ = (OCTAVES_HZ[0] / np.sqrt(2.0), OCTAVES_HZ[-1] * np.sqrt(2.0))  # what the octaves cover together
DIRECT_S = 0.0025  # about the geometric arrival
_PAD_S = 0.1  # of silence before and after, into which filters ring
_TRUNCATED_DB = -45.0
_AIR_DENSITY_KG_PER_M3 = 1.204  # at 20 degrees Celsius


class Decay(NamedTuple):
    """A reverberation time and what it was read from.

    Attributes:
        rt60_s: time in which the level falls by 60 dB at the fitted rate; NaN where none could be fitted.
        range_db: 30 or 20, the range of the fit (T30, T20); 0 where there was none.
    """

    rt60_s: float
    range_db: int


class RoomDecay(NamedTuple):
    """Reverberation times of several listeners.

    Attributes:
        rt60_s: float64 [octaves], mean over the listeners.
        t20_count: how many fits fell back on T20.
        failed_count: how many had neither; they are left out of the mean.
    """

    rt60_s: np.ndarray
    t20_count: int
    failed_count: int


def band_pass(response: np.ndarray, low_hz: float, high_hz: float, sample_rate_hz: int) -> np.ndarray:
    """Filter with a Butterworth band pass of third order, forward and backward.

    Args:
        response: float [..., taps].
        low_hz: lower edge.
        high_hz: upper edge, below half the sample rate.
        sample_rate_hz: of the response.

    Returns:
        float64 [..., taps].
    """
    sos = scipy.signal.butter(3, [low_hz, high_hz], "bandpass", fs=sample_rate_hz, output="sos")
    pad = round(_PAD_S * sample_rate_hz)
    silence = [(0, 0)] * (response.ndim - 1) + [(pad, pad)]
    padded = np.pad(np.asarray(response, dtype=np.float64), silence)
    filtered: np.ndarray = scipy.signal.sosfiltfilt(sos, padded, axis=-1, padtype=None)
    return filtered[..., pad:-pad]


def octave(response: np.ndarray, centre_hz: float, sample_rate_hz: int) -> np.ndarray:
    """Filter one octave about a centre; see `band_pass`."""
    return band_pass(response, centre_hz / np.sqrt(2.0), centre_hz * np.sqrt(2.0), sample_rate_hz)


def decay_curve_db(response: np.ndarray, to_db: float | None = _TRUNCATED_DB) -> np.ndarray:
    """Integrate a response's energy backwards (Schroeder 1965).

    Args:
        response: float [taps], of one octave.
        to_db: the integral begins where the whole curve has fallen this far; None takes all there is.

    Returns:
        float64 [taps up to there], dB relative to the whole energy; empty for silence.
    """
    energy = np.square(np.asarray(response, dtype=np.float64))
    left = np.cumsum(energy[::-1])[::-1]
    if energy.size == 0 or left[0] <= 0.0:
        return np.zeros(0)
    if to_db is not None:
        reached = np.flatnonzero(left < left[0] * 10.0 ** (to_db / 10.0))
        energy = energy[: reached[0]] if reached.size else energy
        left = np.cumsum(energy[::-1])[::-1]
    left = left[: np.flatnonzero(left > 0.0)[-1] + 1]
    return np.asarray(10.0 * np.log10(left / left[0]))


def reverberation_time(response: np.ndarray, sample_rate_hz: int) -> Decay:
    """Fit the decay of one octave: T30 from -5 to -35 dB, T20 from -5 to -25 dB where T30 can't be had.

    The range must end 10 dB above what the decay has come to at the response's end (ISO 3382-1:2009, 5.3.3): a
    response that stops sooner bends the curve down.

    Args:
        response: float [taps], of one octave.
        sample_rate_hz: of the response.
    """
    curve = decay_curve_db(response)
    rate_db_per_s = _slope(curve, -25.0, sample_rate_hz)
    if not rate_db_per_s < 0.0:
        return Decay(float("nan"), 0)
    end_db = rate_db_per_s * (np.asarray(response).size - _time_of(curve, -5.0)) / sample_rate_hz - 5.0
    if end_db > -45.0:
        return Decay(-60.0 / rate_db_per_s, 20) if end_db <= -35.0 else Decay(float("nan"), 0)
    return Decay(-60.0 / _slope(curve, -35.0, sample_rate_hz), 30)


def _time_of(curve_db: np.ndarray, level_db: float) -> int:
    """Return the first sample at which a curve lies at a level or below; its length where it never does."""
    below = np.flatnonzero(curve_db <= level_db)
    return int(below[0]) if below.size else curve_db.size


def _slope(curve_db: np.ndarray, to_db: float, sample_rate_hz: int) -> float:
    """Fit a line from -5 dB to a level, dB/s; NaN where the curve doesn't reach it."""
    begin, end = _time_of(curve_db, -5.0), _time_of(curve_db, to_db)
    if end >= curve_db.size or end - begin < 2:
        return float("nan")
    seconds = np.arange(begin, end) / sample_rate_hz
    return float(np.polyfit(seconds - seconds.mean(), curve_db[begin:end], 1)[0])


def room_decay(responses: np.ndarray, sample_rate_hz: int) -> RoomDecay:
    """Return the reverberation time per octave, the mean over listeners.

    Args:
        responses: float [listeners, taps].
        sample_rate_hz: of the responses.
    """
    rt60_s = np.full(len(OCTAVES_HZ), np.nan)
    t20 = failed = 0
    for index, centre_hz in enumerate(OCTAVES_HZ):
        decays = [reverberation_time(row, sample_rate_hz) for row in octave(responses, centre_hz, sample_rate_hz)]
        t20 += sum(decay.range_db == 20 for decay in decays)
        fitted = [decay.rt60_s for decay in decays if decay.range_db]
        failed += len(decays) - len(fitted)
        if fitted:
            rt60_s[index] = np.mean(fitted)
    return RoomDecay(rt60_s, t20, failed)


def drr_db(response: np.ndarray, arrival_s: float, sample_rate_hz: int) -> float:
    """Return the direct-to-reverberant ratio over `BAND_HZ`.

    Args:
        response: float [taps].
        arrival_s: geometric arrival of the direct sound; within 2.5 ms of it all energy counts as direct.
        sample_rate_hz: of the response.

    Returns:
        dB; infinity where there is nothing but direct sound.
    """
    energy = np.square(band_pass(response, *BAND_HZ, sample_rate_hz))
    begin = max(0, int(np.ceil((arrival_s - DIRECT_S) * sample_rate_hz)))
    end = int(np.floor((arrival_s + DIRECT_S) * sample_rate_hz)) + 1
    direct = float(energy[begin:end].sum())
    rest = float(energy[:begin].sum() + energy[end:].sum())
    with np.errstate(divide="ignore"):
        return float(10.0 * np.log10(np.float64(direct) / np.float64(rest)))


def level_db(
    response: np.ndarray, sample_rate_hz: int, low_hz: float = BAND_HZ[0], high_hz: float = BAND_HZ[1]
) -> float:
    """Return the energy of a response in a band, dB relative to the source's free field at 1 m in the same band.

    Args:
        response: float [taps].
        sample_rate_hz: of the response.
        low_hz: lower edge.
        high_hz: upper edge.
    """
    pulse = np.zeros(round(2 * _PAD_S * sample_rate_hz))
    pulse[pulse.size // 2] = 1.0
    energy, free = (
        float(np.square(band_pass(signal, low_hz, high_hz, sample_rate_hz)).sum()) for signal in (response, pulse)
    )
    with np.errstate(divide="ignore"):
        return float(10.0 * np.log10(np.float64(energy) / np.float64(free)))


def intensity_azimuth_rad(
    responses: np.ndarray,
    mic_xyz_m: np.ndarray,
    sample_rate_hz: int,
    low_hz: float = 125.0,
    high_hz: float = 1000.0,
) -> float:
    """Return the azimuth from which energy comes, by the mean active intensity at the microphones' centre.

    Pressure and its gradient come from a least-squares plane through the microphones; particle velocity from the
    gradient by Euler's equation (Fahy, Sound Intensity, 1995, section 5.2). The spacing must stay well below the
    wavelength.

    Args:
        responses: float [mics, taps], the stretch of time to judge.
        mic_xyz_m: float [mics, 3], in the frame of the azimuth; at least three that span the horizontal plane.
        sample_rate_hz: of the responses.
        low_hz: lowest frequency that counts.
        high_hz: highest.

    Raises:
        ValueError: the microphones don't span the horizontal plane.
    """
    places = np.asarray(mic_xyz_m, dtype=np.float64)[:, :2]
    places = places - places.mean(axis=0)
    if np.linalg.matrix_rank(places, tol=1e-6) < 2:
        raise ValueError("intensity needs at least 3 microphones that span the horizontal plane")
    taps = responses.shape[1]
    spectra = np.fft.rfft(responses, scipy.fft.next_fast_len(2 * taps), axis=1)
    frequency_hz = np.fft.rfftfreq(scipy.fft.next_fast_len(2 * taps), 1.0 / sample_rate_hz)
    used = (frequency_hz >= low_hz) & (frequency_hz <= high_hz)
    pressure = spectra[:, used].mean(axis=0)
    gradient = np.linalg.pinv(places) @ spectra[:, used]
    velocity = -gradient / (2j * np.pi * frequency_hz[used] * _AIR_DENSITY_KG_PER_M3)
    flow = np.real(pressure.conj() * velocity).sum(axis=1)  # where the energy goes
    return float(np.arctan2(-flow[1], -flow[0]))


def wrapped_deg(angle_rad: np.ndarray | float) -> np.ndarray:
    """Return the magnitude of an angle in degrees, 0..180, whatever turns it contains."""
    return np.asarray(np.abs(np.degrees(np.angle(np.exp(1j * np.asarray(angle_rad))))))
