"""The senses: encoders of what is heard, seen, felt and sought, and their fusion; the part without memory."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

from phonotaxis.configs import contract as names
from phonotaxis.configs.contract import Contract
from phonotaxis.configs.training import PolicyConfig
from phonotaxis.policies.audio_front_end import AudioLayout
from phonotaxis.policies.encoders import AudioEncoder, DepthEncoder, VectorEncoder
from phonotaxis.policies.front_ends import MOTION_FEATURES
from phonotaxis.policies.fusion import build_fusion
from phonotaxis.policies.motion_front_end import MotionFrontEnd


class Sensed(NamedTuple):
    """What the senses make of one moment.

    Attributes:
        fused: float32 [batch, size].
        shown: float32 [batch, azimuths, features], what each direction shows, with what is sought in mind.
    """

    fused: Tensor
    shown: Tensor


class Senses(nn.Module):
    """Encoders and fusion.

    Attributes:
        size: length of the fused vector.
    """

    def __init__(self, contract: Contract, config: PolicyConfig, layout: AudioLayout) -> None:
        """Build encoders for what the contract has, and their fusion."""
        super().__init__()
        goal = contract.goal
        self.goal = None if goal is None else VectorEncoder(goal.size, 2 * config.goal_size, config.goal_size)
        goal_size = 0 if goal is None else config.goal_size
        self.audio = AudioEncoder(layout, goal_size, config.audio_hidden, config.audio_size)
        self.motion = VectorEncoder(MotionFrontEnd.size, config.motion_size, config.motion_size)
        self.depth = DepthEncoder(config.depth_channels)
        sizes = [config.audio_size, config.motion_size] + ([goal_size] if goal_size else [])
        self.fusion = build_fusion(sizes, self.depth.cells, self.depth.channels, config)
        self.size = self.fusion.size

    def forward(self, features: dict[str, Tensor]) -> Tensor:
        """Fuse the features of `Policy.features` into float32 [batch, size]."""
        return self.sense(features).fused

    def sense(self, features: dict[str, Tensor]) -> Sensed:
        """Fuse, and give what is heard by direction too."""
        goal = None if self.goal is None else self.goal(features[names.GOAL])
        embedding, shown = self.audio(features[names.AUDIO], goal)
        vectors = [embedding, self.motion(features[MOTION_FEATURES])]
        seen = self.depth(features[names.DEPTH])
        return Sensed(self.fusion(vectors if goal is None else [*vectors, goal], seen), shown)
