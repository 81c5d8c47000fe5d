"""Episodes: which scene, source, sound, level and start a seed stands for."""

from __future__ import annotations

from typing import NamedTuple, TypeVar

import numpy as np

from phonotaxis.configs.base import ConfigError
from phonotaxis.configs.sources import Sources
from phonotaxis.envs.library import Library
from phonotaxis.envs.routes import Route
from phonotaxis.envs.scenes.raycast import line_of_sight
from phonotaxis.envs.scenes.scene import SceneError

_TRIES = 64
_EYES_M = 0.5  # over the floor, from which a start sees the source or doesn't
_SCENES = 16


FOREVER_S = 1e6
_OTHERS = 0x6F7468
_ROUTES = 2  # that a place has


class Sounding(NamedTuple):
    """One source of an episode.

    Attributes:
        field: slot of its field.
        sound: index of its sound; offset: sample of its loop at which the episode begins, negative before its first.
        level_db_spl: at 1 m.
        begins_s: when it is heard from, seconds since the episode began; -`FOREVER_S` has been playing.
        ends_s: when it falls silent.
        route: its way, to and fro, which begins at `field`'s place; empty stands still.
        speed_mps: on the way.
    """

    field: int
    sound: int
    offset: int
    level_db_spl: float
    begins_s: float = -FOREVER_S
    ends_s: float = FOREVER_S
    route: Route = Route()
    speed_mps: float = 0.0


class Episode(NamedTuple):
    """One episode's beginning.

    Attributes:
        seed: that it was drawn from.
        scene: slot of the scene; field: slot of the source's field.
        sound: index of the sound; offset: see `Sounding`.
        level_db_spl: of the source at 1 m.
        pose: x, y, yaw of the start, world, metres and radians.
        begins_s, ends_s: when the goal is heard, see `Sounding`.
        others: further sources.
        route, speed_mps: of the goal, see `Sounding`.
    """

    seed: int
    scene: int
    field: int
    sound: int
    offset: int
    level_db_spl: float
    pose: tuple[float, float, float]
    begins_s: float = -FOREVER_S
    ends_s: float = FOREVER_S
    others: tuple[Sounding, ...] = ()
    route: Route = Route()
    speed_mps: float = 0.0

    def goal(self) -> Sounding:
        """Return the source that is to be found."""
        return Sounding(*self[2:6], self.begins_s, self.ends_s, self.route, self.speed_mps)

    def louder(self, by_db: float) -> Episode:
        """Return the same episode with all of its sources louder by so many dB."""
        others = tuple(other._replace(level_db_spl=other.level_db_spl + by_db) for other in self.others)
        return self._replace(level_db_spl=self.level_db_spl + by_db, others=others)

    def fields(self) -> tuple[int, ...]:
        """Return the slots of all its sources' fields."""
        routes = (slots for way in (self.route, *(other.route for other in self.others)) for slots in way)
        return (self.field, *(other.field for other in self.others), *(slot for route in routes for slot in route))


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
    choice = _of_kinds(library, task.sources.goal_kinds, "goal_kinds")
    sound = choice[int(rng.integers(len(choice)))]
    spread = task.sounds.level_range_db
    episode = Episode(
        seed=seed,
        scene=scene,
        field=field,
        sound=sound,
        offset=int(rng.integers(library.signal_spans[sound, 1])),
        level_db_spl=float(task.sounds.mean_level_db_spl + rng.uniform(-spread, spread)),
        pose=(start[0], start[1], float(rng.uniform(-np.pi, np.pi))),
    )
    return episode if task.sources == Sources() else _with_sources(library, episode)


def _with_sources(library: Library, episode: Episode) -> Episode:
    """Draw when the goal is heard, and what else plays."""
    sources, rng = library.task.sources, np.random.Generator(np.random.PCG64([_OTHERS, episode.seed]))
    begins_s, ends_s, offset = -FOREVER_S, FOREVER_S, episode.offset
    if sources.starts_after_s[1] > 0.0:
        begins_s = float(rng.uniform(*sources.starts_after_s))
    if sources.stops_after_s is not None:
        ends_s = float(rng.uniform(*sources.stops_after_s))
    if sources.plays == "once":
        begins_s = max(begins_s, 0.0)
        offset = -int(begins_s * library.task.sample_rate_hz)  # so that its first sample is heard first
        length_s = library.signal_spans[episode.sound, 1] / library.task.sample_rate_hz
        ends_s = min(ends_s, begins_s + float(length_s))
    episode = episode._replace(begins_s=begins_s, ends_s=ends_s, offset=offset)
    library.hold(episode.field)
    held = episode.fields()
    try:
        episode = _on_its_way(library, episode, episode.scene, sources.goal_speed_mps, rng)
        held = episode.fields()
        for _ in range(sources.distractors):
            other = _draw_other(library, episode, rng)
            library.hold(other.field)
            held = (*held, other.field)
            other = _on_its_way(library, other, episode.scene, sources.distractor_speed_mps, rng)
            episode = episode._replace(others=(*episode.others, other))
            held = episode.fields()
    finally:
        library.release(*held)
    return episode


Moving = TypeVar("Moving", Episode, Sounding)


def _on_its_way(library: Library, one: Moving, scene: int, speed_mps: float, rng: np.random.Generator) -> Moving:
    """Send a source, whose field is held, on a way to another place of its scene; holds the way's fields."""
    if speed_mps == 0.0:
        return one
    route = library.route(scene, one.field, int(rng.integers(_ROUTES)))
    return one._replace(route=route, speed_mps=speed_mps)


def _draw_other(library: Library, episode: Episode, rng: np.random.Generator) -> Sounding:
    """Draw a source of another kind of sound at another of the scene's places."""
    task = library.task
    kinds = task.sources.distractor_kinds
    goal_kind = library.sounds[episode.sound].kind
    choice = _of_kinds(library, kinds, "distractor_kinds")
    if not kinds:
        choice = [k for k in choice if library.sounds[k].kind != goal_kind]
        choice = choice or [k for k in range(len(library.sounds)) if k != episode.sound] or [episode.sound]
    sound = int(choice[rng.integers(len(choice))])
    field = episode.field
    for _ in range(_TRIES):
        field = library.field_slot(episode.scene, int(rng.integers(task.sources_per_scene + task.sources.distractors)))
        if field != episode.field:
            break
    return Sounding(
        field=field,
        sound=sound,
        offset=int(rng.integers(library.signal_spans[sound, 1])),
        level_db_spl=episode.level_db_spl + float(rng.uniform(*task.sources.distractor_level_db)),
    )


def _of_kinds(library: Library, kinds: tuple[str, ...], key: str) -> list[int]:
    """List the sounds of some kinds, all where none is named."""
    choice = [number for number, sound in enumerate(library.sounds) if not kinds or sound.kind in kinds]
    if not choice:
        known = ", ".join(sorted({sound.kind for sound in library.sounds}))
        raise ConfigError(f"sources.{key}: no sound is of kind {', '.join(kinds)}; there are {known}")
    return choice


def _draw_start(
    library: Library, scene_slot: int, field_slot: int, hidden: bool, rng: np.random.Generator
) -> tuple[float, float] | None:
    """Draw a start at an allowed distance; if asked for, one that doesn't see the source from `_EYES_M` up.

    Where `_TRIES` draws find no such place, as in an open room, it is the last of them.
    """
    task, scene = library.task, library.scenes[scene_slot]
    distance = library.walks[field_slot].distance_m
    allowed = library.walkable(scene_slot) & (distance >= task.min_distance_m) & (distance <= task.max_distance_m)
    cells = np.flatnonzero(allowed)
    if cells.size == 0:
        return None
    source = library.fields[field_slot].source_m
    plan = library.scene_sounds[scene_slot].plan
    best = None
    for _ in range(_TRIES if hidden else 1):
        best = scene.centre_of(*divmod(int(cells[rng.integers(cells.size)]), allowed.shape[1]))
        if not hidden or not line_of_sight(
            plan.floor, plan.ceiling, plan.inv, plan.ox, plan.oy, best[0], best[1], _EYES_M, *source
        ):
            break
    return best
