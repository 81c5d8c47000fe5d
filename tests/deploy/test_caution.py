"""The knob on a robot: turned from outside, logged, and replayed bit for bit; refused where there is none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from phonotaxis import cli
from phonotaxis.configs.base import ConfigError
from phonotaxis.configs.robot import simulated_robot
from phonotaxis.deploy.episode_info import EpisodeError
from phonotaxis.deploy.episode_reader import read_episode
from phonotaxis.deploy.messages import decode_tensor
from phonotaxis.deploy.recover import rewrite
from phonotaxis.deploy.replay import check
from phonotaxis.deploy.replay_other import ask_other
from phonotaxis.deploy.rollout import write_rollout
from phonotaxis.deploy.runtime import run
from phonotaxis.export.bundle import Bundle
from phonotaxis.export.engines import open_engine

KNOB = 0.7  # no float32: what is logged must give the same bits all the same


def _recorded(toy: Any, folder: Path, caution: float) -> tuple[Path, Bundle]:
    contract = toy.contract(caution=True)
    bundle = toy.bundle(folder / "toy.onnx", contract)
    engine = open_engine(bundle)
    path = folder / f"{caution}.mcap"
    write_rollout(path, bundle, engine.fingerprint, toy.rollout(contract, engine, caution), caution=caution)
    return path, bundle


def _logits(path: Path) -> np.ndarray:
    return np.stack([decode_tensor(step["outputs"]["logits"]) for step in read_episode(path).steps()])


def test_a_run_with_a_knob_replays_bit_for_bit(make_rig: Any) -> None:
    rig = make_rig(caution=True)
    code, out, err = rig.finish(rig.start("--caution", str(KNOB), duration_s=1.5))
    assert code == 0, err
    assert out["caution"] == KNOB
    assert "caution 0.7" in err
    episode = read_episode(rig.episode())
    assert episode.info.caution == KNOB
    assert {step["caution"] for step in episode.steps()} == {float(np.float32(KNOB))}
    report = check(episode, rig.bundle)
    assert report.ok, str(report)
    assert report.same_engine
    assert report.steps >= 4


def test_without_a_word_the_knob_stands_at_nothing(make_rig: Any) -> None:
    rig = make_rig(caution=True)
    code, _, err = rig.finish(rig.start(duration_s=1.0))
    assert code == 0, err
    assert "none was asked for by --caution" in err
    assert read_episode(rig.episode()).info.caution == 0.0
    assert check(rig.episode(), rig.bundle).ok


@pytest.mark.parametrize(("has_knob", "asked", "words"), [(False, 0.5, "no caution to turn"), (True, 1.5, "got 1.5")])
def test_what_can_not_be_turned_is_refused(toy: Any, tmp_path: Path, has_knob: bool, asked: float, words: str) -> None:
    """Before a device is opened: there is none here."""
    contract = toy.contract(caution=has_knob)
    bundle = toy.bundle(tmp_path / "toy.onnx", contract)
    robot = simulated_robot(contract.array, contract.camera, tmp_path / "absent.sock")
    with pytest.raises(ConfigError, match=words):
        run(robot, bundle.path, tmp_path / "episodes", 1.0, caution=asked)
    assert not (tmp_path / "episodes").exists()


def test_the_knob_is_what_moves_the_policy(toy: Any, tmp_path: Path) -> None:
    low, bundle = _recorded(toy, tmp_path, 0.0)
    high, _ = _recorded(toy, tmp_path, KNOB)
    assert check(low, bundle).ok
    assert check(high, bundle).ok
    moved = _logits(high)[0] - _logits(low)[0]
    np.testing.assert_allclose(moved, np.float32(KNOB) * np.array([0.0, 0.0, 1.0, -0.5]), atol=1e-6)


@pytest.mark.parametrize("claimed", ["0.0", "0.7000001"])
def test_another_knob_than_the_recorded_one_is_noticed(toy: Any, tmp_path: Path, claimed: str) -> None:
    path, bundle = _recorded(toy, tmp_path, KNOB)
    episode = read_episode(path)
    episode.metadata["caution"] = claimed
    rewrite(episode, tmp_path / "altered.mcap", lambda found: found)
    report = check(tmp_path / "altered.mcap", bundle)
    assert not report.ok
    assert report.first is not None
    assert (report.first.step, report.first.quantity) == (0, "observation_sha256")


@pytest.mark.parametrize("odd", ["nan", "2.0", "much"])
def test_an_odd_knob_in_a_log_is_no_episode(toy: Any, tmp_path: Path, odd: str) -> None:
    episode = read_episode(_recorded(toy, tmp_path, KNOB)[0])
    episode.metadata["caution"] = odd
    rewrite(episode, tmp_path / "odd.mcap", lambda found: found)
    with pytest.raises(EpisodeError, match="metadata are incomplete or odd"):
        read_episode(tmp_path / "odd.mcap")


def test_an_episode_from_before_there_was_a_knob_is_read(recorded: tuple[Path, Bundle], tmp_path: Path) -> None:
    path, bundle = recorded
    episode = read_episode(path)
    del episode.metadata["caution"]
    rewrite(episode, tmp_path / "old.mcap", lambda found: found)
    assert read_episode(tmp_path / "old.mcap").info.caution == 0.0
    assert check(tmp_path / "old.mcap", bundle).ok
    assert all("caution" not in step for step in read_episode(tmp_path / "old.mcap").steps())


def test_policies_with_and_without_a_knob_are_asked_about_each_other(
    toy: Any, recorded: tuple[Path, Bundle], tmp_path: Path
) -> None:
    path, knobbed = _recorded(toy, tmp_path, KNOB)
    assert len(ask_other(path, recorded[1]).steps) == 12
    assert ask_other(recorded[0], knobbed).agreement == 1.0  # where nobody turned it, it changes nothing
    report = ask_other(path, knobbed)
    assert (report.caution, report.agreement) == (KNOB, 1.0)  # it stands where it stood
    assert ask_other(path, recorded[1]).caution is None


def test_what_ran_is_asked_with_its_knob_turned_otherwise(
    toy: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, bundle = _recorded(toy, tmp_path, 0.0)
    turned = ask_other(path, bundle, caution=1.0)
    bold, careful = (
        [int(step.outputs["action"]) for step in toy.rollout(bundle.contract, open_engine(bundle), knob)]
        for knob in (0.0, 1.0)
    )
    assert [step.agrees for step in turned.steps] == [one == other for one, other in zip(bold, careful)]
    with pytest.raises(ConfigError, match="got 1.5"):
        ask_other(path, bundle, caution=1.5)
    assert cli.run(["replay", str(path), "--policy", str(bundle.path), "--caution", "1", "--json"]) == 0
    said = capsys.readouterr()
    figures = {name: figure["value"] for name, figure in json.loads(said.out)["figures"].items()}
    assert figures["agrees"]  # it is proved where it stood, and asked elsewhere
    assert (figures["other_caution"], figures["other_steps"]) == (1.0, 12)
    assert "asked at caution 1" in said.err
