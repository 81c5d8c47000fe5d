"""How well an episode went: the metrics of embodied navigation, per episode and over many.

Sources. Success, SPL, distance to goal: Anderson et al., On evaluation of embodied navigation agents, 2018.
SoftSPL: Datta et al., Integrating egocentric localization, 2020. SNA (success weighted by number of actions):
Chen et al., Learning to set waypoints for audio-visual navigation, 2021. SWS (success when silent): Chen et
al., Semantic audio-visual navigation, 2021.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any

from phonotaxis.envs import statistics
from phonotaxis.envs.statistics import Estimate


@dataclass(frozen=True)
class EpisodeResult:
    """The account of one episode. Distances are geodesic.

    Attributes:
        episode_seed: what the episode was drawn from; pairs results of different policies.
        scene: name of the scene.
        success: the policy stopped within the task's radius of the source (1.0 m by default).
        stopped: the policy ended the episode itself.
        steps: actions taken, the stop included.
        path_length_m: length of the way gone, metres.
        shortest_path_m: from start to source, metres.
        shortest_actions: the actions of the shortest walk from start to success, the stop included, estimated; see
            `to_go.actions_to_go_from`.
        final_distance_m: to the source at the end, metres.
        collisions: steps in which the body met an obstacle.
        reached: at some time within the task's radius of the source, whether it stopped there or not.
        sound_ended: the sound had stopped before the episode ended.
        bearing_error_rad: median absolute error of the policy's bearing, 0 to pi; None without one.
        bearing_error_in_sight_rad: the same over the steps in which the source was in the array's sight; None without.
        bearing_error_out_of_sight_rad: over the other steps.
        time_s: simulated time, seconds; None if not known.
        sound: what the goal sounds like: a kind of sound, or a recording's name; empty if not known.
    """

    episode_seed: int
    scene: str
    success: bool
    stopped: bool
    steps: int
    path_length_m: float
    shortest_path_m: float
    shortest_actions: float
    final_distance_m: float
    collisions: int
    reached: bool
    sound_ended: bool = False
    bearing_error_rad: float | None = None
    bearing_error_in_sight_rad: float | None = None
    bearing_error_out_of_sight_rad: float | None = None
    time_s: float | None = None
    sound: str = ""

    def __post_init__(self) -> None:
        if self.success and not self.stopped:
            raise ValueError(f"episode {self.episode_seed}: success without a stop; success is a stop in reach")
        for name in ("path_length_m", "shortest_path_m", "final_distance_m", "shortest_actions"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0.0):
                raise ValueError(f"episode {self.episode_seed}: {name} must be finite and not negative, got {value}")

    def as_dict(self) -> dict[str, Any]:
        """Return the fields by name, ready for JSON."""
        return {each.name: getattr(self, each.name) for each in fields(self)}

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> EpisodeResult:
        """Read `as_dict`'s mapping."""
        return cls(**fields)


def success(result: EpisodeResult) -> float:
    """Return 1 for a stop within reach of the source, else 0."""
    return float(result.success)


def spl(result: EpisodeResult) -> float:
    """Return success weighted by path length, S d0 / max(d0, p), 0 to 1."""
    return success(result) * _share(result.shortest_path_m, result.path_length_m)


def softspl(result: EpisodeResult) -> float:
    """Return progress weighted by path length, max(0, 1 - dT / d0) d0 / max(d0, p), 0 to 1."""
    if result.shortest_path_m == 0.0:
        return 0.0  # it began at the source: no progress can be made
    progress = max(0.0, 1.0 - result.final_distance_m / result.shortest_path_m)
    return progress * _share(result.shortest_path_m, result.path_length_m)


def sna(result: EpisodeResult) -> float:
    """Return success weighted by number of actions, S n* / max(n*, n), 0 to 1; n* is `shortest_actions`."""
    return success(result) * _share(result.shortest_actions, float(result.steps))


def distance_to_goal_m(result: EpisodeResult) -> float:
    """Return the geodesic distance to the source at the end, metres."""
    return result.final_distance_m


def normalised_distance_to_goal(result: EpisodeResult) -> float:
    """Return the distance to the source at the end over that at the start; 0 is the source, 1 no progress."""
    if result.shortest_path_m == 0.0:
        return 0.0 if result.final_distance_m == 0.0 else 1.0
    return result.final_distance_m / result.shortest_path_m


def sws(result: EpisodeResult) -> float:
    """Return 1 for a success after the sound had stopped, else 0."""
    return success(result) * float(result.sound_ended)


def collisions(result: EpisodeResult) -> float:
    """Return the number of steps in which the body met an obstacle."""
    return float(result.collisions)


def reach(result: EpisodeResult) -> float:
    """Return 1 if the policy was within reach of the source at some time, else 0."""
    return float(result.reached)


def _share(best: float, actual: float) -> float:
    """Return best / max(best, actual): 1 at best, and where there was nothing to do and nothing was done."""
    longest = max(best, actual)
    return best / longest if longest > 0.0 else 1.0


@dataclass(frozen=True)
class Metric:
    """How a metric is named, written and judged.

    Attributes:
        name: stable, snake_case: the key in `summarise`, in figures and in tables.
        label: for people.
        unit: `1` for shares, else the unit's symbol.
        higher_is_better: direction of judgement.
        per_episode: the formula; None for those that only many episodes have.
    """

    name: str
    label: str
    unit: str
    higher_is_better: bool
    per_episode: Callable[[EpisodeResult], float] | None


METRICS: tuple[Metric, ...] = (
    Metric("success", "Success", "1", True, success),
    Metric("spl", "SPL", "1", True, spl),
    Metric("softspl", "SoftSPL", "1", True, softspl),
    Metric("sna", "SNA", "1", True, sna),
    Metric("distance_to_goal_m", "Distance to goal", "m", False, distance_to_goal_m),
    Metric("normalised_distance_to_goal", "Normalised distance", "1", False, normalised_distance_to_goal),
    Metric("collisions", "Collisions", "per episode", False, collisions),
    Metric("collisions_per_m", "Collisions per metre", "1/m", False, None),
    Metric("reach", "Reach", "1", True, reach),
    Metric("stop_precision", "Stop precision", "1", True, None),
    Metric("sws", "SWS", "1", True, sws),
    Metric("steps", "Steps", "per episode", False, lambda result: float(result.steps)),
    Metric("time_to_goal_s", "Time to goal", "s", False, None),
    Metric("bearing_error_rad", "Bearing error", "rad", False, None),
    Metric("bearing_error_deg_in_sight", "Bearing error in sight", "deg", False, None),
    Metric("bearing_error_deg_out_of_sight", "Bearing error out of sight", "deg", False, None),
)
BY_NAME: dict[str, Metric] = {metric.name: metric for metric in METRICS}


def values(results: Sequence[EpisodeResult], name: str) -> list[float]:
    """Return one metric of each episode, in order; what `statistics.paired_difference` takes.

    Raises:
        KeyError: no such metric, or one that single episodes don't have.
    """
    formula = BY_NAME[name].per_episode
    if formula is None:
        raise KeyError(f"{name} has no value for a single episode")
    return [formula(result) for result in results]


def summarise(results: Sequence[EpisodeResult], seed: int = 0) -> dict[str, Estimate]:
    """Estimate every metric over episodes, with 95 % bootstrap intervals.

    Per-episode metrics are averaged. `stop_precision` is the share of successes among the episodes that
    stopped, absent if none did; `collisions_per_m` is all collisions over all metres gone, absent if nothing moved;
    `time_to_goal_s` is the mean simulated time of the successes, absent if there were none; `sws` is absent if the
    sound never ended before an episode; bearing errors are medians over episodes of each one's median over its steps,
    absent if no policy gave a bearing.

    Args:
        results: one or more episodes.
        seed: of the bootstrap.

    Returns:
        Estimates by the names of `METRICS`, in their order.

    Raises:
        ValueError: no episodes.
    """
    if not results:
        raise ValueError("there are no episodes to summarise")
    out: dict[str, Estimate] = {}
    for metric in METRICS:
        estimate = _estimate(results, metric, seed)
        if estimate is not None:
            out[metric.name] = estimate
    return out


def _estimate(results: Sequence[EpisodeResult], metric: Metric, seed: int) -> Estimate | None:
    if metric.per_episode is None:
        return _OVER_EPISODES[metric.name](results, seed)
    if metric.name == "sws" and not any(result.sound_ended for result in results):
        return None
    return statistics.mean(values(results, metric.name), seed)


def _stop_precision(results: Sequence[EpisodeResult], seed: int) -> Estimate | None:
    stops = [float(result.stopped) for result in results]
    return statistics.ratio([success(result) for result in results], stops, seed) if any(stops) else None


def _collisions_per_m(results: Sequence[EpisodeResult], seed: int) -> Estimate | None:
    paths_m = [result.path_length_m for result in results]
    return statistics.ratio([collisions(result) for result in results], paths_m, seed) if any(paths_m) else None


def _time_to_goal_s(results: Sequence[EpisodeResult], seed: int) -> Estimate | None:
    times_s = [result.time_s for result in results if result.success and result.time_s is not None]
    return statistics.mean(times_s, seed) if times_s else None


def _median_of(field: str, scale: float) -> Callable[[Sequence[EpisodeResult], int], Estimate | None]:
    """Return the median over episodes of a field that may be None, times `scale`."""

    def estimate(results: Sequence[EpisodeResult], seed: int) -> Estimate | None:
        found = [getattr(result, field) for result in results]
        errors = [scale * error for error in found if error is not None]
        return statistics.median(errors, seed) if errors else None

    return estimate


_OVER_EPISODES: dict[str, Callable[[Sequence[EpisodeResult], int], Estimate | None]] = {
    "stop_precision": _stop_precision,
    "collisions_per_m": _collisions_per_m,
    "time_to_goal_s": _time_to_goal_s,
    "bearing_error_rad": _median_of("bearing_error_rad", 1.0),
    "bearing_error_deg_in_sight": _median_of("bearing_error_in_sight_rad", math.degrees(1.0)),
    "bearing_error_deg_out_of_sight": _median_of("bearing_error_out_of_sight_rad", math.degrees(1.0)),
}


def by_sound(results: Sequence[EpisodeResult]) -> dict[str, list[EpisodeResult]]:
    """Part episodes by what the goal sounds like, in its order; those of which that isn't known are left out."""
    found: dict[str, list[EpisodeResult]] = {}
    for result in sorted(results, key=lambda result: result.sound):
        if result.sound:
            found.setdefault(result.sound, []).append(result)
    return found


def over_trainings(runs: Sequence[Sequence[EpisodeResult]], seed: int = 0) -> dict[str, Estimate]:
    """Estimate the mean over several trainings of the same kind of what `summarise` says of each.

    See `statistics.crossed_mean` and `statistics.crossed`.

    Args:
        runs: the same episodes, in the same order, of each training.
        seed: of the bootstrap.

    Returns:
        Estimates by the names of `METRICS`, in their order; absent where that can't be said of one of them (`sws`: of
        any of them).

    Raises:
        ValueError: the episodes are not the same.
    """
    if len({tuple((result.scene, result.episode_seed) for result in run) for run in runs}) != 1:
        raise ValueError("a mean over trainings needs the same episodes of each, in the same order")
    silent = any(result.sound_ended for run in runs for result in run)
    out: dict[str, Estimate] = {}
    for name in BY_NAME:
        if name in _COLUMNS:
            columns, statistic = _COLUMNS[name]
            estimate = statistics.crossed([[columns(result) for result in run] for run in runs], statistic, seed)
        elif name == "sws" and not silent:
            estimate = None
        else:
            estimate = statistics.crossed_mean([values(run, name) for run in runs], seed)
        if estimate is not None:
            out[name] = estimate
    return out


def _error_of(field: str, scale: float) -> Callable[[EpisodeResult], tuple[float, ...]]:
    """Return what gives a field, times `scale`, and NaN where an episode has none."""

    def column(result: EpisodeResult) -> tuple[float, ...]:
        error: float | None = getattr(result, field)
        return (math.nan if error is None else scale * error,)

    return column


def _time_of_success(result: EpisodeResult) -> tuple[float, ...]:
    return (result.time_s, 1.0) if result.success and result.time_s is not None else (0.0, 0.0)


# Of an episode, for what is no mean over episodes: what is resampled together, and what is made of that.
_COLUMNS: dict[str, tuple[Callable[[EpisodeResult], tuple[float, ...]], statistics.Statistic]] = {
    "stop_precision": (lambda result: (success(result), float(result.stopped)), statistics.ratio_of_sums),
    "collisions_per_m": (lambda result: (collisions(result), result.path_length_m), statistics.ratio_of_sums),
    "time_to_goal_s": (_time_of_success, statistics.ratio_of_sums),
    "bearing_error_rad": (_error_of("bearing_error_rad", 1.0), statistics.median_of_known),
    "bearing_error_deg_in_sight": (
        _error_of("bearing_error_in_sight_rad", math.degrees(1.0)), statistics.median_of_known,
    ),
    "bearing_error_deg_out_of_sight": (
        _error_of("bearing_error_out_of_sight_rad", math.degrees(1.0)), statistics.median_of_known,
    ),
}  # fmt: skip


def paired_difference(
    ours: Sequence[EpisodeResult], theirs: Sequence[EpisodeResult], name: str, seed: int = 0
) -> Estimate:
    """Estimate how much better or worse one policy is than another over the same episodes.

    Raises:
        ValueError: the episodes are not the same, in the same order.
    """
    if [(r.scene, r.episode_seed) for r in ours] != [(r.scene, r.episode_seed) for r in theirs]:
        raise ValueError(
            f"a paired difference needs the same episodes in the same order; got {len(ours)} and {len(theirs)}"
        )
    return statistics.paired_difference(values(ours, name), values(theirs, name), seed)
