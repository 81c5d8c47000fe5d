"""`phonotaxis robot`, `run` and `hil` as they are typed."""

from __future__ import annotations

import json
import select
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from phonotaxis import cli
from phonotaxis.commands.hil import FAULT_NAMES
from phonotaxis.configs.robot import load_robot
from phonotaxis.deploy.control import Control, control_path
from phonotaxis.deploy.emergency_stop import EmergencyStop, latch_path
from phonotaxis.deploy.episode_reader import read_episode
from phonotaxis.deploy.guardian import Guardian
from phonotaxis.hil.fault_runs import chosen_faults
from phonotaxis.hil.faults import FAULTS


@pytest.fixture
def places(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder / "run"))


@pytest.fixture
def guardian(places: None, serving: Any, fake_drive: Any) -> Iterator[Guardian]:
    with serving(load_robot("simulated"), fake_drive()) as guardian:
        yield guardian


def robot(capsys: pytest.CaptureFixture[str], request: str) -> tuple[int, str]:
    code = cli.run(["robot", request])
    out, err = capsys.readouterr()
    assert out == ""
    return code, err.strip()


def test_a_person_has_a_hand_on_a_running_robot(guardian: Guardian, capsys: pytest.CaptureFixture[str]) -> None:
    assert robot(capsys, "status") == (0, "disarmed: disarmed")
    assert robot(capsys, "arm") == (0, "armed: the robot may move")
    code, text = robot(capsys, "status")
    assert (code, text.split(":")[0]) == (0, "armed")
    assert robot(capsys, "disarm") == (0, "disarmed")
    assert robot(capsys, "stop") == (0, "emergency stop latched")
    code, text = robot(capsys, "arm")
    assert code == 1
    assert "the emergency stop is latched (a person pressed it)" in text
    assert robot(capsys, "release") == (0, "released; the robot stays disarmed until somebody arms it")
    assert robot(capsys, "arm")[0] == 0


def test_without_a_running_robot_a_stop_holds_for_the_next_run(
    places: None, capsys: pytest.CaptureFixture[str]
) -> None:
    for request in ("arm", "disarm", "status"):
        code, text = robot(capsys, request)
        assert code == 1
        assert "start `phonotaxis run` first" in text
    latch = latch_path(load_robot("simulated"))
    for request, done, reason in (("stop", 1, "a person pressed it"), ("release", 0, "")):
        code, text = robot(capsys, request)
        assert code == done
        assert f"for the next run that looks at {latch}" in text
        assert ("NOTHING WAS STOPPED" in text) == (request == "stop")  # it may run in a container
        assert EmergencyStop(latch).reason == reason


@pytest.mark.parametrize("named", ["simulatd", "rover-elsewhere.yaml", "broken.yaml"])
def test_a_stop_whose_robot_cannot_be_read_stops_whatever_runs(
    named: str, guardian: Guardian, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("broken.yaml").write_text("name: [", encoding="utf-8")
    assert robot(capsys, "arm")[0] == 0
    code = cli.run(["robot", "stop", "--robot", named])
    text = capsys.readouterr().err
    assert code == 1
    assert "whatever runs here was told to stop (simulated" in text
    assert "emergency stop latched" in text
    assert named.removesuffix(".yaml") in text
    assert robot(capsys, "status")[1].startswith("disarmed")


def test_a_stop_whose_robot_cannot_be_read_says_so_where_nothing_runs(
    places: None, capsys: pytest.CaptureFixture[str]
) -> None:
    control_path(load_robot("simulated")).parent.mkdir(parents=True, mode=0o700, exist_ok=True)
    code = cli.run(["robot", "stop", "--robot", "simulatd"])
    text = capsys.readouterr().err
    assert code == 1
    assert "NOTHING WAS STOPPED: no guardian runs here" in text
    assert "simulatd" in text


def test_a_stop_of_a_shadow_fails_in_one_sentence(
    guardian: Guardian, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guardian, "_shadow", True)
    code, text = robot(capsys, "stop")
    assert code == 1
    assert text.count("NOTHING WAS STOPPED: this run is a shadow") == text.count("latched") == 1
    assert EmergencyStop(latch_path(load_robot("simulated"))).reason == "a person pressed it"


def test_a_stop_that_cannot_be_written_down_is_no_stop(
    places: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "/proc")  # nobody can write there
    code, text = robot(capsys, "stop")
    assert code == 1
    assert "can't be written to /proc/" in text
    assert "cut the motors' power" in text


@pytest.mark.parametrize("ends", [False, True])
def test_a_stop_that_a_guardian_does_not_answer_holds_for_the_next_run(
    places: None, ends: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """One that hangs, and one that ends its run before it has read what is asked."""
    chosen = load_robot("simulated")
    control = Control(control_path(chosen))

    def end() -> None:
        select.select(control.sockets(), [], [])
        control.close()

    ending = threading.Thread(target=end)
    if ends:
        ending.start()
    code, text = robot(capsys, "stop")
    if ends:
        ending.join(10)
    control.close()
    assert code == 1
    assert "does not answer" in text
    assert "cut the motors' power" in text
    assert f"for the next run that looks at {latch_path(chosen)}" in text
    assert EmergencyStop(latch_path(chosen)).reason == "a person pressed it"


def test_a_shadow_decides_logs_and_moves_nothing(make_rig: Any) -> None:
    rig = make_rig(eager=9.0)
    rig.command()  # writes the robot's file
    words = ["run", rig.bundle.path, "--robot", rig.folder / "robot.yaml", "--shadow", "--seconds", "2", "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "phonotaxis.cli", *map(str, words), "--out", str(rig.folder / "episodes")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    figures = {name: figure["value"] for name, figure in json.loads(done.stdout)["figures"].items()}
    assert figures["outcome"] == "duration"
    assert figures["steps"] >= 4
    assert figures["armed"] is False
    assert figures["agreement"] == 0.0  # it wants to drive on, the person stands
    assert {step["action_name"] for step in read_episode(rig.episode()).steps()} == {"forward"}
    assert all(fact["v_mps"] == 0.0 for fact in rig.truth("drive"))
    rig.server.join(30)


def test_arm_and_shadow_exclude_each_other(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["run", str(tmp_path / "any.onnx"), "--arm", "--shadow"]) == 1
    assert "choose one" in capsys.readouterr().err


def test_an_unknown_fault_is_told_before_anything_runs(
    repository: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    policy = repository / "tests" / "golden" / "policy.onnx"
    assert cli.run(["hil", str(policy), "--faults", "--only", "camera_forzen", "--out", str(tmp_path)]) == 1
    assert "unknown fault 'camera_forzen'; did you mean 'camera_frozen'?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--only", "camera_gone"], "--only: of --faults alone; add --faults"),
        (["--repeats", "2"], "--repeats: of --faults alone"),
        (
            ["--faults", "--episodes", "3", "--seed", "0"],
            "--episodes and --seed: of episodes alone; leave out --faults",
        ),
        (["--faults", "--seconds", "9"], "--seconds: of episodes alone"),
        (["--sync", "--episodes", "3"], "leave out --sync"),
        (["--faults", "--sync"], "two different things"),
        (["--seconds", "inf"], "Invalid value for '--seconds'"),
    ],
)
def test_options_that_the_loop_would_not_hear_are_refused(
    words: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["hil", str(tmp_path / "any.onnx"), *words]) == 2
    assert said in capsys.readouterr().err


def test_faults_have_names_of_their_own() -> None:
    assert tuple(fault.name for fault in FAULTS) == FAULT_NAMES
    names = [fault.name for fault in FAULTS]
    assert len(set(names)) == len(names)
    assert chosen_faults(()) == list(FAULTS)
    assert [fault.name for fault in chosen_faults(["disk_full", "camera_gone"])] == ["disk_full", "camera_gone"]
