"""`phonotaxis instruct`: sentences are understood, and the policy beneath stays as it was."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from phonotaxis import cli
from phonotaxis.commands.instruct import kinds_of, read_phrases, with_understanding
from phonotaxis.configs.contract import Contract
from phonotaxis.configs.goal import embed
from phonotaxis.configs.task import AudioGoalTask, SoundSet
from phonotaxis.configs.training import PolicyConfig
from phonotaxis.envs.sounds import TRAINING_KINDS
from phonotaxis.export.bundle import read_bundle
from phonotaxis.export.precision import bare_model, products
from phonotaxis.policies.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from phonotaxis.policies.policy import Policy
from phonotaxis.policies.sentences import understood
from phonotaxis.policies.understanding import UNDERSTANDING

TINY = PolicyConfig(memory_size=8, audio_hidden=16, audio_size=8, motion_size=8, depth_channels=(2, 2), head_hidden=8)


def _saved(folder: Path, contract: Contract) -> Path:
    torch.manual_seed(0)
    policy = Policy(contract, TINY)
    with torch.no_grad():  # as after a training: no two weights alike
        for weight in policy.parameters():
            weight.add_(0.01 * torch.randn_like(weight))
    told = {"policy": policy.state_dict()}
    save_checkpoint(folder, Checkpoint(policy.contract, TINY, told, {"task": {}}, None, {"rounds": 3}, ({"a": 1},)))
    return folder


def test_a_policy_is_taught_and_all_else_stays(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    start = _saved(tmp_path / "start", AudioGoalTask(goal="kind").contract())
    mine = tmp_path / "mine.yaml"
    mine.write_text("telephone: [cellphone, handset]\ngong: [gong, tam-tam]\n")
    out = tmp_path / "out"
    assert cli.run(["instruct", str(start), "--out", str(out), "--phrases", str(mine), "--json"]) == 0
    printed = capsys.readouterr()
    figures = {name: figure["value"] for name, figure in json.loads(printed.out)["figures"].items()}
    assert figures["understood_validation"] > 0.85
    assert figures["understood_train"] > 0.98
    assert "note: gong: found only by a policy that was trained to find that" in printed.err
    before, after = load_checkpoint(start), load_checkpoint(out)
    new = after.modules["policy"]
    assert all(torch.equal(value, new[name]) for name, value in before.modules["policy"].items())
    assert new.keys() - before.modules["policy"].keys() == {
        f"{UNDERSTANDING}layers.{part}" for part in ("0.weight", "0.bias", "2.weight", "2.bias")
    }
    assert after.policy_config == TINY.model_copy(update={"understood_kinds": (*TRAINING_KINDS, "gong")})
    assert (after.trainings, after.counters) == (before.trainings, before.counters)
    understanding = after.policy().front_ends.understanding
    assert understanding is not None
    assert understanding.kind_of("find the handset") == "telephone"
    assert cli.run(["train", "--out", str(out), "--resume"]) == 1
    assert f"begin with its weights: `phonotaxis train --weights {out} --out ANOTHER`" in capsys.readouterr().err
    bundle = tmp_path / "taught.onnx"
    assert cli.run(["export", str(out), "-o", str(bundle)]) == 0
    assert cli.run(["instruct", str(bundle), "--out", str(tmp_path / "again"), "--json"]) == 0
    again = load_checkpoint(tmp_path / "again").policy().front_ends.understanding
    assert again is not None
    model = bare_model(read_bundle(bundle))
    smaller = {node.input[1] for node in products(model)}
    assert any("senses.goal" in name for name in smaller)
    assert not any("front_ends" in name for name in smaller)  # a sentence near the bound would mean another kind
    assert again.kinds == understanding.kinds
    gong = torch.from_numpy(embed("gong").copy())[None]
    assert torch.equal(again(gong), gong)


def test_the_kinds_are_those_that_the_policy_was_trained_to_find(tmp_path: Path) -> None:
    own = AudioGoalTask(goal="kind", sounds=SoundSet(kinds=("doorbell", "siren", "telephone")))
    plain = AudioGoalTask(goal="none", sounds=SoundSet(kinds=("typing",)))
    saved = load_checkpoint(_saved(tmp_path, own.contract()))
    assert kinds_of(saved) == TRAINING_KINDS  # of another form, or none
    saved.config = {"lanes": [{"task": task.model_dump(mode="json")} for task in (plain, own)]}
    assert kinds_of(saved) == ("doorbell", "siren", "telephone")
    taught = with_understanding(saved, {}, 0).policy().front_ends.understanding
    assert taught is not None
    assert [taught.kind_of(kind) for kind in taught.kinds] == list(taught.kinds)
    assert taught.kind_of("go to the doorbell") == "doorbell"
    assert understood(taught, "validation") is None  # two of them are known to it by name alone


def test_what_cant_be_taught_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    deaf_to_words = _saved(tmp_path / "absent", AudioGoalTask(goal="absent").contract())
    assert cli.run(["instruct", str(deaf_to_words), "--out", str(tmp_path / "out")]) == 1
    assert "can't be told what to find" in capsys.readouterr().err
    start = _saved(tmp_path / "start", AudioGoalTask(goal="kind").contract())
    assert cli.run(["instruct", str(start), "--out", str(start)]) == 1
    assert "holds a training; --out takes another folder" in capsys.readouterr().err
    for text, said in (
        ("[a, b]", "expected lists of words by kind"),
        ("telephone: cellphone", "telephone: expected a list of words"),
        ("telephone: [the]", "no word of 'the' names anything"),
        ("telephone: [bell]\nclock: [Bell]", "'Bell' is both telephone and clock"),
    ):
        (tmp_path / "mine.yaml").write_text(text)
        command = ["instruct", str(start), "--out", str(tmp_path / "out"), "--phrases", str(tmp_path / "mine.yaml")]
        assert cli.run(command) == 1
        assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_kind_may_be_written_in_several_ways(tmp_path: Path) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text("lawn mower: [mower]\nLawn_Mower: [grass cutter]\n")
    assert read_phrases(mine) == {"lawn_mower": ("mower", "grass cutter")}
