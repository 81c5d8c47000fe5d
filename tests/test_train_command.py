"""`phonotaxis train`: Ctrl-C leaves a checkpoint, --resume goes on from it, and nothing is overwritten."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from phonotaxis import cli
from phonotaxis.commands import train
from phonotaxis.figures import document
from phonotaxis.policies.checkpoint import has_checkpoint
from phonotaxis.policies.imitation import Progress

# As small as a training can be: what is tested is what happens to it, not what it learns.
SMALL = """
checkpoint_every_s: 0.1
validate_every_minutes: 0
minutes: 30
worlds: 2
chunk: 4
updates: 1
batch_chunks: 2
buffer_frames: 1024
episode_steps: 10
policy:
  memory_size: 8
  audio_hidden: 8
  audio_size: 8
  depth_size: 8
  depth_channels: [2, 2]
  head_hidden: 8
task:
  scenes: {count: 1, source: empty_room}
  sources_per_scene: 1
  response_s: 0.1
  out_of_sight_share: 0.0
  sounds: {instances_per_kind: 1}
"""


def stopped_by(number: signal.Signals, folder: Path) -> tuple[int, str]:
    """Start a training as a script does in the background, with Ctrl-C ignored, and stop it after its first round.

    The signals that a terminal and a batch system send go to its collector too. SIGKILL goes to the training alone:
    its collector has to end with it, for until then the pipe that is read here stays open.

    Returns:
        Exit code and last words.
    """
    (folder / "small.yaml").write_text(SMALL)
    command = [sys.executable, "-m", "phonotaxis.cli", "train"]
    command += ["--config", str(folder / "small.yaml"), "--out", str(folder / "run")]
    process = subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
    )
    assert process.stderr is not None
    first = process.stderr.readline()
    assert first.startswith("training: "), first + process.stderr.read()
    if number == signal.SIGKILL:
        while not has_checkpoint(folder / "run"):
            time.sleep(0.1)
        process.kill()
    else:
        os.killpg(process.pid, number)
    _, words = process.communicate(timeout=120)
    return process.returncode, words


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Kill a training, its collector alive, once it has saved; returns its folder."""
    folder = tmp_path_factory.mktemp("train")
    code, words = stopped_by(signal.SIGKILL, folder)
    assert code == -signal.SIGKILL
    assert "Traceback" not in words
    return folder / "run"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl_c", "sigterm"])
def test_who_stops_a_training_leaves_a_checkpoint_and_says_how_to_go_on(number: signal.Signals, tmp_path: Path) -> None:
    code, words = stopped_by(number, tmp_path)
    assert code == 130
    assert f"`phonotaxis train --out {tmp_path / 'run'} --resume` goes on" in words
    assert "Traceback" not in words
    assert has_checkpoint(tmp_path / "run")


def test_a_training_goes_on_with_its_own_configuration(killed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from phonotaxis.policies.checkpoint import load_checkpoint

    folder = killed
    before = load_checkpoint(folder)
    minutes = before.counters["seconds"] / 60 + 0.01
    assert cli.run(["train", "--out", str(folder), "--resume", "--minutes", str(minutes), "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)["figures"]
    after = load_checkpoint(folder)
    assert after.counters["rounds"] > before.counters["rounds"]
    assert figures["frames"]["value"] == after.counters["rounds"] * 2 * 4
    assert after.config["worlds"] == 2


def test_a_training_is_not_overwritten(killed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["train", "--out", str(killed)]) == 1
    err = capsys.readouterr().err
    assert "--resume goes on with it, --out takes another folder" in err
    assert len(err.splitlines()) == 1


def test_resume_where_nothing_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["train", "--out", str(tmp_path / "absent"), "--resume"]) == 1
    assert "absent" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["tune", "prefer"])
def test_what_another_command_trained_goes_on_by_that(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from phonotaxis.policies import checkpoint

    key = {"tune": "ppo", "prefer": "prefer"}[command]
    monkeypatch.setattr(checkpoint, "load_checkpoint", lambda out: SimpleNamespace(config={key: {}}))
    assert cli.run(["train", "--out", str(tmp_path), "--resume"]) == 1
    assert f"`phonotaxis {command} --out {tmp_path} --resume` goes on with it" in capsys.readouterr().err


def test_one_head_alone_learns_nothing_behind_a_network_that_has_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["train", "--config", "directions", "--out", str(tmp_path / "run")]) == 1
    err = capsys.readouterr().err
    assert "learns names directions. alone: all else stays as --weights give it" in err
    assert not (tmp_path / "run").exists()


def test_a_seed_that_is_too_large_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["train", "--seed", str(2**64), "--out", str(tmp_path / "run")]) == 1
    assert "seed" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--config", "all_suites", "--suite", "semantic-v1"], "--config has lanes; name suites there"),
        (
            ["--config", "bounded.yaml", "--minutes", "3"],
            "ends after max_frames, 160,000; leave --minutes or max_frames",
        ),
    ],
)
def test_an_option_that_would_do_nothing_is_refused(
    words: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("bounded.yaml").write_text("max_frames: 160000\n")
    assert cli.run(["train", *words, "--out", str(tmp_path / "out")]) == 1
    assert said in capsys.readouterr().err


def test_the_help_names_every_preset(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from phonotaxis.configs import presets

    monkeypatch.setenv("COLUMNS", "400")
    assert cli.run(["train", "--help"]) == 0
    out = capsys.readouterr().out
    assert all(re.search(rf"\b{name}\b", out) for name in presets.names("training"))


def test_a_wrong_configuration_names_the_key(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "mine.yaml"
    config.write_text("wolrds: 4\n")
    assert cli.run(["train", "--config", str(config), "--out", str(tmp_path / "out")]) == 1
    assert "mine.yaml: wolrds: unknown key; did you mean 'worlds'?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("task", "said"),
    [
        ("camera: {width: 40, height: 40, cx: 20, cy: 20}", "camera: 40 x 40 pixels; the policy needs multiples of 32"),
        ("window_samples: 960000, front_end: {n_fft: 1024, hop: 17}", "front_end: 56411 frames of .* raise hop"),
        (
            "array: uma8, window_samples: 16000, front_end: {n_fft: 2048, azimuths: 360, elevations: 18}",
            "front_end: 21 pairs of microphones .* ask for fewer azimuths",
        ),
    ],
)
def test_a_task_that_no_network_fits_is_no_defect(
    task: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "own.yaml").write_text(f"task: {{{task}}}\nminutes: 1\n")
    assert cli.run(["train", "--config", str(tmp_path / "own.yaml"), "--out", str(tmp_path / "run")]) == 1
    told = capsys.readouterr().err
    assert re.search(said, told)
    assert "internal error" not in told
    assert not (tmp_path / "run").exists()


def test_an_exported_training_is_a_bundle(killed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from phonotaxis.export.bundle import read_bundle

    out = tmp_path / "new" / "policy.onnx"
    assert cli.run(["export", str(killed), "--out", str(out), "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)["figures"]
    bundle = read_bundle(out)
    assert figures["sha256"]["value"] == bundle.sha256
    assert figures["size"]["value"] == out.stat().st_size
    assert bundle.provenance["training"]["worlds"] == 2


def test_a_training_begins_with_a_bundles_weights(
    killed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    from phonotaxis.policies.checkpoint import load_checkpoint
    from phonotaxis.policies.imitation import ImitationTrainer

    bundle, out = tmp_path / "policy.onnx", tmp_path / "on"
    assert cli.run(["export", str(killed), "--out", str(bundle)]) == 0
    monkeypatch.setattr(ImitationTrainer, "run", lambda trainer, show: trainer.save())
    assert cli.run(["train", "--seed", "5", "--out", str(out), "--weights", str(bundle)]) == 0  # its network's sizes
    exported = load_checkpoint(killed).modules["average"]
    begun = load_checkpoint(out).modules["policy"]
    assert begun.keys() == exported.keys()
    assert all(torch.equal(value, exported[name]) for name, value in begun.items())


def test_the_shipped_policy_is_gone_on_with_as_the_help_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from phonotaxis.commands.train import COMMAND
    from phonotaxis.export.shipped import shipped_policy
    from phonotaxis.policies.imitation import ImitationTrainer

    begun: list[ImitationTrainer] = []
    monkeypatch.setattr(ImitationTrainer, "run", lambda trainer, show: begun.append(trainer))
    (line,) = (line for line, _ in COMMAND.examples if "policy.onnx" in line)
    words = [str(shipped_policy()) if word == "policy.onnx" else word for word in line.split()[1:]]
    words[words.index("--out") + 1] = str(tmp_path / "on")
    assert cli.run(words) == 0
    assert len(begun) == 1


def test_export_where_no_training_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["export", str(tmp_path)]) == 1
    assert str(tmp_path) in capsys.readouterr().err


def test_a_suite_is_trained_on_its_train_split(tmp_path: Path) -> None:
    from phonotaxis.commands import train
    from phonotaxis.configs.lanes import suite_tasks
    from phonotaxis.configs.suite import SCENE_SEEDS, load_suite

    suite = load_suite("audiogoal-v1")
    tasks = suite_tasks("audiogoal-v1")
    settings = train.settings(None, tmp_path / "new", False, {"minutes": 3.0} | tasks)
    assert settings.task == tasks["task"] == suite.task_of("train")
    assert settings.task.scenes.first_seed == SCENE_SEEDS["train"][0]
    assert settings.task.sounds.split == "train"
    assert settings.minutes == 3.0


def test_a_suite_of_ones_own_takes_the_place_of_what_a_file_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file's task and what that is validated on, both."""
    from phonotaxis.configs.suite import load_suite
    from phonotaxis.policies.imitation import ImitationTrainer

    config, mine = tmp_path / "small.yaml", tmp_path / "mine.yaml"
    config.write_text(SMALL + "validation: {scenes: {count: 3}}\n")
    mine.write_text("like: audiogoal-v1\nname: quiet-v1\nvalidation: {scene_count: 7}\n")
    begun: list[ImitationTrainer] = []
    monkeypatch.setattr(ImitationTrainer, "run", lambda trainer, show: begun.append(trainer))
    for number, suite in enumerate((str(mine), "semantic-v1")):
        command = ["train", "--config", str(config), "--suite", suite, "--out", str(tmp_path / str(number))]
        assert cli.run(command) == 0
    assert [trainer.config.task for trainer in begun] == [
        load_suite(suite).task_of("train") for suite in (str(mine), "semantic-v1")
    ]
    assert [trainer.config.validation for trainer in begun] == [load_suite(str(mine)).task_of("validation"), None]


def test_a_training_goes_on_with_its_own_task(killed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["train", "--out", str(killed), "--resume", "--suite", "audiogoal-v1"]) == 1
    assert "leave --suite out" in capsys.readouterr().err


def test_an_unknown_suite_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["train", "--suite", "audiogaol-v1", "--out", str(tmp_path / "new")]) == 1
    assert "did you mean 'audiogoal-v1'" in capsys.readouterr().err


def test_several_seeds_are_trained_and_gone_on_with(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from phonotaxis.policies.checkpoint import load_checkpoint
    from phonotaxis.policies.validation import BEST

    config = tmp_path / "small.yaml"
    config.write_text(
        SMALL.replace("every_minutes: 0", "every_minutes: 100") + "max_frames: 16\nvalidation_episodes: 1\n"
    )
    command = ["train", "--config", str(config), "--seed", "3", "--out", str(tmp_path / "run"), "--json"]
    assert cli.run([*command, "--seeds", "1"]) == 0
    (tmp_path / "several").mkdir()
    (tmp_path / "run").rename(tmp_path / "several" / "seed-3")
    command[-2] = str(tmp_path / "several")
    capsys.readouterr()
    assert cli.run([*command, "--seeds", "2", "--resume"]) == 0
    figures = json.loads(capsys.readouterr().out)["figures"]
    assert "seed_3_frames" not in figures  # it was done
    assert figures["seed_4_frames"]["value"] >= 16
    assert 0.0 <= figures["seed_4_validation_spl_audiogoal"]["value"] <= 1.0
    for number in (3, 4):
        saved = load_checkpoint(tmp_path / "several" / f"seed-{number}" / BEST)
        assert saved.config["seed"] == number
    config.write_text(config.read_text().replace("memory_size: 8", "memory_size: 9"))
    assert cli.run([*command, "--seeds", "3", "--resume"]) == 1
    assert "seed-3 was begun with another policy than is asked for now" in capsys.readouterr().err
    assert not (tmp_path / "several" / "seed-5").exists()  # seeds of two networks have no mean


@pytest.mark.parametrize(("option", "seeds"), [([], [5, 6]), (["--seed", "0"], [0, 1])])
def test_several_seeds_begin_with_that_of_the_configuration(
    option: list[str], seeds: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from phonotaxis.policies.imitation import ImitationTrainer

    config = tmp_path / "small.yaml"
    config.write_text(SMALL + "seed: 5\n")
    begun: list[ImitationTrainer] = []
    monkeypatch.setattr(ImitationTrainer, "run", lambda trainer, show: begun.append(trainer))
    command = ["train", "--config", str(config), "--seeds", "2", "--out", str(tmp_path / "out"), *option]
    assert cli.run(command) == 0
    assert [trainer.config.seed for trainer in begun] == seeds
    assert [str(trainer.out) for trainer in begun] == [str(tmp_path / "out" / f"seed-{seed}") for seed in seeds]


def test_several_seeds_go_on_as_the_advice_says(
    killed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """The line holds all that the folders don't know: what the seeds to come are, and begin with."""
    import torch

    from phonotaxis.policies.checkpoint import load_checkpoint
    from phonotaxis.policies.imitation import ImitationTrainer

    def stop(trainer: ImitationTrainer, show: object) -> None:
        trainer.save()
        raise KeyboardInterrupt

    config, out, fields = tmp_path / "small.yaml", tmp_path / "three seeds", tmp_path / "fields"
    config.write_text(SMALL)
    command = ["train", "--config", str(config), "--out", str(out), "--seed", "3", "--seeds", "2", "--minutes", "5"]
    with monkeypatch.context() as patch:
        patch.setattr(ImitationTrainer, "run", stop)
        assert cli.run([*command, "--weights", str(killed), "--fields", str(fields)]) == 130
    said = re.search("`(phonotaxis train .*)` goes on", capsys.readouterr().err)
    assert said is not None
    trained: list[ImitationTrainer] = []
    monkeypatch.setattr(ImitationTrainer, "run", lambda trainer, show: trained.append(trainer))
    assert cli.run([word.replace("5.0", "7.0") for word in shlex.split(said[1])[1:]]) == 0
    assert [(trainer.config.seed, trainer.config.minutes, trainer.config.worlds) for trainer in trained] == [
        (3, 7.0, 2), (4, 7.0, 2),
    ]  # fmt: skip
    assert all(trainer.fields == str(fields) for trainer in trained)
    given = load_checkpoint(killed).modules["average"]
    assert all(torch.equal(value, given[name]) for name, value in trained[1].policy.state_dict().items())


def test_what_a_suites_training_is_measured_on_is_its_suite() -> None:
    from phonotaxis.commands import train
    from phonotaxis.configs.suite import load_suite
    from phonotaxis.configs.task import AudioGoalTask

    assert train.suite_of(load_suite("semantic-v1").task_of("train")) == "semantic-v1"
    assert train.suite_of(AudioGoalTask()) == "own"


def test_one_training_and_several_seeds_share_no_folder(
    killed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`evaluate` would measure the one and pass over the others."""
    one, several = killed, tmp_path / "several"
    assert cli.run(["train", "--out", str(one), "--seeds", "2", "--minutes", "0.01"]) == 1
    assert "holds one training, and --seeds makes several" in capsys.readouterr().err
    (several / "seed-0").mkdir(parents=True)
    assert cli.run(["train", "--out", str(several), "--minutes", "0.01"]) == 1
    assert "holds several seeds" in capsys.readouterr().err
    assert [path.name for path in several.iterdir()] == ["seed-0"]


def test_own_tasks_may_have_any_name() -> None:
    progress = Progress(
        seconds=1.0, share=1.0, frames=8, episodes=2, success=1.0, lanes={}, expert_share=0.5, losses={}, validation={}
    )
    figures = document("train", train._figures(progress, {"Kitchen (2)": 0.5, "kitchen-2": 0.4}))["figures"]
    assert figures["validation_spl_kitchen_2"]["value"] == 0.5
    assert figures["validation_spl_kitchen_2_2"]["value"] == 0.4
