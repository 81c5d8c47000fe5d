"""The benchmark as a whole: its table, what is judged over parts, and the command that prints it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from phonotaxis import cli
from phonotaxis.commands.bench import figures_of
from phonotaxis.envs.truth import Progress, ReferenceMissing, Row, quiet, suite
from phonotaxis.envs.truth.plot import write_plot

SHOEBOX = (
    Row("rt60_error_median_shoebox", 2.0, "%", 4.0, 1.5, "", tuple(np.linspace(0.0, 4.0, 41))),
    Row("rt60_error_p90_shoebox", 3.6, "%", 8.0, 5.0),
    Row("level_std_db_shoebox", 1.0, "dB", 0.8, None, "", (-1.0, 1.0)),
)
APARTMENTS = (
    Row("rt60_error_median_apartments", 12.0, "%", 4.0, 13.0, "", tuple(np.linspace(10.0, 14.0, 41))),
    Row("rt60_error_p90_apartments", 13.6, "%", 8.0, 6.0),
    Row("level_std_db_in_sight", 0.0, "dB", 0.8, 0.1, "", (2.0, 2.0)),
)


@pytest.fixture
def parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put two quick parts in the place of the real ones, and one whose reference is missing."""

    def shoebox(progress: Progress) -> list[Row]:
        progress(0.5, "half")
        return list(SHOEBOX)

    def missing(progress: Progress) -> list[Row]:
        raise ReferenceMissing("needs a reference; pip install it")

    runners = {"shoebox": shoebox, "apartments": lambda progress: list(APARTMENTS), "absent": missing}
    monkeypatch.setattr(suite, "PARTS", tuple(suite.Part(name, name, 1.0) for name in runners))
    monkeypatch.setattr(suite, "_runner", lambda part: runners[part.name])


def test_no_goal_is_below_the_reference_itself() -> None:
    assert Row("x", 5.0, "%", 4.0).met is False
    assert Row("x", 5.0, "%", 4.0, 5.5).met is True
    assert Row("x", 5.0, "%", 4.0, 3.0).met is False
    assert Row("x", -3.0, "dB", 4.0).met is True
    assert Row("x", -5.0, "dB", 4.0).met is False
    assert Row("x", float("nan"), "dB", 4.0).met is False
    assert Row("x", 5.0, "%").met is None


@pytest.mark.usefixtures("parts")
def test_parts_are_run_and_judged_together() -> None:
    told: list[float] = []

    def listen(share: float, note: str = "") -> None:
        told.append(share)

    rows, missing = suite.run((), listen)
    by_name = {row.name: row for row in rows}
    assert missing == ["absent: needs a reference; pip install it"]
    assert by_name["rt60_error_median"].value == pytest.approx(7.0)
    assert by_name["rt60_error_median"].reference_own == 13.0
    assert by_name["rt60_error_p90"].value == pytest.approx(13.2, abs=0.1)
    assert by_name["level_std_db"].value == pytest.approx(np.std([-1.0, 1.0, 2.0, 2.0]))
    assert "offset +1.00 dB" in by_name["level_std_db"].note
    assert len(rows) == 9
    assert told == sorted(told)
    assert max(told) <= 1.0


@pytest.mark.usefixtures("parts")
def test_one_part_alone() -> None:
    assert [row.name for row in suite.run(["shoebox"], quiet).rows][3:] == [row.name for row in SHOEBOX]
    with pytest.raises(ReferenceMissing, match="pip install it"):
        suite.run(["absent"], quiet)
    with pytest.raises(suite.UnknownPart, match="did you mean 'shoebox'"):
        suite.run(["shoebocks"], quiet)


def test_every_part_is_there_to_be_run() -> None:
    for part in suite.PARTS:
        assert callable(suite._runner(part)), part.name


def test_rows_become_figures() -> None:
    figures = figures_of(SHOEBOX)
    assert figures["rt60_error_median_shoebox"].value == 2.0
    assert figures["rt60_error_median_shoebox_goal"].value == 4.0
    assert figures["rt60_error_median_shoebox_reference_own"].unit == "%"
    assert "level_std_db_shoebox_reference_own" not in figures


@pytest.mark.usefixtures("parts")
def test_the_command_prints_and_draws(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = tmp_path / "truth.png"
    command: Sequence[str] = ["bench", "acoustics", "--only", "shoebox", "--only", "absent"]
    assert cli.run([*command, "--json", "--plot", str(picture)]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["figures"]["rt60_error_median"] == {"value": 2.0, "unit": "%", "interval": None}
    assert "left out: absent" in err
    with Image.open(picture) as image:
        assert image.width > 800
    assert cli.run(list(command)) == 0
    assert "rt60_error_median_shoebox" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--only", "wegde"], "did you mean 'wedge'"),
        (["--plot", "truth.jpg"], "ends in .png"),
        (["--plot", "no/such/folder/truth.png"], "its folder isn't there"),
    ],
)
def test_misuse_is_named_before_anything_runs(
    options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["bench", "acoustics", *options]) == 1
    assert message in capsys.readouterr().err


def test_nothing_to_draw_is_said(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nothing to draw"):
        write_plot([Row("x", 1.0, "dB")], tmp_path / "x.png")
