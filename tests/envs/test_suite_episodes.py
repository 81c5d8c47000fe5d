"""What audiogoal-v1 promises, held on its actual test episodes."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from phonotaxis.configs.suite import load_suite
from phonotaxis.envs.acoustics import field
from phonotaxis.envs.acoustics.tracer import trace_late_field
from phonotaxis.envs.episodes import Episode, draw_episode
from phonotaxis.envs.library import Library
from phonotaxis.envs.scenes.raycast import line_of_sight

SUITE = load_suite("audiogoal-v1")


@pytest.fixture(scope="module")
def library() -> Library:
    task = SUITE.task_of("test").model_copy(update={"response_s": 0.05})  # shorter, cheaper: no draw depends on it
    return Library(task, max_fields=1024)


@pytest.fixture(scope="module")
def episodes(library: Library) -> list[Episode]:
    with pytest.MonkeyPatch.context() as patch:  # episodes don't depend on the late field: eight rays will do
        patch.setattr(field, "trace_late_field", partial(trace_late_field, rays=8))
        return [draw_episode(library, seed) for seed in SUITE.seeds("test")]


def test_there_are_five_hundred_in_many_apartments_of_four_rooms_and_more(
    library: Library, episodes: list[Episode]
) -> None:
    assert len(episodes) >= 500
    used = {episode.scene for episode in episodes}
    assert len(used) >= 100
    rooms = [len(np.unique(library.scenes[slot].room)) - 1 for slot in used]  # -1 stands for walls
    assert min(rooms) >= 4


def test_half_of_the_ways_are_longer_than_eight_metres(library: Library, episodes: list[Episode]) -> None:
    ways_m = []
    for episode in episodes:
        row, column = library.scenes[episode.scene].cell_of(*episode.pose[:2])
        ways_m.append(float(library.walks[episode.field].distance_m[row, column]))
    assert np.median(ways_m) >= 8.0
    assert min(ways_m) >= SUITE.task.min_distance_m


def test_at_least_half_of_the_starts_are_out_of_sight(library: Library, episodes: list[Episode]) -> None:
    hidden = []
    for episode in episodes:
        plan = library.scene_sounds[episode.scene].plan
        x, y, _ = episode.pose
        source = library.fields[episode.field].source_m
        hidden.append(
            not line_of_sight(plan.floor, plan.ceiling, plan.inv, plan.ox, plan.oy, x, y, 0.45, *source)
        )  # the array stands at 0.45 m
    assert np.mean(hidden) >= 0.5


def test_levels_spread_over_ten_decibels_either_way(episodes: list[Episode]) -> None:
    levels = np.array([episode.level_db_spl for episode in episodes])
    assert 65.0 <= levels.min() < 66.0
    assert 84.0 < levels.max() <= 85.0
    assert all(episode.ends_s > 1e5 and not episode.others for episode in episodes)
