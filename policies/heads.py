"""Heads: what is read from the memory."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

MEAN_DISTANCE_M = 5.0  # of a start in an apartment, roughly: where the distance head begins
MIN_LOG_STD = 0.05  # 5 %: no estimate from sound is surer, and the likelihood stays bounded


class Heads(nn.Module):
    """Action and value, and where the source is believed to be, which makes the decision visible."""

    def __init__(self, memory_size: int, hidden: int, actions: int) -> None:
        """Build heads for `actions` logits or means, with `hidden` units before action and place."""
        super().__init__()
        last = nn.Linear(hidden, actions)
        self.action = nn.Sequential(nn.Linear(memory_size, hidden), nn.ReLU(), last)
        self.value = nn.Linear(memory_size, 1)
        self.place = nn.Sequential(nn.Linear(memory_size, hidden), nn.ReLU(), nn.Linear(hidden, 5))
        # No action is preferred before the first update.
        nn.init.uniform_(last.weight, -1e-2, 1e-2)
        nn.init.zeros_(last.bias)

    def forward(self, memory: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Read the heads.

        Args:
            memory: float32 [..., memory_size].

        Returns:
            Action logits or means [..., actions]; value [..., 1]; bearing [..., 3] as
            `contract.BEARING_FIELDS` (cosine and sine of unit length, concentration > 0); distance [..., 2]
            as `contract.DISTANCE_FIELDS` (log metres, standard deviation > 0.05).
        """
        cosine_sine, concentration, log_m, log_std = self.place(memory).split([2, 1, 1, 1], dim=-1)
        length = torch.sqrt((cosine_sine * cosine_sine).sum(dim=-1, keepdim=True).clamp(min=1e-8))
        concentration = nn.functional.softplus(concentration) + 1e-3
        bearing = torch.cat([cosine_sine / length, concentration], dim=-1)
        log_std = nn.functional.softplus(log_std) + MIN_LOG_STD
        distance = torch.cat([log_m + math.log(MEAN_DISTANCE_M), log_std], dim=-1)
        return self.action(memory), self.value(memory), bearing, distance


class CautionHead(nn.Module):
    """What preferences add to the logits or means: `caution` times what is read here.

    A policy learnt from preferences is its reference times the exponential of a reward over a temperature (Rafailov et
    al. 2023), so a share of what is added stands for a higher temperature: a closer hold on the reference, chosen when
    the policy runs and not when it is trained (Liu et al. 2024, Decoding-time realignment of language models).
    """

    def __init__(self, memory_size: int, hidden: int, actions: int) -> None:
        """Build a head that adds nothing before its first update."""
        super().__init__()
        self.added = nn.Sequential(nn.Linear(memory_size, hidden), nn.ReLU(), nn.Linear(hidden, actions))
        self.silence()

    def silence(self) -> None:
        """Let it add nothing, in a way that it can learn from."""
        for values in self.added[-1].parameters():
            nn.init.zeros_(values)

    def forward(self, memory: Tensor, caution: Tensor) -> Tensor:
        """Return what is to be added, [..., actions], of memory [..., memory_size] and caution [..., 1] in 0..1."""
        added: Tensor = caution * self.added(memory)
        return added
