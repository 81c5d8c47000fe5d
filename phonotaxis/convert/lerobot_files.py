"""The files of a LeRobot data set, format v3.0: written with pyarrow alone, and added to where there is one.

Layout: `meta/info.json`, `meta/stats.json`, `meta/tasks.parquet`, `meta/episodes/chunk-000/file-000.parquet` and
`data/chunk-000/file-000.parquet`; here each episode has a file of its own.
"""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from phonotaxis.configs.atomic_file import replace_file

CODEBASE_VERSION = "v3.0"
DATA_PATH = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
FILES_PER_CHUNK = 1000
DEFAULTS: dict[str, dict[str, Any]] = {
    "timestamp": {"dtype": "float32", "shape": [1], "names": None},
    "frame_index": {"dtype": "int64", "shape": [1], "names": None},
    "episode_index": {"dtype": "int64", "shape": [1], "names": None},
    "index": {"dtype": "int64", "shape": [1], "names": None},
    "task_index": {"dtype": "int64", "shape": [1], "names": None},
}
_QUANTILES = (0.01, 0.1, 0.5, 0.9, 0.99)


class LeRobotError(ValueError):
    """An episode can't become part of a data set; the message says why and what to do."""


@dataclass(frozen=True, eq=False)
class Column:
    """One feature over an episode.

    Attributes:
        feature: `dtype`, `shape` and `names`, as info.json has them.
        values: [frames, *shape], shape () standing for [1]; for images a list of PNG files.
        pixels: uint8 [frames, height, width, 3] of images, for their statistics.
    """

    feature: dict[str, Any]
    values: Any
    pixels: np.ndarray | None = None


class DataSet:
    """A data set in a folder, to which episodes are added."""

    def __init__(self, folder: Path, fps: int, features: dict[str, dict[str, Any]], robot_type: str) -> None:
        """Open the folder's data set, or begin one.

        Args:
            folder: of the data set; made if absent.
            fps: frames a second.
            features: without the five that every data set has.
            robot_type: its name.

        Raises:
            LeRobotError: the folder holds something else, or a data set of another shape.
        """
        self.folder = folder
        features = {**features, **DEFAULTS}
        path = folder / "meta" / "info.json"
        if path.exists():
            self.info = _read_json(path)
            self._check(fps, features)
            return
        if folder.exists() and any(folder.iterdir()):
            raise LeRobotError(f"{folder}: holds other files than a LeRobot data set; give another folder")
        self.info = {
            "codebase_version": CODEBASE_VERSION,
            "robot_type": robot_type,
            "total_episodes": 0,
            "total_frames": 0,
            "total_tasks": 0,
            "chunks_size": FILES_PER_CHUNK,
            "data_files_size_in_mb": 100,
            "video_files_size_in_mb": 200,
            "fps": fps,
            "splits": {},
            "data_path": DATA_PATH,
            "video_path": None,
            "features": features,
        }

    def _check(self, fps: int, features: dict[str, dict[str, Any]]) -> None:
        if self.info.get("codebase_version") != CODEBASE_VERSION:
            version = self.info.get("codebase_version")
            raise LeRobotError(f"{self.folder}: a data set of version {version}, expected {CODEBASE_VERSION}")
        if self.info.get("fps") != fps:
            raise LeRobotError(f"{self.folder}: has {self.info.get('fps')} frames a second, this episode {fps}")
        counts = [self.info.get(name) for name in ("total_episodes", "total_frames")]
        if self.info.get("data_path") != DATA_PATH or not all(isinstance(n, int) and n >= 0 for n in counts):
            raise LeRobotError(
                f"{self.folder}: its info.json has files at '{self.info.get('data_path')}' and counts {counts}; "
                f"expected '{DATA_PATH}' and numbers; give another folder"
            )
        theirs = self.info.get("features")
        theirs = theirs if isinstance(theirs, dict) else {}
        odd = [name for name in (*features, *theirs) if theirs.get(name) != features.get(name)]
        if odd:
            raise LeRobotError(f"{self.folder}: feature '{odd[0]}' differs from this episode's; give another folder")

    def add(self, columns: dict[str, Column], task: str) -> int:
        """Add an episode; returns its index.

        Args:
            columns: a value of each feature for each frame, in the order of the features.
            task: in words.

        Raises:
            OSError: a file can't be written.
        """
        number, first = int(self.info["total_episodes"]), int(self.info["total_frames"])
        count = len(next(iter(columns.values())).values)
        task_index = self._task(task)
        frames = np.arange(count)
        whole = {
            **columns,
            "timestamp": Column(DEFAULTS["timestamp"], (frames / self.info["fps"]).astype(np.float32)),
            "frame_index": Column(DEFAULTS["frame_index"], frames),
            "episode_index": Column(DEFAULTS["episode_index"], np.full(count, number)),
            "index": Column(DEFAULTS["index"], first + frames),
            "task_index": Column(DEFAULTS["task_index"], np.full(count, task_index)),
        }
        place = _place(number)
        stats = {name: statistics(column) for name, column in whole.items()}
        self._write_frames(self.folder / DATA_PATH.format(**place), whole)
        self._write_episode(number, first, count, task, place, stats)
        self.info["total_episodes"], self.info["total_frames"] = number + 1, first + count
        self.info["splits"] = {"train": f"0:{number + 1}"}
        self._add_statistics(stats, first, number)
        _write_json(self.folder / "meta" / "info.json", self.info)
        return number

    def _write_frames(self, path: Path, columns: dict[str, Column]) -> None:
        import pyarrow as pa

        arrays = {name: _arrow(column) for name, column in columns.items()}
        described = {name: _described(column.feature) for name, column in columns.items()}
        metadata = {b"huggingface": json.dumps({"info": {"features": described}}).encode()}
        _write_table(path, pa.table(arrays).replace_schema_metadata(metadata))

    def _write_episode(
        self, number: int, first: int, count: int, task: str, place: dict[str, int], stats: dict[str, dict[str, Any]]
    ) -> None:
        import pyarrow as pa

        row: dict[str, Any] = {"episode_index": number, "tasks": [task], "length": count}
        row |= {f"data/{key}": value for key, value in place.items()}
        row |= {"dataset_from_index": first, "dataset_to_index": first + count}
        row |= {f"meta/episodes/{key}": value for key, value in place.items()}
        row |= {f"stats/{name}/{key}": value for name, found in stats.items() for key, value in found.items()}
        _write_table(self._episode_path(place), pa.table({key: [value] for key, value in row.items()}))

    def _task(self, task: str) -> int:
        import pyarrow as pa
        import pyarrow.parquet as pq

        path = self.folder / "meta" / "tasks.parquet"
        tasks = pq.read_table(path).column("task").to_pylist() if path.exists() else []
        if task not in tasks:
            tasks.append(task)
            table = pa.table({"task_index": np.arange(len(tasks)), "task": tasks})
            _write_table(path, table.replace_schema_metadata({b"pandas": _task_index().encode()}))
        self.info["total_tasks"] = len(tasks)
        return int(tasks.index(task))

    def _add_statistics(self, stats: dict[str, dict[str, Any]], frames: int, episodes: int) -> None:
        """Join an episode's statistics with those of the frames and episodes before it."""
        path = self.folder / "meta" / "stats.json"
        before = _read_json(path) if path.exists() else {}
        if before and before.get("index", {}).get("count") != [frames]:  # a kill came between this file and info.json
            before = self._joined(episodes)
        merged = {name: merge(before[name], found) if name in before else found for name, found in stats.items()}
        _write_json(path, merged)

    def _joined(self, episodes: int) -> dict[str, dict[str, Any]]:
        """Join the statistics of the first so many episodes, each of which has its own in its file."""
        import pyarrow.parquet as pq

        joined: dict[str, dict[str, Any]] = {}
        for number in range(episodes):
            (row,) = pq.read_table(self._episode_path(_place(number))).to_pylist()
            own: dict[str, dict[str, Any]] = {}
            for key, value in row.items():
                if key.startswith("stats/"):
                    name, _, what = key.removeprefix("stats/").rpartition("/")
                    own.setdefault(name, {})[what] = value
            joined = {name: merge(joined[name], found) if name in joined else found for name, found in own.items()}
        return joined

    def _episode_path(self, place: dict[str, int]) -> Path:
        return self.folder / "meta/episodes/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet".format(**place)


def _place(episode: int) -> dict[str, int]:
    return {"chunk_index": episode // FILES_PER_CHUNK, "file_index": episode % FILES_PER_CHUNK}


def statistics(column: Column) -> dict[str, Any]:
    """Return what LeRobot normalises with, over the frames: min, max, mean, std, quantiles and count.

    Images have them by channel, [3, 1, 1], of values from 0 to 1.
    """
    if column.pixels is not None:
        values = column.pixels.reshape(-1, 3).astype(np.float64) / 255.0
    else:
        values = np.asarray(column.values, dtype=np.float64)
        values = values.reshape(len(values), -1) if values.ndim == 1 else values
    found: dict[str, Any] = {
        "min": values.min(axis=0), "max": values.max(axis=0), "mean": values.mean(axis=0), "std": values.std(axis=0),
    }  # fmt: skip
    found |= {f"q{round(100 * q):02d}": np.quantile(values, q, axis=0) for q in _QUANTILES}
    shape = (3, 1, 1) if column.pixels is not None else values.shape[1:]
    return {**{key: value.reshape(shape).tolist() for key, value in found.items()}, "count": [len(column.values)]}


def merge(one: dict[str, Any], two: dict[str, Any]) -> dict[str, Any]:
    """Join the statistics of two sets of frames; quantiles are averaged by their weights, the rest is exact."""
    first, second = float(one["count"][0]), float(two["count"][0])
    share = first / (first + second)
    a, b = ({key: np.asarray(value, dtype=np.float64) for key, value in stats.items()} for stats in (one, two))
    mean = share * a["mean"] + (1 - share) * b["mean"]
    square = share * (a["std"] ** 2 + a["mean"] ** 2) + (1 - share) * (b["std"] ** 2 + b["mean"] ** 2)
    joined = {key: share * a[key] + (1 - share) * b[key] for key in a if key.startswith("q")}
    joined |= {"min": np.minimum(a["min"], b["min"]), "max": np.maximum(a["max"], b["max"]), "mean": mean}
    joined |= {"std": np.sqrt(np.maximum(square - mean**2, 0.0))}
    return {**{key: value.tolist() for key, value in joined.items()}, "count": [int(first + second)]}


def _arrow(column: Column) -> Any:
    """Return an Arrow array: a value a frame, a list of fixed length, nested lists, or an image's file."""
    import pyarrow as pa

    if column.feature["dtype"] == "image":
        kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
        return pa.array([{"bytes": data, "path": None} for data in column.values], type=kind)
    values = np.asarray(column.values)
    flat = pa.array(values.reshape(-1), type=pa.from_numpy_dtype(values.dtype))
    if column.feature["shape"] == [1]:
        return flat
    if values.ndim == 2:
        return pa.FixedSizeListArray.from_arrays(flat, values.shape[1])
    for axis in range(values.ndim - 1, 0, -1):
        edges = np.arange(0, int(np.prod(values.shape[: axis + 1])) + 1, values.shape[axis], dtype=np.int32)
        flat = pa.ListArray.from_arrays(pa.array(edges), flat)
    return flat


def _described(feature: dict[str, Any]) -> dict[str, Any]:
    """Describe a column as Hugging Face's `datasets` does in a file's schema."""
    shape, dtype = feature["shape"], feature["dtype"]
    if dtype == "image":
        return {"_type": "Image"}
    if shape == [1]:
        return {"dtype": dtype, "_type": "Value"}
    if len(shape) == 1:
        return {"feature": {"dtype": dtype, "_type": "Value"}, "length": shape[0], "_type": "List"}
    return {"shape": shape, "dtype": dtype, "_type": f"Array{len(shape)}D"}


def _task_index() -> str:
    """Say to pandas that the tasks' names are the table's index."""
    columns = [
        {"name": "task_index", "field_name": "task_index", "pandas_type": "int64", "numpy_type": "int64"},
        {"name": "task", "field_name": "task", "pandas_type": "unicode", "numpy_type": "object"},
    ]
    return json.dumps({
        "index_columns": ["task"], "column_indexes": [], "pandas_version": "2.0.0",
        "columns": [{**column, "metadata": None} for column in columns],
    })  # fmt: skip


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise LeRobotError(f"{path}: not JSON ({error})") from None
    if not isinstance(value, dict):
        raise LeRobotError(f"{path}: expected an object, got {type(value).__name__}")
    return value


def _write_json(path: Path, value: dict[str, Any]) -> None:
    _write_file(path, json.dumps(value, indent=4).encode())


def _write_table(path: Path, table: Any) -> None:
    import pyarrow.parquet as pq

    data = io.BytesIO()
    pq.write_table(table, data, compression="snappy")
    _write_file(path, data.getvalue())


def _write_file(path: Path, data: bytes) -> None:
    """Write a file whole or not at all, for its owner alone: it holds what was heard and seen."""
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, data)
