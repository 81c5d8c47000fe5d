"""Validation on the way: how good a policy is on its own, in scenes and sounds that it doesn't train on."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from phonotaxis.configs import presets
from phonotaxis.configs.contract import Contract
from phonotaxis.configs.lanes import Lane, numbered
from phonotaxis.configs.suite import load_suite
from phonotaxis.configs.task import AudioGoalTask
from phonotaxis.envs.metrics import spl
from phonotaxis.policies.benchmark import Arena
from phonotaxis.policies.episode_seeds import selection_seeds
from phonotaxis.policies.evaluate import contestant, unseen
from phonotaxis.policies.policy import Policy

# What a policy is built for; all else of a task it meets as it comes.
_PERCEIVED = ("array", "camera", "front_end", "hop_samples", "modalities", "sample_rate_hz", "window_samples")
BEST = "best"  # folder beside the checkpoints of a training, a training's folder itself


class Validation:
    """The same episodes of every lane's validation task, run whenever it is asked.

    Lanes whose validation tasks differ in their arrays alone share that of the first.

    Args:
        lanes: of a training.
        episodes: of each task.
    """

    def __init__(self, lanes: Sequence[Lane], episodes: int) -> None:
        tasks: list[AudioGoalTask] = []
        for lane in lanes:
            found = validation_task(lane.task, lane.validation)
            if not any(found == task.model_copy(update={"array": found.array}) for task in tasks):
                tasks.append(found)
        seeds = selection_seeds(episodes)
        names = numbered(task.name for task in tasks)
        self._arenas = {name: Arena(task, seeds, threads=1) for name, task in zip(names, tasks)}

    def measure(self, policy_for: Callable[[Contract], Policy]) -> dict[str, float]:
        """Return by task's name, numbered where it is another's too, the mean success weighted by path length.

        Args:
            policy_for: builds the policy for a task's contract.
        """
        found = {}
        for name, arena in self._arenas.items():
            results = arena.run(contestant(policy_for(arena.task.contract())).make, lambda share: None)
            found[name] = float(np.mean([spl(result) for result in results]))
        return found


def validation_task(task: AudioGoalTask, of_suite: AudioGoalTask | None = None) -> AudioGoalTask:
    """Return the task with the scenes and sounds of the validation split.

    Of a suite's task, that is the suite's own, without what a lane changes of it for the sake of learning, but as the
    policy hears and sees it. Of any other it is what `unseen` makes of it.

    Args:
        task: of a training.
        of_suite: that of a suite's validation split; None finds it by the task's name where that is a shipped one's.
    """
    if of_suite is None and task.name not in presets.names("suites"):
        return unseen(task, "validation")
    perceived = {name: getattr(task, name) for name in _PERCEIVED}
    found = (of_suite or load_suite(task.name).task_of("validation")).model_copy(update=perceived)
    return found.model_copy(update={"goal": "absent"}) if task.goal == "absent" else found
