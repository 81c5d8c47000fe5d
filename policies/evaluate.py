"""Evaluation on a training's own task: paired episodes in scenes that it has not seen."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from phonotaxis.configs.base import ConfigError
from phonotaxis.configs.task import AudioGoalTask, SceneSet, is_one_scene
from phonotaxis.configs.trained import trained_tasks
from phonotaxis.policies.benchmark import Contestant, Evaluation, Progress, compare
from phonotaxis.policies.checkpoint import load_checkpoint
from phonotaxis.policies.episode_seeds import evaluation_seeds
from phonotaxis.policies.policy import Policy
from phonotaxis.policies.rollout import PolicyDecider

__all__ = ["Evaluation", "contestant", "evaluate", "evaluate_checkpoint", "unseen"]

UNSEEN_SCENES = {"test": 1_000_000, "validation": 2_000_000}  # first seeds of scenes that suites' trainings don't draw
UNSEEN_COUNT = 64


def unseen(task: AudioGoalTask, split: Literal["validation", "test"] = "test") -> AudioGoalTask:
    """Return the task with scenes and sounds that training doesn't have.

    Procedural scenes get seeds from a million up and sounds of held-out kinds and instances; a map or a folder of
    recordings is what it is, and stays: there the seeds of `evaluate` keep the splits apart. Where the goal or the
    sounds are named, kinds stay and instances are new. Elsewhere distractors' kinds stay, since they are what tells
    them from the goal, and the goal is of any other.

    Args:
        task: of the training.
        split: validation's scenes and sounds aren't the test's either.
    """
    changes: dict[str, object] = {}
    if not is_one_scene(task.scenes.source) or task.scenes.count > 1:
        changes["scenes"] = SceneSet(
            source=task.scenes.source, first_seed=UNSEEN_SCENES[split], count=UNSEEN_COUNT, options=task.scenes.options
        )
    if task.sounds.folder is None:
        kinds, goal_kinds = _kinds(task, split)
        changes["sounds"] = task.sounds.model_copy(update={"split": split, "kinds": kinds})
        changes["sources"] = task.sources.model_copy(update={"goal_kinds": goal_kinds})
    return task.model_copy(update=changes)


def _kinds(task: AudioGoalTask, split: Literal["validation", "test"]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the kinds of a split's sounds, and those of its goals; empty for the split's own, and for all."""
    from phonotaxis.envs.sounds import KINDS_OF, TRAINING_KINDS

    sounds, sources = task.sounds, task.sources
    if sounds.kinds:
        return sounds.kinds, sources.goal_kinds
    if task.goal in ("kind", "sentence"):
        return TRAINING_KINDS, sources.goal_kinds
    if sources.distractor_kinds:
        goals = tuple(kind for kind in KINDS_OF[split] if kind not in sources.distractor_kinds)
        return (*goals, *sources.distractor_kinds), goals
    return (), ()


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
    split: Literal["validation", "test"] = "test",
) -> Evaluation:
    """Run every policy on the same episodes.

    Args:
        policy: the learnt one; None leaves it out.
        task: that it was trained on; episodes are drawn from `unseen(task, split)`, the follower's stopping rule is
            fitted to `task` itself.
        episodes: for each policy.
        seed: of the episodes.
        baselines: also random, forward, follower with and without an oracle's stop, and expert.
        worlds: run at once.
        threads: that the simulator may use.
        progress: told the share done and what is going on.
        others: further policies by name.
        split: whose scenes, sounds and seeds they are.
    """
    seeds = evaluation_seeds(split, seed, episodes)
    contestants = ({} if policy is None else {"learnt": contestant(policy)}) | dict(others or {})
    return compare(task, unseen(task, split), seeds, contestants, baselines, worlds, threads, progress, seed=seed)


def evaluate_checkpoint(
    folder: Path,
    episodes: int,
    baselines: bool = True,
    seed: int = 0,
    progress: Progress | None = None,
    split: Literal["validation", "test"] = "test",
    threads: int = 2,
) -> Evaluation:
    """Evaluate the averaged policy of a training's folder on its task, of several the first; see `evaluate`.

    Raises:
        ConfigError: the checkpoint names no task.
    """
    saved = load_checkpoint(folder)
    task = trained_tasks(saved.config, str(folder))
    if not task:
        raise ConfigError(f"{folder}: doesn't say on which task it was trained; name a --suite")
    return evaluate(saved.policy(), task[0], episodes, seed, baselines, threads=threads, progress=progress, split=split)
