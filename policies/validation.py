"""Validation on the way: how good a policy is on its own, in scenes and sounds that it doesn't train on."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from phonotaxis.configs import presets
from phonotaxis.configs.contract import Contract
from phonotaxis.configs.suite import EPISODE_SEEDS, load_suite
from phonotaxis.configs.task import AudioGoalTask
from phonotaxis.envs.metrics import spl
from phonotaxis.policies.benchmark import Arena
from phonotaxis.policies.evaluate import contestant, unseen
from phonotaxis.policies.policy import Policy

# What a policy is built for; all else of a task it meets as it comes.
_PERCEIVED = ("array", "camera", "front_end", "hop_samples", "modalities", "sample_rate_hz", "window_samples")
BEST = "best"  # folder beside the checkpoints of a training, a training's folder itself


class Validation:
    """The same episodes of every task's validation split, run whenever it is asked.

    A task of a suite's train split is validated on that suite's validation split, whatever its array; any other on
    what `unseen` makes of it.

    Args:
        tasks: of a training's lanes.
        episodes: of each task.
    """

    def __init__(self, tasks: Sequence[AudioGoalTask], episodes: int) -> None:
        by_name = {task.name: task for task in reversed(tasks)}  # the first of each name
        first = EPISODE_SEEDS["validation"][0]
        seeds = range(first, first + episodes)
        self._arenas = {name: Arena(validation_task(by_name[name]), seeds, threads=1) for name in sorted(by_name)}

    def measure(self, policy_for: Callable[[Contract], Policy]) -> dict[str, float]:
        """Return by task's name the mean success weighted by path length.

        Args:
            policy_for: builds the policy for a task's contract.
        """
        found = {}
        for name, arena in self._arenas.items():
            results = arena.run(contestant(policy_for(arena.task.contract())).make, lambda share: None)
            found[name] = float(np.mean([spl(result) for result in results]))
        return found


def validation_task(task: AudioGoalTask) -> AudioGoalTask:
    """Return the task with the scenes and sounds of the validation split.

    Of a suite's task, that is the suite's own, without what a lane changes of it for the sake of learning, but as the
    policy hears and sees it.
    """
    if task.name not in presets.names("suites"):
        return unseen(task, "validation")
    perceived = {name: getattr(task, name) for name in _PERCEIVED}
    found = load_suite(task.name).task_of("validation").model_copy(update=perceived)
    return found.model_copy(update={"goal": "absent"}) if task.goal == "absent" else found
