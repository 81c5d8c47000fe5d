"""The doctor: what is missing for which job is said with the command that mends it."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import sys
from pathlib import Path

import pytest

from phonotaxis import cli, doctor, requirements
from phonotaxis.configs.base import ConfigError
from phonotaxis.requirements import State


def replace_state(monkeypatch: pytest.MonkeyPatch, name: str, installed: str | None, fits: bool) -> None:
    """Let one distribution look as if it were missing or of another version."""
    real = requirements.states

    def states(extra: str = "") -> list[State]:
        return [
            State(state.name, state.wanted, installed, fits) if state.name == name else state for state in real(extra)
        ]

    monkeypatch.setattr(doctor, "states", states)


def test_this_environment_can_train_and_drive() -> None:
    report = doctor.examine()
    assert set(report.jobs) == {"train", "robot", "bench", "dev", "devices"}
    assert report.jobs["train"].problems == ()
    assert report.jobs["train"].remedy == ""
    assert report.jobs["robot"].ready
    assert report.jobs["devices"].problems == ()
    assert report.facts["cores"].value >= 1
    assert "CPU" in report.facts["engines"].value


def test_a_missing_package_is_named_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    replace_state(monkeypatch, "torch", None, False)
    report = doctor.examine(import_packages=False)
    assert report.jobs["train"].problems == ("torch is missing",)
    assert report.jobs["train"].remedy.startswith("pip install ")
    assert report.jobs["train"].remedy.endswith("[train]'")
    assert report.jobs["robot"].ready


def test_a_wrong_version_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    replace_state(monkeypatch, "onnxruntime", "1.2.0", False)
    report = doctor.examine(import_packages=False)
    for job in ("train", "robot"):
        assert report.jobs[job].problems == ("onnxruntime 1.2.0 is installed, >=1.19 is needed",)


def test_what_is_installed_but_broken_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "failed_imports", lambda modules: {"soundfile": "OSError: no libsndfile"})
    problems = doctor.examine().jobs["train"].problems
    assert len(problems) == 1
    assert problems[0].startswith("soundfile ")
    assert problems[0].endswith("can't be imported (OSError: no libsndfile)")


@pytest.mark.parametrize(
    ("installed", "said"), [(None, "pyaudio is missing"), ("0.2.11", "pyaudio 0.2.11 is installed, >=0.2.13 is needed")]
)
def test_devices_are_judged_by_version_like_other_jobs(
    monkeypatch: pytest.MonkeyPatch, installed: str | None, said: str
) -> None:
    """JetPack 6 brings a PyAudio that is too old, and an older environment has no soxr."""
    replace_state(monkeypatch, "pyaudio", installed, False)
    job = doctor.examine(import_packages=False).jobs["devices"]
    assert job.problems == (said,)
    assert job.remedy.startswith("sudo apt-get install portaudio19-dev && pip install ")
    assert job.remedy.endswith("[devices]'")
    replace_state(monkeypatch, "soxr", None, False)
    assert doctor.examine(import_packages=False).jobs["devices"].problems == ("soxr is missing",)


def test_a_gstreamer_without_its_introspection_data_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "failed_imports", lambda modules: {})
    monkeypatch.setattr(doctor, "_TYPELIBS", ("Gst", "NoSuchLibrary"))
    job = doctor.examine().jobs["devices"]
    assert len(job.problems) == 1
    assert job.problems[0].startswith("GStreamer can't be loaded (ValueError: Namespace NoSuchLibrary not available")
    assert job.remedy == "sudo apt-get install gir1.2-gstreamer-1.0 gir1.2-gst-plugins-base-1.0"


def test_imports_are_tried_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "planted_bad.py").write_text("raise OSError('no library')\n")
    (tmp_path / "planted_good.py").write_text("")
    (tmp_path / "planted_crash.py").write_text("import os\nos.abort()\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    found = doctor.failed_imports(["planted_good", "planted_bad", "absent_module", "json"])
    assert set(found) == {"planted_bad", "absent_module"}
    assert found["planted_bad"] == "OSError: no library"
    crashed = doctor.failed_imports(["planted_good", "planted_crash", "json"])
    assert set(crashed) == {"planted_crash", "json"}  # what comes after a crash is not known to work
    assert crashed["planted_crash"] == "the process ended with -6"


def test_the_job_asked_for_decides_the_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    replace_state(monkeypatch, "torch", None, False)
    assert cli.run(["doctor", "--quick"]) == 0
    assert "torch is missing" in capsys.readouterr().out
    assert cli.run(["doctor", "--quick", "--job", "robot"]) == 0
    capsys.readouterr()
    assert cli.run(["doctor", "--quick", "--job", "train", "--json"]) == 1
    figures = json.loads(capsys.readouterr().out)["figures"]
    assert figures["train_ready"]["value"] is False
    assert figures["train_problems"]["value"] == "torch is missing"
    assert figures["robot_ready"]["value"] is True
    assert figures["python"]["value"] == ".".join(map(str, sys.version_info[:3]))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--wheels-lifted"], "name it with --robot"),
        (["--policy", "policy.onnx"], "name it with --robot"),
        (["--robot", "simulated", "--job", "robot"], "ask one at a time"),
        (["--robot", "simulated", "--quick"], "ask one at a time"),
    ],
)
def test_what_would_go_unheard_is_refused(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["doctor", *words]) == 2
    assert said in capsys.readouterr().err


def test_an_unknown_job_is_refused() -> None:
    with pytest.raises(ConfigError, match="unknown job 'trian'; did you mean 'train'"):
        doctor.known_job("trian")


def test_what_is_missing_is_gathered_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    missing = ("torch is missing", "onnx 1.0 is installed, >=1.17 is needed", "numba is missing")
    job = doctor.Job("train", "train", missing, "pip install x")
    doctor.print_report(doctor.Report({}, {"train": job}))
    lines = [line.strip() for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert lines == [
        "missing train   train",
        "- torch, numba are missing",
        "- onnx 1.0 is installed, >=1.17 is needed",
        "mend it: pip install x",
    ]


def test_every_extra_of_the_package_is_known() -> None:
    """A package that a command lacks is told with the extra that brings it, where the extra is known."""
    declared = importlib.metadata.metadata(requirements.PACKAGE).get_all("Provides-Extra") or []
    assert set(requirements.EXTRAS) == set(declared)
    assert requirements.extra_of_module("cryptography.exceptions") == "sign"
    assert requirements.extra_of_module("h5py") == "sofa"


def test_it_does_not_promise_habitat() -> None:
    """Its scenes are no source yet, whether it is installed or not."""
    from phonotaxis.envs import scenes

    told = doctor.examine(import_packages=False).facts["habitat_sim"].value
    assert isinstance(told, str)
    assert told.endswith("its scenes can't be read yet")
    assert ("not installed" in told) is (importlib.util.find_spec("habitat_sim") is None)
    assert not any("habitat" in source.name for source in scenes.sources())
