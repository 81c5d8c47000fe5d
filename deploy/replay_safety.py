"""The stage safety of a replay: from what the guardian was told to what the drive got, status by status."""

from __future__ import annotations

import json
from typing import Any

from phonotaxis.configs.robot import RobotConfig
from phonotaxis.deploy import messages
from phonotaxis.deploy.clearance import Ahead, Clearance
from phonotaxis.deploy.episode_info import EpisodeError
from phonotaxis.deploy.episode_reader import Episode, SampleIndex, decode
from phonotaxis.deploy.guardian_trace import MAX_TRACE_BYTES, TRACE_LOST_EVENT
from phonotaxis.deploy.replay_known import GAP_EVENTS, Known
from phonotaxis.deploy.replay_report import SAFETY, Mismatch, Stage
from phonotaxis.deploy.safety import LATER
from phonotaxis.deploy.traced_guardian import RepeatedGuardian

_ODD = (ValueError, KeyError, TypeError, OverflowError, RecursionError, IndexError)
COMPARED = ("v_mps", "w_radps", "reason", "armed", "sequence")
LOSSES = (*GAP_EVENTS, TRACE_LOST_EVENT)  # by which a log itself says that what the guardian was told may be missing
LARGEST_EVENT_BYTES = 2200  # of a trace: `MAX_MOTIONS` motions; events are left for later where the next doesn't fit
SILENT_NS = 2_000_000_000  # a guardian speaks ten times a second, and a run ends when it hasn't for one
CLEARANCE_TOLERANCE_M = 1e-6  # where another numpy or processor may round the reprojection otherwise


class SafetyComparison:
    """Goes through a log's frames, steps, statuses and losses in their order."""

    def __init__(self, robot: RobotConfig, exact: bool, known: Known, traced: bool) -> None:
        """Begin before the first message.

        Args:
            robot: whose guardian it was.
            exact: ask for the same bits of the free way ahead.
            known: what the log holds.
            traced: each status must hold what the guardian was told, unless the log says that it lost some of it.
        """
        self._known, self._traced = known, traced
        self._lost = False  # since the last status
        self._spoke_ns: int | None = None
        self._left, self._left_ns = 0, 0
        self._robot, self._exact = robot, exact
        self._repeated: RepeatedGuardian | None = RepeatedGuardian(robot)
        self._next_event = 0
        self._clearance = Clearance(robot)
        self._aheads: dict[int, Ahead] = {}
        self._steps: dict[int, dict[str, Any]] = {}
        self._last_step = 0
        self._statuses = self._compared = self._odd = 0
        self._note = ""
        self.mismatches: list[Mismatch] = []

    def take(self, topic: str, value: Any) -> None:
        """Take a decoded message."""
        if topic == messages.DEPTH_TOPIC:
            self._aheads[value.capture_ns] = self._clearance.measure(value.depth_m)
        elif topic == messages.STEP_TOPIC:
            self._last_step = int(value["step"])
            self._steps[self._last_step] = value
            self._expect_status(int(value["due_ns"]))
        elif topic == messages.SAFETY_TOPIC:
            self._statuses += 1
            self._spoke_ns = int(value["time_ns"])
            self._status(value)
            self._lost = False
        elif topic == messages.HEALTH_TOPIC and value["event"] in LOSSES:
            self.lose()

    def lose(self) -> None:
        """Take note that the log says here that it lost records."""
        self._lost, self._spoke_ns = True, None

    def _expect_status(self, at_ns: int) -> None:
        """Find that statuses have ended, where the log doesn't say that it lost any."""
        if self._spoke_ns is None:
            self._spoke_ns = at_ns
        if self._traced and at_ns - self._spoke_ns > SILENT_NS:
            self._statuses += 1
            self._compared += 1
            self._differ("safety.trace", "no status for two seconds", "ten a second; the log says of no loss")
            self._spoke_ns = at_ns

    def _differ(self, quantity: str, logged: str, computed: str) -> None:
        self._odd += 1
        self.mismatches.append(Mismatch(self._last_step, quantity, logged, computed))

    def stage(self) -> Stage:
        """Return the result."""
        left = self._statuses - self._compared
        note = f"{left} not recomputed: {self._note}" if left else ""
        return Stage(SAFETY, self._compared, self._odd, note)

    def _status(self, logged: dict[str, Any]) -> None:
        trace = logged.get("trace")
        first = None if trace is None else int(trace["first"])
        if self._repeated is None or trace is None or first != self._next_event:
            self._miss(first)
            return
        differences: list[tuple[str, str, str]] = []
        for event in trace["events"]:
            self._next_event += 1
            differences += self._order(event)
            if len(event) > 1:
                differences += self._told(event[1])
            self._repeated.take(event)
        if trace["left"]:
            self._note = "they are older than what the guardian had been told by then"
            differences += self._leave(trace, int(logged["time_ns"]))
            self._compared += bool(differences)
        else:
            if self._repeated.guardian is None:
                raise ValueError("a guardian's trace without its beginning")
            self._compared += 1
            computed = self._repeated.guardian.status(int(logged["time_ns"]))
            differences += [
                (key, str(logged[key]), str(computed[key])) for key in COMPARED if logged[key] != computed[key]
            ]
        if differences:
            key, theirs, ours = differences[0]
            self._differ(f"safety.{key}", theirs, ours)

    def _miss(self, first: int | None) -> None:
        """Give up, as the guardian's memory is unknown from here on: a difference where the log doesn't say why."""
        if self._repeated is not None and self._traced and not self._lost:
            self._compared += 1
            theirs = "no trace" if first is None else f"a trace from event {first} on"
            self._differ("safety.trace", theirs, f"one from event {self._next_event} on; the log says of no loss")
        self._repeated = None
        if first is None:
            self._note = self._note or "the log doesn't hold what the guardian was told"
        else:
            self._note = "the log lost what the guardian was told"

    def _leave(self, trace: dict[str, Any], at_ns: int) -> list[tuple[str, str, str]]:
        """Remember how many events a status left for later ones: nothing but a full packet makes a guardian do so."""
        self._left, self._left_ns = int(trace["left"]), at_ns
        size = len(json.dumps(trace["events"], separators=(",", ":")))
        if not self._traced or size > MAX_TRACE_BYTES - LARGEST_EVENT_BYTES:
            return []
        return [("trace", f"{self._left} event(s) left for later", f"these in it: it holds {size} bytes of events")]

    def _order(self, event: list[Any]) -> list[tuple[str, str, str]]:
        """Find that an event is later than a status which left it for later."""
        if self._left <= 0:
            return []
        self._left -= 1
        if int(event[0]) <= self._left_ns:
            return []
        return [("trace", f"an event of {event[0]} left by a status", f"none later than it, of {self._left_ns}")]

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
        if depth_ns in self._aheads:
            for name, ours in self._aheads[depth_ns]._asdict().items():
                theirs = message.get(name, ours) if name in LATER else message[name]  # older logs lack them
                odd += [] if self._same_way(ours, theirs) else [(name, str(theirs), str(ours))]
        elif depth_ns is not None:
            odd += self._unknown("depth_ns", "depth_ns", int(depth_ns))
        return odd

    def _unknown(self, series: str, quantity: str, number: int) -> list[tuple[str, str, str]]:
        """Name what the guardian was told of and the log holds nowhere, unless it lost records there."""
        if getattr(self._known, series).may_hold(number):
            return []
        return [(quantity, str(number), "nothing of that: the log holds no such record, and lost none there")]

    def _same_way(self, ours: float | None, theirs: float | None) -> bool:
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
    comparison = SafetyComparison(episode.info.robot, exact, known, traced=episode.info.kind == "robot")
    index = SampleIndex()
    wanted = (messages.DEPTH_TOPIC, messages.STEP_TOPIC, messages.SAFETY_TOPIC, messages.HEALTH_TOPIC)
    for number, message in enumerate(episode.messages):
        if number in episode.breaks:
            comparison.lose()
        if message.topic not in wanted:
            continue
        try:
            comparison.take(message.topic, decode(message, index))
        except _ODD as error:
            raise EpisodeError(
                f"{episode.path}: message {number} on {message.topic} can't be used ({error!r})"
            ) from None
    return comparison.stage(), comparison.mismatches
