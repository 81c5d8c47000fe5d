"""A library that keeps all scenes and fields of a task in memory, for trainings, which meet few scenes often."""

from __future__ import annotations

from phonotaxis.configs.task import AudioGoalTask
from phonotaxis.envs.library import Library

MOST_SCENES, MOST_FIELDS = 1024, 4096  # half a gigabyte and two


def of_few_scenes(task: AudioGoalTask, count: int | None) -> AudioGoalTask:
    """Return a task that draws from its first `count` scenes; from all where that is None or more than it has."""
    scenes = task.scenes
    if count is None or count >= scenes.count:
        return task
    return task.model_copy(update={"scenes": scenes.model_copy(update={"count": count})})


def kept_library(task: AudioGoalTask, store: str | None = None) -> Library:
    """Make a library with room for every scene of a task and every place in it where something sounds, up to a bound.

    Where sources walk each of their way-points is such a place, and how many there are is known when they have been
    drawn: there it is the bound.

    Args:
        task: with as many scenes as are to be met again and again.
        store: folder in which sound fields outlive the training; None for none.
    """
    sources = task.sources
    places = task.scenes.count * (task.sources_per_scene + sources.distractors)
    walks = max(sources.goal_speed_mps, sources.distractor_speed_mps) > 0.0
    return Library(
        task, MOST_FIELDS if walks else min(places, MOST_FIELDS), min(task.scenes.count, MOST_SCENES), store=store
    )
