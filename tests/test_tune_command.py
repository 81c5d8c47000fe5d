"""`phonotaxis tune`: it overwrites nothing, and what the configuration says holds unless an option says otherwise."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from phonotaxis import cli
from phonotaxis.configs.lanes import Lane
from phonotaxis.configs.ppo import PpoConfig
from phonotaxis.configs.task import AudioGoalTask
from phonotaxis.configs.training import PolicyConfig
from phonotaxis.export import weights
from phonotaxis.policies import checkpoint, ppo


def _saved(config: dict[str, Any]) -> SimpleNamespace:
    """Return what tuning reads of a training without a knob."""
    return SimpleNamespace(config=config, policy_config=PolicyConfig())


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[PpoConfig]:
    """Put nothing in the place of a tuning, and keep what it was asked for."""
    seen: list[PpoConfig] = []

    def tune(start: object, config: PpoConfig, *rest: Any) -> None:
        seen.append(config)

    monkeypatch.setattr(ppo, "tune", tune)
    monkeypatch.setattr(weights, "load_checkpoint", lambda path: _saved({}))
    return seen


def test_what_tuning_found_is_told_in_one_object(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given: list[object] = []

    def tune(start: object, config: PpoConfig, out: Path, show: Any, fields: Path | None, resume: bool) -> None:
        given.extend((out, fields, resume))
        show(ppo.PpoProgress(1.0, 64, 2.0, (0.5, 0.25), 0.0, {"audiogoal-v1": 0.4}, 0.7, 0.7))

    monkeypatch.setattr(ppo, "tune", tune)
    monkeypatch.setattr(weights, "load_checkpoint", lambda path: _saved({}))
    out, fields = tmp_path / "out", tmp_path / "fields"
    assert cli.run(["tune", "runs/a", "--out", str(out), "--fields", str(fields), "--json"]) == 0
    assert given == [out, fields, False]
    printed = capsys.readouterr()
    figures = json.loads(printed.out)["figures"]
    assert {name: figure["value"] for name, figure in figures.items()} == {
        "frames": 64, "duration": 2.0, "lane_0.success_while_tuning": 0.5, "lane_1.success_while_tuning": 0.25,
        "validation_spl_audiogoal_v1": 0.4, "validation_mean_spl_at_start": 0.7, "validation_mean_spl_best": 0.7,
    }  # fmt: skip
    assert "NOTHING WAS GAINED on validation: mean SPL 0.700 before" in printed.err
    assert f"`phonotaxis evaluate {out} --also" in printed.err


def test_the_best_is_what_comes_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def tune(start: object, config: PpoConfig, out: Path, show: Any, *rest: Any) -> None:
        (out / "best" / "checkpoint-000001").mkdir(parents=True)
        show(ppo.PpoProgress(1.0, 64, 2.0, (0.5,), 0.0, {"audiogoal-v1": 0.4}, 0.7, 0.8))

    monkeypatch.setattr(ppo, "tune", tune)
    monkeypatch.setattr(weights, "load_checkpoint", lambda path: _saved({}))
    assert cli.run(["tune", "runs/a", "--out", str(tmp_path)]) == 0
    said = capsys.readouterr().err
    assert f"0.700 before, at best 0.800, in {tmp_path / 'best'}" in said
    assert f"`phonotaxis evaluate {tmp_path / 'best'} --also before=runs/a --suite audiogoal-v1" in said


def test_a_tuning_goes_on_as_it_was_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given: list[tuple[object, PpoConfig, bool]] = []

    def tune(start: object, config: PpoConfig, out: Path, show: Any, fields: object, resume: bool) -> None:
        given.append((start, config, resume))

    begun = PpoConfig(task=OWN, seed=5, frames=64_000, learning_rate=1e-5)
    saved = SimpleNamespace(config={"task": OWN.model_dump(mode="json"), "ppo": begun.model_dump(mode="json")})
    monkeypatch.setattr(ppo, "tune", tune)
    monkeypatch.setattr(checkpoint, "load_checkpoint", lambda path: saved)
    command = ["tune", "--out", str(tmp_path), "--resume"]
    assert cli.run([*command, "--frames", "128000"]) == 0
    assert given == [(saved, begun.model_copy(update={"frames": 128_000}), True)]
    for words, name in ((["--seed", "3"], "--seed"), (["--suite", "semantic-v1"], "--suite")):
        assert cli.run([*command, *words]) == 1
        assert f"leave {name} out" in capsys.readouterr().err
    assert cli.run(["tune", "runs/a", *command[1:]]) == 1
    assert "leave START out" in capsys.readouterr().err
    saved.config = {"task": {}}
    assert cli.run(command) == 1
    assert f"not of a tuning; `phonotaxis tune {tmp_path} --out ANOTHER`" in capsys.readouterr().err
    assert len(given) == 1


def test_the_shipped_bundle_is_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import torch

    from phonotaxis.export.bundle import read_bundle
    from phonotaxis.export.shipped import shipped_policy
    from phonotaxis.export.weights import restored_policy

    given: list[checkpoint.Checkpoint] = []
    monkeypatch.setattr(ppo, "tune", lambda start, *rest: given.append(start))
    path = shipped_policy()
    assert path is not None
    assert cli.run(["tune", str(path), "--out", str(tmp_path / "out")]) == 0
    bundle, (start,) = read_bundle(path), given
    own = restored_policy(bundle).state_dict()
    begun = start.policy().state_dict()
    assert all(torch.equal(value, own[name]) for name, value in begun.items())
    assert start.trainings[0] == bundle.provenance["training"]
    # Its knob holds for the policy that it was learnt beside, and is left behind.
    assert own.keys() - begun.keys() == {name for name in own if name.startswith("caution.")}
    assert start.contract == bundle.contract.model_copy(update={"caution": False})
    assert ("the policy's knob" in capsys.readouterr().err) == bundle.contract.caution


def test_a_training_is_not_overwritten(
    asked: list[PpoConfig], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "checkpoint-000001").mkdir()
    assert cli.run(["tune", str(tmp_path), "--out", str(tmp_path)]) == 1
    assert (
        f"{tmp_path} holds a training; --resume goes on with it, --out takes another folder" in capsys.readouterr().err
    )
    assert not asked


def test_options_come_before_the_configuration_and_that_before_defaults(asked: list[PpoConfig], tmp_path: Path) -> None:
    config = tmp_path / "mine.yaml"
    config.write_text("seed: 7\nframes: 64000\n")
    command = ["tune", "runs/a", "--out", str(tmp_path / "out")]
    for words in ([], ["--config", str(config)], ["--config", str(config), "--seed", "3", "--frames", "9000"]):
        assert cli.run([*command, *words]) == 0
    assert [(each.seed, each.frames) for each in asked] == [(0, 200_000), (7, 64_000), (3, 9_000)]
    assert {each.task.name for each in asked} == {"audiogoal-v1"}


def test_as_many_frames_as_the_critic_alone_takes_are_refused(
    asked: list[PpoConfig], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["tune", "runs/a", "--out", str(tmp_path / "out"), "--frames", "8192"]) == 1
    assert "frames must be over 8192, of which the critic learns alone" in capsys.readouterr().err
    assert not asked


OWN = AudioGoalTask(array="respeaker_6mic", radius_m=0.2)


@pytest.mark.parametrize(
    ("trained", "options", "name", "said"),
    [
        (
            {"task": OWN},
            "",
            "audiogoal",
            "tuning on audiogoal: respeaker_6mic, a body 0.4 m wide and 0.6 m high, 0.25 m",
        ),
        ({"task": OWN, "lanes": [Lane(task=OWN), Lane(task=AudioGoalTask())]}, "", "audiogoal", "respeaker_6mic"),
        ({"task": OWN, "ppo": {"lanes": [Lane(task=OWN)]}}, "", "audiogoal", "respeaker_6mic"),
        ({"task": OWN}, "--suite semantic-v1", "semantic-v1", "tuning on semantic-v1: respeaker_usb_v2"),
        ({"task": OWN}, "--config mine.yaml", "named", "tuning on named: respeaker_usb_v2"),
        (
            {"task": {"colour": "blue"}},
            "",
            None,
            "runs/a: can't take over the task that it was trained on; name a --suite",
        ),
    ],
)
def test_a_policy_is_tuned_on_what_it_was_trained_on_unless_it_is_said(
    trained: dict[str, Any], options: str, name: str | None, said: str, asked: list[PpoConfig], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    Path("mine.yaml").write_text("task: {name: named}\n")
    config = json.loads(json.dumps(trained, default=lambda part: part.model_dump(mode="json")))
    monkeypatch.setattr(weights, "load_checkpoint", lambda path: _saved(config))
    assert cli.run(["tune", "runs/a", *options.split()]) == (0 if name else 1)
    assert said in capsys.readouterr().err
    assert [each.task.name for each in asked] == ([name] if name else [])


@pytest.mark.parametrize(
    ("said", "next_one"),
    [
        ("", "--also before=runs/a --suite audiogoal-v1 --split validation"),
        ("task: {max_steps: 9}", "out --suite own --split validation"),
    ],
)
@pytest.mark.usefixtures("asked")
def test_what_comes_next_can_be_typed(
    said: str, next_one: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "mine.yaml"
    config.write_text(f"seed: 1\n{said}")
    assert cli.run(["tune", "runs/a", "--config", str(config), "--out", str(tmp_path / "out")]) == 0
    assert next_one in capsys.readouterr().err


@pytest.mark.usefixtures("asked")
def test_who_stops_it_is_told_what_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stopped(start: object, config: object, out: Path, *rest: Any) -> None:
        if out.name == "late":
            (out / "checkpoint-000001").mkdir(parents=True)
        raise KeyboardInterrupt

    monkeypatch.setattr(ppo, "tune", stopped)
    late = tmp_path / "late"
    assert cli.run(["tune", "runs/a", "--out", str(late)]) == 130
    assert f"`phonotaxis tune --out {late} --resume` goes on" in capsys.readouterr().err
    assert cli.run(["tune", "runs/a", "--out", str(tmp_path / "soon")]) == 130
    assert "nothing was written" in capsys.readouterr().err


def test_several_suites_are_lanes(asked: list[PpoConfig], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "lanes.yaml"
    config.write_text("lanes: [{suite: audiogoal-v1, worlds: 4}, {suite: semantic-v1, worlds: 4}]\n")
    command = ["tune", "runs/a", "--config", str(config), "--out", str(tmp_path / "out")]
    assert cli.run([*command, "--suite", "audiogoal-v1"]) == 1
    assert "--config has lanes" in capsys.readouterr().err
    assert cli.run(command) == 0
    assert [lane.task.name for lane in asked[0].all_lanes] == ["audiogoal-v1", "semantic-v1"]
