"""Reads the records of an MCAP file that may end at any byte: whole records only, never a part of one.

The library's own stream reader returns what is left of a record that was cut; here that would be an audio
block with samples missing. Layout: https://mcap.dev/spec (magic, then opcode, uint64 length and content of
each record). Chunks, which only copies have, are taken whole or not at all.
"""

from __future__ import annotations

import errno
import mmap
import os
import stat
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from phonotaxis.deploy.chunks import open_chunk

MAGIC = b"\x89MCAP0\r\n"
HEADER, FOOTER, SCHEMA, CHANNEL, MESSAGE, CHUNK, METADATA, DATA_END = 1, 2, 3, 4, 5, 6, 12, 15
_KNOWN = frozenset(range(1, 16))
_INDEXES = frozenset((7, 8, 10, 11, 13, 14))  # of messages, chunks, metadata; statistics: nothing is read from them
_HEAD = struct.Struct("<BQ")
_MESSAGE = struct.Struct("<HIQQ")
MAX_RECORD_BYTES = 64 * 1024 * 1024
MAX_UNPACKED_BYTES = 4 * 1024**3  # of all chunks of a file together
RECORD_BYTES = 256  # what a record out of a chunk takes in memory beside its content, about, and is counted for


@dataclass(frozen=True, eq=False, slots=True)
class Message:
    """One message of an episode, still encoded.

    Attributes:
        topic: which kind of message.
        log_ns: monotonic time at which it reached the runtime.
        publish_ns: monotonic time at which it was captured or decided.
        sequence: modulo 2^32.
        data: the encoded message.
    """

    topic: str
    log_ns: int
    publish_ns: int
    sequence: int
    data: bytes


@dataclass
class RecordScan:
    """How the reading of a file went.

    Attributes:
        size_bytes: of the file.
        whole_bytes: up to the end of the last whole record.
        complete: the file was closed in order.
        checksum_ok: of the data section; None if the file carries none.
        unpacked_bytes: of the chunks, where there are any, and `RECORD_BYTES` for each record in them.
        fault: what is wrong at `whole_bytes`, empty if nothing is.
    """

    size_bytes: int
    whole_bytes: int = 0
    complete: bool = False
    checksum_ok: bool | None = None
    unpacked_bytes: int = 0
    fault: str = ""


def map_file(path: Path) -> memoryview:
    """Map a file into memory for reading.

    Raises:
        OSError: missing, unreadable, or no file: to open a pipe would wait for its writer.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "not a file", str(path))
    with open(descriptor, "rb") as file:
        size = file.seek(0, 2)
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if size else b"")


def read_records(data: memoryview, scan: RecordScan) -> Iterator[tuple[int, memoryview]]:
    """Yield opcode and content of each whole record of the data section; fills in the scan.

    Args:
        data: the file.
        scan: of this file; complete when the iterator is exhausted.

    Raises:
        ValueError: a chunk is damaged, or larger than is allowed.
    """
    at = scan.whole_bytes = len(MAGIC)
    while at < len(data):
        if at + _HEAD.size > len(data):
            scan.fault = f"{len(data) - at} byte(s) of a record that was cut"
            return
        opcode, length = _HEAD.unpack_from(data, at)
        end = at + _HEAD.size + length
        if opcode not in _KNOWN or length > MAX_RECORD_BYTES:
            scan.fault = f"no record at byte {at} (opcode {opcode}, {length} bytes)"
            return
        if end > len(data):
            scan.fault = f"a record of {end - at} bytes was cut after {len(data) - at}"
            return
        content = data[at + _HEAD.size : end]
        if opcode == DATA_END:
            _finish(data, at, content, scan)
            return
        if opcode == CHUNK:
            yield from _unpack(content, scan)
        elif opcode not in _INDEXES:
            yield opcode, content
        at = scan.whole_bytes = end


def _unpack(content: memoryview, scan: RecordScan) -> Iterator[tuple[int, memoryview]]:
    inner = open_chunk(content, min(MAX_RECORD_BYTES, MAX_UNPACKED_BYTES - scan.unpacked_bytes))
    scan.unpacked_bytes += len(inner)
    at = 0
    while at < len(inner):
        if at + _HEAD.size > len(inner):
            raise ValueError("a chunk that ends within a record")
        opcode, length = _HEAD.unpack_from(inner, at)
        end = at + _HEAD.size + length
        if opcode not in (SCHEMA, CHANNEL, MESSAGE) or end > len(inner):
            raise ValueError(f"a chunk with opcode {opcode} in it, or a record that runs past its end")
        scan.unpacked_bytes += RECORD_BYTES
        if scan.unpacked_bytes > MAX_UNPACKED_BYTES:
            raise ValueError(f"chunks with more records than {MAX_UNPACKED_BYTES} bytes hold")
        yield opcode, inner[at + _HEAD.size : end]
        at = end


def _finish(data: memoryview, at: int, content: memoryview, scan: RecordScan) -> None:
    stated = int.from_bytes(content[:4], "little")
    scan.checksum_ok = None if stated == 0 else zlib.crc32(data[:at]) == stated
    scan.complete = bytes(data[-len(MAGIC) :]) == MAGIC
    scan.whole_bytes = len(data) if scan.complete else at
    if not scan.complete:
        scan.fault = "the end of the file was cut, after all of its messages"


def parse_message(content: memoryview, topics: dict[int, str]) -> Message:
    """Read a message record.

    Raises:
        ValueError: too short, or of a channel that no record announced.
    """
    if len(content) < _MESSAGE.size:
        raise ValueError("a message shorter than its own head")
    channel, sequence, log_ns, publish_ns = _MESSAGE.unpack_from(content)
    if channel not in topics:
        raise ValueError(f"a message of channel {channel}, which no record announced")
    return Message(topics[channel], log_ns, publish_ns, sequence, bytes(content[_MESSAGE.size :]))


def parse_channel(content: memoryview) -> tuple[int, str]:
    """Read a channel record: its number and topic.

    Raises:
        ValueError: not such a record.
    """
    if len(content) < 4:
        raise ValueError("a channel shorter than its own head")
    text, _ = _text(content, 4)
    return int.from_bytes(content[:2], "little"), text


def parse_metadata(content: memoryview) -> tuple[str, dict[str, str]]:
    """Read a metadata record: its name and texts.

    Raises:
        ValueError: not such a record.
    """
    name, at = _text(content, 0)
    size, at = _length(content, at)
    end = at + size
    if end > len(content):
        raise ValueError("metadata that run past their record")
    values: dict[str, str] = {}
    while at < end:
        key, at = _text(content, at)
        values[key], at = _text(content, at)
    return name, values


def _length(content: memoryview, at: int) -> tuple[int, int]:
    if at + 4 > len(content):
        raise ValueError("a text that runs past its record")
    return int.from_bytes(content[at : at + 4], "little"), at + 4


def _text(content: memoryview, at: int) -> tuple[str, int]:
    size, at = _length(content, at)
    if at + size > len(content):
        raise ValueError("a text that runs past its record")
    return str(bytes(content[at : at + size]), "utf-8"), at + size


def summary(scan: RecordScan) -> dict[str, Any]:
    """Return the scan as JSON-able facts."""
    return {
        "size_bytes": scan.size_bytes,
        "whole_bytes": scan.whole_bytes,
        "complete": scan.complete,
        "checksum_ok": scan.checksum_ok,
        "unpacked_bytes": scan.unpacked_bytes,
        "fault": scan.fault,
    }
