"""Writes 16-bit grey images with the standard library alone: the robot has no imaging package."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np


def write_png16(path: Path, values: np.ndarray) -> None:
    """Write a PNG (ISO/IEC 15948) of one 16-bit channel.

    Args:
        path: of the file.
        values: uint16 [height, width].

    Raises:
        OSError: the file can't be written.
    """
    height, width = values.shape
    rows = values.astype(">u2").tobytes()
    filtered = b"".join(b"\0" + rows[at : at + 2 * width] for at in range(0, len(rows), 2 * width))
    head = struct.pack(">IIBBBBB", width, height, 16, 0, 0, 0, 0)
    parts = ((b"IHDR", head), (b"IDAT", zlib.compress(filtered)), (b"IEND", b""))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in parts))


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
