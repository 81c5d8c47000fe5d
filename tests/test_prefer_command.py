"""`phonotaxis prefer` and `tradeoff`: a kill leaves a checkpoint, --resume goes on, and the knob is measured."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from phonotaxis import cli
from phonotaxis.commands import prefer
from phonotaxis.commands.tradeoff import cautions_of
from phonotaxis.configs.base import ConfigError
from phonotaxis.configs.imitation import ImitationConfig
from phonotaxis.configs.suite import load_suite
from phonotaxis.configs.training import PolicyConfig
from phonotaxis.policies.checkpoint import Checkpoint, has_checkpoint, load_checkpoint, save_checkpoint
from phonotaxis.policies.policy import Policy

# As small as a training can be: what is tested is what happens to it, not what it learns.
SMALL = """
minutes: 30
starts: 1
draws: 2
worlds: 2
scene_count: 1
episode_steps: 4
updates: 1
batch_pairs: 1
checkpoint_every_s: 0.001
validations: 1
validation_episodes: 2
"""
TINY = PolicyConfig(
    memory_size=8, audio_hidden=8, audio_size=8, motion_size=8, depth_size=8, depth_channels=(2, 2), head_hidden=8
)


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Start a training, kill it at its second round, and return its folder."""
    folder = tmp_path_factory.mktemp("prefer")
    torch.manual_seed(0)
    base = Policy(load_suite("audiogoal-v1").task_of("train").contract(), TINY)
    save_checkpoint(folder / "base", Checkpoint(base.contract, TINY, {"policy": base.state_dict()}))
    (folder / "small.yaml").write_text(SMALL)
    command = [sys.executable, "-m", "phonotaxis.cli", "prefer", str(folder / "base")]
    command += ["--config", str(folder / "small.yaml"), "--out", str(folder / "run")]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    told = process.stderr.readline()
    assert told.startswith("learning preferences on audiogoal-v1: respeaker_usb_v2, a body 0.36 m wide"), told
    first = process.stderr.readline()  # it is told of a round once that is saved
    assert first.startswith("learning preferences: "), first + process.stderr.read()
    assert "frames/s" in first
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)
    return folder / "run"


def test_a_kill_leaves_a_checkpoint_that_is_gone_on_with(killed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert has_checkpoint(killed)
    before = load_checkpoint(killed)
    minutes = (float(before.counters["prefer_seconds"]) + 0.5) / 60
    assert cli.run(["prefer", "--out", str(killed), "--resume", "--minutes", str(minutes), "--json"]) == 0
    said = capsys.readouterr()
    figures = json.loads(said.out)["figures"]
    after = load_checkpoint(killed)
    assert after.counters["prefer_rounds"] > before.counters["prefer_rounds"]
    assert figures["frames"]["value"] == after.counters["prefer_frames"]
    assert figures["success_with_caution"]["value"] == 0.0
    assert "NO HEAD IS KEPT, caution changes nothing: on 2 validation episodes caution 1 has 0.0% success" in said.err
    assert f"`phonotaxis tradeoff {killed} --suite audiogoal-v1 --split validation" in said.err
    assert figures["kept"]["value"] is False
    assert figures["validation_success_with"]["value"] == 0.0
    assert after.counters["prefer_validated_round"] == after.counters["prefer_rounds"]
    assert after.config["prefer"]["starts"] == 1
    assert any((killed / "tensorboard").iterdir())
    base = load_checkpoint(killed.parent / "base").modules["policy"]
    assert all(torch.equal(after.modules["policy"][name], value) for name, value in base.items())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "--resume goes on with it, --out takes another folder"),
        (["--resume", "--seed", "1"], "leave --seed out"),
        (["--resume", "--config", "x.yaml"], "leave --config out"),
        (["--resume", "--suite", "audiogoal-v1"], "leave --suite out"),
    ],
)
def test_what_would_undo_a_training_is_refused(
    killed: Path, words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["prefer", "--out", str(killed), *words]) == 1
    assert said in capsys.readouterr().err


def test_a_knob_is_learnt_on_what_the_policy_was_trained_on_unless_it_is_said(tmp_path: Path) -> None:
    """The suite's validation split goes with it, be it one's own."""
    mine = tmp_path / "mine.yaml"
    mine.write_text("like: semantic-v1\nname: quiet-v1\nvalidation: {scene_count: 7}\n")
    own = load_suite(str(mine))
    trained = ImitationConfig.model_validate({"lanes": [{"suite": str(mine)}, {"suite": "audiogoal-v1"}]})
    [found] = prefer._lanes(None, trained.model_dump(mode="json"), Path("runs/a"))
    assert (found.task, found.validation) == (own.task_of("train"), own.task_of("validation"))
    both = prefer._lanes(["audiogoal-v1", str(mine)], {}, Path("runs/a"))
    assert [lane.task.name for lane in both] == ["audiogoal-v1", "quiet-v1"]
    assert both[1] == found
    assert prefer._lanes(None, None, Path("a.onnx"))[0].task.name == "audiogoal-v1"
    with pytest.raises(ConfigError, match="suites of different names"):
        prefer._lanes(["audiogoal-v1", "audiogoal-v1"], {}, Path("runs/a"))


def test_minutes_that_would_do_nothing_are_refused(
    killed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bounded.yaml").write_text("max_rounds: 7\n")
    command = ["prefer", str(killed.parent / "base"), "--config", str(tmp_path / "bounded.yaml"), "--minutes", "3"]
    assert cli.run([*command, "--out", str(tmp_path / "out")]) == 1
    assert "ends after max_rounds, 7; leave --minutes or max_rounds out" in capsys.readouterr().err


def test_the_knob_is_measured_and_drawn(killed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = tmp_path / "new" / "tradeoff.png"
    command = ["tradeoff", str(killed), "--split", "validation", "--episodes", "2", "--caution", "0,0.5"]
    assert cli.run([*command, "--plot", str(picture), "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)["figures"]
    assert figures["episodes"]["value"] == 2
    assert {"caution_0.success", "caution_0_5.clearance_m", "caution_0_5.clearance_m_more"} <= figures.keys()
    assert "caution_0.clearance_m_more" not in figures
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_the_knob_is_measured_on_the_trainings_own_task(killed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["tradeoff", str(killed), "--suite", "own", "--episodes", "2", "--caution", "0,1", "--json"]
    assert cli.run(command) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["figures"]["episodes"]["value"] == 2
    assert cli.run([*command, "--split", "train"]) == 1
    assert "whose scenes the training hasn't" in capsys.readouterr().err


def test_a_policy_without_a_knob_has_nothing_to_turn(killed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("tradeoff", "evaluate --no-baselines --caution 0.5"):
        assert cli.run([*command.split(), str(killed.parent / "base"), "--episodes", "1"]) == 1
        assert "no caution to turn" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["", "a,b", "0,0", "0,1.5", "0,nan"])
def test_cautions_are_numbers_from_0_to_1(text: str) -> None:
    with pytest.raises(ConfigError, match="different numbers from 0 to 1"):
        cautions_of(text)
