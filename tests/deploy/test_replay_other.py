from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from phonotaxis.configs.contract import ContinuousActions, GoalSpec
from phonotaxis.deploy.episode_info import EpisodeError
from phonotaxis.deploy.episode_reader import read_episode
from phonotaxis.deploy.replay_other import OtherReport, OtherStep, ask_other
from phonotaxis.export.bundle import Bundle


def test_the_policy_that_ran_agrees_with_itself(recorded: tuple[Path, Bundle]) -> None:
    report = ask_other(read_episode(recorded[0]), recorded[1])
    assert report.agreement == 1.0
    assert len(report.steps) == 12
    assert report.first_parting is None
    assert report.partings == []
    assert max(step.bearing_apart_rad for step in report.steps) == 0.0


def test_another_policy_parts_where_it_would_have_stopped(
    toy: Any, recorded: tuple[Path, Bundle], tmp_path: Path
) -> None:
    other = toy.bundle(tmp_path / "other.onnx", toy.contract(), stop_after=3.0)
    report = ask_other(str(recorded[0]), other)
    done = [step["action_name"] for step in read_episode(recorded[0]).steps()]
    first = report.first_parting
    assert first is not None
    assert first.other == "stop"
    assert [step.done for step in report.steps] == done
    # the toy counts steps in its memory, which a new goal at step 7 resets: it stops, and later stops again
    stops = [step.step for step in report.steps if step.other == "stop"]
    assert stops[0] == first.step
    assert set(range(7, 9)).isdisjoint(stops)
    assert stops[-1] == 11
    assert report.agreement == pytest.approx(1 - len(stops) / 12)
    assert sum(count for _, _, count in report.pairs()) == len(stops)
    assert sum(count for _, count in report.partings) == len(stops)


def test_partings_are_told_in_runs() -> None:
    steps = tuple(
        OtherStep(number, 0.25 * number, done, other, done == other, 0.0)
        for number, (done, other) in enumerate(
            [("left", "left"), ("left", "right"), ("left", "right"), ("stop", "right"), ("left", "left"),
             ("left", "right")]
        )
    )  # fmt: skip
    report = OtherReport(steps, 0, "0" * 64)
    assert [(first.step, count) for first, count in report.partings] == [(1, 2), (3, 1), (5, 1)]
    assert report.pairs() == [("left", "right", 3), ("stop", "right", 1)]
    assert report.agreement == pytest.approx(2 / 6)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"hop_samples": 2000}, "hop_samples is 2000, the episode's 4000"),
        ({"window_samples": 8000}, "window_samples is 8000"),
        ({"goal": GoalSpec(size=8, embedding="words")}, "a goal of 8 numbers by 'words', the episode has no named"),
    ],
)
def test_a_policy_that_could_not_have_run_is_refused(
    toy: Any, recorded: tuple[Path, Bundle], tmp_path: Path, change: dict[str, Any], what: str
) -> None:
    contract = toy.contract(**change)
    other = Bundle(tmp_path / "other.onnx", b"", "1" * 64, contract, {})
    with pytest.raises(EpisodeError, match=what):
        ask_other(read_episode(recorded[0]), other)


def test_actions_of_another_kind_are_compared_by_their_speeds(recorded: tuple[Path, Bundle], toy: Any) -> None:
    """A continuous policy that does the very same, or a little less, or stops, as a fake engine says."""
    contract = toy.contract(actions=ContinuousActions())
    bundle = Bundle(Path("continuous.onnx"), b"", "1" * 64, contract, {})
    episode = read_episode(recorded[0])
    done = [(step["v_mps"], step["w_radps"]) for step in episode.steps()]

    class Same:
        fingerprint: dict[str, str | int] = {}

        def __init__(self, factor: float, stop: float) -> None:
            self.number, self.factor, self.stop = 0, factor, stop

        def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
            v, w = done[self.number]
            self.number += 1
            body = contract.body
            action = [v / body.max_v_mps * self.factor, w / body.max_w_radps * self.factor, self.stop]
            zeros = {spec.name: np.zeros((1, *spec.shape), np.float32) for spec in contract.outputs()}
            return {**zeros, "action": np.array([action], dtype=np.float32)}

    assert ask_other(episode, bundle, Same(1.0, -1.0)).agreement == 1.0
    assert ask_other(episode, bundle, Same(0.95, -1.0)).agreement == 1.0
    assert ask_other(episode, bundle, Same(0.5, -1.0)).agreement < 1.0
    assert ask_other(episode, bundle, Same(1.0, 1.0)).agreement == 0.0
