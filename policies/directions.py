"""A head for the source's direction that may be of two minds.

Behind a wall a sound may come from one of two rooms. A distribution of one peak then points between them, where the
source surely isn't. Here the probability of each of many directions is learnt, and the bearing is where most of it lies
together: half of all errors are smaller so, though their squares are not (a likelihood's mean direction is best in
these). Instead of the densest place itself, which would jump from one of two equals to the other by the last bit of a
product, the mean under a high power of the density is taken:

    density <- probability, smoothed over about 15 degrees
    bearing <- direction of the mean of (cosine, sine) under density ** SHARPNESS, normalised

Its concentration is that of a von Mises distribution with the same mean cosine about the bearing, by the approximation
of Banerjee et al. 2005 (Clustering on the unit hypersphere using von Mises-Fisher distributions, section 4).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

SHARPNESS = 12.0
_SMOOTH = 10.0  # concentration of what the probability is smoothed with
_TARGET = 30.0  # of what a true direction counts as: about 10 degrees
_DROPPED = 0.3  # share of what is read that is left out at random while this head learns
_LEAST, _MOST = 1e-3, 0.999  # mean cosine about the bearing


class Directions(nn.Module):
    """Reads from the memory how probable each direction is.

    Attributes:
        count: of directions, evenly spaced, the first straight ahead, then counter-clockwise.
    """

    towards: Tensor
    smoothing: Tensor

    def __init__(self, memory_size: int, hidden: int, count: int) -> None:
        """Build a head that holds every direction for equally probable."""
        super().__init__()
        self.count = count
        last = nn.Linear(hidden, count)
        self.layers = nn.Sequential(nn.Dropout(_DROPPED), nn.Linear(memory_size, hidden), nn.ReLU(), last)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        azimuth = 2.0 * math.pi * torch.arange(count, dtype=torch.float64) / count
        smoothing = torch.exp(_SMOOTH * (torch.cos(azimuth[:, None] - azimuth) - 1.0))
        towards = torch.stack([torch.cos(azimuth), torch.sin(azimuth)], dim=1)
        self.register_buffer("towards", towards.float(), persistent=False)
        self.register_buffer("smoothing", (smoothing / smoothing.sum(dim=1)).float(), persistent=False)

    def forward(self, memory: Tensor) -> Tensor:
        """Return the logarithm of each direction's probability, float32 [..., count], of memory [..., memory_size]."""
        return torch.log_softmax(self.layers(memory), dim=-1)

    def bearing(self, log_p: Tensor) -> Tensor:
        """Return where the source most likely is, float32 [..., 3], `contract.BEARING_FIELDS`."""
        p = torch.exp(log_p)
        dense = torch.softmax(SHARPNESS * torch.log(p @ self.smoothing), dim=-1) @ self.towards
        dense = dense + 1e-5 * self.towards[0]  # straight ahead, where all directions are equal
        towards = dense / torch.sqrt((dense * dense).sum(dim=-1, keepdim=True).clamp(min=1e-12))
        cosine = (towards * (p @ self.towards)).sum(dim=-1, keepdim=True).clamp(_LEAST, _MOST)
        return torch.cat([towards, cosine * (2.0 - cosine**2) / (1.0 - cosine**2)], dim=-1)


def directions_nll(log_p: Tensor, azimuth_rad: Tensor) -> Tensor:
    """Cross entropy of directions to a source that is known to about 10 degrees.

    Args:
        log_p: float32 [..., count], of `Directions`.
        azimuth_rad: float32 [...], base frame.

    Returns:
        float32 [...].
    """
    count = log_p.shape[-1]
    azimuths = torch.arange(count, device=log_p.device) * (2.0 * math.pi / count)
    target = torch.softmax(_TARGET * torch.cos(azimuths - azimuth_rad[..., None]), dim=-1)
    return -(target * log_p).sum(dim=-1)
