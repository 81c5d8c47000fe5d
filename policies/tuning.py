"""When the follower stops: fitted to episodes of the training split."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from phonotaxis.configs.task import AudioGoalTask
from phonotaxis.envs.library import Library
from phonotaxis.envs.world import World
from phonotaxis.policies.follower import FollowerDecider, StopRule
from phonotaxis.policies.kinds import KindOf

EPISODES = 96
FIRST_SEED = 7_000_000
_MOST_STEPS = 300
_THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.93, 0.96, 0.98, 0.99)
_AFTER_STEPS = (20, 30, 1000)
_RIDGE, _ROUNDS = 1.0, 20


class Traces(NamedTuple):
    """What the follower met where it never stopped: [steps, episodes], signs [steps, episodes, SIGNS]."""

    signs: np.ndarray
    distance_m: np.ndarray
    path_m: np.ndarray


def tune_follower(
    task: AudioGoalTask,
    threads: int,
    progress: Callable[[float], None] | None = None,
    library: Library | None = None,
    kind_of: KindOf | None = None,
    episodes: int = EPISODES,
) -> StopRule:
    """Fit the follower's stopping rule to a task's own episodes, which must be those of training.

    Its signs are those of what it hears, so a follower that is told kinds of sound gets a rule of its own: `kind_of`.

    The follower runs once without stopping. Its signs are fitted to whether it was in reach of the source (logistic
    regression, ridge), then the threshold is chosen by success plus SPL, judged by where it would have stopped.
    """
    traces = trace_follower(task, episodes, threads, progress, library, kind_of)
    return best_rule(traces, task.success_m)


def best_rule(traces: Traces, success_m: float) -> StopRule:
    """Fit rules to traces, each to the steps up to some time after the first arrival, and return the best of them.

    A rule stops but once, at the first sign; what the signs would be long after it has little to do with that.
    """
    arrived = traces.distance_m < success_m
    first = np.where(arrived.any(axis=0), arrived.argmax(axis=0), len(arrived))
    best, best_score = StopRule(), -1.0
    for longer in _AFTER_STEPS:
        used = np.arange(len(arrived))[:, None] < (first + longer)[None, :]
        weights, bias = fit_logistic(traces.signs[used], arrived[used])
        for threshold in _THRESHOLDS:
            rule = StopRule(tuple(map(float, weights)), bias, threshold)
            score = judge(rule, traces, success_m)
            if score > best_score:
                best, best_score = rule, score
    return best


def trace_follower(
    task: AudioGoalTask,
    count: int,
    threads: int,
    progress: Callable[[float], None] | None = None,
    library: Library | None = None,
    kind_of: KindOf | None = None,
) -> Traces:
    """Run the follower, told kinds of sound by `kind_of`, without a rule for stopping."""
    longest = min(task.max_steps, _MOST_STEPS)
    world = World(task, count, threads, library if library is not None else Library(task))
    decider = FollowerDecider(world.contract, count, None, kind_of=kind_of)
    world.begin(np.arange(count), FIRST_SEED + np.arange(count))
    decider.begin(np.arange(count))
    rows = []
    for step in range(longest):
        actions = decider.decide(world)
        rows.append(Traces(decider.tracker.signs.copy(), world.distance_m.copy(), world.path_m.copy()))
        world.step(actions)
        if progress is not None:
            progress((step + 1) / longest)
    return Traces(*(np.stack(part) for part in zip(*rows)))


def judge(rule: StopRule, traces: Traces, success_m: float) -> float:
    """Return success plus SPL, averaged, of a rule on traces."""
    steps, columns = traces.distance_m.shape[0], np.arange(traces.distance_m.shape[1])
    late = (np.arange(steps) >= rule.min_steps)[:, None]
    fires = (rule.probability(traces.signs) >= rule.threshold) & late
    at = fires.argmax(axis=0)
    success = fires.any(axis=0) & (traces.distance_m[at, columns] < success_m)
    share = traces.distance_m[0] / np.maximum(traces.distance_m[0], traces.path_m[at, columns])
    return float(np.mean(success * (1.0 + share)))


def fit_logistic(signs: np.ndarray, arrived: np.ndarray) -> tuple[np.ndarray, float]:
    """Fit a logistic regression by Newton's method, with a ridge on standardised weights.

    Args:
        signs: float64 [samples, signs].
        arrived: bool [samples].

    Returns:
        Weights of the signs as they are, and the bias.
    """
    mean, spread = signs.mean(axis=0), np.maximum(signs.std(axis=0), 1e-9)
    inputs = np.concatenate([(signs - mean) / spread, np.ones((len(signs), 1))], axis=1)
    ridge = np.diag([_RIDGE] * signs.shape[1] + [1e-3])
    weights = np.zeros(inputs.shape[1])
    for _ in range(_ROUNDS):
        chance = 1.0 / (1.0 + np.exp(-np.clip(inputs @ weights, -60.0, 60.0)))
        slope = inputs.T @ (arrived - chance) - ridge @ weights
        curve = (inputs * (chance * (1.0 - chance))[:, None]).T @ inputs + ridge
        weights = weights + np.linalg.solve(curve, slope)
    own = weights[:-1] / spread
    return own, float(weights[-1] - own @ mean)
