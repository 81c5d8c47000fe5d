"""The bench: its figures are there, and they add up."""

from __future__ import annotations

import json
import sys

import pytest

from phonotaxis import cli
from phonotaxis.configs.task import AudioGoalTask
from phonotaxis.envs import world as world_module
from phonotaxis.envs.bench import growth, reference, sim
from phonotaxis.envs.bench import session as session_module
from phonotaxis.envs.bench.sim import Report, bench_sim
from phonotaxis.envs.bench.stopwatch import PARTS

RLR_S = 0.5


@pytest.fixture(scope="module")
def report(task: AudioGoalTask) -> Report:
    """Return a run in which RLR always takes `RLR_S`, and two threads run even on a machine of one core."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reference, "rlr_seconds_per_response", lambda *args: RLR_S)
        for module in (sim, session_module, world_module):
            patch.setattr(module, "cores", lambda: 2)
        return bench_sim(worlds=2, seconds=0.4, threads=2, seed=0, task=task)


def test_the_step_adds_up(report: Report) -> None:
    values = {name: measure.value for name, measure in report.figures.items()}
    assert values["steps_per_s_1_thread"] * values["step_us"] == pytest.approx(1e6)
    parts = [values[f"{part}_us"] for part in PARTS]
    assert 0.5 * values["step_us"] < sum(parts) <= values["step_us"]  # the rest draws actions
    assert values["fft_share"] == pytest.approx(values["fft_us"] / values["step_us"])
    assert values["steps_per_cpu_s_1_thread"] * values["cores_used_1_thread"] == pytest.approx(
        values["steps_per_s_1_thread"]
    )
    assert values["steps"] % 2 == 0
    assert values["episodes"] == pytest.approx(values["steps"] / 5, abs=4)
    assert {m.unit for name, m in report.figures.items() if name.endswith("_us")} == {"us"}


def test_two_threads_are_held_against_one(report: Report) -> None:
    one, two = report.figures["steps_per_s_1_thread"], report.figures["steps_per_s_2_threads"]
    speedup = report.figures["speedup_2_threads"]
    assert speedup.value == pytest.approx(two.value / one.value)
    for measure in (one, two, speedup):
        assert measure.interval is not None
        assert measure.interval[0] <= measure.value <= measure.interval[1]


def test_ratios_are_steps_for_a_response_and_a_depth_image(report: Report) -> None:
    values = {name: measure.value for name, measure in report.figures.items()}
    expected = (RLR_S + values["depth_us"] * 1e-6) * values["steps_per_s_1_thread"]
    for name in ("ratio_rlr_250", "ratio_rlr_500", "ratio_rlr_default", "ratio_rlr_cheapest"):
        assert values[name] == pytest.approx(expected)
    assert values["rlr_250_ms"] == pytest.approx(500.0)
    assert report.left_out == []


def test_without_rlr_its_figures_are_left_out_in_words(task: AudioGoalTask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rlr_audio_propagation", None)
    report = bench_sim(worlds=1, seconds=0.1, threads=1, task=task)
    assert not [name for name in report.figures if "rlr" in name]
    assert len(report.left_out) == 1
    assert "pip install rlr-audio-propagation" in report.left_out[0]
    assert not [name for name in report.figures if "2_threads" in name]


def test_more_threads_than_there_are_is_said(task: AudioGoalTask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sim, "cores", lambda: 1)
    report = bench_sim(worlds=1, seconds=0.1, threads=2, task=task, reference=False)
    assert report.left_out == ["ratio_rlr_*: not asked for", "speedup_2_threads: this process may use 1 cores"]


def test_misuse_is_named(task: AudioGoalTask) -> None:
    with pytest.raises(ValueError, match="seconds must be more than 0"):
        bench_sim(seconds=0.0, task=task)
    with pytest.raises(ValueError, match="threads must be at least 1"):
        bench_sim(threads=0, task=task)


@pytest.fixture
def small(report: Report, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the command find what was measured already."""
    row = growth.Growth("taps", 3200, 642, 13776, 2000.0, 500.0, 480.0, 100.0, 250.0, 40.0, 20.0, 90.0, 0.5, 0.25, 0.75)
    monkeypatch.setattr(sim, "bench_sim", lambda *args, **options: report)
    monkeypatch.setattr(growth, "measure_growth", lambda *args, **options: [row])


@pytest.mark.usefixtures("small")
def test_the_command_prints_the_figures(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["bench", "sim", "--growth", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["command"] == "bench sim"
    figures = printed["figures"]
    for name in ("steps_per_s_1_thread", "speedup_2_threads", "ratio_rlr_250", "ratio_rlr_500", "ratio_rlr_default",
                 "ratio_rlr_cheapest", "fft_share"):  # fmt: skip
        assert figures[name]["value"] > 0.0
    assert figures["steps_per_s_1_thread"]["unit"] == "1/s"
    assert len(figures["speedup_2_threads"]["interval"]) == 2
    assert figures["growth_taps_3200_world_mb"] == {"value": 0.75, "unit": "MB", "interval": None}


@pytest.mark.usefixtures("small")
def test_the_command_prints_tables_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["bench", "sim", "--growth"]) == 0
    out, err = capsys.readouterr()
    assert "steps per s 1 thread" in out
    assert "impulse responses" in out
    assert "of which the transforms alone" in out
    assert "13776" in out
    assert "taps 3200 " in out
    assert "…" not in out
    assert "see no triangles" in err
