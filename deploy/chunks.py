"""Unpacks a chunk of an MCAP file, never to more than it states and never to more than is allowed."""

from __future__ import annotations

import struct
import zlib

_START = struct.Struct("<QQQI")  # first and last log time, size when unpacked, CRC-32 of that (0: none)


def open_chunk(content: memoryview, limit: int) -> memoryview:
    """Return the records of a chunk.

    Args:
        content: of the chunk's record (https://mcap.dev/spec, op 0x06).
        limit: most bytes that it may hold when unpacked.

    Raises:
        ValueError: damaged, in an unknown compression, or larger than stated or allowed.
    """
    try:
        _, _, size, checksum = _START.unpack_from(content)
        (length,) = struct.unpack_from("<I", content, _START.size)
        at = _START.size + 4 + length
        name = str(bytes(content[_START.size + 4 : at]), "utf-8")
        (packed_size,) = struct.unpack_from("<Q", content, at)
    except struct.error:
        raise ValueError("a chunk shorter than its own head") from None
    packed = content[at + 8 : at + 8 + packed_size]
    if len(packed) != packed_size:
        raise ValueError("a chunk whose content runs past its record")
    if size > limit:
        raise ValueError(f"a chunk of {size} bytes when unpacked, over the bound of {limit}")
    data = _unpack(name, packed, size)
    if len(data) != size:
        raise ValueError(f"a chunk that states {size} bytes and holds {'more' if len(data) > size else len(data)}")
    if checksum and zlib.crc32(data) != checksum:
        raise ValueError("a chunk whose checksum doesn't match")
    return memoryview(data)


def _unpack(name: str, packed: memoryview, size: int) -> bytes:
    """Unpack at most `size` + 1 bytes."""
    if name == "":
        return bytes(packed[: size + 1])
    if name == "zstd":
        import zstandard

        try:
            # a reader, since decompress() makes room for whatever size the frame itself claims
            window = zstandard.ZstdDecompressor(max_window_size=1 << 27)
            with window.stream_reader(bytes(packed)) as reader:
                return bytes(reader.read(size + 1))
        except zstandard.ZstdError as error:
            raise ValueError(f"a chunk that Zstandard can't unpack ({error})") from None
    if name == "lz4":
        import lz4.frame

        try:
            return bytes(lz4.frame.LZ4FrameDecompressor().decompress(bytes(packed), max_length=size + 1))
        except RuntimeError as error:
            raise ValueError(f"a chunk that LZ4 can't unpack ({error})") from None
    raise ValueError(f"a chunk packed by '{name}'; expected zstd, lz4 or none")
