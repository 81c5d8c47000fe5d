"""The README's promises, and some of the documents': Python runs, commands exist, links lead somewhere."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from phonotaxis import cli
from phonotaxis.commands import COMMANDS, GROUPS

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()
PYTHON_BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
SHELL_LINES = [
    line.partition("#")[0].strip()
    for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    for line in block.splitlines()
]
# Long enough to learn for is too long for a test: one rollout and one update show that the lines work.
SHORTER = {
    "n_steps=256": "n_steps=16, batch_size=16, n_epochs=1",
    "total_timesteps=100_000": "total_timesteps=16",
}


def test_the_readme_has_the_blocks_it_is_tested_for() -> None:
    assert len(PYTHON_BLOCKS) >= 3
    assert all(any(long in block for block in PYTHON_BLOCKS) for long in SHORTER)
    assert sum(line.startswith("phonotaxis ") for line in SHELL_LINES) >= 8


def blocks_of(document: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (ROOT / "docs" / document).read_text(encoding="utf-8"), re.DOTALL)


def run(folder: Path, *arguments: str) -> str:
    environment = {**os.environ, "PYTHONWARNINGS": "ignore", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("block", PYTHON_BLOCKS, ids=range(len(PYTHON_BLOCKS)))
def test_python_blocks_run(block: str, tmp_path: Path) -> None:
    for long, short in SHORTER.items():
        block = block.replace(long, short)
    run(tmp_path, "-c", block)


def test_a_model_of_ones_own_is_measured_as_the_document_says(tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(
        "{name: tiny-v1, like: audiogoal-v1, train: {scene_count: 1, instances_per_kind: 1}, "
        "validation: {scene_count: 1, instances_per_kind: 1}, task: {max_steps: 3, response_s: 0.05, "
        "min_distance_m: 1.5, sources_per_scene: 1, scenes: {source: empty_room}}}"
    )
    (block,) = blocks_of("benchmark.md")
    smaller = {
        '"audiogoal-v1"': '"tiny.yaml"',
        "policy_kwargs=": "n_steps=4, batch_size=4, n_epochs=1, policy_kwargs=",
        "1_000_000": "4",
        '"validation")': '"validation", episodes=2, threads=1)',
    }
    for long, short in smaller.items():
        assert block.count(long) == 1
        block = block.replace(long, short)
    assert re.fullmatch(r"(-?\d\.\d\d \[-?\d\.\d\d, -?\d\.\d\d\] ?){2}\n", run(tmp_path, "-c", block))


def test_a_scene_source_of_ones_own_is_known_in_python_and_on_the_command_line(tmp_path: Path) -> None:
    source, script = blocks_of("scenes.md")
    (tmp_path / "ward.py").write_text(source)
    (tmp_path / "mine.py").write_text(script)
    ask = """
import ward, phonotaxis.envs.gym as gym
env = gym.AudioGoalEnv(scenes={"source": "ward", "options": {"rooms": 2}}, response_s=0.05, sources_per_scene=1)
names = set()
for seed in range(6):
    env.reset(seed=seed)
    names.add(env.world.library.scenes[env.world.episodes[0].scene].name)
assert len(names) > 1, names
"""
    run(tmp_path, "-c", ask)
    assert '"rooms"' in run(tmp_path, "mine.py", "scene", "show", "ward", "--seed", "3", "--json")


@pytest.mark.parametrize("line", [line for line in SHELL_LINES if line.startswith("phonotaxis ")])
def test_command_lines_can_be_typed(
    line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every command and option of a line exists, as its help says."""
    monkeypatch.setenv("COLUMNS", "160")
    groups = {group.name for group in GROUPS}
    words = shlex.split(line)[1:]
    command = words[: 2 if words[0] in groups else 1]
    assert cli.run([*command, "--help"]) == 0
    known = {word.strip("│,") for word in capsys.readouterr().out.split()}
    assert {word for word in words if word.startswith("--")} <= known


def test_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = [line.split()[1] for line in SHELL_LINES if line.startswith("make ")]
    assert targets
    for target in targets:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)


def test_the_table_lists_every_command() -> None:
    table = README.partition("## Commands")[2].partition("Each has")[0]
    for command in COMMANDS:
        assert f"`{command.name}`" in table
    for group in GROUPS:
        row = next(row for row in table.splitlines() if row.startswith(f"| `{group.name} "))
        assert {inner.name for inner in group.commands} == set(re.findall(r"[a-z]+", row.split("|")[1])) - {group.name}


@pytest.mark.parametrize("document", ["README.md", "docs/architecture.md", "CHANGELOG.md"])
def test_links_lead_somewhere(document: str) -> None:
    path = ROOT / document
    links = re.findall(r"\]\(([^)#]+)\)", path.read_text())
    assert links
    missing = [link for link in links if "://" not in link and not (path.parent / link).exists()]
    assert missing == []
