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
from phonotaxis.configs.ppo import PpoConfig
from phonotaxis.configs.task import AudioGoalTask
from phonotaxis.envs.sb3 import make_sb3
from phonotaxis.policies.checkpoint import Checkpoint, save_checkpoint
from phonotaxis.policies.kept_library import kept_library, of_few_scenes
from phonotaxis.policies.policy import Policy
from phonotaxis.policies.recurrent import FeatureEnv, RecurrentPolicy, set_learning

_RECENT_EPISODES = 200
_SEED_STRIDE = 1_000_003


@dataclasses.dataclass(frozen=True)
class PpoProgress:
    """Where a training stands, told after every rollout.

    Attributes:
        share: of the frames, 0..1.
        frames: collected so far.
        success: share of the last episodes, with drawn actions.
        kl: how far the last rollout's updates moved the policy, nats.
    """

    share: float
    frames: int
    success: float
    kl: float


def tune(
    start: Checkpoint, task: AudioGoalTask, config: PpoConfig, out: Path,
    on_progress: Callable[[PpoProgress], None] | None = None, fields: Path | None = None,
) -> Policy:  # fmt: skip
    """Go on from a checkpoint by reinforcement; its folder for results gets checkpoints of the same form.

    Args:
        start: of an imitation, or of an earlier tuning.
        task: what is rewarded: `success_reward`, `step_reward` and `progress_reward_per_m`.
        config: how.
        out: folder for checkpoints.
        on_progress: told after every rollout.
        fields: folder in which traced sound fields are kept for the next training; None for none.

    Raises:
        CheckpointError: the checkpoint's network doesn't fit the task.
        ConfigError: the policy has a head of preferences, which holds for the policy that it was learnt beside.
    """
    if start.policy_config.caution:
        raise ConfigError("the policy has learnt preferences already; tune first, then `phonotaxis prefer`")
    torch.set_num_threads(1)
    torch.manual_seed(config.seed)
    policy = start.policy(contract=task.contract())
    drawn = of_few_scenes(task, config.scene_count)
    worlds = make_sb3(
        config.worlds, seed=config.seed * _SEED_STRIDE, task=drawn, actions=task.actions, threads=config.threads,
        library=kept_library(drawn, None if fields is None else str(fields)),
    )  # fmt: skip
    env = FeatureEnv(worlds, policy)
    learner = RecurrentPPO(
        RecurrentPolicy, env, learning_rate=config.learning_rate, n_steps=config.steps, n_epochs=config.epochs,
        batch_size=config.worlds // 2 * config.steps, gamma=config.discount, gae_lambda=config.gae_lambda,
        clip_range=config.clip, ent_coef=config.entropy, target_kl=config.target_kl, seed=config.seed, device="cpu",
        policy_kwargs={"policy": policy}, verbose=0,
    )  # fmt: skip
    watch = _Watch(policy, start, task, config, out, on_progress)
    try:
        learner.learn(config.frames, callback=watch)
    finally:
        watch.save()
        env.close()
    return policy.eval()


class _Watch(BaseCallback):
    """Tells of progress, keeps the critic's head start and writes checkpoints."""

    def __init__(
        self, policy: Policy, start: Checkpoint, task: AudioGoalTask, config: PpoConfig, out: Path,
        tell: Callable[[PpoProgress], None] | None,
    ) -> None:  # fmt: skip
        super().__init__()
        self._policy, self._start, self._task, self._config, self._out = policy, start, task, config, out
        self._tell = tell
        self._recent: deque[bool] = deque(maxlen=_RECENT_EPISODES)
        self._rollouts = 0
        self._saved_at = time.monotonic()

    def _on_step(self) -> bool:
        infos: list[dict[str, Any]] = self.locals["infos"]
        self._recent.extend(bool(info["episode_result"]["success"]) for info in infos if "episode_result" in info)
        return True

    def _on_rollout_end(self) -> None:
        self._rollouts += 1
        self._set()
        if time.monotonic() - self._saved_at > self._config.checkpoint_every_s:
            self.save()
        if self._tell is not None:
            kl = float(self.logger.name_to_value.get("train/approx_kl", 0.0))
            share = min(1.0, self.num_timesteps / self._config.frames)
            success = float(np.mean(self._recent)) if self._recent else 0.0
            self._tell(PpoProgress(share, self.num_timesteps, success, kl))

    def _set(self) -> None:
        """Say what the updates that follow this rollout may change."""
        network = self.model.policy
        assert isinstance(network, RecurrentPolicy)
        set_learning(network, critic_alone=self._rollouts <= self._config.critic_rollouts)

    def save(self) -> None:
        """Write a checkpoint; a kill at any byte leaves the previous one."""
        self._saved_at = time.monotonic()
        config = {"task": self._task.model_dump(mode="json"), "ppo": self._config.model_dump(mode="json")}
        counters = {**self._start.counters, "ppo_frames": self.num_timesteps}
        save_checkpoint(
            self._out,
            Checkpoint(
                contract=self._policy.contract, policy_config=self._policy.config, config=config,
                modules={"policy": self._policy.state_dict()}, counters=counters,
            ),
        )  # fmt: skip
