"""What a sentence means: which of the known kinds of sound it names."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from phonotaxis.configs.goal import GOAL_SIZE, SURE, embed, spoken

UNDERSTANDING = "front_ends.understanding."  # begins the names of its weights in a policy's
HIDDEN = 256


class Understanding(nn.Module):
    """A small perceptron from a goal's numbers to a known kind, in whose place that kind's own numbers are put.

    Its weights learn from sentences alone (`sentences.teach`), and have no gradient where a policy learns.

    Attributes:
        kinds: that it knows.
        names: float32 [kinds, GOAL_SIZE], what a task that names its kinds outright says of each.
        layers: to the logits of each kind and, the last, of none of them.
    """

    names: Tensor

    def __init__(self, kinds: Sequence[str]) -> None:
        """Build with random weights (torch's global generator)."""
        super().__init__()
        self.kinds = tuple(kinds)
        rows = np.stack([embed(spoken(kind)) for kind in self.kinds])
        self.register_buffer("names", torch.from_numpy(rows), persistent=False)
        self.layers = nn.Sequential(nn.Linear(GOAL_SIZE, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, len(self.kinds) + 1))
        self.requires_grad_(False)

    def forward(self, goal: Tensor) -> Tensor:
        """Put the name of the kind that is meant in the place of a goal, float32 [batch, GOAL_SIZE].

        What names nothing (zeros) stays, and so does what isn't surely one of the kinds.
        """
        likely = self.likely(goal)
        sure = (likely.amax(dim=-1, keepdim=True) >= SURE) & (goal.abs().sum(dim=-1, keepdim=True) > 0.0)
        return torch.where(sure, self.names.index_select(0, likely.argmax(dim=-1)), goal)

    def likely(self, goal: Tensor) -> Tensor:
        """Return the probability of each kind, float32 [batch, kinds]; what their sum lacks of 1 is none of them."""
        return torch.softmax(self.layers(goal), dim=-1)[..., : len(self.kinds)]

    def kind_of(self, text: str) -> str | None:
        """Return the kind that a sentence names; None where that isn't sure."""
        likely = self.likely(torch.from_numpy(embed(text).copy())[None])[0]
        return self.kinds[int(likely.argmax())] if float(likely.max()) >= SURE else None
