"""A policy whose windows overlap, from the simulator through an episode's log to a replay."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from phonotaxis.configs.contract import EPISODE_START
from phonotaxis.configs.task import AudioGoalTask, SceneSet, SoundSet
from phonotaxis.deploy.episode_reader import read_episode
from phonotaxis.deploy.replay import check
from phonotaxis.deploy.rollout import write_rollout
from phonotaxis.envs.world import World
from phonotaxis.export.engines import open_engine

STEPS = 12


@pytest.mark.parametrize("window_samples", [4000, 10_000])
def test_an_episode_replays_bit_for_bit(repository: Path, tmp_path: Path, window_samples: int) -> None:
    spec = importlib.util.spec_from_file_location("golden_episodes", repository / "tools/golden_episodes.py")
    assert spec is not None
    assert spec.loader is not None
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    task = AudioGoalTask(
        scenes=SceneSet(source="empty_room", count=1), sounds=SoundSet(instances_per_kind=1), sources_per_scene=1,
        out_of_sight_share=0.0, window_samples=window_samples,
    )  # fmt: skip
    bundle = tool.random_policy(task)
    engine = open_engine(bundle)
    steps = list(tool.rollout(World(task, 1), engine, bundle, 3, STEPS))
    write_rollout(tmp_path / "episode.mcap", bundle, dict(engine.fingerprint), steps)
    report = check(tmp_path / "episode.mcap", bundle, engine, exact=True)
    assert report.ok, report
    assert report.stages[1].compared == STEPS
    heard = np.concatenate([block.samples for block in read_episode(tmp_path / "episode.mcap").audio()], axis=1)
    assert heard.shape[1] == STEPS * 4000  # each sample once
    assert [float(step.observation[EPISODE_START][0]) for step in steps] == [1.0] + [0.0] * (STEPS - 1)
