"""Reads head-related and other impulse responses from SOFA files (AES69-2022), which are HDF5 inside."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from phonotaxis.configs.base import ConfigError

MOST_NUMBERS = 50_000_000  # of a variable, 400 MB: 2,000 directions of 6 microphones, 4,096 taps each


def read_sofa(path: Path) -> dict[str, Any]:
    """Read impulse responses and the directions they were measured from.

    SOFA's axes are x forward, y left, z up, the base frame's own; a listener who looks elsewhere is turned back.

    Args:
        path: of the file.

    Returns:
        `response` float64 [directions, mics, taps], `direction` float64 [directions, 3] (towards the sound),
        `delay_s` float64 [directions, mics] and `sample_rate_hz`.

    Raises:
        ConfigError: h5py is missing, or the file is not SOFA with finite impulse responses.
    """
    try:
        import h5py
    except ImportError:
        raise ConfigError(f"{path}: reading SOFA files needs h5py; pip install 'phonotaxis[sofa]'") from None
    try:
        with h5py.File(path, "r") as file:
            return _fields(path, file)
    except OSError as error:
        raise ConfigError(f"{path}: can't be read as HDF5, which SOFA files are ({error})") from None


def _fields(path: Path, file: Any) -> dict[str, Any]:
    missing = [name for name in ("Data.IR", "Data.SamplingRate", "SourcePosition") if name not in file]
    if missing:
        convention = _text(file.attrs.get("SOFAConventions", "none"))
        raise ConfigError(
            f"{path}: lacks {', '.join(missing)} (convention: {convention}); expected SimpleFreeFieldHRIR"
        )
    response, rates_hz = (_numbers(path, file, name) for name in ("Data.IR", "Data.SamplingRate"))
    if rates_hz.size == 0:
        raise ConfigError(f"{path}: its Data.SamplingRate is empty; expected a rate in hertz")
    rate_hz = float(rates_hz.reshape(-1)[0])
    units = _text(file["Data.SamplingRate"].attrs.get("Units", "hertz"))
    if response.ndim != 3 or units.lower() not in ("hertz", "hz"):
        raise ConfigError(
            f"{path}: expected Data.IR of 3 axes and a rate in hertz, got {list(response.shape)} in {units}"
        )
    delay = _numbers(path, file, "Data.Delay") if "Data.Delay" in file else np.zeros((1, 1))
    try:
        return {
            "response": response,
            "direction": _directions(path, file, len(response)),
            "delay_s": np.broadcast_to(delay / rate_hz, response.shape[:2]),
            "sample_rate_hz": rate_hz,
        }
    except ValueError as error:
        raise ConfigError(f"{path}: fields whose shapes don't fit one another ({error})") from None


def _numbers(path: Path, file: Any, name: str) -> np.ndarray:
    """Return a variable as float64, not read before its size is known: a small file may claim terabytes.

    Raises:
        ConfigError: it isn't of numbers, or of more than `MOST_NUMBERS`.
    """
    found = file[name]
    shape, kind = getattr(found, "shape", None), getattr(getattr(found, "dtype", None), "kind", "")
    if shape is None or kind not in tuple("iuf"):
        raise ConfigError(f"{path}: {name} holds no numbers")
    if found.size > MOST_NUMBERS:
        raise ConfigError(
            f"{path}: {name} claims {found.size:,} numbers {list(shape)}, at most {MOST_NUMBERS:,} are read"
        )
    return np.asarray(found, dtype=np.float64)


def _directions(path: Path, file: Any, count: int) -> np.ndarray:
    """Return the directions of the sources in the listener's own axes, float64 [count, 3], of any length."""
    source = _cartesian(path, file, "SourcePosition", count, (1.0, 0.0, 0.0))
    source = source - _cartesian(path, file, "ListenerPosition", count, (0.0, 0.0, 0.0))
    forward = _cartesian(path, file, "ListenerView", count, (1.0, 0.0, 0.0))
    above = _cartesian(path, file, "ListenerUp", count, (0.0, 0.0, 1.0), typed_as="ListenerView")
    x = forward / np.sqrt((forward**2).sum(axis=1, keepdims=True))
    z = above - (above * x).sum(axis=1, keepdims=True) * x
    z /= np.sqrt((z**2).sum(axis=1, keepdims=True))
    axes = np.stack([x, np.cross(z, x), z], axis=1)  # [count, axis, 3]
    return np.einsum("naj,nj->na", axes, source)


def _cartesian(
    path: Path, file: Any, name: str, count: int, otherwise: tuple[float, float, float], typed_as: str = ""
) -> np.ndarray:
    """Return a SOFA position, [1 or count, 3] in the file, as x, y, z for each of `count` measurements.

    `typed_as` names the variable that says whether the values are spherical, where it isn't this one.
    """
    if name not in file:
        return np.tile(otherwise, (count, 1))
    values = np.broadcast_to(_numbers(path, file, name), (count, 3))
    kind = file[typed_as if typed_as in file else name].attrs.get("Type", "cartesian")
    if _text(kind).lower() != "spherical":
        return values
    azimuth, elevation = np.radians(values[:, 0]), np.radians(values[:, 1])
    flat = np.cos(elevation)
    return values[:, 2:] * np.stack([flat * np.cos(azimuth), flat * np.sin(azimuth), np.sin(elevation)], axis=1)


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
