"""Worlds that walk at random, measured in blocks of time, with one number of threads and another in turn."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from phonotaxis.configs.task import AudioGoalTask, SceneSet
from phonotaxis.envs.bench.stopwatch import Stopwatch
from phonotaxis.envs.bench.wear import Wear, fill
from phonotaxis.envs.gym import AudioGoalVectorEnv
from phonotaxis.envs.hop import PARTS as HEARING_PARTS
from phonotaxis.envs.library import Library
from phonotaxis.envs.threads import cores

_TRANSFORMS = 3  # how often a block times the transforms of a step


class Block(NamedTuple):
    """One stretch of time.

    Attributes:
        steps: of all worlds together.
        episodes: that ended.
        seconds: that passed.
        cpu_s: that all threads of the process worked together.
        parts_s: seconds by part.
        transforms_s: what the Fourier transforms of one step of all worlds take alone, right after it.
    """

    steps: int
    episodes: int
    seconds: float
    cpu_s: float
    parts_s: dict[str, float]
    transforms_s: float


class Session:
    """Batches of worlds that share scenes and fields, one batch for each number of threads.

    Worlds walk at random and never stop; each begins a new episode when its steps are used up, at other times than
    its neighbours. Compilation, sounds and the first of everything happen here, not in a block.

    Args:
        worlds: of each batch.
        threads: numbers of threads to measure with.
        seed: of the episodes and the walks.
        task: what to simulate; with discrete actions.
        wears: whether scenes are built and fields traced anew as a long training does, see `Wear`.

    Attributes:
        envs: the batch of each number of threads.
        library: what they share.
        wear: counts what was made anew; None unless it `wears`.

    Raises:
        ValueError: no worlds, more threads than the machine has cores, or a task of continuous actions.
    """

    def __init__(self, worlds: int, threads: Sequence[int], seed: int, task: AudioGoalTask, wears: bool = True) -> None:
        if task.actions != "discrete":
            raise ValueError("the random walk takes discrete actions; make the task with actions='discrete'")
        if max(threads) > cores():
            raise ValueError(
                f"{max(threads)} threads asked for, but this process may use {cores()} cores; ask for no more"
            )
        warm_up(task, threads)
        self.rng = np.random.Generator(np.random.PCG64([0x62656E, seed]))
        self.library = Library(task)
        self.wear = Wear(self.library, self.rng) if wears else None
        if not wears:
            fill(self.library)
        self._watch = Stopwatch()
        for method in ("scene_slot", "reload_scene", "field_slot"):
            self._watch.watch(self.library, method, "tracing")
        self.envs = {
            count: self._begin(AudioGoalVectorEnv(worlds, task, threads=count, library=self.library), seed + k * worlds)
            for k, count in enumerate(threads)
        }

    def _begin(self, env: AudioGoalVectorEnv, seed: int) -> AudioGoalVectorEnv:
        env.reset(seed=seed)
        spread = self.rng.integers(env.world.task.max_steps, size=env.num_envs)
        env.world.steps[:] = spread  # so that they don't all begin anew together
        if env.world.threads == 1:  # a watch is passed from part to part, which takes one thread
            watch_parts(self._watch, env)
        return env

    def block(self, threads: int, seconds: float) -> Block:
        """Step the batch of a number of threads for a while."""
        env = self.envs[threads]
        self._step(env)  # fetches into the caches what another block has driven out
        self._watch.take()
        ticks_before = env.world.hearing.ticks.sum(axis=0)
        steps = episodes = 0
        began, cpu_began = time.perf_counter(), time.process_time()
        while (elapsed := time.perf_counter() - began) < seconds or steps == 0:
            episodes += self._step(env)
            steps += env.num_envs
        cpu_s = time.process_time() - cpu_began
        parts = split_hearing(self._watch.take(), env.world.hearing.ticks.sum(axis=0) - ticks_before)
        return Block(steps, episodes, elapsed, cpu_s, parts, transforms_s(env))

    def _step(self, env: AudioGoalVectorEnv) -> int:
        """Take a step of the random walk; returns how many episodes it ended."""
        _, _, _, truncated, _ = env.step(self.rng.integers(1, 4, env.num_envs))
        return int(truncated.sum())


def transforms_s(env: AudioGoalVectorEnv) -> float:
    """Return what the Fourier transforms of a step of all worlds take alone, seconds: the median of a few."""
    voices = env.world.hearing.voices
    taken = []
    for _ in range(_TRANSFORMS):
        began = time.perf_counter()
        for voice in voices:
            voice.convolver.transform_only(env.num_envs)
        taken.append(time.perf_counter() - began)
    return float(np.median(taken))


def split_hearing(parts_s: dict[str, float], ticks: np.ndarray) -> dict[str, float]:
    """Split the time of hearing, one kernel, by the processor's ticks that its parts took.

    Args:
        parts_s: seconds by part; `hearing` is all of it.
        ticks: int64 [hop.PARTS], of resets too, which take a share of each; where the processor has no counter they are
            0, and hearing stays whole.

    Returns:
        Seconds by part; `hearing` is what isn't responses, convolution or converter. Each has its share of the time
        that Python takes to call the kernel.
    """
    split = dict(parts_s)
    for part, share in zip(HEARING_PARTS[:-1], ticks[:-1] / max(float(ticks.sum()), 1.0)):
        split[part] = parts_s["hearing"] * float(share)
        split["hearing"] -= split[part]
    return split


def warm_up(task: AudioGoalTask, threads: Sequence[int]) -> None:
    """Compile every kernel, in a room of its own."""
    room = {"scenes": SceneSet(source="empty_room", count=1), "sources_per_scene": 1, "min_distance_m": 0.5}
    for count in threads:
        env = AudioGoalVectorEnv(2, task.model_copy(update=room), threads=count)
        env.reset(seed=0)
        env.step(np.array([1, 2]))
        env.step(np.array([0, 3]))


def watch_parts(watch: Stopwatch, env: AudioGoalVectorEnv) -> None:
    """Let a stopwatch time the parts of a batch's step."""
    world = env.world
    hearing = world.hearing
    for owner, method, part in (
        (env, "step", "observations"),
        (world, "step", "motion"),
        (world, "_draw", "resets"),
        (world, "_enter", "resets"),
        (hearing, "hear", "hearing"),
        (world.eyes, "render", "depth"),
        (world.depth_camera, "spoil", "depth"),
    ):
        watch.watch(owner, method, part)
