"""The policy's senses for Stable-Baselines3: front ends, encoders and fusion as a features extractor."""

from __future__ import annotations

import torch
from gymnasium import spaces
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import Tensor

from phonotaxis.configs import contract as names
from phonotaxis.configs import presets
from phonotaxis.configs.array import MicrophoneArray
from phonotaxis.configs.contract import Contract, GoalSpec, PinholeCamera, discrete_actions
from phonotaxis.configs.training import PolicyConfig
from phonotaxis.policies.front_ends import FrontEnds
from phonotaxis.policies.senses import Senses

DEFAULT_ARRAY = "respeaker_usb_v2"


class FeaturesExtractor(BaseFeaturesExtractor):
    """Turns the observations of a phonotaxis environment into one vector.

    Use it as
    `PPO("MultiInputPolicy", env, policy_kwargs={"features_extractor_class": FeaturesExtractor})`.
    It remembers nothing; take `RecurrentPPO` of sb3-contrib for a memory. Waveforms pass through the audio
    front end in each call, slower than the package's own trainers, where features are computed once.
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
            contract: of the environment (`env.unwrapped.contract`). Without it the shapes are taken from the
                space, and rate, camera range and microphone positions are the defaults.
            config: senses, sizes and fusion of the network.

        Raises:
            ValueError: the space is not that of the contract, or the default array has other microphones.
        """
        contract = contract or contract_of(observation_space)
        config = config or PolicyConfig()
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


def contract_of(space: spaces.Dict) -> Contract:
    """Guess a contract from the shapes of an observation space and the default array.

    Raises:
        ValueError: the space lacks an observation, or doesn't have the default array's number of microphones.
    """
    missing = {names.AUDIO, names.DEPTH} - set(space.spaces)
    if missing:
        raise ValueError(f"the observation space lacks {sorted(missing)}; it has {sorted(space.spaces)}")
    mics, window = _shape(space, names.AUDIO)
    height, width = _shape(space, names.DEPTH)
    array = presets.load("arrays", DEFAULT_ARRAY, MicrophoneArray)
    if mics != array.mics:
        raise ValueError(
            f"the space has {mics} microphones, the default array {DEFAULT_ARRAY} has {array.mics}: pass the "
            "environment's own, features_extractor_kwargs={'contract': env.unwrapped.contract}"
        )
    goal = GoalSpec(size=_shape(space, names.GOAL)[0], embedding="unknown") if names.GOAL in space.spaces else None
    camera = PinholeCamera(width=width, height=height, cx=width / 2, cy=height / 2, fx=width / 2, fy=width / 2)
    return Contract(
        task="stable-baselines3",
        window_samples=window,
        hop_samples=min(window, 4000),
        array=array,
        camera=camera,
        actions=discrete_actions(0.25, 0.17, 0.25),
        goal=goal,
    )


def _shape(space: spaces.Dict, name: str) -> tuple[int, ...]:
    return tuple(space.spaces[name].shape or ())


def _check(space: spaces.Dict, contract: Contract) -> None:
    unread = (names.SEMANTIC, names.COLOR)  # whose axes Stable-Baselines3 may have turned already
    expected = {spec.name: spec.shape for spec in contract.observations() if spec.name not in unread}
    came = {name: _shape(space, name) for name in space.spaces if name not in unread}
    if came != expected:
        raise ValueError(f"the observation space has {came}, the contract {expected}; pass the env's own contract")
