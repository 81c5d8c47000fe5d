"""Training by reinforcement, from where imitation ended: RecurrentPPO of Stable-Baselines3 on our network."""

from __future__ import annotations

import dataclasses
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sb3_contrib import RecurrentPPO
from stable_baselines3.common.callbacks import BaseCallback

from phonotaxis.configs.base import ConfigError
from phonotaxis.configs.lanes import Lane
from phonotaxis.configs.ppo import PpoConfig
from phonotaxis.envs.sb3 import make_sb3
from phonotaxis.policies.benchmark import told
from phonotaxis.policies.checkpoint import Checkpoint, save_checkpoint
from phonotaxis.policies.divergence import check_finite
from phonotaxis.policies.episode_seeds import first_seed
from phonotaxis.policies.kept_library import kept_library, of_few_scenes
from phonotaxis.policies.policy import Policy
from phonotaxis.policies.recurrent import FeatureEnv, RecurrentPolicy, set_learning
from phonotaxis.policies.several_tasks import SeveralTasks

_RECENT_EPISODES = 200
_FRAMES = "ppo_frames"  # counter of a checkpoint: of all tunings so far
_SB3_KL = 1.5  # Stable-Baselines3 goes on until this times what it is given


@dataclasses.dataclass(frozen=True)
class PpoProgress:
    """Where a training stands, told after every rollout.

    Attributes:
        share: of the frames, 0..1.
        frames: collected so far.
        success: share of the last episodes of each lane, with drawn actions.
        kl: how far the last rollout's updates moved the policy, nats.
    """

    share: float
    frames: int
    success: tuple[float, ...]
    kl: float


def tune(
    start: Checkpoint, config: PpoConfig, out: Path,
    on_progress: Callable[[PpoProgress], None] | None = None, fields: Path | None = None,
) -> Policy:  # fmt: skip
    """Go on from a checkpoint by reinforcement; its folder for results gets checkpoints of the same form.

    Args:
        start: of an imitation, or of an earlier tuning.
        config: on what, and how; a task says what is rewarded by `success_reward`, `step_reward` and
            `progress_reward_per_m`.
        out: folder for checkpoints; none is written where it ends within the first rollout, when nothing is learnt.
        on_progress: told after every rollout.
        fields: folder in which traced sound fields are kept for the next training; None for none.

    Raises:
        CheckpointError: the checkpoint's network doesn't fit the tasks.
        ConfigError: the policy has a head of preferences, which holds for the policy that it was learnt beside.
        DivergedError: weights that aren't finite; they are not saved.
    """
    if start.policy_config.caution:
        raise ConfigError("the policy has learnt preferences already; tune first, then `phonotaxis prefer`")
    torch.set_num_threads(1)
    torch.manual_seed(_seed(start, config))
    policy = start.policy(contract=told(config.task.contract(), start.contract))
    env = SeveralTasks(
        [_worlds(number, lane, start, config, fields) for number, lane in enumerate(config.all_lanes)]
    )  # fmt: skip
    learner = RecurrentPPO(
        RecurrentPolicy, env, learning_rate=config.learning_rate, n_steps=config.steps, n_epochs=config.epochs,
        batch_size=config.worlds // 2 * config.steps, gamma=config.discount, gae_lambda=config.gae_lambda,
        clip_range=config.clip, ent_coef=config.entropy, target_kl=config.target_kl / _SB3_KL,
        seed=_seed(start, config) % 2**32, device="cpu", policy_kwargs={"policy": policy}, verbose=0,
    )  # fmt: skip
    watch = _Watch(policy, start, config, out, on_progress)
    try:
        learner.learn(config.frames, callback=watch)
    finally:
        env.close()
        if watch.rollouts:
            watch.save()
    return policy.eval()


def _worlds(number: int, lane: Lane, start: Checkpoint, config: PpoConfig, fields: Path | None) -> FeatureEnv:
    """Build a lane's worlds behind the front ends of the policy as its task's contract has them."""
    steps = min(lane.task.max_steps, lane.episode_steps)
    task = of_few_scenes(lane.task, lane.scene_count).model_copy(update={"max_steps": steps})
    library = kept_library(task, None if fields is None else str(fields))
    seed = first_seed(_seed(start, config), number)
    worlds = make_sb3(lane.worlds, seed=seed, task=task, actions=task.actions, threads=config.threads, library=library)
    return FeatureEnv(worlds, start.policy(contract=told(task.contract(), start.contract)))


def _seed(start: Checkpoint, config: PpoConfig) -> int:
    """Return the configuration's seed, or another where a tuning is gone on with: it shall meet other episodes."""
    return config.seed + int(start.counters.get(_FRAMES, 0))


class _Watch(BaseCallback):
    """Tells of progress, keeps the critic's head start and writes checkpoints.

    Attributes:
        rollouts: that have ended so far.
    """

    def __init__(
        self, policy: Policy, start: Checkpoint, config: PpoConfig, out: Path,
        tell: Callable[[PpoProgress], None] | None,
    ) -> None:  # fmt: skip
        super().__init__()
        self._policy, self._start, self._config, self._out = policy, start, config, out
        self._tell = tell
        self._recent: list[deque[bool]] = [deque(maxlen=_RECENT_EPISODES) for _ in config.all_lanes]
        self.rollouts = 0
        self._saved_at = time.monotonic()

    def _on_step(self) -> bool:
        infos: list[dict[str, Any]] = self.locals["infos"]
        for info in infos:
            if "episode_result" in info:
                self._recent[info["lane"]].append(bool(info["episode_result"]["success"]))
        return True

    def _on_rollout_end(self) -> None:
        self.rollouts += 1
        self._set()
        if time.monotonic() - self._saved_at > self._config.checkpoint_every_s:
            self.save()
        if self._tell is not None:
            kl = float(self.logger.name_to_value.get("train/approx_kl", 0.0))
            share = min(1.0, self.num_timesteps / self._config.frames)
            success = tuple(float(np.mean(own)) if own else 0.0 for own in self._recent)
            self._tell(PpoProgress(share, self.num_timesteps, success, kl))

    def _set(self) -> None:
        """Say what the updates that follow this rollout may change."""
        network = self.model.policy
        assert isinstance(network, RecurrentPolicy)
        alone = self.rollouts <= self._config.critic_rollouts
        set_learning(network, critic_alone=alone)
        rate = self._config.critic_learning_rate if alone else self._config.learning_rate
        self.model.lr_schedule = lambda remaining: rate

    def save(self) -> None:
        """Write a checkpoint; a kill at any byte leaves the previous one.

        Raises:
            DivergedError: there are weights that aren't finite.
        """
        largest = torch.stack([weight.detach().abs().max() for weight in self._policy.parameters()]).max()
        check_finite({"the largest weight": float(largest)}, self._config.learning_rate)
        self._saved_at = time.monotonic()
        config = {"task": self._config.task.model_dump(mode="json"), "ppo": self._config.model_dump(mode="json")}
        counters = {**self._start.counters, _FRAMES: self._start.counters.get(_FRAMES, 0) + self.num_timesteps}
        save_checkpoint(
            self._out,
            Checkpoint(
                contract=self._policy.contract, policy_config=self._policy.config, config=config,
                modules={"policy": self._policy.state_dict()}, counters=counters, before=self._start.trainings,
            ),
        )  # fmt: skip
