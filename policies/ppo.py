"""Training by reinforcement, from where imitation ended: RecurrentPPO of Stable-Baselines3 on our network."""

from __future__ import annotations

import dataclasses
import math
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
from phonotaxis.policies.checkpoint import Checkpoint, CheckpointError, has_checkpoint, load_checkpoint, save_checkpoint
from phonotaxis.policies.divergence import check_finite
from phonotaxis.policies.episode_seeds import first_seed
from phonotaxis.policies.kept_library import kept_library, of_few_scenes
from phonotaxis.policies.policy import Policy
from phonotaxis.policies.recurrent import FeatureEnv, RecurrentPolicy, set_learning
from phonotaxis.policies.several_tasks import SeveralTasks
from phonotaxis.policies.validation import BEST, Validation

_RECENT_EPISODES = 200
_FRAMES = "ppo_frames"  # counter of a checkpoint: of all tunings so far
_OWN = "tune_"  # begins the names of those of the last tuning alone
_SB3_KL = 1.5  # Stable-Baselines3 goes on until this times what it is given


@dataclasses.dataclass(frozen=True)
class PpoProgress:
    """Where a training stands, told when a rollout has been learnt from.

    Attributes:
        share: of the frames, 0..1.
        frames: learnt from so far, all sessions of the training together.
        seconds: that it took, validations apart.
        success: share of the last episodes of each lane, with drawn actions.
        kl: how far the last rollout's updates moved the policy, nats.
        validation: the last SPL on validation episodes by task, see `Validation.measure`; empty where none are run.
        validation_at_start: their mean for the policy that is tuned; None where none are run.
        validation_best: the highest mean so far, that one included; None where none are run.
    """

    share: float
    frames: int
    seconds: float
    success: tuple[float, ...]
    kl: float
    validation: dict[str, float] = dataclasses.field(default_factory=dict)
    validation_at_start: float | None = None
    validation_best: float | None = None


def tune(
    start: Checkpoint, config: PpoConfig, out: Path,
    on_progress: Callable[[PpoProgress], None] | None = None, fields: Path | None = None, resume: bool = False,
) -> Policy:  # fmt: skip
    """Go on from a checkpoint by reinforcement; its folder for results gets checkpoints of the same form.

    The policy runs episodes of its tasks' validation splits before the first rollout, a few times on the way and at
    the end; what is better than it was at the start, and the best yet, is kept in `best` in the folder for results.

    Args:
        start: of an imitation, or of an earlier tuning.
        config: on what, and how; a task says what is rewarded by `success_reward`, `step_reward` and
            `progress_reward_per_m`.
        out: folder for checkpoints; none is written where it ends within the first rollout, when nothing is learnt.
        on_progress: told whenever a rollout has been learnt from, and at the end.
        fields: folder in which traced sound fields are kept for the next training; None for none.
        resume: `start` is the newest of `out`, a tuning's own, and that tuning is gone on with: its frames, its
            optimiser's moments and its best count. It meets other episodes than before.

    Returns:
        The policy as it is at the end, which needn't be the best.

    Raises:
        CheckpointError: the checkpoint's network doesn't fit the tasks, or it can't be resumed.
        ConfigError: the policy has a head of preferences, which holds for the policy that it was learnt beside.
        DivergedError: weights that aren't finite; they are not saved.
    """
    if start.policy_config.caution:
        raise ConfigError("the policy has learnt preferences already; tune first, then `phonotaxis prefer`")
    if resume and (start.optimizer is None or f"{_OWN}frames" not in start.counters):
        raise CheckpointError(f"{out}: not of a tuning that can be resumed; tune it anew, with another --out")
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
    watch = _Watch(policy, learner.policy.optimizer, start, config, out, on_progress, resume)
    if resume:
        assert start.optimizer is not None
        learner.policy.optimizer.load_state_dict(start.optimizer)
        learner.num_timesteps = watch.frames_before
    try:
        watch.begin()
        learner.learn(config.frames - watch.frames_before, callback=watch, reset_num_timesteps=not resume)
        watch.end()
    finally:
        env.close()
        if watch.learnt:
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
    """Tells of progress, keeps the critic's head start, validates and writes checkpoints.

    Attributes:
        frames_before: of this tuning, that earlier sessions learnt from.
        learnt: whether this session has learnt from a rollout.
    """

    def __init__(
        self, policy: Policy, optimizer: torch.optim.Optimizer, start: Checkpoint, config: PpoConfig, out: Path,
        tell: Callable[[PpoProgress], None] | None, resumed: bool,
    ) -> None:  # fmt: skip
        super().__init__()
        self._policy, self._optimizer, self._start, self._config, self._out = policy, optimizer, start, config, out
        self._tell = tell
        self._before = start.before if resumed else start.trainings
        own = {name.removeprefix(_OWN): value for name, value in start.counters.items() if resumed}
        # What a checkpoint counts are frames and rollouts that its weights have learnt from.
        self.frames_before = self._frames = int(own.get("frames", 0))
        self._rollouts, self.learnt = int(own.get("rollouts", 0)), False
        self._collected = self._rollouts
        self._at_start, self._best = float(own.get("spl_at_start", -1.0)), float(own.get("spl_best", -1.0))
        self._validations = min(int(own.get("validations", 0)), self._due)  # there may be more frames than there were
        self._validation: dict[str, float] = {}
        self._validator = Validation(config.all_lanes, config.validation_episodes) if config.validations else None
        self._recent: list[deque[bool]] = [deque(maxlen=_RECENT_EPISODES) for _ in config.all_lanes]
        self._kl = 0.0
        self._saved_at = time.monotonic()
        self._began = self._saved_at - float(own.get("seconds", 0.0))

    def begin(self) -> None:
        """Measure the policy as it comes, if that is a part of the tuning and hasn't been done."""
        if self._validator is not None and self._at_start < 0.0:
            self._at_start = self._best = self._measure(self._validator)
        if self.frames_before and has_checkpoint(self._out / BEST):  # may have been written just before a kill
            kept = load_checkpoint(self._out / BEST).counters.get(f"{_OWN}spl_best", -1.0)
            self._best = max(self._best, float(kept))

    def end(self) -> None:
        """Validate what the last updates left, where that hasn't been done, and tell of it."""
        self._take_rollout()
        if self.learnt or self._validations < self._config.validations:
            self._validate()
        self._told()

    def _on_step(self) -> bool:
        infos: list[dict[str, Any]] = self.locals["infos"]
        for info in infos:
            if "episode_result" in info:
                self._recent[info["lane"]].append(bool(info["episode_result"]["success"]))
        return True

    def _on_rollout_start(self) -> None:
        if not self._take_rollout():
            return
        self._kl = float(self.logger.name_to_value.get("train/approx_kl", 0.0))
        self._check()
        if self._validations < self._due:
            self._validate()
        if time.monotonic() - self._saved_at > self._config.checkpoint_every_s:
            self.save()
        self._told()

    def _on_rollout_end(self) -> None:
        self._collected += 1
        self._set()

    def _take_rollout(self) -> bool:
        """Count the last rollout as learnt from, once its updates are made; say whether there is a new one."""
        if self._collected == self._rollouts:
            return False
        self._frames, self._rollouts, self.learnt = self.num_timesteps, self._collected, True
        return True

    @property
    def _share(self) -> float:
        return min(1.0, self._frames / self._config.frames)

    @property
    def _due(self) -> int:
        """How many validations belong to so many frames."""
        return math.floor(self._share * self._config.validations)

    def _told(self) -> None:
        if self._tell is None:
            return
        success = tuple(float(np.mean(own)) if own else 0.0 for own in self._recent)
        at_start, best = (None, None) if self._validator is None else (self._at_start, self._best)
        progress = PpoProgress(
            self._share, self._frames, time.monotonic() - self._began, success, self._kl, self._validation,
            at_start, best,
        )  # fmt: skip
        self._tell(progress)

    def _set(self) -> None:
        """Say what the updates that follow this rollout may change."""
        network = self.model.policy
        assert isinstance(network, RecurrentPolicy)
        alone = self._collected <= self._config.critic_rollouts
        set_learning(network, critic_alone=alone)
        rate = self._config.critic_learning_rate if alone else self._config.learning_rate
        self.model.lr_schedule = lambda remaining: rate

    def _validate(self) -> None:
        """Measure the policy on validation episodes, and keep it in the folder's `best` if it is the best yet."""
        if self._validator is None:
            return
        score = self._measure(self._validator)
        self._validations = self._due
        if score > self._best:
            self._best = score
            save_checkpoint(self._out / BEST, self._checkpoint())
        self.save()

    def _measure(self, validator: Validation) -> float:
        """Return the mean over tasks of the policy's SPL; the time that it takes isn't training's."""
        began, checkpoint = time.monotonic(), self._checkpoint()
        theirs = self._start.contract
        self._validation = validator.measure(lambda own: checkpoint.policy(contract=told(own, theirs)))
        self._began += time.monotonic() - began
        return float(np.mean(list(self._validation.values())))

    def save(self) -> None:
        """Write a checkpoint; a kill at any byte leaves the previous one.

        Raises:
            DivergedError: there are weights that aren't finite.
        """
        self._saved_at = time.monotonic()
        save_checkpoint(self._out, self._checkpoint())

    def _check(self) -> None:
        largest = torch.stack([weight.detach().abs().max() for weight in self._policy.parameters()]).max()
        check_finite({"the largest weight": float(largest)}, self._config.learning_rate)

    def _checkpoint(self) -> Checkpoint:
        self._check()
        config = {"task": self._config.task.model_dump(mode="json"), "ppo": self._config.model_dump(mode="json")}
        own = {
            "frames": self._frames, "rollouts": self._rollouts, "seconds": time.monotonic() - self._began,
            "spl_at_start": self._at_start, "spl_best": self._best, "validations": self._validations,
        }  # fmt: skip
        counters = {name: value for name, value in self._start.counters.items() if not name.startswith(_OWN)}
        counters[_FRAMES] = self._start.counters.get(_FRAMES, 0) + self._frames - self.frames_before
        return Checkpoint(
            contract=self._policy.contract, policy_config=self._policy.config, config=config,
            modules={"policy": self._policy.state_dict()}, optimizer=self._optimizer.state_dict(),
            counters=counters | {f"{_OWN}{name}": value for name, value in own.items()}, before=self._before,
        )  # fmt: skip
