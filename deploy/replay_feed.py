"""Feeds a log to the code that the robot ran: each logged step with the observation that it must have had."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from phonotaxis.configs.contract import Contract
from phonotaxis.deploy import messages
from phonotaxis.deploy.episode_info import EpisodeError
from phonotaxis.deploy.episode_reader import Episode, SampleIndex, decode
from phonotaxis.deploy.log_thread import LOG_GAP_EVENTS
from phonotaxis.deploy.observation import Due, ObservationBuilder
from phonotaxis.deploy.records import Message
from phonotaxis.deploy.steps import EPISODE_START_EVENT

MOST_WAITING_BYTES = 64_000_000  # of observations without their steps: a robot logs a step right behind its block


@dataclass(frozen=True, eq=False)
class Recomputed:
    """A logged step and what is recomputed for it.

    Attributes:
        logged: the step's fields, as they stand in the log.
        due: when it was due; None where its samples are missing.
        observation: what the policy must have seen; empty where `due` is None.
        gap: the log says itself that it lost records here, so nothing can be recomputed.
    """

    logged: dict[str, Any]
    due: Due | None = None
    observation: dict[str, np.ndarray] = field(default_factory=dict)
    gap: bool = False


def replayed(episode: Episode, contract: Contract | None = None, caution: float | None = None) -> Iterator[Recomputed]:
    """Yield each logged step with what is recomputed for it.

    The messages are fed in the log's order, which is the order in which the robot's loop took them.

    Args:
        episode: what `read_episode` returned.
        contract: of the policy that shall see it; by default of the one that ran.
        caution: where the knob of that policy stands, if it has one; by default where the episode's stood.

    Raises:
        EpisodeError: a message can't be decoded or doesn't fit the robot.
    """
    feed = _Feed(episode, contract or episode.info.contract, episode.info.caution if caution is None else caution)
    for number, message in enumerate(episode.messages):
        if number in episode.breaks:
            feed.lose()
        if message.topic in messages.VIEWER_TOPICS or message.topic not in messages.TOPICS:
            continue
        try:
            value = feed.take(message)
            found = feed.step(value) if message.topic == messages.STEP_TOPIC else None
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
            raise EpisodeError(
                f"{episode.path}: message {number} on {message.topic} can't be used ({error!r})"
            ) from None
        if found is not None:
            yield found


def _first_end_sample(episode: Episode) -> int:
    for message in episode.messages:
        if message.topic == messages.STEP_TOPIC:
            try:
                return int(messages.decode_json(message.data)["end_sample"])
            except (ValueError, KeyError, TypeError, OverflowError):
                break  # the step itself says so when its turn comes
    return 0


class _Feed:
    """A builder fed from a log; after a gap it waits until it knows again all that an observation needs."""

    def __init__(self, episode: Episode, contract: Contract, caution: float) -> None:
        self._info, self._contract, self._caution = episode.info, contract, caution
        self._index = SampleIndex(_first_end_sample(episode))  # a part alone may begin days into a run
        self._begin()
        self._sure = True

    def _begin(self) -> None:
        self._builder = ObservationBuilder(self._contract, self._info.robot, self._info.goal, self._caution)
        contract = self._contract
        each = 4 * (contract.array.mics * contract.window_samples + contract.camera.height * contract.camera.width)
        most = max(4, MOST_WAITING_BYTES // each)
        self._waiting: deque[tuple[Due, dict[str, np.ndarray]]] = deque(maxlen=most)
        self._heard, self._seen, self._allowed, self._placed = 0, False, False, False

    def lose(self) -> None:
        """Begin anew: records are missing here."""
        self._begin()
        self._sure = False

    def take(self, message: Message) -> Any:
        """Feed one message; returns it decoded."""
        value, builder = decode(message, self._index), self._builder
        if message.topic == messages.AUDIO_TOPIC:
            self._heard += value.samples.shape[1]
            self._waiting.extend((due, builder.observe(due)) for due in builder.add_block(value))
        elif message.topic == messages.DEPTH_TOPIC:
            builder.add_frame(value)
            self._seen = True
        elif message.topic == messages.ODOMETRY_TOPIC:
            builder.add_odometry(value)
        elif message.topic == messages.SAFETY_TOPIC:
            builder.set_allowed(float(value["v_mps"]), float(value["w_radps"]))
            self._allowed = True
        elif message.topic == messages.HEALTH_TOPIC and value["event"] == EPISODE_START_EVENT:
            builder.mark_start()
        elif message.topic == messages.HEALTH_TOPIC and value["event"] in LOG_GAP_EVENTS:
            self.lose()
        return value

    def step(self, logged: dict[str, Any]) -> Recomputed:
        """Match a logged step with what was recomputed for it."""
        if not self._sure:
            known = self._heard >= self._contract.window_samples and self._seen and self._allowed
            self._sure = known and self._placed and len(self._waiting) == 1
        if self._sure:
            due, observation = self._waiting.popleft() if self._waiting else (None, {})
            return Recomputed(logged, due, observation)
        self._waiting.clear()
        self._builder.resync(int(logged["step"]), int(logged["end_sample"]))
        self._placed = True
        return Recomputed(logged, gap=True)
