"""tools/setup_venv.sh on machines we don't have: scripts that log their calls stand in for programs."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

# Stands in for python3 and for .venv/bin/python. $BENCH holds the log and what the machine is like.
PYTHON = """#!/bin/bash
echo "python $*" >> "$BENCH/log"
case "$*" in
  *version_info*"(3, 10)"*) [ ! -f "$BENCH/old" ] ;;
  *sys.prefix*) echo "$PWD/.venv $(cat "$BENCH/version")" ;;
  *version_info*) cat "$BENCH/version" ;;
  *"import ensurepip, venv"*) [ -f "$BENCH/has-venv" ] ;;
  "-m venv .venv") mkdir -p .venv/bin && cp "$0" .venv/bin/python ;;
  *"-m pip"*) if [ -f "$BENCH/offline" ]; then echo "ERROR: no index" >&2; exit 1; fi ;;
  *urlopen*) exit 1 ;;
esac
"""
APT = """#!/bin/bash
echo "apt-get $*" >> "$BENCH/log"
case "$*" in *install*) touch "$BENCH/has-venv" ;; esac
"""
SUDO = "#!/bin/bash\nexit 1\n"
ID = '#!/bin/bash\ncat "$BENCH/uid"\n'

Setup = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def machine(tmp_path: Path, repository: Path) -> Path:
    """Make a checkout and a machine with Python 3.11.2 that has the venv module, used by root."""
    checkout, programs, bench = tmp_path / "checkout", tmp_path / "bin", tmp_path / "bench"
    for folder in (checkout / "tools", programs, bench):
        folder.mkdir(parents=True)
    shutil.copy(repository / "tools/setup_venv.sh", checkout / "tools")
    (checkout / "pyproject.toml").write_text("one\n")
    for name, text in {"python3": PYTHON, "apt-get": APT, "sudo": SUDO, "id": ID}.items():
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    (bench / "version").write_text("3.11.2\n")
    (bench / "uid").write_text("0\n")
    (bench / "has-venv").touch()
    return tmp_path


@pytest.fixture
def setup(machine: Path) -> Setup:
    """Return a function that runs the set-up and empties the log before."""

    def run(extra: str = "dev", **variables: str) -> subprocess.CompletedProcess[str]:
        (machine / "bench/log").write_text("")
        return subprocess.run(
            ["bash", "tools/setup_venv.sh", extra],
            cwd=machine / "checkout",
            env={"PATH": f"{machine}/bin:{os.environ['PATH']}", "BENCH": str(machine / "bench"), **variables},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def log(machine: Path) -> str:
    return (machine / "bench/log").read_text()


def test_the_first_time_it_installs_and_says_so(machine: Path, setup: Setup) -> None:
    done = setup(PIP_FLAGS="--index-url https://example.org/simple")
    assert done.returncode == 0, done.stderr
    assert "python -m venv .venv" in log(machine)
    assert "--index-url https://example.org/simple --editable .[dev]" in log(machine)
    assert "apt-get" not in log(machine)
    assert "set-up: done in" in done.stderr


def test_the_second_time_it_does_nothing(machine: Path, setup: Setup) -> None:
    setup()
    for extra in ("dev", "train"):
        done = setup(extra)
        assert (done.returncode, done.stderr) == (0, "")
        assert "pip" not in log(machine)


def test_more_is_installed_when_more_is_needed(machine: Path, setup: Setup) -> None:
    setup("train")
    setup("dev")
    assert ".[dev]" in log(machine)
    assert "-m venv" not in log(machine)


def test_changed_requirements_are_installed_into_the_same_environment(machine: Path, setup: Setup) -> None:
    setup()
    (machine / "checkout/pyproject.toml").write_text("two\n")
    setup()
    assert ".[dev]" in log(machine)
    assert "-m venv" not in log(machine)


def test_another_interpreter_gets_a_new_environment(machine: Path, setup: Setup) -> None:
    setup()
    (machine / "bench/version").write_text("3.12.1\n")
    (machine / "checkout/.venv/planted").touch()
    done = setup()
    assert "replacing .venv" in done.stderr
    assert not (machine / "checkout/.venv/planted").exists()


def test_a_copied_checkout_never_uses_the_code_of_the_first(machine: Path, setup: Setup) -> None:
    setup()
    (machine / "checkout").rename(machine / "first")
    shutil.copytree(machine / "first", machine / "checkout2")
    (machine / "checkout2").rename(machine / "checkout")
    stamp = machine / "checkout/.venv/phonotaxis-setup"
    stamp.write_text(stamp.read_text().replace(f"{machine}/checkout", f"{machine}/first"))
    done = setup()
    assert "replacing .venv" in done.stderr
    assert ".[dev]" in log(machine)


def test_root_gets_the_venv_module_installed(machine: Path, setup: Setup) -> None:
    (machine / "bench/has-venv").unlink()
    done = setup()
    assert done.returncode == 0, done.stderr
    assert "install -y -qq --no-install-recommends python3.11-venv" in log(machine)


def test_a_user_without_rights_is_told_what_to_type(machine: Path, setup: Setup) -> None:
    (machine / "bench/has-venv").unlink()
    (machine / "bench/uid").write_text("1000\n")
    done = setup()
    assert done.returncode == 1
    assert done.stderr.endswith("sudo apt-get install python3.11-venv\n")
    assert "apt-get" not in log(machine)


def test_an_old_python_is_refused(machine: Path, setup: Setup) -> None:
    (machine / "bench/version").write_text("3.9.2\n")
    (machine / "bench/old").touch()
    done = setup()
    assert done.returncode == 1
    assert "python3 is Python 3.9.2, phonotaxis needs 3.10 or newer: make PYTHON=" in done.stderr


def test_a_python_that_is_not_there(machine: Path, setup: Setup) -> None:
    done = setup(PYTHON="python3.99")
    assert done.returncode == 1
    assert "'python3.99' not found: install Python 3.10" in done.stderr


def test_a_failed_installation_is_tried_again(machine: Path, setup: Setup) -> None:
    (machine / "bench/offline").touch()
    done = setup()
    assert done.returncode == 1
    assert "ERROR: no index" in done.stderr
    assert "pip failed; the whole log is .venv/phonotaxis-setup.log" in done.stderr
    (machine / "bench/offline").unlink()
    assert setup().returncode == 0
    assert ".[dev]" in log(machine)
