"""Names of episodes' files, and how many of them a folder keeps: they record people, and disks are small."""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import os
import re
import time
from dataclasses import dataclass
from pathlib import Path

from phonotaxis.configs.robot import LogConfig

_NAME = re.compile(r"(?P<episode>.+?)(?:\.part(?P<part>[1-9][0-9]{0,5}))?\.mcap")
_OURS = "episode-*.mcap"


def episode_path(folder: Path) -> Path:
    """Return a new episode's path in a folder: named by wall clock, a number added where it is taken."""
    stamp = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    path, number = folder / f"episode-{stamp}.mcap", 1
    while path.exists():
        number += 1
        path = folder / f"episode-{stamp}-{number}.mcap"
    return path


def part_path(first: Path, part: int) -> Path:
    """Return the path of an episode's further part; part 1 is the first file itself."""
    return first if part == 1 else first.with_name(f"{split_name(first)[0]}.part{part}.mcap")


def split_name(path: Path) -> tuple[str, int]:
    """Return an episode's name without its ending, and the part's number, from 1."""
    found = _NAME.fullmatch(path.name)
    if found is None:
        return path.name, 1
    return found["episode"], int(found["part"] or 1)


def parts_of(path: Path) -> list[Path]:
    """List the files of an episode that are there, in order, from the path of any of them."""
    name, _ = split_name(path)
    found = [file for file in path.parent.glob(f"{_escape(name)}*.mcap") if split_name(file)[0] == name]
    return sorted(found, key=lambda file: split_name(file)[1]) or [path]


def _escape(name: str) -> str:
    return re.sub(r"([\[\]*?])", r"[\1]", name)


@dataclass(frozen=True)
class _Kept:
    path: Path
    name: str
    part: int
    modified_ns: int
    size: int


def prune_episodes(
    folder: Path, keep: int, max_age_s: float | None = None, max_bytes: float | None = None
) -> list[Path]:
    """Delete the oldest episodes of a folder until it holds what it may.

    Only files named as `episode_path` names them are touched, and never one that is being written.

    Args:
        folder: of the episodes.
        keep: as many episodes may remain, with all of their parts.
        max_age_s: older files go; None for any age.
        max_bytes: of all files together; None for any size.

    Returns:
        The paths deleted.
    """
    found = _list(folder)
    newest: dict[str, int] = {}
    for kept in found:
        newest[kept.name] = max(kept.modified_ns, newest.get(kept.name, 0))
    by_age = sorted(newest, key=lambda name: (newest[name], name))
    surplus = set(by_age[: max(0, len(by_age) - keep)])
    oldest_ns = 0 if max_age_s is None else time.time_ns() - int(max_age_s * 1e9)
    left = sum(kept.size for kept in found)
    deleted = []
    for kept in sorted(found, key=lambda kept: (newest[kept.name], kept.name, kept.part)):
        too_much = max_bytes is not None and left > max_bytes
        if (kept.name in surplus or kept.modified_ns < oldest_ns or too_much) and _delete(kept.path):
            deleted.append(kept.path)
            left -= kept.size
    return deleted


def prune_to(folder: Path, limits: LogConfig) -> list[Path]:
    """Delete what a folder may not keep by the robot's configuration; see `prune_episodes`."""
    age_s = None if limits.max_age_days is None else limits.max_age_days * 86_400
    return prune_episodes(folder, limits.max_episodes, age_s, limits.max_gb * 1e9)


def _list(folder: Path) -> list[_Kept]:
    found = []
    for path in folder.glob(_OURS):
        with contextlib.suppress(OSError):  # another run deleted it in between
            facts = path.stat()
            found.append(_Kept(path, *split_name(path), facts.st_mtime_ns, facts.st_size))
    return found


def _delete(path: Path) -> bool:
    """Delete a file that nobody is writing; its writer holds a lock on it."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink()
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True
