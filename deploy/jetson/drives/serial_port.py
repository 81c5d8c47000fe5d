"""A serial port by termios(3), raw, for one process alone, which never waits."""

from __future__ import annotations

import errno
import fcntl
import os
import termios
from typing import Any


class PortBusy(OSError):
    """Another program has the port."""


class SerialPort:
    """An open port: 8 bits, no parity, one stop bit, no flow control.

    Others are kept out twice: by flock(2), which pyserial and this class heed, and by TIOCEXCL (ioctl_tty(2)), by which
    the kernel refuses anybody but root.
    """

    def __init__(self, name: str, baud: int) -> None:
        """Open the port.

        Raises:
            PortBusy: another program has it.
            OSError: it isn't there, isn't a terminal, or is not this user's to open.
            ValueError: no such rate.
        """
        speed = getattr(termios, f"B{baud}", None)
        if speed is None:
            raise ValueError(f"{baud} baud is none of termios' rates")
        try:
            self._descriptor = os.open(name, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            if error.errno == errno.EBUSY:
                raise PortBusy(error.errno, "it is opened for one process alone", name) from None
            raise
        try:
            self._take(name, speed)
        except BaseException:
            os.close(self._descriptor)
            raise

    def _take(self, name: str, speed: int) -> None:
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise PortBusy(errno.EBUSY, "it is locked", name) from None
        try:
            control = termios.CS8 | termios.CREAD | termios.CLOCAL
            characters = [b"\0"] * len(termios.tcgetattr(self._descriptor)[6])
            attributes: list[Any] = [0, 0, control, 0, speed, speed, characters]
            termios.tcsetattr(self._descriptor, termios.TCSANOW, attributes)
            fcntl.ioctl(self._descriptor, termios.TIOCEXCL)
            termios.tcflush(self._descriptor, termios.TCIOFLUSH)
        except termios.error as error:  # which is no OSError
            raise OSError(*error.args, name) from None

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._descriptor

    def read(self, most: int) -> bytes:
        """Return what has come; to be called when the port is readable.

        Raises:
            OSError: the port has gone. Readable and without a byte is how a line shows that it was hung up.
        """
        data = os.read(self._descriptor, most)
        if not data:
            raise OSError(errno.EIO, "the line was hung up")
        return data

    def write(self, data: bytes) -> int:
        """Write without waiting; returns how many bytes were taken.

        Raises:
            OSError: the port has gone.
        """
        try:
            return os.write(self._descriptor, data)
        except BlockingIOError:
            return 0

    def close(self) -> None:
        """Let go of the port; may be called more than once."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)
