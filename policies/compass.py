"""The compass: what was heard and seen where, kept while the robot turns.

A recurrent network has to learn that what was on the left is ahead after a turn to the left, and learns it slowly.
Here it is built in: channels over azimuth are kept as circular harmonics, and a turn by phi multiplies the harmonic of
order m by exp(-i m phi), which is exact for any angle. What is new replaces what is kept by a learnt share, so that a
window that says little, or nothing once a sound has stopped, leaves what was known before in its place.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

ORDERS = 6  # of harmonics, besides the mean: a lobe of about 30 degrees
TERMS = 2 * ORDERS + 1


class Compass(nn.Module):
    """A memory over azimuth that turns with the robot.

    Its state is [channels * TERMS]: for each channel the mean, then cosines of order 1 up, then sines.

    Attributes:
        channels: of what is heard, and as many of what is seen.
        state_size: length of the state.
    """

    heard_harmonics: Tensor
    seen_harmonics: Tensor
    orders: Tensor

    def __init__(
        self, heard: int, seen: int, fused: int, channels: int, azimuths: int, columns_rad: np.ndarray
    ) -> None:
        """Build the projections and the gate.

        Args:
            heard: features of each azimuth of what is heard.
            seen: features of each column of what is seen.
            fused: length of the vector that the gate reads.
            channels: kept of each.
            azimuths: of what is heard: the first straight ahead, then counter-clockwise.
            columns_rad: float64 [columns], azimuths of the columns of what is seen.
        """
        super().__init__()
        self.channels = channels
        self.state_size = 2 * channels * TERMS
        self.heard = nn.Linear(heard, channels)
        self.seen = nn.Linear(seen, channels)
        self.gate = nn.Linear(fused, 2 * channels)
        nn.init.constant_(self.gate.bias, -1.0)
        ring_rad = 2.0 * np.pi * np.arange(azimuths) / azimuths
        self._buffer("heard_harmonics", harmonics(ring_rad) / azimuths)
        self._buffer("seen_harmonics", harmonics(columns_rad) / len(columns_rad))
        self._buffer("orders", np.arange(1.0, ORDERS + 1.0))

    def _buffer(self, name: str, values: np.ndarray) -> None:
        self.register_buffer(name, torch.as_tensor(values, dtype=torch.float32), persistent=False)

    def perceive(self, heard: Tensor, seen: Tensor, fused: Tensor) -> tuple[Tensor, Tensor]:
        """Say what is new, and how much of it is taken in.

        Args:
            heard: float32 [batch, azimuths, features].
            seen: float32 [batch, columns, features].
            fused: float32 [batch, features].

        Returns:
            float32 [batch, state_size]; and shares in 0..1, float32 [batch, 2 * channels].
        """
        rings = torch.relu(self.heard(heard)).transpose(1, 2) @ self.heard_harmonics
        columns = torch.relu(self.seen(seen)).transpose(1, 2) @ self.seen_harmonics
        return torch.cat([rings, columns], dim=1).flatten(1), torch.sigmoid(self.gate(fused))

    def step(self, new: Tensor, share: Tensor, turned_rad: Tensor, state: Tensor, episode_start: Tensor) -> Tensor:
        """Turn what is kept against the robot's own turn, and take in what is new.

        Args:
            new: float32 [batch, state_size], of `perceive`.
            share: float32 [batch, 2 * channels], of it.
            turned_rad: float32 [batch, 1], since the step before, counter-clockwise.
            state: float32 [batch, state_size]; ignored where the episode starts.
            episode_start: float32 [batch, 1].

        Returns:
            float32 [batch, state_size].
        """
        state = state * (1.0 - episode_start)
        kept = turned(state.unflatten(1, (2 * self.channels, TERMS)), turned_rad, self.orders)
        fresh = new.unflatten(1, (2 * self.channels, TERMS))
        mixed: Tensor = kept + share[:, :, None] * (fresh - kept)
        return mixed.flatten(1)

    def unroll(self, new: Tensor, share: Tensor, turned_rad: Tensor, state: Tensor, episode_start: Tensor) -> Tensor:
        """Take several steps, each argument but `state` with leading [time]; returns [time, batch, state_size]."""
        states = []
        for now in range(new.shape[0]):
            state = self.step(new[now], share[now], turned_rad[now], state, episode_start[now])
            states.append(state)
        return torch.stack(states)


def harmonics(azimuth_rad: np.ndarray) -> np.ndarray:
    """Return 1, cosines and sines of orders 1 to `ORDERS` at azimuths, float64 [azimuths, TERMS]."""
    angles = np.outer(azimuth_rad, np.arange(1, ORDERS + 1))
    return np.concatenate([np.ones((len(azimuth_rad), 1)), np.cos(angles), np.sin(angles)], axis=1)


def turned(state: Tensor, turned_rad: Tensor, orders: Tensor) -> Tensor:
    """Say in the frame after a turn what was known in the one before.

    Args:
        state: float32 [batch, channels, TERMS].
        turned_rad: float32 [batch, 1], counter-clockwise: what was at azimuth a is at a - turned_rad.
        orders: float32 [ORDERS].
    """
    mean, cosines, sines = state.split([1, ORDERS, ORDERS], dim=2)
    angles = (turned_rad * orders)[:, None]
    cosine, sine = torch.cos(angles), torch.sin(angles)
    return torch.cat([mean, cosines * cosine + sines * sine, sines * cosine - cosines * sine], dim=2)


def column_azimuths(columns: int, width: int, focal_px: float) -> np.ndarray:
    """Return the azimuths of an image's columns, pooled to so many, left to right; float64 [columns], radians."""
    across = ((np.arange(columns) + 0.5) / columns - 0.5) * width
    return -np.arctan2(across, focal_px)
