"""The world: many agents in many scenes, stepped at once.

`World` is the simulator itself: no Gymnasium, no automatic resets. `gym` wraps it for training, `policies` steps it
directly, `simulated_robot` puts a robot's devices in front of it.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from phonotaxis.configs import contract as names
from phonotaxis.configs.contract import Contract
from phonotaxis.configs.task import AudioGoalTask
from phonotaxis.envs.acoustics.noise import wheel_speed_mps
from phonotaxis.envs.episodes import Episode, draw_episode
from phonotaxis.envs.goals import goal_vector
from phonotaxis.envs.hashing import key_of
from phonotaxis.envs.hearing import Hearing
from phonotaxis.envs.library import Library
from phonotaxis.envs.metrics import EpisodeResult
from phonotaxis.envs.motion import ODOMETRY, drive_parameters, drive_state, move, rest
from phonotaxis.envs.outcome import Coming, Ending, Outcome, Snapshot
from phonotaxis.envs.randomise import (
    Variation,
    draw_variation,
    materials_of,
    nominal_variation,
    varied_camera,
    vary_drive,
)
from phonotaxis.envs.scenes.headroom import check_headroom
from phonotaxis.envs.setpoints import setpoints
from phonotaxis.envs.threads import ALONE, Crew, cores
from phonotaxis.envs.to_go import actions_to_go, measure
from phonotaxis.envs.vision.eyes import Eyes
from phonotaxis.envs.vision.noise import DepthCamera


class World:
    """A number of AudioGoal worlds.

    A world is begun on an episode, named by a seed, and stepped until it is done; then it stands still until it is
    begun again. The same seed gives the same bits whatever the number of worlds and threads.

    Args:
        task: what to simulate.
        num_worlds: how many.
        threads: among which the worlds are shared out, no more than there are cores.
        library: scenes and fields to share with another world of the same task.
        builders: who builds new scenes and traces fields, closed by who made them; None: who shares out the worlds.

    Attributes:
        contract: of the task.
        observation: what the agents see now, arrays [worlds, ...] by the contract's names; overwritten by each step.
        pose: float64 [worlds, 3], x, y, yaw, world, metres and radians.
        distance_m: float64 [worlds], geodesic distance to the source; to the nearest way-point of one that walks.
        range_m: float64 [worlds], to the source through walls, in plan.
        bearing_rad: float64 [worlds], azimuth of the source in the base frame.
        active: bool [worlds], begun and not done.
        episodes: the episode of each world.
        variations: what domain randomisation made of each world.
        drives: how each world's body drives; drive_state: its wheels' speeds now, and the last setpoints.
    """

    def __init__(
        self, task: AudioGoalTask, num_worlds: int = 1, threads: int = 1, library: Library | None = None,
        builders: Crew | None = None,
    ) -> None:  # fmt: skip
        if num_worlds < 1:
            raise ValueError(f"num_worlds must be at least 1, got {num_worlds}")
        if threads < 1:
            raise ValueError(f"threads must be at least 1, got {threads}")
        self.task = task
        self.num_worlds = num_worlds
        self.threads = min(threads, cores())
        self.contract: Contract = task.contract()
        if library is not None:
            library.check_serves(task)
        self.library = library if library is not None else Library(task)
        self.crew = Crew(self.threads)
        self._builders = builders or self.crew
        self.hearing = Hearing(self.contract, self.library, num_worlds)
        self.eyes = Eyes(self.contract.camera, num_worlds, self.contract.modalities)
        self.depth_camera = DepthCamera(self.contract.camera, task.depth_noise, num_worlds)
        self.drives = drive_parameters(task.drive, task.radius_m, num_worlds)
        self.drive_state = drive_state(num_worlds)
        self.pose = self.hearing.listeners.pose
        self.distance_m = np.zeros(num_worlds)
        self.range_m = np.zeros(num_worlds)
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
        if len(seeds) != len(worlds):
            raise ValueError(f"expected a seed for each of {len(worlds)} worlds, got {len(seeds)}")
        order = np.argsort(worlds)
        chosen = np.asarray(worlds, dtype=np.int64)[order]
        for world in chosen:
            self._leave(int(world))
        coming = self._draw(chosen, np.asarray(seeds)[order])
        self.crew.share(lambda share: self._enter(share, coming), chosen)

    def close(self) -> None:
        """End all episodes: threads go home, and a library that others share may drop what these held."""
        for world in range(self.num_worlds):
            self._leave(world)
        self.crew.close()

    def _leave(self, world: int) -> None:
        """Give back what a world's episode holds."""
        previous = self.episodes[world]
        if previous is not None:
            self.library.release(*previous.fields())
            self.episodes[world] = None
        self.active[world] = False

    def _draw(self, worlds: np.ndarray, seeds: np.ndarray) -> dict[int, Coming]:
        """Draw episodes for some worlds, building scenes and tracing fields where need be, and hold their fields."""
        if len(seeds) != len(worlds):
            raise ValueError(f"expected a seed for each of {len(worlds)} worlds, got {len(seeds)}")
        coming: dict[int, Coming] = {}
        self.library.crew = self._builders
        try:
            for world, seed in zip(worlds, seeds):
                coming[int(world)] = self._next(int(seed))
        except BaseException:
            for one in coming.values():
                self.library.release(*one.episode.fields())
            raise
        finally:
            self.library.crew = ALONE
        return coming

    def _next(self, seed: int) -> Coming:
        episode = draw_episode(self.library, seed)
        variation = draw_variation(self.task.randomise, seed, self._nominal)
        check_headroom(self.library.scenes[episode.scene], self.contract)
        variation = materials_of(self.library.scenes[episode.scene], variation)
        episode = episode.louder(variation.sound_level_shift_db)
        goal = goal_vector(self.library, episode) if names.GOAL in self.observation else None
        self.library.hold(*episode.fields())
        return Coming(episode, variation, goal)

    def _enter(self, worlds: np.ndarray, coming: dict[int, Coming]) -> None:
        """Put some worlds at the beginnings of their episodes and render what the agents sense at rest."""
        for world in worlds:
            episode, variation, goal = coming[int(world)]
            self.episodes[world], self.variations[world] = episode, variation
            self._key[world] = key_of(episode.seed)
            if goal is not None:
                self.observation[names.GOAL][world] = goal
            if self._varies:
                self._vary(int(world), variation)
            self.hearing.begin(int(world), episode, variation)
        self.active[worlds] = True
        self.steps[worlds] = 0
        self._path_m[worlds] = 0.0
        self._collisions[worlds] = 0
        self._stopped[worlds] = False
        rest(self.drive_state, worlds)
        self.observation[names.MOTION][worlds] = 0.0
        self.observation[names.MOTION_VALID][worlds] = 1.0
        self.observation[names.EPISODE_START][worlds] = 1.0
        self.hearing.hear(worlds)  # one hop: what precedes it in a longer window is silence
        self._look(worlds)
        self._shortest_m[worlds] = self._nearest_m[worlds] = self.distance_m[worlds]
        self._shortest_actions[worlds] = self.actions_to_go(worlds)

    def _vary(self, world: int, variation: Variation) -> None:
        """Give a world the body and the camera of an episode."""
        vary_drive(self.drives, world, variation)
        self.eyes.adopt(world, varied_camera(self.contract.camera, variation))
        self.depth_camera.gain[world] = variation.depth_noise_scale

    def step(self, actions: np.ndarray, next_seeds: Callable[[np.ndarray], np.ndarray] | None = None) -> Outcome:
        """Act for one control period in every active world.

        Args:
            actions: int [worlds], or float [worlds, 3] for continuous actions; those of inactive worlds are ignored.
            next_seeds: gives the seeds, int [k], of the episodes that worlds, int64 [k], whose own have ended are to
                begin in this very step; without it they stand still.

        Raises:
            ValueError: wrong shape, or an action outside the contract's range.
        """
        return self.step_setpoints(*self.setpoints(actions), next_seeds)

    def setpoints(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Read actions as velocity setpoints: v [worlds] m/s, w [worlds] rad/s, stop [worlds] bool."""
        return setpoints(self.contract, self.num_worlds, np.asarray(actions))

    def step_setpoints(
        self,
        v_mps: np.ndarray,
        w_radps: np.ndarray,
        stop: np.ndarray,
        next_seeds: Callable[[np.ndarray], np.ndarray] | None = None,
    ) -> Outcome:
        """Hold velocity setpoints for one control period; see `setpoints` and `step`."""
        worlds = np.flatnonzero(self.active)
        reward = np.zeros(self.num_worlds, dtype=np.float32)
        terminated = stop & self.active
        truncated = (self.steps + 1 >= self.task.max_steps) & self.active & ~terminated
        done = terminated | truncated
        ended = np.flatnonzero(done)
        coming: dict[int, Coming] = {}
        if next_seeds is not None and ended.size:
            coming = self._draw(ended, next_seeds(ended))  # before anything moves: it may fail
        self._move(worlds, v_mps, w_radps)
        worlds = worlds[np.argsort(~done[worlds], kind="stable")]  # first those that see and hear twice in a step
        self._stopped |= terminated
        self.active &= ~done
        endings: dict[int, Ending] = {}

        def live(share: np.ndarray) -> None:
            before = self.distance_m[share]
            self.hearing.hear(share)
            self._look(share)
            self._nearest_m[share] = np.minimum(self._nearest_m[share], self.distance_m[share])
            reward[share] = self._rewards(share, before, terminated)
            over = share[done[share]]
            if coming and over.size:
                for world in over:
                    endings[int(world)] = self._ending(int(world))
                self._enter(over, coming)

        past = {world: self.episodes[world] for world in coming}
        try:
            self.crew.share(live, worlds)
        finally:
            for world, (episode, _, _) in coming.items():
                left = past[world] if self.episodes[world] is episode else episode
                if left is not None:
                    self.library.release(*left.fields())
        return Outcome(reward, terminated, truncated, dict(sorted(endings.items())))

    def _ending(self, world: int) -> Ending:
        last = {name: array[world].copy() for name, array in self.observation.items()}
        return Ending(last, self.result(world))

    def _rewards(self, worlds: np.ndarray, before_m: np.ndarray, terminated: np.ndarray) -> np.ndarray:
        """Return the rewards of a step, float64 [k], for worlds that were so far from their sources before it."""
        task, distance_m = self.task, self.distance_m[worlds]
        success = terminated[worlds] & (distance_m < task.success_m)
        progress = task.progress_reward_per_m * (before_m - distance_m)
        return np.asarray(task.step_reward + progress + task.success_reward * success)

    def _move(self, worlds: np.ndarray, v_mps: np.ndarray, w_radps: np.ndarray) -> None:
        """Drive some worlds' bodies, and count their steps."""
        motion = self.observation[names.MOTION]
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

    def _look(self, worlds: np.ndarray) -> None:
        """Render what some worlds see, and measure where they are."""
        listeners = self.hearing.listeners
        self.eyes.render(worlds, self.library.scene_sounds, listeners.scene, self.pose)
        self.depth_camera.spoil(worlds, self.eyes.depth_m, self._key, self.steps)
        measure(
            worlds, self.library.grounds, self.library.walks, listeners.scene, listeners.field, listeners.source_m,
            self.pose, self.distance_m, self.range_m, self.bearing_rad,
        )  # fmt: skip

    def actions_to_go(self, worlds: np.ndarray | None = None) -> np.ndarray:
        """Estimate the actions of the shortest walk to the source, with its turns and the stop, float64 [k].

        Args:
            worlds: int64 [k], which; None for all.
        """
        task, listeners = self.task, self.hearing.listeners
        chosen = np.arange(self.num_worlds) if worlds is None else worlds
        out = np.zeros(self.num_worlds)
        actions_to_go(
            chosen, self.library.grounds, self.library.walks, listeners.scene, listeners.field, self.pose,
            self.drives.speed_scale, task.step_m, math.radians(task.turn_deg), task.success_m, out,
        )  # fmt: skip
        return out[chosen]

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
            # of what is heard now, which is the period behind the last step
            sound_ended=float(self.steps[world]) * self.contract.control_period_s >= episode.ends_s,
            time_s=float(self.steps[world]) * self.contract.control_period_s,
            sound=self.library.sounds[episode.sound].label,
        )

    def snapshot(self) -> Snapshot:
        """Return a copy of the worlds' whole state, from which `restore` goes on to the same bits.

        It keeps its fields alive for as long as it lives itself.
        """
        taken = Snapshot(copy.deepcopy(self._state()))
        self.library.hold_for(taken, *(slot for episode in self.episodes if episode for slot in episode.fields()))
        return taken

    def restore(self, snapshot: Snapshot) -> None:
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
