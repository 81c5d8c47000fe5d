"""Baselines: what a learnt policy has to beat."""

from __future__ import annotations

import numpy as np

from phonotaxis.envs.world import World
from phonotaxis.policies.expert import action_regrets


class RandomDecider:
    """Draws among the actions, the stop a hundred times less often than the others (else it ends at once)."""

    def __init__(self, num_worlds: int, num_actions: int, seed: int = 0) -> None:
        self._shares = np.r_[0.01, np.full(num_actions - 1, 0.99 / (num_actions - 1))]
        self._seed = seed
        self._rngs: list[np.random.Generator | None] = [None] * num_worlds
        self._begun = np.zeros(num_worlds, dtype=np.bool_)

    def begin(self, worlds: np.ndarray) -> None:
        """Draw anew in some worlds."""
        self._begun[worlds] = True

    def decide(self, world: World) -> np.ndarray:
        """Return random actions; those of an episode depend on its seed alone."""
        actions = np.zeros(world.num_worlds, dtype=np.int64)
        for index in np.flatnonzero(world.active):
            if self._begun[index] or self._rngs[index] is None:
                episode = world.episodes[index]
                assert episode is not None
                self._rngs[index] = np.random.Generator(np.random.PCG64([self._seed, episode.seed]))
                self._begun[index] = False
            rng = self._rngs[index]
            assert rng is not None
            actions[index] = rng.choice(self._shares.size, p=self._shares)
        return actions


class ExpertDecider:
    """The shortest-path expert, which knows the map and the source."""

    def begin(self, worlds: np.ndarray) -> None:
        """Do nothing: it remembers nothing."""

    def decide(self, world: World) -> np.ndarray:
        """Return the actions that cost least."""
        return action_regrets(world).argmin(axis=1)
