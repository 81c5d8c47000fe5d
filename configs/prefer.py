"""Preference fine-tuning: what a person near the robot cares for, and how it is learnt."""

from __future__ import annotations

from pydantic import Field, model_validator

from phonotaxis.configs.base import Frozen


class Manners(Frozen):
    """What counts of two episodes from one start that both succeeded; one that failed always comes second.

    An episode's discomfort is a sum; the smaller one is preferred.

    Attributes:
        clearance_m: of the body's edge from what stands nearest, from which on nobody minds.
        nearness: weight of the mean over the steps of 1 - clearance / `clearance_m`, where that is positive.
        changes: weight of the changes of speed and of turning direction a metre of the shortest way.
        time: weight of the time over that of the fewest actions.
        collisions: weight of each.
        least: difference of two episodes' discomfort from which on one counts as preferred.
    """

    clearance_m: float = Field(default=0.5, gt=0, le=5.0)
    nearness: float = Field(default=20.0, ge=0)
    changes: float = Field(default=0.1, ge=0)
    time: float = Field(default=0.25, ge=0)
    collisions: float = Field(default=0.1, ge=0)
    least: float = Field(default=0.05, ge=0)


class PreferConfig(Frozen):
    """Direct preference optimisation (Rafailov et al. 2023) of a head beside an untouched policy.

    A round draws `starts` episodes `draws` times each, half of them from the policy as it was and half with the knob
    turned up, and takes `updates` gradient steps on pairs of what was drawn last.

    Attributes:
        manners: by which pairs are ranked.
        worlds: simulated at once.
        scene_count: scenes drawn from; to trace a source's sound takes as long as a hundred steps.
        temperature: of the actions drawn; above 1 episodes of one start differ more.
        max_rounds: it ends after so many, whatever `minutes` and the clock say.
        episode_steps: episodes are cut here, and one that is counts as failed; the task's own number where left out.
        kept_starts: of the newest rounds, from whose episodes pairs are drawn.
        beta: how far a pair's log odds are to move for its rank to count as learnt; larger moves less.
        hold: weight of the mean divergence from the untouched policy, nats a step.
        validations: how often in a training, evenly, the last time at its end, the knob turned up and down runs the
            same episodes of the validation split; the most comfortable head that succeeds is kept. 0: never, and the
            last head is kept.
        validation_episodes: of each.
        success_tolerance: share of these by which a head that is kept may succeed less often than none.
    """

    manners: Manners = Manners()
    seed: int = Field(default=0, ge=0, lt=2**63)
    minutes: float = Field(default=30.0, gt=0)
    max_rounds: int | None = Field(default=None, ge=1)
    starts: int = Field(default=16, ge=1, le=4096)
    draws: int = Field(default=4, ge=2, le=64)
    worlds: int = Field(default=32, ge=1, le=4096)
    scene_count: int = Field(default=200, ge=1, le=100_000)
    temperature: float = Field(default=1.0, gt=0, le=10.0)
    episode_steps: int | None = Field(default=None, ge=1)
    kept_starts: int = Field(default=256, ge=1)
    updates: int = Field(default=32, ge=1)
    batch_pairs: int = Field(default=16, ge=1, le=1024)
    beta: float = Field(default=0.1, gt=0)
    hold: float = Field(default=1.0, ge=0)
    learning_rate: float = Field(default=1e-3, gt=0)
    weight_decay: float = Field(default=1e-3, ge=0)
    gradient_norm: float = Field(default=1.0, gt=0)
    checkpoint_every_s: float = Field(default=30.0, gt=0)
    validations: int = Field(default=6, ge=0)
    validation_episodes: int = Field(default=100, ge=1)
    success_tolerance: float = Field(default=0.02, ge=0, le=1)

    @model_validator(mode="after")
    def _a_round_is_kept(self) -> PreferConfig:
        if self.kept_starts < self.starts:
            raise ValueError(f"kept_starts must hold a round, at least {self.starts}, got {self.kept_starts}")
        return self
