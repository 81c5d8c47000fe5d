"""The bench: its figures are there, and they add up."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import numpy as np
import pytest

from phonotaxis import cli
from phonotaxis.configs.task import AudioGoalTask
from phonotaxis.envs import bench
from phonotaxis.envs.bench import PARTS, Stopwatch, bench_sim
from phonotaxis.envs.library import Library


@pytest.fixture(scope="module")
def task(make_task: Callable[..., AudioGoalTask]) -> AudioGoalTask:
    return make_task(sources_per_scene=3, max_steps=5, response_s=0.1)


def test_figures_add_up(task: AudioGoalTask) -> None:
    figures = bench_sim(worlds=2, seconds=0.2, threads=1, seed=0, task=task)
    values = {name: value for name, (value, _) in figures.items()}
    assert values["steps_per_s"] * values["step_us"] == pytest.approx(1e6)
    assert values["steps"] % 2 == 0
    assert values["episodes"] == pytest.approx(values["steps"] / 5, abs=2)
    parts = {name: values[f"{name}_us"] for name in PARTS}
    assert min(parts.values()) >= 0.0
    assert min(parts[name] for name in ("responses", "convolution", "converter", "depth", "motion")) > 0.0
    assert 0.5 * values["step_us"] < sum(parts.values()) <= values["step_us"]  # the rest draws actions
    assert values["fft_us"] > 0.0
    assert (values["worlds"], values["threads"]) == (2, 1)
    assert {unit for name, (_, unit) in figures.items() if name.endswith("_us")} == {"us"}


def test_a_field_serves_so_many_episodes_and_a_scene_so_many_times_its_sources(task: AudioGoalTask) -> None:
    library = Library(task)
    wear = bench.Wear(library, np.random.Generator(np.random.PCG64(0)))
    slots = list(library.scenes)
    traced, scenes = len(library.fields), dict(library.scenes)
    episodes = 2 * bench.EPISODES_PER_FIELD
    for _ in range(episodes):
        for slot in slots:
            for number in range(task.sources_per_scene):
                library.field_slot(slot, number)
    assert wear.traced == 2 * traced
    assert wear.built == 2 * len(slots)
    assert all(library.scenes[slot] is not scenes[slot] for slot in slots)
    assert len(library.fields) == traced  # slots that nobody holds are used again


def test_a_watch_charges_each_part_for_its_own_time() -> None:
    class Outer:
        def begin(self) -> None:
            time.sleep(0.02)
            self.render()
            self.trace()

        def render(self) -> None:
            time.sleep(0.01)

        def trace(self) -> None:
            time.sleep(0.03)

    watch, outer = Stopwatch(), Outer()
    for method, part in (("begin", "resets"), ("render", "depth"), ("trace", "tracing")):
        watch.watch(outer, method, part)
    outer.begin()
    assert watch.seconds["depth"] == 0.0  # within a reset it is the reset's
    assert watch.seconds["resets"] >= 0.03
    assert watch.seconds["tracing"] >= 0.03
    outer.render()
    assert watch.seconds["depth"] >= 0.01


def test_misuse_is_named(task: AudioGoalTask) -> None:
    with pytest.raises(ValueError, match="seconds must be more than 0"):
        bench_sim(seconds=0.0, task=task)
    with pytest.raises(ValueError, match="discrete"):
        bench_sim(task=task.model_copy(update={"actions": "continuous"}))


def test_the_command_prints_the_figures(
    task: AudioGoalTask, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = bench.bench_sim
    monkeypatch.setattr(bench, "bench_sim", lambda **options: real(**options, task=task))
    assert cli.run(["bench", "sim", "--worlds", "2", "--seconds", "0.1", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["command"] == "bench sim"
    assert printed["figures"]["steps_per_s"]["unit"] == "1/s"
    assert printed["figures"]["responses_us"]["value"] > 0
    assert cli.run(["bench", "sim", "--worlds", "1", "--seconds", "0.1"]) == 0
    assert "steps per s" in capsys.readouterr().out
