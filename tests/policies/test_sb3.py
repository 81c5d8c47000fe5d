from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.env_checker import check_env

from phonotaxis.configs import presets
from phonotaxis.configs.array import MicrophoneArray
from phonotaxis.configs.contract import Contract, GoalSpec, discrete_actions
from phonotaxis.configs.training import PolicyConfig
from phonotaxis.policies.sb3 import FeaturesExtractor, policy_kwargs


class Dummy(gymnasium.Env[dict[str, np.ndarray], Any]):
    """An environment with the contract's observations, of noise."""

    def __init__(self, contract: Contract) -> None:
        self.contract = contract
        self.observation_space = spaces.Dict(
            {
                spec.name: spaces.Box(spec.low, spec.high, spec.shape, np.dtype(spec.dtype).type)
                for spec in contract.observations()
            }
        )
        self.action_space = spaces.Discrete(contract.num_actions)
        self._steps = 0

    def _observe(self) -> dict[str, np.ndarray]:
        return {
            spec.name: self.np_random.uniform(0, 0.5, spec.shape).astype(spec.dtype)
            for spec in self.contract.observations()
        }

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        super().reset(seed=seed)
        self._steps = 0
        return self._observe(), {}

    def step(self, action: Any) -> tuple[dict[str, np.ndarray], float, bool, bool, dict[str, Any]]:
        self._steps += 1
        return self._observe(), float(action == 1), self._steps >= 5, False, {}


def _contract(mics: int = 4, **changes: Any) -> Contract:
    array = presets.load("arrays", "respeaker_usb_v2", MicrophoneArray)
    if mics != 4:
        places = tuple((0.01 * i, 0.0, 0.4) for i in range(mics))
        array = MicrophoneArray(name="line", mic_xyz_m=places, channel_map=tuple(range(mics)), device_channels=mics)
    return Contract(task="test", array=array, actions=discrete_actions(0.25, 0.17, 0.25), **changes)


def test_ppo_learns_with_it() -> None:
    env = Dummy(_contract())
    check_env(env, warn=False)  # it would have every observation flat, which waveforms and images aren't
    model = PPO(
        "MultiInputPolicy",
        env,
        n_steps=16,
        batch_size=8,
        n_epochs=1,
        seed=0,
        device="cpu",
        policy_kwargs=policy_kwargs(env),
    )
    extractor = model.policy.features_extractor
    before = extractor.senses.depth.layers[0].weight.detach().clone()
    model.learn(16)
    assert not np.array_equal(before.numpy(), extractor.senses.depth.layers[0].weight.detach().numpy())
    observation, _ = env.reset(seed=1)
    first, _ = model.predict(observation, deterministic=True)
    again, _ = model.predict(observation, deterministic=True)
    assert first == again


def test_dqn_takes_it() -> None:
    """An algorithm of another family, off the policy, with the same extractor."""
    env = Dummy(_contract())
    model = DQN(
        "MultiInputPolicy", env, learning_starts=4, buffer_size=16, batch_size=4, train_freq=2, seed=0,
        policy_kwargs=policy_kwargs(env, PolicyConfig(audio_hidden=8, audio_size=8, depth_channels=(2, 2))),
    )  # fmt: skip
    before = [value.clone() for value in model.q_net.parameters()]
    model.learn(12)
    assert isinstance(model.q_net.features_extractor, FeaturesExtractor)
    assert any(not torch.equal(value, old) for value, old in zip(model.q_net.parameters(), before))


def test_class_and_colour_pass_by() -> None:
    """Stable-Baselines3 turns the axes of colour, and the extractor reads neither."""
    env = Dummy(_contract(modalities=("depth", "semantic", "color")))
    model = PPO(
        "MultiInputPolicy", env, n_steps=8, batch_size=8, seed=0, device="cpu", policy_kwargs=policy_kwargs(env)
    )
    assert model.observation_space["color"].shape == (3, 64, 64)
    model.learn(8)
    assert "semantic" in model.observation_space.spaces


def test_takes_the_envs_own_contract() -> None:
    contract = _contract(mics=3, goal=GoalSpec(size=6, embedding="test"))
    env = Dummy(contract)
    extractor = FeaturesExtractor(env.observation_space, contract=contract, config=PolicyConfig(depth_size=24))
    assert extractor.features_dim == extractor.senses.size


def test_leaves_out_a_sense() -> None:
    contract = _contract(mics=3)
    space = Dummy(contract).observation_space
    deaf = FeaturesExtractor(space, contract=contract, config=PolicyConfig(senses=("depth",)))
    observation = {name: torch.as_tensor(value)[None] for name, value in space.sample().items()}
    silent = observation | {"audio": torch.zeros_like(observation["audio"])}
    dark = observation | {"depth": torch.zeros_like(observation["depth"])}
    assert torch.equal(deaf(observation), deaf(silent))
    assert not torch.equal(deaf(observation), deaf(dark))


def test_names_what_does_not_fit() -> None:
    space = Dummy(_contract(mics=3)).observation_space
    with pytest.raises(ValueError, match="where the microphones are: pass the environment's own contract"):
        FeaturesExtractor(space)
    with pytest.raises(ValueError, match="the contract"):
        FeaturesExtractor(space, contract=_contract())


def test_an_array_of_as_many_microphones_is_heard_by_its_own_places() -> None:
    """Four microphones are not those of another array: their sound comes from elsewhere."""
    hat = presets.load("arrays", "respeaker_4mic_hat", MicrophoneArray)
    env = gymnasium.make("phonotaxis/AudioGoal-v0", array=hat.name)
    contract = env.unwrapped.contract  # type: ignore[attr-defined]
    assert contract.array.mic_xyz_m == hat.mic_xyz_m
    assert isinstance(env.observation_space, spaces.Dict)
    own, other = (FeaturesExtractor(env.observation_space, contract=one).front_ends for one in (contract, _contract()))
    heard, _ = env.reset(seed=0)
    observation = {name: torch.as_tensor(value)[None] for name, value in heard.items()}
    assert not torch.equal(own(observation)["audio"], other(observation)["audio"])
