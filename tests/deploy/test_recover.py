"""Torn files: everything before the cut is there, whole, and nothing else."""

from __future__ import annotations

import struct
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import lz4.frame
import numpy as np
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mcap.reader import make_reader
from mcap.writer import CompressionType, IndexType, Writer

from phonotaxis.configs.robot import simulated_robot
from phonotaxis.deploy import messages, records
from phonotaxis.deploy.chunks import open_chunk
from phonotaxis.deploy.container import METADATA_NAME, Container
from phonotaxis.deploy.devices import AudioBlock, OdometrySample
from phonotaxis.deploy.episode import EpisodeError, EpisodeInfo
from phonotaxis.deploy.episode_reader import read_episode
from phonotaxis.deploy.records import RecordScan
from phonotaxis.deploy.recover import recover, rewrite
from phonotaxis.deploy.replay import check
from phonotaxis.export.bundle import Bundle

HEAD = struct.Struct("<BQ")


def info(toy: Any) -> EpisodeInfo:
    contract = toy.contract()
    return EpisodeInfo("robot", contract, simulated_robot(contract.array, contract.camera, "none"), "0" * 64, {})


def small(toy: Any, path: Path) -> bytes:
    container = Container(path, info(toy).metadata())
    for number in range(3):
        block = AudioBlock(np.full((6, 4), number, dtype=np.int16), 4 * number, number)
        container.add("/audio", number, number, 4 * number, messages.encode_audio(block, 16000))
        sample = OdometrySample(0.25, 0.0, number / 3, False, number)
        container.add("/odometry", number, number, number, messages.encode_json(messages.odometry_dict(sample)))
    container.close()
    return path.read_bytes()


def message_ends(data: bytes) -> list[int]:
    """Offsets behind each message record, by walking the lengths in the file."""
    at, ends = len(records.MAGIC), []
    while at + HEAD.size <= len(data) - len(records.MAGIC):
        opcode, length = HEAD.unpack_from(data, at)
        at += HEAD.size + length
        if opcode == records.MESSAGE:
            ends.append(at)
    return ends


def test_cut_at_every_byte_of_its_messages(toy: Any, tmp_path: Path) -> None:
    whole = small(toy, tmp_path / "whole.mcap")
    full = read_episode(tmp_path / "whole.mcap").messages
    ends, part = message_ends(whole), tmp_path / "part.mcap"
    assert len(ends) == len(full) == 6
    for cut in range(ends[0] - 100, ends[-1] + 20):
        part.write_bytes(whole[:cut])
        episode = read_episode(part)
        assert len(episode.messages) == sum(end <= cut for end in ends), cut
        assert [m.data for m in episode.messages] == [m.data for m in full[: len(episode.messages)]]
        assert not episode.scan.complete


def test_cut_within_the_head_is_an_error_in_words(toy: Any, tmp_path: Path) -> None:
    whole, part = small(toy, tmp_path / "whole.mcap"), tmp_path / "part.mcap"
    metadata_end = whole.index(METADATA_NAME.encode()) + 2000  # the record holds more than that
    for cut in range(1, metadata_end, 37):
        part.write_bytes(whole[:cut])
        with pytest.raises(EpisodeError, match="not an MCAP file|no episode's metadata"):
            read_episode(part)


def test_a_torn_file_is_recovered_to_one_that_every_reader_takes(recorded: tuple[Path, Bundle], tmp_path: Path) -> None:
    path, bundle = recorded
    whole = path.read_bytes()
    torn = tmp_path / "torn.mcap"
    torn.write_bytes(whole[: len(whole) * 2 // 3])
    found = recover(torn, tmp_path / "mended.mcap")
    assert "not closed in order" in found.lost
    episode = read_episode(tmp_path / "mended.mcap")
    assert episode.scan.complete
    assert episode.scan.checksum_ok
    assert len(episode.messages) == found.messages
    assert found.steps == len(episode.steps()) == 8 or found.steps == 7
    report = check(episode, bundle)
    assert report.ok, report
    assert (tmp_path / "mended.mcap").stat().st_mode & 0o777 == 0o600
    with (tmp_path / "mended.mcap").open("rb") as file:
        assert len(list(make_reader(file, validate_crcs=True).iter_messages())) == found.messages
    with pytest.raises(EpisodeError, match="exists already"):
        recover(torn, tmp_path / "mended.mcap")


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(share=st.floats(0, 1), compress=st.booleans())
def test_any_cut_replays_as_far_as_it_goes(
    recorded: tuple[Path, Bundle], shelf: Path, share: float, compress: bool
) -> None:
    """A property: what is read of a cut file is a beginning of the whole, and every step in it agrees."""
    path, bundle = recorded
    source = shelf / ("packed.mcap" if compress else "episode.mcap")
    if not source.exists():
        rewrite(read_episode(path), source, compress=True)
    data = source.read_bytes()
    full = read_episode(path).messages
    part = shelf / "cut.mcap"
    part.write_bytes(data[: int(share * len(data))])
    try:
        episode = read_episode(part)
    except EpisodeError:
        assert share * len(data) < 6000  # cut within its head
        return
    assert [m.data for m in episode.messages] == [m.data for m in full[: len(episode.messages)]]
    report = check(episode, bundle)
    assert report.mismatches == ()
    assert report.steps == len(episode.steps())


def test_a_compressed_copy_holds_the_same_and_yields_whole_chunks_when_cut(
    recorded: tuple[Path, Bundle], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("phonotaxis.deploy.container.CHUNK_BYTES", 100_000)
    path, bundle = recorded
    found = recover(path, tmp_path / "packed.mcap", compress=True)
    assert found.lost == ""
    assert found.bytes < path.stat().st_size
    packed, whole = read_episode(tmp_path / "packed.mcap"), read_episode(path)
    assert [m.data for m in packed.messages] == [m.data for m in whole.messages]
    assert packed.scan.checksum_ok
    assert check(packed, bundle).ok
    data, counts = (tmp_path / "packed.mcap").read_bytes(), set()
    part = tmp_path / "part.mcap"
    for cut in range(8000, len(data), 997):
        part.write_bytes(data[:cut])
        episode = read_episode(part)
        assert [m.data for m in episode.messages] == [m.data for m in whole.messages[: len(episode.messages)]]
        counts.add(len(episode.messages))
    assert 3 < len(counts) < 12  # it grows by whole chunks


@pytest.mark.parametrize("compression", [CompressionType.LZ4, CompressionType.ZSTD, CompressionType.NONE])
def test_what_other_tools_rewrote_in_chunks_is_read(toy: Any, tmp_path: Path, compression: CompressionType) -> None:
    """`mcap compress`, say: chunks with message indexes and a summary behind."""
    small(toy, tmp_path / "plain.mcap")
    plain = read_episode(tmp_path / "plain.mcap")
    with (tmp_path / "other.mcap").open("wb") as file:
        writer = Writer(file, chunk_size=200, compression=compression, index_types=IndexType.ALL)
        writer.start()
        writer.add_metadata(METADATA_NAME, plain.metadata)
        channels = {}
        for topic in ("/audio", "/odometry"):
            channels[topic] = writer.register_channel(topic, "x", writer.register_schema(topic, "x", b""))
        for m in plain.messages:
            writer.add_message(channels[m.topic], m.log_ns, m.data, m.publish_ns, m.sequence)
        writer.finish()
    episode = read_episode(tmp_path / "other.mcap")
    assert [(m.topic, m.data) for m in episode.messages] == [(m.topic, m.data) for m in plain.messages]
    assert episode.scan.complete


def chunk(name: str, packed: bytes, size: int, checksum: int = 0) -> memoryview:
    head = struct.pack("<QQQI", 0, 0, size, checksum) + struct.pack("<I", len(name)) + name.encode()
    return memoryview(head + struct.pack("<Q", len(packed)) + packed)


@pytest.mark.parametrize(
    ("name", "pack"), [("zstd", zstandard.compress), ("lz4", lz4.frame.compress), ("", lambda data: data)]
)
def test_a_chunk_never_unpacks_to_more_than_it_states_or_may(name: str, pack: Any) -> None:
    data = bytes(3_000_000)  # packs to almost nothing
    assert bytes(open_chunk(chunk(name, pack(data), len(data), zlib.crc32(data)), 1 << 26)) == data
    with pytest.raises(ValueError, match="over the bound of 1000000"):
        open_chunk(chunk(name, pack(data), len(data)), 1_000_000)
    with pytest.raises(ValueError, match="states 1000 bytes and holds more"):
        open_chunk(chunk(name, pack(data), 1000), 1 << 26)
    with pytest.raises(ValueError, match="checksum"):
        open_chunk(chunk(name, pack(data), len(data), 7), 1 << 26)
    with pytest.raises(ValueError, match="runs past|unpack|holds"):
        open_chunk(chunk(name, pack(data), len(data))[:-9], 1 << 26)
    with pytest.raises(ValueError, match="head"):
        open_chunk(memoryview(b"short"), 1 << 26)
    with pytest.raises(ValueError, match="packed by 'rar'"):
        open_chunk(chunk("rar", b"", 0), 1 << 26)


def test_a_bomb_is_refused_before_it_grows(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand chunks of a kilobyte each that all unpack to 4 MB: the sum is bounded, too."""
    monkeypatch.setattr(records, "MAX_UNPACKED_BYTES", 20_000_000)
    inner = HEAD.pack(records.MESSAGE, 4_000_000) + bytes(4_000_000)
    content = bytes(chunk("zstd", zstandard.compress(inner), len(inner)))
    one = HEAD.pack(records.CHUNK, len(content)) + content
    assert len(one) < 2000
    scan = RecordScan(0)
    with pytest.raises(ValueError, match="over the bound"):
        list(records.read_records(memoryview(records.MAGIC + one * 1000), scan))
    assert 16_000_000 < scan.unpacked_bytes <= 20_000_000


def test_a_bomb_of_small_records_is_refused_before_it_grows(monkeypatch: pytest.MonkeyPatch) -> None:
    """A record of no content still takes memory: two million of them pack to ten kilobytes."""
    monkeypatch.setattr(records, "MAX_UNPACKED_BYTES", 20_000_000)
    inner = (HEAD.pack(records.MESSAGE, 22) + bytes(22)) * 200_000
    content = bytes(chunk("zstd", zstandard.compress(inner), len(inner)))
    scan = RecordScan(0)
    with pytest.raises(ValueError, match="more records"):
        list(records.read_records(memoryview(records.MAGIC + HEAD.pack(records.CHUNK, len(content)) + content), scan))


def test_a_part_that_is_missing_is_said_in_the_copy(toy: Any, recorded: tuple[Path, Bundle], tmp_path: Path) -> None:
    """Three parts of the recorded episode, the second lost: replay goes on behind the gap, and says how much."""
    path, bundle = recorded
    whole = read_episode(path)
    steps = [index for index, m in enumerate(whole.messages) if m.topic == "/step"]
    cuts = [0, steps[3] + 1, steps[7] + 1, len(whole.messages)]
    parts = [tmp_path / "episode-x.mcap", tmp_path / "episode-x.part2.mcap", tmp_path / "episode-x.part3.mcap"]
    for number, part in enumerate(parts):
        head = {**whole.metadata, "run_id": "one", "part": str(number + 1)}
        container = Container(part, head)
        for m in whole.messages[cuts[number] : cuts[number + 1]]:
            container.add(m.topic, m.log_ns, m.publish_ns, m.sequence, m.data)
        container.close()
    joined = check(parts[1], bundle)
    assert joined.ok
    assert (joined.steps, joined.skipped) == (12, 0)
    parts[1].unlink()
    report = check(parts[2], bundle)
    assert report.ok, report
    assert (report.steps, report.skipped) == (4 + 3, 1)
    assert "1 step(s) not compared" in str(report)
    recover(parts[0], tmp_path / "copy.mcap")
    copy = read_episode(tmp_path / "copy.mcap")
    assert [event["event"] for event in copy.health()].count("log_resumed") == 1
    again = check(copy, bundle)
    assert (again.ok, again.steps, again.skipped) == (True, 7, 1)
    parts[0].unlink()
    last = check(parts[2], bundle)
    assert (last.ok, last.steps, last.skipped) == (True, 3, 1)


@pytest.mark.parametrize("event", [None, "log_dropped"])
def test_a_day_into_a_run_samples_are_still_counted_right(
    recorded: tuple[Path, Bundle], tmp_path: Path, event: str | None
) -> None:
    """A message holds 32 bits of its first sample's index: 37 hours at 16 kHz fill 31 of them."""
    path, bundle = recorded
    episode, far = read_episode(path), 4000 * 600_000
    moved: list[records.Message] = []
    for m in episode.messages:
        if m.topic == "/step":
            step = messages.decode_json(m.data)
            m = replace(m, data=messages.encode_json({**step, "end_sample": step["end_sample"] + far}))
        moved.append(replace(m, sequence=(m.sequence + far) % 2**32) if m.topic == "/audio" else m)
    if event is not None:
        said = messages.health_dict(1, "error", event, "", {})
        steps = [index for index, m in enumerate(moved) if m.topic == "/step"]
        moved.insert(steps[4] + 1, records.Message("/health", 1, 1, 0, messages.encode_json(said)))
    head = {**episode.metadata, "run_id": "one", "part": "2"}
    rewrite(replace(episode, metadata=head), tmp_path / "episode-x.part2.mcap", lambda _: moved)
    report = check(tmp_path / "episode-x.part2.mcap", bundle)
    assert report.ok, report
    assert (report.steps, report.skipped) == ((11, 1) if event is None else (10, 2))


def test_a_copy_that_was_interrupted_does_not_pass_for_a_whole_one(
    recorded: tuple[Path, Bundle], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, _ = recorded
    add, left = Container.add, iter(range(30))

    def interrupted(self: Container, *given: Any) -> None:
        if next(left, None) is None:
            raise KeyboardInterrupt
        add(self, *given)

    monkeypatch.setattr(Container, "add", interrupted)
    with pytest.raises(KeyboardInterrupt):
        recover(path, tmp_path / "copy.mcap")
    assert list(tmp_path.iterdir()) == []


def test_a_folders_name_is_no_damage(toy: Any, tmp_path: Path) -> None:
    """A disk that was full leaves a part that is cut within its head, whatever words are in its path."""
    folder = tmp_path / "damaged checksums"
    folder.mkdir()
    container = Container(folder / "episode-1.mcap", {**info(toy).metadata(), "run_id": "one", "part": "1"})
    container.close()
    (folder / "episode-1.part2.mcap").write_bytes(records.MAGIC + b"cut")
    assert read_episode(folder / "episode-1.mcap").parts == (folder / "episode-1.mcap",)
