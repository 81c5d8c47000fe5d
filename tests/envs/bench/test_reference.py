"""RLR as a clock: which poses it gets, with which settings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from phonotaxis.configs.task import AudioGoalTask
from phonotaxis.envs.bench import reference
from phonotaxis.envs.bench.reference import PLACES, SETTINGS, Walk, jobs_of, record_walks
from phonotaxis.envs.bench.session import Session
from phonotaxis.envs.scenes.scene import Scene


@pytest.fixture(scope="module")
def session(task: AudioGoalTask) -> Session:
    return Session(worlds=8, threads=(1,), seed=0, task=task, wears=False)


def test_walks_are_the_worlds_own(session: Session) -> None:
    world = session.envs[1].world
    before = world.pose.copy()
    walks = record_walks(session, steps=3)
    assert len(walks) == PLACES
    sources = {tuple(world.library.fields[slot].source_m) for slot in range(len(world.library.fields))}
    for walk in walks:
        assert 1 <= len(walk.poses) <= 3
        assert {source for source, _ in walk.poses} <= sources
        assert len({source for source, _ in walk.poses}) == 1  # one episode each
        _, (x, y, z) = walk.poses[0]
        assert [x, y] in before[:, :2].tolist()
        assert z == pytest.approx(0.45)  # of the array
        steps = np.diff([listener for _, listener in walk.poses], axis=0)
        assert np.all(np.hypot(steps[:, 0], steps[:, 1]) < 0.26)


def test_each_setting_is_timed_on_each_walk(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[Any, ...]] = []

    def seconds(scene: Scene, poses: Sequence[Any], *setting: Any) -> float:
        asked.append((len(poses), *setting))
        return 0.125

    monkeypatch.setattr(reference, "rlr_seconds_per_response", seconds)
    scene: Any = object()
    walks = [Walk(scene, [((0.0, 0.0, 1.0), (1.0, float(k), 0.5)) for k in range(4)])] * 2
    jobs = jobs_of(walks)
    assert [name for name, _ in jobs] == [setting.name for setting in SETTINGS for _ in range(2)]
    assert [job() for _, job in jobs] == [0.125] * len(jobs)
    assert asked[::2] == asked[1::2] == [
        (4, 250, 16000, 200, 4.0),
        (4, 500, 16000, 200, 4.0),
        (1, 5000, 44100, 200, 4.0),
        (4, 500, 16000, 50, 1.0),
    ]  # fmt: skip
