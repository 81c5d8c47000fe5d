"""Figures: strict JSON in a stable form, and the caches' place."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from phonotaxis import figures, paths
from phonotaxis.figures import Figure


def test_a_document_is_strict_json_whatever_is_measured() -> None:
    found = figures.document(
        "bench sim",
        {
            "steps_per_s": Figure(np.float32(0.5), "1/s", (0.25, math.inf)),
            "nothing": Figure(math.nan, "m"),
            "count": Figure(np.int64(3)),
            "agrees": Figure(True),
            "word": Figure("goal_reached"),
        },
    )
    text = json.dumps(found, allow_nan=False)
    values = {name: figure["value"] for name, figure in json.loads(text)["figures"].items()}
    assert values == {"steps_per_s": 0.5, "nothing": None, "count": 3, "agrees": True, "word": "goal_reached"}
    assert found["figures"]["steps_per_s"]["interval"] == [0.25, None]
    assert found["figures"]["agrees"]["value"] is True


@pytest.mark.parametrize("name", ["Steps", "steps-per-s", "steps per s", "_x", "x__y", "2d", "", "a.", "a.b.c", ".b"])
def test_a_name_that_is_not_snake_case_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="snake_case"):
        figures.document("x", {name: Figure(1)})


def test_a_name_may_say_whose_figure_it_is() -> None:
    assert "learnt.spl_over_follower" in figures.document("x", {"learnt.spl_over_follower": Figure(1)})["figures"]


def test_the_commit_is_that_of_the_checkout(repository: Path) -> None:
    if not (repository / ".git").exists():
        assert figures.commit() is None
        return
    head = subprocess.run(
        ["git", "-C", str(repository), "rev-parse", "HEAD"], capture_output=True, text=True, check=True
    ).stdout.strip()
    assert (figures.commit() or "").removesuffix("-dirty") == head


def test_the_commit_of_an_installed_package_is_unknown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(figures, "__file__", str(tmp_path / "phonotaxis" / "figures.py"))
    assert figures.commit() is None


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.12345678, "0.1235"), (123456.7, "123457"), (True, "yes"), (None, "–"), (math.nan, "–"), (7, "7")],
)
def test_values_for_people(value: figures.Value, text: str) -> None:
    assert figures.readable(value) == text


def test_a_table_shows_value_unit_and_interval(capsys: pytest.CaptureFixture[str]) -> None:
    figures.emit("evaluate", {"success": Figure(71.5, "%", (65.0, 77.5))}, as_json=False)
    assert capsys.readouterr().out.split() == ["success", "71.5", "%", "[65,", "77.5]"]


def test_the_cache_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("PHONOTAXIS_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert paths.cache_dir() == tmp_path / ".cache" / "phonotaxis"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert paths.cache_dir() == tmp_path / "xdg" / "phonotaxis"
    monkeypatch.setenv("PHONOTAXIS_CACHE", str(tmp_path / "own"))
    assert paths.cache_dir() == tmp_path / "own"


def test_kernels_of_other_sources_are_cached_elsewhere(tmp_path: Path) -> None:
    kernel, other = tmp_path / "kernel.py", tmp_path / "other.py"
    constants = tmp_path.parent / "constants.py"
    kernel.write_text("from phonotaxis.constants import ONE\n@njit\ndef f(): return ONE\n")
    other.write_text("x = 1\n")
    constants.write_text("ONE = 1\n")
    before = paths.kernel_digest([tmp_path])
    other.write_text("x = 2\n")
    assert paths.kernel_digest([tmp_path]) == before
    constants.write_text("ONE = 2\n")
    changed = paths.kernel_digest([tmp_path])
    assert changed != before
    kernel.write_text("from phonotaxis.constants import ONE\n@njit\ndef f(): return -ONE\n")
    assert paths.kernel_digest([tmp_path]) != changed


def test_the_kernels_of_this_checkout_are_found(repository: Path) -> None:
    assert paths.source_roots() == (repository / "envs", repository / "policies")
    assert paths.kernel_digest(paths.source_roots()) != paths.kernel_digest([])


def test_importing_phonotaxis_points_numba_at_the_users_cache(tmp_path: Path) -> None:
    code = "import phonotaxis, os; print(os.environ['NUMBA_CACHE_DIR'])"
    environment = {name: value for name, value in os.environ.items() if name != "NUMBA_CACHE_DIR"}
    environment["PHONOTAXIS_CACHE"] = str(tmp_path)

    def where(**more: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={**environment, **more},
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.strip()

    assert where().startswith(f"{tmp_path}/numba/")
    assert where(NUMBA_CACHE_DIR="/elsewhere") == "/elsewhere"
