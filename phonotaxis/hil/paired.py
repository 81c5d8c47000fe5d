"""The same episodes in the simulator alone and through the loop: the gap between simulation and deployment."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from phonotaxis.configs.caution import told_caution
from phonotaxis.configs.config_error import ConfigError
from phonotaxis.configs.contract import Contract
from phonotaxis.configs.task import AudioGoalTask
from phonotaxis.envs.library import Library
from phonotaxis.envs.simulated_world import WorldRobot
from phonotaxis.envs.world import World
from phonotaxis.export.bundle import Bundle
from phonotaxis.export.decider import EngineDecider
from phonotaxis.figures import Figure
from phonotaxis.hil.loop import HilEpisode, run_episode
from phonotaxis.hil.measure import Measured, measure, upper_loss_points
from phonotaxis.policies.rollout import run_episodes

MOST_HZ = 96000  # what has room in the array's pipe


@dataclass(eq=False)
class Paired:
    """Episodes of the loop beside those of the simulator alone.

    What the latency costs is a matter of few episodes in a hundred, and the simulator alone is quick: so it runs more
    episodes than the loop, of which the loop's are the first.

    Attributes:
        simulated: success of each seed in the simulator alone, of the loop's seeds and then of more.
        late: likewise, with the loop's latency put in.
        latency_s: of the loop, its median: from the last sample of a step to the new setpoint at the wheels.
        looped: success of each seed through the loop.
        outcomes: of the loop's runs.
        measured: of the loop's runs.
        cpu_share: likewise.
        device_rate_hz: of the loop's array; None is the policy's.
        caution: where the knob stood on both sides; None of a policy that has none.
    """

    simulated: list[bool] = field(default_factory=list)
    late: list[bool] = field(default_factory=list)
    latency_s: float = 0.0
    looped: list[bool] = field(default_factory=list)
    outcomes: list[str] = field(default_factory=list)
    measured: list[Measured] = field(default_factory=list)
    cpu_share: list[float] = field(default_factory=list)
    device_rate_hz: int | None = None
    caution: float | None = None


def told(task: AudioGoalTask, bundle: Bundle) -> AudioGoalTask:
    """Return the task with a goal, of nothing named, where a policy is told one and the task has none."""
    unnamed = bundle.contract.goal is not None and task.goal == "absent"
    return task.model_copy(update={"goal": "none"}) if unnamed else task


def said(world: WorldRobot, bundle: Bundle) -> str | None:
    """Return what a person says to a policy in an episode; None where nothing is named or nothing is to be told."""
    return None if bundle.contract.goal is None else world.goal or None


def simulate(
    task: AudioGoalTask, bundle: Bundle, seeds: Sequence[int], library: Library, caution: float = 0.0
) -> list[bool]:
    """Return the success of each seed in the simulator alone."""
    world = World(task, min(64, len(seeds)), 2, library)
    decider = EngineDecider(bundle, world.num_worlds, caution)
    return [result.success for result in run_episodes(world, decider, list(seeds))]


def run_paired(
    task: AudioGoalTask,
    bundle: Bundle,
    seeds: Sequence[int],
    looped: int,
    seconds: float,
    folder: Path,
    say: Callable[[str], None],
    device_rate_hz: int | None = None,
    caution: float | None = None,
) -> Paired:
    """Run the same seeds in the simulator and, the first of them, through the loop.

    Args:
        task: of the episodes; a steps' limit of `seconds` is put on both sides.
        bundle: the policy.
        seeds: of the episodes.
        looped: how many of them go through the loop.
        seconds: at most, for each.
        folder: for the robot's logs.
        say: told of each episode.
        device_rate_hz: of the loop's array; None is the policy's.
        caution: where the knob stands on both sides, for a policy that has one.

    Raises:
        ConfigError: no array has that rate, the policy has no knob, or not one that can be turned so far.
    """
    knob = told_caution(bundle.contract, caution)
    device_rate_hz = checked_rate_hz(device_rate_hz, task.contract())
    period_s = task.hop_samples / task.sample_rate_hz
    task = told(task, bundle).model_copy(update={"max_steps": int(seconds / period_s)})
    library = Library(task, max_fields=1024)
    paired = Paired(simulated=simulate(task, bundle, seeds, library, knob), device_rate_hz=device_rate_hz)
    paired.caution = knob if bundle.contract.caution else None
    say(f"the simulator alone has {np.mean(paired.simulated):.0%} success in {len(seeds)} episodes")
    for number, seed in enumerate(seeds[:looped]):
        world = WorldRobot(task, seed, library)
        goal = said(world, bundle)
        episode = run_episode(
            world, bundle.path, folder, seconds, goal=goal, device_rate_hz=device_rate_hz, caution=caution
        )
        reached = succeeded(episode, task.success_m)
        paired.looped.append(reached)
        paired.outcomes.append(episode.outcome)
        paired.cpu_share.append(episode.cpu_share)
        paired.measured.append(measure(episode, task.contract()))
        left_m = episode.windows[-1].result.distance_to_goal_m if episode.windows else float("nan")
        say(
            f"{number + 1}/{looped} seed {seed}: {episode.outcome}, {left_m:.2f} m left, "
            f"{'success' if reached else 'no success'} (simulated: {'success' if paired.simulated[number] else 'none'})"
        )
    paired.latency_s = median_latency_s(paired.measured)
    late = task.model_copy(update={"drive": task.drive.model_copy(update={"latency_s": paired.latency_s})})
    paired.late = simulate(late, bundle, seeds, Library(late, max_fields=1024), knob)
    say(f"with {1000 * paired.latency_s:.0f} ms of latency the simulator alone has {np.mean(paired.late):.0%} success")
    return paired


def checked_rate_hz(device_rate_hz: int | None, contract: Contract) -> int | None:
    """Return the rate of an array that isn't the policy's; None where it is the same.

    Raises:
        ConfigError: the loop can't make an array of that rate.
    """
    rate_hz = contract.sample_rate_hz
    if device_rate_hz is None or device_rate_hz == rate_hz:
        return None
    if not rate_hz < device_rate_hz <= MOST_HZ or contract.hop_samples * device_rate_hz % rate_hz:
        raise ConfigError(
            f"--device-rate {device_rate_hz}: expected a rate from {rate_hz} (the policy's) to {MOST_HZ} Hz that has a "
            f"whole number of samples in a step of {contract.control_period_s:g} s, e.g. 44100 or 48000"
        )
    return device_rate_hz


def median_latency_s(measured: Sequence[Measured]) -> float:
    """Return the median latency of all new setpoints; 0 where there was none."""
    found = np.concatenate([one.latency_ms for one in measured]) if measured else np.zeros(0)
    return float(np.median(found)) * 1e-3 if len(found) else 0.0


def succeeded(episode: HilEpisode, success_m: float) -> bool:
    """Whether the robot stopped by itself within the task's radius of the source."""
    return episode.outcome == "goal_reached" and episode.windows[-1].result.distance_to_goal_m < success_m


def figures(paired: Paired) -> dict[str, Figure]:
    """Return what was measured, by the names that programs read.

    `explained_gap_points` is what the loop loses of its own episodes' success, less what the latency costs of all the
    simulated ones: what of the gap the latency doesn't explain. Both are paired by seed.
    """
    pairs = list(zip(paired.simulated, paired.looped))
    cost_points = 100.0 * (float(np.mean(paired.simulated)) - float(np.mean(paired.late)))
    loss_points = 100.0 * float(np.mean([one - other for one, other in pairs]))
    losses = sum(one and not other for one, other in pairs)
    gains = sum(other and not one for one, other in pairs)
    measured = paired.measured

    def joined(name: str) -> np.ndarray:
        return np.concatenate([getattr(one, name) for one in measured]) if measured else np.zeros(0)

    found = {
        **({} if paired.caution is None else {"caution": Figure(paired.caution)}),
        "episodes": Figure(len(pairs)),
        "success_simulated": Figure(float(np.mean([one for one, _ in pairs]))),
        "success_loop": Figure(float(np.mean(paired.looped))),
        "latency_pairs": Figure(len(paired.late)),
        "latency_cost_points": Figure(cost_points),
        "explained_gap_points": Figure(abs(loss_points - cost_points)),
        "success_loss_upper_points": Figure(upper_loss_points(losses, gains, len(pairs))),
        "blocks": Figure(sum(one.blocks for one in measured)),
        **_sound_figures(paired),
        "samples_lost": Figure(sum(one.samples_lost for one in measured)),
        "steps": Figure(sum(one.steps for one in measured)),
        "steps_skipped": Figure(sum(one.skipped_steps for one in measured)),
        "step_jitter_ms_p99": Figure(_percentile(joined("jitter_ms"), 99), "ms"),
        "latency_steps": Figure(len(joined("latency_ms"))),
    }
    for name, of in (("latency", "latency_ms"), ("latency_inference", "inference_ms"), ("latency_safety", "safety_ms")):
        for label, share in (("p50", 50), ("p99", 99), ("max", 100)):
            found[f"{name}_ms_{label}"] = Figure(_percentile(joined(of), share), "ms")
    found["cpu_share"] = Figure(float(np.mean(paired.cpu_share)))
    return found


def _sound_figures(paired: Paired) -> dict[str, Figure]:
    """Return how what was heard differs; on an array of another rate it can't be what was rendered, and says so."""
    differing = sum(one.blocks_differing for one in paired.measured)
    if paired.device_rate_hz is None:
        return {"blocks_differing": Figure(differing)}
    levels_db = [one.difference_db for one in paired.measured if one.difference_db is not None]
    return {
        "device_rate_hz": Figure(paired.device_rate_hz, "Hz"),
        "blocks_resampled_differing": Figure(differing),
        "sound_difference_db": Figure(max(levels_db, default=float("nan")), "dB"),
    }


def _percentile(values: np.ndarray, share: float) -> float:
    return float(np.percentile(values, share)) if len(values) else float("nan")
