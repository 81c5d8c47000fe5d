"""The front ends of a network: from an observation to what its encoders read. Nothing of them is trained with it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from phonotaxis.configs import contract as names
from phonotaxis.configs.config_error import ConfigError
from phonotaxis.configs.contract import Contract
from phonotaxis.configs.goal import EMBEDDING, GOAL_SIZE
from phonotaxis.configs.training import PolicyConfig
from phonotaxis.policies.audio_front_end import AudioFrontEnd
from phonotaxis.policies.depth_front_end import DepthFrontEnd
from phonotaxis.policies.motion_front_end import MotionFrontEnd
from phonotaxis.policies.understanding import Understanding

MOTION_FEATURES = "motion"  # keys of the features, besides AUDIO, DEPTH, GOAL and CAUTION
ONE_MICROPHONE = "one_microphone"  # of `PolicyConfig.senses`


class FrontEnds(nn.Module):
    """The front ends of sound, sight and motion; a sense that is left out is zeros, and costs nothing.

    Attributes:
        audio: of all microphones, or of the array's first.
        depth: of the depth image.
        motion: of odometry and body.
        understanding: of sentences; None where words are read as they are.
    """

    def __init__(self, contract: Contract, config: PolicyConfig) -> None:
        """Compute the constants.

        Raises:
            ConfigError: the camera, the front end or the goal's embedding of the contract doesn't fit the network.
        """
        super().__init__()
        goal, kinds = contract.goal, config.understood_kinds
        if goal is not None and kinds and (goal.embedding, goal.size) != (EMBEDDING, GOAL_SIZE):
            raise ConfigError(f"understood_kinds: this version names kinds by '{EMBEDDING}', not '{goal.embedding}'")
        self.understanding = Understanding(kinds) if goal is not None and kinds else None
        self._first_alone = ONE_MICROPHONE in config.senses
        self._hears = self._first_alone or names.AUDIO in config.senses
        self._sees = names.DEPTH in config.senses
        self.audio = AudioFrontEnd(of_first_microphone(contract) if self._first_alone else contract)
        self.depth = DepthFrontEnd(contract)
        self.motion = MotionFrontEnd(contract)
        has = {names.GOAL: contract.goal is not None, names.CAUTION: contract.caution}
        self._told = [name for name, there in has.items() if there]

    def forward(self, observation: dict[str, Tensor]) -> dict[str, Tensor]:
        """Compute the features.

        Args:
            observation: tensors [batch, *shape] of `contract.observations()`; `episode_start` isn't read.

        Returns:
            audio float32 [batch, F], depth float32 [batch, 2, 32, 32], motion float32 [batch, 12] and, where the
            contract has them, goal float32 [batch, n] and caution float32 [batch, 1].
        """
        sound = observation[names.AUDIO]
        features = {
            names.AUDIO: _sensed(self._hears, self.audio, sound[:, :1] if self._first_alone else sound),
            names.DEPTH: _sensed(self._sees, self.depth, observation[names.DEPTH]),
            MOTION_FEATURES: self.motion(
                observation[names.MOTION], observation[names.MOTION_VALID], observation[names.DEPTH_AGE_S]
            ),
        }
        features |= {name: observation[name] for name in self._told}
        if self.understanding is not None:
            features[names.GOAL] = self.understanding(observation[names.GOAL])
        return features


def _sensed(there: bool, front_end: AudioFrontEnd | DepthFrontEnd, raw: Tensor) -> Tensor:
    if not there:
        # `raw.new_zeros` is exported as an operator that makes a tensor of any size, which no bundle may hold.
        return torch.zeros((raw.shape[0], *front_end.shape), device=raw.device)
    features: Tensor = front_end(raw)
    return features


def of_first_microphone(contract: Contract) -> Contract:
    """Return the contract of one who hears with the array's first microphone alone."""
    array = contract.array
    first = {"mic_xyz_m": array.mic_xyz_m[:1], "channel_map": array.channel_map[:1]}
    return contract.model_copy(update={"array": array.model_copy(update=first)})
