"""Golden episodes: what the code of today makes of what the code of then recorded.

A difference is either a defect or meant; then `python tools/renew_golden.py` records them anew, and the commit says
why. The tolerance and its reason stand in `golden.json`, with where the files come from.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from phonotaxis.deploy.episode_reader import read_episode
from phonotaxis.deploy.replay import TOLERANCE, check
from phonotaxis.export.bundle import read_bundle
from phonotaxis.export.engines import open_engine

EPISODES = ("robot.mcap", "rollout.mcap")


@pytest.fixture(scope="module")
def golden(repository: Path) -> Path:
    return repository / "tests" / "golden"


@pytest.fixture(scope="module")
def told(golden: Path) -> dict[str, Any]:
    return dict(json.loads((golden / "golden.json").read_text()))


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("name", EPISODES)
def test_it_decides_as_it_did(golden: Path, told: dict[str, Any], name: str, threads: int) -> None:
    bundle = read_bundle(golden / "policy.onnx")
    report = check(golden / name, bundle, open_engine(bundle, threads=threads), exact=False)
    assert report.ok, report
    assert {stage.name: stage.compared for stage in report.stages} == told["files"][name]["stages"]
    assert report.skipped == 0
    assert report.lost == ""


def test_the_robot_episode_holds_all_three_stages(told: dict[str, Any]) -> None:
    stages = told["files"]["robot.mcap"]["stages"]
    assert stages["observation"] == stages["policy"] > 10
    assert stages["safety"] > 30
    assert len(told["files"]["rollout.mcap"]["actions"]) > 1  # it doesn't do one and the same thing


@pytest.mark.parametrize("name", ["policy.onnx", *EPISODES])
def test_where_they_come_from_is_written_down(golden: Path, told: dict[str, Any], name: str) -> None:
    data = (golden / name).read_bytes()
    assert len(data) < 1_000_000
    assert hashlib.sha256(data).hexdigest() == told["files"][name]["sha256"]
    assert len(told["commit"].removesuffix("-dirty")) == 40
    assert told["command"] == "python tools/renew_golden.py"
    assert f"{TOLERANCE:.0e}".replace("e-0", "e-") in told["tolerance"]


def test_a_policy_that_is_a_little_different_fails_them(golden: Path) -> None:
    """The comparison can fail: an engine that rounds to 12 bits is found in both."""
    bundle = read_bundle(golden / "policy.onnx")
    real = open_engine(bundle)

    class Coarse:
        fingerprint: dict[str, str | int] = {"engine": "coarse"}

        def run(self, inputs: dict[str, Any]) -> dict[str, Any]:
            outputs = dict(real.run(inputs))
            outputs["logits"] = (outputs["logits"] * 4096).round() / 4096
            return outputs

    for name in EPISODES:
        report = check(golden / name, bundle, Coarse())
        assert not report.ok
        assert report.first is not None
        assert report.first.quantity == "logits"
        assert report.stages[0].differing == 0


def test_golden_episodes_are_whole(golden: Path) -> None:
    for name in EPISODES:
        episode = read_episode(golden / name)
        assert episode.scan.complete
        assert episode.scan.checksum_ok
