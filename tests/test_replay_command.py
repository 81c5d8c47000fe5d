"""`phonotaxis replay` as it is typed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from phonotaxis import cli
from phonotaxis.deploy import messages, tamper
from phonotaxis.deploy.episode_reader import read_episode
from phonotaxis.deploy.records import Message
from phonotaxis.deploy.recover import rewrite


@pytest.fixture
def folder(repository: Path, tmp_path: Path) -> Path:
    """Lay out a run as `demo` does: the policy above its episodes."""
    golden = repository / "tests" / "golden"
    (tmp_path / "episodes").mkdir()
    shutil.copy(golden / "policy.onnx", tmp_path / "policy.onnx")
    shutil.copy(golden / "robot.mcap", tmp_path / "episodes" / "robot.mcap")
    return tmp_path


def typed(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, dict[str, Any], str]:
    code = cli.run(["replay", *map(str, words), "--json"])
    out, err = capsys.readouterr()
    figures = json.loads(out)["figures"] if out.strip() else {}
    return code, {name: figure["value"] for name, figure in figures.items()}, err


def test_without_options_it_says_what_the_file_holds(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, figures, _ = typed(capsys, folder / "episodes/robot.mcap")
    assert code == 0
    assert figures["steps"] == len(read_episode(folder / "episodes/robot.mcap").steps())
    assert figures["robot"] == "simulated"
    assert "right" in figures["actions"]
    assert "agrees" not in figures


def test_check_finds_the_policy_beside_the_episode(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, figures, err = typed(capsys, folder / "episodes/robot.mcap", "--check")
    assert code == 0, err
    assert figures["agrees"]
    for stage in ("observation", "policy", "safety"):
        assert figures[f"{stage}_compared"] > 10
        assert figures[f"{stage}_differing"] == 0
        assert f"{stage}: " in err


def test_check_without_its_policy_says_what_to_do(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "policy.onnx").unlink()
    code, _, err = typed(capsys, folder / "episodes/robot.mcap", "--check")
    assert code == 1
    assert "give the bundle that ran with --policy" in err


def test_a_tampered_episode_ends_with_1_and_names_the_step(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tamper.alter_sample(folder / "episodes/robot.mcap", folder / "altered.mcap", 7)
    code, figures, err = typed(capsys, folder / "altered.mcap", "--policy", folder / "policy.onnx")
    assert code == 1
    assert figures["first_difference"].startswith("step 7: logits")
    assert "step 7: logits differs" in err


def test_another_policy_is_asked(folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """The same network with its actions' weights turned over: sealed anew, it is another policy."""
    import onnx
    from onnx import numpy_helper

    from phonotaxis.export.bundle import read_bundle, seal, write_bundle

    bundle = read_bundle(folder / "policy.onnx")
    model = onnx.load_from_string(bundle.data)
    del model.metadata_props[:]
    (last,) = [weight for weight in model.graph.initializer if weight.name == "weight.heads.action.2.bias"]
    turned = numpy_helper.to_array(last).copy()
    turned[2] += 100.0  # left, always
    last.CopyFrom(numpy_helper.from_array(turned, last.name))
    write_bundle(tmp_path / "left.onnx", seal(model.SerializeToString(), bundle.contract, {}))
    episode, page = folder / "episodes/robot.mcap", tmp_path / "page.html"
    code, figures, err = typed(capsys, episode, "--policy", tmp_path / "left.onnx", "--report", page)
    assert code == 0, err
    assert figures["agrees"]  # the one that ran lies beside the episode
    lefts = [step["action_name"] for step in read_episode(episode).steps()].count("left")
    assert figures["other_agreement"] == pytest.approx(100 * lefts / figures["other_steps"])
    assert figures["other_first_parting_step"] == 0
    assert "-> left" in err
    assert "What the other policy would have done" in page.read_text()
    code, _, err = typed(capsys, episode, "--policy", tmp_path / "left.onnx", "--check")
    assert code == 0, err  # found beside it all the same
    (folder / "policy.onnx").unlink()
    code, _, err = typed(capsys, episode, "--policy", tmp_path / "left.onnx", "--check")
    assert code == 1
    assert "isn't beside it" in err


def test_a_torn_file_is_mended(folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    from phonotaxis.deploy.recover import recover

    recover(folder / "episodes/robot.mcap", tmp_path / "plain.mcap")  # as a robot writes it, without chunks
    data = (tmp_path / "plain.mcap").read_bytes()
    (tmp_path / "torn.mcap").write_bytes(data[: len(data) // 2])
    code, figures, err = typed(capsys, tmp_path / "torn.mcap", "--recover", tmp_path / "mended.mcap")
    assert code == 0, err
    assert "not closed in order" in err
    assert figures["recovered_steps"] == figures["steps"] > 5
    code, figures, err = typed(capsys, tmp_path / "mended.mcap", "--check", "--policy", folder / "policy.onnx")
    assert code == 0, err
    assert figures["agrees"]


def test_conversions_are_commands(folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, figures, err = typed(capsys, folder / "episodes/robot.mcap", "--lerobot", tmp_path / "set")
    assert code == 0, err
    assert figures["lerobot_frames"] == figures["steps"]
    assert (tmp_path / "set/meta/info.json").exists()


@pytest.mark.parametrize(("words", "what"), [
    (["absent.mcap"], "absent.mcap: can't be read"),
    (["--from", "99", "--report", "page.html"], "nothing lies between 99"),
])  # fmt: skip
def test_errors_are_words(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, words: list[str], what: str
) -> None:
    monkeypatch.chdir(folder)
    episode = [] if words[0].endswith(".mcap") else ["episodes/robot.mcap"]
    code, _, err = typed(capsys, *episode, *words)
    assert code == 1
    assert what in err
    assert "Traceback" not in err


def test_the_help_teaches(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["replay", "--help"]) == 0
    text = capsys.readouterr().out
    for word in ("--check", "--policy", "--report", "--recover", "--rerun", "--lerobot", "Examples", "Foxglove"):
        assert word in text


def test_the_summary_loads_nothing_heavy(folder: Path) -> None:
    import subprocess
    import sys

    code = (
        "import sys; from phonotaxis import cli; code = cli.run(sys.argv[1:]);"
        "heavy = [m for m in ('torch', 'numba', 'gymnasium', 'scipy', 'matplotlib', 'pyarrow') if m in sys.modules];"
        "sys.exit(code or (f'loaded {heavy}' if heavy else 0))"
    )
    report = ["--check", "--report", str(folder / "page.html")]
    done = subprocess.run(
        [sys.executable, "-c", code, "replay", str(folder / "episodes/robot.mcap"), *report],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_what_a_stranger_wrote_commands_no_terminal_and_is_no_defect(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    episode = read_episode(folder / "episodes/robot.mcap")
    said = messages.health_dict(1, "error", "\x1b[2J", "gone \x1b]0;title\x07 \u202e", {})

    def copy(name: str, fields: dict[str, Any]) -> Path:
        message = Message(messages.HEALTH_TOPIC, 1, 1, 0, messages.encode_json(fields))
        rewrite(episode, folder / name, lambda found: [*found, message])
        return folder / name

    assert cli.run(["replay", str(copy("escape.mcap", said))]) == 0
    out, err = capsys.readouterr()
    assert "\\x1b[2J: gone \\x1b]0;title\\x07 \\u202e\n" in err
    assert all(c.isprintable() or c == "\n" for c in out + err)
    del said["level"]
    assert cli.run(["replay", str(copy("odd.mcap", said))]) == 1
    assert "can't be used (KeyError('level')); use another copy" in capsys.readouterr().err
