"""Writes whole copies of episodes: of what a crash left, of several parts, compressed for keeping."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from phonotaxis.deploy import messages
from phonotaxis.deploy.container import Container
from phonotaxis.deploy.episode_info import EpisodeError
from phonotaxis.deploy.episode_reader import Episode, read_episode
from phonotaxis.deploy.log_thread import LOG_CUT_EVENT, LOG_GAP_EVENTS
from phonotaxis.deploy.records import Message


@dataclass(frozen=True)
class Recovered:
    """What a copy holds.

    Attributes:
        messages: written.
        steps: of the policy, among them.
        parts: files that were read.
        lost: what the original lacked, in words; empty if it was whole.
        bytes: size of the copy.
    """

    messages: int
    steps: int
    parts: int
    lost: str
    bytes: int


def rewrite(
    source: Episode,
    target: Path,
    change: Callable[[list[Message]], list[Message]] = lambda found: found,
    compress: bool = False,
) -> None:
    """Write a copy of an episode, one file closed in order, its checksums computed anew.

    Args:
        source: what to copy.
        target: must not exist.
        change: gets the messages and returns those of the copy.
        compress: in chunks, by Zstandard.

    Raises:
        OSError: the copy can't be written. Nothing is left of it, nor after Ctrl-C or an error of `change`.
    """
    container = Container(target, source.metadata, compress)
    try:
        try:
            for message in change(source.messages):
                container.add(message.topic, message.log_ns, message.publish_ns, message.sequence, message.data)
        finally:
            container.close()
    except BaseException:  # Ctrl-C, too: half a copy that is closed in order would pass for a whole one
        with contextlib.suppress(OSError):
            target.unlink()
        raise


def recover(source: Path, target: Path, compress: bool = False) -> Recovered:
    """Write a whole copy of an episode, up to the last whole record of each of its files.

    Where a part is missing the copy says so by an event, behind which a replay begins anew; and where the original was
    cut it ends with one, since a copy is whole and what was on its way at the cut is missing all the same.

    Args:
        source: the episode, or any part of it.
        target: the copy; must not exist.
        compress: in chunks, by Zstandard.

    Raises:
        EpisodeError: not an episode, nothing of it is whole, or the target exists.
        OSError: the copy can't be written.
    """
    episode = read_episode(source)
    copied = [message for message in _with_gaps(episode) if message.topic in messages.TOPICS]
    head = {key: value for key, value in episode.metadata.items() if key not in ("run_id", "part")}
    plain = Episode(episode.path, episode.info, head, copied, episode.scan)
    try:
        rewrite(plain, target, compress=compress)
    except FileExistsError:
        raise EpisodeError(f"{target}: exists already; give another name") from None
    steps = sum(message.topic == messages.STEP_TOPIC for message in copied)
    return Recovered(len(copied), steps, len(episode.parts), episode.what_is_lost(), target.stat().st_size)


def _with_gaps(episode: Episode) -> list[Message]:
    found: list[Message] = []
    for index, message in enumerate(episode.messages):
        if index in episode.breaks and not any(event.encode() in message.data for event in LOG_GAP_EVENTS):
            found.append(_said(message, "log_resumed", "a part of the episode, or its end, is missing here"))
        found.append(message)
    if found and not episode.scan.complete:
        found.append(_said(found[-1], LOG_CUT_EVENT, "the file that this is a copy of was cut here"))
    return found


def _said(beside: Message, name: str, text: str) -> Message:
    at_ns = beside.log_ns
    event = messages.health_dict(at_ns, "error", name, text, {})
    return Message(messages.HEALTH_TOPIC, at_ns, at_ns, 0, messages.encode_json(event))
