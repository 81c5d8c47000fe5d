from __future__ import annotations

import re
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from phonotaxis.configs.robot import LogConfig, load_robot
from phonotaxis.deploy import guardian_link, log_thread
from phonotaxis.deploy.control import control_path
from phonotaxis.deploy.emergency_stop import latch_path
from phonotaxis.deploy.service import notify
from phonotaxis.export.engines.plan_cache import PlanCache
from phonotaxis.paths import CACHE_VARIABLE


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


def test_a_guardian_that_ends_slowly_is_no_hang_of_the_runtime(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may take ten seconds, of which the service's watchdog would see none."""
    told: list[tuple[str, bool]] = []
    link = object.__new__(guardian_link.GuardianLink)
    monkeypatch.setattr(guardian_link, "notify", lambda word: told.append((word, link._link is None)))
    monkeypatch.setattr(guardian_link, "ALIVE_S", 0.05)
    monkeypatch.setattr(guardian_link, "END_TIMEOUT_S", 0.5)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    folder = SimpleNamespace(cleanup=lambda: None)
    monkeypatch.setattr(link, "_link", ours, raising=False)
    monkeypatch.setattr(link, "_process", process, raising=False)
    monkeypatch.setattr(link, "_folder", folder, raising=False)
    link.close()
    theirs.close()
    assert process.poll() is not None
    assert {word for word, _ in told} == {"WATCHDOG=1"}
    for hung_up in (False, True):  # while its last words are waited for, and while it ends
        assert sum(after == hung_up for _, after in told) >= 3


@pytest.fixture
def unit(repository: Path) -> list[tuple[str, str]]:
    """Return the unit's settings in their order; some stand there more than once."""
    text = (repository / "deploy/jetson/phonotaxis.service").read_text().replace("\\\n", "")
    lines = [line.partition("=") for line in text.splitlines() if line and line[0] not in "#["]
    return [(name, value) for name, _, value in lines]


def environment(unit: list[tuple[str, str]]) -> dict[str, str]:
    words = [word for name, value in unit if name == "Environment" for word in value.split()]
    return dict(word.split("=", 1) for word in words)


def test_what_the_service_writes_lies_in_folders_that_it_is_given(
    unit: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Homes are read-only: a plan that can't be kept there would be built for minutes at every start."""
    told = dict(unit)
    given = [
        Path(root) / told[name]
        for name, root in (
            ("RuntimeDirectory", "/run"),
            ("StateDirectory", "/var/lib"),
            ("CacheDirectory", "/var/cache"),
        )
    ]
    assert {told[f"{name}DirectoryMode"] for name in ("Runtime", "State", "Cache")} == {"0700"}
    monkeypatch.delenv(CACHE_VARIABLE, raising=False)
    for name, value in environment(unit).items():
        monkeypatch.setenv(name, value)
    written = (PlanCache().folder, latch_path(load_robot("simulated")), control_path(load_robot("simulated")))
    assert all(any(folder in path.parents for folder in given) for path in written), written


def test_the_service_may_start_for_as_long_as_a_plan_takes(unit: list[tuple[str, str]]) -> None:
    minutes = dict(unit)["TimeoutStartSec"].removesuffix("min")
    assert int(minutes) > 10  # as the manual says that it may take


def test_the_service_may_stop_for_as_long_as_drive_and_log_take(unit: list[tuple[str, str]]) -> None:
    slow_disk_s = LogConfig().queue_mb  # at 1 MB/s
    needed_s = 2 * guardian_link.END_TIMEOUT_S + slow_disk_s + log_thread.CLOSE_TIMEOUT_S
    assert int(dict(unit)["TimeoutStopSec"]) > needed_s
    for alive_s in (guardian_link.ALIVE_S, log_thread.ALIVE_S):
        assert alive_s < int(dict(unit)["WatchdogSec"]) / 2


def test_the_service_never_gives_up(unit: list[tuple[str, str]]) -> None:
    """Ten starts without microphones were the last; it ran no more when they were plugged in."""
    told = dict(unit)
    assert told["StartLimitIntervalSec"] == "0"
    assert told["Restart"] == "always"
    assert int(told["RestartSec"]) >= 5  # each start loads a policy


def test_the_container_keeps_what_the_service_keeps(repository: Path) -> None:
    text = (repository / "deploy/jetson/Containerfile").read_text()
    homes = dict(re.findall(r"(XDG_\w+)=(\S+)", text))
    (made,) = re.findall(r"install -d .*-m 700 (.*) \\?\n", text) or re.findall(r"install -d .*-m 700 (.*)", text)
    manual = (repository / "deploy/jetson/README.md").read_text()
    for folder in (homes["XDG_STATE_HOME"], homes["XDG_CACHE_HOME"], "/episodes"):
        assert folder in made.split()
        assert re.search(rf"-v phonotaxis-\w+:{folder}\b", manual)


def test_the_unit_runs_a_command_that_there_is(unit: list[tuple[str, str]]) -> None:
    words = dict(unit)["ExecStart"].split()
    assert words[1] == "run"
    assert "--arm" not in words  # a service never arms
    help_text = subprocess.run(
        [sys.executable, "-m", "phonotaxis.cli", "run", "--help"],
        capture_output=True, text=True, check=True, env={"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"},
    ).stdout  # fmt: skip
    for word in words:
        if word.startswith("--"):
            assert word in help_text
    assert dict(unit)["Type"] == "notify"
