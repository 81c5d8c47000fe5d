"""The README's promises: its Python runs, its commands exist, its links lead somewhere."""

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


@pytest.mark.parametrize("block", PYTHON_BLOCKS, ids=range(len(PYTHON_BLOCKS)))
def test_python_blocks_run(block: str, tmp_path: Path) -> None:
    for long, short in SHORTER.items():
        block = block.replace(long, short)
    environment = {**os.environ, "PYTHONWARNINGS": "ignore", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", block],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    assert done.returncode == 0, done.stderr


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
