"""Physical truth as numbers: the simulator's sound against references, each for what it is right about.

Every module that measures has one function, `run(progress) -> list[Row]`; `suite` calls them all. References are
exact image sources in shoeboxes, closed forms at wedges, finite differences through a door, and another simulator in
furnished apartments. Seeds and poses stand in the modules, so that two runs compare the same things.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

Progress = Callable[[float, str], None]
"""Is told the share that is done, 0..1, and a few words on what is going on."""


class ReferenceMissing(RuntimeError):
    """A reference that isn't installed; the message says which and how to get it. Its rows are left out."""


@dataclass(frozen=True)
class Row:
    """One quantity of the benchmark.

    Attributes:
        name: snake_case and stable, e.g. `rt60_error_median`.
        value: as measured; NaN where there was nothing to measure. Signed quantities are judged by magnitude.
        unit: `dB`, `deg`, `%`, `samples`, or empty.
        goal: the largest magnitude that is good enough; None for what is printed, not judged.
        reference_own: the same quantity between the reference and itself (a second call, another seed), None where
            the reference has no spread of its own. No goal is below it.
        note: what the value was taken over: poses, seeds, what was left out and why.
        samples: the single values, for the plot; empty where there are none.
    """

    name: str
    value: float
    unit: str
    goal: float | None = None
    reference_own: float | None = None
    note: str = ""
    samples: tuple[float, ...] = ()

    @property
    def limit(self) -> float | None:
        """What the magnitude is held to: the goal, or what the reference itself reaches where that is more."""
        if self.goal is None:
            return None
        return max(self.goal, abs(self.reference_own or 0.0))

    @property
    def met(self) -> bool | None:
        """Whether the goal is met; None where there is none. Nothing measured is not met."""
        return None if self.limit is None else abs(self.value) <= self.limit


def quiet(share: float, note: str = "") -> None:
    """Tell nobody: the `Progress` of a run that isn't watched."""
