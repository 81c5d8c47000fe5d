"""Episodes: which scene, source, sound, level and start a seed stands for."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from phonotaxis.envs.library import Library
from phonotaxis.envs.scenes.raycast import line_of_sight
from phonotaxis.envs.scenes.scene import SceneError

_TRIES = 64
_SCENES = 16


class Episode(NamedTuple):
    """One episode's beginning.

    Attributes:
        seed: that it was drawn from.
        scene: slot of the scene; field: slot of the source's field.
        sound: index of the sound; offset: sample of its loop at which the episode begins.
        level_db_spl: of the source at 1 m.
        pose: x, y, yaw of the start, world, metres and radians.
    """

    seed: int
    scene: int
    field: int
    sound: int
    offset: int
    level_db_spl: float
    pose: tuple[float, float, float]


def draw_episode(library: Library, seed: int) -> Episode:
    """Draw the episode that a seed stands for; the same whatever was drawn before.

    Raises:
        SceneError: no scene of the set has a start that the task allows.
    """
    task = library.task
    rng = np.random.Generator(np.random.PCG64([0x657069, seed]))
    for _ in range(_SCENES):
        scene = library.scene_slot(int(rng.integers(task.scenes.count)))
        field = library.field_slot(scene, int(rng.integers(task.sources_per_scene)))
        hidden = bool(rng.random() < task.out_of_sight_share)
        start = _draw_start(library, scene, field, hidden, rng)
        if start is not None:
            break
    else:
        raise SceneError(
            f"{task.scenes.source}: found no start between {task.min_distance_m} and {task.max_distance_m} m of a "
            "source; give smaller distances or a larger scene"
        )
    sound = int(rng.integers(len(library.sounds)))
    spread = task.sounds.level_range_db
    return Episode(
        seed=seed,
        scene=scene,
        field=field,
        sound=sound,
        offset=int(rng.integers(library.signal_length[sound])),
        level_db_spl=float(task.sounds.mean_level_db_spl + rng.uniform(-spread, spread)),
        pose=(start[0], start[1], float(rng.uniform(-np.pi, np.pi))),
    )


def _draw_start(
    library: Library, scene_slot: int, field_slot: int, hidden: bool, rng: np.random.Generator
) -> tuple[float, float] | None:
    """Draw a start at an allowed distance; out of the source's sight if asked for and to be had."""
    task, scene = library.task, library.scenes[scene_slot]
    distance = library.walks[field_slot].distance_m
    allowed = library.walkable(scene_slot) & (distance >= task.min_distance_m) & (distance <= task.max_distance_m)
    cells = np.argwhere(allowed)
    if len(cells) == 0:
        return None
    source = library.fields[field_slot].source_m
    plan = library.scene_sounds[scene_slot].plan
    best = None
    for _ in range(_TRIES if hidden else 1):
        row, column = cells[rng.integers(len(cells))]
        best = scene.centre_of(int(row), int(column))
        if not hidden or not line_of_sight(
            plan.floor, plan.ceiling, plan.inv, plan.ox, plan.oy, best[0], best[1], 0.5, *source
        ):
            break
    return best
