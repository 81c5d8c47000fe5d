"""A log of several files: by size, by time, and within what the folder may hold."""

from __future__ import annotations

import stat
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from phonotaxis.deploy.devices import AudioBlock
from phonotaxis.deploy.episode import EpisodeWriter
from phonotaxis.deploy.episode_reader import Episode, read_episode
from phonotaxis.deploy.retention import parts_of

SAMPLES = 800


def hear(writer: EpisodeWriter, blocks: int, pause_s: float = 0.0) -> EpisodeWriter:
    for number in range(blocks):
        samples = np.full((6, SAMPLES), number, dtype=np.int16)
        writer.audio(AudioBlock(samples, SAMPLES * number, number), number)
        time.sleep(pause_s)
    return writer


def numbers(episode: Episode) -> list[int]:
    return [int(found.samples[0, 0]) for found in episode.audio()]


def test_files_rotate_by_size_and_read_as_one(open_writer: Any) -> None:
    writer = hear(open_writer(rotate_mb=0.1), 60)
    writer.close()
    parts = parts_of(writer.path)
    assert len(parts) == writer.counters()["parts"] > 4
    assert all(part.stat().st_size < 150_000 for part in parts)
    assert writer.counters()["bytes"] == sum(part.stat().st_size for part in parts)
    assert all(stat.S_IMODE(part.stat().st_mode) == 0o600 for part in parts)
    for asked in (parts[0], parts[3]):
        episode = read_episode(asked)
        assert numbers(episode) == list(range(60))
        assert episode.parts == tuple(parts)
        assert episode.breaks == frozenset()
        assert episode.scan.complete
    assert len(numbers(read_episode(parts[1], join=False))) < 20
    parts[2].unlink()
    assert read_episode(parts[0]).breaks == {len(read_episode(parts[0], False).messages) * 2}


@pytest.mark.parametrize("harm", ["missing", "cut within its head"])
def test_a_last_part_that_is_gone_is_said(open_writer: Any, harm: str) -> None:
    """Every part before it is whole, and nothing else in them says that there was more."""
    writer = hear(open_writer(rotate_mb=0.1), 20)
    writer.health(20, "info", "ended_duration", "20 s are over")
    writer.close()
    *_, last = parts = parts_of(writer.path)
    assert len(parts) > 1
    assert read_episode(parts[0]).what_is_lost() == ""
    if harm == "missing":
        last.unlink()
    else:
        last.write_bytes(last.read_bytes()[:100])
    episode = read_episode(parts[0])
    assert episode.scan.complete
    assert episode.what_is_lost() == "the log holds no end of the run: its last part is missing, or cut within its head"


def test_files_rotate_by_time(open_writer: Any) -> None:
    writer = hear(open_writer(rotate_minutes=0.001), 30, pause_s=0.01)
    writer.close()
    assert writer.counters()["parts"] > 2
    assert numbers(read_episode(writer.path)) == list(range(30))


def test_a_part_that_ends_where_it_begins_is_whole(open_writer: Any) -> None:
    """Time rotates with a recording's last record, and nothing comes after it."""
    writer = open_writer()
    writer.close()
    episode = read_episode(writer.path)
    assert episode.scan.complete
    assert episode.scan.checksum_ok
    assert numbers(episode) == []


def test_retention_is_kept_while_writing(open_writer: Any, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    old = folder / "episode-20260101T000000Z.mcap"
    old.write_bytes(bytes(900_000))
    writer = hear(open_writer(rotate_mb=0.1, max_gb=0.001), 300)
    writer.close()
    assert not old.exists()
    left = sum(path.stat().st_size for path in folder.glob("*.mcap"))
    assert left < 1_250_000  # the bound, and the file that was being written when it was last looked at
    assert writer.counters()["files_pruned"] > 1
    episode = read_episode(next(iter(sorted(folder.glob("*.mcap")))))
    assert episode.breaks == {0}
    assert numbers(episode)[-1] == 299
