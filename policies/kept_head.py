"""Which head of preferences a training keeps: the most comfortable one on validation episodes that still succeeds."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass

import numpy as np

from phonotaxis.configs.prefer import Manners
from phonotaxis.configs.task import AudioGoalTask
from phonotaxis.policies.benchmark import Arena
from phonotaxis.policies.episode_seeds import selection_seeds
from phonotaxis.policies.evaluate import contestant
from phonotaxis.policies.policy import Policy
from phonotaxis.policies.preferences import discomfort
from phonotaxis.policies.tradeoff import Episodes, ridden


@dataclass(frozen=True)
class Comfort:
    """What turning the knob up all the way makes of the validation episodes.

    Discomfort is that of the ranking (`configs.prefer.Manners`), the mean over the episodes that succeed both with and
    without caution: one that failed has none to speak of, and another head is held against the same way without.

    Attributes:
        success_without: share of the episodes, at caution 0.
        success_with: likewise, at caution 1.
        discomfort_without: at caution 0; 0 where no episode succeeds both ways.
        discomfort_with: likewise, at caution 1.
        compared: episodes that succeed both ways.
    """

    success_without: float
    success_with: float
    discomfort_without: float
    discomfort_with: float
    compared: int

    @property
    def more(self) -> float:
        """By how much caution is less comfortable than none; less than 0 where it does what it is for."""
        return self.discomfort_with - self.discomfort_without

    def succeeds(self, tolerance: float) -> bool:
        """Whether caution costs no more success than a share of the episodes."""
        return self.success_with >= self.success_without - tolerance - 1e-9  # of rounding, no episode

    def counters(self, prefix: str) -> dict[str, float | int]:
        """Return the figures as a checkpoint keeps them."""
        return {f"{prefix}{name}": value for name, value in asdict(self).items()}

    def good(self, tolerance: float) -> bool:
        """Whether caution succeeds, see `succeeds`, and is more comfortable than none."""
        return self.succeeds(tolerance) and self.more < 0.0

    @classmethod
    def of_counters(cls, counters: dict[str, float | int], prefix: str) -> Comfort | None:
        """Return what `counters` wrote; None where it wrote nothing."""
        found = {name: counters.get(f"{prefix}{name}") for name in cls.__dataclass_fields__}
        return None if None in found.values() else cls(**found)  # type: ignore[arg-type]  # none is None


class KnobValidation:
    """The same episodes of a task's validation split, run with and without caution whenever it is asked.

    Args:
        task: of the validation split.
        episodes: how many.
        manners: by which comfort is measured.
    """

    def __init__(self, task: AudioGoalTask, episodes: int, manners: Manners) -> None:
        self.arena = Arena(task, selection_seeds(episodes), threads=1)
        self._manners = manners
        self._without: Episodes | None = None  # the policy beneath stays, so once is enough

    def measure(self, policy: Policy) -> Comfort:
        """Run a policy with a knob; what lies beneath its head is the same at each call."""
        if self._without is None:
            self._without = ridden(self.arena, contestant(policy, 0.0))
        return compared(self._without, ridden(self.arena, contestant(policy, 1.0)), self._manners)


def compared(without: Episodes, cautious: Episodes, manners: Manners) -> Comfort:
    """Compare the same episodes without and with caution."""
    both = [
        (discomfort(*one, manners), discomfort(*other, manners))
        for one, other in zip(without, cautious)
        if one[0].success and other[0].success
    ]
    felt = np.mean(both, axis=0) if both else np.zeros(2)
    success = [float(np.mean([result.success for result, _ in episodes])) for episodes in (without, cautious)]
    return Comfort(success[0], success[1], float(felt[0]), float(felt[1]), len(both))


def counters_of(found: Mapping[str, Comfort], prefix: str) -> dict[str, float | int]:
    """Return what was found on each task as a checkpoint keeps it, under the tasks' names where there are several."""
    told: dict[str, float | int] = {}
    for name, comfort in found.items():
        told |= comfort.counters(prefix if len(found) == 1 else f"{prefix}{name}_")
    return told


def found_in(counters: dict[str, float | int], prefix: str, names: Collection[str]) -> dict[str, Comfort]:
    """Return what `counters_of` wrote of the tasks with these names; empty where it wrote nothing."""
    read = {name: Comfort.of_counters(counters, prefix if len(names) == 1 else f"{prefix}{name}_") for name in names}
    return {name: comfort for name, comfort in read.items() if comfort is not None}
