"""Names of episodes' files, and how many of them a folder keeps: they record people, and disks are small."""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from phonotaxis.configs.robot import LogConfig
from phonotaxis.deploy.episode_ages import EpisodeAges, Now, read_now

LOCK_WITHIN_S = 5.0  # a run that was stopped in the middle of it may hold the lock for ever
_NAME = re.compile(r"(?P<episode>.+?)(?:\.part(?P<part>[1-9][0-9]{0,5}))?\.mcap")
_OURS = re.compile(
    r"episode-[0-9]{8}T[0-9]{6}Z(-[0-9]+)?(\.part[1-9][0-9]{0,5})?\.mcap"
)  # as `episode_path` names them


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
    folder: Path,
    keep: int,
    max_age_s: float | None = None,
    max_bytes: float | None = None,
    now: Now | None = None,
) -> list[Path]:
    """Delete the oldest episodes of a folder until it holds what it may.

    Only files named as `episode_path` names them are touched, and never one that is being written. Order and age are
    those of the folder's ledger, see `episode_ages`: a file is as old as it is known to be.

    Args:
        folder: of the episodes.
        keep: as many episodes may remain, with all of their parts.
        max_age_s: older files go; None for any age.
        max_bytes: of all files together; None for any size.
        now: what this computer knows of the time; by default, read.

    Returns:
        The paths deleted; none where another process is at it for seconds.
    """
    try:
        with _locked(folder):
            return _prune_ledger(folder, keep, max_age_s, max_bytes, now)
    except BlockingIOError:  # whoever is at it deletes by the same rules
        return []


def _prune_ledger(
    folder: Path, keep: int, max_age_s: float | None, max_bytes: float | None, now: Now | None
) -> list[Path]:
    found = sorted(_list(folder), key=lambda kept: (kept.modified_ns, kept.path.name))
    ages = EpisodeAges(folder, now or read_now(), [kept.path.name for kept in found])
    deleted = _prune(found, ages, keep, max_age_s, max_bytes)
    for path in deleted:
        ages.forget(path.name)
    if found:
        with contextlib.suppress(OSError):  # where the disk is full, ages stand still until there is room
            ages.save()
    return deleted


def _prune(
    found: list[_Kept], ages: EpisodeAges, keep: int, max_age_s: float | None, max_bytes: float | None
) -> list[Path]:
    newest: dict[str, int] = {}
    for kept in found:
        newest[kept.name] = max(ages.number(kept.path.name), newest.get(kept.name, -1))
    by_age = sorted(newest, key=lambda name: newest[name])
    surplus = set(by_age[: max(0, len(by_age) - keep)])
    left = sum(kept.size for kept in found)
    deleted = []
    for kept in sorted(found, key=lambda kept: (newest[kept.name], kept.part)):
        too_much = max_bytes is not None and left > max_bytes
        too_old = max_age_s is not None and ages.age_ns(kept.path.name) > max_age_s * 1e9
        if (kept.name in surplus or too_old or too_much) and _delete(kept.path):
            deleted.append(kept.path)
            left -= kept.size
    return deleted


def prune_to(folder: Path, limits: LogConfig) -> list[Path]:
    """Delete what a folder may not keep by the robot's configuration; see `prune_episodes`."""
    age_s = None if limits.max_age_days is None else limits.max_age_days * 86_400
    now = read_now(limits.trust_wall_clock)
    return prune_episodes(folder, limits.max_episodes, age_s, limits.max_gb * 1e9, now)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Let one process at a time change a folder's ledger.

    Raises:
        BlockingIOError: another one holds it for longer than `LOCK_WITHIN_S`.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    until_s = time.monotonic() + LOCK_WITHIN_S
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > until_s:
                    raise
                time.sleep(0.01)
        yield
    finally:
        os.close(descriptor)


def _list(folder: Path) -> list[_Kept]:
    found = []
    for path in folder.glob("episode-*.mcap"):
        if not _OURS.fullmatch(path.name):
            continue  # what a person named is a person's
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
