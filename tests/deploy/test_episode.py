from __future__ import annotations

import errno
import os
import shutil
import stat
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from foxglove.messages import RawAudio, RawImage
from mcap.reader import make_reader

from phonotaxis.configs.robot import simulated_robot
from phonotaxis.deploy.container import Container
from phonotaxis.deploy.devices import AudioBlock, DepthFrame, OdometrySample
from phonotaxis.deploy.episode import EpisodeError, EpisodeInfo, EpisodeWriter, episode_path, prune_episodes
from phonotaxis.deploy.episode_reader import SampleIndex, read_episode
from phonotaxis.deploy.replay import check
from phonotaxis.deploy.rollout import write_rollout
from phonotaxis.export.bundle import Bundle
from phonotaxis.export.engines import open_engine

STEPS = 12


def test_a_rollout_reads_back_and_replays_bit_for_bit(recorded: tuple[Path, Bundle]) -> None:
    path, bundle = recorded
    episode = read_episode(path)
    assert episode.scan.complete
    assert episode.scan.checksum_ok
    assert episode.what_is_lost() == ""
    assert episode.info.kind == "rollout"
    assert episode.info.extra == {"scene": "hall", "seed": 3}
    assert episode.info.bundle_sha256 == bundle.sha256
    assert episode.info.contract == bundle.contract
    report = check(path, bundle)
    assert report.ok, report
    assert (report.steps, report.same_engine, report.largest_difference) == (STEPS, True, 0.0)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_mcap_library_and_foxgloves_schemas_read_it(recorded: tuple[Path, Bundle]) -> None:
    with recorded[0].open("rb") as file:
        reader = make_reader(file, validate_crcs=True)
        found = list(reader.iter_messages(log_time_order=False))
        summary = reader.get_summary()
    assert summary is not None
    assert summary.statistics is not None
    assert summary.statistics.message_count == len(found)
    schemas = {channel.topic: schema for schema, channel, _ in found}
    assert schemas["/audio"].name == "foxglove.RawAudio"
    assert schemas["/audio"].data == RawAudio.get_schema().data
    assert schemas["/depth"].data == RawImage.get_schema().data
    assert schemas["/step"].encoding == "jsonschema"
    audio = [message for _, channel, message in found if channel.topic == "/audio"]
    assert [message.sequence for message in audio] == [4000 * n for n in range(STEPS)]


def test_our_reader_agrees_with_the_library_on_every_message(recorded: tuple[Path, Bundle]) -> None:
    with recorded[0].open("rb") as file:
        theirs = [
            (channel.topic, m.log_time, m.publish_time, m.sequence, m.data)
            for _, channel, m in make_reader(file).iter_messages(log_time_order=False)
        ]
    ours = [(m.topic, m.log_ns, m.publish_ns, m.sequence, m.data) for m in read_episode(recorded[0]).messages]
    assert ours == theirs


def test_cut_at_any_byte_it_yields_what_came_before(recorded: tuple[Path, Bundle], tmp_path: Path) -> None:
    path, bundle = recorded
    whole = path.read_bytes()
    full = read_episode(path).messages
    rng = np.random.default_rng(1)
    for cut in (*rng.integers(0, len(whole), 50), len(whole) - 1, len(whole) - 30):
        part = tmp_path / f"cut-{cut}.mcap"
        part.write_bytes(whole[:cut])
        try:
            episode = read_episode(part)
        except EpisodeError as error:
            assert cut < 6000, error  # within the head, before the first message  # noqa: PT017
            continue
        count = len(episode.messages)
        assert [(m.topic, m.data) for m in episode.messages] == [(m.topic, m.data) for m in full[:count]]
        assert not episode.scan.complete
        assert "not closed in order" in episode.what_is_lost()
        # nothing whole is left out: the next record would have run past the cut
        assert count == len(full) or episode.scan.whole_bytes + 31 + len(full[count].data) > cut
        report = check(episode, bundle)
        assert report.mismatches == ()
        assert report.steps == len(episode.steps())


@pytest.mark.parametrize(
    ("content", "what"),
    [(b"", "is empty"), (b"RIFF" * 99, "is not an MCAP file"), (b"\x89MCAP0\r\n", "no episode's metadata")],
)
def test_what_is_no_episode_is_refused(tmp_path: Path, content: bytes, what: str) -> None:
    path = tmp_path / "odd.mcap"
    path.write_bytes(content)
    with pytest.raises(EpisodeError, match=what):
        read_episode(path)
    with pytest.raises(EpisodeError, match="can't be read"):
        read_episode(tmp_path / "absent.mcap")


def test_a_flipped_byte_is_found_by_the_checksum(recorded: tuple[Path, Bundle], tmp_path: Path) -> None:
    data = bytearray(recorded[0].read_bytes())
    data[len(data) // 2] ^= 1
    path = tmp_path / "flipped.mcap"
    path.write_bytes(data)
    with pytest.raises(EpisodeError, match="checksum doesn't match"):
        read_episode(path)


def test_audio_that_is_not_16_bit_can_not_be_written(toy: Any, recorded: Any, tmp_path: Path) -> None:
    _, bundle = recorded
    engine = open_engine(bundle)
    (step, *_) = toy.rollout(bundle.contract, engine)
    step.observation["audio"] += np.float32(1e-6)
    with pytest.raises(ValueError, match="16-bit"):
        write_rollout(tmp_path / "bad.mcap", bundle, engine.fingerprint, [step])


def _info(toy: Any) -> EpisodeInfo:
    contract = toy.contract()
    return EpisodeInfo("robot", contract, simulated_robot(contract.array, contract.camera, "none"), "0" * 64, {})


def test_the_writer_keeps_the_order_and_every_bit(toy: Any, tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    writer = EpisodeWriter(tmp_path / "a.mcap", _info(toy))
    start = 2**32 - 500
    blocks = [
        AudioBlock(rng.integers(-32768, 32768, (6, 800)).astype(np.int16), start + 800 * n, 10**9 + n) for n in range(5)
    ]
    depth = rng.uniform(0, 10, (32, 32)).astype(np.float32)
    motion = OdometrySample(0.1, -1 / 3, 1e-300, True, 77)
    for block in blocks:
        writer.audio(block, 5)
        writer.depth(DepthFrame(depth, 42), 6)
        writer.odometry(motion, 7)
    writer.close()
    assert writer.failure is None
    episode = read_episode(tmp_path / "a.mcap")
    assert [m.topic for m in episode.messages] == ["/audio", "/depth", "/odometry"] * 5
    for block, read in zip(blocks, episode.audio()):
        assert np.array_equal(block.samples, read.samples)
        assert (read.first_sample - block.first_sample) % 2**32 == 0
        assert read.capture_ns == block.capture_ns
    firsts = [block.first_sample for block in episode.audio()]
    assert np.diff(firsts).tolist() == [800] * 4  # past the 32 bits of the sequence number
    assert all(frame.depth_m.tobytes() == depth.tobytes() for frame in episode.depth())
    assert episode.odometry() == [motion] * 5


def test_a_sample_index_runs_on_past_32_bits_and_back() -> None:
    index = SampleIndex()
    firsts = [0, 800, 2**31 - 1, 2**32 - 5, 2**32 + 795, 2**32 + 100, 100]
    assert [index.unwrap(first & 0xFFFFFFFF) for first in firsts[:6]] == firsts[:6]


def test_an_existing_file_is_not_overwritten(toy: Any, tmp_path: Path) -> None:
    path = tmp_path / "a.mcap"
    path.write_bytes(b"precious")
    with pytest.raises(FileExistsError):
        EpisodeWriter(path, _info(toy))
    assert path.read_bytes() == b"precious"


def test_a_disk_that_fills_up_leaves_whole_records_and_a_reason(
    toy: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk of 200 kB: writes beyond it are cut short as the kernel does, and then fail."""
    room, write = [200_000], os.write

    def scarce(descriptor: int, data: Any) -> int:
        if room[0] == 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        done = write(descriptor, bytes(data)[: room[0]])
        room[0] -= done
        return done

    truncate = os.ftruncate

    def free(descriptor: int, size: int) -> None:
        room[0] += os.fstat(descriptor).st_size - size
        truncate(descriptor, size)

    writer = EpisodeWriter(tmp_path / "full.mcap", _info(toy))
    monkeypatch.setattr(os, "write", scarce)
    monkeypatch.setattr(os, "ftruncate", free)
    for n in range(60):
        writer.audio(AudioBlock(np.full((6, 800), n, dtype=np.int16), 800 * n, n), n)
    writer._log._thread.join(10)
    monkeypatch.undo()
    assert writer.failure is not None
    assert "free space" in writer.failure
    episode = read_episode(tmp_path / "full.mcap")
    blocks = list(episode.audio())
    assert 15 < len(blocks) < 25
    assert all((block.samples == n).all() for n, block in enumerate(blocks))
    assert episode.health()[-1]["event"] == "log_failed"
    assert not episode.scan.complete


@pytest.mark.skipif(os.getuid() != 0 or shutil.which("mount") is None, reason="mounting a small disk needs root")
def test_a_really_full_disk(toy: Any, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("this machine lets nobody mount a tmpfs")
    try:
        writer = EpisodeWriter(disk / "full.mcap", _info(toy))
        for n in range(60):
            writer.audio(AudioBlock(np.full((6, 800), n, dtype=np.int16), 800 * n, n), n)
        writer.close()
        assert writer.failure is not None
        assert "No space left" in writer.failure
        assert len(list(read_episode(disk / "full.mcap").audio())) > 15
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_old_episodes_make_room(tmp_path: Path) -> None:
    for n in range(5):
        (tmp_path / f"episode-2026010{n}T000000Z.mcap").write_bytes(b"x")
        os.utime(tmp_path / f"episode-2026010{n}T000000Z.mcap", (n, n))
    (tmp_path / "mine.mcap").write_bytes(b"kept: not of our naming")
    deleted = prune_episodes(tmp_path, keep=2)
    assert sorted(path.name[14:16] for path in deleted) == ["00", "01", "02"]
    assert len(list(tmp_path.glob("episode-*.mcap"))) == 2
    assert (tmp_path / "mine.mcap").exists()


def test_two_episodes_of_one_second_have_two_names(tmp_path: Path) -> None:
    first = episode_path(tmp_path)
    first.write_bytes(b"x")
    assert episode_path(tmp_path) != first


def test_a_container_that_can_not_be_closed_says_so(toy: Any, tmp_path: Path) -> None:
    container = Container(tmp_path / "a.mcap", _info(toy).metadata())
    os.unlink(tmp_path / "a.mcap")
    with pytest.raises(FileNotFoundError, match="deleted or moved"):
        container.file.check_exists()
    container.close()
