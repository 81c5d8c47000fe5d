"""What a policy gives and takes as its knob is turned: the same episodes at several cautions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from phonotaxis.configs.task import AudioGoalTask
from phonotaxis.envs import metrics, statistics
from phonotaxis.envs.metrics import EpisodeResult
from phonotaxis.envs.statistics import Estimate
from phonotaxis.envs.world import World
from phonotaxis.policies.benchmark import Arena, Contestant, check_contract
from phonotaxis.policies.manners import Bystander, Ride
from phonotaxis.policies.rollout import Decider

Episodes = tuple[tuple[EpisodeResult, Ride], ...]  # accounts and rides, in the order of their seeds


@dataclass(frozen=True)
class Trait:
    """Something of an episode that the knob may change.

    Attributes:
        name: stable, snake_case.
        label: for people.
        unit: "%" for shares, else the unit's symbol.
        value: of an episode, from its account and its ride.
    """

    name: str
    label: str
    unit: str
    value: Callable[[EpisodeResult, Ride], float]


TRAITS: tuple[Trait, ...] = (
    Trait("success", "Success", "%", lambda result, ride: metrics.success(result)),
    Trait("spl", "SPL", "%", lambda result, ride: metrics.spl(result)),
    Trait("clearance_m", "Clearance", "m", lambda result, ride: ride.mean_m),
    Trait("low_clearance_m", "Lowest tenth", "m", lambda result, ride: ride.low_m),
    Trait("changes_per_m", "Changes", "1/m", lambda result, ride: ride.changes_per_m(result)),
    Trait("collisions", "Collisions", "", lambda result, ride: metrics.collisions(result)),
    Trait("time_s", "Time", "s", lambda result, ride: result.time_s or 0.0),
)
TRAIT: dict[str, Trait] = {trait.name: trait for trait in TRAITS}


@dataclass(frozen=True)
class Tradeoff:
    """What was found.

    Attributes:
        cautions: where the knob stood, the first of them what others are compared with.
        episodes: accounts and rides of each, in the order of the seeds.
    """

    cautions: tuple[float, ...]
    episodes: tuple[Episodes, ...]

    def estimate(self, at: int, name: str) -> Estimate:
        """Return the mean of a trait over the episodes of the `at`-th caution, with its 95 % interval."""
        return statistics.mean(self._values(at, name))

    def over(self, at: int, name: str) -> Estimate:
        """Return by how much it differs from that of the first caution, paired by episode."""
        return statistics.paired_difference(self._values(at, name), self._values(0, name))

    def _values(self, at: int, name: str) -> list[float]:
        return [TRAIT[name].value(*episode) for episode in self.episodes[at]]


def measure_tradeoff(
    task: AudioGoalTask,
    seeds: Sequence[int],
    turned: Callable[[float], Contestant],
    cautions: Sequence[float],
    threads: int = 2,
    progress: Callable[[float, str], None] = lambda share, what: None,
) -> Tradeoff:
    """Run the same episodes at each caution.

    Args:
        task: of the episodes.
        seeds: of the episodes.
        turned: gives the policy with its knob at a caution.
        cautions: one or more.
        threads: that the simulator may use; results don't depend on it.
        progress: told the share done and what is going on.

    Raises:
        ConfigError: the policy doesn't see or do what the task has.
    """
    arena = Arena(task, seeds, threads=threads)
    found = []
    for number, caution in enumerate(cautions):
        contestant = turned(caution)
        check_contract("the policy", contestant.contract, task.contract())

        def tell(share: float, number: int = number, caution: float = caution) -> None:
            progress((number + share) / len(cautions), f"caution {caution:g}")

        found.append(ridden(arena, contestant, tell))
    return Tradeoff(tuple(cautions), tuple(found))


def ridden(arena: Arena, contestant: Contestant, tell: Callable[[float], None] = lambda share: None) -> Episodes:
    """Run a policy through an arena's episodes, with a bystander.

    Args:
        arena: of the episodes.
        contestant: the policy.
        tell: told the share done.

    Returns:
        In the order of the arena's seeds.
    """
    watched: list[Bystander] = []

    def make(world: World) -> Decider:
        watched.append(Bystander(contestant.make(world), world.num_worlds))
        return watched[0]

    results = arena.run(make, tell)
    return tuple(zip(results, watched[0].rides))
