"""tools/run_tests.sh: two processes, one verdict. A script stands in for Python."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

PYTHON = """#!/bin/sh
case "$*" in
    *--ignore=*) echo "with devices: $*"; exit {devices} ;;
    *) echo "beside: $*"; exit {beside} ;;
esac
"""


def run(repository: Path, folder: Path, devices: int, beside: int, *flags: str) -> subprocess.CompletedProcess[str]:
    python = folder / "python"
    python.write_text(PYTHON.format(devices=devices, beside=beside))
    python.chmod(0o700)
    command = ["bash", "tools/run_tests.sh", str(python), *flags]
    return subprocess.run(command, cwd=repository, text=True, capture_output=True, timeout=60, check=False)


@pytest.mark.parametrize(
    ("devices", "beside", "code"),
    [(0, 0, 0), (1, 0, 1), (0, 1, 1), (0, 2, 2), (5, 0, 0), (0, 5, 0), (5, 5, 5), (5, 1, 1)],
)
def test_one_verdict(repository: Path, tmp_path: Path, devices: int, beside: int, code: int) -> None:
    done = run(repository, tmp_path, devices, beside, "-k", "name")
    assert done.returncode == code
    with_devices, _, alone = done.stdout.splitlines()
    folders = ("tests/configs", "tests/envs", "tests/policies", "tests/export")
    assert with_devices == f"with devices: -m pytest tests {' '.join(f'--ignore={each}' for each in folders)} -k name"
    assert alone == f"beside: -m pytest {' '.join(folders)} -k name"


def test_files_are_run_alone(repository: Path, tmp_path: Path) -> None:
    done = run(repository, tmp_path, 0, 3, "tests/test_types.py::test_name", "-x")
    assert (done.returncode, done.stdout) == (3, "beside: -m pytest tests/test_types.py::test_name -x\n")
