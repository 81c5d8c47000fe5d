"""The stage safety of a replay: from what the guardian was told to what the drive got, status by status."""

from __future__ import annotations

from typing import Any

from phonotaxis.configs.robot import RobotConfig
from phonotaxis.deploy import messages
from phonotaxis.deploy.clearance import Clearance
from phonotaxis.deploy.episode_info import EpisodeError
from phonotaxis.deploy.episode_reader import Episode, SampleIndex, decode
from phonotaxis.deploy.replay_known import Known
from phonotaxis.deploy.replay_report import SAFETY, Mismatch, Stage
from phonotaxis.deploy.traced_guardian import RepeatedGuardian

_ODD = (ValueError, KeyError, TypeError, OverflowError, RecursionError, IndexError)
COMPARED = ("v_mps", "w_radps", "reason", "armed", "sequence")
CLEARANCE_TOLERANCE_M = 1e-6  # where another numpy or processor may round the reprojection otherwise


class SafetyComparison:
    """Goes through a log's frames, steps and statuses in their order."""

    def __init__(self, robot: RobotConfig, exact: bool, known: Known) -> None:
        self._known = known
        self._robot, self._exact = robot, exact
        self._repeated: RepeatedGuardian | None = RepeatedGuardian(robot)
        self._next_event = 0
        self._clearance = Clearance(robot)
        self._clearances: dict[int, float | None] = {}
        self._steps: dict[int, dict[str, Any]] = {}
        self._last_step = 0
        self._statuses = self._compared = self._odd = 0
        self._note = ""
        self.mismatches: list[Mismatch] = []

    def take(self, topic: str, value: Any) -> None:
        """Take a decoded message."""
        if topic == messages.DEPTH_TOPIC:
            self._clearances[value.capture_ns] = self._clearance(value.depth_m)
        elif topic == messages.STEP_TOPIC:
            self._last_step = int(value["step"])
            self._steps[self._last_step] = value
        elif topic == messages.SAFETY_TOPIC:
            self._statuses += 1
            self._status(value)

    def stage(self) -> Stage:
        """Return the result."""
        left = self._statuses - self._compared
        note = f"{left} not recomputed: {self._note}" if left else ""
        return Stage(SAFETY, self._compared, self._odd, note)

    def _status(self, logged: dict[str, Any]) -> None:
        trace = logged.get("trace")
        if trace is None:
            self._note = self._note or "the log doesn't hold what the guardian was told"
            return
        if self._repeated is None or int(trace["first"]) != self._next_event:
            self._repeated = None  # its memory is unknown from here on
            self._note = "the log lost what the guardian was told"
            return
        differences: list[tuple[str, str, str]] = []
        for event in trace["events"]:
            self._next_event += 1
            if len(event) > 1:
                differences += self._told(event[1])
            self._repeated.take(event)
        if trace["left"]:
            self._note = "they are older than what the guardian had been told by then"
            return
        if self._repeated.guardian is None:
            raise ValueError("a guardian's trace without its beginning")
        self._compared += 1
        computed = self._repeated.guardian.status(int(logged["time_ns"]))
        differences += [(key, str(logged[key]), str(computed[key])) for key in COMPARED if logged[key] != computed[key]]
        if differences:
            self._odd += 1
            key, theirs, ours = differences[0]
            self.mismatches.append(Mismatch(self._last_step, f"safety.{key}", theirs, ours))

    def _told(self, message: dict[str, Any]) -> list[tuple[str, str, str]]:
        """Compare what the guardian was told with the log's own frames and steps."""
        if message["type"] == "command":
            step = self._steps.get(int(message["sequence"]))
            if step is None:
                return self._unknown("steps", "command_sequence", int(message["sequence"]))
            keys = ("v_mps", "w_radps", "due_ns")
            return [(f"command_{k}", str(message[k]), str(step[k])) for k in keys if message[k] != step[k]]
        if message["type"] == "sensors":
            return self._told_sensors(message)
        return []

    def _told_sensors(self, message: dict[str, Any]) -> list[tuple[str, str, str]]:
        depth_ns, audio_ns = message["depth_ns"], message["audio_ns"]
        odd: list[tuple[str, str, str]] = []
        if audio_ns is not None and not self._known.any_audio:
            odd += self._unknown("audio_ns", "audio_ns", int(audio_ns))
        if depth_ns in self._clearances:
            ours, theirs = self._clearances[depth_ns], message["clearance_m"]
            odd += [] if self._same_clearance(ours, theirs) else [("clearance_m", str(theirs), str(ours))]
        elif depth_ns is not None:
            odd += self._unknown("depth_ns", "depth_ns", int(depth_ns))
        return odd

    def _unknown(self, series: str, quantity: str, number: int) -> list[tuple[str, str, str]]:
        """Name what the guardian was told of and the log holds nowhere, unless it lost records there."""
        if getattr(self._known, series).may_hold(number):
            return []
        return [(quantity, str(number), "nothing of that: the log holds no such record, and lost none there")]

    def _same_clearance(self, ours: float | None, theirs: float | None) -> bool:
        if ours is None or theirs is None or self._exact:
            return ours == theirs
        return abs(ours - theirs) <= CLEARANCE_TOLERANCE_M


def check_safety(episode: Episode, exact: bool) -> tuple[Stage, list[Mismatch]]:
    """Recompute what the drive got, from what the guardian was told.

    Args:
        episode: what `read_episode` returned.
        exact: ask for the same bits of the free way ahead; else `CLEARANCE_TOLERANCE_M`.

    Raises:
        EpisodeError: a message can't be decoded.
    """
    try:
        known = Known(episode)
    except _ODD as error:
        raise EpisodeError(f"{episode.path}: a message can't be used ({error!r}); use another copy") from None
    comparison, index = SafetyComparison(episode.info.robot, exact, known), SampleIndex()
    wanted = (messages.DEPTH_TOPIC, messages.STEP_TOPIC, messages.SAFETY_TOPIC)
    for number, message in enumerate(episode.messages):
        if message.topic not in wanted:
            continue
        try:
            comparison.take(message.topic, decode(message, index))
        except _ODD as error:
            raise EpisodeError(
                f"{episode.path}: message {number} on {message.topic} can't be used ({error!r})"
            ) from None
    return comparison.stage(), comparison.mismatches
