"""The two rules: bit for bit on the same engine; else 1e-5, and other actions only where the margin is below 2e-5."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from phonotaxis.configs.contract import Contract
from phonotaxis.deploy import messages
from phonotaxis.deploy.episode_reader import read_episode
from phonotaxis.deploy.messages import decode_tensor, encode_tensor
from phonotaxis.deploy.records import Message
from phonotaxis.deploy.recover import rewrite
from phonotaxis.deploy.replay import ReplayReport, check
from phonotaxis.deploy.replay_report import Mismatch
from phonotaxis.deploy.steps import action_name, step_dict
from phonotaxis.export.bundle import Bundle
from phonotaxis.export.engines import open_engine

STEP = 5
Change = Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]]


def test_the_summary_counts_steps_and_statuses_apart() -> None:
    step, status = Mismatch(3, "logits", "1", "2"), Mismatch(4, "safety.v_mps", "1", "2")
    for found, said in (
        ((step,), "1 of 9 steps differ; first step 3"),
        ((status, status), "2 of 40 statuses of the guardian differ; first step 4"),
        ((step, status), "1 of 9 steps and 1 of 40 statuses of the guardian differ; first step 3"),
    ):
        assert str(ReplayReport("e", "b", 9, found, True, 0.0, "", 40)).startswith(said)


def replayed(
    recorded: tuple[Path, Bundle], target: Path, same_engine: bool, change: Callable[[Message], dict[str, Any]]
) -> ReplayReport:
    """Replay a copy in which one step is changed, recorded by this engine or as if by one of another make."""
    path, bundle = recorded
    episode = read_episode(path)
    if not same_engine:
        episode.metadata["engine"] = json.dumps({"engine": "another"})

    def edit(message: Message) -> Message:
        if message.topic != messages.STEP_TOPIC or json.loads(message.data)["step"] != STEP:
            return message
        return replace(message, data=messages.encode_json(change(message)))

    rewrite(episode, target, lambda found: [edit(message) for message in found])
    return check(target, bundle)


@pytest.fixture
def judge(recorded: tuple[Path, Bundle], tmp_path: Path) -> Callable[..., ReplayReport]:
    """Replay a copy in which one step's outputs are changed, as an engine of another make would have had them."""

    def run(change: Change, same_engine: bool = False) -> ReplayReport:
        target = tmp_path / f"copy-{len(list(tmp_path.iterdir()))}.mcap"
        return replayed(recorded, target, same_engine, lambda message: _changed(recorded[1].contract, message, change))

    return run


def _changed(contract: Contract, message: Message, change: Change) -> dict[str, Any]:
    step = json.loads(message.data)
    outputs = change({name: decode_tensor(value) for name, value in step["outputs"].items()})
    v_mps, w_radps, stop = contract.setpoint(outputs["action"])
    cosine, sine, concentration = (float(x) for x in outputs["bearing"])
    told = {
        "action_name": action_name(contract, outputs["action"]),
        "v_mps": v_mps,
        "w_radps": w_radps,
        "stop": stop,
        "value": float(outputs["value"][0]),
        "bearing_rad": math.atan2(sine, cosine),
        "bearing_concentration": concentration,
        "distance_log_m": float(outputs["distance"][0]),
    }
    encoded = {name: encode_tensor(value) for name, value in outputs.items()}
    return {**step, **told, "outputs": encoded}


def nudged(name: str, by: float) -> Change:
    return lambda outputs: {**outputs, name: (outputs[name].astype(np.float64) + by).astype(np.float32)}


def runner_up(margin: float) -> Change:
    """Let the second-best action win by a margin, as rounding does where two logits are nearly equal."""

    def change(outputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        logits = outputs["logits"].copy()
        best, second = np.argsort(logits)[::-1][:2]
        logits[second] = logits[best] + np.float32(margin)
        return {**outputs, "logits": logits, "action": np.asarray(second, dtype=np.int64)}

    return change


def test_outputs_may_differ_by_the_tolerance_on_another_engine(judge: Any) -> None:
    for name in ("logits", "value", "distance", "state_out", "bearing"):
        more = 100.0 if name == "bearing" else 1.0  # which decides nothing, and magnifies rounding
        assert judge(nudged(name, 5e-6 * more)).ok, name
        report = judge(nudged(name, 1.3e-4 * more))  # state_out counts steps: near 5, where the tolerance is 5e-5
        assert [(m.step, m.quantity) for m in report.mismatches] == [(STEP, name)], name
    assert judge(nudged("logits", 5e-6)).largest_difference == pytest.approx(5e-6, rel=0.1)
    assert not judge(nudged("logits", 2e-5)).ok


def test_the_same_engine_gets_no_tolerance_at_all(judge: Any) -> None:
    def one_bit(outputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        bits = outputs["value"].view(np.uint32) ^ np.uint32(1)
        return {**outputs, "value": bits.view(np.float32)}

    assert judge(lambda outputs: outputs, same_engine=True).ok
    report = judge(one_bit, same_engine=True)
    assert [(m.step, m.quantity) for m in report.mismatches] == [(STEP, "value")]
    assert judge(one_bit).ok  # on another engine a bit is within the tolerance


@pytest.mark.parametrize("same_engine", [False, True])
@pytest.mark.parametrize(
    "key",
    [
        "action_name", "v_mps", "w_radps", "stop", "value", "bearing_rad", "bearing_concentration", "distance_log_m",
        "depth_age_s", "motion", "motion_valid", "episode_start",
    ],
)  # fmt: skip
def test_what_repeats_a_step_for_people_says_the_same_on_any_engine(
    recorded: tuple[Path, Bundle], tmp_path: Path, key: str, same_engine: bool
) -> None:
    def edit(message: Message) -> dict[str, Any]:
        step: dict[str, Any] = json.loads(message.data)
        others = {"action_name": "stop", "stop": not step["stop"], "motion": [0.5] * 6}
        return {**step, key: others[key] if key in others else step[key] + 1e-9}

    report = replayed(recorded, tmp_path / "copy.mcap", same_engine, edit)
    assert report.same_engine == same_engine
    quantity = "setpoint" if key in ("v_mps", "w_radps", "stop") else key
    assert [(m.step, m.quantity) for m in report.mismatches] == [(STEP, quantity)]


def test_another_action_is_a_flip_only_where_rounding_bridges_the_margin(judge: Any) -> None:
    wide = judge(runner_up(1e-3))
    assert [(m.step, m.stage) for m in wide.mismatches] == [(STEP, "policy")]


def test_a_flip_within_rounding_is_told_and_no_mismatch(
    recorded: tuple[Path, Bundle], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An engine whose rounding turns a tie the other way, in every step: both sides of the bound."""
    path, bundle = recorded
    real = open_engine(bundle)

    class Other:
        fingerprint: dict[str, str | int] = {"engine": "another"}

        def __init__(self, margin: float) -> None:
            self.margin = margin

        def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
            outputs = dict(real.run(inputs))
            logits = outputs["logits"].copy()
            best, second = np.argsort(logits[0])[::-1][:2]
            logits[0, second] = logits[0, best] + np.float32(self.margin)
            return {**outputs, "logits": logits, "action": np.array([second], dtype=np.int64)}

    # the log must hold such a tie: write one with the two best logits made equal but for the margin
    episode = read_episode(path)
    for margin, agrees in ((8e-6, True), (4e-5, False)):

        def tie(message: Message, margin: float = margin) -> Message:
            if message.topic != messages.STEP_TOPIC:
                return message

            def change(outputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
                logits = outputs["logits"].copy()
                best, second = np.argsort(logits)[::-1][:2]
                logits[second] = logits[best] - np.float32(margin)
                return {**outputs, "logits": logits}

            return replace(message, data=messages.encode_json(_changed(bundle.contract, message, change)))

        target = tmp_path / f"tie-{margin}.mcap"
        rewrite(episode, target, lambda found, tie=tie: [tie(message) for message in found])  # type: ignore[misc]
        report = check(target, bundle, engine=Other(1e-6))  # type: ignore[arg-type]
        if agrees:
            assert report.ok, report
            assert len(report.flips) == report.steps == 12
            assert "another action in step(s) 0, 1, 2, 3, 4 and 7 more, within rounding" in str(report)
        else:
            assert len(report.mismatches) == 12
            assert report.flips == ()


def test_a_logged_action_that_is_not_its_own_logits_best_is_no_flip(judge: Any) -> None:
    def lie(outputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        logits = outputs["logits"]
        return {**outputs, "action": np.asarray(np.argsort(logits)[-2], dtype=np.int64)}

    report = judge(lie)
    assert [(m.step, m.quantity) for m in report.mismatches] == [(STEP, "action")]


def test_several_threads_are_another_engine_and_agree_within_the_tolerance(recorded: tuple[Path, Bundle]) -> None:
    path, bundle = recorded
    report = check(path, bundle, open_engine(bundle, threads=2))
    assert not report.same_engine
    assert report.ok, report
    assert [stage.differing for stage in report.stages] == [0, 0, 0]


def test_steps_say_the_same_things_that_replay_reads(recorded: tuple[Path, Bundle]) -> None:
    """A quantity that `step_dict` gains must be compared: this fails where one is left out."""
    path, bundle = recorded
    logged = read_episode(path).steps()[3]
    outputs = {name: decode_tensor(value) for name, value in logged["outputs"].items()}
    from phonotaxis.deploy.replay_feed import replayed

    found = list(replayed(read_episode(path)))[3]
    assert found.due is not None
    assert step_dict(bundle.contract, found.due, found.observation, outputs) == logged
