"""The policy's senses for Stable-Baselines3: front ends, encoders and fusion as a features extractor."""

from __future__ import annotations

from typing import Any

import gymnasium
import torch
from gymnasium import spaces
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.vec_env import VecEnv
from torch import Tensor

from phonotaxis.configs import contract as names
from phonotaxis.configs.contract import Contract
from phonotaxis.configs.training import PolicyConfig
from phonotaxis.policies.front_ends import FrontEnds
from phonotaxis.policies.senses import Senses


class FeaturesExtractor(BaseFeaturesExtractor):
    """Turns the observations of a phonotaxis environment into one vector.

    Use it as `PPO("MultiInputPolicy", env, policy_kwargs=policy_kwargs(env))`. It remembers nothing: of a
    `PolicyConfig` it takes senses, sizes and fusion, no memory and no map. For these take `RecurrentPolicy`
    (`recurrent.py`) with `RecurrentPPO` of sb3-contrib. Waveforms pass through the audio front end in each call, slower
    than the package's own trainers, where features are computed once.
    """

    def __init__(
        self,
        observation_space: spaces.Dict,
        contract: Contract | None = None,
        config: PolicyConfig | None = None,
    ) -> None:
        """Build the extractor.

        Args:
            observation_space: of the environment, with the keys of `contract.observations()`.
            contract: of the environment, see `policy_kwargs`.
            config: senses, sizes and fusion of the network.

        Raises:
            ValueError: no contract, or the space is not that of it.
        """
        if contract is None:
            raise ValueError(
                "shapes alone don't say where the microphones are: pass the environment's own contract, "
                "policy_kwargs=policy_kwargs(env), or features_extractor_kwargs={'contract': env.unwrapped.contract}"
            )
        config = (config or PolicyConfig()).model_copy(update={"understood_kinds": ()})
        _check(observation_space, contract)
        front_ends = FrontEnds(contract, config)
        senses = Senses(contract, config, front_ends.audio.layout)
        for weight in senses.parameters():  # Stable-Baselines3 initialises through views of plain layout
            weight.data = weight.data.contiguous()
        super().__init__(observation_space, features_dim=senses.size)
        self.front_ends, self.senses = front_ends, senses

    def forward(self, observations: dict[str, Tensor]) -> Tensor:
        """Fuse observations [batch, *shape] into float32 [batch, features_dim]."""
        with torch.no_grad():  # nothing before the encoders is trained
            features = self.front_ends(observations)
        fused: Tensor = self.senses(features)
        return fused


def policy_kwargs(env: gymnasium.Env[Any, Any] | VecEnv, config: PolicyConfig | None = None) -> dict[str, Any]:
    """Return what an algorithm of Stable-Baselines3 needs to see and hear an environment, as its `policy_kwargs`.

    Args:
        env: whose microphones, camera and steps the extractor is built for.
        config: senses, sizes and fusion of the network.

    Raises:
        AttributeError: it isn't one of phonotaxis's.
    """
    contract = env.get_attr("contract", 0)[0] if isinstance(env, VecEnv) else env.get_wrapper_attr("contract")
    return {
        "features_extractor_class": FeaturesExtractor,
        "features_extractor_kwargs": {"contract": contract, "config": config},
    }


def _shape(space: spaces.Dict, name: str) -> tuple[int, ...]:
    return tuple(space.spaces[name].shape or ())


def _check(space: spaces.Dict, contract: Contract) -> None:
    unread = (names.SEMANTIC, names.COLOR)  # whose axes Stable-Baselines3 may have turned already
    expected = {spec.name: spec.shape for spec in contract.observations() if spec.name not in unread}
    came = {name: _shape(space, name) for name in space.spaces if name not in unread}
    if came != expected:
        raise ValueError(f"the observation space has {came}, the contract {expected}; pass the env's own contract")
