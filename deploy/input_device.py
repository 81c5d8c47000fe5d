"""A Linux input device (/dev/input/event*) by the standard library: its events, as the kernel writes them."""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Iterator

from phonotaxis.deploy.clock import NS_PER_S

EVENT = struct.Struct("@llHHi")  # struct input_event of linux/input.h: time_t, suseconds_t, type, code, value
EV_SYN, EV_KEY = 0, 1
SYN_DROPPED = 3  # of EV_SYN: the kernel's buffer ran over
RELEASED, PRESSED = 0, 1  # of EV_KEY; 2 is a keyboard's repetition
RETRY_NS = NS_PER_S // 2
_READ_EVENTS, _READS = 64, 16  # at a time


class InputDevice:
    """One device, which may go and come back.

    Attributes:
        notices: level and text of its goings and comings, to hand on and take out.
    """

    def __init__(self, path: str, name: str, at_ns: int) -> None:
        """Open it, if it is there.

        Args:
            path: of the device.
            name: by which notices call it.
            at_ns: monotonic time.
        """
        self._path, self._name = path, f"{name} {path}"
        self._descriptor = -1
        self._rest = b""
        self._missing = ""
        self.notices: list[tuple[str, str]] = []
        self._open(at_ns)

    @property
    def present(self) -> bool:
        """Whether it is open."""
        return self._descriptor >= 0

    def events(self, at_ns: int) -> Iterator[tuple[int, int, int]]:
        """Yield type, code and value of all that can be read now; open it again where it has gone. Never waits."""
        if not self.present and at_ns >= self._retry_ns:
            self._open(at_ns)
        for _ in range(_READS if self.present else 0):
            try:
                data = os.read(self._descriptor, _READ_EVENTS * EVENT.size)
            except BlockingIOError:
                return
            except OSError as error:  # ENODEV where it was unplugged
                self._drop(at_ns, f"has gone ({error.strerror})")
                return
            if not data:
                self._drop(at_ns, "has gone")
                return
            data = self._rest + data
            whole = len(data) - len(data) % EVENT.size
            self._rest = data[whole:]
            for _, _, kind, code, value in EVENT.iter_unpack(data[:whole]):
                yield kind, code, value
        if self.present:
            yield EV_SYN, SYN_DROPPED, 0  # a flood, of which the rest is read the next time

    def _open(self, at_ns: int) -> None:
        self._retry_ns = at_ns + RETRY_NS
        try:
            descriptor = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        except OSError as error:
            self._lack(f"can't be opened ({error.strerror})")
            return
        # a file could hold presses that no person made, and who may write to a device can press it
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISCHR(mode) or mode & stat.S_IWOTH:
            os.close(descriptor)
            self._lack("is open to other users' writing" if stat.S_ISCHR(mode) else "is no input device")
            return
        self._descriptor, self._rest = descriptor, b""
        if self._missing:
            self.notices.append(("info", f"{self._name} is there again"))
        self._missing = ""

    def _lack(self, why: str) -> None:
        if why != self._missing:
            self.notices.append(("warning", f"{self._name} {why}; it does nothing until it is back"))
        self._missing = why

    def _drop(self, at_ns: int, why: str) -> None:
        self.close()
        self._retry_ns = at_ns + RETRY_NS
        self._lack(why)

    def close(self) -> None:
        """Let go of the device; may be called more than once."""
        if self.present:
            os.close(self._descriptor)
        self._descriptor = -1
