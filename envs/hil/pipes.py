"""What the robot hears, written into a pipe of the operating system."""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path

import numpy as np

_ROOM_BYTES = 1 << 18  # 0.34 s of eight channels at 48 kHz; what comes at once must find room


class Pipe:
    """A named pipe that is written without ever waiting: what nobody reads is lost, and counted.

    Attributes:
        lost: bytes that found no room.
    """

    def __init__(self, path: Path) -> None:
        """Open the pipe, made if absent; both ends are held, so that it lives while nobody reads."""
        with contextlib.suppress(FileExistsError):
            os.mkfifo(path, 0o600)
        self._descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        fcntl.fcntl(self._descriptor, fcntl.F_SETPIPE_SZ, _ROOM_BYTES)
        self.lost = 0

    def write(self, data: bytes) -> None:
        """Write all of it, or as much as there is room for."""
        left = memoryview(data)
        while left:
            try:
                left = left[os.write(self._descriptor, left) :]
            except BlockingIOError:
                self.lost += len(left)
                return

    def close(self) -> None:
        """Close it."""
        os.close(self._descriptor)


def interleaved(samples: np.ndarray, channels: int) -> bytes:
    """Return int16 [device_channels, samples] as a sound server takes it: by sample, further channels zero."""
    wide = np.zeros((samples.shape[1], channels), dtype="<i2")
    wide[:, : len(samples)] = samples.T
    return wide.tobytes()
