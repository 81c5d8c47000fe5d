"""How a policy is built: the network's sizes and the way its senses are fused."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from phonotaxis.configs.base import Frozen


class PolicyConfig(Frozen):
    """The network. Its default size is 0.8 M parameters: on CPUs the learner is the bottleneck.

    Sizes are numbers of units.

    Attributes:
        fusion: "concatenate", one vector of all senses; "film", where sound and goal scale and shift what is seen
            (Perez et al. 2018); "attention", a small transformer over the tokens of all senses (Vaswani et al. 2017).
        map_cells: a side, of a map that is carried along: where the source may be, what was seen, where the robot has
            been; 0 for none.
        listening_size: units that keep what was heard and say how the map reads what is heard now; 0 for none.
        directions: so many directions, evenly spaced, whose probabilities are learnt, and the bearing is where most of
            them lies together; 0: the bearing is the mean direction of a von Mises distribution.
        caution: also a head whose logits are added times a knob, which `phonotaxis prefer` adds and trains.
        memory: "gru", "mingru", "lstm", "transformer" over the last `memory_steps`, or "none".
        understood_kinds: kinds of sound whose names are put in the place of a sentence that means one of them, by a
            perceptron that learns from sentences before all else does (`policies.sentences`); none leaves the words as
            they are.
        senses: that are read; those left out are zeros to the network, in training as afterwards. "one_microphone" in
            the place of "audio" hears with the array's first alone: what is heard, but not from where.
    """

    audio_hidden: int = Field(default=192, ge=8, le=2048)
    audio_size: int = Field(default=128, ge=8, le=2048)
    depth_channels: tuple[int, int] = (32, 64)
    depth_size: int = Field(default=96, ge=8, le=2048)
    motion_size: int = Field(default=32, ge=4, le=2048)
    goal_size: int = Field(default=32, ge=4, le=2048)
    fusion: Literal["concatenate", "film", "attention"] = "concatenate"
    attention_size: int = Field(default=96, ge=8, le=1024)
    attention_heads: int = Field(default=4, ge=1, le=32)
    attention_layers: int = Field(default=1, ge=1, le=8)
    map_cells: int = Field(default=0, ge=0, le=128)
    listening_size: int = Field(default=0, ge=0, le=1024)
    memory: Literal["gru", "mingru", "lstm", "transformer", "none"] = "gru"
    memory_steps: int = Field(default=32, ge=1, le=512)
    memory_size: int = Field(default=256, ge=8, le=2048)
    head_hidden: int = Field(default=40, ge=8, le=2048)
    directions: int = Field(default=0, ge=0, le=360)
    caution: bool = False
    understood_kinds: tuple[str, ...] = ()
    senses: tuple[Literal["audio", "one_microphone", "depth"], ...] = ("audio", "depth")

    @model_validator(mode="after")
    def _consistent(self) -> PolicyConfig:
        if {"audio", "one_microphone"} <= set(self.senses):
            raise ValueError("senses: audio, of all microphones, or one_microphone, not both")
        if self.attention_size % self.attention_heads:
            raise ValueError(
                f"attention_size {self.attention_size} must be a multiple of attention_heads {self.attention_heads}"
            )
        if len(set(self.understood_kinds)) != len(self.understood_kinds) or len(self.understood_kinds) == 1:
            raise ValueError(f"understood_kinds: none, or two or more that differ; got {list(self.understood_kinds)}")
        if 0 < self.directions < 24:
            raise ValueError(f"directions: none (0), or 24 and more; got {self.directions}")
        if self.listening_size and not self.map_cells:
            raise ValueError("listening_size says how a map reads what is heard, and map_cells is 0: set both or none")
        if not all(1 <= channels <= 1024 for channels in self.depth_channels):
            raise ValueError(f"depth_channels must lie in 1..1024, got {list(self.depth_channels)}")
        return self
