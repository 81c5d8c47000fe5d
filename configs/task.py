"""Tasks: what the agent is asked to do, in which scenes, with which sounds and which body."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import Field, model_validator

from phonotaxis.configs import presets
from phonotaxis.configs.air import Air
from phonotaxis.configs.array import MicrophoneArray
from phonotaxis.configs.base import Frozen
from phonotaxis.configs.contract import (
    Body,
    ContinuousActions,
    Contract,
    FrontEnd,
    PinholeCamera,
    discrete_actions,
)
from phonotaxis.configs.noise import Noise
from phonotaxis.configs.sources import Sources


class SceneSet(Frozen):
    """Which scenes episodes are drawn from: `count` seeds of one source, from `first_seed` on."""

    source: str = "apartment"
    first_seed: int = Field(default=0, ge=0)
    count: int = Field(default=32, ge=1, le=100_000)
    options: dict[str, str | int | float | bool | list[float] | dict[str, str]] = {}


class SoundSet(Frozen):
    """Which sounds play: the procedural bank of a split, or the recordings of a folder."""

    split: Literal["train", "test"] = "train"
    seed: int = Field(default=0, ge=0)
    instances_per_kind: int = Field(default=4, ge=1, le=100)
    folder: str | None = None
    mean_level_db_spl: float = Field(default=75.0, ge=30.0, le=110.0)
    level_range_db: float = Field(default=10.0, ge=0.0, le=40.0)


class AudioGoalTask(Frozen):
    """AudioGoal: find the source of a sound and stop within `success_m` of it (Chen et al. 2020).

    Source positions are drawn `sources_per_scene` to a scene; an episode draws scene, source, sound, level and
    start. At least `out_of_sight_share` of the starts don't see the source.
    """

    name: str = "audiogoal"
    array: str = "respeaker_usb_v2"
    sample_rate_hz: int = Field(default=16000, ge=8000, le=48000)
    hop_samples: int = Field(default=4000, ge=80)
    window_samples: int = Field(default=4000, ge=80)
    camera: PinholeCamera = PinholeCamera()
    radius_m: float = Field(default=0.18, gt=0.0, le=1.0)
    height_m: float = Field(default=0.6, gt=0.0, le=2.0)
    actions: Literal["discrete", "continuous"] = "discrete"
    step_m: float = Field(default=0.25, gt=0.0, le=1.0)
    turn_deg: float = Field(default=10.0, gt=0.0, le=90.0)
    max_steps: int = Field(default=500, ge=1, le=100_000)
    success_m: float = Field(default=1.0, gt=0.0, le=10.0)
    success_reward: float = 10.0
    step_reward: float = -0.01
    progress_reward_per_m: float = 1.0
    scenes: SceneSet = SceneSet()
    sources_per_scene: int = Field(default=4, ge=1, le=64)
    source_height_m: tuple[float, float] = (0.3, 1.6)
    sounds: SoundSet = SoundSet()
    min_distance_m: float = Field(default=2.0, ge=0.0)
    max_distance_m: float = Field(default=40.0, gt=0.0)
    out_of_sight_share: float = Field(default=0.6, ge=0.0, le=1.0)
    response_s: float = Field(default=0.5, ge=0.05, le=4.0)
    crossfade_s: float = Field(default=0.025, ge=0.0, le=0.2)
    sources: Sources = Sources()
    air: Air = Air()
    noise: Noise = Noise()
    front_end: FrontEnd = FrontEnd()

    @model_validator(mode="after")
    def _consistent(self) -> AudioGoalTask:
        if self.min_distance_m >= self.max_distance_m:
            raise ValueError(f"min_distance_m {self.min_distance_m} must be under max_distance_m {self.max_distance_m}")
        if not 0.0 < self.source_height_m[0] <= self.source_height_m[1]:
            raise ValueError(f"source_height_m must be (low, high) with 0 < low <= high, got {self.source_height_m}")
        if self.crossfade_s * self.sample_rate_hz > self.hop_samples:
            raise ValueError(f"crossfade_s {self.crossfade_s} is longer than a hop")
        if self.window_samples < self.hop_samples:
            raise ValueError(f"window_samples {self.window_samples} must be at least hop_samples {self.hop_samples}")
        return self

    def microphone_array(self) -> MicrophoneArray:
        """Load the array the task names."""
        return presets.load("arrays", self.array, MicrophoneArray)

    def contract(self) -> Contract:
        """Return the contract between this task and any policy for it, but for the policy's memory."""
        period_s = self.hop_samples / self.sample_rate_hz
        turn_rad = math.radians(self.turn_deg)
        discrete = discrete_actions(self.step_m, turn_rad, period_s)
        return Contract(
            task=self.name,
            sample_rate_hz=self.sample_rate_hz,
            hop_samples=self.hop_samples,
            window_samples=self.window_samples,
            array=self.microphone_array(),
            camera=self.camera,
            body=Body(
                radius_m=self.radius_m,
                height_m=self.height_m,
                max_v_mps=self.step_m / period_s,
                max_w_radps=turn_rad / period_s,
            ),
            actions=discrete if self.actions == "discrete" else ContinuousActions(),
            front_end=self.front_end,
        )
