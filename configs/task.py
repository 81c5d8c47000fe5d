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
    Body,
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

MAX_SOURCE_HEIGHT_M = 50.0  # no ceiling is so high


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
    """Which scenes episodes are drawn from.

    Attributes:
        source: of the scenes: a registered one, a preset of `configs/scenes`, or a file (docs/scenes.md).
        first_seed: of the scenes of a source.
        count: of scenes, with seeds from `first_seed` on; 1 where nothing is said of a source that is one scene
            (`is_one_scene`).
        options: of the source.
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

    Attributes:
        split: of the bank, by which its sounds are drawn.
        kinds: the bank's kinds of sound; empty takes the split's own, of which no two splits share one. Recordings have
            none.
        seed: of the bank's sounds.
        instances_per_kind: how many sounds of each kind the bank makes.
        folder: of recordings, which play instead of the bank's.
        mean_level_db_spl: level of the goal, dB SPL at 1 m from it, on its axis.
        level_range_db: an episode's level is drawn from the mean less to the mean plus so much, dB.
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

    A step lasts one hop, `hop_samples / sample_rate_hz` seconds, so that the speeds of the body are `step_m` and
    `turn_deg` over that: whoever changes rate or hop changes them too (docs/worlds.md, Rates and steps). Distances
    between agent and source are those of the shortest walk.

    Attributes:
        name: of the task; a policy's contract holds it. Tasks of suites have the suite's.
        goal: what names the goal to the policy: its sound's kind, a sentence, or `none`, zeros. With any of these the
            contract has the same input, so that one policy serves them all; with `absent` it has none.
        array: the microphones: a preset of `configs/arrays`, or the path of a .yaml file.
        sample_rate_hz: of the sound, samples a second.
        hop_samples: new samples of a step.
        window_samples: samples that a policy gets at a step, the hop's at their end.
        camera: its image, lens, mount and range.
        modalities: the images an agent sees; depth is always among them.
        depth_noise: of the depth camera.
        radius_m: of the body, a cylinder, metres.
        height_m: of the body: it drives under nothing that is lower, metres.
        drive: how velocity setpoints are carried out.
        actions: `discrete`: stop, forward, left, right; `continuous`: speed, turning rate and stop, for learners of
            one's own: the project's trainings and the baselines take the discrete ones.
        step_m: what forward covers in a step, metres; of continuous actions full speed.
        turn_deg: what left and right turn in a step, degrees; of continuous actions the full turning rate.
        max_steps: after so many an episode is truncated.
        success_m: a stop nearer to the source is a success, metres.
        success_reward: for such a stop.
        step_reward: for each step.
        progress_reward_per_m: for each metre that a step brings the agent nearer to the source.
        scenes: which scenes there are.
        sources_per_scene: places of sources in each scene, of which an episode takes one, and distractors others.
        source_height_m: range of their heights over the floor, metres; at most 5 cm below the ceiling.
        sounds: what plays.
        min_distance_m: least distance from start to source, metres.
        max_distance_m: greatest distance from start to source, metres.
        out_of_sight_share: see above, 0 to 1.
        response_s: length of impulse responses, seconds.
        crossfade_s: time in which the response of the last pose gives way to this one's, seconds, at most a hop.
        sources: when the goal is heard, how it moves, and what else plays.
        air: of the scenes.
        noise: around the robot and of it.
        unit: how microphones differ from the array's data sheet.
        randomise: what varies from one episode to the next.
        front_end: what a policy makes of a window of sound before its network reads it.
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
    def _camera_that_can_be(cls, value: PinholeCamera) -> PinholeCamera:
        check_over_floor("camera.mount_xyz_m", value.mount_xyz_m[2])
        for axis, centre, size in (("cx", value.cx, value.width), ("cy", value.cy, value.height)):
            if not 0.0 <= centre <= size:
                raise ValueError(f"{axis} {centre:g} lies outside the image, which has {size} pixels there")
        if any(abs(angle) > 2.0 * math.pi for angle in value.mount_rpy_rad):
            raise ValueError(f"mount_rpy_rad: more than a whole turn; it is in radians, got {value.mount_rpy_rad}")
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
    def _has_something_to_find(self) -> AudioGoalTask:
        highest_m = self.source_height_m[1]
        if highest_m > MAX_SOURCE_HEIGHT_M:
            raise ValueError(f"source_height_m must end at {MAX_SOURCE_HEIGHT_M:g} m or lower, got {highest_m:g}")
        if self.success_m >= self.max_distance_m:
            raise ValueError(
                f"success_m {self.success_m:g} must be under max_distance_m {self.max_distance_m:g}: every episode "
                "would begin at its goal"
            )
        return self

    @model_validator(mode="after")
    def _heard_in_time(self) -> AudioGoalTask:
        longest_s, latest_s = self.max_steps * self.hop_samples / self.sample_rate_hz, self.sources.starts_after_s[1]
        if latest_s >= longest_s:
            raise ValueError(
                f"sources.starts_after_s reaches {latest_s:g} s, an episode ends after {longest_s:g} s (max_steps): "
                "there the goal would never be heard"
            )
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
        discrete = discrete_actions(self.step_m, math.radians(self.turn_deg), period_s)
        fields: dict[str, Any] = {
            "task": self.name,
            "sample_rate_hz": self.sample_rate_hz,
            "hop_samples": self.hop_samples,
            "window_samples": self.window_samples,
            "array": array,
            "camera": self.camera,
            "view_deg": self.depth_noise.field_of_view_deg,
            "modalities": self.modalities,
            "body": self._body(period_s),
            "actions": discrete if self.actions == "discrete" else ContinuousActions(),
            "goal": None if self.goal == "absent" else GoalSpec(size=GOAL_SIZE, embedding=EMBEDDING),
            "front_end": self.front_end,
        }
        return build(Contract, fields, f"task {self.name}")

    def _body(self, period_s: float) -> Body:
        """Return how the robot moves; its speeds follow from the steps."""
        fields = {
            "radius_m": self.widest_radius_m,
            "height_m": self.height_m,
            "max_v_mps": self.step_m / period_s,
            "max_w_radps": math.radians(self.turn_deg) / period_s,
            "max_acceleration_mps2": self._middle("max_acceleration_mps2"),
            "max_angular_acceleration_radps2": self._middle("max_angular_acceleration_radps2"),
            "latency_s": self._middle("latency_s") or 0.0,
        }
        return build(Body, fields, f"task {self.name}, which covers step_m or turn_deg in {period_s:g} s: body")

    def _middle(self, name: str) -> float | None:
        """Return a value of the drive: the middle of its range where it varies."""
        among = getattr(self.randomise, name)
        own: float | None = getattr(self.drive, name)
        return own if among is None else 0.5 * (among.low + among.high)
