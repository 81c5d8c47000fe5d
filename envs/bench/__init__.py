"""How fast the simulator is: steps a second, what they cost beside another simulator's, and how the cost grows.

`sim` runs the whole; `session` steps the worlds, `wear` ages their scenes and fields, `stopwatch` splits the time,
`reference` times RLR on the same poses, `growth` varies one size at a time, `memory` counts bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

Progress = Callable[[float, str], None]
"""Is told the share that is done, 0..1, and a few words on what is going on."""


class Measure(NamedTuple):
    """One figure.

    Attributes:
        value: as measured.
        unit: `1/s`, `us`, `ms`, `MB`, or empty for counts, ratios and shares.
        interval: low and high end of its 95 % interval, None where there is none.
    """

    value: float
    unit: str = ""
    interval: tuple[float, float] | None = None


Measured = dict[str, Measure]


def quiet(share: float, note: str = "") -> None:
    """Tell nobody: the `Progress` of a run that isn't watched."""
