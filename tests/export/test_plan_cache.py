from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from phonotaxis.export.engines.plan_cache import KEPT, MAGIC, TIMING, PlanCache, pack, unpack

KEY = {"bundle_sha256": "ab", "tensorrt": "10.3.0", "device": "Orin", "compute_capability": "8.7"}


@pytest.fixture
def cache(tmp_path: Path) -> PlanCache:
    return PlanCache(tmp_path / "deep" / "plans")


def test_gives_back_what_was_stored(cache: PlanCache) -> None:
    assert cache.load(KEY) == (None, "")
    path = cache.store(KEY, b"a plan")
    assert cache.load(KEY) == (b"a plan", "")
    assert path.stat().st_mode & 0o777 == 0o600
    assert cache.folder.stat().st_mode & 0o777 == 0o700
    cache.store(KEY, b"a newer plan")
    assert cache.load(dict(reversed(KEY.items()))) == (b"a newer plan", "")
    assert [found.name for found in cache.folder.iterdir()] == [path.name]


@pytest.mark.parametrize("name", sorted(KEY))
def test_another_key_finds_nothing(cache: PlanCache, name: str) -> None:
    path = cache.store(KEY, b"a plan")
    other = {**KEY, name: "other"}
    assert cache.load(other) == (None, "")
    path.rename(cache.path(other))  # a plan in the place of another
    content, reason = cache.load(other)
    assert content is None
    assert "another policy, device or version" in reason


def test_damage_is_found_at_every_byte(cache: PlanCache) -> None:
    path = cache.store(KEY, b"a plan")
    whole = path.read_bytes()
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        assert cache.load(KEY)[0] is None
        path.write_bytes(whole[:at])
        assert cache.load(KEY)[0] is None
    path.write_bytes(whole + b"x")
    assert cache.load(KEY) == (None, "the kept plan is damaged")


def test_a_key_of_enormous_length_is_not_believed() -> None:
    data = MAGIC + b"\xff\xff\xff\xff" + b"{}" + hashlib.sha256(b"x").digest() + b"x"
    assert unpack(data, KEY)[0] is None
    assert unpack(pack(KEY, b""), KEY) == (None, "the kept plan is damaged")


def test_what_others_can_write_is_not_read(cache: PlanCache) -> None:
    path = cache.store(KEY, b"a plan")
    path.chmod(0o620)
    assert cache.load(KEY) == (None, "the kept plan is open to other users")
    path.chmod(0o600)
    cache.folder.chmod(0o770)
    assert "open to other users" in cache.load(KEY)[1]
    cache.store(KEY, b"a plan")  # made private again
    assert cache.load(KEY) == (b"a plan", "")


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a file away")
def test_another_users_plan_is_not_read(cache: PlanCache) -> None:
    path = cache.store(KEY, b"a plan")
    os.chown(path, 12345, 12345)
    assert cache.load(KEY) == (None, "the kept plan is another user's")
    os.chown(path, 0, 0)
    os.chown(cache.folder, 12345, 12345)
    assert "another user's" in cache.load(KEY)[1]


def test_links_and_pipes_are_not_followed(cache: PlanCache, tmp_path: Path) -> None:
    path = cache.store(KEY, b"a plan")
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    assert "can't be opened" in cache.load(KEY)[1]
    path.unlink()
    os.mkfifo(path, 0o600)
    assert cache.load(KEY) == (None, "the kept plan is no plain file of a plan's size")
    linked = PlanCache(tmp_path / "linked")
    linked.folder.symlink_to(cache.folder)
    assert "not a folder" in linked.load(KEY)[1]


def test_a_crash_while_writing_leaves_the_old_one(cache: PlanCache, monkeypatch: pytest.MonkeyPatch) -> None:
    cache.store(KEY, b"a plan")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        cache.store(KEY, b"a newer plan")
    assert cache.load(KEY) == (b"a plan", "")
    assert len(list(cache.folder.iterdir())) == 1


def test_what_is_used_is_kept_and_timings_displace_no_plan(cache: PlanCache) -> None:
    used = cache.store({**KEY, "number": 0}, b"a plan")
    for number in range(1, KEPT):
        os.utime(cache.store({**KEY, "number": number}, b"a plan"), ns=(number, number))
    os.utime(used, ns=(0, 0))  # the oldest, but in use
    assert cache.load({**KEY, "number": 0})[0] == b"a plan"
    cache.store({**KEY, "number": KEPT}, b"a plan")
    for number in range(KEPT + 1):
        cache.store({**KEY, TIMING: number}, b"timings")
    assert cache.load({**KEY, "number": 0})[0] == b"a plan"
    assert cache.load({**KEY, "number": 1})[0] is None
    assert len(list(cache.folder.glob("*.plan"))) == len(list(cache.folder.glob("*.timing"))) == KEPT


def test_only_the_newest_are_kept(cache: PlanCache) -> None:
    for number in range(KEPT + 3):
        path = cache.store({**KEY, "number": number}, b"a plan")
        os.utime(path, ns=(number, number))
    assert len(list(cache.folder.iterdir())) == KEPT
    assert cache.load({**KEY, "number": KEPT + 2})[0] == b"a plan"
    assert cache.load({**KEY, "number": 0})[0] is None
