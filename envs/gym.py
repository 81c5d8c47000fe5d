"""The worlds as Gymnasium knows them: a native vector environment, and the environment as the batch of one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from phonotaxis.configs import presets
from phonotaxis.configs.base import ConfigError, build, did_you_mean
from phonotaxis.configs.contract import Contract, DiscreteActions
from phonotaxis.configs.task import AudioGoalTask
from phonotaxis.envs.library import Library
from phonotaxis.envs.outcome import Ending
from phonotaxis.envs.world import World

Observation = dict[str, np.ndarray]
_SEEDS = 2**31
_PAST_SEEDS = 2**63  # those that are named: they are held as int64
_ID_OF = {"discrete": "phonotaxis/AudioGoal-v0", "continuous": "phonotaxis/AudioGoalContinuous-v0"}


def observation_space(contract: Contract) -> gymnasium.spaces.Dict:
    """Return the space of a contract's observations."""
    return gymnasium.spaces.Dict(
        {
            spec.name: gymnasium.spaces.Box(spec.low, spec.high, spec.shape, np.dtype(spec.dtype).type)
            for spec in contract.observations()
        }
    )


def action_space(contract: Contract) -> gymnasium.Space[Any]:
    """Return the space of a contract's actions."""
    if isinstance(contract.actions, DiscreteActions):
        return gymnasium.spaces.Discrete(contract.num_actions)
    return gymnasium.spaces.Box(-1.0, 1.0, (3,), np.float32)


def make_task(task: AudioGoalTask | str, actions: str | None = None, **overrides: Any) -> AudioGoalTask:
    """Build a task from a preset's name (or a task), an action kind, and single fields to override.

    Args:
        task: a task, a preset's name, or a YAML file's path.
        actions: "discrete" or "continuous"; None for the task's own. A task that says continuous isn't made discrete;
            discrete, which is what tasks say by default, gives way.
        **overrides: fields of the task.

    Raises:
        ConfigError: no such task, one whose actions are continuous where discrete ones are asked for, or an override
            that isn't known or doesn't fit.
    """
    base = task if isinstance(task, AudioGoalTask) else presets.load("tasks", task, AudioGoalTask)
    if actions is None:
        actions = base.actions
    elif actions != base.actions and base.actions != AudioGoalTask.model_fields["actions"].default:
        raise ConfigError(
            f"actions: the task '{base.name}' says {base.actions}, the environment was asked for {actions}; leave "
            f"`actions` out of one of them, or make {_ID_OF[base.actions]}"
        )
    return build(AudioGoalTask, base.model_dump() | {"actions": actions} | overrides, f"task {base.name}")


class _Simulated:
    """What both environments have of the simulator, until they are closed.

    Attributes:
        contract: what is shown and taken, with the microphones' places, rates and units: what a policy is built for.
    """

    contract: Contract
    _world: World | None = None

    @property
    def world(self) -> World:
        """The simulator, with what no policy sees: docs/worlds.md, "Truth"."""
        if self._world is None:
            raise ValueError("the environment is closed; make another")
        return self._world

    def _free(self) -> None:
        if self._world is not None:
            self._world.close()
        self._world = None


class AudioGoalVectorEnv(_Simulated, VectorEnv):
    """A batch of AudioGoal worlds in one process.

    An agent hears a source somewhere in an apartment and is to stop within 1 m of it.

    Observation (`Dict`, float32 but for class and colour; leading axis: worlds):

    | name | shape | range | unit | meaning |
    |---|---|---|---|---|
    | audio | [mics, window] | -1 .. 1 | full scale | waveform at the converter, in steps of 2^-15 |
    | depth | [height, width] | 0 .. 10 | m | along the optical axis; 0 = unknown |
    | semantic | [height, width] | 0 .. 255 | class | uint8, where the task's `modalities` ask for it |
    | color | [height, width, 3] | 0 .. 255 | RGB | uint8, likewise |
    | depth_age_s | [1] | 0 | s | the simulator's frames are never old |
    | motion | [6] | | m, m, rad, m/s, rad/s, flag | odometry, allowed velocities, collision |
    | motion_valid | [1] | 1 | flag | odometry is there |
    | goal | [96] | | | what to find, by kind or in words, where the task's `goal` asks for it; zeros for `none` |
    | episode_start | [1] | 0 or 1 | flag | first observation of an episode |

    Action (`Discrete(4)`): 0 stop (ends the episode), 1 forward 0.25 m, 2 left 10 degrees, 3 right 10 degrees;
    in `AudioGoalContinuous-v0` `Box(-1, 1, (3,))`: speed, turning rate, stop where the third exceeds 0.

    Reward: +10 for a stop within 1 m (geodesic), -0.01 a step, plus the metres of geodesic progress. Episodes are
    truncated after 500 steps. `info` of the last step has `episode_result`, the fields of
    `metrics.EpisodeResult`.

    Autoreset is SAME_STEP: a finished world begins its next episode in the step that ends it, and its last
    observation is in `info["final_obs"]`.

    Args:
        num_envs: number of worlds.
        task: an `AudioGoalTask`, a preset's name, or a YAML file's path.
        actions: "discrete" or "continuous"; None for the task's own. `AudioGoal-v0` says discrete, and so refuses a
            task that says continuous; `AudioGoalContinuous-v0` says continuous, and makes any task so.
        threads: that the simulator may use.
        library: scenes to share with another environment of the same task.
        copy: hand out observations that are the caller's to keep. Without it they are the worlds' own arrays, to be
            read only, which the next step or reset overwrites: 80 KB less to move for each world and step. What
            `info` has of a last observation is a copy either way.
        **overrides: single fields of the task.
    """

    metadata: dict[str, Any] = {"autoreset_mode": AutoresetMode.SAME_STEP, "render_modes": []}  # noqa: RUF012

    def __init__(
        self,
        num_envs: int = 1,
        task: AudioGoalTask | str = "audiogoal",
        actions: str | None = None,
        threads: int = 1,
        library: Library | None = None,
        copy: bool = True,
        **overrides: Any,
    ) -> None:
        self.num_envs = num_envs
        self.copy = copy
        self._world = World(make_task(task, actions, **overrides), num_envs, threads, library)
        self.contract = self._world.contract
        self.single_observation_space = observation_space(self.contract)
        self.single_action_space = action_space(self.contract)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._rngs = [np.random.Generator(np.random.PCG64()) for _ in range(num_envs)]

    def close_extras(self, **kwargs: Any) -> None:
        """Free worlds and threads."""
        self._free()

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Begin new episodes in every world, or in those of `options["reset_mask"]`.

        Args:
            seed: world i, if it is reset, is seeded with `seed + i`, or with `seed[i]`; none goes on drawing.
            options: `reset_mask`, bool [num_envs]; `episode_seeds`, int [num_envs], names the episodes themselves.

        Raises:
            ValueError: an unknown option, or a seed or option of the wrong shape, type or range.
        """
        options = options or {}
        known_options(options, ("reset_mask", "episode_seeds"))
        mask = _per_world(options, "reset_mask", np.bool_, self.num_envs)
        chosen = _per_world(options, "episode_seeds", np.integer, self.num_envs)
        if chosen is not None and not 0 <= chosen.min() <= chosen.max() < _PAST_SEEDS:
            raise ValueError(f"episode_seeds: seeds must be from 0 to 2^63 - 1, got {chosen.min()} to {chosen.max()}")
        worlds, seeds = np.arange(self.num_envs) if mask is None else np.flatnonzero(mask), self._seeds(seed)
        for world in worlds:
            value = seeds[world]
            if value is not None:
                self._rngs[world] = np.random.Generator(np.random.PCG64(value))
        self.world.begin(worlds, self._draw(worlds) if chosen is None else chosen[worlds])
        return self._observe(), {}

    def _seeds(self, seed: int | Sequence[int | None] | None) -> list[int | None]:
        """Spread a seed over the worlds."""
        if seed is None:
            return [None] * self.num_envs
        if isinstance(seed, (int, np.integer)):
            seeds: list[int | None] = [int(seed) + index for index in range(self.num_envs)]
        else:
            seeds = list(seed)
        if len(seeds) != self.num_envs:
            raise ValueError(f"seed: expected one for each of {self.num_envs} worlds, got {len(seeds)}")
        for value in seeds:
            if value is not None and (not isinstance(value, (int, np.integer)) or value < 0):
                raise ValueError(f"seed: expected whole numbers of at least 0, or None, got {value!r}")
        return seeds

    def _draw(self, worlds: np.ndarray) -> np.ndarray:
        return np.array([self._rngs[world].integers(_SEEDS) for world in worlds], dtype=np.int64)

    def _observe(self) -> Observation:
        if not self.copy:
            return {name: _read_only(array) for name, array in self.world.observation.items()}
        copies = {name: np.empty_like(array) for name, array in self.world.observation.items()}

        def copy(worlds: np.ndarray) -> None:
            chosen = slice(worlds[0], worlds[-1] + 1)
            for name, array in self.world.observation.items():
                copies[name][chosen] = array[chosen]

        self.world.crew.share(copy, np.arange(self.num_envs))
        return copies

    def step(self, actions: Any) -> tuple[Observation, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Act in every world for one control period.

        Returns:
            Observations, reward float64 [num_envs], terminated and truncated bool [num_envs], and info.

        Raises:
            ValueError: wrong actions, or a world that was never reset.
        """
        if None in self.world.episodes:
            raise ValueError(f"world {self.world.episodes.index(None)} has no episode yet; call reset() first")
        outcome = self.world.step(np.asarray(actions), self._draw)
        info = self._final(outcome.endings) if outcome.endings else {}
        reward = outcome.reward.astype(np.float64)
        return self._observe(), reward, outcome.terminated, outcome.truncated, info

    def _final(self, endings: dict[int, Ending]) -> dict[str, Any]:
        final_obs = np.full(self.num_envs, None, dtype=object)
        done = np.zeros(self.num_envs, dtype=np.bool_)
        info: dict[str, Any] = {}
        for world, ending in endings.items():
            final_obs[world], done[world] = ending.observation, True
            info = self._add_info(info, {"episode_result": ending.result.as_dict()}, world)
        return {
            "final_obs": final_obs,
            "_final_obs": done,
            "final_info": info,
            "_final_info": done.copy(),
        }


def _read_only(array: np.ndarray) -> np.ndarray:
    """Return a view that can't be written to."""
    view = array.view()
    view.flags.writeable = False
    return view


def known_options(options: dict[str, Any], known: tuple[str, ...]) -> None:
    """Refuse an option of a reset that isn't known, a `ValueError`."""
    for name in options:
        if name not in known:
            raise ValueError(f"unknown option '{name}'{did_you_mean(name, known)} (known: {', '.join(known)})")


def _per_world(options: dict[str, Any], name: str, kind: type, worlds: int) -> np.ndarray | None:
    """Return an option that has one value for each world, or None without it."""
    if options.get(name) is None:
        return None
    values = np.asarray(options[name])
    if values.shape != (worlds,) or not np.issubdtype(values.dtype, kind):
        wanted = "bool" if kind is np.bool_ else "integers"
        raise ValueError(f"{name}: expected {wanted} [{worlds}], got {values.dtype} {list(values.shape)}")
    return values


def episode_seed(options: dict[str, Any]) -> int | None:
    """Return the seed of the episode that a single world's options name, or None; a `ValueError` for what is none."""
    seed = options.get("episode_seed")
    if seed is None:
        return None
    value = np.asarray(seed)
    if value.shape or not np.issubdtype(value.dtype, np.integer) or not 0 <= value < _PAST_SEEDS:
        raise ValueError(f"episode_seed: expected a whole number from 0 to 2^63 - 1, got {seed!r}")
    return int(value)


class AudioGoalEnv(_Simulated, gymnasium.Env[Any, Any]):
    """One AudioGoal world: `AudioGoalVectorEnv`'s observations, actions and rewards without the leading axis.

    Args:
        render_mode: "rgb_array", or None.
        **kwargs: `task`, `actions`, `threads`, `library` and single fields of the task, as of `AudioGoalVectorEnv`.

    Raises:
        ValueError: another render mode.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 4}  # noqa: RUF012

    def __init__(self, render_mode: str | None = None, **kwargs: Any) -> None:
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise ValueError(f"render_mode: expected 'rgb_array' or None, got {render_mode!r}")
        self.render_mode = render_mode
        actions = kwargs.pop("actions", None)
        threads, library = kwargs.pop("threads", 1), kwargs.pop("library", None)
        task = make_task(kwargs.pop("task", "audiogoal"), actions, **kwargs)
        self._world = World(task, 1, threads, library)
        self.contract = self._world.contract
        self.metadata = {**self.metadata, "render_fps": round(1.0 / self.contract.control_period_s, 3)}
        self.observation_space = observation_space(self.contract)
        self.action_space = action_space(self.contract)

    def close(self) -> None:
        """Free the world and its threads."""
        self._free()

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Begin an episode; `options["episode_seed"]` names one.

        Raises:
            ValueError: an unknown option, or a seed that is none.
        """
        known_options(options or {}, ("episode_seed",))
        chosen = episode_seed(options or {})
        super().reset(seed=seed)
        if seed is not None:  # the generator that world `seed` of a batch has
            self._np_random = np.random.Generator(np.random.PCG64(seed))
        if chosen is None:
            chosen = int(self.np_random.integers(_SEEDS))
        self.world.begin(np.zeros(1, dtype=np.int64), np.array([chosen]))
        return self._observe(), {}

    def _observe(self) -> Observation:
        return {name: array[0].copy() for name, array in self.world.observation.items()}

    def step(self, action: Any) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Act for one control period.

        Raises:
            ValueError: a wrong action, or no episode is under way.
        """
        if not self.world.active[0]:
            raise ValueError("no episode is under way: it has not begun, or it is over; call reset() first")
        outcome = self.world.step(np.asarray(action)[None])
        terminated, truncated = bool(outcome.terminated[0]), bool(outcome.truncated[0])
        info = {"episode_result": self.world.result(0).as_dict()} if terminated or truncated else {}
        return self._observe(), float(outcome.reward[0]), terminated, truncated, info

    def render(self) -> np.ndarray | None:
        """Draw the depth image, uint8 [height, width, 3]: near is bright, unknown is black."""
        if self.render_mode != "rgb_array":
            return None
        depth = self.world.eyes.depth_m[0]
        near = np.where(depth > 0, 1.0 - 0.9 * depth / self.world.contract.camera.max_range_m, 0.0)
        return np.repeat((near * 255).astype(np.uint8)[:, :, None], 3, axis=2)
