"""A small disk of its own for a robot's log, so that it can really be full."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

SIZE_MB = 64
_BLOCK = b"\0" * 65536


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """Mount a file system of 64 MB in memory on a folder, for as long as the context lasts.

    Raises:
        PermissionError: this user may not mount.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    form = f"size={SIZE_MB}m,mode=0700"
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", form, "tmpfs", str(folder)], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise PermissionError(f"{folder}: can't mount a small disk there ({done.stderr.strip()}); this needs root")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], capture_output=True, check=False)


def fill(folder: Path) -> None:
    """Write until the disk is full."""
    descriptor = os.open(folder / "filler", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        while True:
            os.write(descriptor, _BLOCK)
    except OSError:  # no space left on device: that is what it is for
        return
    finally:
        os.close(descriptor)
