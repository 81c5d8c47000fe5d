"""The native batch under Stable-Baselines3."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import gymnasium
import numpy as np
import pytest
from stable_baselines3 import PPO

from phonotaxis.configs.task import AudioGoalTask
from phonotaxis.envs.gym import AudioGoalEnv
from phonotaxis.envs.metrics import EpisodeResult
from phonotaxis.envs.sb3 import StableBaselinesEnv, make_sb3
from phonotaxis.policies.sb3 import policy_kwargs
from phonotaxis.registration import IDS

STOP, FORWARD, LEFT = 0, 1, 2


@pytest.fixture(scope="module")
def task(make_task: Callable[..., AudioGoalTask]) -> AudioGoalTask:
    return make_task(max_steps=5, response_s=0.1)


@pytest.fixture
def envs(task: AudioGoalTask) -> Iterator[StableBaselinesEnv]:
    envs = make_sb3(3, seed=8, task=task)
    yield envs
    envs.close()


def test_world_i_is_the_single_world_of_its_seed(envs: StableBaselinesEnv, task: AudioGoalTask) -> None:
    batch = envs.reset()
    assert isinstance(batch, dict)
    for index in range(3):
        alone, _ = AudioGoalEnv(task=task).reset(seed=8 + index)
        assert all(np.array_equal(batch[name][index], alone[name]) for name in alone)
    onward = envs.reset()  # the seed is used up
    assert isinstance(onward, dict)
    assert not np.array_equal(onward["audio"], batch["audio"])


def test_what_stable_baselines_reads_at_an_end(envs: StableBaselinesEnv) -> None:
    envs.reset()
    returns = np.zeros(3)
    for step in range(1, 6):
        actions = np.array([STOP if step == 3 else LEFT, LEFT, FORWARD])
        observations, rewards, done, infos = envs.step(actions)
        assert rewards.dtype == np.float32
        returns += rewards
        if step == 3:
            assert done.tolist() == [True, False, False]
            assert infos[1] == {}
            assert infos[0]["TimeLimit.truncated"] is False
            assert infos[0]["episode"] == {"r": pytest.approx(returns[0]), "l": 3}
            last = infos[0]["terminal_observation"]
            assert last in envs.observation_space
            assert last["episode_start"] == 0.0
            assert observations["episode_start"].tolist() == [[1.0], [0.0], [0.0]]
            assert EpisodeResult.from_dict(infos[0]["episode_result"]).stopped
    assert done.tolist() == [False, True, True]
    assert infos[2]["TimeLimit.truncated"] is True
    assert infos[2]["episode"] == {"r": pytest.approx(returns[2], abs=1e-5), "l": 5}


@pytest.mark.parametrize("env_id", IDS)
def test_the_single_world_trains_in_five_lines(env_id: str, task: AudioGoalTask) -> None:
    env = gymnasium.make(env_id, task=task)
    options = policy_kwargs(env)
    model = PPO("MultiInputPolicy", env, n_steps=8, batch_size=8, n_epochs=1, policy_kwargs=options, device="cpu")
    model.learn(total_timesteps=8)
    assert model.num_timesteps == 8


@pytest.mark.parametrize("actions", ["discrete", "continuous"])
def test_the_batch_trains(task: AudioGoalTask, actions: str) -> None:
    envs = make_sb3(4, task=task, actions=actions)
    options = policy_kwargs(envs)
    model = PPO(
        "MultiInputPolicy", envs, n_steps=6, batch_size=24, n_epochs=1, policy_kwargs=options, seed=0, device="cpu"
    )
    model.learn(total_timesteps=24)
    assert model.num_timesteps == 24
    assert model.ep_info_buffer is not None
    assert len(model.ep_info_buffer) >= 4  # ends of episodes reached its log
    assert all(info["l"] <= 5 for info in model.ep_info_buffer)
    action, _ = model.predict(envs.reset(), deterministic=True)
    assert envs.action_space.contains(action[0])


def test_misuse_is_named(envs: StableBaselinesEnv) -> None:
    envs.reset()
    with pytest.raises(ValueError, match="step_async"):
        envs.step_wait()
    with pytest.raises(AttributeError, match="build another batch"):
        envs.set_attr("task", None)
    with pytest.raises(AttributeError, match="'reset' each"):
        envs.env_method("reset")
    assert envs.env_is_wrapped(gymnasium.Wrapper, [0, 2]) == [False, False]
    assert envs.get_attr("num_envs", 1) == [3]


def test_episodes_can_be_named(envs: StableBaselinesEnv, task: AudioGoalTask) -> None:
    envs.set_options({"episode_seeds": np.array([5, 6, 5])})
    observations = envs.reset()
    assert isinstance(observations, dict)
    assert np.array_equal(observations["depth"][0], observations["depth"][2])
    assert not np.array_equal(observations["depth"][0], observations["depth"][1])


def test_options_of_each_world_are_heard(envs: StableBaselinesEnv) -> None:
    envs.set_options([{"episode_seed": 5}, {"episode_seed": 6}, {"episode_seed": 5}])
    observations = envs.reset()
    assert isinstance(observations, dict)
    assert [episode.seed for episode in envs.envs.world.episodes if episode is not None] == [5, 6, 5]
    envs.set_options([{}, {}, {}])
    envs.reset()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([{"episode_seed": 5}], "expected one for each of 3 worlds, got 1"),
        ([{"episode_seed": 5}, {}, {}], "give one to every world, or to none"),
        ([{"episode_sed": 5}, {}, {}], "did you mean 'episode_seed'"),
        ([{"episode_seed": -1}] * 3, "episode_seed: expected a whole number"),
    ],
)
def test_options_that_not_every_world_can_have_are_refused(
    envs: StableBaselinesEnv, options: list[dict[str, int]], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        envs.set_options(options)


def test_observations_that_the_next_step_overwrites_are_refused(make_task: Callable[..., AudioGoalTask]) -> None:
    with pytest.raises(ValueError, match="copy=True"):
        make_sb3(1, task=make_task(), copy=False)
