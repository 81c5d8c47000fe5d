"""Memory: a gated recurrent unit that an episode's start clears."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Memory(nn.Module):
    """A gated recurrent unit (Cho et al. 2014, in cuDNN's form, with the reset gate after the product).

    Attributes:
        size: units, also of the output.
        state_shape: of the state without the batch axis.
    """

    def __init__(self, features: int, size: int) -> None:
        """Build the unit for `features` inputs and `size` units."""
        super().__init__()
        self.size = size
        self.state_shape = (size,)
        self.gates_in = nn.Linear(features, 3 * size)
        self.gates_state = nn.Linear(size, 3 * size)
        for block in self.gates_state.weight.data.split(size):
            nn.init.orthogonal_(block)

    def step(self, inputs: Tensor, state: Tensor, episode_start: Tensor) -> Tensor:
        """Take one step.

        Args:
            inputs: float32 [batch, features].
            state: float32 [batch, size]; ignored where the episode starts.
            episode_start: float32 [batch, 1], 1 where the memory is to be cleared.

        Returns:
            The state after the step, which is the output too: float32 [batch, size], in [-1, 1].
        """
        return self._cell(self.gates_in(inputs), state * (1.0 - episode_start))

    def unroll(self, inputs: Tensor, state: Tensor, episode_start: Tensor) -> Tensor:
        """Take `time` steps; the same numbers as `step` one by one, up to rounding.

        Args:
            inputs: float32 [time, batch, features].
            state: float32 [batch, size] before the first step.
            episode_start: float32 [time, batch, 1].

        Returns:
            The state after each step, float32 [time, batch, size].
        """
        # All inputs in one product; the loop that remains is as fast as torch.nn.GRU's, and it can reset.
        gates = self.gates_in(inputs)
        kept = 1.0 - episode_start
        states = []
        for now in range(inputs.shape[0]):
            state = self._cell(gates[now], state * kept[now])
            states.append(state)
        return torch.stack(states)

    def _cell(self, gates: Tensor, state: Tensor) -> Tensor:
        reset_in, update_in, new_in = gates.chunk(3, dim=-1)
        reset_state, update_state, new_state = self.gates_state(state).chunk(3, dim=-1)
        update = torch.sigmoid(update_in + update_state)
        candidate = torch.tanh(new_in + torch.sigmoid(reset_in + reset_state) * new_state)
        return candidate + update * (state - candidate)
