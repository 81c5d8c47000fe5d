"""Eight bits calibrated on what a robot logged: the golden episodes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from phonotaxis.commands.calibration import calibration_of
from phonotaxis.configs.base import ConfigError
from phonotaxis.configs.contract import STATE_OUT
from phonotaxis.deploy.episode_reader import read_episode
from phonotaxis.deploy.replay_feed import replayed
from phonotaxis.export.bundle import Bundle, BundleError, open_bundle, read_bundle
from phonotaxis.export.engines import open_engine
from phonotaxis.export.precision import activations, bare_model, convert


@pytest.fixture(scope="module")
def golden(repository: Path) -> Path:
    return repository / "tests" / "golden"


@pytest.fixture(scope="module")
def bundle(golden: Path) -> Bundle:
    return read_bundle(golden / "policy.onnx")


@pytest.fixture(scope="module")
def ranges(golden: Path, bundle: Bundle) -> dict[str, float]:
    return calibration_of(bundle, [golden]).ranges()


def _apart(golden: Path, bundle: Bundle, ranges: dict[str, float]) -> tuple[float, float, float]:
    """Run both over the robot's episode, each with its own memory: largest and mean difference, and the span."""
    eight = open_bundle(convert(bundle, "int8", ranges))
    engines = [open_engine(bundle), open_engine(eight)]
    states = [bundle.initial_state(), bundle.initial_state()]
    said: list[list[np.ndarray]] = [[], []]
    for step in replayed(read_episode(golden / "robot.mcap")):
        seen = {name: value[None] for name, value in step.observation.items()}
        for number, engine in enumerate(engines):
            outputs = engine.run(bundle.contract.feed(seen, states[number]))
            states[number] = outputs[STATE_OUT]
            said[number].append(outputs["logits"])
    full, low = (np.concatenate(rows) for rows in said)
    return float(np.abs(full - low).max()), float(np.abs(full - low).mean()), float(np.ptp(full))


def test_all_that_was_logged_is_run(golden: Path, bundle: Bundle, ranges: dict[str, float]) -> None:
    files = json.loads((golden / "golden.json").read_text())["files"]
    calibration = calibration_of(bundle, [golden, golden / "robot.mcap"])  # named twice, taken once
    assert calibration.steps == sum(files[name]["stages"]["policy"] for name in ("robot.mcap", "rollout.mcap"))
    assert calibration.ranges() == ranges
    assert set(ranges) == set(activations(bare_model(bundle)))
    assert min(ranges.values()) > 0.0


def test_each_episode_begins_anew(golden: Path, bundle: Bundle, ranges: dict[str, float]) -> None:
    alone = [calibration_of(bundle, [golden / name]).ranges() for name in ("robot.mcap", "rollout.mcap")]
    assert alone[0] != alone[1]
    assert ranges == {name: max(one[name] for one in alone) for name in ranges}


def test_it_decides_nearly_as_in_full_precision(golden: Path, bundle: Bundle, ranges: dict[str, float]) -> None:
    """Within a fiftieth of the logits' span, a two-hundredth on average; ranges ten times too wide break both.

    Measured: 0.042 and 0.014 of a span of 8.2.
    """
    largest, mean, span = _apart(golden, bundle, ranges)
    assert 0.0 < mean < span / 200
    assert largest < span / 50
    largest, mean, _ = _apart(golden, bundle, {name: 10.0 * value for name, value in ranges.items()})
    assert mean > span / 200
    assert largest > span / 50


def test_what_it_cant_be_calibrated_on(golden: Path, bundle: Bundle, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no episode \(\.mcap\) in this folder"):
        calibration_of(bundle, [tmp_path])
    longer = replace(bundle, contract=bundle.contract.model_copy(update={"window_samples": 8000}))
    with pytest.raises(ConfigError, match=r"robot\.mcap: another window_samples than the policy's"):
        calibration_of(longer, [golden / "robot.mcap"])
    fast = replace(bundle, contract=bundle.contract.model_copy(update={"sample_rate_hz": 32000}))
    with pytest.raises(ConfigError, match=r"(?s)robot\.mcap: .*sample rate: policy 32000 Hz"):
        calibration_of(fast, [golden / "robot.mcap"])
    with pytest.raises(BundleError, match="no episode to calibrate on"):
        calibration_of(bundle, [])
