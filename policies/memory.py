"""Memory: what a policy keeps from step to step, cleared where an episode starts.

Every kind has one state vector a world, so that exporter, engines and log need not know which it is.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from phonotaxis.configs.training import PolicyConfig


class Memory(nn.Module):
    """A memory.

    Attributes:
        size: units of what is read from it.
        state_size: length of its state.
    """

    def __init__(self, size: int, state_size: int) -> None:
        """Note the sizes."""
        super().__init__()
        self.size = size
        self.state_size = state_size

    def read(self, state: Tensor) -> Tensor:
        """Return what a state [..., state_size] says: float32 [..., size]."""
        raise NotImplementedError

    def step(self, inputs: Tensor, state: Tensor, episode_start: Tensor) -> Tensor:
        """Take one step.

        Args:
            inputs: float32 [batch, features].
            state: float32 [batch, state_size]; ignored where the episode starts.
            episode_start: float32 [batch, 1], 1 where the memory is to be cleared.

        Returns:
            The state after the step, float32 [batch, state_size].
        """
        raise NotImplementedError

    def unroll(self, inputs: Tensor, state: Tensor, episode_start: Tensor) -> Tensor:
        """Take `time` steps; the same numbers as `step` one by one, up to rounding.

        Args:
            inputs: float32 [time, batch, features].
            state: float32 [batch, state_size] before the first step.
            episode_start: float32 [time, batch, 1].

        Returns:
            The state after each step, float32 [time, batch, state_size].
        """
        states = []
        for given, starts in zip(inputs.unbind(), episode_start.unbind()):
            state = self.step(given, state, starts)
            states.append(state)
        return torch.stack(states)


def leaking(features: int, size: int) -> nn.Linear:
    """Return the layer that makes of `features` what `leak` takes; at first a step keeps from a half to 63 of 64."""
    layer = nn.Linear(features, 2 * size)
    with torch.no_grad():
        layer.bias[:size] = -torch.linspace(0.0, math.log(63.0), size)
    return layer


def leak(gates: Tensor, state: Tensor, kept: Tensor) -> Tensor:
    """Take `time` steps of units whose gates don't see their state: h' = h + update * (candidate - h).

    Under bfloat16 gates come from their products in that, and are made into the state's form first: a share kept of
    near 1 would be rounded to 1/256, and what is kept over a hundred steps learnt as another than is kept on the robot.

    Args:
        gates: float32 or bfloat16 [time, batch, 2 size], update and candidate before sigmoid and tanh.
        state: float32 [batch, size] before the first step, in [-1, 1].
        kept: float32 [time, batch, 1], 0 where the state is cleared first.

    Returns:
        The state after each step, float32 [time, batch, size].
    """
    update, candidate = gates.to(state.dtype).chunk(2, dim=-1)
    update = torch.sigmoid(update)
    added, left = update * torch.tanh(candidate), (1.0 - update) * kept
    states = []
    for add, keep in zip(added.unbind(), left.unbind()):
        state = add + keep * state
        states.append(state)
    return torch.stack(states)


class GatedMemory(Memory):
    """A gated recurrent unit (Cho et al. 2014, in cuDNN's form, with the reset gate after the product).

    Its state is its output, in [-1, 1].
    """

    def __init__(self, features: int, config: PolicyConfig) -> None:
        """Build the unit for `features` inputs."""
        size = config.memory_size
        super().__init__(size, size)
        self.gates_in = nn.Linear(features, 3 * size)
        self.gates_state = nn.Linear(size, 3 * size)
        for block in self.gates_state.weight.data.split(size):
            nn.init.orthogonal_(block)

    def read(self, state: Tensor) -> Tensor:
        """See `Memory.read`."""
        return state

    def step(self, inputs: Tensor, state: Tensor, episode_start: Tensor) -> Tensor:
        """See `Memory.step`."""
        return self._cell(self.gates_in(inputs), state * (1.0 - episode_start))

    def unroll(self, inputs: Tensor, state: Tensor, episode_start: Tensor) -> Tensor:
        """See `Memory.unroll`."""
        # All inputs in one product; the loop that remains is as fast as torch.nn.GRU's, and it can reset.
        gates = self.gates_in(inputs)
        kept = 1.0 - episode_start
        states = []
        for given, keep in zip(gates.unbind(), kept.unbind()):
            state = self._cell(given, state * keep)
            states.append(state)
        return torch.stack(states)

    def _cell(self, gates: Tensor, state: Tensor) -> Tensor:
        reset_in, update_in, new_in = gates.to(state.dtype).chunk(3, dim=-1)
        reset_state, update_state, new_state = self.gates_state(state).to(state.dtype).chunk(3, dim=-1)
        update = torch.sigmoid(update_in + update_state)
        candidate = torch.tanh(new_in + torch.sigmoid(reset_in + reset_state) * new_state)
        return candidate + update * (state - candidate)


class InputGatedMemory(Memory):
    """Two layers of units whose gates see the input alone (minGRU: Feng et al. 2024, with a bounded candidate).

    A layer's state is h' = h + update * (candidate - h), where neither update nor candidate looks at h. So two states
    that differ by rounding come nearer with every step, where a recurrence through a product may drive them apart; and
    all steps' products are one. What such a layer can't do, let what is kept decide what to keep, the second does: it
    sees the first. The state is both, one after the other, in [-1, 1]; the second is read.
    """

    def __init__(self, features: int, config: PolicyConfig) -> None:
        """Build the layers for `features` inputs."""
        size = config.memory_size
        super().__init__(size, 2 * size)
        self.first = leaking(features, size)
        self.second = leaking(features + size, size)

    def read(self, state: Tensor) -> Tensor:
        """See `Memory.read`."""
        return state[..., self.size :]

    def step(self, inputs: Tensor, state: Tensor, episode_start: Tensor) -> Tensor:
        """See `Memory.step`."""
        return self.unroll(inputs[None], state, episode_start[None])[0]

    def unroll(self, inputs: Tensor, state: Tensor, episode_start: Tensor) -> Tensor:
        """See `Memory.unroll`."""
        first, second = state.chunk(2, dim=-1)
        kept = 1.0 - episode_start
        firsts = leak(self.first(inputs), first, kept)
        seconds = leak(self.second(torch.cat([inputs, firsts], dim=-1)), second, kept)
        return torch.cat([firsts, seconds], dim=-1)


class LongShortTermMemory(Memory):
    """A long short-term memory (Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000).

    Its state is output and cell, one after the other.
    """

    def __init__(self, features: int, config: PolicyConfig) -> None:
        """Build the unit for `features` inputs; it forgets little at first (Jozefowicz et al. 2015)."""
        size = config.memory_size
        super().__init__(size, 2 * size)
        self.gates_in = nn.Linear(features, 4 * size)
        self.gates_state = nn.Linear(size, 4 * size, bias=False)
        with torch.no_grad():
            self.gates_in.bias[size : 2 * size] = 1.0

    def read(self, state: Tensor) -> Tensor:
        """See `Memory.read`."""
        return state[..., : self.size]

    def step(self, inputs: Tensor, state: Tensor, episode_start: Tensor) -> Tensor:
        """See `Memory.step`."""
        output, cell = (state * (1.0 - episode_start)).chunk(2, dim=-1)
        gates = (self.gates_in(inputs) + self.gates_state(output)).to(state.dtype)
        enter, keep, new, leave = gates.chunk(4, dim=-1)
        cell = torch.sigmoid(keep) * cell + torch.sigmoid(enter) * torch.tanh(new)
        return torch.cat([torch.sigmoid(leave) * torch.tanh(cell), cell], dim=-1)


class RecentSteps(Memory):
    """Attention over the last steps (Vaswani et al. 2017), which are kept as they were seen.

    The state holds what is read, then a count of steps, then the steps, newest first; the learnt places say how long
    ago each was. It forgets all at once what lies `memory_steps` back.
    """

    def __init__(self, features: int, config: PolicyConfig) -> None:
        """Build one attention of `attention_heads` heads and a perceptron."""
        self.steps, self.heads = config.memory_steps, config.attention_heads
        self.token = config.attention_size
        super().__init__(config.memory_size, config.memory_size + 1 + config.memory_steps * config.attention_size)
        self.into = nn.Linear(features, self.token)
        self.places = nn.Parameter(torch.randn(self.steps, self.token) * 0.1)
        self.query = nn.Linear(self.token, self.token)
        self.key_value = nn.Linear(self.token, 2 * self.token)
        self.out = nn.Sequential(
            nn.LayerNorm(2 * self.token), nn.Linear(2 * self.token, self.size), nn.ReLU(),
            nn.Linear(self.size, self.size), nn.Tanh(),
        )  # fmt: skip

    def read(self, state: Tensor) -> Tensor:
        """See `Memory.read`."""
        return state[..., : self.size]

    def step(self, inputs: Tensor, state: Tensor, episode_start: Tensor) -> Tensor:
        """See `Memory.step`."""
        _, count, past = (state * (1.0 - episode_start)).split([self.size, 1, self.steps * self.token], dim=-1)
        now = torch.tanh(self.into(inputs))
        count = (count + 1.0).clamp(max=float(self.steps))
        past = torch.cat([now, past[..., : -self.token]], dim=-1)
        return torch.cat([self._attend(now, past.unflatten(-1, (self.steps, self.token)), count), count, past], dim=-1)

    def _attend(self, now: Tensor, past: Tensor, count: Tensor) -> Tensor:
        key, value = self.key_value(past + self.places).chunk(2, dim=-1)  # each [batch, steps, token]
        query = self.query(now).unflatten(-1, (self.heads, -1))  # [batch, heads, head size]
        key, value = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in (key, value))
        scores = (key @ query[..., None])[..., 0] * query.shape[-1] ** -0.5  # [batch, heads, steps]
        unseen = torch.arange(self.steps, device=now.device) >= count  # [batch, steps]
        weights = torch.softmax(scores - 1e4 * unseen[:, None].to(scores.dtype), dim=-1)
        found = (weights[:, :, None] @ value)[:, :, 0].flatten(1)
        read: Tensor = self.out(torch.cat([now, found], dim=-1))
        return read


class NoMemory(Memory):
    """Nothing is kept: what is read is what is seen now. For measuring what a memory is good for."""

    def __init__(self, features: int, config: PolicyConfig) -> None:
        """Build a layer in the memory's place."""
        super().__init__(config.memory_size, config.memory_size)
        self.layer = nn.Linear(features, config.memory_size)

    def read(self, state: Tensor) -> Tensor:
        """See `Memory.read`."""
        return state

    def step(self, inputs: Tensor, state: Tensor, episode_start: Tensor) -> Tensor:
        """See `Memory.step`; the state is only written."""
        kept: Tensor = torch.tanh(self.layer(inputs))
        return kept


KINDS: dict[str, Callable[[int, PolicyConfig], Memory]] = {
    "gru": GatedMemory,
    "mingru": InputGatedMemory,
    "lstm": LongShortTermMemory,
    "transformer": RecentSteps,
    "none": NoMemory,
}


def build_memory(features: int, config: PolicyConfig) -> Memory:
    """Return the memory that the configuration names, for `features` inputs."""
    return KINDS[config.memory](features, config)


def state_size(config: PolicyConfig) -> int:
    """Return the length of the state of the memory that the configuration names."""
    if config.memory in ("lstm", "mingru"):
        return 2 * config.memory_size
    if config.memory == "transformer":
        return config.memory_size + 1 + config.memory_steps * config.attention_size
    return config.memory_size
