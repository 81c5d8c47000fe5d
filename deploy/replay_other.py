"""What another policy would have done with what a robot heard and saw: step by step beside what was done.

It is told what really happened: after the first step in which it would have acted otherwise, the robot of the log
goes its own way all the same, and the other policy is asked what it would do from there.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np

from phonotaxis.configs.base import ConfigError
from phonotaxis.configs.caution import told_caution
from phonotaxis.configs.compatibility import check_compatible
from phonotaxis.configs.contract import ACTION, BEARING, DiscreteActions
from phonotaxis.deploy.episode_info import EpisodeError
from phonotaxis.deploy.episode_reader import Episode, read_episode
from phonotaxis.deploy.messages import decode_tensor
from phonotaxis.deploy.replay_feed import replayed
from phonotaxis.deploy.steps import PolicyRunner, action_name
from phonotaxis.export.bundle import Bundle
from phonotaxis.export.engines import Engine, open_engine

SAME_SPEED = 0.1  # of the body's largest speeds: where actions aren't the same set, setpoints this near agree


@dataclass(frozen=True)
class OtherStep:
    """One step, as it was and as it would have been.

    Attributes:
        step: its number.
        time_s: at which it was due, from the first one.
        done: the action that was taken.
        other: the one that the other policy would have taken.
        agrees: they come to the same.
        bearing_apart_rad: between the two beliefs of where the source lies, 0 to pi.
    """

    step: int
    time_s: float
    done: str
    other: str
    agrees: bool
    bearing_apart_rad: float


@dataclass(frozen=True)
class OtherReport:
    """What another policy would have done.

    Attributes:
        steps: compared, in order.
        skipped: not compared, since the log lost records there.
        bundle_sha256: identity of the other policy.
        caution: where its knob stood; None of a policy that has none.
    """

    steps: tuple[OtherStep, ...]
    skipped: int
    bundle_sha256: str
    caution: float | None = None

    @property
    def agreement(self) -> float:
        """Share of the steps in which both do the same; 0 without any."""
        return float(np.mean([step.agrees for step in self.steps])) if self.steps else 0.0

    @property
    def first_parting(self) -> OtherStep | None:
        """The first step in which they part: up to there the log shows what would have happened."""
        return next((step for step in self.steps if not step.agrees), None)

    @property
    def partings(self) -> list[tuple[OtherStep, int]]:
        """Each run of steps in which they part the same way: its first step, and how many."""
        runs: list[tuple[OtherStep, int]] = []
        for step in self.steps:
            if step.agrees:
                continue
            if runs:
                first, count = runs[-1]
                if step.step == first.step + count and (step.done, step.other) == (first.done, first.other):
                    runs[-1] = first, count + 1
                    continue
            runs.append((step, 1))
        return runs

    def pairs(self) -> list[tuple[str, str, int]]:
        """Return how often which action stood against which, the most frequent first."""
        counted = Counter((step.done, step.other) for step in self.steps if not step.agrees)
        return [(done, other, count) for (done, other), count in counted.most_common()]


def ask_other(
    episode: Episode | str, bundle: Bundle, engine: Engine | None = None, caution: float | None = None
) -> OtherReport:
    """Run another policy on an episode, or the one that ran with its knob elsewhere.

    Args:
        episode: what `read_episode` returned, or a path.
        bundle: the other policy; it must fit the robot, and decide as often as the one that ran.
        engine: to run it on.
        caution: where its knob stands; None is where the episode's stood, of a policy that has one.

    Raises:
        ConfigError: it has no knob, or not one that can be turned so far.
        EpisodeError: it can't run on this episode; the message says in which point.
        EngineError: it can't be loaded or run.
    """
    episode = episode if isinstance(episode, Episode) else read_episode(episode)
    _check_fits(episode, bundle)
    knob = episode.info.caution if caution is None else told_caution(bundle.contract, caution)
    runner = PolicyRunner(bundle.contract, engine or open_engine(bundle))
    found: list[OtherStep] = []
    skipped, begun_ns = 0, None
    for step in replayed(episode, bundle.contract, knob):
        if step.due is None:
            skipped += 1
            continue
        begun_ns = step.due.due_ns if begun_ns is None else begun_ns
        outputs = runner.run(step.observation)
        found.append(_compare(episode, bundle, step.logged, outputs, (step.due.due_ns - begun_ns) * 1e-9))
    return OtherReport(tuple(found), skipped, bundle.sha256, knob if bundle.contract.caution else None)


def _check_fits(episode: Episode, bundle: Bundle) -> None:
    ran, other = episode.info.contract, bundle.contract
    where = f"{bundle.path}: can't be asked about {episode.path.name}:"
    try:
        check_compatible(other, episode.info.robot)
    except ConfigError as error:
        raise EpisodeError(f"{where} {error}") from None
    for name in ("hop_samples", "window_samples", "sample_rate_hz"):
        if getattr(ran, name) != getattr(other, name):
            raise EpisodeError(
                f"{where} its {name} is {getattr(other, name)}, the episode's {getattr(ran, name)}; "
                "give a policy that decides as often, from windows as long"
            )
    if ran.goal != other.goal:
        raise EpisodeError(f"{where} it expects {_goal(other.goal)}, the episode has {_goal(ran.goal)}")


def _goal(goal: Any) -> str:
    return "no named goal" if goal is None else f"a goal of {goal.size} numbers by '{goal.embedding}'"


def _compare(
    episode: Episode, bundle: Bundle, logged: dict[str, Any], outputs: dict[str, np.ndarray], time_s: float
) -> OtherStep:
    ran, other = episode.info.contract, bundle.contract
    try:
        action, bearing = (decode_tensor(logged["outputs"][name]) for name in (ACTION, BEARING))
        step, before = int(logged["step"]), ran.setpoint(action)
        done, azimuth_rad = action_name(ran, action), float(np.arctan2(bearing[1], bearing[0]))
    except (KeyError, TypeError, ValueError, IndexError, OverflowError) as error:
        raise EpisodeError(f"{episode.path}: a step in it can't be used ({error!r})") from None
    now = other.setpoint(outputs[ACTION])
    if isinstance(ran.actions, DiscreteActions) and ran.actions == other.actions:
        agrees = int(action) == int(outputs[ACTION])
    else:
        near_v = abs(before[0] - now[0]) <= SAME_SPEED * ran.body.max_v_mps
        near_w = abs(before[1] - now[1]) <= SAME_SPEED * ran.body.max_w_radps
        agrees = before[2] == now[2] and near_v and near_w
    apart = azimuth_rad - float(np.arctan2(outputs[BEARING][1], outputs[BEARING][0]))
    apart = abs((apart + np.pi) % (2 * np.pi) - np.pi)
    return OtherStep(step, time_s, done, action_name(other, outputs[ACTION]), agrees, float(apart))
