"""How the cost of a step grows, one size at a time, all others as the bench has them.

Steps are measured with all scenes and fields made beforehand; making them has columns of its own. One thread.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml

from phonotaxis.configs.array import MicrophoneArray
from phonotaxis.configs.sources import Sources
from phonotaxis.configs.task import AudioGoalTask, SceneSet
from phonotaxis.envs.bench import Measure, Measured, Progress, detail, quiet
from phonotaxis.envs.bench.memory import field_bytes, memory_of, scene_bytes
from phonotaxis.envs.bench.session import Block, Session
from phonotaxis.envs.library import Library, load_scene

TRIANGLES = (1, 10, 100, 300)  # times as many as an apartment has
REFINED = (2, 3)  # cells along the edge of one that there was
MICROPHONES = (1, 2, 4, 8, 16)
SOURCES = (1, 2, 3, 4)
TAPS = (3200, 4800, 8000, 12000, 16000)
BATCHES = (1, 4, 16, 64, 256, 1024)
SCENES, SOURCES_PER_SCENE = 4, 2
WORLDS = 64
SECONDS = 2.0
_FINE_FROM = 300  # times as many triangles need finer cells
_RING_M, _RING_HEIGHT_M = 0.05, 0.45
_US, _MS, _MB = 1e6, 1e3, 1e6


class Growth(NamedTuple):
    """One row of the table.

    Attributes:
        what: the size that varies: `triangles`, `cells`, `microphones`, `sources`, `taps` or `worlds`.
        size: of it: for triangles and cells how many times as many as an apartment has, as asked for.
        triangles: of a scene, mean.
        cells: of a scene's plan, mean.
        steps_per_s: of all worlds together, one thread.
        step_us: microseconds per step of one world.
        cpu_us: of processor time, which a neighbour on the machine doesn't add to.
        responses_us: of them for impulse responses; likewise convolution and depth.
        scene_ms: to build a scene, with what its sources share.
        field_ms: to trace a source.
        field_mb: memory of a field; likewise of a scene and of a world.
    """

    what: str
    size: int
    triangles: int
    cells: int
    steps_per_s: float
    step_us: float
    cpu_us: float
    responses_us: float
    convolution_us: float
    depth_us: float
    scene_ms: float
    field_ms: float
    field_mb: float
    scene_mb: float
    world_mb: float

    @property
    def name(self) -> str:
        """What the row's figures begin with, e.g. `growth_taps_3200`."""
        return f"growth_{self.what}_{self.size}"


class Point(NamedTuple):
    """One size to measure at."""

    what: str
    size: int
    task: AudioGoalTask
    worlds: int = WORLDS


def measure_growth(
    task: AudioGoalTask, seed: int = 0, seconds: float = SECONDS, progress: Progress = quiet
) -> list[Growth]:
    """Measure the whole table; three minutes or so.

    Args:
        task: the bench's; its scenes are replaced by a few apartments.
        seed: of the walks.
        seconds: for each row.
        progress: told the share done.
    """
    with tempfile.TemporaryDirectory() as folder:
        points = [*_points(task, Path(folder))]
        rows = []
        for done, point in enumerate(points):
            progress(done / len(points), f"growth: {point.what} {point.size}")
            rows.append(measure(point, seed, seconds))
    return rows


def growth_figures(rows: list[Growth]) -> Measured:
    """Return the table as figures: `growth_<what>_<size>_<column>`."""
    units = {"steps_per_s": "1/s", "us": "us", "ms": "ms", "mb": "MB"}
    figures = {}
    for row in rows:
        for column, value in row._asdict().items():
            if column not in ("what", "size"):
                unit = next((unit for ending, unit in units.items() if column.endswith(ending)), "")
                figures[f"{row.name}_{column}"] = Measure(float(value), unit)
    return figures


def _points(task: AudioGoalTask, folder: Path) -> Iterator[Point]:
    """Yield the sizes to measure at."""
    detail.register()
    few = {"scenes": SceneSet(count=SCENES), "sources_per_scene": SOURCES_PER_SCENE}
    base = changed(task, **few)
    first = load_scene(base.scenes, 0)
    for times in TRIANGLES:
        refine = 2 if times >= _FINE_FROM else 1
        rough = 0.0 if times == 1 else detail.share_for(first, refine, times)
        yield Point("triangles", times, changed(base, scenes=detailed(refine, rough)))
    for refine in REFINED:
        yield Point("cells", refine**2, changed(base, scenes=detailed(refine, 0.0)))
    for mics in MICROPHONES:
        yield Point("microphones", mics, changed(base, array=str(write_ring(folder, mics))))
    for count in SOURCES:
        yield Point("sources", count, changed(base, sources=Sources(distractors=count - 1)))
    for taps in TAPS:
        yield Point("taps", taps, changed(base, response_s=taps / base.sample_rate_hz))
    for worlds in BATCHES:
        yield Point("worlds", worlds, base, worlds)


def changed(task: AudioGoalTask, **fields: Any) -> AudioGoalTask:
    """Return a task with other values of some fields, checked as a whole."""
    return AudioGoalTask.model_validate(task.model_dump() | fields)


def detailed(refine: int, rough: float) -> SceneSet:
    """Return the set of apartments in detail."""
    return SceneSet(source=detail.SOURCE, count=SCENES, options={"refine": refine, "rough": rough})


def write_ring(folder: Path, mics: int) -> Path:
    """Write an array of microphones on a circle as YAML; returns its path."""
    turns = 2.0 * np.pi * np.arange(mics) / mics
    places = [(_RING_M * float(np.cos(turn)), _RING_M * float(np.sin(turn)), _RING_HEIGHT_M) for turn in turns]
    array = MicrophoneArray(
        name=f"ring_of_{mics}", mic_xyz_m=tuple(places), channel_map=tuple(range(mics)), device_channels=mics
    )
    path = folder / f"ring_of_{mics}.yaml"
    path.write_text(yaml.safe_dump(array.model_dump(mode="json")), encoding="utf-8")
    return path


def measure(point: Point, seed: int, seconds: float) -> Growth:
    """Measure at one size."""
    session = Session(point.worlds, (1,), seed, point.task, wears=False)
    block = session.block(1, seconds)
    library, world = session.library, session.envs[1].world
    scene_s, field_s = making_s(library)
    scene_mb = scene_bytes(library) / _MB  # before triangles are counted: a simulation builds no mesh
    scenes = list(library.scenes.values())
    return Growth(
        what=point.what,
        size=point.size,
        triangles=round(float(np.mean([len(scene.mesh.faces) for scene in scenes]))),
        cells=round(float(np.mean([scene.floor_m.size for scene in scenes]))),
        steps_per_s=block.steps / block.seconds,
        step_us=block.seconds / block.steps * _US,
        cpu_us=block.cpu_s / block.steps * _US,
        responses_us=_part_us(block, "responses"),
        convolution_us=_part_us(block, "convolution"),
        depth_us=_part_us(block, "depth"),
        scene_ms=scene_s * _MS,
        field_ms=field_s * _MS,
        field_mb=field_bytes(library) / _MB,
        scene_mb=scene_mb,
        world_mb=memory_of(world).world / _MB,
    )


def _part_us(block: Block, part: str) -> float:
    return block.parts_s[part] / block.steps * _US


def making_s(library: Library) -> tuple[float, float]:
    """Return the seconds that building a scene and tracing a source take: the medians over a library's scenes."""
    scene_s, field_s = [], []
    for index in range(library.task.scenes.count):
        began = time.perf_counter()
        library.reload_scene(index)
        built = time.perf_counter()
        slot = library.scene_slot(index)
        library.forget_field(slot, 0)
        library.field_slot(slot, 0)
        scene_s.append(built - began)
        field_s.append(time.perf_counter() - built)
    return float(np.median(scene_s)), float(np.median(field_s))
