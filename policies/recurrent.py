"""Our policy where Stable-Baselines3's RecurrentPPO expects its own: same network, same weights, same numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from sb3_contrib.common.recurrent.policies import RecurrentMultiInputActorCriticPolicy
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper
from stable_baselines3.common.vec_env.base_vec_env import VecEnvObs, VecEnvStepReturn
from torch import Tensor, nn

from phonotaxis.policies.mind import Mind
from phonotaxis.policies.policy import Policy


class FeatureEnv(VecEnvWrapper):
    """Runs the front ends where experience is collected, so that learning doesn't pass waveforms again and again.

    Args:
        venv: whose observations are those of the policy's contract.
        policy: whose front ends are used; nothing of them is trained here.
    """

    def __init__(self, venv: VecEnv, policy: Policy) -> None:
        self.policy = policy
        observation = {spec.name: torch.zeros(1, *spec.shape) for spec in policy.contract.observations()}
        shapes = {name: tuple(value.shape[1:]) for name, value in policy.features(observation).items()}
        bounds: dict[str, spaces.Space[Any]] = {
            name: spaces.Box(-np.inf, np.inf, shape, np.float32) for name, shape in shapes.items()
        }
        super().__init__(venv, observation_space=spaces.Dict(bounds))

    def reset(self) -> VecEnvObs:
        """Begin anew; returns features by name, float32 [worlds, ...]."""
        return self._features(self.venv.reset())

    def step_wait(self) -> VecEnvStepReturn:
        """Act; as `StableBaselinesEnv.step_wait`, with features in the place of observations."""
        observations, rewards, done, infos = self.venv.step_wait()
        for info in infos:
            if "terminal_observation" in info:
                last = {name: value[None] for name, value in info["terminal_observation"].items()}
                info["terminal_observation"] = {name: value[0] for name, value in self._features(last).items()}
        return self._features(observations), rewards, done, infos

    def _features(self, observations: VecEnvObs) -> dict[str, np.ndarray]:
        assert isinstance(observations, dict)
        rows = np.arange(len(next(iter(observations.values()))))
        seen = self.policy.contract.seen(observations, rows)  # a task that names no goal shows none to who can be told
        tensors = {name: torch.from_numpy(np.ascontiguousarray(value)) for name, value in seen.items()}
        return {name: value.numpy() for name, value in self.policy.features(tensors).items()}


class _Senses(BaseFeaturesExtractor):
    """What a policy makes of features before its memory."""

    def __init__(self, observation_space: spaces.Dict, policy: Policy) -> None:
        super().__init__(observation_space, features_dim=policy.mind.inputs)
        self.policy = policy

    def forward(self, features: dict[str, Tensor]) -> Tensor:
        return self.policy.perceive(features)


class _MemoryAsLstm(nn.Module):
    """A memory behind the face of `torch.nn.LSTM`: its state is the hidden one, the cell stays as it came."""

    def __init__(self, mind: Mind) -> None:
        super().__init__()
        self.mind = mind
        self.input_size, self.hidden_size, self.num_layers = mind.inputs, mind.state_size, 1

    def forward(self, inputs: Tensor, states: tuple[Tensor, Tensor]) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Take [time, batch, features] and states [1, batch, state]; return what the heads read, and the states."""
        starts = torch.zeros((*inputs.shape[:2], 1), device=inputs.device)  # the caller has cleared what is to be
        read, unrolled, _ = self.mind.unroll(inputs, states[0][0], starts)
        return read, (unrolled[-1:], states[1])


class RecurrentPolicy(RecurrentMultiInputActorCriticPolicy):
    """A `Policy` for RecurrentPPO: `RecurrentPPO(RecurrentPolicy, FeatureEnv(env, policy), policy_kwargs=...)`.

    `policy_kwargs={"policy": policy}` hands the network over; it is trained in place. The value is learnt from what
    the memory holds, without shaping it.
    """

    def __init__(
        self, observation_space: spaces.Space[Any], action_space: spaces.Space[Any], lr_schedule: Any, policy: Policy,
        **options: Any,
    ) -> None:  # fmt: skip
        """Take a policy's modules in the place of Stable-Baselines3's.

        Raises:
            ValueError: the actions are not discrete.
        """
        if not isinstance(action_space, spaces.Discrete):
            raise ValueError("RecurrentPolicy speaks of discrete actions; make the task with actions='discrete'")
        super().__init__(
            observation_space, action_space, lr_schedule, net_arch=[], ortho_init=False,
            features_extractor_class=_Senses, features_extractor_kwargs={"policy": policy},
            lstm_hidden_size=1, shared_lstm=True, enable_critic_lstm=False, **options,
        )  # fmt: skip
        # Their LSTM is thrown away: as large as the state, a map's too, it would take four times its square.
        self.lstm_actor = _MemoryAsLstm(policy.mind)
        self.lstm_hidden_state_shape = (1, 1, policy.mind.state_size)
        self.action_net, self.value_net = policy.heads.action, policy.heads.value
        self.optimizer = self.optimizer_class(self.parameters(), lr=lr_schedule(1), **self.optimizer_kwargs)

    def critic_parameters(self) -> list[nn.Parameter]:
        """Return the weights of the value alone."""
        return list(self.value_net.parameters())


def set_learning(policy: RecurrentPolicy, critic_alone: bool) -> None:
    """Let the value alone learn, or everything."""
    own = {id(weight) for weight in policy.critic_parameters()}
    for weight in policy.parameters():
        weight.requires_grad_(not critic_alone or id(weight) in own)


__all__ = ["FeatureEnv", "RecurrentPolicy", "set_learning"]
