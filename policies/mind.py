"""What a policy keeps from step to step: a map of its belief, where it has one, and its memory."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from phonotaxis.configs.contract import Contract
from phonotaxis.configs.training import PolicyConfig
from phonotaxis.policies import belief, memory
from phonotaxis.policies.belief import Belief, BeliefMap
from phonotaxis.policies.memory import build_memory
from phonotaxis.policies.senses import Sensed, Senses


class Mind(nn.Module):
    """Memory behind a map.

    What is perceived comes as one vector: the moment; then, with a map, what that takes in. The moment with what the
    map says is what memory takes in, and what is read beside it.

    Attributes:
        inputs: length of what is perceived.
        size: length of what is read.
        state_size: length of the state, the memory's and then the map's.
    """

    def __init__(self, contract: Contract, config: PolicyConfig, senses: Senses) -> None:
        """Build memory and map behind these senses."""
        super().__init__()
        size = config.memory_size
        self.moment = nn.Linear(senses.size, size)
        self.memory = build_memory(size, config)
        self.size, self.state_size = size + self.memory.size, self.memory.state_size
        self.inputs = size
        self.map: BeliefMap | None = None
        if config.map_cells:
            self.map = BeliefMap(
                contract, config.map_cells, senses.audio.layout.azimuths, senses.audio.shown, senses.size, size,
                config.listening_size,
            )  # fmt: skip
            self._parts = [size, self.map.inputs]
            self._states = [self.memory.state_size, self.map.state_size]
            self.inputs, self.state_size = sum(self._parts), sum(self._states)

    def prepare(self, sensed: Sensed, depth: Tensor, motion: Tensor) -> Tensor:
        """Make of one moment what `step` takes in.

        Args:
            sensed: of the moment.
            depth: float32 [batch, 2, 32, 32], of the front end.
            motion: float32 [batch, 12], of the front end.

        Returns:
            float32 [batch, inputs].
        """
        moment: Tensor = self.moment(sensed.fused)
        if self.map is None:
            return torch.relu(moment)
        return torch.cat([moment, self.map.perceive(sensed.shown, sensed.fused, depth, motion)], dim=1)

    def step(self, perceived: Tensor, state: Tensor, episode_start: Tensor) -> tuple[Tensor, Tensor, Belief | None]:
        """Take one step.

        Args:
            perceived: float32 [batch, inputs].
            state: float32 [batch, state_size]; ignored where the episode starts.
            episode_start: float32 [batch, 1].

        Returns:
            What is read, float32 [batch, size]; the state; the belief, where there is a map.
        """
        into_map = None if self.map is None else self.map.step
        return self._keep(perceived, state, episode_start, self.memory.step, into_map)

    def unroll(self, perceived: Tensor, state: Tensor, episode_start: Tensor) -> tuple[Tensor, Tensor, Belief | None]:
        """Take several steps: as `step` one by one, up to rounding; leading [time] but for the state before."""
        into_map = None if self.map is None else self.map.unroll
        return self._keep(perceived, state, episode_start, self.memory.unroll, into_map)

    def _keep(
        self,
        perceived: Tensor,
        state: Tensor,
        episode_start: Tensor,
        into_memory: Callable[[Tensor, Tensor, Tensor], Tensor],
        into_map: Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor, Belief]] | None,
    ) -> tuple[Tensor, Tensor, Belief | None]:
        """Take what is perceived into the map, where there is one, and into memory, by a step or several of each."""
        if into_map is None:
            kept = into_memory(perceived, state, episode_start)
            return self._read(perceived, kept), kept, None
        moment, news = perceived.split(self._parts, dim=-1)
        remembered, known = state.split(self._states, dim=-1)
        told, known, believed = into_map(news, known, episode_start)
        moment = torch.relu(moment + told)
        remembered = into_memory(moment, remembered, episode_start)
        return self._read(moment, remembered), torch.cat([remembered, known], dim=-1), believed

    def _read(self, moment: Tensor, remembered: Tensor) -> Tensor:
        return torch.cat([moment, self.memory.read(remembered)], dim=-1)


def state_size(config: PolicyConfig) -> int:
    """Return the length of the state of what the configuration names."""
    of_map = belief.state_size(config.map_cells, config.listening_size) if config.map_cells else 0
    return memory.state_size(config) + of_map
