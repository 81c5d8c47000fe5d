from __future__ import annotations

import fcntl
import os
import stat
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from phonotaxis.deploy.container import RecordFile
from phonotaxis.deploy.episode_ages import LEDGER, Now, read_now
from phonotaxis.deploy.retention import part_path, parts_of, prune_episodes, split_name


def named(number: int) -> str:
    return f"episode-20260101T0000{number:02}Z.mcap"


def made(folder: Path, name: str, age_s: float, size: int = 10) -> Path:
    path = folder / name
    path.write_bytes(bytes(size))
    os.utime(path, (time.time() - age_s,) * 2)
    return path


def test_names_of_parts(tmp_path: Path) -> None:
    first = tmp_path / "episode-a.mcap"
    assert part_path(first, 1) == first
    assert part_path(first, 12).name == "episode-a.part12.mcap"
    assert split_name(part_path(first, 12)) == ("episode-a", 12)
    assert split_name(first) == ("episode-a", 1)
    assert split_name(tmp_path / "[odd]") == ("[odd]", 1)
    for name in ("episode-a.part10.mcap", "episode-a.part2.mcap", "episode-a.mcap", "episode-ab.mcap"):
        (tmp_path / name).touch()
    assert [path.name for path in parts_of(tmp_path / "episode-a.part2.mcap")] == [
        "episode-a.mcap", "episode-a.part2.mcap", "episode-a.part10.mcap",
    ]  # fmt: skip
    (tmp_path / "[a]*.mcap").touch()
    assert parts_of(tmp_path / "[a]*.mcap") == [tmp_path / "[a]*.mcap"]


def test_an_episode_counts_once_whatever_its_parts(tmp_path: Path) -> None:
    made(tmp_path, named(1), 50)
    made(tmp_path, "episode-20260101T000001Z.part2.mcap", 5)  # so the whole episode is the newest
    made(tmp_path, named(2), 20)
    made(tmp_path, named(3), 10)
    assert [path.name for path in prune_episodes(tmp_path, keep=2)] == [named(2)]


HOUR_NS = 3_600_000_000_000
YEAR_NS = 8766 * HOUR_NS
IN_2026 = 56 * YEAR_NS


def _names(paths: list[Path]) -> list[str]:
    return [path.name for path in paths]


def _prune(folder: Path, boot: str, up_h: float, wall_ns: int | None, keep: int = 100) -> list[str]:
    now = Now(boot, int(up_h * HOUR_NS), wall_ns)
    return _names(prune_episodes(folder, keep, max_age_s=24 * 3600, now=now))


def test_files_age_while_the_computer_runs_whatever_its_clock_says(tmp_path: Path) -> None:
    made(tmp_path, named(1), 7200)
    assert _prune(tmp_path, "a", 1, None) == []
    made(tmp_path, named(2), 60)
    assert _prune(tmp_path, "a", 20, None) == []
    assert _prune(tmp_path, "b", 4, None) == []  # switched off for nobody knows how long, and on again
    assert _prune(tmp_path, "b", 6, None) == [named(1)]  # 19 + 6 hours
    assert _prune(tmp_path, "b", 23.9, None) == []
    assert _prune(tmp_path, "b", 24.1, None) == [named(2)]


def test_a_clock_that_begins_in_1970_and_jumps_deletes_and_keeps_nothing_wrongly(tmp_path: Path) -> None:
    path = made(tmp_path, named(1), 0)
    os.utime(path, (5, 5))  # written in 1970, as the computer thought
    assert _prune(tmp_path, "a", 0.1, None) == []
    assert _prune(tmp_path, "a", 0.2, IN_2026) == []  # its clock was set: the file is six minutes old
    assert _prune(tmp_path, "b", 0.1, IN_2026 + 10 * YEAR_NS) == []  # its age was never told by that clock
    new = made(tmp_path, named(2), 0)
    assert _prune(tmp_path, "b", 0.2, IN_2026) == []
    os.utime(new, (1, 1))
    # off for 25 hours, and synchronised before and after: that counts
    assert _prune(tmp_path, "c", 0.1, IN_2026 + 25 * HOUR_NS) == [named(2)]


def test_a_clock_that_goes_back_keeps_the_order(tmp_path: Path) -> None:
    made(tmp_path, named(1), 0)
    assert _prune(tmp_path, "a", 1, IN_2026) == []
    os.utime(made(tmp_path, named(2), 0), (5, 5))  # newer, and dated 1970
    assert _prune(tmp_path, "b", 1, None) == []
    assert _prune(tmp_path, "b", 2, None, keep=1) == [named(1)]


def test_a_person_may_vouch_for_the_clock(tmp_path: Path) -> None:
    assert read_now(trust=True).wall_ns == pytest.approx(time.time_ns(), abs=5e9)
    told = read_now()
    assert told.wall_ns is None or told.wall_ns == pytest.approx(time.time_ns(), abs=5e9)
    assert told.up_ns >= time.monotonic_ns() - 1_000_000_000


_ODD = b'{"episodes": {"episode-20260101T000001Z.mcap": [1]}}'


@pytest.mark.parametrize("odd", [b"", b"{", b"[1]", _ODD, b"\xff", b"[" * 100_000])
def test_a_ledger_that_can_not_be_read_begins_anew(tmp_path: Path, odd: bytes) -> None:
    made(tmp_path, named(1), 9e6)
    (tmp_path / LEDGER).write_bytes(odd)
    assert _prune(tmp_path, "a", 20, None) == []
    assert _prune(tmp_path, "a", 45, None) == [named(1)]
    assert stat.S_IMODE((tmp_path / LEDGER).stat().st_mode) == 0o600


def test_what_a_cut_of_the_power_left_of_a_ledger_goes(tmp_path: Path) -> None:
    made(tmp_path, named(1), 0)
    (tmp_path / f".{LEDGER}.0123abcd.part").write_bytes(b"half")
    assert prune_episodes(tmp_path, 1) == []
    assert {path.name for path in tmp_path.iterdir()} == {named(1), LEDGER}


def test_two_runs_do_not_change_a_ledger_at_once(tmp_path: Path) -> None:
    for number in range(4):
        made(tmp_path, named(number), 100 - number)
    another = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(another, fcntl.LOCK_EX)
    with ThreadPoolExecutor(1) as pool:
        try:
            waiting = pool.submit(prune_episodes, tmp_path, 1)
            with pytest.raises(TimeoutError):
                waiting.result(0.3)
        finally:
            os.close(another)
        assert [path.name for path in waiting.result(10)] == [named(0), named(1), named(2)]


def test_the_oldest_go_by_size(tmp_path: Path) -> None:
    for number in range(5):
        made(tmp_path, named(number), 100 - number, size=1000)
    deleted = prune_episodes(tmp_path, 100, max_bytes=2500)
    assert [path.name for path in deleted] == [named(0), named(1), named(2)]


def test_a_file_that_is_being_written_stays(tmp_path: Path) -> None:
    file = RecordFile(tmp_path / named(1))
    assert _prune(tmp_path, "a", 1, None) == []
    assert prune_episodes(tmp_path, 0, 1.0, 0.0, Now("a", 99 * HOUR_NS, None)) == []
    file.close()
    assert prune_episodes(tmp_path, 0) == [file.path]


def test_neither_links_nor_others_files_are_touched(tmp_path: Path) -> None:
    precious = made(tmp_path, "precious.mcap", 99)
    (tmp_path / named(1)).symlink_to(precious)
    assert prune_episodes(tmp_path, 0, max_bytes=0.0) == []
    assert precious.exists()


@pytest.mark.parametrize("name", ["episode-best.mcap", "episode-20260101T000000Z-mended.mcap", "mine.mcap"])
def test_what_a_person_named_stays(tmp_path: Path, name: str) -> None:
    kept = made(tmp_path, name, 1e9)
    ours = [made(tmp_path, f"episode-20260101T000000Z{more}.mcap", 9) for more in ("", "-2", ".part2", "-12.part3")]
    assert sorted(prune_episodes(tmp_path, 0, 1.0, 0.0, Now("a", 99 * HOUR_NS, None))) == sorted(ours)
    assert kept.exists()
