"""Training by imitation: what is trained, on what, for how long."""

from __future__ import annotations

from typing import Any

from pydantic import Field, model_validator

from phonotaxis.configs.base import ConfigError, Frozen
from phonotaxis.configs.suite import load_suite
from phonotaxis.configs.task import AudioGoalTask
from phonotaxis.configs.training import PolicyConfig


class Lane(Frozen):
    """One of several tasks that a policy is trained on at once.

    In a file, `suite: NAME` stands for the task of a suite's train split, and `array: NAME` for the same with another
    microphone array.

    Attributes:
        task: what is trained.
        worlds: simulated at once, the lane's share of the experience.
        episode_steps: episodes are cut here while collecting.
        scene_count: scenes kept in memory and drawn from; the task's own number where left out. To trace a source's
            sound takes as long as a hundred steps, so that fewer scenes, which are met again, are learnt from faster.
    """

    task: AudioGoalTask
    worlds: int = Field(default=16, ge=1, le=4096)
    episode_steps: int = Field(default=250, ge=1)
    scene_count: int | None = Field(default=None, ge=1, le=100_000)

    @model_validator(mode="before")
    @classmethod
    def _by_name(cls, data: Any) -> Any:
        if not isinstance(data, dict) or not {"suite", "array"} & data.keys():
            return data
        rest = {key: value for key, value in data.items() if key not in ("suite", "array")}
        if "suite" in data:
            if "task" in data:
                raise ValueError("a lane has a suite or a task, not both")
            try:
                rest["task"] = load_suite(data["suite"]).task_of("train").model_dump()
            except ConfigError as error:
                raise ValueError(str(error)) from None
        if "array" in data:
            task = rest.get("task", {})
            rest["task"] = (task.model_dump() if isinstance(task, AudioGoalTask) else task) | {"array": data["array"]}
        return rest


class ImitationConfig(Frozen):
    """DAgger (Ross, Gordon and Bagnell 2011) with the shortest-path expert.

    Collection and learning alternate in rounds: `worlds * chunk` frames are collected while `updates` gradient
    steps are taken on what was collected before.

    Attributes:
        task: what is trained, where there are no `lanes`.
        lanes: tasks trained at once; the first one's contract is the policy's until it is exported for another. They
            all name goals or none does, and have the same front end and actions.
        stop_within: share of the success radius within which the expert stops: an imitator that stops a little early
            then still succeeds.
        half_precision: products in bfloat16 where the processor has it; sums, losses and weights stay float32.
        validate_every_minutes: the averaged policy runs `validation_episodes` of every task's validation split alone,
            and the best is kept beside the checkpoints; 0 for never.
    """

    task: AudioGoalTask = AudioGoalTask()
    lanes: tuple[Lane, ...] = ()
    policy: PolicyConfig = PolicyConfig()
    seed: int = Field(default=0, ge=0)
    minutes: float = Field(default=20.0, gt=0)
    max_frames: int | None = Field(default=None, ge=1)
    worlds: int = Field(default=64, ge=1, le=4096)
    chunk: int = Field(default=32, ge=2, le=512)
    updates: int = Field(default=16, ge=1)
    batch_chunks: int = Field(default=16, ge=1)
    buffer_frames: int = Field(default=200_000, ge=1024)
    learning_rate: float = Field(default=1e-3, gt=0)
    final_learning_rate: float = Field(default=1e-4, gt=0)
    half_precision: bool = True
    weight_decay: float = Field(default=1e-4, ge=0)
    gradient_norm: float = Field(default=1.0, gt=0)
    average_decay: float = Field(default=0.99, ge=0, lt=1)
    expert_until: float = Field(default=0.3, ge=0, le=1)  # share of the training over which the expert's falls to 0
    expert_share_at_end: float = Field(default=0.15, ge=0, le=1)
    episode_steps: int = Field(default=250, ge=1)  # episodes are cut here while collecting
    stop_within: float = Field(default=0.7, gt=0, le=1)
    checkpoint_every_s: float = Field(default=30.0, gt=0)
    validate_every_minutes: float = Field(default=0.0, ge=0)
    validation_episodes: int = Field(default=40, ge=1)

    @model_validator(mode="before")
    @classmethod
    def _first_lane(cls, data: Any) -> Any:
        if not isinstance(data, dict) or not data.get("lanes"):
            return data
        lanes = [lane if isinstance(lane, Lane) else Lane.model_validate(lane) for lane in data["lanes"]]
        return data | {"lanes": lanes, "task": lanes[0].task, "worlds": sum(lane.worlds for lane in lanes)}

    @model_validator(mode="after")
    def _buffer_holds_a_round(self) -> ImitationConfig:
        if self.buffer_frames < 2 * self.worlds * self.chunk:
            raise ValueError(f"buffer_frames must hold two rounds, at least {2 * self.worlds * self.chunk}")
        if any(lane.task.actions != "discrete" for lane in self.all_lanes):
            raise ValueError("the expert speaks of discrete actions; task.actions must be 'discrete'")
        if self.policy.caution:
            raise ValueError("policy.caution: the expert has no preferences; `phonotaxis prefer` trains that head")
        return self

    @model_validator(mode="after")
    def _one_network_fits(self) -> ImitationConfig:
        first = self.all_lanes[0].task.contract()
        for number, lane in enumerate(self.all_lanes):
            own = lane.task.contract()
            for what in ("goal", "front_end", "camera", "hop_samples", "sample_rate_hz", "window_samples"):
                if getattr(own, what) != getattr(first, what):
                    raise ValueError(f"lanes.{number}: its {what} differs from that of the first lane")
        return self

    @property
    def all_lanes(self) -> tuple[Lane, ...]:
        """The lanes; where none are given one of the task."""
        return self.lanes or (Lane(task=self.task, worlds=self.worlds, episode_steps=self.episode_steps),)
