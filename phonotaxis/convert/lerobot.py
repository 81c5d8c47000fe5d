"""Episodes as a LeRobot data set (format v3.0), with the sound that LeRobot's own recordings lack."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from phonotaxis.configs import contract as names
from phonotaxis.configs.contract import Contract
from phonotaxis.convert.lerobot_files import Column, DataSet, LeRobotError
from phonotaxis.deploy.episode_info import EpisodeInfo
from phonotaxis.deploy.episode_reader import Episode
from phonotaxis.deploy.replay_feed import Recomputed, replayed
from phonotaxis.episode_page.pictures import DEPTH_PALETTE, depth_indices, png_rgb

STATE = (*names.MOTION_FIELDS, "motion_valid", "depth_age_s")
ACTION = ("v_mps", "w_radps", "stop")


def write_lerobot(folder: Path, episode: Episode) -> tuple[int, int]:
    """Add an episode to a data set.

    A step of the policy is a frame. `observation.audio`, `observation.depth` and `observation.state` are what the
    policy saw, bit for bit; `observation.images.depth` is the depth in colours, for viewers; `action` is what it
    asked for; `due_ns` is the time at which the frame was due, since LeRobot's own time stamps are counted. Where
    the policy's memory was reset, or the log lost records, another of LeRobot's episodes begins.

    Args:
        folder: of the data set; made, or added to.
        episode: what `read_episode` returned.

    Returns:
        Numbers of episodes and of frames that were added.

    Raises:
        LeRobotError: it doesn't fit the data set there, or isn't a whole number of frames a second.
        EpisodeError: a message can't be used.
        OSError: a file can't be written.
    """
    contract = episode.info.contract
    fps = round(1.0 / contract.control_period_s)
    if abs(fps * contract.control_period_s - 1.0) > 1e-6:
        raise LeRobotError(
            f"{episode.path}: {1.0 / contract.control_period_s:.3f} steps a second; LeRobot's format knows whole "
            "numbers of frames a second alone"
        )
    data = DataSet(folder, fps, features(contract), episode.info.robot.name)
    try:
        runs = [_columns(contract, run) for run in _runs(episode)]  # all of them before the first is written
    except (KeyError, TypeError, ValueError) as error:
        raise LeRobotError(f"{episode.path}: a step in it can't be used ({error!r})") from None
    if not runs:
        raise LeRobotError(f"{episode.path}: no step in it can be recomputed, so there is nothing to convert")
    for columns in runs:
        data.add(columns, task_of(episode.info))
    return len(runs), sum(len(columns["action"].values) for columns in runs)


def task_of(info: EpisodeInfo) -> str:
    """Return what a robot was to do, in words: what it was told to find, if anything, and the policy's task."""
    said = info.extra.get("goal")
    return f"find {said!r}: {info.contract.task}" if said else f"find the sound: {info.contract.task}"


def features(contract: Contract) -> dict[str, dict[str, Any]]:
    """Return the features of a policy's frames, as info.json has them."""
    height, width = contract.camera.height, contract.camera.width
    found: dict[str, dict[str, Any]] = {
        "observation.state": _feature([len(STATE)], list(STATE)),
        "observation.audio": _feature([contract.array.mics, contract.window_samples], ["microphone", "sample"]),
        "observation.depth": _feature([height, width], ["height", "width"]),
        "observation.images.depth": {
            "dtype": "image", "shape": [height, width, 3], "names": ["height", "width", "channels"],
        },
        "action": _feature([len(ACTION)], list(ACTION)),
        "next.done": {"dtype": "bool", "shape": [1], "names": None},
        "due_ns": {"dtype": "int64", "shape": [1], "names": None},
    }  # fmt: skip
    if contract.goal is not None:
        found["observation.goal"] = _feature([contract.goal.size], None)
    if contract.caution:
        found["observation.caution"] = _feature([1], None)
    return found


def _feature(shape: list[int], labels: list[str] | None) -> dict[str, Any]:
    return {"dtype": "float32", "shape": shape, "names": labels}


def _runs(episode: Episode) -> list[list[Recomputed]]:
    """Part the steps into runs without a gap and without a reset of the memory."""
    runs: list[list[Recomputed]] = []
    last = None
    for step in replayed(episode):
        if step.due is None:
            last = None
            continue
        if last is None or step.due.step != last + 1 or step.observation[names.EPISODE_START][0] > 0:
            runs.append([])
        runs[-1].append(step)
        last = step.due.step
    return runs


def _columns(contract: Contract, run: list[Recomputed]) -> dict[str, Column]:
    kinds = features(contract)
    seen = {name: np.stack([step.observation[name] for step in run]) for name in run[0].observation}
    state = [seen[name].reshape(len(run), -1) for name in (names.MOTION, names.MOTION_VALID, names.DEPTH_AGE_S)]
    asked = [[float(step.logged["v_mps"]), float(step.logged["w_radps"]), float(step.logged["stop"])] for step in run]
    colours = DEPTH_PALETTE[depth_indices(seen[names.DEPTH], contract.camera.max_range_m)]
    done = np.zeros(len(run), dtype=bool)
    done[-1] = True
    values: dict[str, Any] = {
        "observation.state": np.concatenate(state, axis=1),
        "observation.audio": seen[names.AUDIO],
        "observation.depth": seen[names.DEPTH],
        "action": np.array(asked, dtype=np.float32),
        "next.done": done,
        "due_ns": np.array([step.due.due_ns for step in run if step.due is not None], dtype=np.int64),
    }
    if contract.goal is not None:
        values["observation.goal"] = seen[names.GOAL]
    if contract.caution:
        values["observation.caution"] = seen[names.CAUTION]
    for name, value in values.items():
        if not np.isfinite(value).all():
            raise ValueError(f"{name} that isn't finite")
    columns = {name: Column(kinds[name], value) for name, value in values.items()}
    pictures = [png_rgb(picture) for picture in colours]
    columns["observation.images.depth"] = Column(kinds["observation.images.depth"], pictures, colours)
    return {name: columns[name] for name in kinds}
