from __future__ import annotations

import configparser
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from phonotaxis.deploy.service import notify


def test_the_service_manager_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(folder / "notify"))
        manager.settimeout(2.0)
        monkeypatch.setenv("NOTIFY_SOCKET", str(folder / "notify"))
        notify("WATCHDOG=1")
        assert manager.recv(100) == b"WATCHDOG=1"
    notify("WATCHDOG=1")  # it has gone: nothing happens
    monkeypatch.delenv("NOTIFY_SOCKET")
    notify("READY=1")


def test_the_unit_runs_a_command_that_there_is(repository: Path) -> None:
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read_string((repository / "deploy/jetson/phonotaxis.service").read_text().replace("\\\n", ""))
    words = unit["Service"]["ExecStart"].split()
    assert words[1] == "run"
    assert "--arm" not in words  # a service never arms
    help_text = subprocess.run(
        [sys.executable, "-m", "phonotaxis.cli", "run", "--help"],
        capture_output=True, text=True, check=True, env={"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"},
    ).stdout  # fmt: skip
    for word in words:
        if word.startswith("--"):
            assert word in help_text
    assert unit["Service"]["Type"] == "notify"
