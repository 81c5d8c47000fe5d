"""Where a policy went: the ways of single episodes, to be drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from phonotaxis.configs.task import AudioGoalTask
from phonotaxis.envs.library import Library
from phonotaxis.envs.metrics import EpisodeResult
from phonotaxis.envs.scenes.scene import Scene
from phonotaxis.envs.world import World
from phonotaxis.policies.benchmark import MakeDecider
from phonotaxis.policies.rollout import one_thread, run_episodes


@dataclass(frozen=True)
class Trail:
    """One episode's way.

    Attributes:
        scene: where it was.
        way_m: float64 [steps, 2], world.
        source_m: float64 [3], of the goal at the end, world.
        others_m: float64 [distractors, 3], likewise; none where nothing else plays.
        result: what came of it.
    """

    scene: Scene
    way_m: np.ndarray
    source_m: np.ndarray
    others_m: np.ndarray
    result: EpisodeResult


def trails(task: AudioGoalTask, make: MakeDecider, seeds: Sequence[int]) -> list[Trail]:
    """Run episodes again and note where they went; each is what it was among others.

    Args:
        task: of the episodes.
        make: builds the decider.
        seeds: of the episodes, one or more.
    """
    world = World(task, len(seeds), library=Library(task))
    ways: list[list[np.ndarray]] = [[] for _ in seeds]
    scenes: list[Scene | None] = [None] * len(seeds)
    sources = np.zeros((len(seeds), 3))
    others = [np.zeros((0, 3))] * len(seeds)

    def note(now: World) -> None:
        for index in np.flatnonzero(now.active):
            ways[index].append(now.pose[index, :2].copy())
            scenes[index] = now.library.scenes[int(now.hearing.listeners.scene[index])]
            sources[index] = now.source_m(int(index))
            playing = [voice for voice in now.hearing.voices[1:] if voice.gain[index] > 0.0]
            others[index] = np.array([voice.listeners.source_m[index] for voice in playing]).reshape(-1, 3)

    with one_thread():
        results = run_episodes(world, make(world), seeds, on_step=note)
    return [
        Trail(scene, np.array(way), source, there, result)
        for scene, way, source, there, result in zip(scenes, ways, sources, others, results)
        if scene is not None
    ]
