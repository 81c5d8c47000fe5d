"""RLR Audio Propagation as a clock to beat: the poses of the bench's own walk, rendered by it on one thread.

What is counted on its side, for a step: one impulse response in its own layout, four channels of first-order
ambisonics (as many as the bench's array has microphones), reading them included, and our depth image. What isn't:
building the scene, the convolution, noise, motion, rewards and resets, all of which our steps pay for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from phonotaxis.envs.bench.session import Session
from phonotaxis.envs.scenes.scene import Scene
from phonotaxis.envs.truth.poses import Point, point_of
from phonotaxis.envs.truth.rlr import rlr_seconds_per_response

PLACES = 6  # worlds whose walks are rendered, each in another scene where there are so many


class Setting(NamedTuple):
    """How RLR is asked to render. `poses` is how many of a walk it renders in one job; slow ones do fewer."""

    name: str
    rays: int
    sample_rate_hz: int
    ray_depth: int
    length_s: float
    poses: int


SETTINGS = (
    Setting("250", 250, 16000, 200, 4.0, 4),
    Setting("500", 500, 16000, 200, 4.0, 4),
    Setting("default", 5000, 44100, 200, 4.0, 1),
    Setting("cheapest", 500, 16000, 50, 1.0, 4),
)

LONGEST = max(each.poses for each in SETTINGS)


class Walk(NamedTuple):
    """What one world walked: pairs of source and listener, world metres, one a step."""

    scene: Scene
    poses: list[tuple[Point, Point]]


def record_walks(session: Session, steps: int = LONGEST) -> list[Walk]:
    """Let a batch walk some steps and note the poses of a few worlds, in different scenes first.

    A world whose episode ends on the way goes on with the same source and scene as far as it got.
    """
    env = next(iter(session.envs.values()))
    world, listeners = env.world, env.world.hearing.listeners
    height_m = float(world.contract.array.positions_m()[:, 2].mean())
    _, first = np.unique(listeners.scene, return_index=True)
    chosen = [int(w) for w in [*first, *np.setdiff1d(np.arange(env.num_envs), first)][:PLACES]]
    walks = [Walk(world.library.scenes[int(listeners.scene[w])], []) for w in chosen]
    begun = [world.episodes[w] for w in chosen]
    for _ in range(steps):
        for walk, w, episode in zip(walks, chosen, begun):
            if world.episodes[w] is episode:
                x, y, _ = world.pose[w]
                walk.poses.append((point_of(world.source_m(w)), (float(x), float(y), height_m)))
        env.step(session.rng.integers(1, 4, env.num_envs))
    return walks


def jobs_of(walks: list[Walk]) -> list[tuple[str, Callable[[], float]]]:
    """Return what is to be timed: the setting's name, and a call that returns seconds for a response.

    Raises:
        ReferenceMissing: (by a call) RLR isn't installed.
    """
    return [(setting.name, _job(walk, setting)) for setting in SETTINGS for walk in walks]


def _job(walk: Walk, setting: Setting) -> Callable[[], float]:
    return lambda: rlr_seconds_per_response(
        walk.scene, walk.poses[: setting.poses], setting.rays, setting.sample_rate_hz, setting.ray_depth,
        setting.length_s,
    )  # fmt: skip
