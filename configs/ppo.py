"""Training by reinforcement: what is tuned further, and how boldly."""

from __future__ import annotations

from pydantic import Field, model_validator

from phonotaxis.configs.lanes import InLanes


class PpoConfig(InLanes):
    """Proximal policy optimisation (Schulman et al. 2017) of a policy that imitation has begun.

    Attributes:
        threads: of the simulator; what is learnt doesn't depend on it.
        critic_rollouts: first rollouts of which only the value is learnt: what imitation left counts no discount, and
            a wrong critic would undo in minutes what was learnt in hours.
        critic_learning_rate: of these; the rate of all else would hardly move the value in so few steps.
        target_kl: updates of a rollout end where the policy has moved so far from the one that collected it, nats.
        validations: how often in a tuning, evenly, the last time at its end, the policy runs `validation_episodes` of
            every task's validation split alone, once more before it begins; the best is kept beside the checkpoints
            where it is better than at the beginning. 0 for never.
    """

    seed: int = Field(default=0, ge=0, lt=2**63)
    frames: int = Field(default=200_000, ge=1)
    worlds: int = Field(default=32, ge=1, le=4096)
    episode_steps: int = Field(default=500, ge=1)
    scene_count: int | None = Field(default=200, ge=1, le=100_000)
    threads: int = Field(default=2, ge=1, le=64)
    steps: int = Field(default=64, ge=8, le=4096)
    epochs: int = Field(default=3, ge=1, le=50)
    learning_rate: float = Field(default=5e-5, gt=0)
    discount: float = Field(default=0.99, gt=0, lt=1)
    gae_lambda: float = Field(default=0.95, gt=0, le=1)
    clip: float = Field(default=0.1, gt=0, lt=1)
    entropy: float = Field(default=0.0, ge=0)
    target_kl: float = Field(default=0.02, gt=0)
    critic_rollouts: int = Field(default=4, ge=0)
    critic_learning_rate: float = Field(default=2e-3, gt=0)
    checkpoint_every_s: float = Field(default=60.0, gt=0)
    validations: int = Field(default=4, ge=0)
    validation_episodes: int = Field(default=40, ge=1)

    @model_validator(mode="after")
    def _batches(self) -> PpoConfig:
        if self.worlds % 2:
            raise ValueError(f"worlds must be even, half of them make a batch; got {self.worlds}")
        return self

    @model_validator(mode="after")
    def _policy_learns(self) -> PpoConfig:
        alone = self.critic_rollouts * self.worlds * self.steps
        if self.frames <= alone:
            raise ValueError(
                f"frames must be over {alone}, of which the critic learns alone (critic_rollouts times worlds times "
                f"steps); got {self.frames}"
            )
        return self
