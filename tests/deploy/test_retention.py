from __future__ import annotations

import os
import time
from pathlib import Path

from phonotaxis.deploy.container import RecordFile
from phonotaxis.deploy.retention import part_path, parts_of, prune_episodes, split_name


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
    made(tmp_path, "episode-1.mcap", 50)
    made(tmp_path, "episode-1.part2.mcap", 5)  # so the whole episode is the newest
    made(tmp_path, "episode-2.mcap", 20)
    made(tmp_path, "episode-3.mcap", 10)
    assert [path.name for path in prune_episodes(tmp_path, keep=2)] == ["episode-2.mcap"]


def test_old_files_go_by_age(tmp_path: Path) -> None:
    made(tmp_path, "episode-1.mcap", 7200)
    made(tmp_path, "episode-2.mcap", 60)
    assert [path.name for path in prune_episodes(tmp_path, 100, max_age_s=3600)] == ["episode-1.mcap"]


def test_the_oldest_go_by_size(tmp_path: Path) -> None:
    for number in range(5):
        made(tmp_path, f"episode-{number}.mcap", 100 - number, size=1000)
    deleted = prune_episodes(tmp_path, 100, max_bytes=2500)
    assert [path.name for path in deleted] == ["episode-0.mcap", "episode-1.mcap", "episode-2.mcap"]


def test_a_file_that_is_being_written_stays(tmp_path: Path) -> None:
    file = RecordFile(tmp_path / "episode-1.mcap")
    os.utime(file.path, (1, 1))
    assert prune_episodes(tmp_path, 0, max_age_s=1.0, max_bytes=0.0) == []
    file.close()
    assert prune_episodes(tmp_path, 0) == [file.path]


def test_neither_links_nor_others_files_are_touched(tmp_path: Path) -> None:
    precious = made(tmp_path, "precious.mcap", 99)
    (tmp_path / "episode-1.mcap").symlink_to(precious)
    assert prune_episodes(tmp_path, 0, max_bytes=0.0) == []
    assert precious.exists()
