"""Reads an episode, whole or cut: its facts, and its messages in the order in which they happened."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from phonotaxis.configs.base import ConfigError
from phonotaxis.configs.contract import Contract
from phonotaxis.configs.robot import robot_from_json
from phonotaxis.deploy import messages, records
from phonotaxis.deploy.container import METADATA_NAME
from phonotaxis.deploy.devices import AudioBlock, DepthFrame, OdometrySample
from phonotaxis.deploy.episode_info import FORMAT_VERSION, EpisodeError, EpisodeInfo
from phonotaxis.deploy.records import Message, RecordScan
from phonotaxis.deploy.retention import parts_of, split_name

NO_END = "the log holds no end of the run: its last part is missing, or cut within its head"


class DamagedError(EpisodeError):
    """An episode's file that was damaged or altered, not merely cut."""


@dataclass(frozen=True, eq=False)
class Episode:
    """An episode that was read.

    Attributes:
        path: of the file.
        info: what it says about itself.
        metadata: the texts behind `info`, and further ones (versions, start, privacy).
        messages: in the order in which they were written, of all parts.
        scan: whether the file is whole, and where it ends if not; of the last part.
        parts: the files that were read, in order.
        breaks: indices of messages before which a part, or a part's end, is missing.
    """

    path: Path
    info: EpisodeInfo
    metadata: dict[str, str]
    messages: list[Message]
    scan: RecordScan
    parts: tuple[Path, ...] = ()
    breaks: frozenset[int] = frozenset()

    def steps(self) -> list[dict[str, Any]]:
        """Return the step messages' fields, in order."""
        return self._objects(messages.STEP_TOPIC)

    def safety(self) -> list[dict[str, Any]]:
        """Return what safety let through, in order."""
        return self._objects(messages.SAFETY_TOPIC)

    def health(self) -> list[dict[str, Any]]:
        """Return the health events, in order."""
        return self._objects(messages.HEALTH_TOPIC)

    def _objects(self, topic: str) -> list[dict[str, Any]]:
        try:
            return [messages.decode_json(m.data) for m in self.messages if m.topic == topic]
        except ValueError as error:
            raise EpisodeError(f"{self.path}: a message on {topic} can't be used ({error}); use another copy") from None

    def audio(self) -> Iterator[AudioBlock]:
        """Yield the raw blocks."""
        yield from (block for _, block in self._sensed(messages.AUDIO_TOPIC))

    def depth(self) -> Iterator[DepthFrame]:
        """Yield the frames of the robot's own camera."""
        yield from (frame for _, frame in self._sensed(messages.DEPTH_TOPIC))

    def odometry(self) -> list[OdometrySample]:
        """Return the motions, in order."""
        return [sample for _, sample in self._sensed(messages.ODOMETRY_TOPIC)]

    def _sensed(self, topic: str) -> Iterator[tuple[Message, Any]]:
        index = SampleIndex()
        for message in self.messages:
            if message.topic == topic:
                try:
                    value = decode(message, index)
                except (ValueError, KeyError, TypeError, OverflowError) as error:
                    text = f"{self.path}: a message on {topic} can't be used ({error!r}); use another copy"
                    raise EpisodeError(text) from None
                yield message, value

    def _ends(self) -> bool:
        """Tell whether a run on a robot says how it ended; whole files that don't are not all of it."""
        events = (str(event.get("event")) for event in self.health())
        return any(event.startswith("ended_") or event == "log_failed" for event in events)

    def what_is_lost(self) -> str:
        """Say in one sentence what a cut or missing file lacks; empty for a whole episode."""
        gaps = f"{len(self.breaks)} gap(s) between its parts: files are missing or cut" if self.breaks else ""
        if self.scan.complete:
            no_end = "" if self.info.kind != "robot" or self._ends() else NO_END
            return "; ".join(text for text in (gaps, no_end) if text)
        last_ns = max((m.log_ns for m in self.messages), default=0)
        first_ns = min((m.log_ns for m in self.messages), default=0)
        lost = self.scan.size_bytes - self.scan.whole_bytes
        return (
            f"the file was not closed in order: {len(self.messages)} messages over "
            f"{(last_ns - first_ns) * 1e-9:.2f} s are there, {lost} byte(s) at its end are no whole record"
            + (f" ({self.scan.fault})" if self.scan.fault else "")
            + (f"; {gaps}" if gaps else "")
        )


class SampleIndex:
    """Unwraps an audio message's 32-bit sequence number to the index of its first sample.

    Args:
        near: an index within 2^31 samples of the first message's.
    """

    def __init__(self, near: int = 0) -> None:
        self._last = near

    def unwrap(self, sequence: int) -> int:
        """Return the index nearest to the last one that has these 32 bits."""
        step = (sequence - self._last) & 0xFFFFFFFF
        self._last += step - (1 << 32) if step >= 1 << 31 else step
        return self._last


def decode(message: Message, index: SampleIndex) -> Any:
    """Decode a message of one of the sensors' topics, or a JSON one.

    Args:
        message: of an episode.
        index: one for the whole episode, used for audio.

    Returns:
        AudioBlock, DepthFrame, OdometrySample, or the fields of a JSON message.

    Raises:
        ValueError: not decodable.
    """
    if message.topic == messages.AUDIO_TOPIC:
        return messages.decode_audio(message.data, index.unwrap(message.sequence), message.publish_ns)
    if message.topic == messages.DEPTH_TOPIC:
        return messages.decode_depth(message.data, message.publish_ns)
    if message.topic == messages.ODOMETRY_TOPIC:
        return messages.decode_odometry(message.data)
    return messages.decode_json(message.data)


def read_episode(path: str | Path, join: bool = True) -> Episode:
    """Read an episode as far as it goes.

    Args:
        path: of its file, or of any of its parts.
        join: take the other parts that lie beside it, too.

    Raises:
        EpisodeError: missing, empty, not an episode, altered without repairing its checksum, or of a newer
            format.
    """
    one = _read_file(Path(path))
    run_id = one.metadata.get("run_id")
    if not join or run_id is None:
        return replace(one, breaks=_break_at_start(one))
    others = (one if part == one.path else _other(part) for part in parts_of(one.path))
    return _joined([part for part in others if part is not None and part.metadata.get("run_id") == run_id])


def _other(path: Path) -> Episode | None:
    """Read a further part; None for one that is cut within its head, a disk that was full leaves such."""
    try:
        return _read_file(path)
    except DamagedError:
        raise
    except EpisodeError:
        return None


def _break_at_start(part: Episode) -> frozenset[int]:
    return frozenset() if part.metadata.get("part", "1") == "1" else frozenset((0,))


def _joined(parts: list[Episode]) -> Episode:
    found: list[Message] = []
    breaks = set(_break_at_start(parts[0]))
    for before, part in zip([None, *parts], parts):
        if before is not None:
            follows = split_name(part.path)[1] == split_name(before.path)[1] + 1
            if not (before.scan.complete and follows):
                breaks.add(len(found))
        found += part.messages
    return replace(
        parts[0],
        messages=found,
        scan=parts[-1].scan,
        parts=tuple(part.path for part in parts),
        breaks=frozenset(index for index in breaks if index < len(found)),
    )


def _read_file(path: Path) -> Episode:
    try:
        data = records.map_file(path)
    except OSError as error:
        raise EpisodeError(f"{path}: can't be read ({error.strerror or error})") from None
    if bytes(data[: len(records.MAGIC)]) != records.MAGIC:
        what = "is empty" if not data else "is not an MCAP file"
        raise EpisodeError(f"{path}: {what}; expected an episode that `phonotaxis run` wrote")
    scan = RecordScan(size_bytes=len(data))
    try:
        metadata, found = _collect(data, scan)
    except ValueError as error:
        raise DamagedError(f"{path}: damaged near byte {scan.whole_bytes} ({error}); use another copy") from None
    if scan.checksum_ok is False:
        raise DamagedError(f"{path}: its checksum doesn't match: the file was damaged or altered; use another copy")
    if metadata is None:
        raise EpisodeError(f"{path}: no episode's metadata in it: another program's file, or cut within its head")
    return Episode(path, _info(path, metadata), metadata, found, scan, (path,))


def _collect(data: memoryview, scan: RecordScan) -> tuple[dict[str, str] | None, list[Message]]:
    metadata: dict[str, str] | None = None
    topics: dict[int, str] = {}
    found: list[Message] = []
    for opcode, content in records.read_records(data, scan):
        if opcode == records.METADATA:
            name, values = records.parse_metadata(content)
            metadata = values if name == METADATA_NAME else metadata
        elif opcode == records.CHANNEL:
            number, topic = records.parse_channel(content)
            topics[number] = topic
        elif opcode == records.MESSAGE:
            found.append(records.parse_message(content, topics))
    return metadata, found


def _info(path: Path, metadata: dict[str, str]) -> EpisodeInfo:
    version = metadata.get("format_version")
    if version != str(FORMAT_VERSION):
        raise EpisodeError(f"{path}: episode format {version}, this phonotaxis reads {FORMAT_VERSION}; update it")
    try:
        goal = np.frombuffer(base64.b64decode(metadata["goal_float32_base64"]), dtype="<f4").astype(np.float32)
        return EpisodeInfo(
            kind=metadata["kind"],
            contract=Contract.from_json(metadata["contract"], str(path)),
            robot=robot_from_json(metadata["robot"], str(path)),
            bundle_sha256=metadata["bundle_sha256"],
            engine=_facts(metadata["engine"]),
            provenance=_facts(metadata["provenance"]),
            goal=goal if goal.size else None,
            extra=_facts(metadata["extra"]),
            caution=_caution(metadata.get("caution", "0")),
        )
    except ConfigError as error:
        raise EpisodeError(str(error)) from None
    except (KeyError, ValueError, RecursionError) as error:
        raise EpisodeError(f"{path}: its metadata are incomplete or odd ({error!r}); use another copy") from None


def _caution(text: str) -> float:
    """Read where the knob stood; episodes that were recorded before there was one say nothing."""
    value = float(text)
    if not 0.0 <= value <= 1.0:
        raise ValueError(f"a caution of {value}")
    return value


def _facts(text: str) -> dict[str, Any]:
    value = json.loads(text)
    if not isinstance(value, dict):
        raise ValueError(f"expected a JSON object, got {type(value).__name__}")
    return value
