"""Options of the command line: what would go unheard is refused, and names that may be chosen are all told."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from phonotaxis import cli
from phonotaxis.commands.bench import TRUTH_PARTS
from phonotaxis.commands.hil import FAULT_NAMES
from phonotaxis.configs.base import ConfigError
from phonotaxis.envs.truth import suite
from phonotaxis.policies import tradeoff


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--compress"], "add --recover COPY.mcap"),
        (["--from", "0"], "add --report PAGE.html"),
        (["--to", "3", "--check"], "add --report PAGE.html"),
        (["--caution", "1", "--check"], "add --policy BUNDLE.onnx"),
    ],
)
def test_what_a_replay_would_not_hear_is_refused(
    words: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["replay", str(tmp_path / "any.mcap"), *words]) == 2
    assert said in capsys.readouterr().err


def test_a_tradeoff_without_a_policy_is_of_the_shipped_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def measure(task: object, seeds: object, turned: Any, cautions: tuple[float, ...], *rest: object) -> None:
        assert [turned(caution).contract.caution for caution in cautions] == [True, True]
        raise ConfigError("it has a knob")

    monkeypatch.setattr(tradeoff, "measure_tradeoff", measure)
    assert cli.run(["tradeoff", "--caution", "0,1", "--json"]) == 1
    assert "it has a knob" in capsys.readouterr().err


@pytest.mark.parametrize(("command", "names"), [("hil", FAULT_NAMES), ("bench acoustics", TRUTH_PARTS)])
def test_help_tells_all_names(
    command: str, names: tuple[str, ...], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "1000")
    assert cli.run([*command.split(), "--help"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert ", ".join(names) in shown


def test_the_parts_of_the_benchmark_are_those_that_are_told() -> None:
    assert tuple(part.name for part in suite.PARTS) == TRUTH_PARTS


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--tensorrt", "--precision", "fp16"], 2, "write that with -o first, then look at it or build it"),
        (["--inspect", "--precision", "int8"], 2, "write that with -o first"),
        (["--check", "--precision", "int8"], 2, "--check holds every precision"),
        (["--tensorrt", "-o", "out.onnx"], 2, "--tensorrt write none"),
        (["--inspect", "-o", "out.onnx"], 2, "write none"),
        (["--check", "-o", "out.onnx"], 2, "write none"),
        (["--suite", "audiogoal-v1"], 2, "add --check, or a lower --precision"),
        (["--steps", "10000"], 2, "--steps is of the check"),
        (["--inspect", "--episodes", "0"], 2, "--episodes is of the check"),
        (["--precision", "int8", "--episodes", "0"], 2, "written after 200 paired episodes or more"),
        (["--precision", "fp16", "--episodes", "199"], 2, "written after 200 paired episodes or more"),
        (["--check", "--robot", "rover.yaml"], 2, "--robot writes a bundle in fp32"),
        (["--robot", "rover.yaml", "--precision", "int8"], 2, "--robot writes a bundle in fp32"),
        (["--sign", "key.pem", "--precision", "int8"], 1, "say with -o what to write"),
    ],
)
def test_what_an_export_would_not_hear_is_refused(
    words: list[str], code: int, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["export", str(tmp_path / "any.onnx"), *words]) == code
    assert said in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def _export_without_torch(policy: Path, option: str) -> subprocess.CompletedProcess[str]:
    script = """
import sys
sys.modules.update(torch=None, numba=None)
from phonotaxis import cli
sys.exit(cli.run(["export", *sys.argv[1:]]))
"""
    words = [sys.executable, "-c", script, str(policy), option]
    return subprocess.run(words, capture_output=True, text=True, check=False)


def test_a_robot_without_torch_builds_its_plan(repository: Path) -> None:
    """Up to the engine, which isn't here."""
    done = _export_without_torch(repository / "tests" / "golden" / "policy.onnx", "--tensorrt")
    assert done.returncode == 0 or "engine 'tensorrt'" in done.stderr, done.stderr


def test_a_robot_without_torch_looks_into_a_bundle(repository: Path) -> None:
    done = _export_without_torch(repository / "tests" / "golden" / "policy.onnx", "--inspect")
    assert done.returncode == 0, done.stderr
    assert "made for" in done.stdout


def test_pages_and_recordings_keep_their_names_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An episode that was named where a page was to be written is no more."""
    episode = tmp_path / "b.mcap"
    episode.write_bytes(b"an episode")
    for option, suffix in (("--report", ".html"), ("--rerun", ".rrd")):
        assert cli.run(["replay", str(episode), option, str(episode)]) == 2
        assert f"ends in {suffix}" in " ".join(capsys.readouterr().err.split())
    assert episode.read_bytes() == b"an episode"


def test_examples_of_sounds_replace_no_recording(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "speech.wav").write_bytes(b"mine")
    assert cli.run(["sounds", "write", "--out", str(tmp_path)]) == 1
    assert "holds speech.wav already" in capsys.readouterr().err
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("speech.wav", b"mine")]


@pytest.mark.parametrize("out", [".", ""])
def test_a_bundle_is_not_written_onto_a_folder(
    out: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], repository: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    shipped = str(repository / "export/shipped.onnx")
    assert cli.run(["export", shipped, "-o", out or str(tmp_path)]) == 1
    assert "expected the name of a file" in capsys.readouterr().err
    assert cli.run(["export", shipped, "-o", "copy.onnx", "--sign", "no.pem"]) == 1
    assert "there is no such file; nothing was written" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_loop_that_would_compare_two_robots_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "slow.yaml").write_text("step_m: 0.1\n")
    for more in ([], ["--faults"]):
        assert cli.run(["hil", "--task", str(tmp_path / "slow.yaml"), "--out", str(tmp_path / "hil"), *more]) == 1
        assert "was made for another body, actions than task" in capsys.readouterr().err
    assert cli.run(["hil", "nowhere.onnx", "--sync"]) == 1
    assert "leave POLICY, --caution, --task and --out out" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["evaluate --failures", "tradeoff any --plot"])
def test_a_picture_that_cannot_be_written_is_told_before_anything_is_measured(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder.png").mkdir()
    for path, said in (
        (tmp_path / "policy.onnx", "ends in .png"),
        (tmp_path / "folder.png", "ends in .png"),
        (tmp_path / "file" / "a.png", "nothing can be written in"),
    ):
        assert cli.run([*command.split(), str(path)]) == 1
        assert said in capsys.readouterr().err
