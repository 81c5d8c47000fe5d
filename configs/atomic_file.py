"""Files that are replaced whole: written beside their place and renamed into it, which POSIX's rename(2) does at once.

Whoever reads finds the old file or the new one, and so it is after a crash at any byte. Two writers at once each have
a file of their own beside it, and the last to be renamed stays. A writer that ends by an error leaves nothing behind;
one that is killed leaves its part, `.<name>.<8 hex digits>.part`, in the folder. Of the standard library alone.
"""

from __future__ import annotations

import contextlib
import glob
import os
import secrets
from pathlib import Path

PART = ".part"
OWNER_ONLY = 0o600  # mode bits
_NAME_CHARACTERS = 60  # of the file's own name in its part's: four bytes each, and it is still a name


def replace_file(
    path: Path,
    data: bytes,
    *,
    mode: int | None = OWNER_ONLY,
    owner: tuple[int, int] | None = None,
    durable: bool = True,
) -> None:
    """Write a file, or replace what is there; a symbolic link is itself replaced.

    Args:
        path: in a folder that exists.
        data: all of it.
        mode: its bits, whatever the umask; None for those that the umask leaves to any new file.
        owner: user and group; None for this process's.
        durable: wait until the data are on the disk before the file takes its place. Without it a cut of the power
            may leave an empty file, which is enough for a cache that checks what it reads.

    Raises:
        OSError: it can't be written; what was there stays.
    """
    part = path.with_name(f"{_stem(path)}{secrets.token_hex(4)}{PART}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(part, flags, 0o666 if mode is None else OWNER_ONLY)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            if mode not in (None, OWNER_ONLY):  # file systems without modes may refuse even what they have
                os.fchmod(file.fileno(), mode)
            if owner is not None:
                os.fchown(file.fileno(), *owner)
            if durable:
                os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException:
        with contextlib.suppress(OSError):  # the first error is the one to tell
            part.unlink()
        raise


def sync_folder(folder: Path) -> None:
    """Wait until a folder's names are on the disk: what was renamed in it then has its new name after a crash.

    Raises:
        OSError: it can't be opened or synchronised.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_parts(path: Path) -> None:
    """Remove what killed writers left beside a file; for one who holds a lock against other writers.

    Raises:
        OSError: one can't be removed.
    """
    for part in path.parent.glob(f"{glob.escape(_stem(path))}*{PART}"):
        part.unlink(missing_ok=True)


def _stem(path: Path) -> str:
    return f".{path.name[:_NAME_CHARACTERS]}."
