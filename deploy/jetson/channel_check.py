"""Finds dead, clipping, swapped, inverted and processed channels and a wrong firmware, from noise or a clap.

Microphones of one array hear the same sound, shifted by at most their distance over the speed of sound; the
shifts between them fit one direction. A channel that shares nothing with the others, or a shift that no
direction explains, is wrong. Directional microphones hear it each in their own way, so of them only dead and clipping
channels are found. Some mistakes look like another direction (a square array turned by a quarter, or
mirrored): those are only found when it is known where the sound came from.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from phonotaxis.configs.array import MicrophoneArray

SOUND_MPS = 343.0
SILENT_CODES = 0.5  # root mean square: below half a code there is no converter at work
QUIET_DB = 20.0  # below the median of the others
CLIPPED_SHARE = 0.01
SHARED = 0.3  # least peak of the cross-correlation of two microphones of one small array, in noise
SLACK_SAMPLES = 1.5  # beyond the array's size, where a shift is still looked for
FIT_SAMPLES = 0.5  # of a shift, off what one direction explains: positions to 5 mm, reflections, interpolation
KNOWN_DIRECTION_RAD = np.deg2rad(45.0)  # how far from where it was said to come a sound may seem to come
_BAND_HZ = (200.0, 3500.0)  # below, everything is in phase; above, noise of the converters rules
_UPSAMPLE = 8


@dataclass(frozen=True)
class ChannelReport:
    """What was found.

    Attributes:
        faults: one line each, empty where all is well.
        level_dbfs: float [device_channels], root mean square against full scale.
        azimuth_rad: where the sound came from, as the microphones say; None where they don't agree on one.
        unjudged: what wasn't looked at and why; empty where all was.
    """

    faults: tuple[str, ...]
    level_dbfs: np.ndarray
    azimuth_rad: float | None
    unjudged: str = ""


def check_channels(
    samples: np.ndarray, array: MicrophoneArray, sample_rate_hz: int, azimuth_rad: float | None = None
) -> ChannelReport:
    """Check a recording of a second or more of noise, speech or claps.

    Args:
        samples: int16 [device_channels, samples].
        array: what the robot's configuration says.
        sample_rate_hz: of the recording.
        azimuth_rad: where the sound came from in the base frame, if that is known.

    Raises:
        ValueError: not the array's number of channels.
    """
    if samples.dtype != np.int16 or samples.ndim != 2 or len(samples) != array.device_channels:
        raise ValueError(f"expected int16 [{array.device_channels}, samples], got {samples.dtype} {samples.shape}")
    rms = np.sqrt((samples.astype(np.float64) ** 2).mean(axis=1))
    level_dbfs = 20.0 * np.log10(np.maximum(rms, 1e-3) / 32768.0)
    mapped = list(array.channel_map)
    alike = array.directivity.kind == "omnidirectional"
    silent, faults = _levels(samples, rms, level_dbfs, mapped, alike)
    if not alike:
        unjudged = (
            f"directional microphones ({array.directivity.kind}): levels, polarity, copies and order aren't judged, "
            "which differ with the sound's direction"
        )
        return ChannelReport(tuple(faults), level_dbfs, None, unjudged)
    shifts = _Shifts(samples, sample_rate_hz, array)
    alive = [channel for channel in mapped if channel not in silent]
    strangers = _strangers(shifts, alive)
    faults += _layout(shifts, array, strangers, silent, rms)
    good = [i for i, channel in enumerate(mapped) if channel in alive and channel not in strangers]
    if len(good) < 3:
        return ChannelReport(tuple(faults), level_dbfs, None)
    inverted = _inverted(shifts, [mapped[i] for i in good])
    faults += [f"channel {channel} is inverted: its plus and minus are exchanged" for channel in inverted]
    order, azimuth = _order(shifts, array, good, azimuth_rad)
    faults += order
    return ChannelReport(tuple(faults), level_dbfs, azimuth)


def _levels(
    samples: np.ndarray, rms: np.ndarray, level_dbfs: np.ndarray, mapped: list[int], alike: bool
) -> tuple[set[int], list[str]]:
    silent: set[int] = set()
    faults = []
    median = float(np.median(level_dbfs[mapped]))
    for channel in mapped:
        if rms[channel] < SILENT_CODES or (alike and level_dbfs[channel] < median - QUIET_DB):
            silent.add(channel)
            faults.append(f"channel {channel} is dead: {level_dbfs[channel]:.0f} dBFS, the others {median:.0f}")
        elif (np.abs(samples[channel].astype(np.int32)) >= 32_700).mean() > CLIPPED_SHARE:
            faults.append(f"channel {channel} clips: turn the gain down")
    return silent, faults


class _Shifts:
    """Cross-correlations of pairs of channels in the band where an array has phases (no whitening: noise floor)."""

    def __init__(self, samples: np.ndarray, sample_rate_hz: int, array: MicrophoneArray) -> None:
        self._rate_hz = sample_rate_hz
        positions = array.positions_m()
        self.aperture_m = float(np.linalg.norm(positions[:, None] - positions[None], axis=2).max())
        self._reach = self.aperture_m / SOUND_MPS * sample_rate_hz + SLACK_SAMPLES
        count = samples.shape[1]
        self._size = 1 << (2 * count - 1).bit_length()
        hz = np.fft.rfftfreq(self._size, 1.0 / sample_rate_hz)
        spectra = np.fft.rfft(samples.astype(np.float64), self._size)
        self._spectra = np.where((hz >= _BAND_HZ[0]) & (hz <= _BAND_HZ[1]), spectra, 0.0)
        self._power = (np.abs(self._spectra) ** 2).sum(axis=1)
        self._found: dict[tuple[int, int], tuple[float, float]] = {}

    def peak(self, a: int, b: int) -> tuple[float, float]:
        """Return by how many samples channel a is later than b, and the correlation there, from -1 to 1."""
        if (a, b) not in self._found:
            cross = self._spectra[a] * np.conj(self._spectra[b])
            padded = np.zeros(self._size * _UPSAMPLE // 2 + 1, dtype=complex)
            padded[: len(cross)] = cross
            scale = np.sqrt(self._power[a] * self._power[b]) * 2.0 / (self._size * _UPSAMPLE) + 1e-12
            lags = np.fft.irfft(padded) / scale
            reach = int(self._reach * _UPSAMPLE) + 1
            near = np.concatenate([lags[-reach:], lags[: reach + 1]])
            at = int(np.abs(near).argmax())
            self._found[a, b] = ((at - reach) / _UPSAMPLE, float(near[at]))
        return self._found[a, b]

    def shared(self, a: int, b: int) -> bool:
        """Whether two channels hear the same sound within the array's size."""
        return abs(self.peak(a, b)[1]) >= SHARED

    def delay_s(self, a: int, b: int) -> float:
        """Return by how many seconds channel a is later than b."""
        return self.peak(a, b)[0] / self._rate_hz

    def tolerance_s(self) -> float:
        """Return how far a shift may be off."""
        return FIT_SAMPLES / self._rate_hz


def _strangers(shifts: _Shifts, channels: list[int]) -> list[int]:
    """List the channels that share nothing with most of the others."""
    return [a for a in channels if sum(shifts.shared(a, b) for b in channels if b != a) * 2 < len(channels) - 1]


def _layout(
    shifts: _Shifts, array: MicrophoneArray, strangers: list[int], silent: set[int], rms: np.ndarray
) -> list[str]:
    mapped = list(array.channel_map)
    good = [channel for channel in mapped if channel not in strangers and channel not in silent]
    spare = [c for c in range(array.device_channels) if c not in mapped and rms[c] >= SILENT_CODES]
    raw = [c for c in spare if sum(shifts.shared(c, g) and not _copy(shifts, c, g) for g in good) * 2 > len(good)]
    faults = [f"channel {channel} is processed, or no microphone: it hears what no other does" for channel in strangers]
    faults += [
        f"channels {a} and {b} carry the same signal: a mix or a copy, no two microphones"
        for a, b in itertools.combinations(good, 2)
        if _copy(shifts, a, b)
    ]
    if faults and raw:
        faults.append(
            f"channel(s) {', '.join(map(str, raw))} look like microphones and aren't in channel_map {mapped}: "
            "this is another firmware's layout"
        )
    return faults


def _copy(shifts: _Shifts, a: int, b: int) -> bool:
    lag, peak = shifts.peak(a, b)
    return peak > 0.99999 and abs(lag) < 0.5


def _inverted(shifts: _Shifts, channels: list[int]) -> list[int]:
    against = {a: sum(shifts.peak(a, b)[1] < 0 for b in channels if b != a) for a in channels}
    return [a for a in channels if against[a] * 2 > len(channels) - 1]


def _order(
    shifts: _Shifts, array: MicrophoneArray, good: list[int], azimuth_rad: float | None
) -> tuple[list[str], float | None]:
    """Find the exchange of two microphones, if any, that explains the shifts better than the order as configured."""
    positions, channels = array.positions_m()[good], [array.channel_map[i] for i in good]
    pairs = list(itertools.combinations(range(len(good)), 2))
    delays_s = np.array([shifts.delay_s(channels[a], channels[b]) for a, b in pairs])

    def fit(places: np.ndarray) -> tuple[float, float]:
        baselines = np.array([places[a] - places[b] for a, b in pairs])
        # a plane wave from u reaches the microphone that lies further towards u first
        u, *_ = np.linalg.lstsq(-baselines / SOUND_MPS, delays_s, rcond=None)
        error_s = np.abs(-baselines @ u / SOUND_MPS - delays_s).max()
        return float(error_s), float(np.arctan2(u[1], u[0]))

    def believed(azimuth: float) -> bool:
        if azimuth_rad is None:
            return True
        off = np.angle(np.exp(1j * (azimuth - azimuth_rad)))
        return bool(abs(off) <= KNOWN_DIRECTION_RAD)

    error_s, azimuth = fit(positions)
    if error_s <= shifts.tolerance_s() and believed(azimuth):
        return [], azimuth
    swaps = []
    for a, b in pairs:
        order = list(range(len(good)))
        order[a], order[b] = order[b], order[a]
        other_s, other = fit(positions[order])
        if other_s <= shifts.tolerance_s() and believed(other):
            swaps.append((other_s, channels[a], channels[b]))
    if swaps:
        _, a, b = min(swaps)
        return [f"channels {a} and {b} are swapped: exchange them in channel_map"], None
    if error_s <= shifts.tolerance_s():
        degrees, said = np.degrees(azimuth), np.degrees(azimuth_rad or 0.0)
        return [
            f"the sound seems to come from {degrees:.0f} deg, not from {said:.0f} deg: the array is mounted turned, or "
            "its channels are in another order"
        ], azimuth
    return ["the shifts between the microphones fit no direction: positions or channel_map are wrong"], None
