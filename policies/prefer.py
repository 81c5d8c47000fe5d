"""Preference fine-tuning: a head that keeps a policy from obstacles and hurry, learnt beside an untouched network."""

from __future__ import annotations

import copy
import math
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from phonotaxis.configs.base import ConfigError, build
from phonotaxis.configs.contract import DiscreteActions
from phonotaxis.configs.lanes import Lane, numbered
from phonotaxis.configs.prefer import PreferConfig
from phonotaxis.configs.trained import Trainings
from phonotaxis.policies.checkpoint import Checkpoint, CheckpointError, load_checkpoint, save_checkpoint
from phonotaxis.policies.divergence import DivergedError, check_finite
from phonotaxis.policies.draws import Draw
from phonotaxis.policies.episode_seeds import first_seed
from phonotaxis.policies.kept_head import Comfort, counters_of, found_in
from phonotaxis.policies.policy import KNOB, Policy
from phonotaxis.policies.preference_task import PreferenceTask
from phonotaxis.policies.preferences import Pair, drawn_alike, pairs_of, preference_losses

_RECENT_ROUNDS = 8
_LEARNING = "learning"  # module of a checkpoint, whose "policy" has the head that is kept
_KEPT = "prefer_kept_"  # counters: the figures of that head
_VALIDATED_S = "prefer_validated_seconds"  # counter: when it was validated last; below 0 where that is due at once


@dataclass(frozen=True)
class PreferProgress:
    """Where a training stands, told after every round.

    Attributes:
        share: of the training that is done, 0..1.
        seconds: of training so far, all sessions of it together.
        frames: drawn so far.
        values: means over the last rounds, whichever tasks these were of, by name: success and clearance of what was
            drawn with and without caution, losses, and the share of pairs that are ranked as they should.
        validation: what was measured last, see `kept_head.counters_of`; empty before the first.
    """

    share: float
    seconds: float
    frames: int
    values: dict[str, float]
    validation: dict[str, float | int]


class PreferenceTrainer:
    """Trains a policy's head of preferences; all else of the policy stays as it is.

    Draws are keyed by seed, round and episode, and what is learnt by seed and round, so a training is the same to the
    last bit whenever it is run for the same number of rounds on one machine. Which head is kept is so too where
    `max_rounds` says when it ends; else validations follow the clock. One that is resumed forgets the episodes it had
    drawn, and draws new ones.

    The head that is learnt is measured now and then on the validation split, and the best is kept: the one with the
    least discomfort of those that succeed as often as caution 0, less a tolerance (see `kept_head`). Where none is
    more comfortable than caution 0, what is kept adds nothing. Of several tasks rounds take turns; a head must succeed
    and be more comfortable on each of them, and the least discomfort is that of their mean.

    Args:
        base: that is gone on with; one that has a head of preferences goes on with that.
        lanes: whose tasks' train splits are drawn from, and where they say so what they are validated on; of a lane
            nothing else counts. What is saved is for the first one's task.
        config: how.
        out: folder for checkpoints; None writes none.
        counters: of the training before.
        fields: folder in which traced sound fields are kept for the next training; None for none.
        before: configurations of the trainings that the policy comes of, the last first.

    Attributes:
        tasks: by name.
        head: being trained.
        kept: the best one, which checkpoints and `run` hand on.
        comfort: what it was measured at, by task; empty where it adds nothing, or nothing is measured.
        measured: what was measured last; empty before the first.

    Raises:
        CheckpointError: the policy's weights don't fit a task's network.
        ConfigError: the policy's actions are not discrete, or the rounds of all tasks aren't kept.
    """

    def __init__(
        self,
        base: Policy,
        lanes: Sequence[Lane],
        config: PreferConfig,
        out: Path | None = None,
        counters: dict[str, float | int] | None = None,
        fields: Path | None = None,
        before: Trainings = (),
    ) -> None:
        if not isinstance(base.contract.actions, DiscreteActions):
            raise ConfigError("preferences are learnt of discrete actions; the policy's are continuous")
        if config.kept_starts < config.starts * len(lanes):
            least = config.starts * len(lanes)
            raise ConfigError(f"kept_starts must hold a round of each task, at least {least}, got {config.kept_starts}")
        torch.manual_seed(config.seed)
        torch.set_num_threads(1)
        self.config, self.out, self._before = config, out, before
        knobbed = with_knob(base)
        self.tasks = {
            name: PreferenceTask(knobbed, lane.task, lane.validation, config, fields)
            for name, lane in zip(numbered(lane.task.name for lane in lanes), lanes)
        }
        self.policy = next(iter(self.tasks.values())).policy
        assert knobbed.caution is not None
        self.head = knobbed.caution.requires_grad_(True)
        self.optimizer = torch.optim.AdamW(
            self.head.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        )
        self.kept = copy.deepcopy(self.head) if config.validations else self.head
        self.comfort: dict[str, Comfort] = {}
        self.measured: dict[str, Comfort] = {}
        self.counters = _begun(counters or {})
        if config.validations and base.config.caution:
            self.kept.silence()
            self.counters[_VALIDATED_S] = -1.0  # it may be the best already
        self._groups: deque[tuple[str, list[Draw]]] = deque(maxlen=config.kept_starts)
        self._recent: deque[dict[str, float]] = deque(maxlen=_RECENT_ROUNDS)

    @classmethod
    def resumed(cls, out: Path, changes: dict[str, float | int], fields: Path | None = None) -> PreferenceTrainer:
        """Go on from the checkpoint in a folder.

        Args:
            out: the folder.
            changes: of its configuration, e.g. `minutes`.
            fields: as above.

        Raises:
            CheckpointError: there is none, or it is of another kind of training.
            ConfigError: a change isn't allowed.
        """
        saved = load_checkpoint(out)
        if saved.optimizer is None or "prefer" not in saved.config:
            raise CheckpointError(f"{out}: not of a training by preferences; `phonotaxis prefer RUN --out` begins one")
        config = build(PreferConfig, saved.config["prefer"] | changes, str(out))
        check_bound(config, changes)
        lanes = [
            build(Lane, {name: lane[name] for name in ("task", "validation") if name in lane}, str(out))
            for lane in saved.config.get("lanes") or [saved.config]
        ]
        trainer = cls(saved.policy(), lanes, config, out, None, fields, saved.before)
        trainer.optimizer.load_state_dict(saved.optimizer)
        trainer.counters = {_VALIDATED_S: saved.counters["prefer_seconds"]} | saved.counters
        trainer.comfort = found_in(trainer.counters, _KEPT, trainer.tasks)
        trainer.kept.load_state_dict(trainer.head.state_dict())
        try:
            trainer.head.load_state_dict(saved.modules.get(_LEARNING, {}))
        except RuntimeError:
            again = f"`phonotaxis prefer {out} --out another` begins one with the head that it kept"
            raise CheckpointError(f"{out}: has no head in training that fits its policy; {again}") from None
        return trainer

    @property
    def share(self) -> float:
        """Share of the training that is done, 0 to 1."""
        return self._share_at(float(self.counters["prefer_seconds"]), int(self.counters["prefer_rounds"]))

    def _share_at(self, seconds: float, rounds: int) -> float:
        if self.config.max_rounds is not None and seconds >= 0.0:
            return min(1.0, rounds / self.config.max_rounds)
        return min(1.0, seconds / (60.0 * self.config.minutes))

    def run(self, on_progress: Callable[[PreferProgress], None] | None = None) -> Policy:
        """Train to the end, and write checkpoints on the way and at the end, however it comes.

        Raises:
            DivergedError: what is learnt isn't finite; nothing of that was saved.
        """
        for task in self.tasks.values():
            _ = task.world  # what can't begin must fail before anything is written
        saved_at, rounds_before = float(self.counters["prefer_seconds"]), self.counters["prefer_rounds"]
        try:
            while self.share < 1.0:
                began = time.monotonic()
                if self._validation_is_due():
                    self.validate()
                values = self._round()
                self.counters["prefer_seconds"] += time.monotonic() - began
                if self.counters["prefer_seconds"] - saved_at > self.config.checkpoint_every_s:
                    self.save()
                    saved_at = float(self.counters["prefer_seconds"])
                self._recent.append(values)
                if on_progress is not None:
                    on_progress(self._progress())
            if self.config.validations and self.counters["prefer_validated_round"] < self.counters["prefer_rounds"]:
                self.validate()
        except DivergedError:
            rounds_before = self.counters["prefer_rounds"]  # what was saved before stands
            raise
        finally:
            if self.counters["prefer_rounds"] > rounds_before:
                self.save()
        return self.kept_policy()

    def validate(self) -> None:
        """Measure the head in training on the validation split, and keep it if it is the best yet."""
        self.measured = {name: task.measure() for name, task in self.tasks.items()}
        self.counters["prefer_validated_round"] = self.counters["prefer_rounds"]
        self.counters[_VALIDATED_S] = self.counters["prefer_seconds"]
        good = all(found.good(self.config.success_tolerance) for found in self.measured.values())
        if good and (not self.comfort or _more(self.measured) < _more(self.comfort)):
            self.comfort = self.measured
            self.kept.load_state_dict(self.head.state_dict())
            self.counters |= counters_of(self.comfort, _KEPT) | {f"{_KEPT}round": self.counters["prefer_rounds"]}
        self.save()

    def _validation_is_due(self) -> bool:
        every = self.config.validations
        before = self._share_at(float(self.counters[_VALIDATED_S]), int(self.counters["prefer_validated_round"]))
        return math.floor(self.share * every) > math.floor(before * every)

    def kept_policy(self) -> Policy:
        """Return the policy with the head that is kept, in evaluation mode."""
        policy = copy.deepcopy(self.policy).eval()
        assert policy.caution is not None
        policy.caution.load_state_dict(self.kept.state_dict())
        return policy

    def save(self) -> None:
        """Write a checkpoint; a kill at any byte leaves the previous one."""
        if self.out is None:
            return
        lanes = [
            {"task": task.task.model_dump(mode="json"), "validation": task.validation.model_dump(mode="json")}
            for task in self.tasks.values()
        ]
        config = {"lanes": lanes, "prefer": self.config.model_dump(mode="json")}
        save_checkpoint(
            self.out,
            Checkpoint(
                contract=self.policy.contract, policy_config=self.policy.config, config=config,
                modules={"policy": self.kept_policy().state_dict(), _LEARNING: self.head.state_dict()},
                optimizer=self.optimizer.state_dict(), counters=dict(self.counters), before=self._before,
            ),
        )  # fmt: skip

    def _round(self) -> dict[str, float]:
        """Draw, then learn; returns what to tell of it."""
        config, number = self.config, int(self.counters["prefer_rounds"])
        name = list(self.tasks)[number % len(self.tasks)]
        first = first_seed(config.seed) + number * config.starts
        seeds = [first + start for start in range(config.starts) for _ in range(config.draws)]
        cautions = [float(draw % 2) for draw in range(config.draws)] * config.starts
        drawn = self.tasks[name].draw(seeds, cautions, (config.seed, number))
        self._groups.extend((name, drawn[at : at + config.draws]) for at in range(0, len(drawn), config.draws))
        self.counters["prefer_rounds"] += 1
        self.counters["prefer_episodes"] += len(drawn)
        self.counters["prefer_frames"] += sum(len(draw.actions) for draw in drawn)
        return _told(drawn) | self._learn(number)

    def _learn(self, number: int) -> dict[str, float]:
        """Take a round's gradient steps; none while nothing can be ranked."""
        config = self.config
        pools: dict[str, list[Pair]] = {name: [] for name in self.tasks}
        for name, group in self._groups:
            pools[name].extend(pairs_of(group, config.manners))
        if not any(pools.values()):
            return {}
        rng = np.random.Generator(np.random.PCG64([0x707265, config.seed, number]))
        total: dict[str, float] = {}
        for _ in range(config.updates):
            chosen = drawn_alike(list(pools.values()), config.batch_pairs, rng)
            losses = preference_losses(self.head, chosen, config.beta, config.hold)
            self.optimizer.zero_grad(set_to_none=True)
            losses.total.backward()
            norm = torch.nn.utils.clip_grad_norm_(self.head.parameters(), config.gradient_norm)
            found = {"the loss": float(losses.total.detach()), "the gradient's norm": float(norm)}
            check_finite(found, config.learning_rate)
            self.optimizer.step()
            for name, value in losses._asdict().items():
                total[name] = total.get(name, 0.0) + float(value.detach()) / config.updates
        return {f"loss/{name}": value for name, value in total.items()} | {
            "pairs": float(sum(map(len, pools.values())))
        }

    def _progress(self) -> PreferProgress:
        names = self._recent[-1].keys()
        values = {name: float(np.mean([told[name] for told in self._recent if name in told])) for name in names}
        seconds, frames = float(self.counters["prefer_seconds"]), int(self.counters["prefer_frames"])
        return PreferProgress(self.share, seconds, frames, values, counters_of(self.measured, ""))


def check_bound(config: PreferConfig, changes: dict[str, float | int]) -> None:
    """Refuse minutes that would do nothing.

    Raises:
        ConfigError: they are among the changes, and the training ends after `max_rounds`.
    """
    if "minutes" in changes and config.max_rounds is not None:
        raise ConfigError(f"the training ends after max_rounds, {config.max_rounds}; leave --minutes or max_rounds out")


def with_knob(base: Policy) -> Policy:
    """Return a copy of a policy with a head of preferences, which adds nothing where the policy had none."""
    policy = Policy(base.contract, base.config.model_copy(update={"caution": True})).eval()
    new = {name: value for name, value in policy.state_dict().items() if name.startswith(KNOB)}
    policy.load_state_dict(new | base.state_dict())
    return policy


def _more(found: Mapping[str, Comfort]) -> float:
    return float(np.mean([comfort.more for comfort in found.values()]))


def _begun(before: dict[str, float | int]) -> dict[str, float | int]:
    """Return counters of a new training after those of the trainings before, but for another one by preferences."""
    own = ("rounds", "frames", "episodes", "validated_round", "validated_seconds", "kept_round")
    others = {name: value for name, value in before.items() if not name.startswith("prefer_")}
    return others | {"prefer_seconds": 0.0} | {f"prefer_{name}": 0 for name in own}


def _told(drawn: list[Draw]) -> dict[str, float]:
    told: dict[str, float] = {}
    for caution, name in ((0.0, "without"), (1.0, "with")):
        own = [draw for draw in drawn if draw.caution == caution]
        told[f"success/{name}_caution"] = float(np.mean([draw.result.success for draw in own]))
        told[f"clearance_m/{name}_caution"] = float(np.mean([draw.ride.mean_m for draw in own]))
        told[f"changes_per_m/{name}_caution"] = float(np.mean([draw.ride.changes_per_m(draw.result) for draw in own]))
    return told
