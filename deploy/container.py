"""Writes the MCAP file of an episode: one record at a time, each one whole on disk before the next.

No chunks and no index: a file that ends at any byte holds every record before it, and viewers read it from
its start. The data section carries a checksum once the file is closed in order. Copies that are kept for long
may be compressed, in chunks; the robot never writes such.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import json
import os
from pathlib import Path

from mcap.writer import CompressionType, IndexType, Writer

from phonotaxis.deploy.messages import JSON_SCHEMAS, PROTOBUF_SCHEMAS

PROFILE = "phonotaxis"
METADATA_NAME = "phonotaxis.episode"
CHUNK_BYTES = 1 << 20
AHEAD_BYTES = 1 << 18  # half a second of a small robot's log
LAST_WORDS_BYTES = 4096
_KEEP_SIZE = 1  # FALLOC_FL_KEEP_SIZE


class RecordFile:
    """An unbuffered file that only this user may read; it ends with its last whole record.

    Room on the disk is allocated ahead of what is written, so that a full disk shows while there is still some left
    to say so.

    Attributes:
        last_words: write into the room that is left, and allocate no more.
    """

    def __init__(self, path: Path) -> None:
        """Create the file.

        Raises:
            OSError: it exists already, or can't be created.
        """
        self.path = path
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)  # retention leaves it alone
        except OSError:  # a file system without locks: who can't begin leaves nothing
            os.close(self._descriptor)
            path.unlink(missing_ok=True)
            raise
        self._at = 0
        self._allocated: int | None = 0  # up to here; None where the file system can't do that
        self.last_words = False

    def _make_room(self, size: int) -> None:
        if self._allocated is None or self.last_words or self._at + size + LAST_WORDS_BYTES <= self._allocated:
            return
        try:
            done, room = allocate(self._descriptor, self._at, size + AHEAD_BYTES), size + AHEAD_BYTES
        except OSError:  # the last room of a disk is taken, too
            done, room = allocate(self._descriptor, self._at, size + LAST_WORDS_BYTES), size + LAST_WORDS_BYTES
        self._allocated = self._at + room if done else None

    def write(self, data: bytes) -> int:
        """Write all of the data, or raise.

        Raises:
            OSError: the disk is full or gone; what was written of the data is cut off again.
        """
        left = memoryview(data)
        try:
            self._make_room(len(data))
            while left:
                left = left[os.write(self._descriptor, left) :]
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, self._at)
                os.lseek(self._descriptor, self._at, os.SEEK_SET)
            raise
        self._at += len(data)
        return len(data)

    def tell(self) -> int:
        """Return the number of bytes written."""
        return self._at

    def flush(self) -> None:
        """Do nothing: every write has reached the kernel."""

    def sync(self) -> None:
        """Wait until everything is on the disk."""
        os.fsync(self._descriptor)

    def check_exists(self) -> None:
        """Notice a file that was deleted under the writer, which the kernel itself never reports.

        Raises:
            FileNotFoundError: it is gone, or another file has its name.
        """
        same = False
        with contextlib.suppress(OSError):
            same = os.path.samestat(os.stat(self.path), os.fstat(self._descriptor))
        if not same:
            raise FileNotFoundError("the file was deleted or moved while it was being written")

    def close(self) -> None:
        """Give back what was allocated ahead, and close the file."""
        with contextlib.suppress(OSError):
            os.ftruncate(self._descriptor, self._at)
        os.close(self._descriptor)


def allocate(descriptor: int, offset: int, size: int) -> bool:
    """Allocate room of a file on the disk without changing the file's length (Linux, fallocate(2)).

    Returns:
        False where the file system can't do that.

    Raises:
        OSError: there is no room.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "fallocate"):
        return False
    if libc.fallocate(descriptor, _KEEP_SIZE, ctypes.c_int64(offset), ctypes.c_int64(size)) == 0:
        return True
    number = ctypes.get_errno()
    if number in (errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL, errno.ENODEV):
        return False
    raise OSError(number, os.strerror(number))


class Container:
    """An episode's MCAP file with all its topics."""

    def __init__(self, path: Path, metadata: dict[str, str], compress: bool = False) -> None:
        """Create the file and write what comes before the first message.

        Args:
            path: must not exist.
            metadata: texts by key, e.g. the contract.
            compress: in chunks, by Zstandard; what isn't closed then lacks its last chunk.

        Raises:
            OSError: it can't be created or written; nothing is left of it.
        """
        self.file = RecordFile(path)
        self._writer = Writer(
            self.file,
            chunk_size=CHUNK_BYTES,
            compression=CompressionType.ZSTD,
            use_chunking=compress,
            index_types=IndexType.NONE,
            use_summary_offsets=False,
            enable_data_crcs=True,
        )
        try:
            self._writer.start(profile=PROFILE, library="phonotaxis")
            self._writer.add_metadata(METADATA_NAME, metadata)
            self._channels = self._register()
            self._writer.flush()  # otherwise the checksum of a file without a message leaves the channels out
        except OSError:
            self.file.close()
            with contextlib.suppress(OSError):
                path.unlink()
            raise

    def _register(self) -> dict[str, int]:
        channels = {}
        for topic, message in PROTOBUF_SCHEMAS.items():
            schema = message.get_schema()
            number = self._writer.register_schema(schema.name, schema.encoding, schema.data)
            channels[topic] = self._writer.register_channel(topic, "protobuf", number)
        for topic, fields in JSON_SCHEMAS.items():
            number = self._writer.register_schema(fields["title"], "jsonschema", json.dumps(fields).encode())
            channels[topic] = self._writer.register_channel(topic, "json", number)
        return channels

    def add(self, topic: str, log_ns: int, publish_ns: int, sequence: int, data: bytes) -> None:
        """Append a message.

        Args:
            topic: one of `messages`' topics.
            log_ns: monotonic time at which it reached the runtime.
            publish_ns: monotonic time at which it was captured or decided.
            sequence: modulo 2^32.
            data: encoded as the topic wants it.

        Raises:
            ValueError: a time that an MCAP file can't hold, before anything is written.
            OSError: the disk is full or gone.
        """
        if not (0 <= log_ns < 1 << 64 and 0 <= publish_ns < 1 << 64):
            raise ValueError(f"times of {log_ns} and {publish_ns} ns; expected 0 to 2^64 - 1")
        self._writer.add_message(self._channels[topic], log_ns, data, publish_ns, sequence & 0xFFFFFFFF)

    def close(self) -> None:
        """Write the end of the file and close it.

        Raises:
            OSError: the disk is full or gone; the file is closed all the same.
        """
        try:
            self._writer.finish()
            self.file.sync()
        finally:
            self.file.close()
