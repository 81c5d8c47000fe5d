"""Episodes in other tools' formats, read back by those tools' own readers where they are installed."""

from __future__ import annotations

import io
import json
import shutil
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from phonotaxis.configs.contract import AUDIO, DEPTH, EPISODE_START
from phonotaxis.convert.lerobot import task_of, write_lerobot
from phonotaxis.convert.lerobot_files import Column, LeRobotError, merge, statistics
from phonotaxis.deploy.episode_reader import read_episode
from phonotaxis.deploy.messages import STEP_TOPIC, VIEWER_TOPICS
from phonotaxis.deploy.replay_feed import replayed


@pytest.fixture(scope="module")
def golden(repository: Path) -> Path:
    return repository / "tests" / "golden"


@pytest.fixture(scope="module")
def data_set(golden: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Convert both golden episodes into one data set."""
    folder = tmp_path_factory.mktemp("lerobot") / "set"
    assert write_lerobot(folder, read_episode(golden / "robot.mcap"))[0] == 1
    assert write_lerobot(folder, read_episode(golden / "rollout.mcap"))[0] == 1
    return folder


def info_of(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "meta/info.json").read_text()))


def test_the_files_are_where_the_format_has_them(data_set: Path) -> None:
    found = {str(path.relative_to(data_set)) for path in data_set.rglob("*") if path.is_file()}
    assert found == {
        "meta/info.json", "meta/stats.json", "meta/tasks.parquet",
        "meta/episodes/chunk-000/file-000.parquet", "meta/episodes/chunk-000/file-001.parquet",
        "data/chunk-000/file-000.parquet", "data/chunk-000/file-001.parquet",
    }  # fmt: skip
    assert all(stat.S_IMODE((data_set / name).stat().st_mode) == 0o600 for name in found)
    info = info_of(data_set)
    assert info["codebase_version"] == "v3.0"
    assert (info["fps"], info["total_episodes"], info["splits"]) == (4, 2, {"train": "0:2"})
    assert info["data_path"] == "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"


def test_every_number_is_what_the_policy_saw(data_set: Path, golden: Path) -> None:
    index = 0
    for number, name in enumerate(("robot", "rollout")):
        table = pq.read_table(data_set / f"data/chunk-000/file-00{number}.parquet").to_pylist()
        steps = list(replayed(read_episode(golden / f"{name}.mcap")))
        assert len(table) == len(steps)
        for frame, (row, step) in enumerate(zip(table, steps)):
            seen = step.observation
            assert np.array_equal(np.array(row["observation.audio"], np.float32), seen[AUDIO])
            assert np.array_equal(np.array(row["observation.depth"], np.float32), seen[DEPTH])
            assert row["observation.state"][:6] == pytest.approx(seen["motion"].tolist())
            assert row["action"] == pytest.approx([float(step.logged[k]) for k in ("v_mps", "w_radps", "stop")])
            assert step.due is not None
            assert row["due_ns"] == step.due.due_ns
            assert (row["frame_index"], row["episode_index"], row["index"]) == (frame, number, index)
            assert row["timestamp"] == pytest.approx(frame / 4)
            assert row["next.done"] == (frame == len(table) - 1)
            index += 1
        picture = Image.open(io.BytesIO(table[0]["observation.images.depth"]["bytes"]))
        assert (picture.size, picture.mode) == ((64, 64), "RGB")
    assert info_of(data_set)["total_frames"] == index


def test_episodes_say_where_they_lie(data_set: Path) -> None:
    rows = [pq.read_table(data_set / f"meta/episodes/chunk-000/file-00{n}.parquet").to_pylist()[0] for n in (0, 1)]
    assert rows[0]["dataset_from_index"] == 0
    assert rows[0]["dataset_to_index"] == rows[1]["dataset_from_index"] == rows[0]["length"]
    assert [row["data/file_index"] for row in rows] == [0, 1]
    assert rows[0]["tasks"] == ["find the sound: audiogoal"]
    assert len(rows[0]["stats/observation.state/mean"]) == 8
    tasks = pq.read_table(data_set / "meta/tasks.parquet")
    assert tasks.column("task").to_pylist() == rows[0]["tasks"]


def test_statistics_of_the_set_are_those_of_all_its_frames(data_set: Path) -> None:
    stats = json.loads((data_set / "meta/stats.json").read_text())
    rows = [r for n in (0, 1) for r in pq.read_table(data_set / f"data/chunk-000/file-00{n}.parquet").to_pylist()]
    states = np.array([row["observation.state"] for row in rows], np.float64)
    found = stats["observation.state"]
    for name, expected in (("mean", states.mean(0)), ("std", states.std(0)), ("min", states.min(0))):
        assert found[name] == pytest.approx(expected.tolist(), abs=1e-9)
    assert found["count"] == [len(rows)]
    assert np.shape(stats["observation.images.depth"]["mean"]) == (3, 1, 1)
    assert 0 < stats["observation.images.depth"]["mean"][0][0][0] < 1


def test_merging_weighs_by_the_number_of_frames() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(3, 2, (50, 2))
    feature = {"dtype": "float32", "shape": [2], "names": None}
    one, two, both = (statistics(Column(feature, part)) for part in (values[:10], values[10:], values))
    merged = merge(one, two)
    for key in ("mean", "std", "min", "max", "count"):
        assert merged[key] == pytest.approx(both[key])


def test_a_reset_memory_begins_another_of_its_episodes(golden: Path, tmp_path: Path) -> None:
    episode = read_episode(golden / "robot.mcap")
    resets = sum(step.observation[EPISODE_START][0] > 0 for step in replayed(episode))
    assert write_lerobot(tmp_path / "set", episode)[0] == resets


def test_what_does_not_fit_is_refused(data_set: Path, golden: Path, tmp_path: Path) -> None:
    episode = read_episode(golden / "robot.mcap")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("precious")
    with pytest.raises(LeRobotError, match="holds other files"):
        write_lerobot(tmp_path / "mine", episode)
    for key, value, what in (("fps", 30, "has 30 frames"), ("codebase_version", "v2.1", "version v2.1")):
        folder = tmp_path / key
        (folder / "meta").mkdir(parents=True)
        (folder / "meta/info.json").write_text(json.dumps({**info_of(data_set), key: value}))
        with pytest.raises(LeRobotError, match=what):
            write_lerobot(folder, episode)
    folder = tmp_path / "features"
    (folder / "meta").mkdir(parents=True)
    info = info_of(data_set)
    info["features"]["action"]["names"] = ["x", "y", "z"]
    (folder / "meta/info.json").write_text(json.dumps(info))
    with pytest.raises(LeRobotError, match="feature 'action' differs"):
        write_lerobot(folder, episode)


def test_hugging_faces_reader_takes_it(data_set: Path) -> None:
    datasets = pytest.importorskip("datasets", reason="Hugging Face's datasets is not installed")
    found = datasets.Dataset.from_parquet([str(path) for path in sorted((data_set / "data").glob("*/*.parquet"))])
    assert np.shape(found[3]["observation.audio"])[1] == 4000


def test_rerun_takes_it(golden: Path, tmp_path: Path) -> None:
    pytest.importorskip("rerun", reason="the Rerun SDK is not installed (700 MB: pip install 'phonotaxis[rerun]')")
    from phonotaxis.convert.rerun_file import write_rerun

    path = tmp_path / "new" / "episode.rrd"
    episode = read_episode(golden / "robot.mcap")
    count = write_rerun(path, episode)
    assert count == sum(message.topic not in VIEWER_TOPICS for message in episode.messages)
    data = path.read_bytes()
    assert data[:3] == b"RRF"
    for name in (b"world/robot/camera", b"policy/bearing_deg", b"audio/level_dbfs/0"):
        assert name in data
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_kill_between_two_of_its_files_spoils_nothing(data_set: Path, golden: Path, tmp_path: Path) -> None:
    """Everything of the second episode was written but info.json: it is added anew, and counted once."""
    cut = shutil.copytree(data_set, tmp_path / "set")
    episode = read_episode(golden / "rollout.mcap")
    first = len(pq.read_table(cut / "data/chunk-000/file-000.parquet"))
    (cut / "meta/info.json").write_text(
        json.dumps({**info_of(cut), "total_episodes": 1, "total_frames": first, "splits": {"train": "0:1"}})
    )
    write_lerobot(cut, episode)
    assert info_of(cut) == info_of(data_set)
    ours, whole = (json.loads((folder / "meta/stats.json").read_text()) for folder in (cut, data_set))
    assert ours == whole


def test_an_episode_that_breaks_off_adds_nothing(golden: Path, tmp_path: Path) -> None:
    """Its first run is sound, its second isn't."""
    episode = read_episode(golden / "robot.mcap")
    steps = [number for number, message in enumerate(episode.messages) if message.topic == STEP_TOPIC]
    kept = list(episode.messages)
    reset, broken = (json.loads(kept[number].data) for number in (steps[5], steps[7]))
    assert reset["step"] < broken["step"]
    kept[steps[7]] = replace(kept[steps[7]], data=json.dumps({**broken, "v_mps": float("nan")}).encode())
    del kept[steps[5]]
    with pytest.raises(LeRobotError, match="isn't finite"):
        write_lerobot(tmp_path / "set", replace(episode, messages=kept))
    assert not (tmp_path / "set").exists()


def test_the_task_says_what_the_robot_was_told_to_find(golden: Path) -> None:
    info = read_episode(golden / "robot.mcap").info
    assert task_of(info) == f"find the sound: {info.contract.task}"
    told = replace(info, extra={**info.extra, "goal": "go to the ringing phone"})
    assert task_of(told).startswith("find 'go to the ringing phone': ")


@pytest.mark.parametrize(
    "change", [{"data_path": "../../outside-{file_index}.parquet"}, {"total_episodes": "x"}, {"total_frames": -5}]
)
def test_a_strangers_data_set_does_not_say_where_files_go(
    data_set: Path, golden: Path, tmp_path: Path, change: dict[str, Any]
) -> None:
    theirs = shutil.copytree(data_set, tmp_path / "a" / "b" / "set")
    (theirs / "meta/info.json").write_text(json.dumps({**info_of(theirs), **change}))
    with pytest.raises(LeRobotError, match="give another folder"):
        write_lerobot(theirs, read_episode(golden / "robot.mcap"))
    assert not list(tmp_path.rglob("outside*"))


@pytest.mark.parametrize(
    ("topic", "field", "value"),
    [("/odometry", "dx_m", 1e308), ("/odometry", "dyaw_rad", float("nan")), ("/safety", "v_mps", float("inf"))],
)
def test_numbers_that_no_robot_logs_reach_no_data_set(
    golden: Path, tmp_path: Path, topic: str, field: str, value: float
) -> None:
    episode = read_episode(golden / "robot.mcap")
    found = [
        replace(m, data=json.dumps({**json.loads(m.data), field: value}).encode()) if m.topic == topic else m
        for m in episode.messages
    ]
    with pytest.raises(ValueError, match="a motion of|isn't finite"):
        write_lerobot(tmp_path / "set", replace(episode, messages=found))
    assert not (tmp_path / "set").exists()
