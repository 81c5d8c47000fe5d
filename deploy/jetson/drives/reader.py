"""Reads a serial port in a thread of its own.

Waiting for a terminal's input waits for the kernel's worker that fills its buffer (`n_tty_poll` flushes it), and
on a loaded machine that worker comes late by up to a second, whatever the priority of who waits. So the thread
that commands the drive never looks at the port; it is told by a pipe that something has come.
"""

from __future__ import annotations

import contextlib
import os
import select
import threading
import time
from collections import deque
from typing import Any

POLL_S = 0.05
_KEPT = 4096  # chunks, when nobody collects them


class PortReader:
    """Collects what comes from an open port (`SerialPort`), which it closes in the end.

    Attributes:
        failed: why it has ended, empty while it reads.
    """

    def __init__(self, port: Any) -> None:
        self._port = port
        self._chunks: deque[tuple[int, bytes]] = deque(maxlen=_KEPT)
        self._wake, self._waker = os.pipe()
        os.set_blocking(self._wake, False)
        os.set_blocking(self._waker, False)
        self._lock, self._released = threading.Lock(), False
        self._closing = threading.Event()
        self.failed = ""
        self._thread = threading.Thread(target=self._read, name="serial-reader", daemon=True)
        self._thread.start()

    def fileno(self) -> int:
        """Return what becomes readable when something has come."""
        return self._wake

    def _read(self) -> None:
        try:
            while not self._closing.is_set():
                if not select.select([self._port.fileno()], [], [], POLL_S)[0]:
                    continue
                data = self._port.read(4096)
                self._chunks.append((time.monotonic_ns(), data))
                self._ring()
        except (OSError, ValueError, TypeError) as error:
            self.failed = str(error) or type(error).__name__
        finally:
            with contextlib.suppress(OSError):
                self._port.close()
            self._ring()

    def _ring(self) -> None:
        # under the lock, since a number that was closed may be another file's by now; full: it rings already
        with self._lock, contextlib.suppress(BlockingIOError):
            if not self._released:
                os.write(self._waker, b"\0")

    def take(self) -> list[tuple[int, bytes]]:
        """Return what has come since the last call, each with its time of arrival, monotonic ns."""
        with contextlib.suppress(BlockingIOError):
            os.read(self._wake, 4096)
        found = []
        while self._chunks:
            found.append(self._chunks.popleft())
        return found

    def close(self, wait: bool = False) -> None:
        """Stop reading, which closes the port; waits for it only where asked."""
        self._closing.set()
        if wait:
            self._thread.join(2.0)
        with self._lock:
            if not self._released:
                self._released = True
                os.close(self._wake)
                os.close(self._waker)
