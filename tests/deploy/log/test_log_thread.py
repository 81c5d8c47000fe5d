"""The log's thread: whatever the disk does, the loop goes on, and what is missing is said."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from phonotaxis.configs.robot import LogConfig
from phonotaxis.deploy.devices import AudioBlock, DepthFrame, OdometrySample
from phonotaxis.deploy.episode_ages import LEDGER
from phonotaxis.deploy.episode_reader import Episode, read_episode

SAMPLES = 800


class Disk:
    """The operating system's edge: `os.write` as a disk that can hang, be full, or be well."""

    def __init__(self) -> None:
        self.fault: OSError | None = None
        self.go = threading.Event()
        self.go.set()
        self.waiting = threading.Event()
        self._write = os.write

    def write(self, descriptor: int, data: Any) -> int:
        if not self.go.is_set():
            self.waiting.set()
            self.go.wait(30)
        if self.fault is not None:
            raise self.fault
        return self._write(descriptor, data)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    found = Disk()
    monkeypatch.setattr(os, "write", found.write)
    yield found
    found.go.set()


def block(number: int) -> AudioBlock:
    return AudioBlock(np.full((6, SAMPLES), number, dtype=np.int16), SAMPLES * number, number)


def numbers(episode: Episode) -> list[int]:
    return [int(found.samples[0, 0]) for found in episode.audio()]


def until(reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_disk_that_hangs_holds_nothing_up_and_nothing_is_lost(open_writer: Any, disk: Disk) -> None:
    writer = open_writer()
    disk.go.clear()
    for number in range(200):  # ten seconds of sound: each call returns though the disk takes nothing
        writer.audio(block(number), number)
    assert disk.waiting.wait(10)
    counters = writer.counters()
    assert counters["most_waiting"] >= 199
    assert counters["most_waiting_bytes"] >= 199 * SAMPLES * 12
    disk.go.set()
    writer.close()
    assert writer.failure is None
    assert writer.counters()["longest_wait_ms"] > 0
    episode = read_episode(writer.path)
    assert numbers(episode) == list(range(200))
    assert not [event for event in episode.health() if event["event"] == "log_slow"]  # 2 of 64 MB waited


def test_a_slow_disk_is_seen_in_the_log_once(open_writer: Any, disk: Disk) -> None:
    writer = open_writer(queue_mb=1.0)
    disk.go.clear()
    writer.audio(block(0), 0)
    assert disk.waiting.wait(10)
    for number in range(1, 80):  # 77 of 100 blocks that fit
        writer.audio(block(number), number)
    disk.go.set()
    writer.close()
    episode = read_episode(writer.path)
    assert numbers(episode) == list(range(80))
    (event,) = [event for event in episode.health() if event["event"] == "log_slow"]
    assert "% full" in event["message"]
    assert event["data"]["most_waiting"] >= 70


def test_what_a_full_queue_turns_away_is_counted_and_said_where_it_is_missing(open_writer: Any, disk: Disk) -> None:
    writer = open_writer(queue_mb=1.0, on_failure="continue")
    disk.go.clear()
    writer.audio(block(0), 0)
    assert disk.waiting.wait(10)
    for number in range(1, 141):
        writer.audio(block(number), number)
        writer.odometry(OdometrySample(0.0, 0.0, 0.0, False, number), number)
    dropped = writer.counters()["dropped"]
    assert 40 < dropped < 140
    disk.go.set()
    until(lambda: writer._log.queue.fullness == 0)
    writer.audio(block(999), 999)
    writer.close()
    assert writer.failure is None
    episode = read_episode(writer.path)
    gaps = [index for index, m in enumerate(episode.messages) if b"log_dropped" in m.data]
    said = [event for event in episode.health() if event["event"] == "log_dropped"]
    assert sum(sum(event["data"].values()) for event in said) == dropped
    kept = numbers(episode)
    assert kept[-1] == 999
    assert kept[:-1] == sorted(kept[:-1])
    # whatever jump the numbers make, an event stands there
    heard = [(index, m.sequence // SAMPLES) for index, m in enumerate(episode.messages) if m.topic == "/audio"]
    for (before, low), (after, high) in zip(heard, heard[1:]):
        assert high == low + 1 or any(before < gap < after for gap in gaps)


def test_where_the_robot_must_stop_a_full_queue_is_a_failure(open_writer: Any, disk: Disk) -> None:
    writer = open_writer(queue_mb=1.0)
    disk.go.clear()
    for number in range(150):
        writer.audio(block(number), number)
    assert writer.failure is not None
    assert "can't keep up" in writer.failure
    disk.go.set()


def test_a_full_disk_is_survived_and_the_episode_goes_on_when_there_is_room(open_writer: Any, disk: Disk) -> None:
    writer = open_writer(on_failure="continue")
    for number in range(5):
        writer.audio(block(number), number)
    until(lambda: writer.counters()["records"] == 5)
    disk.fault = OSError(errno.ENOSPC, "No space left on device")
    for number in range(5, 10):
        writer.audio(block(number), number)
    until(lambda: writer.counters()["lost"] == 5)
    assert writer.failure is None
    assert writer.trouble is not None
    assert "free space" in writer.trouble
    disk.fault = None
    until(lambda: writer.trouble is None)
    for number in range(10, 15):
        writer.audio(block(number), number)
    writer.close()
    episode = read_episode(writer.path)
    assert numbers(episode) == [0, 1, 2, 3, 4, 10, 11, 12, 13, 14]
    assert len(episode.breaks) == 1
    (event,) = [event for event in episode.health() if event["event"] == "log_resumed"]
    assert event["data"] == {"/audio": 5}
    assert "5 record(s) are lost" in event["message"]
    assert "No space left" in event["message"]


def test_a_folder_that_vanishes_is_made_again(open_writer: Any, tmp_path: Path) -> None:
    writer = open_writer(on_failure="continue")
    for number in range(3):
        writer.audio(block(number), number)
    until(lambda: writer.counters()["records"] == 3)
    shutil.rmtree(tmp_path / "folder")
    until(lambda: writer.trouble is not None)
    assert "deleted or moved" in str(writer.trouble)
    until(lambda: writer.trouble is None)
    writer.audio(block(7), 7)
    writer.close()
    (path,) = (tmp_path / "folder").glob("*.mcap")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    episode = read_episode(path)
    assert numbers(episode) == [7]
    assert episode.breaks == {0}
    assert "gap" in episode.what_is_lost()
    assert episode.health()[0]["event"] == "log_resumed"


@pytest.mark.parametrize(
    ("sample", "words"),
    [
        (OdometrySample(float("nan"), 0.0, 0.0, False, 1), "/odometry can't be written"),
        (OdometrySample(0.0, 0.0, 0.0, False, -5), "times of 1 and -5 ns"),
    ],
    ids=["not finite", "a time that no file can hold"],
)
def test_what_can_not_be_written_costs_one_record(open_writer: Any, sample: OdometrySample, words: str) -> None:
    writer = open_writer()
    writer.odometry(sample, 1)
    writer.audio(block(1), 1)
    writer.close()
    assert writer.failure is None
    assert writer.counters()["refused"] == 1
    episode = read_episode(writer.path)
    assert numbers(episode) == [1]
    assert episode.odometry() == []
    assert words in episode.health()[0]["message"]


def test_the_bounds_are_checked_where_they_are_typed() -> None:
    with pytest.raises(ValueError, match="rotate_mb"):
        LogConfig(rotate_mb=0)
    with pytest.raises(ValueError, match="on_failure"):
        LogConfig.model_validate({"on_failure": "ignore"})


@pytest.mark.skipif(os.getuid() != 0 or shutil.which("mount") is None, reason="mounting a small disk needs root")
@pytest.mark.parametrize("size", [40, 300, 2000])
def test_a_full_disk_leaves_room_for_the_last_words(open_writer: Any, tmp_path: Path, size: int) -> None:
    """Whatever the size of the record that doesn't fit: the file says why it ends, and is whole up to there."""
    (tmp_path / "folder").mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(tmp_path / "folder")]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this machine lets nobody mount a tmpfs")
    try:
        writer = open_writer()
        for number in range(20_000):
            writer.health(number, "info", "tick", "x" * size)
            if writer.failure is not None:
                break
            if number % 500 == 0:
                until(lambda: writer._log.queue.fullness < 0.1 or writer.failure is not None)
        writer.close()
        assert writer.failure is not None
        episode = read_episode(writer.path)
        assert episode.scan.fault == ""
        assert not episode.scan.complete
        assert episode.health()[-1]["event"] == "log_failed"
        assert "No space left" in episode.health()[-1]["message"]
        assert writer.path.stat().st_size > 200_000
    finally:
        subprocess.run(["umount", "-l", str(tmp_path / "folder")], check=True)


def test_a_disk_that_stays_full_is_not_littered_with_beginnings(
    open_writer: Any, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("phonotaxis.deploy.log_thread.RETRY_NS", 10_000_000)
    writer = open_writer(on_failure="continue")
    disk.fault = OSError(errno.ENOSPC, "No space left on device")
    for number in range(50):
        writer.audio(block(number), number)
        time.sleep(0.01)
    until(lambda: writer.counters()["lost"] == 50)
    assert {path.name for path in writer.path.parent.iterdir()} == {writer.path.name, LEDGER}
    disk.fault = None
    until(lambda: writer.trouble is None)
    writer.close()
    assert len(list(writer.path.parent.glob("*.mcap"))) == 2


@pytest.mark.parametrize("on_failure", ["stop", "continue"])
def test_a_defect_ends_no_thread_in_silence(open_writer: Any, monkeypatch: pytest.MonkeyPatch, on_failure: str) -> None:
    writer = open_writer(on_failure=on_failure)
    writer.audio(block(1), 1)
    until(lambda: writer.counters()["records"] == 1)
    monkeypatch.setattr("phonotaxis.deploy.container.Container.add", lambda *_: 1 // 0)
    writer.audio(block(2), 2)
    until(lambda: writer.trouble is not None)
    assert "ZeroDivisionError" in str(writer.trouble)
    assert "this is a defect" in str(writer.trouble)
    assert (writer.failure is None) == (on_failure == "continue")
    monkeypatch.undo()
    if on_failure == "continue":
        until(lambda: writer.trouble is None)
        writer.audio(block(3), 3)
    writer.close()
    assert writer.counters()["lost"] == 1
    assert numbers(read_episode(writer.path)) == ([1, 3] if on_failure == "continue" else [1])


def test_what_waited_when_the_disk_failed_is_counted(open_writer: Any, disk: Disk) -> None:
    writer = open_writer()
    disk.go.clear()
    for number in range(50):
        writer.audio(block(number), number)
    assert disk.waiting.wait(10)
    disk.fault = OSError(errno.ENOSPC, "No space left on device")
    disk.go.set()
    until(lambda: writer.failure is not None)
    until(lambda: writer.counters()["lost"] == 50)
    writer.audio(block(50), 50)
    writer.close()
    counters = writer.counters()
    assert (counters["records"], counters["lost"], counters["dropped"]) == (0, 50, 1)


def test_what_stands_in_a_file_is_not_called_lost_when_the_next_part_can_not_be_made(
    open_writer: Any, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = open_writer(on_failure="continue", rotate_mb=0.1)
    monkeypatch.setattr(type(writer._log), "_open", lambda _: os.open("/nowhere/at/all", os.O_RDONLY))
    for number in range(12):
        writer.audio(block(number), number)
    until(lambda: writer.trouble is not None)
    writer.close()
    kept = numbers(read_episode(writer.path))
    assert kept == list(range(len(kept)))
    assert writer.counters()["lost"] == 12 - len(kept) < 4


def test_a_frame_larger_than_the_bound_is_no_fault_of_the_disk(open_writer: Any) -> None:
    writer = open_writer(queue_mb=1.0)
    writer.depth(DepthFrame(np.ones((480, 640), dtype=np.float32), 1), 1)  # 1.2 MB
    writer.close()
    assert writer.failure is None
    assert [frame.depth_m.shape for frame in read_episode(writer.path).depth()] == [(480, 640)]


def test_a_slow_disk_gets_the_time_that_it_needs_at_the_end(
    open_writer: Any, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("phonotaxis.deploy.log_thread.CLOSE_TIMEOUT_S", 0.3)
    writer = open_writer()
    write = disk._write
    monkeypatch.setattr(disk, "_write", lambda *given: (time.sleep(0.05), write(*given))[1])
    for number in range(20):
        writer.audio(block(number), number)
    told = told_alive(monkeypatch)
    writer.close()
    assert writer.failure is None
    assert numbers(read_episode(writer.path)) == list(range(20))
    assert len(told) >= 10  # a second at least, in which a service's watchdog would bite
    assert set(told) == {"WATCHDOG=1"}


def told_alive(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    told: list[str] = []
    monkeypatch.setattr("phonotaxis.deploy.log_thread.notify", told.append, raising=False)
    monkeypatch.setattr("phonotaxis.deploy.log_thread.ALIVE_S", 0.05, raising=False)
    return told


def test_a_disk_that_hangs_at_the_end_is_said(open_writer: Any, disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("phonotaxis.deploy.log_thread.CLOSE_TIMEOUT_S", 0.2)
    told = told_alive(monkeypatch)
    writer = open_writer()
    disk.go.clear()
    for number in range(5):
        writer.audio(block(number), number)
    writer.close()
    assert "the disk took nothing for 0.2 s; the last 4 record(s)" in str(writer.failure)
    assert 2 <= len(told) <= 5  # and no more
    disk.go.set()
