"""`phonotaxis evaluate`: its figures have stable names, its table is for people."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from phonotaxis import cli
from phonotaxis.envs.metrics import EpisodeResult
from phonotaxis.policies import evaluate
from phonotaxis.policies.evaluate import Evaluation


def result(number: int, success: bool) -> EpisodeResult:
    return EpisodeResult(
        episode_seed=number, scene="apartment:1000000", success=success, stopped=True, steps=20,
        path_length_m=5.0, shortest_path_m=5.0, shortest_actions=20,
        final_distance_m=0.5 if success else 3.0, collisions=0, reached=success,
    )  # fmt: skip


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put an evaluation of known outcome in the place of a real one."""
    results = {
        "learnt": [result(number, True) for number in range(20)],
        "follower": [result(number, number % 2 == 0) for number in range(20)],
    }

    def known(folder: Path, episodes: int, **options: object) -> Evaluation:
        assert episodes == 20
        return Evaluation(results)

    monkeypatch.setattr(evaluate, "evaluate_checkpoint", known)


@pytest.mark.usefixtures("measured")
def test_figures_of_every_policy_and_the_difference(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["evaluate", "runs/x", "--episodes", "20", "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)["figures"]
    assert figures["episodes"]["value"] == 20
    assert figures["learnt_success"] == {"value": 1.0, "unit": "", "interval": [1.0, 1.0]}
    assert figures["follower_spl"]["value"] == 0.5
    assert figures["learnt_over_follower_spl"]["value"] == 0.5
    low, high = figures["learnt_over_follower_spl"]["interval"]
    assert 0.2 < low < 0.5 < high < 0.8


@pytest.mark.usefixtures("measured")
def test_the_table_names_policies_metrics_and_the_difference(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    assert cli.run(["evaluate", "runs/x", "--episodes", "20"]) == 0
    lines = capsys.readouterr().out.splitlines()
    header = " ".join(lines[:2])
    for label in ("policy", "Success", "SPL", "SoftSPL", "SNA", "Distance to goal", "Collisions"):
        assert label in header
    row = next(line for line in lines if line.startswith("learnt"))
    assert "100 [100, 100]" in row
    assert "0.5 [0.5, 0.5]" in row
    assert lines[-1].startswith("SPL of learnt minus follower, paired: 50 [")


def test_a_folder_without_a_training(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["evaluate", str(tmp_path)]) == 1
    err = capsys.readouterr().err
    assert str(tmp_path) in err
    assert "Traceback" not in err
