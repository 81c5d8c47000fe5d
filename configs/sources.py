"""Sources of sound in an episode: the goal, when it can be heard, and what else plays."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from phonotaxis.configs.base import Frozen
from phonotaxis.configs.source_directivity import OmnidirectionalSource, SourceDirectivities

MAX_DISTRACTORS = 7
MAX_LEVEL_DB = 60.0  # of a distractor against the goal: beyond that one of them can't be heard at all
WAYPOINT_M = 1.0


class Sources(Frozen):
    """What plays in an episode. As it stands by default: the goal alone, in a loop without an end.

    Attributes:
        plays: "loop" goes on and on; "once" ends with the recording, which begins with the episode.
        starts_after_s: the goal is silent for so long, drawn from this range; seconds. It ends before an episode must.
        stops_after_s: the goal falls silent after so long since the episode began, drawn from this range, as a
            telephone does; None goes on.
        distractors: how many other sources play all the time.
        distractor_level_db: their level against the goal's, drawn from this range, dB; -60 to 60.
        distractor_kinds: kinds of sound that they are drawn from; all but the goal's where it is empty.
        goal_kinds: kinds of sound that the goal is drawn from; all where it is empty.
        goal_speed_mps: the goal walks to and fro between its place and another of the scene; 0 stands still. Its
            distance is that of the nearest way-point, which are at most `WAYPOINT_M` apart.
        distractor_speed_mps: likewise of distractors.
        directivity: how sources radiate, see `configs.source_directivity`; of several, each place of a scene has one,
            drawn as its heading is. What walks looks ahead.
    """

    plays: Literal["loop", "once"] = "loop"
    starts_after_s: tuple[float, float] = (0.0, 0.0)
    stops_after_s: tuple[float, float] | None = None
    distractors: int = Field(default=0, ge=0, le=MAX_DISTRACTORS)
    distractor_level_db: tuple[float, float] = (-10.0, 0.0)
    distractor_kinds: tuple[str, ...] = ()
    goal_kinds: tuple[str, ...] = ()
    goal_speed_mps: float = Field(default=0.0, ge=0.0, le=3.0)
    distractor_speed_mps: float = Field(default=0.0, ge=0.0, le=3.0)
    directivity: SourceDirectivities = (OmnidirectionalSource(),)

    @model_validator(mode="after")
    def _ordered(self) -> Sources:
        for name in ("starts_after_s", "stops_after_s", "distractor_level_db"):
            pair = getattr(self, name)
            if pair is not None and pair[0] > pair[1]:
                raise ValueError(f"{name}: the lower end {pair[0]:g} exceeds the upper end {pair[1]:g}")
        if self.starts_after_s[0] < 0.0:
            raise ValueError(f"starts_after_s must be at least 0, got {self.starts_after_s[0]:g}")
        if self.stops_after_s is not None and self.stops_after_s[0] < self.starts_after_s[1]:
            raise ValueError("stops_after_s must not begin before starts_after_s ends: the goal would never be heard")
        if self.stops_after_s is not None and self.stops_after_s[1] <= self.starts_after_s[0]:
            raise ValueError(
                f"stops_after_s must end after starts_after_s begins, {self.starts_after_s[0]:g} s, got "
                f"{self.stops_after_s[1]:g}: the goal would never be heard"
            )
        return self

    @field_validator("distractor_level_db")
    @classmethod
    def _audible(cls, value: tuple[float, float]) -> tuple[float, float]:
        if any(abs(level) > MAX_LEVEL_DB for level in value):
            raise ValueError(f"expected levels from {-MAX_LEVEL_DB:g} to {MAX_LEVEL_DB:g} dB against the goal's")
        return value
