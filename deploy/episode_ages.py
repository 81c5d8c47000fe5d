"""How old kept episodes are, and in which order they came, on a computer whose wall clock may be wrong.

A Jetson without a battery for its clock begins in 1970 or where it was switched off, and jumps by weeks or years when
the network sets it. So a folder of episodes keeps a ledger: a number for each file in the order in which they were
first seen, and two ages that are never too high: for how long a computer has run since then (CLOCK_BOOTTIME, which
nobody sets), and by how much the wall clock has gone on, where it was synchronised then and is now. The higher one
counts. What is not known is the time a computer was off, where its clock was not synchronised before or after.
"""

from __future__ import annotations

import ctypes
import json
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from phonotaxis.configs.atomic_file import remove_parts, replace_file

LEDGER = ".episodes.json"
MAX_LEDGER_BYTES = 64_000_000
_TIMEX_BYTES = 256  # of struct timex, adjtimex(2), with room; all zeros ask and change nothing
_TIME_ERROR = 5  # adjtimex(2): the clock is not synchronised


@dataclass(frozen=True)
class Now:
    """What a computer knows of the time.

    Attributes:
        boot: names the time since it was switched on.
        up_ns: since then, sleep included.
        wall_ns: since 1970; None where the clock isn't to be relied on.
    """

    boot: str
    up_ns: int
    wall_ns: int | None


def read_now(trust: bool = False) -> Now:
    """Read the clocks.

    Args:
        trust: a person says that the wall clock is right, whether or not something synchronises it.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        boot = ""
    up_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    return Now(boot, up_ns, time.time_ns() if trust or synchronised() else None)


def synchronised() -> bool:
    """Whether the kernel calls its wall clock synchronised, as NTP's programs tell it."""
    try:
        state = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
    except (OSError, AttributeError):
        return False
    return 0 <= state < _TIME_ERROR


@dataclass(frozen=True)
class _Entry:
    number: int
    ran_ns: int
    wall_ns: int | None


class EpisodeAges:
    """The ledger of one folder, as it is now; `save` writes it back."""

    def __init__(self, folder: Path, now: Now, names: Iterable[str]) -> None:
        """Read the ledger, let it grow older, and take up new files.

        Args:
            folder: of the episodes.
            now: of this computer.
            names: of the files that are there, oldest first as far as they themselves tell; what the ledger doesn't
                know begins to age now, and what is no longer there is forgotten.
        """
        self._path, self._now = folder / LEDGER, now
        boot, up_ns, self._next, known = _read(self._path)
        # of another boot, all that is sure is that this one came later
        passed_ns = now.up_ns - up_ns if boot == now.boot and now.up_ns >= up_ns else now.up_ns
        self._entries: dict[str, _Entry] = {}
        for name in names:
            entry = known.get(name)
            if entry is None:
                self._entries[name] = _Entry(self._next, 0, now.wall_ns)
                self._next += 1
            else:
                self._entries[name] = _Entry(entry.number, entry.ran_ns + passed_ns, entry.wall_ns)

    def number(self, name: str) -> int:
        """Return a file's number; a later file has a higher one."""
        return self._entries[name].number

    def age_ns(self, name: str) -> int:
        """Return how old a file is at least."""
        entry = self._entries[name]
        if entry.wall_ns is None or self._now.wall_ns is None:
            return entry.ran_ns
        return max(entry.ran_ns, self._now.wall_ns - entry.wall_ns)

    def forget(self, name: str) -> None:
        """Strike out a file that was deleted."""
        del self._entries[name]

    def save(self) -> None:
        """Write the ledger, whole or not at all; for one process at a time, see `retention`.

        Raises:
            OSError: it can't be written; on a full disk, say.
        """
        entries = {name: [entry.number, entry.ran_ns, entry.wall_ns] for name, entry in self._entries.items()}
        ledger = {"boot": self._now.boot, "up_ns": self._now.up_ns, "next": self._next, "episodes": entries}
        remove_parts(self._path)  # robots lose their power
        replace_file(self._path, json.dumps(ledger, separators=(",", ":")).encode())


def _read(path: Path) -> tuple[str, int, int, dict[str, _Entry]]:
    """Read boot, its time, the next number and the entries; a ledger that can't be read is an empty one."""
    try:
        if path.is_symlink() or path.stat().st_size > MAX_LEDGER_BYTES:
            return "", 0, 0, {}
        ledger = json.loads(path.read_text(encoding="utf-8"))
        entries = {
            str(name): _Entry(int(number), max(0, int(ran_ns)), None if wall_ns is None else int(wall_ns))
            for name, (number, ran_ns, wall_ns) in ledger["episodes"].items()
        }
        highest = max((entry.number for entry in entries.values()), default=-1)
        return str(ledger["boot"]), int(ledger["up_ns"]), max(int(ledger["next"]), highest + 1), entries
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return "", 0, 0, {}
