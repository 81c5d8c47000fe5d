"""Small pictures as PNG with a palette: depth images and spectrograms."""

from __future__ import annotations

import base64
import struct
import zlib

import numpy as np

# Colours from near to far, by eye: warm comes forward. Index 0 is what nothing is known of.
_DEPTH_STOPS = ("#fde8d7", "#f4a261", "#c2410c", "#7a3b69", "#33416f", "#0f1e33")
_LEVEL_STOPS = ("#ffffff", "#dbe4ee", "#8fa6bf", "#41576f", "#131c28")
_UNKNOWN = "#d7dbe0"


def _palette(stops: tuple[str, ...], first: str) -> np.ndarray:
    """Return uint8 [256, 3]: colour 0, then 255 that run through the stops."""
    rgb = np.array([[int(stop[i : i + 2], 16) for i in (1, 3, 5)] for stop in (first, *stops)], dtype=np.float64)
    at = np.linspace(0, len(stops) - 1, 255)
    ramp = np.stack([np.interp(at, np.arange(len(stops)), rgb[1:, k]) for k in range(3)], axis=1)
    return np.concatenate([rgb[:1], ramp]).round().astype(np.uint8)


DEPTH_PALETTE = _palette(_DEPTH_STOPS, _UNKNOWN)
LEVEL_PALETTE = _palette(_LEVEL_STOPS, _LEVEL_STOPS[0])


def png(indices: np.ndarray, palette: np.ndarray) -> bytes:
    """Write a picture with a palette (ISO/IEC 15948, colour type 3).

    Args:
        indices: uint8 [height, width], into the palette; row 0 is the top.
        palette: uint8 [256, 3], RGB.
    """
    return _file(indices, 3, ((b"PLTE", palette.tobytes()),))


def png_rgb(pixels: np.ndarray) -> bytes:
    """Write a picture, uint8 [height, width, 3], RGB; row 0 is the top."""
    return _file(pixels, 2, ())


def _file(pixels: np.ndarray, colour_type: int, more: tuple[tuple[bytes, bytes], ...]) -> bytes:
    height, width = pixels.shape[:2]
    flat = pixels.reshape(height, -1)
    rows = np.zeros((height, flat.shape[1] + 1), dtype=np.uint8)  # each row begins with its filter: none
    rows[:, 1:] = flat
    head = struct.pack(">IIBBBBB", width, height, 8, colour_type, 0, 0, 0)
    parts = ((b"IHDR", head), *more, (b"IDAT", zlib.compress(rows.tobytes(), 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in parts
    )


def data_url(kind: str, data: bytes) -> str:
    """Return `data:KIND;base64,...`."""
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def depth_picture(depth_m: np.ndarray, max_range_m: float, longest: int = 160) -> bytes:
    """Draw a depth image, at most so many pixels wide and high."""
    step = max(1, -(-max(depth_m.shape) // longest))
    return png(depth_indices(depth_m[::step, ::step], max_range_m), DEPTH_PALETTE)


def depth_indices(depth_m: np.ndarray, max_range_m: float) -> np.ndarray:
    """Return uint8 of the same shape: 0 where nothing is known, else the root of the distance from 1 to 255."""
    known = np.isfinite(depth_m) & (depth_m > 0)
    share = np.sqrt(np.clip(np.where(known, depth_m, 0.0).astype(np.float64) / max_range_m, 0.0, 1.0))
    return np.where(known, 1 + np.rint(254 * share), 0).astype(np.uint8)


def spectrogram(samples: np.ndarray, sample_rate_hz: int, columns: int = 1600, rows: int = 128) -> bytes:
    """Draw levels over time (to the right) and frequency (upwards, linear, to half the sample rate).

    Args:
        samples: float [samples].
        sample_rate_hz: of them.
        columns: at most so many; a column is one Hann window of 32 ms in the middle of its time.
        rows: bands of equal width.
    """
    window = 1 << round(np.log2(0.032 * sample_rate_hz))
    count = int(np.clip(len(samples) // (window // 2), 1, columns))
    padded = np.concatenate([np.zeros(window // 2), samples, np.zeros(window)])
    starts = ((np.arange(count) + 0.5) * len(samples) / count).astype(int)
    shape = np.hanning(window)
    power = np.empty((count, window // 2))
    for index, start in enumerate(starts):
        power[index] = np.abs(np.fft.rfft(padded[start : start + window] * shape)[1:]) ** 2
    if window // 2 > rows:
        power = power.reshape(count, rows, -1).mean(axis=2)
    level_db = 10.0 * np.log10(power + 1e-12)
    low_db, top_db = (float(x) for x in np.quantile(level_db, (0.05, 0.998)))
    range_db = min(60.0, max(20.0, top_db - low_db + 3.0))
    share = np.clip((level_db - top_db) / range_db + 1.0, 0.0, 1.0)
    return png((1 + np.rint(254 * share)).astype(np.uint8).T[::-1], LEVEL_PALETTE)
