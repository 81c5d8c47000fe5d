"""The native batch as Stable-Baselines3 takes it: one process, its own automatic resets."""

from __future__ import annotations

from typing import Any

import numpy as np
from stable_baselines3.common.vec_env.base_vec_env import VecEnv, VecEnvIndices, VecEnvObs, VecEnvStepReturn

from phonotaxis.configs.contract import Contract
from phonotaxis.envs.gym import AudioGoalVectorEnv, episode_seed, known_options


class BatchVecEnv(VecEnv):
    """A batch whose worlds share their attributes and have no methods and no wrappers of their own."""

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """Refuse: the worlds of a batch share their attributes.

        Raises:
            AttributeError: always.
        """
        raise AttributeError(f"the worlds of a batch can't be given a '{attr_name}' each; build another batch")

    def env_method(
        self, method_name: str, *method_args: Any, indices: VecEnvIndices = None, **method_kwargs: Any
    ) -> list[Any]:
        """Refuse: the worlds of a batch have no methods of their own.

        Raises:
            AttributeError: always.
        """
        raise AttributeError(f"the worlds of a batch have no method '{method_name}' each; call it on `envs`")

    def env_is_wrapped(self, wrapper_class: type, indices: VecEnvIndices = None) -> list[bool]:
        """Say that no world is wrapped."""
        return [False for _ in self._get_indices(indices)]


class StableBaselinesEnv(BatchVecEnv):
    """An `AudioGoalVectorEnv` for Stable-Baselines3.

    Where an episode ends, `info` has `terminal_observation`, `TimeLimit.truncated`, `episode_result` (the fields of
    `metrics.EpisodeResult`) and `episode` (return `r` and length `l`, which Stable-Baselines3 logs).

    Args:
        envs: the batch; it is this object's from now on.

    Raises:
        ValueError: the batch hands out no copies; Stable-Baselines3 keeps observations over a step.
    """

    def __init__(self, envs: AudioGoalVectorEnv) -> None:
        if not envs.copy:
            raise ValueError("Stable-Baselines3 keeps observations over a step; make the batch with copy=True")
        self.envs = envs
        self.render_mode = None
        self._actions: np.ndarray | None = None
        self._returns = np.zeros(envs.num_envs)
        super().__init__(envs.num_envs, envs.single_observation_space, envs.single_action_space)

    @property
    def contract(self) -> Contract:
        """Of the worlds' task."""
        return self.envs.contract

    def set_options(self, options: list[dict[str, Any]] | dict[str, Any] | None = None) -> None:
        """Set options of the next reset.

        Args:
            options: of the batch, as `AudioGoalVectorEnv.reset` takes them; or a list of one for each world, as
                `AudioGoalEnv.reset` takes it.

        Raises:
            ValueError: a list that isn't such; the batch's own are looked at when it is reset.
        """
        super().set_options(self._together(options) if isinstance(options, list) else options)

    def _together(self, options: list[dict[str, Any]]) -> dict[str, Any]:
        """Turn options of each world into those of the batch."""
        if len(options) != self.num_envs:
            raise ValueError(f"options: expected one for each of {self.num_envs} worlds, got {len(options)}")
        for each in options:
            known_options(each, ("episode_seed",))
        seeds = [episode_seed(each) for each in options]
        if all(seed is None for seed in seeds):
            return {}
        if None in seeds:
            raise ValueError("episode_seed: give one to every world, or to none")
        return {"episode_seeds": np.array(seeds)}

    def reset(self) -> VecEnvObs:
        """Begin new episodes in every world, with the seeds given to `seed` if any.

        Returns:
            Observations by name, float32 [worlds, ...].
        """
        given = None if self._seeds[0] is None else self._seeds
        observations, _ = self.envs.reset(seed=given, options=self._options[0] or None)
        self.reset_infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        self._reset_seeds()
        self._reset_options()
        self._returns[:] = 0.0
        return observations

    def step_async(self, actions: np.ndarray) -> None:
        """Keep the actions, [worlds] or [worlds, 3], for `step_wait`."""
        self._actions = actions

    def step_wait(self) -> VecEnvStepReturn:
        """Act.

        Returns:
            Observations, reward float32 [worlds], done bool [worlds] and an info for each world.

        Raises:
            ValueError: there are no actions to take.
        """
        if self._actions is None:
            raise ValueError("there are no actions to take; call step_async() first")
        observations, rewards, terminated, truncated, info = self.envs.step(self._actions)
        self._actions = None
        done = terminated | truncated
        self._returns += rewards
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        for world in (int(index) for index in np.flatnonzero(done)):
            result = _of_world(info["final_info"]["episode_result"], world)
            infos[world] = {
                "terminal_observation": info["final_obs"][world],
                "TimeLimit.truncated": bool(truncated[world]),
                "episode_result": result,
                "episode": {"r": float(self._returns[world]), "l": int(result["steps"])},
            }
        self._returns[done] = 0.0
        return observations, rewards.astype(np.float32), done, infos

    def close(self) -> None:
        """Close the batch."""
        self.envs.close()

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """Return an attribute of the batch, once for each world."""
        return [getattr(self.envs, attr_name) for _ in self._get_indices(indices)]


def _of_world(batched: dict[str, Any], world: int) -> dict[str, Any]:
    """Take one world's values out of a vector environment's info, as plain Python values."""
    values = {name: column[world] for name, column in batched.items() if not name.startswith("_")}
    return {name: value.item() if isinstance(value, np.generic) else value for name, value in values.items()}


def make_sb3(num_envs: int = 8, *, seed: int | None = None, **options: Any) -> StableBaselinesEnv:
    """Build a batch of worlds for Stable-Baselines3.

    Args:
        num_envs: number of worlds.
        seed: of the first reset; world i has `seed + i`.
        **options: of `AudioGoalVectorEnv`: `task`, `actions`, `threads`, and single fields of the task.
    """
    envs = StableBaselinesEnv(AudioGoalVectorEnv(num_envs, **options))
    if seed is not None:
        envs.seed(seed)
    return envs
