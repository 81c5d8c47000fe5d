"""The world: many agents in many scenes, stepped at once.

`World` is the simulator itself: no Gymnasium, no automatic resets. `gym` wraps it for training, `policies` steps it
directly, `simulated_robot` puts a robot's devices in front of it.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numba
import numpy as np
from numba import njit

from phonotaxis.configs import contract as names
from phonotaxis.configs.contract import Contract, DiscreteActions
from phonotaxis.configs.task import AudioGoalTask
from phonotaxis.envs.acoustics.noise import wheel_speed_mps
from phonotaxis.envs.body import walk_to_go, wrap
from phonotaxis.envs.episodes import Episode, draw_episode
from phonotaxis.envs.goals import goal_vector
from phonotaxis.envs.hashing import key_of
from phonotaxis.envs.hearing import Hearing
from phonotaxis.envs.library import Library
from phonotaxis.envs.metrics import EpisodeResult
from phonotaxis.envs.motion import ODOMETRY, drive_parameters, drive_state, move, rest
from phonotaxis.envs.randomise import Variation, draw_variation, nominal_variation, varied_camera, vary_drive
from phonotaxis.envs.threads import launch_threads
from phonotaxis.envs.vision.eyes import Eyes
from phonotaxis.envs.vision.noise import DepthCamera


class Outcome(NamedTuple):
    """What a step led to, per world.

    Attributes:
        reward: float32 [worlds].
        terminated: bool [worlds], the agent stopped.
        truncated: bool [worlds], its steps were used up.
    """

    reward: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray


class World:
    """A number of AudioGoal worlds.

    A world is begun on an episode, named by a seed, and stepped until it is done; then it stands still until it is
    begun again. The same seed gives the same bits whatever the number of worlds and threads.

    Args:
        task: what to simulate.
        num_worlds: how many.
        threads: that kernels and transforms may use.
        library: scenes and fields to share with another world of the same task.

    Attributes:
        contract: of the task.
        observation: what the agents see now, arrays [worlds, ...] by the contract's names; overwritten by each step.
        pose: float64 [worlds, 3], x, y, yaw, world, metres and radians.
        distance_m: float64 [worlds], geodesic distance to the source.
        bearing_rad: float64 [worlds], azimuth of the source in the base frame.
        active: bool [worlds], begun and not done.
        episodes: the episode of each world.
        variations: what domain randomisation made of each world.
        drives: how each world's body drives; drive_state: its wheels' speeds now, and the last setpoints.
    """

    def __init__(
        self, task: AudioGoalTask, num_worlds: int = 1, threads: int = 1, library: Library | None = None
    ) -> None:
        if num_worlds < 1:
            raise ValueError(f"num_worlds must be at least 1, got {num_worlds}")
        launch_threads()
        self.task = task
        self.num_worlds = num_worlds
        self.threads = max(1, min(threads, numba.config.NUMBA_NUM_THREADS))
        self.contract: Contract = task.contract()
        self.library = library if library is not None else Library(task)
        self.hearing = Hearing(self.contract, self.library, num_worlds, self.threads)
        self.eyes = Eyes(self.contract.camera, num_worlds, self.contract.modalities)
        self.depth_camera = DepthCamera(self.contract.camera, task.depth_noise, num_worlds)
        self.drives = drive_parameters(task.drive, task.radius_m, num_worlds)
        self.drive_state = drive_state(num_worlds)
        self.pose = self.hearing.listeners.pose
        self.distance_m = np.zeros(num_worlds)
        self.bearing_rad = np.zeros(num_worlds)
        self.active = np.zeros(num_worlds, dtype=np.bool_)
        self.steps = np.zeros(num_worlds, dtype=np.int64)
        self.episodes: list[Episode | None] = [None] * num_worlds
        self.variations: list[Variation | None] = [None] * num_worlds
        self.observation = {
            spec.name: np.zeros((num_worlds, *spec.shape), dtype=spec.dtype) for spec in self.contract.observations()
        }
        self.observation[names.AUDIO] = self.hearing.window
        images: dict[str, np.ndarray] = {
            names.DEPTH: self.eyes.depth_m,
            names.SEMANTIC: self.eyes.semantic,
            names.COLOR: self.eyes.color,
        }
        self.observation |= {name: images[name] for name in self.contract.modalities}
        self._nominal = nominal_variation(task.radius_m, task.drive, task.air, task.unit, task.noise.diffuse_dba)
        # Wheels stand beside their motors; one motor drives wheels at the body's edge.
        aside_m = [place[1] for place in task.noise.robot.motor_xyz_m]
        self._track_m = (max(aside_m) - min(aside_m)) or 2.0 * task.radius_m
        self._varies = bool(task.randomise.ranges())
        self._key = np.zeros(num_worlds, dtype=np.uint64)
        self._path_m = np.zeros(num_worlds)
        self._shortest_m = np.zeros(num_worlds)
        self._shortest_actions = np.zeros(num_worlds)
        self._nearest_m = np.zeros(num_worlds)
        self._collisions = np.zeros(num_worlds, dtype=np.int64)
        self._stopped = np.zeros(num_worlds, dtype=np.bool_)

    def begin(self, worlds: np.ndarray, seeds: np.ndarray) -> None:
        """Begin episodes: place the agents and render what they sense at rest.

        Args:
            worlds: int [k], which worlds, each once.
            seeds: int [k], the episodes' seeds, at least 0.
        """
        order = np.argsort(worlds)
        chosen = np.asarray(worlds, dtype=np.int64)[order]
        with self.own_threads():  # fields are traced
            for world, seed in zip(chosen, np.asarray(seeds)[order]):
                self._place(int(world), int(seed))
        self.active[chosen] = True
        self.steps[chosen] = 0
        self._path_m[chosen] = 0.0
        self._collisions[chosen] = 0
        self._stopped[chosen] = False
        rest(self.drive_state, chosen)
        self.observation[names.MOTION][chosen] = 0.0
        self.observation[names.MOTION_VALID][chosen] = 1.0
        self.observation[names.EPISODE_START][chosen] = 1.0
        self._sense(chosen, hops=math.ceil(self.contract.window_samples / self.contract.hop_samples))
        self._shortest_m[chosen] = self.distance_m[chosen]
        self._nearest_m[chosen] = self.distance_m[chosen]
        self._shortest_actions[chosen] = self.actions_to_go()[chosen]

    def _place(self, world: int, seed: int) -> None:
        previous = self.episodes[world]
        if previous is not None:
            self.library.release(*previous.fields())
            self.episodes[world] = None
        episode = draw_episode(self.library, seed)
        variation = draw_variation(self.task.randomise, seed, self._nominal)
        episode = episode.louder(variation.sound_level_shift_db)
        self.library.hold(*episode.fields())
        self.episodes[world], self.variations[world] = episode, variation
        self._key[world] = key_of(seed)
        if names.GOAL in self.observation:
            self.observation[names.GOAL][world] = goal_vector(self.library, episode)
        if self._varies:
            self._vary(world, variation)
        self.hearing.begin(world, episode, variation)

    def _vary(self, world: int, variation: Variation) -> None:
        """Give a world the body and the camera of an episode."""
        vary_drive(self.drives, world, variation)
        self.eyes.adopt(world, varied_camera(self.contract.camera, variation))
        self.depth_camera.gain[world] = variation.depth_noise_scale

    def step(self, actions: np.ndarray) -> Outcome:
        """Act for one control period in every active world.

        Args:
            actions: int [worlds], or float [worlds, 3] for continuous actions; those of inactive worlds are ignored.

        Raises:
            ValueError: wrong shape, or an action outside the contract's range.
        """
        return self.step_setpoints(*self.setpoints(actions))

    def setpoints(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Read actions as velocity setpoints: v [worlds] m/s, w [worlds] rad/s, stop [worlds] bool."""
        actions = np.asarray(actions)
        kind = self.contract.actions
        if isinstance(kind, DiscreteActions):
            if actions.shape != (self.num_worlds,) or not np.issubdtype(actions.dtype, np.integer):
                raise ValueError(
                    f"expected integer actions [{self.num_worlds}], got {actions.dtype} {list(actions.shape)}"
                )
            if actions.min() < 0 or actions.max() >= len(kind.names):
                raise ValueError(f"actions must lie in 0..{len(kind.names) - 1}, got {actions.min()}..{actions.max()}")
            table = np.array(kind.setpoints)
            return table[actions, 0], table[actions, 1], actions == 0
        if actions.shape != (self.num_worlds, 3) or not np.isfinite(actions).all():
            raise ValueError(f"expected finite actions [{self.num_worlds}, 3], got {list(actions.shape)}")
        values = np.clip(actions.astype(np.float64), -1.0, 1.0)
        stop = values[:, 2] > 0.0
        body = self.contract.body
        return (
            np.where(stop, 0.0, values[:, 0] * body.max_v_mps),
            np.where(stop, 0.0, values[:, 1] * body.max_w_radps),
            stop,
        )

    def step_setpoints(self, v_mps: np.ndarray, w_radps: np.ndarray, stop: np.ndarray) -> Outcome:
        """Hold velocity setpoints for one control period; see `setpoints`."""
        task = self.task
        worlds = np.flatnonzero(self.active)
        before = self.distance_m.copy()
        motion = self.observation[names.MOTION]
        with self.own_threads():
            move(
                worlds, self.library.grounds, self.hearing.listeners.scene, self.pose, v_mps, w_radps,
                self.contract.control_period_s, self.drives, self.drive_state, self._key, self.steps,
                ODOMETRY[self.contract.motion_source], motion, self._path_m,
            )  # fmt: skip
        wheels_mps = wheel_speed_mps(self.drive_state.v_mps, self.drive_state.w_radps, self._track_m)
        self.hearing.speed_mps[worlds] = wheels_mps[worlds]
        self._collisions[worlds] += motion[worlds, 5] > 0
        self.observation[names.EPISODE_START][worlds] = 0.0
        self.steps[worlds] += 1
        self._sense(worlds, hops=1)
        self._nearest_m[worlds] = np.minimum(self._nearest_m[worlds], self.distance_m[worlds])
        terminated = stop & self.active
        truncated = (self.steps >= task.max_steps) & self.active & ~terminated
        success = terminated & (self.distance_m < task.success_m)
        reward = np.where(self.active, task.step_reward, 0.0)
        reward += np.where(self.active, task.progress_reward_per_m * (before - self.distance_m), 0.0)
        reward += task.success_reward * success
        self._stopped |= terminated
        self.active &= ~(terminated | truncated)
        return Outcome(reward.astype(np.float32), terminated, truncated)

    def _sense(self, worlds: np.ndarray, hops: int) -> None:
        """Render what some worlds hear and see, and measure where they are."""
        with self.own_threads():
            for _ in range(hops):
                self.hearing.hear(worlds)
            listeners = self.hearing.listeners
            self.eyes.render(worlds, self.library.scene_sounds, listeners.scene, self.pose)
            self.depth_camera.spoil(worlds, self.eyes.depth_m, self._key, self.steps)
            _measure(
                worlds, self.library.grounds, self.library.walks, listeners.scene, listeners.field, self.pose,
                self.distance_m, self.bearing_rad,
            )  # fmt: skip

    @contextmanager
    def own_threads(self) -> Iterator[None]:
        """Let parallel kernels use this world's number of threads: on a busy machine each more is waited for."""
        previous = numba.get_num_threads()
        numba.set_num_threads(self.threads)
        try:
            yield
        finally:
            numba.set_num_threads(previous)

    def actions_to_go(self) -> np.ndarray:
        """Estimate the actions of the shortest walk to the source, with its turns and the stop, float64 [worlds]."""
        task = self.task
        out = np.zeros(self.num_worlds)
        listeners = self.hearing.listeners
        _actions_to_go(
            np.arange(self.num_worlds), self.library.grounds, self.library.walks, listeners.scene, listeners.field,
            self.pose, self.drives.speed_scale, task.step_m, math.radians(task.turn_deg), task.success_m, out,
        )  # fmt: skip
        return out

    @property
    def path_m(self) -> np.ndarray:
        """Float64 [worlds], length of the way gone, metres; a view."""
        return self._path_m

    @property
    def source_visible(self) -> np.ndarray:
        """Bool [worlds]: the source was in the array's line of sight at the last step."""
        return self.hearing.listeners.visible

    def source_m(self, world: int) -> np.ndarray:
        """Return a world's source position, float64 [3], world, metres."""
        return self.hearing.listeners.source_m[world].copy()

    def result(self, world: int) -> EpisodeResult:
        """Return the account of a world's episode so far (whole once it is done)."""
        episode = self.episodes[world]
        if episode is None:
            raise ValueError(f"world {world} has no episode yet; begin one first")
        final_m = float(self.distance_m[world])
        stopped = bool(self._stopped[world])
        return EpisodeResult(
            episode_seed=episode.seed,
            scene=self.library.scenes[episode.scene].name,
            success=stopped and final_m < self.task.success_m,
            stopped=stopped,
            steps=int(self.steps[world]),
            path_length_m=float(self._path_m[world]),
            shortest_path_m=float(self._shortest_m[world]),
            shortest_actions=float(self._shortest_actions[world]),
            final_distance_m=final_m,
            collisions=int(self._collisions[world]),
            reached=bool(self._nearest_m[world] < self.task.success_m),
            sound_ended=float(self.steps[world]) * self.contract.control_period_s > episode.ends_s,
            time_s=float(self.steps[world]) * self.contract.control_period_s,
        )

    def snapshot(self) -> dict[str, Any]:
        """Return a copy of the worlds' whole state, from which `restore` goes on to the same bits."""
        for episode in self.episodes:
            if episode is not None:
                self.library.hold(*episode.fields())  # a snapshot keeps its fields alive
        return copy.deepcopy(self._state())

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Put the worlds back to a snapshot of theirs."""
        for held in self.episodes:
            if held is not None:
                self.library.release(*held.fields())
        self.episodes, self.variations = list(snapshot["episodes"]), list(snapshot["variations"])
        for world, held in enumerate(self.episodes):
            if held is not None:
                self.library.hold(*held.fields())
                self.hearing.recall(world, held)
        state = self._state()
        for name, value in snapshot.items():
            if isinstance(value, np.ndarray):
                state[name][...] = value

    def _state(self) -> dict[str, Any]:
        """Everything that the next step depends on, by name: two lists, and arrays."""
        state: dict[str, Any] = {"episodes": self.episodes, "variations": self.variations}
        state |= {f"observation.{name}": array for name, array in self.observation.items()}
        state |= {f"hearing.{name}": array for name, array in self.hearing.state().items()}
        tuples: dict[str, Any] = {"camera": self.eyes.model, "drives": self.drives, "drive_state": self.drive_state}
        for label, arrays in tuples.items():
            state |= {f"{label}.{name}": array for name, array in arrays._asdict().items()}
        state["depth_camera.gain"] = self.depth_camera.gain
        own = {name: array for name, array in vars(self).items() if isinstance(array, np.ndarray)}
        return state | {f"world.{name}": array for name, array in own.items()}


@njit(cache=True, error_model="numpy")
def _measure(worlds, grounds, walks, scene_of, field_of, pose, distance_m, bearing_rad):
    for index in range(worlds.size):
        world = worlds[index]
        walk, ground = walks[field_of[world]], grounds[scene_of[world]]
        x, y, yaw = pose[world]
        distance_m[world] = walk_to_go(walk, ground, x, y)[0]
        bearing_rad[world] = wrap(np.arctan2(walk.goal_xy[1] - y, walk.goal_xy[0] - x) - yaw)


@njit(cache=True, error_model="numpy")
def _actions_to_go(worlds, grounds, walks, scene_of, field_of, pose, scale, step_m, turn_rad, success_m, out):
    for index in range(worlds.size):
        world = worlds[index]
        x, y, yaw = pose[world]
        out[world] = actions_to_go_from(
            walks[field_of[world]], grounds[scene_of[world]], x, y, yaw, scale[world] * step_m,
            scale[world] * turn_rad, success_m,
        )  # fmt: skip


@njit(cache=True, error_model="numpy")
def actions_to_go_from(walk, ground, x, y, yaw, step_m, turn_rad, success_m):
    """Estimate the actions that the shortest walk takes from a pose: forward steps, turns and the stop.

    Where the way is already short enough to stop, it is the stop alone.
    """
    distance, px, py, bends = walk_to_go(walk, ground, x, y)
    if distance < success_m:
        return 1.0
    away = max(0.0, abs(wrap(np.arctan2(py - y, px - x) - yaw)) - 0.5 * turn_rad)  # less needs no turn
    return (distance - success_m) / step_m + (away + bends) / turn_rad + 2.0
