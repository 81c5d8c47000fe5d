"""Training by imitation: what is trained, on what, for how long."""

from __future__ import annotations

from pydantic import Field, model_validator

from phonotaxis.configs.base import Frozen
from phonotaxis.configs.task import AudioGoalTask
from phonotaxis.configs.training import PolicyConfig


class ImitationConfig(Frozen):
    """DAgger (Ross, Gordon and Bagnell 2011) with the shortest-path expert.

    Collection and learning alternate in rounds: `worlds * chunk` frames are collected while `updates` gradient
    steps are taken on what was collected before.
    """

    task: AudioGoalTask = AudioGoalTask()
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
    weight_decay: float = Field(default=1e-4, ge=0)
    gradient_norm: float = Field(default=1.0, gt=0)
    average_decay: float = Field(default=0.99, ge=0, lt=1)
    expert_until: float = Field(default=0.3, ge=0, le=1)  # share of the training over which the expert's falls to 0
    expert_share_at_end: float = Field(default=0.15, ge=0, le=1)
    episode_steps: int = Field(default=250, ge=1)  # episodes are cut here while collecting
    checkpoint_every_s: float = Field(default=30.0, gt=0)

    @model_validator(mode="after")
    def _buffer_holds_a_round(self) -> ImitationConfig:
        if self.buffer_frames < 2 * self.worlds * self.chunk:
            raise ValueError(f"buffer_frames must hold two rounds, at least {2 * self.worlds * self.chunk}")
        if self.task.actions != "discrete":
            raise ValueError("the expert speaks of discrete actions; task.actions must be 'discrete'")
        return self
