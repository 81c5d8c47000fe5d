"""The worlds as Gymnasium and Stable-Baselines3 know them."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.wrappers.vector import RecordEpisodeStatistics
from stable_baselines3.common.env_checker import check_env as check_env_sb3

from phonotaxis.configs.base import ConfigError
from phonotaxis.configs.task import AudioGoalTask
from phonotaxis.envs.gym import AudioGoalEnv, AudioGoalVectorEnv
from phonotaxis.envs.library import Library
from phonotaxis.envs.metrics import EpisodeResult
from phonotaxis.registration import IDS

FORWARD, LEFT = 1, 2


@pytest.fixture(scope="module")
def task(make_task: Callable[..., AudioGoalTask]) -> AudioGoalTask:
    return make_task(max_steps=6)


@pytest.fixture(scope="module")
def library(task: AudioGoalTask) -> Library:
    return Library(task)


@pytest.fixture
def envs(task: AudioGoalTask, library: Library) -> Iterator[AudioGoalVectorEnv]:
    envs = AudioGoalVectorEnv(3, task, library=library)
    yield envs
    envs.close()


def equal(ours: dict[str, np.ndarray], theirs: dict[str, np.ndarray]) -> bool:
    return all(ours[name].tobytes() == theirs[name].tobytes() for name in ours) and ours.keys() == theirs.keys()


@pytest.mark.filterwarnings("ignore:.*Box observation space (minimum|maximum) value is:UserWarning")
@pytest.mark.parametrize("env_id", IDS)
def test_checkers_pass(env_id: str, task: AudioGoalTask) -> None:
    """Both checkers pass on the worlds as registered; odometry and ages have no bounds to warn about."""
    env = gymnasium.make(env_id, task=task, render_mode="rgb_array")
    check_env(env.unwrapped)
    check_env_sb3(env.unwrapped, warn=False)  # it would have every observation flat, which waveforms aren't
    env.close()


@pytest.mark.filterwarnings("ignore:.*Box observation space (minimum|maximum) value is:UserWarning")
def test_checkers_pass_with_everything_on(make_task: Callable[..., AudioGoalTask], everything: dict[str, Any]) -> None:
    task = make_task(max_steps=6, response_s=0.1, **everything)
    env = gymnasium.make(IDS[0], task=task, render_mode="rgb_array")
    assert env.observation_space["color"].dtype == env.observation_space["semantic"].dtype == np.uint8
    check_env(env.unwrapped)
    check_env_sb3(env.unwrapped, warn=False)
    env.close()


@pytest.mark.parametrize("env_id", IDS)
def test_a_registered_world_runs_as_it_comes(env_id: str) -> None:
    env = gymnasium.make(env_id)
    assert env.spec is not None
    assert env.unwrapped.world.task.max_steps == 500
    observation, info = env.reset(seed=3)
    assert observation in env.observation_space
    assert info == {}
    observation, reward, terminated, truncated, _ = env.step(env.action_space.sample())
    assert observation in env.observation_space
    assert isinstance(reward, float)
    assert not (terminated and truncated)


@pytest.mark.parametrize("env_id", IDS)
def test_a_native_batch_shows_what_single_worlds_show(env_id: str, task: AudioGoalTask) -> None:
    """World i of a batch seeded with s is the single world seeded with s + i, through several episodes."""
    envs = gymnasium.make_vec(env_id, num_envs=3, task=task)
    assert isinstance(envs, AudioGoalVectorEnv)
    singles = [gymnasium.make(env_id, task=task) for _ in range(3)]
    observations, _ = envs.reset(seed=40)
    assert observations in envs.observation_space
    for index, env in enumerate(singles):
        alone, _ = env.reset(seed=40 + index)
        assert equal(alone, {name: array[index] for name, array in observations.items()})
    envs.action_space.seed(1)
    ended = 0
    for _ in range(15):
        actions = envs.action_space.sample()
        observations, rewards, terminated, truncated, info = envs.step(actions)
        assert observations in envs.observation_space
        for index, env in enumerate(singles):
            alone, reward, *done, single_info = env.step(actions[index])
            assert (reward, *done) == (rewards[index], terminated[index], truncated[index])
            if any(done):
                ended += 1
                assert equal(alone, info["final_obs"][index])
                results = info["final_info"]["episode_result"]
                assert {name: values[index] for name, values in results.items() if name[0] != "_"} == (
                    single_info["episode_result"]
                )
                alone, _ = env.reset()
            assert equal(alone, {name: array[index] for name, array in observations.items()})
    assert ended >= 6


def test_autoreset_begins_anew_in_the_step_that_ends(envs: AudioGoalVectorEnv) -> None:
    assert envs.metadata["autoreset_mode"] == AutoresetMode.SAME_STEP
    before, _ = envs.reset(seed=0)
    assert before["episode_start"].tolist() == [[1.0]] * 3
    after, _, terminated, truncated, info = envs.step(np.array([FORWARD, 0, LEFT]))
    assert terminated.tolist() == [False, True, False]
    assert not truncated.any()
    assert after["episode_start"].tolist() == [[0.0], [1.0], [0.0]]
    assert info["_final_obs"].tolist() == info["_final_info"].tolist() == [False, True, False]
    last = info["final_obs"][1]
    assert last in envs.single_observation_space
    assert last["episode_start"] == 0.0
    assert not np.array_equal(last["audio"], after["audio"][1])
    assert info["final_obs"][0] is None
    results = info["final_info"]["episode_result"]
    assert results["_stopped"].tolist() == [False, True, False]
    assert results["stopped"][1]
    assert results["steps"][1] == 1


def test_episodes_are_truncated_when_their_steps_are_used_up(envs: AudioGoalVectorEnv) -> None:
    envs.reset(seed=1)
    for step in range(1, 7):
        _, _, terminated, truncated, info = envs.step(np.full(3, LEFT))
        assert not terminated.any()
        assert truncated.tolist() == [step == 6] * 3
    assert not info["final_info"]["episode_result"]["stopped"].any()
    assert info["final_info"]["episode_result"]["steps"].tolist() == [6, 6, 6]


def test_info_is_an_episodes_account(task: AudioGoalTask, library: Library) -> None:
    env = AudioGoalEnv(task=task, library=library)
    env.reset(seed=5)
    *_, info = env.step(FORWARD)
    assert info == {}
    *_, terminated, truncated, info = env.step(0)
    assert (terminated, truncated) == (True, False)
    result = EpisodeResult.from_dict(info["episode_result"])
    assert (result.steps, result.stopped) == (2, True)
    assert result.path_length_m <= task.step_m + 1e-9


def test_observations_are_copies(envs: AudioGoalVectorEnv) -> None:
    first, _ = envs.reset(seed=2)
    kept = {name: array.copy() for name, array in first.items()}
    envs.step(np.full(3, FORWARD))
    assert equal(first, kept)


def test_without_copies_observations_are_the_worlds_own(task: AudioGoalTask, library: Library) -> None:
    copied = AudioGoalVectorEnv(2, task, library=library)
    shared = AudioGoalVectorEnv(2, task, library=library, copy=False)
    first, _ = shared.reset(seed=3)
    copied.reset(seed=3)
    for _ in range(task.max_steps):
        seen, *_, info = shared.step(np.array([1, 2]))
        expected, *_, expected_info = copied.step(np.array([1, 2]))
        for name, array in seen.items():
            assert np.array_equal(array, expected[name]), name
            assert np.shares_memory(array, first[name]), name  # what was handed out before has moved on
    for world in range(2):  # but not what an episode ended with
        last = info["final_obs"][world]
        assert last.keys() == seen.keys()
        for name, array in last.items():
            assert np.array_equal(array, expected_info["final_obs"][world][name]), name
            assert not np.shares_memory(array, seen[name]), name
    with pytest.raises(ValueError, match="read-only"):
        seen["audio"][:] = 0.0


def test_a_mask_resets_some_worlds(envs: AudioGoalVectorEnv) -> None:
    envs.reset(seed=2)
    before, *_ = envs.step(np.full(3, FORWARD))
    after, _ = envs.reset(options={"reset_mask": np.array([False, True, False])})
    assert after["episode_start"].tolist() == [[0.0], [1.0], [0.0]]
    for index in (0, 2):
        assert equal({n: a[index] for n, a in before.items()}, {n: a[index] for n, a in after.items()})
    assert envs.world.steps.tolist() == [1, 0, 1]


def test_a_seed_reaches_no_world_that_is_not_reset(envs: AudioGoalVectorEnv) -> None:
    """As in Gymnasium's SyncVectorEnv: who isn't reset goes on drawing where it was."""
    envs.reset(seed=2)
    onward, _ = envs.reset()
    envs.reset(seed=2)
    mask = np.array([False, True, False])
    envs.reset(seed=77, options={"reset_mask": mask})
    after, _ = envs.reset()
    same = [after["audio"][k].tobytes() == onward["audio"][k].tobytes() for k in range(3)]
    assert same == [True, False, True]


def test_a_tasks_actions_are_kept_and_an_id_that_says_others_is_refused(
    make_task: Callable[..., AudioGoalTask],
) -> None:
    kinds = {"discrete": gymnasium.spaces.Discrete, "continuous": gymnasium.spaces.Box}
    tasks = {kind: make_task(response_s=0.1, actions=kind) for kind in kinds}
    for kind, space in kinds.items():
        assert isinstance(AudioGoalEnv(task=tasks[kind]).action_space, space)
        assert isinstance(AudioGoalVectorEnv(2, tasks[kind]).single_action_space, space)
    with pytest.raises(ConfigError, match=f"says continuous, the environment was asked for discrete; .*make {IDS[1]}"):
        gymnasium.make(IDS[0], task=tasks["continuous"])
    assert isinstance(gymnasium.make(IDS[1], task=tasks["discrete"]).action_space, kinds["continuous"])
    own = AudioGoalTask.model_validate(make_task(response_s=0.1).model_dump())  # as suites and checkpoints give it
    for env_id, space in zip(IDS, kinds.values()):
        assert isinstance(gymnasium.make(env_id, task=own).action_space, space)


def test_episodes_can_be_named(envs: AudioGoalVectorEnv, task: AudioGoalTask, library: Library) -> None:
    observations, _ = envs.reset(options={"episode_seeds": np.array([7, 8, 7])})
    assert equal({n: a[0] for n, a in observations.items()}, {n: a[2] for n, a in observations.items()})
    alone, _ = AudioGoalEnv(task=task, library=library).reset(options={"episode_seed": 8})
    assert equal(alone, {name: array[1] for name, array in observations.items()})


@pytest.mark.parametrize("seed", [3.9, True, "7", -1, [7], 2**63, 2**64 - 1, 2**70])
def test_a_single_worlds_episode_is_named_by_a_whole_number(
    task: AudioGoalTask, library: Library, seed: object
) -> None:
    env = AudioGoalEnv(task=task, library=library)
    first, _ = env.reset(seed=3)
    drawn = env.np_random.bit_generator.state
    with pytest.raises(ValueError, match=r"episode_seed: expected a whole number from 0 to 2\^63 - 1, got"):
        env.reset(seed=4, options={"episode_seed": seed})
    assert env.np_random.bit_generator.state == drawn
    env.step(FORWARD)  # the episode goes on


def test_seeds_may_be_given_one_by_one(envs: AudioGoalVectorEnv) -> None:
    together, _ = envs.reset(seed=10)
    singly, _ = envs.reset(seed=[10, 11, 12])
    assert equal(together, singly)
    onward, _ = envs.reset(seed=[10, None, 12])
    same = [onward["audio"][k].tobytes() == singly["audio"][k].tobytes() for k in range(3)]
    assert same == [True, False, True]


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"options": {"reset_mask": np.array([True])}}, r"reset_mask: expected bool \[3\], got bool \[1\]"),
        (
            {"options": {"reset_mask": np.array([0, 1, 2])}},
            r"reset_mask: expected bool \[3\], got int64 \[3\]",
        ),
        ({"options": {"episode_seeds": [1, 2]}}, r"episode_seeds: expected .*\[3\], got .*\[2\]"),
        ({"options": {"episode_seeds": [1, -2, 3]}}, r"episode_seeds: .*from 0 to 2\^63 - 1, got -2 to 3"),
        ({"options": {"episode_seeds": np.array([2**63, 1, 2], np.uint64)}}, r"episode_seeds: .*from 0 to 2\^63 - 1"),
        ({"options": {"episode_seeds": [0.5, 1, 2]}}, r"episode_seeds: expected integers \[3\], got float64"),
        ({"options": {"mask": None}}, r"unknown option 'mask'; did you mean 'reset_mask'"),
        ({"seed": [1, 2]}, r"seed: expected one for each of 3 worlds, got 2"),
        ({"seed": -1}, r"seed: .*at least 0, or None, got -1"),
        ({"seed": [1.5, 2, 3]}, r"seed: expected whole numbers of at least 0, or None, got 1.5"),
    ],
)
def test_a_wrong_reset_is_named(envs: AudioGoalVectorEnv, kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        envs.reset(**kwargs)


def test_a_step_before_the_first_reset_is_an_error(task: AudioGoalTask, library: Library) -> None:
    fresh = AudioGoalVectorEnv(2, task, library=library)
    with pytest.raises(ValueError, match="reset"):
        fresh.step(np.array([FORWARD, FORWARD]))
    fresh.reset(seed=0, options={"reset_mask": np.array([True, False])})
    with pytest.raises(ValueError, match=r"world 1 .*reset"):
        fresh.step(np.array([FORWARD, FORWARD]))


@pytest.mark.parametrize(
    ("actions", "message"),
    [
        (np.array([1, 1]), r"integer actions \[3\], got int64 \[2\]"),
        (np.array([1.0, 1.0, 1.0]), r"integer actions \[3\], got float64 \[3\]"),
        (np.array([0, 4, 1]), r"0\.\.3, got 0\.\.4"),
        (np.array([0, -1, 1]), r"0\.\.3, got -1\.\.1"),
    ],
)
def test_wrong_actions_are_named(envs: AudioGoalVectorEnv, actions: np.ndarray, message: str) -> None:
    envs.reset(seed=0)
    with pytest.raises(ValueError, match=message):
        envs.step(actions)


@pytest.mark.parametrize("actions", [np.zeros(3), np.zeros((3, 2)), np.full((3, 3), np.nan)])
def test_wrong_continuous_actions_are_named(task: AudioGoalTask, actions: np.ndarray) -> None:
    envs = AudioGoalVectorEnv(3, task, actions="continuous")
    envs.reset(seed=0)
    with pytest.raises(ValueError, match=r"finite actions \[3, 3\]"):
        envs.step(actions)


def test_gymnasiums_statistics_wrapper_counts_episodes(envs: AudioGoalVectorEnv) -> None:
    recorded: VectorEnv[Any, Any, Any] = RecordEpisodeStatistics(envs)
    recorded.reset(seed=0)
    total = np.zeros(3)
    for _ in range(6):
        _, reward, _, _, info = recorded.step(np.full(3, LEFT))
        total += reward
    assert info["_episode"].all()
    episode = info["episode"]
    np.testing.assert_allclose(episode["r"], total, atol=1e-6)
    assert episode["l"].tolist() == [6, 6, 6]


def test_overrides_and_presets(library: Library) -> None:
    env = AudioGoalEnv(task=library.task, turn_deg=15.0)
    assert env.world.contract.actions.setpoints[2][1] * 0.25 == pytest.approx(np.radians(15.0))
    with pytest.raises(ConfigError, match="^task audiogoal: turn_degrees: unknown key; did you mean 'turn_deg'"):
        AudioGoalEnv(task=library.task, turn_degrees=15.0)
    with pytest.raises(ConfigError, match="^task audiogoal: turn_deg: .*less than or equal to 90, got 400.0$"):
        gymnasium.make(IDS[0], task=library.task, turn_deg=400.0)


def test_what_a_world_can_not_be_made_with_is_refused(task: AudioGoalTask, library: Library) -> None:
    with pytest.raises(ValueError, match="render_mode: expected 'rgb_array' or None, got 'xyz'"):
        AudioGoalEnv(task=task, library=library, render_mode="xyz")
    for threads in (0, -5):
        with pytest.raises(ValueError, match=f"threads must be at least 1, got {threads}"):
            AudioGoalVectorEnv(2, task, threads=threads, library=library)


def test_closing_frees_worlds_and_threads(task: AudioGoalTask) -> None:
    library = Library(task)

    def workers() -> int:
        return sum(thread.name.startswith("phonotaxis-worlds") for thread in threading.enumerate())

    before = workers()
    envs, alone = AudioGoalVectorEnv(4, task, threads=2, library=library), AudioGoalEnv(task=task, library=library)
    envs.reset(seed=0)
    alone.reset(seed=0)
    held = weakref.ref(envs.world)
    assert workers() == before + (envs.world.threads > 1)
    assert any(library._field_slots.users)
    for each in (envs, alone):
        each.close()
        each.close()  # may be called again
        assert each.contract == task.contract()
        with pytest.raises(ValueError, match="the environment is closed; make another"):
            each.reset()
    assert workers() == before
    assert not any(library._field_slots.users)  # who shares the library may drop them
    gc.collect()
    assert held() is None


def test_films_last_as_long_as_what_they_show(task: AudioGoalTask) -> None:
    faster = task.model_copy(update={"hop_samples": 2000, "window_samples": 2000})
    for one, fps in ((task, 4), (faster, 8)):
        env = AudioGoalEnv(task=one)
        assert env.metadata["render_fps"] == fps
        env.close()


def test_the_picture_shows_depth(task: AudioGoalTask, library: Library) -> None:
    env = AudioGoalEnv(task=task, library=library, render_mode="rgb_array")
    observation, _ = env.reset(seed=0)
    picture = env.render()
    assert picture is not None
    assert (picture.shape, picture.dtype) == ((64, 64, 3), np.uint8)
    depth = observation["depth"]
    row, column = np.unravel_index(np.argmin(np.where(depth > 0, depth, np.inf)), depth.shape)
    assert picture[row, column, 0] == picture.max()
    assert AudioGoalEnv(task=task, library=library).render() is None


def test_a_single_world_must_be_reset_before_and_after_an_episode(task: AudioGoalTask, library: Library) -> None:
    env = AudioGoalEnv(task=task, library=library)
    with pytest.raises(ValueError, match="call reset"):
        env.step(FORWARD)
    env.reset(seed=0)
    env.step(0)
    with pytest.raises(ValueError, match="it is over; call reset"):
        env.step(FORWARD)
    with pytest.raises(ValueError, match="unknown option 'episode_seeds'; did you mean 'episode_seed'"):
        env.reset(options={"episode_seeds": [1]})
