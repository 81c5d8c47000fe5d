"""Episodes and what they draw on: starts, levels, sources, and a library that gives nothing away that is in use."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from phonotaxis.configs.task import AudioGoalTask, SoundSet
from phonotaxis.envs.episodes import Episode, draw_episode
from phonotaxis.envs.library import Library
from phonotaxis.envs.scenes.scene import SceneError
from phonotaxis.envs.world import World

MakeTask = Callable[..., AudioGoalTask]


@pytest.fixture(scope="module")
def drawn(make_task: MakeTask) -> tuple[Library, list[Episode]]:
    """Draw 300 episodes in three apartments."""
    library = Library(make_task("apartment", count=3, sources_per_scene=2, min_distance_m=2.0, max_distance_m=12.0))
    return library, [draw_episode(library, seed) for seed in range(300)]


def test_levels_spread_by_ten_decibels_either_way(drawn: tuple[Library, list[Episode]]) -> None:
    library, episodes = drawn
    mean = library.task.sounds.mean_level_db_spl
    levels = np.array([episode.level_db_spl for episode in episodes])
    assert mean - 10 <= levels.min() < mean - 9
    assert mean + 9 < levels.max() <= mean + 10
    assert abs(levels.mean() - mean) < 1.0
    distances = [library.scenes[e.scene].geodesic_distance_m(e.pose[:2], _source(library, e)) for e in episodes]
    assert abs(np.corrcoef(levels, distances)[0, 1]) < 0.2  # loudness is not distance


def test_starts_stand_where_the_task_allows(drawn: tuple[Library, list[Episode]]) -> None:
    library, episodes = drawn
    for episode in episodes:
        scene = library.scenes[episode.scene]
        assert library.walkable(episode.scene)[scene.cell_of(*episode.pose[:2])]
        metres = scene.geodesic_distance_m(episode.pose[:2], _source(library, episode))
        assert 2.0 - 1e-6 <= metres <= 12.0 + 1e-6
    yaw = np.array([episode.pose[2] for episode in episodes])
    assert np.abs(yaw).max() <= np.pi
    assert np.abs(np.exp(1j * yaw).mean()) < 0.15


def _source(library: Library, episode: Episode) -> tuple[float, float]:
    x, y, _ = library.fields[episode.field].source_m
    return x, y


def test_most_starts_do_not_see_the_source(make_task: MakeTask) -> None:
    world = World(make_task("apartment", count=3, sources_per_scene=2, response_s=0.1), 60)
    world.begin(np.arange(60), np.arange(60))
    hidden = 1.0 - world.source_visible.mean()
    assert hidden >= 0.5
    assert hidden < 1.0


def test_all_that_can_be_drawn_is_drawn(drawn: tuple[Library, list[Episode]]) -> None:
    library, episodes = drawn
    assert {episode.scene for episode in episodes} == {0, 1, 2}
    assert len({episode.field for episode in episodes}) == 6
    assert {episode.sound for episode in episodes} == set(range(len(library.sounds)))
    assert all(0 <= e.offset < library.signal_spans[e.sound, 1] for e in episodes)


def test_a_seed_says_the_same_in_any_order(drawn: tuple[Library, list[Episode]]) -> None:
    library, episodes = drawn
    for seed in (299, 7, 100):
        assert draw_episode(library, seed) == episodes[seed]


def test_a_task_without_a_start_is_named(make_task: MakeTask) -> None:
    library = Library(make_task(min_distance_m=30.0, max_distance_m=40.0))
    with pytest.raises(SceneError, match=r"no start between 30.0 and 40.0 m .*smaller distances or a larger scene"):
        draw_episode(library, 0)


def test_a_robot_too_wide_for_the_scene_is_named(make_task: MakeTask) -> None:
    library = Library(make_task().model_copy(update={"radius_m": 3.0}))
    with pytest.raises(SceneError, match=r"empty_room: no room for a robot of radius 3.0 m"):
        library.scene_slot(0)


def test_fields_in_use_are_kept(make_task: MakeTask) -> None:
    library = Library(make_task(sources_per_scene=5), max_fields=2)
    scene = library.scene_slot(0)
    first = library.field_slot(scene, 0)
    library.hold(first)
    place = library.fields[first].source_m.copy()
    second = library.field_slot(scene, 1)
    assert second != first
    assert library.field_slot(scene, 2) == second  # nobody held it
    library.hold(second)
    third = library.field_slot(scene, 3)
    assert third not in (first, second)  # both in use: the library grows rather than break a world
    assert np.array_equal(library.fields[first].source_m, place)
    library.release(first)
    assert library.field_slot(scene, 4) == first
    assert not np.array_equal(library.fields[first].source_m, place)
    again = library.field_slot(scene, 0)
    assert np.array_equal(library.fields[again].source_m, place)


def test_sources_stand_in_the_open(make_task: MakeTask) -> None:
    library = Library(make_task("apartment", count=1, sources_per_scene=8))
    scene_slot = library.scene_slot(0)
    scene = library.scenes[scene_slot]
    heights = []
    for number in range(8):
        field = library.field_slot(scene_slot, number)
        x, y, z = library.fields[field].source_m
        row, column = scene.cell_of(x, y)
        assert library.walkable(scene_slot)[row, column]
        assert scene.floor_m[row, column] < z < scene.ceiling_m[row, column]
        assert tuple(library.walks[field].goal_xy) == (x, y)
        assert library.walks[field].distance_m[row, column] == 0.0
        heights.append(z)
    assert 0.3 <= min(heights) < max(heights) <= 1.6


def test_recordings_of_a_folder_are_played(make_task: MakeTask, tmp_path: Path) -> None:
    rng = np.random.Generator(np.random.PCG64(0))
    for name, rate_hz in (("a.wav", 16000), ("b.flac", 44100)):
        soundfile.write(tmp_path / name, 0.1 * rng.standard_normal(2 * rate_hz), rate_hz)
    library = Library(make_task(sounds=SoundSet(folder=str(tmp_path))))
    assert len(library.sounds) == 2
    rms = [np.sqrt(np.mean(samples**2)) for samples in _signals(library)]
    assert rms == pytest.approx([1.0, 1.0], rel=1e-3)  # what levels in dB SPL refer to


def test_training_and_evaluation_hear_other_sounds(make_task: MakeTask) -> None:
    train, test = (
        Library(make_task(sounds=SoundSet(split=split, instances_per_kind=1))) for split in ("train", "test")
    )
    heard = {samples.tobytes() for samples in _signals(train)}
    assert len(heard) == len(train.sounds)
    assert not heard & {samples.tobytes() for samples in _signals(test)}


def _signals(library: Library) -> list[np.ndarray]:
    return [library.signals[first : first + length] for first, length in library.signal_spans]


def test_one_long_recording_among_short_ones_takes_no_more_than_it_holds(make_task: MakeTask, tmp_path: Path) -> None:
    rng = np.random.Generator(np.random.PCG64(0))
    for number in range(40):
        soundfile.write(tmp_path / f"{number}.wav", 0.1 * rng.standard_normal(8000), 16000)
    soundfile.write(tmp_path / "long.wav", 0.1 * rng.standard_normal(30 * 16000), 16000)
    library = Library(make_task(sounds=SoundSet(folder=str(tmp_path))))
    assert library.signals.nbytes < 1.2 * 4 * (40 * 8000 + 30 * 16000)
    for sound, samples in zip(library.sounds, _signals(library)):
        np.testing.assert_array_equal(samples, sound.samples)
