"""Worlds of several tasks as one batch for Stable-Baselines3."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from stable_baselines3.common.vec_env.base_vec_env import VecEnv, VecEnvIndices, VecEnvObs, VecEnvStepReturn

from phonotaxis.envs.sb3 import BatchVecEnv


class SeveralTasks(BatchVecEnv):
    """Batches of worlds, whose observations and actions have the same shapes, among each other.

    The worlds of each batch are spread evenly: RecurrentPPO's minibatches are neighbours, and shall be of every task.
    Every `info` has `lane`, the number of the batch that the world is of.

    Args:
        batches: at least one; they are this object's from now on.

    Raises:
        ValueError: spaces that differ.
    """

    def __init__(self, batches: Sequence[VecEnv]) -> None:
        first = batches[0]
        for number, batch in enumerate(batches):
            if batch.observation_space != first.observation_space or batch.action_space != first.action_space:
                raise ValueError(f"batch {number} has other observations or actions than the first")
        self.batches = list(batches)
        self.render_mode = None
        sizes = [batch.num_envs for batch in batches]
        self._cuts = np.cumsum(sizes)[:-1]
        places = np.concatenate([(np.arange(size) + 0.5) / size for size in sizes])
        self._order = np.argsort(places, kind="stable")  # of the worlds, batch by batch
        super().__init__(sum(batch.num_envs for batch in batches), first.observation_space, first.action_space)

    def reset(self) -> VecEnvObs:
        """Begin new episodes everywhere; returns observations by name, float32 [worlds, ...]."""
        observations = [batch.reset() for batch in self.batches]
        lanes = [number for number, batch in enumerate(self.batches) for _ in range(batch.num_envs)]
        self.reset_infos = [{"lane": lanes[world]} for world in self._order]
        return self._joined(observations)

    def step_async(self, actions: np.ndarray) -> None:
        """Hand every batch its own of the actions [worlds, ...]."""
        in_turn = np.empty_like(actions)
        in_turn[self._order] = actions
        for batch, own in zip(self.batches, np.split(in_turn, self._cuts)):
            batch.step_async(own)

    def step_wait(self) -> VecEnvStepReturn:
        """Act; as each batch does, one after the other."""
        steps = [batch.step_wait() for batch in self.batches]
        infos = [info | {"lane": number} for number, step in enumerate(steps) for info in step[3]]
        rewards, done = (np.concatenate([step[part] for step in steps])[self._order] for part in (1, 2))
        return self._joined([step[0] for step in steps]), rewards, done, [infos[world] for world in self._order]

    def close(self) -> None:
        """Close the batches."""
        for batch in self.batches:
            batch.close()

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """Return an attribute of each world's batch."""
        values = [value for batch in self.batches for value in batch.get_attr(attr_name)]
        return [values[self._order[index]] for index in self._get_indices(indices)]

    def _joined(self, observations: Sequence[VecEnvObs]) -> VecEnvObs:
        by_name = [part for part in observations if isinstance(part, dict)]
        assert len(by_name) == len(observations)
        return {name: np.concatenate([part[name] for part in by_name])[self._order] for name in by_name[0]}
