"""What a long training pays now and then, spread over a short run: scenes built and fields traced."""

from __future__ import annotations

import numpy as np

from phonotaxis.envs.library import Library

EPISODES_PER_FIELD = 64


class Wear:
    """Ages a library: a field serves `EPISODES_PER_FIELD` episodes and is then traced anew, and so are scenes built.

    A training draws on thousands of scenes, each for a while. Here there are few, with ages drawn at random, so that
    even a short run builds and traces as often as a long one does.

    Args:
        library: whose fields are counted from now on.
        rng: that ages are drawn from.

    Attributes:
        traced: fields traced so far.
        built: scenes built so far.
    """

    def __init__(self, library: Library, rng: np.random.Generator) -> None:
        task = library.task
        self.library = library
        self.traced = self.built = 0
        self._inner = library.field_slot
        self._index = {library.scene_slot(index): index for index in range(task.scenes.count)}
        fill(library)
        self._scene_lasts = EPISODES_PER_FIELD * fields_per_scene(library)
        self._episodes = rng.integers(EPISODES_PER_FIELD, size=(task.scenes.count, fields_per_scene(library)))
        self._scene_episodes = rng.integers(self._scene_lasts, size=task.scenes.count)
        library.field_slot = self.field_slot  # type: ignore[method-assign]  # the bench's own library, for its run

    def field_slot(self, scene_slot: int, number: int) -> int:
        """Stand for `Library.field_slot`."""
        index = self._index[scene_slot]
        self._scene_episodes[index] += 1
        if self._scene_episodes[index] > self._scene_lasts:
            self.library.reload_scene(index)
            self._scene_episodes[index] = 1
            self.built += 1
        self._episodes[index, number] += 1
        if self._episodes[index, number] > EPISODES_PER_FIELD:
            self.library.forget_field(scene_slot, number)
            self._episodes[index, number] = 1
            self.traced += 1
        return self._inner(scene_slot, number)


def fields_per_scene(library: Library) -> int:
    """Return how many sources a scene has: places of goals, and more for distractors."""
    task = library.task
    return task.sources_per_scene + task.sources.distractors


def fill(library: Library) -> None:
    """Build all scenes of a library's task and trace all their sources, so that nothing is left to be made."""
    held = []
    for index in range(library.task.scenes.count):
        slot = library.scene_slot(index)
        for number in range(fields_per_scene(library)):
            held.append(library.field_slot(slot, number))
            library.hold(held[-1])
    library.release(*held)
