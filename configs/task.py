"""Tasks: what the agent is asked to do, in which scenes, with which sounds and which body."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from phonotaxis.configs import presets
from phonotaxis.configs.air import Air
from phonotaxis.configs.array import MicrophoneArray
from phonotaxis.configs.base import ConfigError, Frozen, build
from phonotaxis.configs.contract import (
    ContinuousActions,
    Contract,
    GoalSpec,
    PinholeCamera,
    discrete_actions,
    ordered_modalities,
)
from phonotaxis.configs.front_end import FrontEnd
from phonotaxis.configs.goal import EMBEDDING, GOAL_SIZE
from phonotaxis.configs.motion import Drive, check_latency
from phonotaxis.configs.noise import Noise
from phonotaxis.configs.randomisation import Randomisation
from phonotaxis.configs.sources import Sources
from phonotaxis.configs.unit_variation import UnitVariation
from phonotaxis.configs.vision import DepthNoise, Modality


def check_over_floor(what: str, z_m: float) -> None:
    """Refuse what a world can't hold: it has nothing below the floor.

    Raises:
        ValueError: the height is below the floor.
    """
    if z_m < 0.0:
        raise ValueError(
            f"{what} is at z = {z_m:g} m, below the floor: heights are over the floor that the robot stands on, z = 0"
        )


def is_one_scene(source: str) -> bool:
    """Say whether a source is one scene whatever the seed: a file, or one that names its seed (`apartment:3`)."""
    return bool(Path(source).suffix) or ":" in source


class SceneSet(Frozen):
    """Which scenes episodes are drawn from: `count` seeds of one source, from `first_seed` on.

    Of a source that is one scene (`is_one_scene`) it is 1 where nothing is said.
    """

    source: str = "apartment"
    first_seed: int = Field(default=0, ge=0)
    count: int = Field(default=32, ge=1, le=100_000)
    options: dict[str, str | int | float | bool | list[float] | dict[str, str]] = {}

    @model_validator(mode="before")
    @classmethod
    def _one_scene(cls, data: Any) -> Any:
        source = data.get("source") if isinstance(data, dict) else None
        return {"count": 1} | data if isinstance(source, str) and is_one_scene(source) else data

    @field_validator("options")
    @classmethod
    def _of_a_source(cls, options: dict[str, Any]) -> dict[str, Any]:
        for name in ("name", "seed"):
            if name in options:
                raise ValueError(f"'{name}' is no option of a source; scenes have source, first_seed and count")
        return options


class SoundSet(Frozen):
    """Which sounds play: the procedural bank of a split, or the recordings of a folder.

    `kinds` names the bank's kinds of sound; empty takes the split's own, of which no two splits share one. Recordings
    have none.
    """

    split: Literal["train", "validation", "test"] = "train"
    kinds: tuple[str, ...] = ()
    seed: int = Field(default=0, ge=0)
    instances_per_kind: int = Field(default=4, ge=1, le=100)
    folder: str | None = None
    mean_level_db_spl: float = Field(default=75.0, ge=30.0, le=110.0)
    level_range_db: float = Field(default=10.0, ge=0.0, le=40.0)

    @model_validator(mode="after")
    def _of_the_bank(self) -> SoundSet:
        if self.folder is not None and self.kinds:
            raise ValueError("kinds are of the bank's sounds, recordings of a folder have none; leave one of them out")
        return self


class AudioGoalTask(Frozen):
    """AudioGoal: find the source of a sound and stop within `success_m` of it (Chen et al. 2020).

    Source positions are drawn `sources_per_scene` to a scene; an episode draws scene, source, sound, level and
    start. At least `out_of_sight_share` of the starts don't see the source from 0.5 m over the floor, in scenes that
    have such places: where 64 draws find none, as in one open room, the last is taken.

    Attributes:
        goal: what names the goal to the policy: its sound's kind, a sentence, or `none`, zeros. With any of these the
            contract has the same input, so that one policy serves them all; with `absent` it has none.
        modalities: the images an agent sees; depth is always among them.
        depth_noise: of the depth camera.
        drive: how velocity setpoints are carried out.
        air: of the scenes.
        noise: around the robot and of it.
        unit: how microphones differ from the array's data sheet.
        randomise: what varies from one episode to the next.
    """

    name: str = "audiogoal"
    goal: Literal["absent", "none", "kind", "sentence"] = "absent"
    array: str = "respeaker_usb_v2"
    sample_rate_hz: int = Field(default=16000, ge=8000, le=48000)
    hop_samples: int = Field(default=4000, ge=80)
    window_samples: int = Field(default=4000, ge=80)
    camera: PinholeCamera = PinholeCamera()
    modalities: tuple[Modality, ...] = ("depth",)
    depth_noise: DepthNoise = DepthNoise()
    radius_m: float = Field(default=0.18, gt=0.0, le=1.0)
    height_m: float = Field(default=0.6, gt=0.0, le=2.0)
    drive: Drive = Drive()
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
    unit: UnitVariation = UnitVariation()
    randomise: Randomisation = Randomisation()
    front_end: FrontEnd = FrontEnd()

    @field_validator("modalities")
    @classmethod
    def _depth_always(cls, value: tuple[Modality, ...]) -> tuple[Modality, ...]:
        return ordered_modalities(value)

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

    @field_validator("camera")
    @classmethod
    def _camera_over_floor(cls, value: PinholeCamera) -> PinholeCamera:
        check_over_floor("camera.mount_xyz_m", value.mount_xyz_m[2])
        return value

    @model_validator(mode="after")
    def _scenes_differ(self) -> AudioGoalTask:
        scenes, varied = self.scenes, self.randomise
        # 32, the default, is what trainings wrote down before it was 1 of these sources.
        once = scenes.count in (1, SceneSet.model_fields["count"].default) and scenes.first_seed == 0
        by_seed = varied.absorption_scale is not None or varied.scattering_scale is not None
        if is_one_scene(scenes.source) and not once and not by_seed:
            raise ValueError(
                f"scenes.source '{scenes.source}' is one scene, whatever the seed: expected count 1 and first_seed 0, "
                f"got {scenes.count} and {scenes.first_seed}; or vary its materials (randomise.absorption_scale)"
            )
        return self

    @model_validator(mode="after")
    def _within_a_period(self) -> AudioGoalTask:
        period_s = self.hop_samples / self.sample_rate_hz
        check_latency(self.drive.latency_s, period_s)
        if self.randomise.latency_s is not None:
            check_latency(self.randomise.latency_s.high, period_s)
        return self

    @model_validator(mode="after")
    def _noise_varies_around_a_level(self) -> AudioGoalTask:
        if self.randomise.diffuse_noise_dba is not None and self.noise.diffuse_dba is None:
            raise ValueError("randomise.diffuse_noise_dba needs noise.diffuse_dba: give the task's own level too")
        return self

    @model_validator(mode="after")
    def _can_be_named(self) -> AudioGoalTask:
        if self.goal in ("kind", "sentence") and self.sounds.folder is not None:
            raise ValueError(f"goal '{self.goal}': recordings of a folder have no kinds to name; use the bank's sounds")
        return self

    @model_validator(mode="after")
    def _sees_something(self) -> AudioGoalTask:
        noise, camera = self.depth_noise, self.camera
        nearest_m = max(camera.min_range_m, noise.min_range_m or 0.0)
        farthest_m = camera.max_range_m if noise.max_range_m is None else min(camera.max_range_m, noise.max_range_m)
        if nearest_m >= farthest_m:
            raise ValueError(
                f"depth_noise leaves no range: camera {camera.min_range_m:g} to {camera.max_range_m:g} m, noise "
                f"{noise.min_range_m} to {noise.max_range_m}"
            )
        return self

    @property
    def widest_radius_m(self) -> float:
        """Radius of the widest body that an episode may have, metres: starts and walks leave room for it."""
        return self.radius_m if self.randomise.radius_m is None else self.randomise.radius_m.high

    def microphone_array(self) -> MicrophoneArray:
        """Load the array the task names."""
        return presets.load("arrays", self.array, MicrophoneArray)

    def contract(self) -> Contract:
        """Return the contract between this task and any policy for it, but for the policy's memory.

        Raises:
            ConfigError: no such array, one below the floor, or what a policy can't be told, e.g. a step that is too
                long for its period.
        """
        array = self.microphone_array()
        try:
            check_over_floor(f"the middle of array {self.array}", float(array.positions_m()[:, 2].mean()))
        except ValueError as error:
            raise ConfigError(f"task {self.name}: {error}") from None
        period_s = self.hop_samples / self.sample_rate_hz
        turn_rad = math.radians(self.turn_deg)
        discrete = discrete_actions(self.step_m, turn_rad, period_s)
        fields: dict[str, Any] = {
            "task": self.name,
            "sample_rate_hz": self.sample_rate_hz,
            "hop_samples": self.hop_samples,
            "window_samples": self.window_samples,
            "array": array,
            "camera": self.camera,
            "view_deg": self.depth_noise.field_of_view_deg,
            "modalities": self.modalities,
            "body": {
                "radius_m": self.widest_radius_m,
                "height_m": self.height_m,
                "max_v_mps": self.step_m / period_s,
                "max_w_radps": turn_rad / period_s,
                "max_acceleration_mps2": self._middle("max_acceleration_mps2"),
                "max_angular_acceleration_radps2": self._middle("max_angular_acceleration_radps2"),
                "latency_s": self._middle("latency_s") or 0.0,
            },
            "actions": discrete if self.actions == "discrete" else ContinuousActions(),
            "goal": None if self.goal == "absent" else GoalSpec(size=GOAL_SIZE, embedding=EMBEDDING),
            "front_end": self.front_end,
        }
        return build(Contract, fields, f"task {self.name}, which covers step_m or turn_deg in {period_s:g} s")

    def _middle(self, name: str) -> float | None:
        """Return a value of the drive: the middle of its range where it varies."""
        among = getattr(self.randomise, name)
        own: float | None = getattr(self.drive, name)
        return own if among is None else 0.5 * (among.low + among.high)
