"""What a log holds of steps, frames and sound, by which what the guardian was told can be held against it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from phonotaxis.deploy import messages
from phonotaxis.deploy.clock import NS_PER_S
from phonotaxis.deploy.episode_reader import Episode, SampleIndex, decode
from phonotaxis.deploy.log_thread import LOG_CUT_EVENT, LOG_GAP_EVENTS

GAP_EVENTS = (*LOG_GAP_EVENTS, "log_refused")
_CHANNELS_EVENT = "channels_fault"  # behind it sound is as old as the fault, which is no block's end


@dataclass
class Series:
    """Numbers that a log holds in order, and between which of them it lost records by its own word."""

    known: set[int] = field(default_factory=set)
    _last: float = -math.inf
    _gaps: list[tuple[float, float]] = field(default_factory=list)
    _open: bool = False

    def add(self, number: int) -> None:
        """Take the next number."""
        if self._open:
            self._gaps[-1] = (self._gaps[-1][0], number)
            self._open = False
        self.known.add(number)
        self._last = number

    def lose(self) -> None:
        """Take note that records are missing from here to the next number."""
        if not self._open:
            self._gaps.append((self._last, math.inf))
            self._open = True

    def may_hold(self, number: int) -> bool:
        """Tell whether the log holds a number, or lost records where it would stand."""
        return number in self.known or any(low < number < high for low, high in self._gaps)


class Known:
    """All that an episode holds.

    Attributes:
        steps: their numbers.
        depth_ns: capture times of frames.
        audio_ns: ends of blocks of sound.
        any_audio: an order of channels was at fault, so that sound may be told to be as old as that.
    """

    def __init__(self, episode: Episode) -> None:
        """Go through an episode once.

        Raises:
            ValueError: a message can't be decoded; KeyError or TypeError: likewise.
        """
        self.steps, self.depth_ns, self.audio_ns = Series(), Series(), Series()
        self.any_audio = False
        rate_hz, index = episode.info.robot.sample_rate_hz, SampleIndex()
        for number, message in enumerate(episode.messages):
            if number in episode.breaks:
                self._lose()
            if message.topic == messages.DEPTH_TOPIC:
                self.depth_ns.add(message.publish_ns)
            elif message.topic == messages.AUDIO_TOPIC:
                block = decode(message, index)
                self.audio_ns.add(block.capture_ns + block.samples.shape[1] * NS_PER_S // rate_hz)
            elif message.topic == messages.STEP_TOPIC:
                self.steps.add(int(decode(message, index)["step"]))
            elif message.topic == messages.HEALTH_TOPIC:
                event = decode(message, index)["event"]
                self.any_audio = self.any_audio or event == _CHANNELS_EVENT
                if event in GAP_EVENTS:
                    self._lose()
                elif event in ("log_failed", LOG_CUT_EVENT):
                    self.audio_ns.lose()
        if not episode.scan.complete:
            self.audio_ns.lose()  # as a run arms, a status is logged before the block that it was told of

    def _lose(self) -> None:
        for series in (self.steps, self.depth_ns, self.audio_ns):
            series.lose()
