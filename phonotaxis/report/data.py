"""What a report shows: plain arrays and strings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from phonotaxis.envs.statistics import Estimate


class ReportError(ValueError):
    """Data of a report that don't fit together; the message says which, what was expected, what came."""


@dataclass(frozen=True)
class Fact:
    """One line of the report's facts, e.g. group "Replay", name "actions identical", value "81 of 81".

    Attributes:
        group: heading under which facts of the same group stand together.
        name: what it is.
        value: as text, with its unit.
        good: True and False mark what was checked and held or failed; None marks nothing.
    """

    group: str
    name: str
    value: str
    good: bool | None = None


@dataclass(frozen=True)
class PolicyRow:
    """One policy's row in the evaluation table.

    Attributes:
        name: of the policy.
        estimates: by metric's name, as `metrics.summarise` gives them.
        ours: this is the policy the report is about.
    """

    name: str
    estimates: Mapping[str, Estimate]
    ours: bool = False


@dataclass(frozen=True, eq=False)
class ReportData:
    """One episode and one evaluation, ready to be drawn. Positions are in the world frame.

    Step i ends at time (i + 1) * `control_period_s`; what is listed for [steps] is known or decided then.

    Attributes:
        title: of the report.
        outcome: one sentence on how the episode went.
        wall: bool [rows, columns], solid to the ceiling; row 0 has the smallest y.
        obstacle: bool [rows, columns], lower matter such as furniture.
        cell_m: edge of a cell, metres.
        origin_m: x, y of the plan's lower left corner, metres.
        path_m: float [steps + 1, 2], the robot's positions from start to end, metres.
        source_m: x, y of the source, metres.
        shortest_path_m: float [points, 2], metres; empty if not known.
        audio: float32 [samples], one microphone over the whole episode, full scale ±1.
        sample_rate_hz: of the audio.
        control_period_s: seconds a step lasts.
        action_names: names of the actions, in the contract's order.
        actions: int [steps], indices into `action_names`.
        bearing_rad: float [steps], where the policy believed the source to be, azimuth in the base frame.
        bearing_std_rad: float [steps], circular standard deviation it gave.
        true_bearing_rad: float [steps], where it was.
        distance_m: float [steps], geodesic distance to the source, metres.
        believed_distance_m: float [steps], the policy's median; empty if it gave none.
        believed_distance_band_m: float [2, steps], the policy's 16th and 84th percentile; likewise.
        success_radius_m: a stop nearer than this is a success.
        rows: the evaluation table, in order; empty without an evaluation.
        table_note: what the table was measured on, e.g. "200 paired episodes in 20 unseen apartments".
        facts: what else was measured or checked.
    """

    title: str
    outcome: str
    wall: np.ndarray
    obstacle: np.ndarray
    cell_m: float
    origin_m: tuple[float, float]
    path_m: np.ndarray
    source_m: tuple[float, float]
    audio: np.ndarray
    sample_rate_hz: int
    control_period_s: float
    action_names: tuple[str, ...]
    actions: np.ndarray
    bearing_rad: np.ndarray
    bearing_std_rad: np.ndarray
    true_bearing_rad: np.ndarray
    distance_m: np.ndarray
    shortest_path_m: np.ndarray = field(default_factory=lambda: np.zeros((0, 2)))
    believed_distance_m: np.ndarray = field(default_factory=lambda: np.zeros(0))
    believed_distance_band_m: np.ndarray = field(default_factory=lambda: np.zeros((2, 0)))
    success_radius_m: float = 1.0
    rows: tuple[PolicyRow, ...] = ()
    table_note: str = ""
    facts: tuple[Fact, ...] = ()

    def __post_init__(self) -> None:
        steps = len(self.actions)
        if steps == 0:
            raise ReportError("actions: expected at least one step, got none")
        shapes = {
            "path_m": (steps + 1, 2),
            "bearing_rad": (steps,),
            "bearing_std_rad": (steps,),
            "true_bearing_rad": (steps,),
            "distance_m": (steps,),
            "obstacle": self.wall.shape,
        }
        if self.believed_distance_m.size:
            shapes |= {"believed_distance_m": (steps,), "believed_distance_band_m": (2, steps)}
        for name, expected in shapes.items():
            _expect(name, getattr(self, name), expected)
        if self.audio.ndim != 1 or self.audio.size == 0:
            raise ReportError(f"audio: expected one microphone [samples], got {list(self.audio.shape)}")
        if self.actions.min() < 0 or self.actions.max() >= len(self.action_names):
            worst = int(self.actions.min() if self.actions.min() < 0 else self.actions.max())
            raise ReportError(f"actions: expected indices from 0 below {len(self.action_names)}, got {worst}")

    @property
    def step_end_s(self) -> np.ndarray:
        """Float64 [steps], time at which each step ends, seconds from the beginning."""
        return (np.arange(len(self.actions)) + 1.0) * self.control_period_s

    @property
    def duration_s(self) -> float:
        """Seconds the episode lasted."""
        return len(self.actions) * self.control_period_s


def _expect(name: str, array: np.ndarray, shape: tuple[int, ...]) -> None:
    if array.shape != shape:
        raise ReportError(f"{name}: expected {list(shape)}, got {list(array.shape)}")


def bearing_of_head(head: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Read the policy's bearing output.

    Args:
        head: float [steps, 3], cos, sin and concentration kappa of a von Mises distribution.

    Returns:
        Azimuth float64 [steps], and its circular standard deviation sqrt(-2 ln(I1(k) / I0(k))), in radians
        (Mardia and Jupp, Directional Statistics, 2000, sections 2.3 and 3.5).
    """
    from scipy.special import i0e, i1e

    values = np.asarray(head, dtype=np.float64)
    azimuth_rad = np.arctan2(values[:, 1], values[:, 0])
    kappa = np.maximum(values[:, 2], 1e-6)
    return azimuth_rad, np.sqrt(-2.0 * np.log(i1e(kappa) / i0e(kappa)))


def distance_of_head(head: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Read the policy's distance output.

    Args:
        head: float [steps, 2], mean and standard deviation of the logarithm of the distance in metres.

    Returns:
        Median float64 [steps], and the 16th and 84th percentiles float64 [2, steps], metres.
    """
    values = np.asarray(head, dtype=np.float64)
    middle, spread = values[:, 0], np.abs(values[:, 1])
    return np.exp(middle), np.exp(np.stack([middle - spread, middle + spread]))
