"""Sources: several at once, that come on, stop, or play once."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from pydantic import ValidationError

from phonotaxis.configs.base import ConfigError
from phonotaxis.configs.sources import Sources
from phonotaxis.configs.task import AudioGoalTask, SceneSet
from phonotaxis.envs.acoustics.field import SourceField
from phonotaxis.envs.episodes import FOREVER_S, draw_episode
from phonotaxis.envs.library import Library, WalkField, load_scene
from phonotaxis.envs.scenes.scene import Scene
from phonotaxis.envs.world import World

MakeTask = Callable[..., AudioGoalTask]
QUIET = {"response_s": 0.1, "max_steps": 40}


def loudness(world: World, steps: int) -> np.ndarray:
    """Stand still for some steps; returns the level of each, float64 [steps, worlds]."""
    levels = []
    for _ in range(steps):
        world.step_setpoints(np.zeros(world.num_worlds), np.zeros(world.num_worlds), np.zeros(world.num_worlds, bool))
        levels.append(np.sqrt(np.mean(world.observation["audio"].astype(float) ** 2, axis=(1, 2))))
    return np.array(levels)


def begun(task: AudioGoalTask, worlds: int = 2) -> World:
    world = World(task, worlds)
    world.begin(np.arange(worlds), np.arange(worlds))
    return world


def test_the_default_draws_what_it_drew_before_there_was_more(make_task: MakeTask) -> None:
    plain, more = (Library(make_task(**QUIET, sources=sources)) for sources in (Sources(), Sources(distractors=2)))
    for seed in range(5):
        one, other = draw_episode(plain, seed), draw_episode(more, seed)
        assert one.others == ()
        assert (one.begins_s, one.ends_s) == (-FOREVER_S, FOREVER_S)
        assert one == other._replace(others=(), field=one.field)
        assert len(other.others) == 2


def test_distractors_are_of_other_kinds_at_other_places_and_are_heard(make_task: MakeTask) -> None:
    task = make_task(**QUIET, sources=Sources(distractors=2, distractor_level_db=(20.0, 20.0)))
    world = begun(task, 4)
    library = world.library
    for episode in world.episodes:
        assert episode is not None
        for other in episode.others:
            assert library.sounds[other.sound].kind != library.sounds[episode.sound].kind
            assert other.field != episode.field
            assert other.level_db_spl == pytest.approx(episode.level_db_spl + 20.0)
    alone = begun(make_task(**QUIET), 4)
    assert (loudness(world, 4).mean(axis=0) > 1.5 * loudness(alone, 4).mean(axis=0)).sum() >= 3


def test_distractors_by_kind(make_task: MakeTask) -> None:
    library = Library(make_task(**QUIET, sources=Sources(distractors=1, distractor_kinds=("speech",))))
    kinds = {library.sounds[draw_episode(library, seed).others[0].sound].kind for seed in range(6)}
    assert kinds == {"speech"}
    nothing = Library(make_task(**QUIET, sources=Sources(distractors=1, distractor_kinds=("dragon",))))
    with pytest.raises(ConfigError, match=r"no sound is of kind dragon; there are .*speech"):
        draw_episode(nothing, 0)


def test_the_goal_falls_silent_and_the_result_says_so(make_task: MakeTask) -> None:
    world = begun(make_task(**QUIET, sources=Sources(stops_after_s=(2.0, 2.0))))
    levels = loudness(world, 16)
    assert (levels[11:].max(axis=0) < 0.05 * levels[:7].max(axis=0)).all()
    assert world.result(0).sound_ended
    assert not begun(make_task(**QUIET)).result(0).sound_ended


@pytest.mark.parametrize(("ends_s", "steps"), [(2.0, 8), (2.1, 9)])
def test_the_sound_has_ended_in_the_first_window_that_holds_none_of_it(
    make_task: MakeTask, ends_s: float, steps: int
) -> None:
    """The first window, of 0.25 s, was heard before the first step: what ends at 2 s isn't in that after the eighth."""
    world = begun(make_task(**QUIET, sources=Sources(stops_after_s=(ends_s, ends_s))))
    ended = []
    for _ in range(10):
        loudness(world, 1)
        ended.append(world.result(0).sound_ended)
    assert ended.index(True) + 1 == steps


def test_a_goal_that_starts_later_or_plays_once(make_task: MakeTask) -> None:
    late = begun(make_task(**QUIET, sources=Sources(starts_after_s=(2.0, 2.0))))
    levels = loudness(late, 16)
    assert (levels[:6].max(axis=0) < 0.05 * levels[8:].max(axis=0)).all()
    once = begun(make_task(**QUIET, sources=Sources(plays="once")))
    longest_s = max(sound.duration_s for sound in once.library.sounds)
    levels = loudness(once, int(longest_s / 0.25) + 6)
    assert (levels[-3:].max(axis=0) < 0.05 * levels.max(axis=0)).all()


def test_a_snapshot_goes_on_to_the_same_bits(make_task: MakeTask) -> None:
    world = begun(make_task(**QUIET, sources=Sources(distractors=1)))
    loudness(world, 2)
    held = world.snapshot()
    first = loudness(world, 3)
    world.restore(held)
    assert np.array_equal(loudness(world, 3), first)


def test_sources_walk_to_and_fro_at_their_speed_and_are_heard_from_where_they_are(make_task: MakeTask) -> None:
    world = begun(make_task(**QUIET, sources=Sources(goal_speed_mps=1.0, distractors=1, distractor_speed_mps=0.5)))
    places = []
    for _ in range(24):
        places.append(np.array([world.source_m(k) for k in range(2)]))
        world.step(np.full(2, 2))
    moved = np.hypot(*np.diff(np.array(places), axis=0)[..., :2].transpose(2, 0, 1))
    assert moved.max() <= 0.25 + 1e-9
    assert np.median(moved) == pytest.approx(0.25, abs=0.02)  # less where it turns
    listeners = world.hearing.listeners
    assert listeners.visible.all()
    for k in range(2):  # the first path is the source itself
        assert np.allclose(listeners.path_position_m[k, 0], world.source_m(k))
    assert (listeners.blend >= 0.0).all()
    assert (listeners.blend <= 0.5).all()
    assert np.isfinite(world.observation["audio"]).all()


def test_a_source_with_nowhere_near_to_go_walks_to_another_cell(make_task: MakeTask) -> None:
    """In a room of four cells, none of them two metres away; its own was once drawn, a way of no length."""
    task = make_task(
        **QUIET, scenes={"source": "empty_room", "options": {"size_m": [0.6, 0.6]}, "count": 1}, min_distance_m=0.0,
        sources=Sources(goal_speed_mps=0.2),
    )  # fmt: skip
    world = begun(task, 8)
    world.step(np.full(8, 2))
    moved = [np.hypot(*(world.source_m(k) - world.library.fields[world.episodes[k].goal().field].source_m)[:2])
             for k in range(8)]  # fmt: skip
    assert min(moved) > 0.05
    assert np.isfinite(world.observation["audio"]).all()


def test_a_source_with_nowhere_to_go_stands_still(make_task: MakeTask) -> None:
    task = make_task(
        **QUIET, scenes={"source": "empty_room", "options": {"size_m": [0.5, 0.5]}, "count": 1}, min_distance_m=0.0,
        sources=Sources(goal_speed_mps=0.2),
    )  # fmt: skip
    world = begun(task)
    levels = loudness(world, 3)
    assert not world.hearing.listeners.moves.any()
    assert np.isfinite(world.hearing.listeners.source_m).all()
    assert (levels > 0.0).all()


def test_range_and_bearing_are_of_a_walking_source_itself_not_of_its_way_points(make_task: MakeTask) -> None:
    world = begun(make_task(**QUIET, sources=Sources(goal_speed_mps=1.0)))
    astray_m = 0.0
    for _ in range(12):
        world.step(np.full(2, 2))
        for k in range(2):
            ahead_m = world.source_m(k)[:2] - world.pose[k, :2]
            assert world.range_m[k] == pytest.approx(np.hypot(*ahead_m))
            turned = world.bearing_rad[k] - (np.arctan2(*ahead_m[::-1]) - world.pose[k, 2])
            assert np.cos(turned) == pytest.approx(1.0)
            way_point_m = world.library.fields[world.hearing.listeners.field[k]].source_m
            astray_m = max(astray_m, float(np.hypot(*(way_point_m - world.source_m(k))[:2])))
    assert astray_m > 0.2


def test_what_plays_once_and_later_begins_at_its_beginning(make_task: MakeTask) -> None:
    """A second later the same is heard as at once, from the recording's first sample on."""
    heard = []
    for starts_s in (0.0, 1.0):
        sources = Sources(plays="once", starts_after_s=(starts_s, starts_s))
        world = begun(make_task(**QUIET, sources=sources))
        tap = world.hearing.tap()
        hops = []
        for _ in range(12):
            world.hearing.hear(np.arange(2))
            hops.append(tap.copy())
        heard.append(np.array(hops))
    now, later = heard
    assert not later[:2].any()
    np.testing.assert_allclose(later[4:], now[:8], atol=1e-4 * np.abs(now).max())


@pytest.mark.parametrize(
    "sources",
    [
        {"distractors": 1, "stops_after_s": (0.5, 1.5)},
        {"goal_speed_mps": 0.7},
        {"directivity": "talker", "goal_speed_mps": 1.0, "distractors": 1},
    ],
)
def test_what_stops_walks_and_faces_is_the_same_in_any_batch_and_from_a_snapshot(
    make_task: MakeTask, sources: dict[str, object]
) -> None:
    task = make_task(**QUIET, sources=sources)
    together, alone = World(task, 3), World(task, 1)
    together.begin(np.arange(3), np.array([7, 8, 9]))
    alone.begin(np.arange(1), np.array([8]))
    for step in range(20):
        if step == 10:
            held = alone.snapshot()
            alone.begin(np.arange(1), np.array([3]))
            alone.restore(held)
        together.step(np.full(3, 1 + step % 3))
        alone.step(np.full(1, 1 + step % 3))
        assert np.array_equal(together.observation["audio"][1], alone.observation["audio"][0])


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"stops_after_s": (5.0, 1.0)}, "stops_after_s: the lower end 5 exceeds the upper end 1"),
        ({"starts_after_s": (2.0, 4.0), "stops_after_s": (3.0, 9.0)}, "would never be heard"),
        ({"starts_after_s": (-1.0, 0.0)}, "at least 0"),
        ({"distractors": 99}, "less than or equal to 7"),
    ],
)
def test_misuse_is_named(fields: dict[str, object], message: str) -> None:
    with pytest.raises((ValidationError, ConfigError), match=message):
        Sources.model_validate(fields)


def test_what_walks_under_something_low_ducks(make_task: MakeTask, monkeypatch: pytest.MonkeyPatch) -> None:
    def half_under_a_gallery(scene_set: SceneSet, index: int) -> Scene:
        scene = load_scene(scene_set, index)
        scene.ceiling_m[:, : scene.shape[1] // 2] = np.float32(0.8)
        return scene

    monkeypatch.setattr("phonotaxis.envs.library.load_scene", half_under_a_gallery)
    task = make_task(**QUIET, sources_per_scene=8, source_height_m=(1.4, 1.4), sources={"goal_speed_mps": 1.0})
    library, heights = Library(task), set()
    for seed in range(6):
        episode = draw_episode(library, seed)
        heights |= {round(float(library.fields[slot].source_m[2]), 2) for slot in episode.fields()}
    assert heights == {0.75, 1.4}


@pytest.mark.parametrize("fails_at", [2, 6])  # on the goal's way, on the distractor's
def test_an_error_on_the_way_leaves_nothing_held(
    make_task: MakeTask, monkeypatch: pytest.MonkeyPatch, fails_at: int
) -> None:
    asked, traced = iter(range(1000)), Library._field

    def fails_after_a_while(own: Library, scene_slot: int, number: int) -> tuple[SourceField, WalkField]:
        if next(asked) == fails_at:
            raise KeyboardInterrupt
        return traced(own, scene_slot, number)

    walk = {"goal_speed_mps": 1.0, "distractors": 1, "distractor_speed_mps": 1.0}
    library = Library(make_task(**QUIET, sources=walk))
    monkeypatch.setattr(Library, "_field", fails_after_a_while)
    with pytest.raises(KeyboardInterrupt):
        draw_episode(library, 0)
    assert next(asked) == fails_at + 1
    assert set(library._field_slots.users) == {0}
