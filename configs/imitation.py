"""Training by imitation: what is trained, on what, for how long."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from phonotaxis.configs.lanes import InLanes
from phonotaxis.configs.training import PolicyConfig


class ImitationConfig(InLanes):
    """DAgger (Ross, Gordon and Bagnell 2011) with the shortest-path expert.

    Collection and learning alternate in rounds: `worlds * chunk` frames are collected while `updates` gradient
    steps are taken on what was collected before.

    Attributes:
        stop_within: share of the success radius within which the expert stops: an imitator that stops a little early
            then still succeeds.
        max_frames: it ends with the round that makes so many, whatever `minutes` says.
        goal_noise: standard deviation of the noise that is added to what names an episode's goal, whose root mean
            square is 1: another word for a kind, which training hasn't, is then nearer to what training has met.
        learns: beginnings of the names of weights that learn, as ["directions."]; all others stay as `--weights` gave
            them. None: all learn.
        optimizer: "muon" (Jordan et al. 2024), which takes matrices along the orthogonal part of their momentum, all
            else as AdamW does, and learns in fewer steps; or "adamw".
        matrix_learning_rate: of the matrices under "muon"; it falls as `learning_rate` does, which is that of the rest.
        half_precision: products in bfloat16 where the processor has it; the network's sums, losses and weights stay
            float32, "muon" iterates in bfloat16 throughout.
        validate_every_minutes: the averaged policy runs `validation_episodes` of every task's validation split alone,
            and the best is kept beside the checkpoints; 0 for never. With `max_frames` no clock decides that: it runs
            after every such share of the training, as if that took `minutes`.
    """

    policy: PolicyConfig = PolicyConfig()
    seed: int = Field(default=0, ge=0, lt=2**63)
    minutes: float = Field(default=20.0, gt=0)
    max_frames: int | None = Field(default=None, ge=1)
    chunk: int = Field(default=32, ge=2, le=512)
    updates: int = Field(default=16, ge=1)
    batch_chunks: int = Field(default=16, ge=1)
    buffer_frames: int = Field(default=200_000, ge=1024)
    learning_rate: float = Field(default=1e-3, gt=0)
    final_learning_rate: float = Field(default=1e-4, gt=0)
    optimizer: Literal["adamw", "muon"] = "muon"
    matrix_learning_rate: float = Field(default=1e-2, gt=0)
    goal_noise: float = Field(default=1.0, ge=0)
    learns: tuple[str, ...] = ()
    half_precision: bool = True
    weight_decay: float = Field(default=1e-4, ge=0)
    gradient_norm: float = Field(default=1.0, gt=0)
    average_decay: float = Field(default=0.99, ge=0, lt=1)
    expert_until: float = Field(default=0.3, ge=0, le=1)  # share of the training over which the expert's falls to 0
    expert_share_at_end: float = Field(default=0.15, ge=0, le=1)
    stop_within: float = Field(default=0.7, gt=0, le=1)
    checkpoint_every_s: float = Field(default=30.0, gt=0)
    validate_every_minutes: float = Field(default=20.0, ge=0)
    validation_episodes: int = Field(default=40, ge=1)

    @model_validator(mode="after")
    def _buffer_holds_a_round(self) -> ImitationConfig:
        if self.buffer_frames < 2 * self.worlds * self.chunk:
            raise ValueError(f"buffer_frames must hold two rounds, at least {2 * self.worlds * self.chunk}")
        if self.policy.caution:
            raise ValueError("policy.caution: the expert has no preferences; `phonotaxis prefer` trains that head")
        return self

    @model_validator(mode="after")
    def _learns_something(self) -> ImitationConfig:
        collected = self.worlds * self.chunk
        if self.max_frames is not None and self.max_frames <= collected:
            raise ValueError(
                f"max_frames must be over {collected}, the first round (worlds times chunk), with which nothing is "
                f"learnt yet; got {self.max_frames}"
            )
        return self

    @model_validator(mode="after")
    def _one_value(self) -> ImitationConfig:
        for name in ("success_reward", "step_reward", "progress_reward_per_m"):
            told = [getattr(lane.task, name) for lane in self.all_lanes]
            for number, own in enumerate(told):
                if own != told[0]:
                    raise ValueError(
                        f"lanes.{number}: its task.{name} is {own:g}, that of the first lane {told[0]:g}; one value is "
                        "learnt of all lanes, so that they must be rewarded alike"
                    )
        return self


def fill_in_older(stored: dict[str, Any]) -> None:
    """Write into a training's configuration as its checkpoint holds it, in place, what there was not in its time.

    One of before named goals were learnt under noise goes on without, and one of before there was Muon with AdamW. What
    a person writes isn't read by this rule.
    """
    if "expert_until" in stored:  # of imitation, and of no other training
        stored.setdefault("goal_noise", 0.0)
        stored.setdefault("optimizer", "adamw")
