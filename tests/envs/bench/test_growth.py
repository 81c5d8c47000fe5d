"""The table of growth: which sizes, and what a row says."""

from __future__ import annotations

from pathlib import Path

import pytest

from phonotaxis.configs import presets
from phonotaxis.configs.array import MicrophoneArray
from phonotaxis.configs.task import AudioGoalTask, SceneSet
from phonotaxis.envs.bench import growth
from phonotaxis.envs.bench.growth import Point, changed, growth_figures, measure, measure_growth, write_ring
from phonotaxis.envs.bench.memory import scene_bytes
from phonotaxis.envs.bench.wear import fill
from phonotaxis.envs.library import Library, load_scene


@pytest.mark.parametrize("mics", [1, 4, 16])
def test_rings_are_arrays_that_a_task_can_name(tmp_path: Path, task: AudioGoalTask, mics: int) -> None:
    path = write_ring(tmp_path, mics)
    assert presets.load("arrays", path, MicrophoneArray).mics == mics
    assert changed(task, array=str(path)).contract().array.mics == mics


def test_a_row_says_what_was_measured(task: AudioGoalTask) -> None:
    row = measure(Point("taps", 1600, task, worlds=2), seed=0, seconds=0.1)
    scene = load_scene(task.scenes, 0)
    assert (row.triangles, row.cells) == (len(scene.mesh.faces), scene.floor_m.size)
    assert row.steps_per_s * row.step_us == pytest.approx(1e6)
    assert 0.0 < row.cpu_us < 1.1 * row.step_us  # one thread; clocks tick apart
    assert row.step_us > row.responses_us + row.convolution_us + row.depth_us > 0.0
    fresh = Library(task)
    fill(fresh)
    assert row.scene_mb == scene_bytes(fresh) / 1e6  # without the mesh that triangles are counted on
    assert min(row.scene_ms, row.field_ms, row.field_mb, row.scene_mb, row.world_mb) > 0.0
    figures = growth_figures([row])
    assert figures["growth_taps_1600_step_us"].value == row.step_us
    assert figures["growth_taps_1600_step_us"].unit == "us"
    assert figures["growth_taps_1600_steps_per_s"].unit == "1/s"
    assert figures["growth_taps_1600_field_mb"].unit == "MB"
    assert figures["growth_taps_1600_triangles"].unit == ""


def test_more_taps_make_worlds_larger(task: AudioGoalTask) -> None:
    short, long = (
        measure(Point("taps", round(16000 * s), changed(task, response_s=s), worlds=1), 0, 0.05) for s in (0.2, 0.6)
    )
    assert long.world_mb > short.world_mb
    assert long.field_mb > short.field_mb


def test_the_table_has_every_size_that_can_be_had(task: AudioGoalTask, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Point] = []

    def note(point: Point, seed: int, seconds: float) -> growth.Growth:
        asked.append(point)
        return growth.Growth(point.what, point.size, *([1] * 13))

    monkeypatch.setattr(growth, "measure", note)
    monkeypatch.setattr(growth.detail, "share_for", lambda scene, refine, times: 0.25)
    told: list[float] = []
    rows = measure_growth(task, progress=lambda share, note: told.append(share))
    assert len(rows) == len(asked) == len(told)
    assert told == sorted(told)
    sizes: dict[str, list[int]] = {}
    for point in asked:
        sizes.setdefault(point.what, []).append(point.size)
    assert sizes["triangles"] == [1, 10, 100, 300]
    assert sizes["microphones"] == [1, 2, 4, 8, 16]
    assert sizes["taps"] == [3200, 4800, 8000, 12000, 16000]
    assert sizes["worlds"] == [1, 4, 16, 64, 256, 1024]
    assert sizes["sources"] == [1, 2, 3, 4]
    by_size = {(point.what, point.size): point for point in asked}
    assert by_size["taps", 3200].task.response_s == pytest.approx(0.2)
    assert by_size["worlds", 256].worlds == 256
    assert [by_size["sources", count].task.sources.distractors for count in (1, 4)] == [0, 3]
    assert by_size["triangles", 300].task.scenes.options == {"refine": 2, "rough": 0.25}
    assert by_size["triangles", 1].task.scenes == SceneSet(
        source="apartment_in_detail", count=growth.SCENES, options={"refine": 1, "rough": 0.0}
    )
