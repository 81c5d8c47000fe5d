"""The bench of the simulator: one run that measures it, and what it is held against, in alternation."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from phonotaxis.configs.noise import Noise, RobotNoise
from phonotaxis.configs.task import AudioGoalTask, SceneSet
from phonotaxis.envs import statistics
from phonotaxis.envs.bench import Measure, Measured, Progress, quiet
from phonotaxis.envs.bench.memory import memory_figures
from phonotaxis.envs.bench.reference import SETTINGS, jobs_of, record_walks
from phonotaxis.envs.bench.session import Block, Session
from phonotaxis.envs.bench.stopwatch import PARTS
from phonotaxis.envs.threads import cores
from phonotaxis.envs.truth import ReferenceMissing

EPISODE_STEPS = 60
BENCH_TASK = AudioGoalTask(
    scenes=SceneSet(count=32),
    sources_per_scene=4,
    max_steps=EPISODE_STEPS,
    noise=Noise(diffuse_dba=35.0, robot=RobotNoise(motor_dba_at_full_speed=50.0, fan_dba=30.0)),
)
BLOCK_S = 1.0
_LEAST_BLOCKS = 4
_US, _MS = 1e6, 1e3


class Report(NamedTuple):
    """What a run measured, and in words what it left out and why."""

    figures: Measured
    left_out: list[str]


class Runs(NamedTuple):
    """What was measured so far: blocks by number of threads, and RLR's seconds for a response by setting."""

    blocks: dict[int, list[Block]]
    reference_s: dict[str, list[float]]
    left_out: list[str]


def bench_sim(
    worlds: int = 64,
    seconds: float = 20.0,
    threads: int = 2,
    seed: int = 0,
    task: AudioGoalTask = BENCH_TASK,
    reference: bool = True,
    progress: Progress = quiet,
) -> Report:
    """Measure the simulator over a random walk, with everything that a training pays for.

    Worlds walk at random and never stop. Scenes are built and fields traced within the timed run as often as each
    field's serving `wear.EPISODES_PER_FIELD` episodes asks for. Start-up is left out: imports, the compilation of
    kernels, the sounds, and the first of everything. Blocks of a second with one thread, blocks with more and
    responses by RLR alternate in random order, so that a neighbour who makes the machine slow makes all of them so.

    Args:
        worlds: that are stepped at once.
        seconds: how long to measure with each number of threads.
        threads: to compare with one thread; 1 measures one thread alone. No more than the machine has.
        seed: of the episodes, the walk and the order.
        task: what to simulate.
        reference: time RLR, too, where it is installed.
        progress: told the share done.

    Returns:
        The figures, n standing for `threads`: `steps_per_s_1_thread`, the mean over the whole time with the interval
        of its blocks, and `_median`, of the blocks; `steps_per_s_n_threads`, `speedup_n_threads`;
        `steps_per_cpu_s_1_thread`, by the processor's time, which neighbours take less from, and
        `cores_used_1_thread`, that time over all; `step_us`, microseconds per step of one world on one thread,
        and its parts (`responses_us`: impulse responses; `convolution_us`; `converter_us`, with noise; `hearing_us`:
        the window of sound and the rest of hearing; `depth_us`; `motion_us`: driving, distances, rewards;
        `resets_us`: new episodes and what is sensed in them; `tracing_us`: scenes built and fields traced;
        `observations_us`: the copies handed out); `fft_us`, what the transforms of a step alone take, and
        `fft_share` of a step; `rlr_*_ms` for a response and `ratio_rlr_*`, how many of our steps it and a depth
        image take, see `reference`; memory, see `memory.memory_figures`; and counts.

    Raises:
        ValueError: no worlds, no time, no threads, or a task of continuous actions.
    """
    if seconds <= 0.0:
        raise ValueError(f"seconds must be more than 0, got {seconds}")
    if threads < 1:
        raise ValueError(f"threads must be at least 1, got {threads}")
    counts = sorted({1, min(threads, cores())})
    progress(0.0, "building scenes, tracing fields")
    session = Session(worlds, counts, seed, task)
    memory = memory_figures(session.envs[1].world)  # before anything of the bench's own lies in the library
    runs = Runs({count: [] for count in counts}, {setting.name: [] for setting in SETTINGS}, [])
    units = _units(session, runs, seconds, reference)
    order = session.rng.permutation(len(units))
    for done, index in enumerate(order):
        progress(0.1 + 0.9 * done / len(order), "measuring")
        units[index]()
    return Report(_figures(runs, worlds) | memory | _counts(session, runs, worlds), _left_out(runs, threads, reference))


def _units(session: Session, runs: Runs, seconds: float, reference: bool) -> list[Callable[[], None]]:
    """Return what is to be measured, in pieces whose order doesn't matter."""
    blocks = max(_LEAST_BLOCKS, round(seconds / BLOCK_S))

    def alternate() -> None:
        for count in session.rng.permutation(list(session.envs)):
            runs.blocks[int(count)].append(session.block(int(count), seconds / blocks))

    def ask(name: str, job: Callable[[], float]) -> None:
        if not runs.left_out:
            try:
                runs.reference_s[name].append(job())
            except ReferenceMissing as missing:
                runs.left_out.append(str(missing))

    jobs = jobs_of(record_walks(session)) if reference else []
    return [alternate] * blocks + [lambda name=name, job=job: ask(name, job) for name, job in jobs]


def _figures(runs: Runs, worlds: int) -> Measured:
    """Work out the figures of time."""
    one = runs.blocks[1]
    figures: Measured = {}
    for count, blocks in runs.blocks.items():
        name = f"steps_per_s_{count}_thread{'s' if count > 1 else ''}"
        figures[name] = _measure(_rate(blocks), "1/s")
        figures[f"{name}_median"] = Measure(float(np.median([b.steps / b.seconds for b in blocks])), "1/s")
    for count, blocks in runs.blocks.items():
        if count > 1:
            figures[f"speedup_{count}_threads"] = _measure(_speedup(one, blocks), "")
    seconds, steps = sum(b.seconds for b in one), sum(b.steps for b in one)
    cpu_s = sum(b.cpu_s for b in one)
    figures["steps_per_cpu_s_1_thread"] = Measure(steps / cpu_s, "1/s")
    figures["cores_used_1_thread"] = Measure(cpu_s / seconds)
    figures["step_us"] = Measure(seconds / steps * _US, "us")
    for part in PARTS:
        figures[f"{part}_us"] = Measure(sum(b.parts_s[part] for b in one) / steps * _US, "us")
    fft_s = float(np.median([b.transforms_s for b in one])) / worlds
    figures["fft_us"] = Measure(fft_s * _US, "us")
    figures["fft_share"] = Measure(fft_s * steps / seconds)
    return figures | _reference_figures(runs, figures["depth_us"].value / _US)


def _reference_figures(runs: Runs, depth_s: float) -> Measured:
    """Hold our steps against RLR's responses with a depth image each."""
    steps = _rate(runs.blocks[1])
    figures: Measured = {}
    ratios: Measured = {}
    for name, taken_s in runs.reference_s.items():
        if taken_s:
            each = statistics.mean(taken_s)
            figures[f"rlr_{name}_ms"] = Measure(each.value * _MS, "ms", (each.low * _MS, each.high * _MS))
            ends = (each.low + depth_s) * steps.low, (each.high + depth_s) * steps.high
            ratios[f"ratio_rlr_{name}"] = Measure((each.value + depth_s) * steps.value, "", ends)
    return ratios | figures


def _counts(session: Session, runs: Runs, worlds: int) -> Measured:
    blocks = [block for some in runs.blocks.values() for block in some]
    counts = {
        "steps": sum(block.steps for block in blocks),
        "episodes": sum(block.episodes for block in blocks),
        "fields_traced": 0 if session.wear is None else session.wear.traced,
        "scenes_built": 0 if session.wear is None else session.wear.built,
        "blocks": len(runs.blocks[1]),
        "worlds": worlds,
    }
    return {name: Measure(float(count)) for name, count in counts.items()}


def _left_out(runs: Runs, threads: int, reference: bool) -> list[str]:
    lines = [f"ratio_rlr_*: {line}" for line in runs.left_out]
    if not reference:
        lines.append("ratio_rlr_*: not asked for")
    if threads > cores():
        lines.append(f"speedup_{threads}_threads: this process may use {cores()} cores")
    return lines


def _rate(blocks: list[Block]) -> statistics.Estimate:
    """Return steps per second over all blocks."""
    return statistics.ratio([b.steps for b in blocks], [b.seconds for b in blocks])


def _speedup(one: list[Block], more: list[Block]) -> statistics.Estimate:
    """Return how many times as many steps per second more threads make; blocks are pairs, next to each other."""
    rows = [(a.steps, a.seconds, b.steps, b.seconds) for a, b in zip(one, more)]

    def statistic(drawn: np.ndarray) -> np.ndarray:
        sums = drawn.sum(axis=-2)
        return (sums[..., 2] / sums[..., 3]) / (sums[..., 0] / sums[..., 1])

    return statistics.bootstrap(np.array(rows), statistic)


def _measure(estimate: statistics.Estimate, unit: str) -> Measure:
    return Measure(estimate.value, unit, (estimate.low, estimate.high))
