"""The benchmark: policies and baselines on the same episodes of a suite's split."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial

from phonotaxis.configs.base import ConfigError
from phonotaxis.configs.contract import Contract
from phonotaxis.configs.contract_parts import SENSED, differing
from phonotaxis.configs.suite import SplitName, Suite
from phonotaxis.configs.task import AudioGoalTask
from phonotaxis.envs import metrics
from phonotaxis.envs.library import Library
from phonotaxis.envs.metrics import EpisodeResult
from phonotaxis.envs.statistics import Estimate
from phonotaxis.envs.world import World
from phonotaxis.policies.baseline_store import BaselineStore
from phonotaxis.policies.baselines import ExpertDecider, ForwardDecider, RandomDecider
from phonotaxis.policies.follower import FollowerDecider, StopRule
from phonotaxis.policies.kinds import KindOf, keyword_kind, named_kind
from phonotaxis.policies.rollout import Decider, one_thread, run_episodes
from phonotaxis.policies.tuning import tune_follower

WORLDS = 64
FIELDS = 1024  # of sources, kept: more than a split has
Progress = Callable[[float, str], None]
MakeDecider = Callable[[World], Decider]


@dataclass(frozen=True)
class Contestant:
    """A policy to be measured.

    Attributes:
        contract: of what it sees and says.
        make: builds its decider for a world.
    """

    contract: Contract
    make: MakeDecider


@dataclass(frozen=True)
class Evaluation:
    """What an evaluation found.

    Attributes:
        results: episodes by policy's name, in the same order for each.
        kept: names of the baselines whose results were measured before, by the same code.
        contestants: names of the policies that were measured; the others are baselines.
    """

    results: dict[str, list[EpisodeResult]] = field(default_factory=dict)
    kept: tuple[str, ...] = ()
    contestants: tuple[str, ...] = ()

    def summary(self, name: str) -> dict[str, Estimate]:
        """Return the metrics of a policy, see `metrics.summarise`."""
        return metrics.summarise(self.results[name])

    def over(self, name: str, other: str, metric: str = "spl") -> Estimate:
        """Return the paired difference of a metric between two policies."""
        return metrics.paired_difference(self.results[name], self.results[other], metric)


class Arena:
    """One task's worlds, in which policies take turns at the same episodes.

    A result is the same to the last digit whatever the number of worlds and threads: worlds are, networks run in
    blocks of one size (`blocks`), and torch gets one thread.
    """

    def __init__(self, task: AudioGoalTask, seeds: Sequence[int], worlds: int = WORLDS, threads: int = 2) -> None:
        self.task, self.seeds = task, seeds
        self._worlds, self._threads = worlds, threads
        self._world: World | None = None

    @property
    def world(self) -> World:
        """The worlds, made when first needed: kept results need none."""
        if self._world is None:
            library = Library(self.task, max_fields=FIELDS)
            self._world = World(self.task, min(self._worlds, len(self.seeds)), self._threads, library)
        return self._world

    def run(self, make: MakeDecider, tell: Callable[[float], None]) -> list[EpisodeResult]:
        """Run one policy through all episodes."""
        done = 0

        def note(_: EpisodeResult) -> None:
            nonlocal done
            done += 1
            tell(done / len(self.seeds))

        with one_thread():
            return run_episodes(self.world, make(self.world), self.seeds, note)


def baselines(
    training: AudioGoalTask, tune: Callable[[KindOf | None], StopRule], seed: int = 0
) -> dict[str, MakeDecider]:
    """Return what every policy is compared with, by name.

    Args:
        training: the task that the followers' rules are fitted to.
        tune: gives the rule of a follower by what tells it kinds of sound, asked when that follower is first run.
        seed: of what is drawn.
    """
    told = named_kind if training.goal == "kind" else None

    def follower(world: World) -> Decider:
        return FollowerDecider(world.contract, world.num_worlds, tune(told), kind_of=told)

    def keyword(world: World) -> Decider:
        return FollowerDecider(world.contract, world.num_worlds, tune(keyword_kind), kind_of=keyword_kind)

    found: dict[str, MakeDecider] = {
        "random": lambda world: RandomDecider(world.num_worlds, world.contract.num_actions, seed),
        "forward": lambda world: ForwardDecider(world.contract, world.num_worlds, seed),
        "follower": follower,
        "follower_oracle_stop": lambda world: FollowerDecider(
            world.contract, world.num_worlds, None, oracle_stop=True, kind_of=told
        ),
        "expert": lambda world: ExpertDecider(),
    }
    return found | {"keyword": keyword} if training.goal == "sentence" else found


def compare(
    training: AudioGoalTask,
    test: AudioGoalTask,
    seeds: Sequence[int],
    contestants: Mapping[str, Contestant],
    with_baselines: bool = True,
    worlds: int = WORLDS,
    threads: int = 2,
    progress: Progress | None = None,
    store: BaselineStore | None = None,
    seed: int = 0,
) -> Evaluation:
    """Run contestants and baselines on the same episodes.

    Args:
        training: the task that baselines are fitted to.
        test: the task of the episodes.
        seeds: of the episodes.
        contestants: by name; none is fine.
        with_baselines: run these too.
        worlds: run at once.
        threads: that the simulator may use.
        progress: told the share done and what is going on.
        store: of baselines' results; None keeps none.
        seed: of what baselines draw.

    Raises:
        ConfigError: a contestant can't see or do what the task has, or is called like a baseline; or actions are
            continuous, which baselines don't take.
    """
    for name, contestant in contestants.items():
        check_contract(name, contestant.contract, test.contract())
    if with_baselines and test.actions != "discrete":
        raise ConfigError(
            f"{test.name}: actions are {test.actions}, and baselines choose among discrete ones; measure your policy "
            "without them (--no-baselines, with_baselines=False), or say `actions: discrete`"
        )
    taken = sorted(contestants.keys() & baselines(training, lambda told: StopRule()).keys()) if with_baselines else []
    if taken:
        raise ConfigError(f"{', '.join(taken)}: the name of a baseline; give the policy another")
    arena, tell = Arena(test, seeds, worlds, threads), progress or (lambda share, what: None)
    makers = {name: contestant.make for name, contestant in contestants.items()}
    results: dict[str, list[EpisodeResult]] = {}
    kept: list[str] = []

    def note(share: float, what: str) -> None:
        tell((len(results) + share) / len(makers), what)

    @cache
    def tune(told: KindOf | None) -> StopRule:
        return tune_follower(training, threads, lambda share: note(0.0, "tuning the follower"), kind_of=told)

    if with_baselines:
        makers |= baselines(training, tune, seed)
    for name, make in makers.items():
        own = store if name not in contestants else None
        found = own.get(training, test, name, seeds, seed) if own is not None else None
        if found is not None:
            kept.append(name)
        else:
            found = arena.run(make, partial(_told, note, name))
            if own is not None:
                own.put(training, test, name, found, seed)
        results[name] = found
    return Evaluation(results, tuple(kept), tuple(contestants))


def _told(note: Progress, name: str, share: float) -> None:
    note(share, name)


def evaluate_suite(
    suite: Suite,
    contestants: Mapping[str, Contestant],
    split: SplitName = "test",
    episodes: int | None = None,
    sounds_folder: str | None = None,
    with_baselines: bool = True,
    threads: int = 2,
    progress: Progress | None = None,
    store: BaselineStore | None = None,
) -> Evaluation:
    """Run a suite, see `compare`; its first `episodes` where a number is given."""
    return compare(
        suite.task_of("train"), suite.task_of(split, sounds_folder), suite.seeds(split, episodes), contestants,
        with_baselines, threads=threads, progress=progress, store=store,
    )  # fmt: skip


def told(task: Contract, policy: Contract) -> Contract:
    """Return a task's contract for a policy's network: with a goal if the policy can be told one, and else without."""
    return task.model_copy(update={"goal": None if policy.goal is None else task.goal or policy.goal})


def check_contract(name: str, policy: Contract, task: Contract) -> None:
    """Refuse a policy that doesn't see what a task shows, or does what it doesn't do.

    Raises:
        ConfigError: names the first point in which they differ, and what to do.
    """
    mics = f"{policy.array.name} ({policy.array.mics} microphones)", f"{task.array.name} ({task.array.mics})"
    points: list[tuple[str, object, object]] = [
        *((part, getattr(policy, part), getattr(task, part)) for part in differing(policy, task, SENSED)),
        ("kind of actions", policy.actions.kind, task.actions.kind),
        ("number of actions", policy.num_actions, task.num_actions),
    ]
    if policy.array.mic_xyz_m != task.array.mic_xyz_m:
        points.insert(0, ("array", *mics))
    if policy.goal is not None and task.goal is not None:
        points.append(("goal", policy.goal, task.goal))
    _refuse_first(name, points)


def check_hearing(name: str, policy: Contract, task: Contract) -> None:
    """Refuse a policy that hears at another rate, or in other windows: its network can't be rebuilt for that.

    Raises:
        ConfigError: as of `check_contract`.
    """
    parts = ("sample_rate_hz", "window_samples")
    _refuse_first(name, [(part, getattr(policy, part), getattr(task, part)) for part in parts])


def _refuse_first(name: str, points: list[tuple[str, object, object]]) -> None:
    for what, own, other in points:
        if own != other:
            raise ConfigError(
                f"{name}: its {what} is {own}, the suite's is {other}; train with the suite's, or evaluate the "
                "training's folder on its own task with --suite own"
            )
