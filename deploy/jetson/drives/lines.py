"""Lines out of a serial stream that may start in the middle of one, lose bytes or carry noise."""

from __future__ import annotations

MAX_LINE_BYTES = 1024


class LineBuffer:
    """Collects bytes and gives whole lines; a line over 1 KiB is noise and is dropped with all up to its end."""

    def __init__(self) -> None:
        self._rest = b""
        self._skipping = False

    def feed(self, data: bytes) -> list[bytes]:
        """Add bytes; return the lines that are whole now, without their ends and without empty ones."""
        *whole, rest = (self._rest + data).split(b"\n")
        if whole and self._skipping:
            whole, self._skipping = whole[1:], False
        if len(rest) > MAX_LINE_BYTES:
            rest, self._skipping = b"", True
        self._rest = rest
        return [line.strip() for line in whole if 0 < len(line.strip()) <= MAX_LINE_BYTES]
