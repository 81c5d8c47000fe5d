"""Baselines: what a learnt policy has to beat."""

from __future__ import annotations

import numpy as np

from phonotaxis.configs import contract as names
from phonotaxis.configs.contract import Contract
from phonotaxis.envs.world import World
from phonotaxis.policies.expert import action_regrets
from phonotaxis.policies.mapping import camera_of

STOP_SHARE = 0.01  # of actions drawn: more often, and an episode ends at once
STOP, FORWARD, LEFT, RIGHT = 0, 1, 2, 3
_LOOK_M = 0.35  # beyond the body and one step
_ROOM_M = 0.05


class EpisodeDraws:
    """A generator for each world that an episode's seed opens anew: draws belong to the episode, whatever the batch."""

    def __init__(self, num_worlds: int, seed: int) -> None:
        self._seed = seed
        self._rngs: list[np.random.Generator | None] = [None] * num_worlds

    def begin(self, worlds: np.ndarray) -> None:
        """Forget the generators of some worlds."""
        for index in worlds:
            self._rngs[index] = None

    def of(self, world: World, index: int) -> np.random.Generator:
        """Return the generator of a world's episode."""
        rng = self._rngs[index]
        if rng is None:
            episode = world.episodes[index]
            assert episode is not None
            rng = self._rngs[index] = np.random.Generator(np.random.PCG64([self._seed, episode.seed]))
        return rng


class RandomDecider:
    """Draws among the actions, the stop a hundred times less often than the others (else it ends at once)."""

    def __init__(self, num_worlds: int, num_actions: int, seed: int = 0) -> None:
        self._shares = np.r_[STOP_SHARE, np.full(num_actions - 1, (1.0 - STOP_SHARE) / (num_actions - 1))]
        self._draws = EpisodeDraws(num_worlds, seed)

    def begin(self, worlds: np.ndarray) -> None:
        """Draw anew in some worlds."""
        self._draws.begin(worlds)

    def decide(self, world: World) -> np.ndarray:
        """Return random actions; those of an episode depend on its seed alone."""
        actions = np.zeros(world.num_worlds, dtype=np.int64)
        for index in np.flatnonzero(world.active):
            actions[index] = self._draws.of(world, int(index)).choice(self._shares.size, p=self._shares)
        return actions


class ForwardDecider:
    """Drives on, and turns to one side where depth is near until it is free; deaf. Stops as `RandomDecider` does."""

    def __init__(self, contract: Contract, num_worlds: int, seed: int = 0) -> None:
        self._draws = EpisodeDraws(num_worlds, seed)
        self._turning = np.zeros(num_worlds, dtype=np.int64)  # LEFT or RIGHT until it is free, 0 driving on
        self._camera = camera_of(contract)
        self._wide_m = contract.body.radius_m + _ROOM_M
        step_m = contract.body.max_v_mps * contract.control_period_s
        self._near_m = contract.body.radius_m + step_m + _LOOK_M

    def begin(self, worlds: np.ndarray) -> None:
        """Forget some worlds."""
        self._draws.begin(worlds)
        self._turning[worlds] = 0

    def decide(self, world: World) -> np.ndarray:
        """Choose an action in every active world."""
        depth, touched = world.observation[names.DEPTH], world.observation[names.MOTION][:, 5] > 0
        blocked = touched | (self._ahead_m(depth) < self._near_m)
        actions = np.zeros(world.num_worlds, dtype=np.int64)
        for index in np.flatnonzero(world.active):
            rng = self._draws.of(world, int(index))
            stops, side = rng.random() < STOP_SHARE, LEFT if rng.random() < 0.5 else RIGHT
            self._turning[index] = (self._turning[index] or side) if blocked[index] else 0
            actions[index] = STOP if stops else self._turning[index] or FORWARD
        return actions

    def _ahead_m(self, depth: np.ndarray) -> np.ndarray:
        """Return how far the nearest thing lies that the body would meet straight on, [worlds], infinite if nothing."""
        camera = self._camera
        height_m = camera.height_m - depth * camera.down[None, :, None]
        in_the_way = (height_m > 0.06) & (height_m < camera.body_height_m) & (depth > 0.0)
        in_the_way &= np.abs(depth * camera.left[None, None, :] + camera.aside_m) < self._wide_m
        nearest: np.ndarray = np.where(in_the_way, depth + camera.ahead_m, np.inf).min(axis=(1, 2))
        return nearest


class ExpertDecider:
    """The shortest-path expert, which knows the map and the source."""

    def begin(self, worlds: np.ndarray) -> None:
        """Do nothing: it remembers nothing."""

    def decide(self, world: World) -> np.ndarray:
        """Return the actions that cost least."""
        return action_regrets(world).argmin(axis=1)
