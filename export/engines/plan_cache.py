"""The cache of TensorRT's plans, and of the timings of its builds.

A plan is code, so it is read from one folder only, which this user alone owns.

A file holds, in this order: `MAGIC`; the length of the key (4 bytes, little-endian) and the key, canonical JSON of all
that the content is bound to; SHA-256 of the content; the content. Its name is the key's hash. It is used only where
the key in it is the very key that was asked for.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
from collections.abc import Mapping
from pathlib import Path

from phonotaxis.configs.atomic_file import replace_file
from phonotaxis.paths import cache_dir

MAGIC = b"phonotaxis-plan-1\n"
MAX_BYTES = 1 << 30  # plans of our policies have a few megabytes
KEPT = 8  # plans that were used last, and as many timings; others go
TIMING = "timing"  # in the key of what isn't a plan, but the timings of builds
_MAX_KEY_BYTES = 65_536

Key = Mapping[str, str | int]


class PlanCache:
    """Files by key; see the module."""

    def __init__(self, folder: Path | None = None) -> None:
        """Take a folder; made when first written to. `plans` of the user's cache by default."""
        self.folder = folder or cache_dir() / "plans"

    def path(self, key: Key) -> Path:
        """Return where a key's file lies."""
        return self.folder / f"{hashlib.sha256(_text(key)).hexdigest()[:32]}.{TIMING if TIMING in key else 'plan'}"

    def load(self, key: Key) -> tuple[bytes | None, str]:
        """Read a file if it can be trusted and is the one asked for; it counts as used now.

        Returns:
            The content, or None and the reason in words; an absent file has an empty reason.
        """
        try:
            folder = os.stat(self.folder, follow_symlinks=False)
        except FileNotFoundError:
            return None, ""
        except OSError as error:
            return None, f"{self.folder} can't be read ({error.strerror or error})"
        if not stat.S_ISDIR(folder.st_mode) or (reason := _not_ours(folder)):
            return None, f"{self.folder} is {reason if stat.S_ISDIR(folder.st_mode) else 'not a folder'}"
        try:
            descriptor = os.open(self.path(key), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except FileNotFoundError:
            return None, ""
        except OSError as error:
            return None, f"the kept plan can't be opened ({error.strerror or error})"
        with os.fdopen(descriptor, "rb") as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode) or found.st_size > MAX_BYTES:
                return None, "the kept plan is no plain file of a plan's size"
            if reason := _not_ours(found):
                return None, f"the kept plan is {reason}"
            content, reason = unpack(file.read(MAX_BYTES + 1), key)
            if content is not None:
                with contextlib.suppress(OSError):  # a service may only read its folder
                    os.utime(file.fileno())
            return content, reason

    def store(self, key: Key, content: bytes) -> Path:
        """Write a file so that a crash leaves the old one or the new one, then drop all but those used last.

        Raises:
            OSError: the folder can't be made or written; nothing is left behind.
        """
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if os.stat(self.folder, follow_symlinks=False).st_uid == os.getuid():
            os.chmod(self.folder, 0o700)
        path = self.path(key)
        replace_file(path, pack(key, content))
        self._prune(path.suffix)
        return path

    def _prune(self, suffix: str) -> None:
        aged = []
        for path in self.folder.glob(f"*{suffix}"):
            with contextlib.suppress(OSError):  # another process dropped it meanwhile
                aged.append((path.stat().st_mtime_ns, path))
        for _, path in sorted(aged, reverse=True)[KEPT:]:
            path.unlink(missing_ok=True)


def pack(key: Key, content: bytes) -> bytes:
    """Return a file's bytes."""
    text = _text(key)
    return b"".join((MAGIC, len(text).to_bytes(4, "little"), text, hashlib.sha256(content).digest(), content))


def unpack(data: bytes, key: Key) -> tuple[bytes | None, str]:
    """Take a file's bytes apart: the content, or None and why it can't be used."""
    text = _text(key)
    start = len(MAGIC) + 4
    if not data.startswith(MAGIC):
        return None, "the kept plan is damaged, or of another phonotaxis"
    length = int.from_bytes(data[len(MAGIC) : start], "little")
    if length > _MAX_KEY_BYTES or data[start : start + length] != text:
        return None, "the kept plan was made for another policy, device or version of TensorRT"
    start += length
    content = data[start + 32 :]
    if hashlib.sha256(content).digest() != data[start : start + 32] or not content:
        return None, "the kept plan is damaged"
    return content, ""


def _text(key: Key) -> bytes:
    return json.dumps(dict(key), sort_keys=True, separators=(",", ":")).encode()


def _not_ours(found: os.stat_result) -> str:
    if found.st_uid != os.getuid():
        return "another user's"
    return "open to other users" if found.st_mode & 0o077 else ""
