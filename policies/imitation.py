"""Training by imitation of the shortest-path expert."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch

from phonotaxis.configs.imitation import ImitationConfig
from phonotaxis.configs.lanes import lane_names
from phonotaxis.configs.trained import Trainings
from phonotaxis.policies.checkpoint import (
    Checkpoint,
    CheckpointError,
    has_checkpoint,
    load_checkpoint,
    save_checkpoint,
)
from phonotaxis.policies.chunks import ChunkBuffer, with_goal_noise
from phonotaxis.policies.collect import Collected, collect_round, start_collector
from phonotaxis.policies.divergence import DivergedError, check_finite
from phonotaxis.policies.losses import Losses, imitation_losses
from phonotaxis.policies.muon import Muon
from phonotaxis.policies.policy import KNOB, Policy
from phonotaxis.policies.precision import multiplies_bfloat16, single
from phonotaxis.policies.sentences import teach
from phonotaxis.policies.starts import check_fits_bundle, let_learn, unlike
from phonotaxis.policies.understanding import UNDERSTANDING
from phonotaxis.policies.validation import BEST, Validation

_RECENT_EPISODES = 200
NEW_MAP = "mind.map."  # what the weights of a policy without map lack
_DIRECTIONS = "directions."  # likewise


@dataclass(frozen=True)
class Progress:
    """Where a training stands, told after every round.

    Attributes:
        seconds: of training so far, all sessions of it together.
        share: of the training that is done, 0..1.
        frames: collected so far.
        episodes: ended so far.
        success: share of the last episodes that succeeded with the policy's and the expert's actions mixed, the mean
            over lanes.
        lanes: the same by lane's task and array.
        expert_share: probability of the expert's action in the last round.
        losses: means of the last round by name.
        validation: the last SPL on validation episodes, see `Validation.measure`; empty before the first.
    """

    seconds: float
    share: float
    frames: int
    episodes: int
    success: float
    lanes: dict[str, float]
    expert_share: float
    losses: dict[str, float]
    validation: dict[str, float]


class CollectorLost(RuntimeError):
    """The process that collects has ended; the message says why it may have, and what to do."""


class ImitationTrainer:
    """Trains a policy by DAgger.

    A round collects one chunk per world in a process of its own while the learner takes its gradient steps; both see
    the weights and the buffer as the round before left them, so a training of `max_frames` is the same to the last bit
    whenever it is run on one machine, and keeps the same weights as its best. One of `minutes` isn't, for learning
    rate, expert's share and validations follow the clock.
    The process is spawned: a script that trains needs the usual `if __name__ == "__main__":`.

    Args:
        config: what to train.
        out: folder for checkpoints; none are written where it is None.
        fields: folder in which traced sound fields are kept, 8 GiB at most, so that the next training on the same
            scenes, or this one resumed, needn't trace them again; None for none.

    Attributes:
        policy: being trained.
        average: running average of its weights, which is what is evaluated and exported.
    """

    def __init__(self, config: ImitationConfig, out: Path | None = None, fields: Path | None = None) -> None:
        self.config = config
        self.out = out
        self.fields = None if fields is None else str(fields)
        torch.manual_seed(config.seed)
        torch.set_num_threads(1)  # one core here, one for the collector
        self.policy = Policy(config.task.contract(), config.policy)
        check_fits_bundle(self.policy)
        if self.policy.front_ends.understanding is not None:
            teach(self.policy.front_ends.understanding, config.seed)
        self.average = Policy(config.task.contract(), config.policy).eval()
        self.average.load_state_dict(self.policy.state_dict())
        let_learn(self.policy, config.learns)
        self._half = config.half_precision and multiplies_bfloat16()
        self.optimizer = _optimizer(self.policy, config, self._half)
        frames = config.worlds * config.chunk
        self.buffer = ChunkBuffer(max(config.buffer_frames // config.chunk, config.worlds), config.seed)
        self._rng = np.random.Generator(np.random.PCG64([0x676F616C, config.seed]))
        self.rounds = 0
        self.seconds = 0.0
        self.updates = 0
        self._frames_per_round = frames
        self._recent: list[deque[bool]] = [deque(maxlen=_RECENT_EPISODES) for _ in config.all_lanes]
        self._episodes = 0
        self.validation: dict[str, float] = {}
        self.best = -1.0
        self._validated_at = 0.0
        self._validated_round = 0
        self._validator: Validation | None = None
        self._before: Trainings = ()

    def resume(self) -> None:
        """Go on from the checkpoint in the folder; the buffer fills anew.

        Raises:
            CheckpointError: there is none, or it is not one of this training.
        """
        assert self.out is not None
        saved = load_checkpoint(self.out)
        if saved.optimizer is None or "average" not in saved.modules:
            raise CheckpointError(
                f"{self.out}: not of a `phonotaxis train`, so that it can't be resumed; begin with its weights: "
                f"`phonotaxis train --weights {self.out} --out ANOTHER`"
            )
        self.policy.load_state_dict(saved.modules["policy"])
        self.average.load_state_dict(saved.modules["average"])
        self.optimizer.load_state_dict(saved.optimizer)
        self._before = saved.before
        self.rounds = int(saved.counters["rounds"])
        self.updates = int(saved.counters["updates"])
        self.seconds = float(saved.counters["seconds"])
        self._episodes = int(saved.counters["episodes"])
        self.best = float(saved.counters.get("best_spl", -1.0))
        if has_checkpoint(self.out / BEST):  # may have been written just before a kill
            self.best = max(self.best, float(load_checkpoint(self.out / BEST).counters.get("best_spl", -1.0)))
        self._validated_at = float(saved.counters.get("validated_at_s", self.seconds))
        self._validated_round = int(saved.counters.get("validated_round", self.rounds))

    def start_from(self, other: Policy, trainings: Trainings = ()) -> None:
        """Begin with the weights of another policy, of the same network but for any task it fits.

        Where this network has a map, directions, listens or understands sentences, and that one doesn't, all else is
        taken over: what a new map says is nothing at first, so that the policy goes on as it was. A head of
        preferences is left behind: it holds for the policy that it was learnt beside; and one for directions, where
        this network has none.

        Args:
            other: the policy.
            trainings: configurations of those that it comes of, the last first.

        Raises:
            CheckpointError: its weights don't fit, or they were learnt behind another front end, or in a network that
                computes otherwise with them.
        """
        theirs, own = other.contract.front_end, self.policy.contract.front_end
        if theirs != own:
            raise CheckpointError(
                "the given weights were learnt on other features of sound than this training's: expected the front end "
                f"{own.model_dump_json()}, found {theirs.model_dump_json()}; name that one as `front_end:` of the task "
                "in your --config, or begin without --weights"
            )
        told, wanted = (policy.contract.goal is not None for policy in (other, self.policy))
        if told != wanted:
            raise CheckpointError(
                f"the given weights {'are' if told else 'are not'} of a policy that can be told what to find; say "
                f"`goal: {'none' if told else 'absent'}` of the task in your --config, or begin without --weights"
            )
        if differs := unlike(self.policy.config, other.config):
            raise CheckpointError(
                f"the given weights are a network's that computes otherwise; name it under `policy:` in your --config: "
                f"{differs}"
            )
        new = {
            name: value
            for name, value in self.average.state_dict().items()
            if name.startswith((NEW_MAP, UNDERSTANDING, _DIRECTIONS))
        }
        left = KNOB if self.policy.directions is not None else (KNOB, _DIRECTIONS)
        given = {name: value for name, value in other.state_dict().items() if not name.startswith(left)}
        try:
            self.policy.load_state_dict(new | given)
        except RuntimeError:
            own_sizes = self.policy.config.model_dump()
            theirs_without = other.config.model_copy(update={"caution": False, "directions": own_sizes["directions"]})
            sizes = {name: size for name, size in theirs_without.model_dump().items() if size != own_sizes[name]}
            raise CheckpointError(
                f"the given weights are a network's of other sizes; name them under `policy:` in your --config: {sizes}"
            ) from None
        self.average.load_state_dict(self.policy.state_dict())
        self._before = trainings

    def save(self) -> None:
        """Write a checkpoint; a kill at any byte leaves the previous one."""
        if self.out is None:
            return
        save_checkpoint(self.out, self._checkpoint())

    def _checkpoint(self) -> Checkpoint:
        counters = {
            "rounds": self.rounds,
            "updates": self.updates,
            "seconds": self.seconds,
            "episodes": self._episodes,
            "best_spl": self.best,
            "validated_at_s": self._validated_at,
            "validated_round": self._validated_round,
        }
        return Checkpoint(
            contract=self.policy.contract,
            policy_config=self.policy.config,
            config=self.config.model_dump(mode="json"),
            modules={"policy": self.policy.state_dict(), "average": self.average.state_dict()},
            optimizer=self.optimizer.state_dict(),
            counters=counters,
            before=self._before,
        )

    def validate(self) -> None:
        """Measure the averaged policy on validation episodes; keep it in the folder's `best` if it is the best yet.

        What was found is saved at once: who is killed and goes on must not put a worse one in its place.
        """
        if self._validator is None:
            self._validator = Validation(self.config.all_lanes, self.config.validation_episodes)
        checkpoint = self._checkpoint()
        self.validation = self._validator.measure(lambda contract: checkpoint.policy(contract=contract))
        self._note_validation()
        score = float(np.mean(list(self.validation.values())))
        if score > self.best:
            self.best = score
            if self.out is not None:
                save_checkpoint(self.out / BEST, self._checkpoint())
        self.save()

    @property
    def share(self) -> float:
        """Share of the training that is done, 0..1."""
        if self.config.max_frames is not None:
            return min(1.0, self.rounds * self._frames_per_round / self.config.max_frames)
        return min(1.0, self.seconds / (60.0 * self.config.minutes))

    def run(self, on_progress: Callable[[Progress], None] | None = None) -> Policy:
        """Train to the end; on Ctrl-C a checkpoint is written first.

        Args:
            on_progress: told after every round.

        Returns:
            The averaged policy.

        Raises:
            DivergedError: what is learnt isn't finite; nothing of that was saved.
            CollectorLost: the process that collects was killed; what was learnt until then is saved.
        """
        config = self.config.model_copy(update={"seed": self.config.seed + 7919 * self.rounds})
        saved_at, rounds_before = self.seconds, self.rounds
        pool = ProcessPoolExecutor(
            1, get_context("spawn"), initializer=start_collector, initargs=(config, self.fields, os.getpid())
        )
        try:
            if self.share < 1.0:  # the first round compiles kernels and loads scenes: it doesn't count as training time
                self._take(pool.submit(collect_round, self._weights(), self._expert_share()).result())
            while self.share < 1.0:
                began = time.monotonic()
                expert_share = self._expert_share()
                pending: Future[Collected] = pool.submit(collect_round, self._weights(), expert_share)
                losses = self._learn()
                if validated := self._validation_is_due():
                    self.validate()
                self._take(pending.result())
                self.seconds += time.monotonic() - began
                if validated:  # the next is due so long after this one, however long this one took
                    self._note_validation()
                if self.seconds - saved_at > self.config.checkpoint_every_s:
                    self.save()
                    saved_at = self.seconds
                if on_progress is not None:
                    on_progress(self._progress(expert_share, losses))
            if self.config.validate_every_minutes > 0 and self._validated_round < self.rounds:
                self.validate()
        except DivergedError:
            rounds_before = self.rounds  # what was saved before stands
            raise
        except BrokenProcessPool:
            raise CollectorLost(
                "the process that collects was killed, mostly by the system for want of memory: fewer worlds, a lower "
                "scene_count or a smaller buffer_frames take less (--config)"
            ) from None
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            if self.rounds > rounds_before:  # a task that can't begin must not take the folder
                self.save()
        return self.average

    def _validation_is_due(self) -> bool:
        config = self.config
        if config.max_frames is None:
            since_minutes = (self.seconds - self._validated_at) / 60.0
        else:  # no clock decides which weights are the best
            since_frames = (self.rounds - self._validated_round) * self._frames_per_round
            since_minutes = since_frames / config.max_frames * config.minutes
        return 0 < config.validate_every_minutes <= since_minutes

    def _note_validation(self) -> None:
        self._validated_at, self._validated_round = self.seconds, self.rounds

    def _weights(self) -> dict[str, np.ndarray]:
        # copies, since they are pickled in another thread while this one already changes the weights
        return {name: value.numpy().copy() for name, value in self.policy.state_dict().items()}

    def _take(self, collected: Collected) -> None:
        self.buffer.add(collected.chunk)
        self.rounds += 1
        for recent, results in zip(self._recent, collected.results):
            self._episodes += len(results)
            recent.extend(result.success for result in results)

    def _expert_share(self) -> float:
        until = self.config.expert_until
        falling = 1.0 - self.share / until if until > 0 else 0.0
        return max(self.config.expert_share_at_end, falling)

    def _learn(self) -> dict[str, float]:
        """Take a round's gradient steps; none while the buffer is empty."""
        if self.buffer.count == 0:
            return {}
        config = self.config
        low, high = np.log(config.final_learning_rate), np.log(config.learning_rate)
        warm = min(1.0, (self.updates + 1) / 50.0)
        for group in self.optimizer.param_groups:
            own = group.get("peak", config.learning_rate) / config.learning_rate
            group["lr"] = own * warm * float(np.exp(high + (low - high) * self.share**2))
        total: dict[str, float] = {}
        for _ in range(config.updates):
            for name, value in self._update()._asdict().items():
                total[name] = total.get(name, 0.0) + float(value.detach()) / config.updates
        return total

    def _update(self) -> Losses:
        chunk = with_goal_noise(self.buffer.draw(self.config.batch_chunks), self.config.goal_noise, self._rng)
        with torch.autocast("cpu", torch.bfloat16, enabled=self._half):
            output = self.policy.unroll(chunk.features, chunk.state, chunk.episode_start)
        losses = imitation_losses(single(output), chunk, self.config.task)
        self.optimizer.zero_grad(set_to_none=True)
        losses.total.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.policy.parameters(), self.config.gradient_norm)
        found = {f"the loss in {name}": float(value.detach()) for name, value in losses._asdict().items()}
        check_finite(found | {"the gradient's norm": float(norm)}, self.config.learning_rate)
        self.optimizer.step()
        self.updates += 1
        decay = min(self.config.average_decay, self.updates / (self.updates + 10.0))
        with torch.no_grad():
            for mean, value in zip(self.average.parameters(), self.policy.parameters()):
                mean.lerp_(value, 1.0 - decay)
        return losses

    def _progress(self, expert_share: float, losses: dict[str, float]) -> Progress:
        means = [float(np.mean(recent)) if recent else None for recent in self._recent]
        lanes = dict(zip(lane_names(self.config.all_lanes), means))
        shares = [share for share in lanes.values() if share is not None]
        return Progress(
            seconds=self.seconds,
            share=self.share,
            frames=self.rounds * self._frames_per_round,
            episodes=self._episodes,
            success=float(np.mean(shares)) if shares else 0.0,
            lanes={name: share for name, share in lanes.items() if share is not None},
            expert_share=expert_share,
            losses=losses,
            validation=self.validation,
        )


def _optimizer(policy: Policy, config: ImitationConfig, half: bool) -> torch.optim.Optimizer:
    if config.optimizer == "muon":
        return Muon(policy, config.learning_rate, config.matrix_learning_rate, config.weight_decay, half)
    return torch.optim.AdamW(policy.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
