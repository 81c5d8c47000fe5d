"""What a policy keeps from step to step: a compass, where it has one, and its memory."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from phonotaxis.configs.contract import Contract
from phonotaxis.configs.training import PolicyConfig
from phonotaxis.policies import memory
from phonotaxis.policies.compass import TERMS, Compass, column_azimuths
from phonotaxis.policies.memory import build_memory
from phonotaxis.policies.senses import Sensed, Senses

_COLUMNS = 4  # of what is seen


class Mind(nn.Module):
    """Memory behind a compass.

    What is perceived comes as one vector: the moment; then, with a compass, what that takes in, how much of it, and
    the robot's turn. The moment with what the compass says is what memory takes in, and what is read beside it.

    Attributes:
        inputs: length of what is perceived.
        size: length of what is read.
        state_size: length of the state, the memory's and then the compass's.
    """

    def __init__(self, contract: Contract, config: PolicyConfig, senses: Senses) -> None:
        """Build memory and compass behind these senses."""
        super().__init__()
        size = config.memory_size
        self.moment = nn.Linear(senses.size, size)
        self.memory = build_memory(size, config)
        self.size, self.state_size = size + self.memory.size, self.memory.state_size
        self.inputs = size
        self.compass: Compass | None = None
        if config.compass_channels:
            camera = contract.camera
            azimuths = column_azimuths(_COLUMNS, camera.width, camera.fx)
            self.compass = Compass(
                senses.audio.heard, senses.depth.channels, senses.size, config.compass_channels,
                senses.audio.layout.azimuths, azimuths,
            )  # fmt: skip
            # Nothing at first, so that a policy without compass that is given one goes on as it was.
            self.bearings = nn.Linear(self.compass.state_size, size, bias=False)
            nn.init.zeros_(self.bearings.weight)
            self._parts = [size, self.compass.state_size, 2 * self.compass.channels, 1]
            self._states = [self.memory.state_size, self.compass.state_size]
            self.inputs, self.state_size = sum(self._parts), sum(self._states)
        self._turn_rad = contract.body.max_w_radps * contract.control_period_s  # the unit of the motion's features

    def prepare(self, sensed: Sensed, motion: Tensor) -> Tensor:
        """Make of one moment what `step` takes in.

        Args:
            sensed: of the moment.
            motion: float32 [batch, 12], of the front end.

        Returns:
            float32 [batch, inputs].
        """
        moment: Tensor = self.moment(sensed.fused)
        if self.compass is None:
            return torch.relu(moment)
        columns = sensed.seen.unflatten(1, (-1, _COLUMNS)).mean(dim=1)
        new, share = self.compass.perceive(sensed.heard, columns, sensed.fused)
        return torch.cat([moment, new, share, motion[:, 2:3] * self._turn_rad], dim=1)

    def step(self, perceived: Tensor, state: Tensor, episode_start: Tensor) -> tuple[Tensor, Tensor]:
        """Take one step.

        Args:
            perceived: float32 [batch, inputs].
            state: float32 [batch, state_size]; ignored where the episode starts.
            episode_start: float32 [batch, 1].

        Returns:
            What is read, float32 [batch, size], and the state.
        """
        return self._keep(perceived, state, episode_start, "step")

    def unroll(self, perceived: Tensor, state: Tensor, episode_start: Tensor) -> tuple[Tensor, Tensor]:
        """Take several steps: as `step` one by one, up to rounding; leading [time] but for the state before."""
        return self._keep(perceived, state, episode_start, "unroll")

    def _keep(self, perceived: Tensor, state: Tensor, episode_start: Tensor, how: str) -> tuple[Tensor, Tensor]:
        """Take what is perceived into compass and memory, by the method of both that is called `how`."""
        into_memory = getattr(self.memory, how)
        if self.compass is None:
            kept = into_memory(perceived, state, episode_start)
            return self._read(perceived, kept), kept
        moment, new, share, turned_rad = perceived.split(self._parts, dim=-1)
        remembered, known = state.split(self._states, dim=-1)
        known = getattr(self.compass, how)(new, share, turned_rad, known, episode_start)
        moment = torch.relu(moment + self.bearings(known))
        remembered = into_memory(moment, remembered, episode_start)
        return self._read(moment, remembered), torch.cat([remembered, known], dim=-1)

    def _read(self, moment: Tensor, remembered: Tensor) -> Tensor:
        return torch.cat([moment, self.memory.read(remembered)], dim=-1)


def state_size(config: PolicyConfig) -> int:
    """Return the length of the state of what the configuration names."""
    return memory.state_size(config) + 2 * config.compass_channels * TERMS
