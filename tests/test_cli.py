"""The command line: help that teaches, errors in a line, exit codes that programs can trust."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from phonotaxis import cli
from phonotaxis.commands import COMMANDS, GROUPS
from phonotaxis.commands.command import Command
from phonotaxis.configs.base import ConfigError
from phonotaxis.errors import EXIT_INTERNAL, describe

BY_WORDS: dict[tuple[str, ...], Command] = {
    **{(command.name,): command for command in COMMANDS},
    **{(group.name, command.name): command for group in GROUPS for command in group.commands},
}
COMMAND_LINES = list(BY_WORDS)
HEAVY = ("torch", "numba", "scipy", "gymnasium", "numpy", "pydantic", "onnxruntime", "matplotlib")


def fail_with(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Let `sounds list` fail in a way of our choice."""

    def broken(*arguments: object) -> None:
        raise error

    monkeypatch.setattr("phonotaxis.commands.sounds.emit", broken)


def test_the_commands_are_those_of_the_documents() -> None:
    names = {command.name for command in COMMANDS} | {group.name for group in GROUPS}
    assert names == {
        "demo", "train", "tune", "instruct", "prefer", "evaluate", "tradeoff", "export", "run", "robot", "listen",
        "devices", "hil", "replay", "bench", "scene", "sounds", "doctor",
    }  # fmt: skip


@pytest.mark.parametrize("words", COMMAND_LINES, ids=" ".join)
def test_help_explains_and_shows_an_example(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run([*words, "--help"]) == 0
    text = capsys.readouterr().out
    assert f"Usage: phonotaxis {' '.join(words)}" in text
    assert "Examples" in text
    assert f"phonotaxis {' '.join(words)}" in text.partition("Examples")[2]


@pytest.mark.parametrize("words", COMMAND_LINES, ids=" ".join)
def test_the_options_of_the_examples_exist(
    words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    assert cli.run([*words, "--help"]) == 0
    known = {word.strip("│,") for word in capsys.readouterr().out.partition("Examples")[0].split()}
    for line, meaning in BY_WORDS[words].examples:
        assert meaning
        name, *rest = line.split()
        assert name == "phonotaxis"
        assert tuple(rest[: len(words)]) == words
        assert {word for word in rest if word.startswith("--")} <= known, line


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; from phonotaxis import cli; code = cli.run(['--help']); "
        f"print([name for name in {HEAVY!r} if name in sys.modules], code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[] 0"


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    import phonotaxis

    assert cli.run(["--version"]) == 0
    assert capsys.readouterr().out == f"phonotaxis {phonotaxis.__version__}\n"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["trian"], "Did you mean 'train'?"),
        (["scene", "shwo"], "Did you mean 'show'?"),
        (["train", "--minuts", "3"], "--minutes"),
        (["train", "--minutes", "long"], "Invalid value for '--minutes': Input should be a valid number"),
        (["bench", "sim", "--worlds", "0"], "Input should be greater than or equal to 1"),
        (["doctor", "--job", "dance"], "unknown job 'dance'"),
    ],
)
def test_a_mistyped_command_says_what_is_right(
    words: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(words) in (1, 2)
    streams = capsys.readouterr()
    assert streams.out == ""
    assert expected in streams.err
    assert len(streams.err.splitlines()) <= 2
    assert "Traceback" not in streams.err


def test_an_unknown_scene_is_one_line_and_exit_code_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["scene", "show", "aprtment", "--json"]) == 1
    streams = capsys.readouterr()
    assert streams.out == ""
    assert streams.err.startswith("phonotaxis: unknown scene 'aprtment'; did you mean 'apartment'?")
    assert len(streams.err.splitlines()) == 1


def test_json_is_one_object_in_the_agreed_form(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["scene", "show", "--seed", "3", "--json"]) == 0
    out = capsys.readouterr().out
    assert len(out.splitlines()) == 1
    found = json.loads(out)
    assert list(found) == ["command", "version", "commit", "figures"]
    assert found["command"] == "scene show"
    assert found["figures"]["name"] == {"value": "apartment:3", "unit": "", "interval": None}
    area = found["figures"]["walkable_area"]
    assert area["unit"] == "m2"
    assert 10 < area["value"] < 500


def test_text_is_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["sounds", "list"]) == 0
    assert "telephone" in capsys.readouterr().out


def test_scene_files_are_written_where_asked(tmp_path: Path) -> None:
    png, glb = tmp_path / "flat.png", tmp_path / "flat.glb"
    assert cli.run(["scene", "png", "apartment", "--out", str(png)]) == 0
    assert cli.run(["scene", "export", "apartment", "--out", str(glb)]) == 0
    assert png.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert glb.read_bytes()[:4] == b"glTF"


def test_files_about_a_map_do_not_replace_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import numpy as np
    from PIL import Image

    monkeypatch.chdir(tmp_path)
    Image.fromarray(np.pad(np.full((20, 30), 254, np.uint8), 1)).save("house.png")
    text = "{image: house.png, resolution: 0.1, origin: [0, 0, 0]}"
    Path("house.yaml").write_text(text)
    image = Path("house.png").read_bytes()
    assert cli.run(["scene", "png", "house.yaml"]) == 0
    assert cli.run(["scene", "export", "house.yaml"]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "house-scene.glb", "house-scene.png", "house.png", "house.yaml",
    ]  # fmt: skip
    capsys.readouterr()
    for what, out in (("png", str(tmp_path / "house.png")), ("export", "house.yaml")):
        assert cli.run(["scene", what, "house.yaml", "--out", out]) == 1
        assert "is made of it; give another file by --out" in capsys.readouterr().err
    assert Path("house.png").read_bytes() == image
    assert Path("house.yaml").read_text() == text


def test_a_scene_that_names_its_seed_has_no_other(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["scene", "show", "apartment:3", "--seed", "5"]) == 1
    assert "scene 'apartment:3' names its seed: leave the seed 5 out" in capsys.readouterr().err


def test_one_sound_of_each_kind_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from phonotaxis.envs.sounds import GENERATORS

    assert cli.run(["sounds", "write", "--out", str(tmp_path)]) == 0
    assert {file.stem for file in tmp_path.glob("*.wav")} == set(GENERATORS)
    assert cli.run(["sounds", "check", str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["figures"]["sounds"]["value"] == len(GENERATORS)


def test_a_folder_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["sounds", "check", str(tmp_path / "absent")]) == 1
    assert "absent" in capsys.readouterr().err


def test_a_file_that_is_no_bundle(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    policy = tmp_path / "policy.onnx"
    policy.write_bytes(b"not a policy")
    assert cli.run(["run", str(policy), "--out", str(tmp_path)]) == 1
    assert cli.run(["replay", str(tmp_path / "absent.mcap"), "--policy", str(policy)]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert all("policy.onnx" in line for line in lines)


def test_an_unwritable_place_names_the_file_and_the_remedy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["scene", "png", "--out", str(tmp_path / "absent" / "flat.png")]) == 1
    err = capsys.readouterr().err
    assert "absent" in err
    assert len(err.splitlines()) <= 2


def test_a_defect_is_called_one_and_debug_shows_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fail_with(monkeypatch, ZeroDivisionError("division by zero"))
    assert cli.run(["sounds", "list"]) == EXIT_INTERNAL
    err = capsys.readouterr().err
    assert err.startswith("phonotaxis: internal error: ZeroDivisionError: division by zero\n")
    assert "--debug" in err
    assert "Traceback" not in err
    for words in (["--debug", "sounds", "list"], ["sounds", "list", "--debug"]):
        assert cli.run(words) == EXIT_INTERNAL
        assert "Traceback" in capsys.readouterr().err


def test_ctrl_c_ends_with_130_and_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fail_with(monkeypatch, KeyboardInterrupt())
    assert cli.run(["sounds", "list"]) == 130
    assert capsys.readouterr().err == "phonotaxis: interrupted\n"


def test_ctrl_c_of_a_real_process() -> None:
    code = (
        "import sys, time\nfrom phonotaxis import cli\nfrom phonotaxis.commands import sounds\n"
        "def wait(*a): print('ready', flush=True); time.sleep(60)\n"
        "sounds.emit = wait\nsys.argv = ['phonotaxis', 'sounds', 'list']\ncli.main()"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (130, "phonotaxis: interrupted\n")


def test_a_reader_that_has_gone_is_no_error() -> None:
    command = f"{sys.executable} -m phonotaxis.cli sounds list --json | true; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    # 0 where all was written before the reader went, 1 where typer saw it first, 141 as shells report SIGPIPE
    assert done.stdout.strip() in ("0", "1", "141")
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("error", "text", "code"),
    [
        (ConfigError("robot.yaml: v: required, but absent"), "robot.yaml: v: required, but absent", 1),
        (OSError(28, "No space left on device", "/runs/x"), "/runs/x: No space left on device; free some", 1),
        (PermissionError(13, "Permission denied", "/runs"), "/runs: Permission denied; check who owns it", 1),
        (FileNotFoundError(2, "No such file or directory", b"a\x1bb"), '"a\\u001bb": No such file', 1),
        (ModuleNotFoundError("no torch", name="torch.nn"), "this needs torch, which isn't installed: pip", 1),
        (ModuleNotFoundError("no x", name="xyz"), "internal error: ModuleNotFoundError: no x", 70),
        (MemoryError(), "out of memory", 1),
        (KeyboardInterrupt(), "interrupted", 130),
        (ValueError("two\nlines"), "internal error: ValueError: two lines", 70),
    ],
)
def test_errors_become_words(error: BaseException, text: str, code: int) -> None:
    found, exit_code = describe(error)
    assert found.startswith(text)
    assert exit_code == code


def test_a_reader_that_has_gone_ends_no_run(tmp_path: Path) -> None:
    """`phonotaxis run ... 2>&1 | head -1`: the robot goes on, and so does a training."""
    code = (
        "from phonotaxis.commands.command import say; from phonotaxis.deploy.runtime import _print; import sys, time\n"
        "for number in range(200): say('x' * 1000); _print('y' * 1000)\n"
        "sys.stdout.write('went on')"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stderr is not None
    assert process.stdout is not None
    process.stderr.read(10)
    process.stderr.close()
    assert process.stdout.read() == b"went on"
    process.stdout.close()
    process.wait(60)
