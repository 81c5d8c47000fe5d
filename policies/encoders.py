"""Encoders: from a sense's features to an embedding."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from phonotaxis.policies.frontend import DEPTH_CELLS


class VectorEncoder(nn.Module):
    """A small perceptron for features without spatial layout: sound, motion, a named goal."""

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
