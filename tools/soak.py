"""Runs the simulator for long and looks for what only shows then.

That is memory that grows, numbers that aren't finite, samples over full scale that nothing marks, and starts without
a way to their source. Worlds walk at random through more scenes than the library keeps, at levels from a whisper to
far over full scale. Exit code 0 where nothing was found, 1 otherwise, with a line on each fault.

Usage: python tools/soak.py [--steps 1000000] [--scenes 2000] [--worlds 32] [--threads 1] [--seed 0] [--store FOLDER]
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from phonotaxis.configs import contract as names
from phonotaxis.configs.task import AudioGoalTask, SceneSet, SoundSet
from phonotaxis.envs.library import Library
from phonotaxis.envs.outcome import Outcome
from phonotaxis.envs.world import World

EPISODE_STEPS = 60
MAX_SCENES = 64  # kept, with twice as many fields; so few that a run soon replaces them all the time
_KEPT_SHARE = 8  # of the scenes, where there are few: one of so many
REPORTS = 100
ACTION_SHARES = (0.01, 0.59, 0.2, 0.2)  # stop, forward, left, right
WARM_UP = 0.4  # share of a run in which memory may grow: lists fill, kernels compile, the heap finds its size
GROWTH_MIB = 48.0  # allowed after it: the allocator's own ups and downs, measured at 10 to 20
_FULL_SCALE_MARGIN = 1.01  # noise may bring back a sample that is barely over
_MIB = 2.0**20


class Fault(Exception):
    """Something that must not happen; the message says what and where."""


@dataclass
class Account:
    """What a run has seen.

    Attributes:
        steps: of single worlds.
        episodes: begun.
        scenes: names of those visited.
        clipped_hops: hops of a world with samples that were marked as clipped.
        resident_mib: memory of the process at even distances through the run, MiB.
        seconds: that it took.
    """

    steps: int = 0
    episodes: int = 0
    scenes: set[str] = field(default_factory=set)
    clipped_hops: int = 0
    resident_mib: list[float] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def growth_mib(self) -> float:
        """Growth of memory after the warm-up, MiB: the last fifth against as much after the warm-up, medians."""
        after = self.resident_mib[int(WARM_UP * len(self.resident_mib)) :]
        part = max(1, len(self.resident_mib) // 5)
        return float(np.median(after[-part:]) - np.median(after[:part]))


def soak_task(scenes: int) -> AudioGoalTask:
    """Return the task of a soak: many apartments, short episodes, levels that clip now and then."""
    loud = SoundSet(instances_per_kind=1, mean_level_db_spl=95.0, level_range_db=40.0)
    return AudioGoalTask(scenes=SceneSet(count=scenes), max_steps=EPISODE_STEPS, sounds=loud)


def soak(
    steps: int,
    scenes: int,
    worlds: int = 32,
    threads: int = 1,
    seed: int = 0,
    store: str | None = None,
    tell: Callable[[str], None] = print,
) -> Account:
    """Run worlds until they have made a number of steps together.

    Args:
        steps: of single worlds, all together.
        scenes: that episodes are drawn from.
        worlds: that are stepped at once.
        threads: that the simulator may use.
        seed: of the episodes and the walk.
        store: folder of fields, see `Library`.
        tell: told how it goes, `REPORTS` times.

    Raises:
        Fault: at the first step where something is wrong.
    """
    task = soak_task(scenes)
    kept = min(MAX_SCENES, max(1, scenes // _KEPT_SHARE))
    library = Library(task, max_fields=2 * kept, max_scenes=kept, store=store)
    world = World(task, worlds, threads, library)
    account = Account()
    rng = np.random.Generator(np.random.PCG64([0x736F616B, seed]))
    began = time.perf_counter()
    sound = world.hearing.tap()
    _begin(world, np.arange(worlds), rng, account)
    world.steps[:] = rng.integers(task.max_steps, size=worlds)  # so that they don't all begin anew together
    while account.steps < steps:
        outcome = world.step(rng.choice(4, size=worlds, p=ACTION_SHARES))
        account.steps += worlds
        check_step(world, outcome)
        hearing = world.hearing
        check_clipping(sound, hearing.codes, hearing.clipped)
        account.clipped_hops += int((hearing.clipped > 0).sum())
        done = np.flatnonzero(outcome.terminated | outcome.truncated)
        if done.size:
            _begin(world, done, rng, account)
        if account.steps * REPORTS >= steps * (len(account.resident_mib) + 1):
            account.seconds = time.perf_counter() - began
            account.resident_mib.append(resident_mib())
            tell(_line(account, library))
    return account


def _begin(world: World, which: np.ndarray, rng: np.random.Generator, account: Account) -> None:
    world.begin(which, rng.integers(2**31, size=which.size))
    account.episodes += which.size
    for index in which:
        account.scenes.add(world.result(int(index)).scene)
    check_begin(world, which)


def check_begin(world: World, which: np.ndarray) -> None:
    """Check worlds that have just begun.

    Raises:
        Fault: a start without a way to its source, or an observation that is wrong.
    """
    to_go = world.actions_to_go()
    for index in which:
        if not (np.isfinite(world.distance_m[index]) and np.isfinite(to_go[index])):
            raise Fault(f"no way to the source: {_where(world, int(index))}")
    _check_observations(world)


def check_step(world: World, outcome: Outcome) -> None:
    """Check what a step led to.

    Raises:
        Fault: a number that isn't finite or lies out of its range.
    """
    _check_observations(world)
    for name, values in (("reward", outcome.reward), ("distance", world.distance_m), ("bearing", world.bearing_rad)):
        _all(np.isfinite(values), f"a {name} that isn't finite", world)
    _all(np.isfinite(world.pose), "a pose that isn't finite", world)


def _check_observations(world: World) -> None:
    for name, array in world.observation.items():
        _all(np.isfinite(array), f"{name}: a value that isn't finite", world)
    _all(np.abs(world.observation[names.AUDIO]) <= 1.0, "audio: a sample beyond full scale", world)
    _all(world.observation[names.DEPTH] >= 0.0, "depth: a negative distance", world)


def _all(good: np.ndarray, fault: str, world: World) -> None:
    if not good.all():
        raise Fault(f"{fault}: {_where(world, int(np.argwhere(~good)[0][0]))}")


def _where(world: World, index: int) -> str:
    episode = world.episodes[index]
    seed = "none" if episode is None else episode.seed
    scene = "none" if episode is None else world.library.scenes[episode.scene].name
    x, y, yaw = world.pose[index]
    return f"{scene}, episode {seed}, step {world.steps[index]}, pose ({x:.3f}, {y:.3f}, {yaw:.3f})"


def check_clipping(sound: np.ndarray, codes: np.ndarray, marks: np.ndarray) -> None:
    """Check a converted hop.

    Args:
        sound: float32 [worlds, mics, hop], what went in but for noise, full scale ±1.
        codes: int16 [worlds, mics, hop], what came out.
        marks: int64 [worlds], how many samples were marked as clipped.

    Raises:
        Fault: a sound that isn't finite, one over full scale whose world isn't marked, or one that came out under it.
    """
    if not np.isfinite(sound).all():
        raise Fault("a sound that isn't finite went into the converter")
    over = np.abs(sound) > _FULL_SCALE_MARGIN
    if (over.any(axis=(1, 2)) & (marks == 0)).any():
        raise Fault("samples over full scale that are not marked as clipped")
    highest = np.iinfo(np.int16).max
    if (np.abs(codes[over].astype(np.int32)) < highest).any():
        raise Fault("a sample over full scale came out of the converter under it")


def resident_mib() -> float:
    """Return the memory of this process that is in RAM, MiB."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / _MIB


def _line(account: Account, library: Library) -> str:
    kept = {name: size / _MIB for name, size in library.memory_bytes().items()}
    return (
        f"{account.steps:9d} steps  {account.steps / account.seconds:6.0f}/s  {account.episodes:6d} episodes  "
        f"{len(account.scenes):5d} scenes  {account.clipped_hops:6d} hops clipped  "
        f"{account.resident_mib[-1]:7.1f} MiB (scenes {kept['scenes']:.1f}, fields {kept['fields']:.1f})"
    )


def verdict(account: Account) -> list[str]:
    """Say what is wrong with a whole run; nothing where all is well."""
    faults = []
    if account.growth_mib > GROWTH_MIB:
        faults.append(f"memory grew by {account.growth_mib:.1f} MiB after the warm-up, more than {GROWTH_MIB:.0f}")
    if account.clipped_hops == 0:
        faults.append("nothing clipped: the levels of the soak no longer try the converter")
    return faults


def main(arguments: list[str] | None = None) -> int:
    """Run a soak from the command line; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--steps", type=int, default=1_000_000, help="of single worlds, all together")
    parser.add_argument("--scenes", type=int, default=2000, help="that episodes are drawn from")
    parser.add_argument("--worlds", type=int, default=32, help="that are stepped at once")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--store", help="folder in which fields are kept")
    given = parser.parse_args(arguments)
    if min(given.steps, given.scenes, given.worlds) < 1:
        parser.error("--steps, --scenes and --worlds must be at least 1")

    def tell(line: str) -> None:
        print(line, flush=True)

    try:
        account = soak(given.steps, given.scenes, given.worlds, given.threads, given.seed, given.store, tell)
        faults = verdict(account)
    except Fault as fault:
        faults = [str(fault)]
    else:
        tell(f"memory after the warm-up: {account.growth_mib:+.1f} MiB; {len(account.scenes)} scenes visited")
    for fault_line in faults:
        print(f"FAULT {fault_line}", file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
