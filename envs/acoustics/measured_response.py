"""Directional responses measured elsewhere: SOFA files and .npz files, brought to the free field at each microphone."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.spatial import cKDTree

from phonotaxis.configs.array import MicrophoneArray
from phonotaxis.configs.base import ConfigError
from phonotaxis.configs.directivity import MeasuredFile, SofaFile
from phonotaxis.envs.acoustics.air import SPEED_OF_SOUND_MPS
from phonotaxis.envs.acoustics.sofa import MOST_NUMBERS, read_sofa

_NEIGHBOURS = 3  # measured directions that one between them is interpolated from
_FACING = 0.7  # cosine; microphones that face the sound this much hear it when the free field would bring it
_SAME_PLACE_M = 0.005
_OVERSAMPLING = 8
_MOST_BYTES = 8 * MOST_NUMBERS
_LOUDEST = 1e6  # a response, linear: 120 dB over the free field's
_FASTEST_HZ = 1e6


class Measurement(NamedTuple):
    """Responses as measured.

    Attributes:
        direction: float64 [directions, 3], unit vectors from the array's centre towards the sound, base frame.
        response: float64 [directions, mics, taps].
        delay_s: float64 [directions, mics], that the file keeps apart from the responses.
        sample_rate_hz: of the responses.
    """

    direction: np.ndarray
    response: np.ndarray
    delay_s: np.ndarray
    sample_rate_hz: float


class MeasuredDirectivity:
    """Responses of an array's microphones, relative to the free field at each, between measured directions.

    Args:
        measurement: what was measured.
        positions_m: float64 [mics, 3], microphones in the base frame; the mean is the array's centre.
        common_delay_s: when a sound that passes the array's centre arrives in the file; None estimates it.
    """

    def __init__(self, measurement: Measurement, positions_m: np.ndarray, common_delay_s: float | None) -> None:
        self.measurement = measurement
        # How much earlier than at the centre a sound reaches each microphone in the free field, [directions, mics].
        self._ahead_s = measurement.direction @ (positions_m - positions_m.mean(axis=0)).T / SPEED_OF_SOUND_MPS
        self.common_delay_s = self._estimate(positions_m) if common_delay_s is None else common_delay_s
        self._tree = cKDTree(measurement.direction)

    def response(self, mic: int, direction: np.ndarray, frequency_hz: np.ndarray) -> np.ndarray:
        """Return one microphone's response over the free field at its place.

        Args:
            mic: which.
            direction: float64 [directions, 3], unit vectors towards the sound.
            frequency_hz: float64 [frequencies].

        Returns:
            complex128 [directions, frequencies], from the three measured directions nearest to each, weighted by
            the inverse of their distance.
        """
        nearest = min(_NEIGHBOURS, len(self.measurement.direction))
        found = self._tree.query(direction, k=list(range(1, 1 + nearest)))  # a list keeps the axis where it is 1
        away, index = np.asarray(found[0]), np.asarray(found[1])
        weight = 1.0 / (away + 1e-9)
        weight /= weight.sum(axis=1, keepdims=True)
        measured = self._relative(mic, frequency_hz)
        total = np.zeros((len(direction), len(frequency_hz)), dtype=np.complex128)
        for neighbour in range(weight.shape[1]):
            total += weight[:, neighbour, None] * measured[index[:, neighbour]]
        return total

    def _relative(self, mic: int, frequency_hz: np.ndarray) -> np.ndarray:
        response = self.measurement.response[:, mic]
        tap_s = np.arange(response.shape[1]) / self.measurement.sample_rate_hz
        spectrum = response @ np.exp(-2j * np.pi * np.outer(tap_s, frequency_hz))
        late_s = self.measurement.delay_s[:, mic] - self.common_delay_s + self._ahead_s[:, mic]
        return spectrum * np.exp(-2j * np.pi * np.outer(late_s, frequency_hz))

    def _estimate(self, positions_m: np.ndarray) -> float:
        """Return the median delay of the responses' peaks behind the free field's, where microphones face the sound."""
        peak_s = _peak_samples(self.measurement.response) / self.measurement.sample_rate_hz
        offset_m = positions_m - positions_m.mean(axis=0)
        distance_m = np.sqrt((offset_m**2).sum(axis=1))
        facing = self._ahead_s * SPEED_OF_SOUND_MPS >= _FACING * distance_m
        facing |= distance_m < _SAME_PLACE_M
        late_s = self.measurement.delay_s + peak_s + self._ahead_s
        return float(np.median(late_s[facing] if facing.any() else late_s))


def _peak_samples(response: np.ndarray) -> np.ndarray:
    """Return where responses [directions, mics, taps] are strongest, in samples, to an eighth of one and less."""
    taps = response.shape[2]
    peaks = np.empty(response.shape[:2])
    for mic in range(response.shape[1]):
        fine = np.fft.irfft(np.fft.rfft(response[:, mic], axis=1), taps * _OVERSAMPLING, axis=1)
        peaks[:, mic] = np.abs(fine).argmax(axis=1) / _OVERSAMPLING
    return peaks


def read_measured(array: MicrophoneArray, sample_rate_hz: int) -> MeasuredDirectivity:
    """Read the file that an array's `directivity` names.

    Args:
        array: whose file to read.
        sample_rate_hz: up to half of which responses are wanted.

    Raises:
        ConfigError: the file can't be read, is not of its format, doesn't fit the array or was sampled too slowly.
    """
    directivity = array.directivity
    if isinstance(directivity, SofaFile):
        fields = read_sofa(Path(directivity.path))
    elif isinstance(directivity, MeasuredFile):
        fields = _read_npz(Path(directivity.path))
    else:
        raise ConfigError(f"directivity of kind '{directivity.kind}' comes from no file")
    measurement = _checked(directivity.path, fields, array.mics)
    if measurement.sample_rate_hz < sample_rate_hz:
        raise ConfigError(
            f"{directivity.path}: sampled at {measurement.sample_rate_hz:g} Hz, the simulation at {sample_rate_hz} Hz; "
            "take responses of at least the simulation's rate"
        )
    return MeasuredDirectivity(measurement, array.positions_m(), directivity.common_delay_s)


def _read_npz(path: Path) -> dict[str, np.ndarray]:
    try:
        with zipfile.ZipFile(path) as archive:
            claimed = sum(member.file_size for member in archive.infolist())
        if claimed > _MOST_BYTES:
            raise ConfigError(f"{path}: unpacks to {claimed:,} bytes, at most {_MOST_BYTES:,} are read")
        with np.load(path, allow_pickle=False) as file:
            return {name: np.asarray(file[name]) for name in file.files}
    except MemoryError:  # an array's header may claim what the file doesn't hold
        raise ConfigError(f"{path}: an array in it claims more than this computer's memory") from None
    except OSError as error:
        raise ConfigError(f"{path}: can't be read ({error.strerror or error})") from None
    except (ValueError, TypeError, AttributeError, KeyError, EOFError, zlib.error, zipfile.BadZipFile) as error:
        raise ConfigError(f"{path}: not an .npz file of plain arrays ({error}); save one with numpy.savez") from None


def _checked(path: str, fields: dict[str, Any], mics: int) -> Measurement:
    """Build a measurement of checked shapes, finite numbers and unit vectors.

    Raises:
        ConfigError: a field is missing, or doesn't fit the others or the array.
    """
    missing = [name for name in ("response", "direction", "sample_rate_hz") if name not in fields]
    if missing:
        raise ConfigError(f"{path}: lacks {', '.join(missing)}; it has {', '.join(sorted(fields)) or 'nothing'}")
    try:
        response, direction = (np.asarray(fields[name], dtype=np.float64) for name in ("response", "direction"))
        rate_hz = float(np.asarray(fields["sample_rate_hz"]).reshape(()))
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{path}: not numbers of the form expected ({error})") from None
    if response.ndim != 3 or direction.shape != (len(response), 3) or response.size == 0:
        raise ConfigError(
            f"{path}: expected response [directions, mics, taps] and direction [directions, 3], got "
            f"{list(response.shape)} and {list(direction.shape)}"
        )
    if response.shape[1] != mics:
        raise ConfigError(f"{path}: holds {response.shape[1]} microphones, the array has {mics}")
    length = np.sqrt((direction**2).sum(axis=1, keepdims=True))
    if not (np.isfinite(response).all() and np.isfinite(length).all() and (length > 1e-9).all() and rate_hz > 0):
        raise ConfigError(f"{path}: holds numbers that are not finite, directions of no length or no sample rate")
    if rate_hz > _FASTEST_HZ or np.abs(response).max() > _LOUDEST:
        raise ConfigError(
            f"{path}: a sample rate of {rate_hz:g} Hz and responses of up to {np.abs(response).max():g}; expected at "
            f"most {_FASTEST_HZ:g} Hz and {_LOUDEST:g} (1 is the free field's level)"
        )
    silent = np.flatnonzero(np.abs(response).max(axis=(0, 2)) == 0.0)
    if silent.size:
        raise ConfigError(
            f"{path}: microphone {silent[0]} hears nothing from any direction: all its responses are zeros"
        )
    try:
        delay_s = np.broadcast_to(np.asarray(fields.get("delay_s", 0.0), dtype=np.float64), response.shape[:2])
    except (TypeError, ValueError):
        delay_s = np.array(np.nan)
    if not np.isfinite(delay_s).all():
        raise ConfigError(
            f"{path}: expected finite delay_s [directions, mics], or what is broadcast to that, of "
            f"{list(response.shape[:2])}; got the shape {list(np.shape(fields['delay_s']))}"
        )
    return Measurement(direction / length, response, delay_s, rate_hz)
