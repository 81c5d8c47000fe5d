"""A session: worlds that walk, and only so many threads at work."""

from __future__ import annotations

import pytest

from phonotaxis.configs.task import AudioGoalTask
from phonotaxis.envs import world as world_module
from phonotaxis.envs.bench import session as session_module
from phonotaxis.envs.bench.session import Session
from phonotaxis.envs.threads import cores


@pytest.fixture(scope="module")
def session(task: AudioGoalTask) -> Session:
    return Session(worlds=3, threads=(1,), seed=0, task=task)


def test_a_block_counts_its_steps_and_episodes_and_splits_its_time(session: Session) -> None:
    block = session.block(1, seconds=0.15)
    assert block.steps % 3 == 0
    assert block.episodes == pytest.approx(block.steps / 5, abs=3)
    assert block.seconds >= 0.15
    assert block.cpu_s > 0.0
    assert min(block.parts_s.values()) >= 0.0
    for part in ("responses", "convolution", "converter", "hearing", "depth", "motion", "resets", "observations"):
        assert block.parts_s[part] > 0.0, part
    assert 0.5 * block.seconds < sum(block.parts_s.values()) <= block.seconds  # the rest draws actions
    assert block.transforms_s > 0.0


def test_worlds_begin_anew_at_different_times(session: Session) -> None:
    assert len({int(steps) for steps in session.envs[1].world.steps}) > 1


def test_batches_of_a_session_share_scenes_and_fields_but_not_episodes(
    task: AudioGoalTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (session_module, world_module):
        monkeypatch.setattr(module, "cores", lambda: 2)
    session = Session(worlds=2, threads=(1, 2), seed=0, task=task, wears=False)
    one, two = session.envs[1].world, session.envs[2].world
    assert one.library is two.library is session.library
    assert session.wear is None
    assert {e.seed for e in one.episodes if e}.isdisjoint({e.seed for e in two.episodes if e})


def test_misuse_is_named(task: AudioGoalTask) -> None:
    with pytest.raises(ValueError, match="discrete"):
        Session(1, (1,), 0, task.model_copy(update={"actions": "continuous"}))
    many = cores() + 1
    with pytest.raises(ValueError, match=f"{many} threads asked for"):
        Session(1, (1, many), 0, task)
