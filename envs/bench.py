"""How fast the simulator is: steps a second, and where each microsecond of a step goes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from phonotaxis.configs.task import AudioGoalTask, SceneSet
from phonotaxis.envs.gym import AudioGoalVectorEnv
from phonotaxis.envs.library import Library

EPISODE_STEPS = 60
EPISODES_PER_FIELD = 64
BENCH_TASK = AudioGoalTask(scenes=SceneSet(count=32), sources_per_scene=4, max_steps=EPISODE_STEPS)
PARTS = ("responses", "convolution", "converter", "depth", "motion", "resets", "tracing", "observations")
_US = 1e6

Measured = dict[str, tuple[float, str]]


class Stopwatch:
    """Splits elapsed time among named parts; a part that calls another hands the time over to it.

    Attributes:
        seconds: by part.
    """

    def __init__(self) -> None:
        self.seconds = dict.fromkeys(PARTS, 0.0)
        self._open: list[str] = []
        self._mark = 0.0

    def watch(self, owner: object, method: str, part: str) -> None:
        """Time a method of one object from now on."""
        inner: Callable[..., Any] = getattr(owner, method)

        def timed(*args: Any, **kwargs: Any) -> Any:
            self._switch(self._part_here(part))
            try:
                return inner(*args, **kwargs)
            finally:
                self._switch(None)

        setattr(owner, method, timed)

    def _part_here(self, part: str) -> str:
        """Return the part to charge: what a reset renders is the reset's, but for what is traced anew."""
        return "resets" if "resets" in self._open and part != "tracing" else part

    def _switch(self, part: str | None) -> None:
        """Charge the part that ran until now; go on with another, or with the one that called it."""
        now = time.perf_counter()
        if self._open:
            self.seconds[self._open[-1]] += now - self._mark
        if part is None:
            self._open.pop()
        else:
            self._open.append(part)
        self._mark = now


class Wear:
    """Ages a library: a field serves `EPISODES_PER_FIELD` episodes and is then traced anew, and so are scenes built.

    A training draws on thousands of scenes, each for a while. Here there are few, with ages drawn at random, so that
    even a short run builds and traces as often as a long one does.

    Args:
        library: whose fields are counted from now on.
        rng: that ages are drawn from.

    Attributes:
        traced: fields traced so far.
        built: scenes built so far.
    """

    def __init__(self, library: Library, rng: np.random.Generator) -> None:
        task = library.task
        self.library = library
        self.traced = self.built = 0
        self._inner = library.field_slot
        self._index = {library.scene_slot(index): index for index in range(task.scenes.count)}
        count = task.scenes.count, task.sources_per_scene
        for slot in self._index:
            for number in range(task.sources_per_scene):
                library.hold(self._inner(slot, number))
        for slot in range(len(library.fields)):
            library.release(slot)
        self._episodes = rng.integers(EPISODES_PER_FIELD, size=count)
        self._scene_episodes = rng.integers(EPISODES_PER_FIELD * task.sources_per_scene, size=task.scenes.count)
        library.field_slot = self.field_slot  # type: ignore[method-assign]  # the bench's own library, for its run

    def field_slot(self, scene_slot: int, number: int) -> int:
        """Stand for `Library.field_slot`."""
        index = self._index[scene_slot]
        self._scene_episodes[index] += 1
        if self._scene_episodes[index] > EPISODES_PER_FIELD * self.library.task.sources_per_scene:
            self.library.reload_scene(index)
            self._scene_episodes[index] = 1
            self.built += 1
        self._episodes[index, number] += 1
        if self._episodes[index, number] > EPISODES_PER_FIELD:
            self.library.forget_field(scene_slot, number)
            self._episodes[index, number] = 1
            self.traced += 1
        return self._inner(scene_slot, number)


def bench_sim(
    worlds: int = 64,
    seconds: float = 20.0,
    threads: int = 1,
    seed: int = 0,
    task: AudioGoalTask = BENCH_TASK,
    progress: Callable[[float], None] | None = None,
) -> Measured:
    """Measure the simulator over a random walk, with everything that a training pays for.

    Worlds walk at random and never stop; each begins a new episode when its steps are used up, at other times than
    its neighbours. Scenes are built and fields traced within the timed run as often as each field's serving
    `EPISODES_PER_FIELD` episodes asks for, see `Wear`. Start-up is left out: imports, the compilation of kernels,
    the sounds, and the first of everything.

    Args:
        worlds: that are stepped at once.
        seconds: how long to measure.
        threads: that the simulator may use.
        seed: of the episodes and the walk.
        task: what to simulate.
        progress: told the share done.

    Returns:
        By name, value and unit: `steps_per_s`; `step_us`, microseconds per step of one world, and its parts
        (`responses_us`: impulse responses; `convolution_us`; `converter_us`; `depth_us`; `motion_us`: driving,
        distances, rewards; `resets_us`: new episodes and what is sensed in them; `tracing_us`: scenes built and
        fields traced; `observations_us`: the window of sound and the copies handed out); `fft_us`: what the
        transforms of a step alone take, measured after the run; counts of `steps`, `episodes`, `fields_traced`,
        `scenes_built`; and `worlds` and `threads`.

    Raises:
        ValueError: no worlds, no time, or a task of continuous actions.
    """
    if seconds <= 0.0:
        raise ValueError(f"seconds must be more than 0, got {seconds}")
    if task.actions != "discrete":
        raise ValueError("the random walk takes discrete actions; make the task with actions='discrete'")
    _compile(task, threads)
    env = AudioGoalVectorEnv(worlds, task, threads=threads)
    rng = np.random.Generator(np.random.PCG64([0x62656E, seed]))
    watch = _watch(env)
    wear = Wear(env.world.library, rng)
    env.reset(seed=seed)
    env.world.steps[:] = rng.integers(task.max_steps, size=worlds)  # so that they don't all begin anew together
    watch.seconds = dict.fromkeys(PARTS, 0.0)
    wear.traced = wear.built = steps = episodes = 0
    began = time.perf_counter()
    while (elapsed := time.perf_counter() - began) < seconds:
        _, _, _, truncated, _ = env.step(rng.integers(1, 4, worlds))
        steps += worlds
        episodes += int(truncated.sum())
        if progress is not None:
            progress(elapsed / seconds)
    figures: Measured = {"steps_per_s": (steps / elapsed, "1/s"), "step_us": (elapsed / steps * _US, "us")}
    figures |= {f"{part}_us": (watch.seconds[part] / steps * _US, "us") for part in PARTS}
    figures["fft_us"] = (_transforms_s(env) / worlds * _US, "us")
    counts = {
        "steps": steps,
        "episodes": episodes,
        "fields_traced": wear.traced,
        "scenes_built": wear.built,
        "worlds": worlds,
        "threads": env.world.threads,
    }
    return figures | {name: (float(count), "") for name, count in counts.items()}


def _transforms_s(env: AudioGoalVectorEnv, repeats: int = 15) -> float:
    """Return what a step's Fourier transforms alone take, in seconds: the median of some repeats."""
    convolver = env.world.hearing.voices[0].convolver
    taken = []
    for _ in range(repeats):
        began = time.perf_counter()
        convolver.transform_only(env.num_envs)
        taken.append(time.perf_counter() - began)
    return float(np.median(taken))


def _compile(task: AudioGoalTask, threads: int) -> None:
    """Run every kernel once, in a room of its own."""
    room = {"scenes": SceneSet(source="empty_room", count=1), "sources_per_scene": 1, "min_distance_m": 0.5}
    env = AudioGoalVectorEnv(2, task.model_copy(update=room), threads=threads)
    env.reset(seed=0)
    env.step(np.array([1, 2]))
    env.step(np.array([0, 3]))


def _watch(env: AudioGoalVectorEnv) -> Stopwatch:
    watch = Stopwatch()
    world = env.world
    hearing = world.hearing
    for owner, method, part in (
        (env, "step", "observations"),
        (world, "step", "motion"),
        (world, "begin", "resets"),
        (world.library, "scene_slot", "tracing"),
        (world.library, "reload_scene", "tracing"),
        (world.library, "field_slot", "tracing"),
        (hearing, "hear", "observations"),
        (hearing.renderer, "render", "responses"),
        (hearing.voices[0].convolver, "step", "convolution"),
        (hearing.voices[0].convolver, "renew_late", "convolution"),
        (hearing.converter, "convert", "converter"),
        (world.eyes, "render", "depth"),
    ):
        watch.watch(owner, method, part)
    return watch
