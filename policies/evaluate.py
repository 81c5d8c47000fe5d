"""Evaluation on a training's own task: paired episodes in scenes that it has not seen."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from phonotaxis.configs.task import AudioGoalTask, SceneSet
from phonotaxis.policies.benchmark import Contestant, Evaluation, Progress, compare
from phonotaxis.policies.checkpoint import load_checkpoint
from phonotaxis.policies.policy import Policy
from phonotaxis.policies.rollout import PolicyDecider

__all__ = ["Evaluation", "contestant", "evaluate", "evaluate_checkpoint", "unseen"]

UNSEEN_SCENES = {"test": 1_000_000, "validation": 2_000_000}  # first seeds of scenes that no training draws


def unseen(task: AudioGoalTask, split: Literal["validation", "test"] = "test") -> AudioGoalTask:
    """Return the task with scenes and sounds that training doesn't have.

    Procedural scenes get seeds from a million up and sounds of held-out kinds and instances; a map or a folder of
    recordings is what it is, and stays. Where the goal is named, kinds stay and instances are new.

    Args:
        task: of the training.
        split: validation's scenes and sounds aren't the test's either.
    """
    changes: dict[str, object] = {}
    if task.scenes.source in ("apartment", "empty_room") or task.scenes.count > 1:
        changes["scenes"] = SceneSet(
            source=task.scenes.source, first_seed=UNSEEN_SCENES[split], count=64, options=task.scenes.options
        )
    if task.sounds.folder is None:
        changes["sounds"] = task.sounds.model_copy(update={"split": split} | _kinds(task))
    return task.model_copy(update=changes)


def _kinds(task: AudioGoalTask) -> dict[str, tuple[str, ...]]:
    from phonotaxis.envs.sounds import TRAINING_KINDS

    return {} if task.sounds.kinds or task.goal in ("absent", "none") else {"kinds": TRAINING_KINDS}


def contestant(policy: Policy, caution: float = 0.0) -> Contestant:
    """Return a learnt policy as the benchmark takes it, with its knob, where it has one, turned to `caution`."""
    return Contestant(policy.contract, lambda world: PolicyDecider(policy, world.num_worlds, caution))


def evaluate(
    policy: Policy | None,
    task: AudioGoalTask,
    episodes: int,
    seed: int = 0,
    baselines: bool = True,
    worlds: int = 64,
    threads: int = 2,
    progress: Progress | None = None,
    others: Mapping[str, Contestant] | None = None,
) -> Evaluation:
    """Run every policy on the same episodes.

    Args:
        policy: the learnt one; None leaves it out.
        task: that it was trained on; episodes are drawn from `unseen(task)`, the follower's stopping rule is fitted
            to `task` itself.
        episodes: for each policy.
        seed: of the episodes.
        baselines: also random, forward, follower with and without an oracle's stop, and expert.
        worlds: run at once.
        threads: that the simulator may use.
        progress: told the share done and what is going on.
        others: further policies by name.
    """
    seeds = [seed * 1_000_003 + number for number in range(episodes)]
    contestants = ({} if policy is None else {"learnt": contestant(policy)}) | dict(others or {})
    return compare(task, unseen(task), seeds, contestants, baselines, worlds, threads, progress, seed=seed)


def evaluate_checkpoint(
    folder: Path, episodes: int, baselines: bool = True, seed: int = 0, progress: Progress | None = None
) -> Evaluation:
    """Evaluate the averaged policy of a training's folder, see `evaluate`."""
    saved = load_checkpoint(folder)
    task = AudioGoalTask.model_validate(saved.config["task"])
    return evaluate(saved.policy(), task, episodes, seed, baselines, progress=progress)
