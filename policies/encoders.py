"""Encoders: from a sense's features to an embedding."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from phonotaxis.policies.audio_front_end import AudioLayout
from phonotaxis.policies.depth_front_end import DEPTH_CELLS


class VectorEncoder(nn.Module):
    """A small perceptron for features without spatial layout: motion, a named goal."""

    def __init__(self, features: int, hidden: int, size: int) -> None:
        """Build two layers.

        Args:
            features: number of inputs.
            hidden: units of the hidden layer.
            size: units of the embedding.
        """
        super().__init__()
        self.size = size
        self.layers = nn.Sequential(
            nn.Linear(features, hidden), nn.LayerNorm(hidden), nn.ReLU(), nn.Linear(hidden, size), nn.ReLU()
        )

    def forward(self, features: Tensor) -> Tensor:
        """Embed float32 [batch, features] as float32 [batch, size], non-negative."""
        embedding: Tensor = self.layers(features)
        return embedding


class AudioEncoder(nn.Module):
    """Reads the map over azimuths by one small network for every direction, told what is heard and what is sought.

    The context (spectrum, power by elevation, array, goal) scales and shifts what each direction shows (FiLM, Perez et
    al. 2018): which bands of the map belong to the sought sound is a matter of its spectrum. Weights are shared over
    azimuths, and a direction sees its two neighbours, so a sound from the left is learnt along with one from the right.

    Attributes:
        size: of the embedding.
        shown: features of each azimuth, its neighbours' among them.
    """

    def __init__(self, layout: AudioLayout, goal_size: int, hidden: int, size: int) -> None:
        """Build the layers.

        Args:
            layout: of the features.
            goal_size: length of the goal's embedding; 0 where there is none.
            hidden: units of the context.
            size: units of the embedding.
        """
        super().__init__()
        self.size = size
        self.layout = layout
        units = max(8, hidden // 4)
        self.shown = 3 * units
        narrow = max(8, units // 4)
        told = layout.told + goal_size
        self.context = nn.Sequential(nn.Linear(told, hidden), nn.LayerNorm(hidden), nn.ReLU())
        self.film = nn.Linear(hidden, 2 * units)
        self.around = nn.Linear(3 * layout.bands, units)
        self.direction = nn.Linear(3 * units, narrow)
        self.together = nn.Sequential(nn.Linear(layout.azimuths * narrow + hidden, size), nn.LayerNorm(size), nn.ReLU())

    def forward(self, features: Tensor, goal: Tensor | None) -> tuple[Tensor, Tensor]:
        """Read float32 [batch, F] and [batch, goal_size].

        Returns:
            An embedding float32 [batch, size] and what each azimuth shows, float32 [batch, azimuths, shown]; neither is
            negative.
        """
        layout = self.layout
        flat, told = features.split([layout.sizes[0], layout.told], dim=1)
        context = self.context(told if goal is None else torch.cat([told, goal], dim=1))
        scale, shift = self.film(context)[:, None].chunk(2, dim=2)
        directions = flat.unflatten(1, (layout.bands, layout.azimuths)).transpose(1, 2)
        shown = torch.relu(self.around(with_neighbours(directions)) * (1.0 + scale) + shift)
        shown = with_neighbours(shown)
        found = torch.relu(self.direction(shown))
        embedding: Tensor = self.together(torch.cat([found.flatten(1), context], dim=1))
        return embedding, shown


def with_neighbours(ring: Tensor) -> Tensor:
    """Put each direction's neighbours beside it, [batch, azimuths, n] to [batch, azimuths, 3 n]."""
    before = torch.cat([ring[:, -1:], ring[:, :-1]], dim=1)
    after = torch.cat([ring[:, 1:], ring[:, :1]], dim=1)
    return torch.cat([before, ring, after], dim=2)


class DepthEncoder(nn.Module):
    """Two strided convolutions over pooled depth.

    Half of a network's training time on CPUs goes here, so the first layer is wide-strided (three layers of
    stride two cost 2.3 times as much and imitated no better) and weights are `channels_last` (1.6 times
    faster).
    """

    def __init__(self, channels: tuple[int, int]) -> None:
        """Build the layers; the last of `channels` is the length of a token."""
        super().__init__()
        first, second = channels
        self.channels = second
        self.cells = (DEPTH_CELLS // 8) ** 2
        self.layers = nn.Sequential(
            nn.Conv2d(2, first, 6, stride=4, padding=1),
            nn.ReLU(),
            nn.Conv2d(first, second, 3, stride=2, padding=1),
            nn.ReLU(),
        )
        for weight in self.layers.parameters():
            if weight.ndim == 4:
                weight.data = weight.data.contiguous(memory_format=torch.channels_last)

    def forward(self, features: Tensor) -> Tensor:
        """Map float32 [batch, 2, 32, 32] to tokens float32 [batch, 16, channels]: 4 x 4 cells, row by row."""
        cells: Tensor = self.layers(features)
        return cells.flatten(2).transpose(1, 2)
