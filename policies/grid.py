"""A grid that a robot carries along: where it stands, where the cells lie about it, what is read and written where.

The grid lies still in the frame in which the episode began, so that nothing is smeared by moving it, and it has no
edge: a cell that is left half a grid behind begins anew as one ahead.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

POSE = 3  # x and y on the grid, metres, and yaw


class Cells(NamedTuple):
    """Where the cells lie, each float32 [moments, cells a side, cells a side].

    Attributes:
        x: metres ahead of the robot.
        y: metres to its left.
        stays: 1 where a cell is the place that it was, 0 where it begins anew.
    """

    x: Tensor
    y: Tensor
    stays: Tensor


class Walk(NamedTuple):
    """Poses on a way, each float32 [time, batch, 3].

    Attributes:
        before: each step, on the grid.
        after: each step, as far as it went; over the grid's edge, maybe.
        end: `after` on the grid, with places from 0 to its side and yaw within a turn: where the next step begins.
    """

    before: Tensor
    after: Tensor
    end: Tensor


class Grid(nn.Module):
    """A square grid without edge.

    Attributes:
        cells: a side.
        side_m: length of a side.
    """

    centres_m: Tensor

    def __init__(self, cells: int, cell_m: float) -> None:
        """Build a grid of so many cells a side, each of so many metres."""
        super().__init__()
        self.cells, self.side_m = cells, cells * cell_m
        self.register_buffer("centres_m", (torch.arange(cells) + 0.5) * cell_m, persistent=False)

    def walk(self, moved: Tensor, pose: Tensor, episode_start: Tensor) -> Walk:
        """Follow the robot.

        Args:
            moved: float32 [time, batch, 3], ahead and to the left in the pose before, metres, and turned, radians.
            pose: float32 [batch, 3], before the first; 0 is taken where an episode starts.
            episode_start: float32 [time, batch, 1].

        Returns:
            The poses on its way.
        """
        befores, afters, ends = [], [], []
        for now in range(moved.shape[0]):
            pose = pose * (1.0 - episode_start[now])
            x, y, yaw = pose.split(1, dim=1)
            ahead, left, turn = moved[now].split(1, dim=1)
            cosine, sine = torch.cos(yaw), torch.sin(yaw)
            after = [x + cosine * ahead - sine * left, y + sine * ahead + cosine * left, yaw + turn]
            befores.append(pose)
            afters.append(torch.cat(after, dim=1))
            pose = self._wrapped(afters[-1])
            ends.append(pose)
        return Walk(torch.stack(befores), torch.stack(afters), torch.stack(ends))

    def _wrapped(self, pose: Tensor) -> Tensor:
        place, yaw = pose[:, :2], pose[:, 2:]
        place = place - self.side_m * torch.floor(place / self.side_m)
        return torch.cat([place, yaw - 2.0 * math.pi * torch.floor(yaw / (2.0 * math.pi) + 0.5)], dim=1)

    def about(self, before: Tensor, after: Tensor, episode_start: Tensor) -> Cells:
        """Say where the cells lie from the robot; poses float32 [moments, 3], of `walk`."""
        offset = self.centres_m - after[:, :2, None]  # [moments, 2, cells]
        rounds = torch.floor(offset / self.side_m + 0.5)
        rounds_before = torch.floor((self.centres_m - before[:, :2, None]) / self.side_m + 0.5)
        same = (torch.abs(rounds - rounds_before) < 0.5).to(offset.dtype)
        stays = same[:, 0, :, None] * same[:, 1, None, :] * (1.0 - episode_start)[:, :, None]
        offset = offset - self.side_m * rounds
        cosine, sine = torch.cos(after[:, 2:, None]), torch.sin(after[:, 2:, None])
        x, y = offset[:, 0, :, None], offset[:, 1, None, :]
        return Cells(cosine * x + sine * y, cosine * y - sine * x, stays)

    def read(self, layers: Tensor, points: Tensor, pose: Tensor) -> Tensor:
        """Read layers at points about the robot, linearly between cells.

        Args:
            layers: float32 [moments, layers, cells, cells].
            points: float32 [2, ...], metres ahead and to the left; two axes.
            pose: float32 [moments, 3].

        Returns:
            float32 [moments, layers, ...].
        """
        layers = torch.cat([layers[:, :, -1:], layers, layers[:, :, :1]], dim=2)
        layers = torch.cat([layers[..., -1:], layers, layers[..., :1]], dim=3)
        cosine, sine = torch.cos(pose[:, 2, None, None]), torch.sin(pose[:, 2, None, None])
        x = (pose[:, 0, None, None] + cosine * points[0] - sine * points[1]) / self.side_m
        y = (pose[:, 1, None, None] + sine * points[0] + cosine * points[1]) / self.side_m
        places = torch.stack([y - torch.floor(y), x - torch.floor(x)], dim=3)  # the last axis of the layers first
        places = 2.0 * (places * self.cells + 1.0) / (self.cells + 2.0) - 1.0
        found: Tensor = nn.functional.grid_sample(layers, places, align_corners=False)
        return found


def over_polar(polar: Tensor, cells: Cells, nearest_m: float) -> Tensor:
    """Lay values by range and azimuth over the cells, linearly between them.

    Args:
        polar: float32 [moments, ranges, azimuths]; each range twice the one before, the first azimuth straight ahead.
        cells: where they are laid; beyond the last range that range's values hold.
        nearest_m: the first range.

    Returns:
        float32 [moments, 1, cells a side, cells a side].
    """
    ranges, azimuths = polar.shape[1:]
    rows = torch.cat([polar[..., -1:], polar, polar[..., :1]], dim=2)[:, None]  # so that the ring closes
    turn = azimuth(cells.x, cells.y) / (2.0 * math.pi)
    column = (turn - torch.floor(turn)) * azimuths + 1.0
    row = 0.5 * torch.log2(cells.x**2 + cells.y**2 + 1e-4) - math.log2(nearest_m)
    row = row.clamp(0.0, ranges - 1.0)
    places = torch.stack([2.0 * column / (azimuths + 1.0) - 1.0, 2.0 * row / (ranges - 1.0) - 1.0], dim=3)
    laid: Tensor = nn.functional.grid_sample(rows, places, padding_mode="border", align_corners=True)
    return laid


def azimuth(x: Tensor, y: Tensor) -> Tensor:
    """Return atan2(y, x) by half angles: exporters write atan2 itself with tests for NaN."""
    aside = y + 1e-6  # straight behind is no 0 / 0
    far = torch.sqrt(x * x + aside * aside)
    return 2.0 * torch.atan(torch.where(x < 0.0, (far - x) / aside, aside / (far + x).clamp(min=1e-9)))
