"""Evaluation: paired episodes in scenes that training has not seen, against policies that are known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from phonotaxis.configs.task import AudioGoalTask, SceneSet
from phonotaxis.envs import metrics
from phonotaxis.envs.library import Library
from phonotaxis.envs.metrics import EpisodeResult
from phonotaxis.envs.statistics import Estimate
from phonotaxis.envs.world import World
from phonotaxis.policies.baselines import ExpertDecider, RandomDecider
from phonotaxis.policies.checkpoint import load_checkpoint
from phonotaxis.policies.follower import FollowerDecider, StopRule
from phonotaxis.policies.policy import Policy
from phonotaxis.policies.rollout import Decider, PolicyDecider, run_episodes

Progress = Callable[[float, str], None]

UNSEEN_SCENES = 1_000_000  # first seed of the scenes that no training draws
_TUNING_EPISODES = 64
_NEAR = (0.02, 0.03, 0.05, 0.07, 0.1, 0.14, 0.2, 0.3, 0.5, 0.8)
_HOVERS = (24.0, 36.0, 60.0, np.inf)


@dataclass(frozen=True)
class Evaluation:
    """What an evaluation found.

    Attributes:
        results: episodes by policy's name, in the same order for each.
        stop_rule: the follower's, as tuned on the training scenes; None without baselines.
    """

    results: dict[str, list[EpisodeResult]] = field(default_factory=dict)
    stop_rule: StopRule | None = None

    def summary(self, name: str) -> dict[str, Estimate]:
        """Return the metrics of a policy, see `metrics.summarise`."""
        return metrics.summarise(self.results[name])

    def over(self, name: str, other: str, metric: str = "spl") -> Estimate:
        """Return the paired difference of a metric between two policies."""
        return metrics.paired_difference(self.results[name], self.results[other], metric)


def unseen(task: AudioGoalTask) -> AudioGoalTask:
    """Return the task with scenes and sounds that training doesn't have.

    Procedural scenes get seeds from a million up and sounds of held-out kinds and instances; a map or a folder of
    recordings is what it is, and stays.
    """
    changes: dict[str, object] = {}
    if task.scenes.source in ("apartment", "empty_room") or task.scenes.count > 1:
        changes["scenes"] = SceneSet(
            source=task.scenes.source, first_seed=UNSEEN_SCENES, count=64, options=task.scenes.options
        )
    if task.sounds.folder is None:
        changes["sounds"] = task.sounds.model_copy(update={"split": "test"})
    return task.model_copy(update=changes)


def evaluate(
    policy: Policy | None,
    task: AudioGoalTask,
    episodes: int,
    seed: int = 0,
    baselines: bool = True,
    worlds: int = 64,
    threads: int = 2,
    progress: Progress | None = None,
) -> Evaluation:
    """Run every policy on the same episodes.

    Args:
        policy: the learnt one; None leaves it out.
        task: that it was trained on; episodes are drawn from `unseen(task)`, the follower's stopping rule is tuned
            on `task` itself.
        episodes: for each policy.
        seed: of the episodes.
        baselines: also random, follower and expert.
        worlds: run at once.
        threads: that the simulator may use.
        progress: told the share done and what is going on.
    """
    tell = progress or (lambda share, what: None)
    rule = (
        tune_follower(task, worlds, threads, lambda share: tell(0.1 * share, "tuning the follower"))
        if baselines
        else None
    )
    test = unseen(task)
    world = World(test, min(worlds, episodes), threads, Library(test))
    count = world.num_worlds
    deciders: dict[str, Decider] = {}
    if policy is not None:
        deciders["learnt"] = PolicyDecider(policy, count)
    if baselines:
        deciders["random"] = RandomDecider(count, world.contract.num_actions, seed)
        deciders["follower"] = FollowerDecider(world.contract, count, rule)
        deciders["expert"] = ExpertDecider()
    seeds = [seed * 1_000_003 + number for number in range(episodes)]
    results: dict[str, list[EpisodeResult]] = {}
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        for index, (name, decider) in enumerate(deciders.items()):
            done: list[EpisodeResult] = []

            def note(
                result: EpisodeResult, index: int = index, name: str = name, done: list[EpisodeResult] = done
            ) -> None:
                done.append(result)
                tell(0.1 + 0.9 * (index + len(done) / episodes) / len(deciders), name)

            results[name] = run_episodes(world, decider, seeds, note)
    finally:
        torch.set_num_threads(before)
    return Evaluation(results, rule)


def tune_follower(
    task: AudioGoalTask, worlds: int, threads: int, progress: Callable[[float], None] | None = None
) -> StopRule:
    """Choose the follower's stopping rule by success plus SPL on episodes of the training scenes.

    The follower runs once without stopping; each rule is then judged by where it would have stopped.
    """
    count = min(worlds, _TUNING_EPISODES)
    short = task.model_copy(update={"max_steps": min(task.max_steps, 200)})
    world = World(short, count, threads, Library(short))
    decider = FollowerDecider(world.contract, count, None)
    world.begin(np.arange(count), 7_000_000 + np.arange(count))
    decider.begin(np.arange(count))
    trace: list[np.ndarray] = []
    while world.active.any():
        trace.append(np.stack([world.distance_m, world._path_m]))
        actions = decider.decide(world)
        trace[-1] = np.concatenate([trace[-1], np.stack(decider.signs)])
        world.step(actions)
        if progress is not None:
            progress(len(trace) / short.max_steps)
    distance_m, path_m, near, hover, steps = np.stack(trace, axis=1)  # each [steps, worlds]
    best, best_score = StopRule(), -1.0
    columns = np.arange(count)
    for near_least in _NEAR:
        for hover_least in _HOVERS:
            fires = ((near >= near_least) & (steps > StopRule().min_steps)) | (hover >= hover_least)
            at = fires.argmax(axis=0)
            success = fires.any(axis=0) & (distance_m[at, columns] < task.success_m)
            share = distance_m[0] / np.maximum(distance_m[0], path_m[at, columns])
            score = float(np.mean(success * (1.0 + share)))
            if score > best_score:
                best, best_score = StopRule(near_least, hover_least), score
    return best


def evaluate_checkpoint(
    folder: Path, episodes: int, baselines: bool = True, seed: int = 0, progress: Progress | None = None
) -> Evaluation:
    """Evaluate the averaged policy of a training's folder, see `evaluate`."""
    saved = load_checkpoint(folder)
    task = AudioGoalTask.model_validate(saved.config["task"])
    return evaluate(saved.policy(), task, episodes, seed, baselines, progress=progress)
