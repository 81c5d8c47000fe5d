"""The policy: front ends, encoders, fusion, memory and heads, and the form of it that leaves training."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from phonotaxis.configs import contract as names
from phonotaxis.configs.contract import Contract, DiscreteActions
from phonotaxis.configs.training import PolicyConfig
from phonotaxis.policies.belief import Belief
from phonotaxis.policies.directions import Directions
from phonotaxis.policies.front_ends import MOTION_FEATURES, FrontEnds
from phonotaxis.policies.heads import CautionHead, Heads
from phonotaxis.policies.mind import Mind, state_size
from phonotaxis.policies.senses import Senses

KNOB = "caution."  # begins the weights' names of the head of preferences, which `phonotaxis prefer` alone trains


class PolicyOutput(NamedTuple):
    """What a policy says; [...] is [batch] after `step` and [time, batch] after `unroll`.

    Attributes:
        logits: float32 [..., actions]; with continuous actions the mean of each, see `mean`.
        value: float32 [..., 1].
        bearing: float32 [..., 3], `contract.BEARING_FIELDS`.
        distance: float32 [..., 2], `contract.DISTANCE_FIELDS`.
        state: float32 [..., state_size] of the memory, after the step.
        belief: of the map, where the policy has one.
        directions: float32 [..., directions], see `Directions`, where the bearing is read from them.
    """

    logits: Tensor
    value: Tensor
    bearing: Tensor
    distance: Tensor
    state: Tensor
    belief: Belief | None = None
    directions: Tensor | None = None

    def tensors(self) -> dict[str, Tensor]:
        """Return what leaves a policy, by name: all but belief and directions, which are there to be learnt from."""
        return {name: value for name, value in self._asdict().items() if name not in ("belief", "directions")}

    @property
    def mean(self) -> Tensor:
        """The first head under its name for continuous actions."""
        return self.logits


class Policy(nn.Module):
    """A recurrent audio-visual policy for one contract.

    Attributes:
        contract: with `state_shape` filled in, that of the exported graph.
        config: sizes and fusion.
        log_std: of continuous actions, for training by policy gradient; float32 [3], absent for discrete
            ones.
    """

    def __init__(self, contract: Contract, config: PolicyConfig | None = None) -> None:
        """Build with random weights (torch's global generator).

        Raises:
            ConfigError: the camera or the front end of the contract doesn't fit the network.
        """
        super().__init__()
        self.config = config or PolicyConfig()
        self.contract = contract_with_state(contract, self.config)
        self.front_ends = FrontEnds(self.contract, self.config)
        self.senses = Senses(self.contract, self.config, self.front_ends.audio.layout)
        self.mind = Mind(self.contract, self.config, self.senses)
        # The heads read the present beside the memory: what a moment shows needs no detour through the recurrence,
        # which learns slowly (expected regret on the same 20,000 frames and updates: 0.53 against 0.97 without).
        self.heads = Heads(self.mind.size, self.config.head_hidden, contract.num_actions)
        self.directions: Directions | None = None
        if self.config.directions:
            self.directions = Directions(self.mind.size, 2 * self.config.head_hidden, self.config.directions)
        self.caution: CautionHead | None = None
        if self.config.caution:
            self.caution = CautionHead(self.mind.size, self.config.head_hidden, contract.num_actions)
        if not isinstance(contract.actions, DiscreteActions):
            self.log_std = nn.Parameter(torch.full((contract.num_actions,), -0.5))

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.heads.value.weight.device

    def initial_state(self, batch: int = 1) -> Tensor:
        """Return the memory before a first step: zeros, float32 [batch, state_size]."""
        return torch.zeros((batch, self.mind.state_size), device=self.device)

    @torch.no_grad()
    def features(self, observation: dict[str, Tensor]) -> dict[str, Tensor]:
        """Run the front ends, see `FrontEnds`; nothing of them is trained, so once per frame is enough."""
        features: dict[str, Tensor] = self.front_ends(observation)
        return features

    def step(self, features: dict[str, Tensor], state: Tensor, episode_start: Tensor) -> PolicyOutput:
        """Take one step.

        Args:
            features: of `features`, [batch, ...].
            state: float32 [batch, state_size].
            episode_start: float32 [batch, 1]; 1 clears the state first.

        Returns:
            Tensors with leading [batch].
        """
        return self._say(features, *self.mind.step(self.perceive(features), state, episode_start))

    def unroll(self, features: dict[str, Tensor], state: Tensor, episode_start: Tensor) -> PolicyOutput:
        """Take several steps, for training; the same numbers as `step` up to rounding.

        Args:
            features: of `features`, each [time, batch, ...].
            state: float32 [batch, state_size] before the first step.
            episode_start: float32 [time, batch, 1].

        Returns:
            Tensors with leading [time, batch].
        """
        time, batch = episode_start.shape[:2]
        flat = {name: value.flatten(0, 1) for name, value in features.items()}
        perceived = self.perceive(flat).unflatten(0, (time, batch))
        return self._say(features, *self.mind.unroll(perceived, state, episode_start))

    def perceive(self, features: dict[str, Tensor]) -> Tensor:
        """Make of features [batch, ...] what `mind` takes in, float32 [batch, mind.inputs]."""
        return self.mind.prepare(self.senses.sense(features), features[names.DEPTH], features[MOTION_FEATURES])

    def _say(self, features: dict[str, Tensor], read: Tensor, state: Tensor, belief: Belief | None) -> PolicyOutput:
        logits, value, bearing, distance = self.heads(read)
        if self.caution is not None:
            logits = logits + self.caution(read, features[names.CAUTION])
        directions: Tensor | None = None
        if self.directions is not None:
            directions = self.directions(read)
            bearing = self.directions.bearing(directions)
        return PolicyOutput(logits, value, bearing, distance, state, belief, directions)

    def action(self, logits: Tensor) -> Tensor:
        """Return the deterministic action: int64 [...] (lowest index at ties) or float32 [..., 3], ±1."""
        if isinstance(self.contract.actions, DiscreteActions):
            return logits.argmax(dim=-1)  # torch and ONNX both promise the first of equal maxima
        return logits.clamp(-1.0, 1.0)


class ExportablePolicy(nn.Module):
    """The policy as it leaves training: raw observations and state in, action and everything else out.

    Of sound it takes the new samples alone; where windows overlap, the state ends with what the next one needs again,
    [mics, overlap_samples] row by row, which an episode's start clears like the memory.
    """

    def __init__(self, policy: Policy) -> None:
        """Wrap a policy; weights are shared, not copied."""
        super().__init__()
        self.policy = policy
        self.input_names = [spec.name for spec in policy.contract.inputs()]
        self.output_names = [spec.name for spec in policy.contract.outputs()]

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Take one step.

        Args:
            inputs: tensors [batch, *shape] in the order of `contract.inputs()`.

        Returns:
            Tensors [batch, *shape] in the order of `contract.outputs()`.
        """
        named = dict(zip(self.input_names, inputs))
        memory, start = named[names.STATE_IN], named[names.EPISODE_START]
        kept: list[Tensor] = []
        if self.policy.contract.overlap_samples:
            memory, named[names.AUDIO], kept = self._whole_window(memory, named[names.AUDIO], start)
        output = self.policy.step(self.policy.front_ends(named), memory, start)
        state = torch.cat([output.state, *kept], dim=1) if kept else output.state
        return (self.policy.action(output.logits), *output._replace(state=state).tensors().values())

    def _whole_window(self, state: Tensor, new: Tensor, start: Tensor) -> tuple[Tensor, Tensor, list[Tensor]]:
        """Part the state and put the window together: memory, window [batch, mics, window], what is kept of it."""
        size, hop = self.policy.mind.state_size, self.policy.contract.hop_samples
        past = (state[:, size:] * (1.0 - start)).unflatten(1, (new.shape[1], -1))
        window = torch.cat([past, new], dim=2)
        return state[:, :size], window, [window[:, :, hop:].flatten(1)]


def contract_with_state(contract: Contract, config: PolicyConfig) -> Contract:
    """Return the contract of the network that `config` describes: its state, its knob, and depth, all that it sees."""
    size = state_size(config) + contract.array.mics * contract.overlap_samples
    own = {"state_shape": (size,), "modalities": (names.DEPTH,), "caution": config.caution}
    return contract.model_copy(update=own)
