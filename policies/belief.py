"""The belief: a map, carried along while the robot moves, of where the source may be, and of what was seen.

What one window of sound says about the source is a likelihood over direction and, less surely, range. Seen from several
places such likelihoods cross, and what was known outlives the sound. A recurrent network has to find that out; here it
is built in, as a grid filter (Thrun, Burgard and Fox 2005, ch. 4) whose likelihood is learnt. Windows that follow each
other err alike, so they are averaged, not added:

    weight      <- (1 - trust) * weight + trust
    log p(cell) <- log p(cell) + trust / weight * (likelihood(direction, range of the cell) - log p(cell))

up to a constant. Trust, between 0 and 1, is learnt too: a window that says nothing takes nothing away, so that a sound
that has ended is still known. How a window is read may hang on those before it (`listening.py`). Beside the belief the
map keeps what was seen free, what was seen as a wall, and where the robot has been. The network reads it at points
about itself, near ones densely.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from phonotaxis.configs.contract import Contract
from phonotaxis.policies.depth_front_end import DEPTH_CELLS
from phonotaxis.policies.encoders import with_neighbours
from phonotaxis.policies.grid import POSE, Cells, Grid, over_polar
from phonotaxis.policies.listening import Listening
from phonotaxis.policies.motion_front_end import displacement

CELL_M = 0.75
RETENTION = 0.995  # of where the robot has been, a step
RANGES, NEAREST_M = 6, 0.35  # of the likelihood, each range twice the one before
POINTS = 24  # directions in which the map is read
POINTS_M = (0.4, 0.9, 1.7, 3.0, 5.0, 8.0)
NEAR_M = (0.6, 1.0, 2.0)  # radii within which the probability of the source is told
SEES_M = 7.0  # beyond it depth says nothing to the map
_FIGURES = len(NEAR_M) + 4
_LAYERS = 4  # belief, free, wall, visited
_UNITS, _NARROW = 24, 8
_HERE_M = 0.5


class Belief(NamedTuple):
    """What a map believes; leading [...] as of the moments.

    Attributes:
        log_p: float32 [..., cells], logarithm of each cell's probability to hold the source.
        x: float32 [..., cells], metres ahead of the robot.
        y: float32 [..., cells], metres to its left.
    """

    log_p: Tensor
    x: Tensor
    y: Tensor


class BeliefMap(nn.Module):
    """A map of cells a side, see the module.

    What it perceives of a moment is one vector: what each direction shows, what tells range and trust, depth along the
    horizon and whether it is known, the robot's displacement, and what is listened to. Its state is pose, weight,
    layers, and what was listened to.

    Attributes:
        inputs: length of what is perceived.
        state_size: length of the state.
    """

    points: Tensor

    def __init__(
        self, contract: Contract, cells: int, azimuths: int, heard: int, fused: int, size: int, listening: int = 0
    ) -> None:
        """Build likelihood and reading.

        Args:
            contract: whose camera sees.
            cells: a side.
            azimuths: of what is heard: the first straight ahead, then counter-clockwise.
            heard: features of each azimuth of what is heard.
            fused: length of the vector of all senses.
            size: of what is read.
            listening: units that keep what was heard, for how a window is read; 0 where each is read by itself.
        """
        super().__init__()
        self.grid = Grid(cells, CELL_M)
        self._cells, self._azimuths = cells, azimuths
        self.listening = Listening(fused, listening, _UNITS, RANGES + 1) if listening else None
        self._parts = [_UNITS * azimuths, RANGES + 1, 2 * DEPTH_CELLS, POSE]
        self._states = [POSE, 1, _LAYERS * cells**2]
        if self.listening is not None:
            self._parts.append(self.listening.inputs)
            self._states.append(self.listening.size)
        self.inputs, self.state_size = sum(self._parts), state_size(cells, listening)
        self.around = nn.Linear(heard, _UNITS)
        self.likelihood = nn.Linear(_UNITS, RANGES)
        self.range_and_trust = nn.Linear(fused, RANGES + 1)
        self.directions = nn.Linear(3 * _LAYERS * len(POINTS_M), 2 * _UNITS)
        self.narrow = nn.Linear(2 * _UNITS, _NARROW)
        self.read = nn.Linear(POINTS * _NARROW + _FIGURES, size, bias=False)
        # Nothing is believed and nothing read at first: a policy without map that is given one goes on as it was.
        for layer in (self.likelihood, self.range_and_trust):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
        nn.init.constant_(self.range_and_trust.bias[RANGES:], -2.0)
        nn.init.zeros_(self.read.weight)
        self._focal = contract.camera.fx / contract.camera.width
        self._depth_scale = math.log1p(contract.camera.max_range_m)
        bearings = 2.0 * np.pi * np.arange(POINTS) / POINTS
        points = np.stack([np.outer(np.cos(bearings), POINTS_M), np.outer(np.sin(bearings), POINTS_M)])
        self.register_buffer("points", torch.as_tensor(points, dtype=torch.float32), persistent=False)

    def perceive(self, heard: Tensor, fused: Tensor, depth: Tensor, motion: Tensor) -> Tensor:
        """Say what one moment tells the map.

        Args:
            heard: float32 [batch, azimuths, features].
            fused: float32 [batch, features].
            depth: float32 [batch, 2, 32, 32], of the front end.
            motion: float32 [batch, 12], of the front end.

        Returns:
            float32 [batch, inputs].
        """
        middle = DEPTH_CELLS // 2
        horizon = depth[:, :, middle - 1 : middle + 1].amax(dim=2).flatten(1)
        heeded = [self.listening.take(fused)] if self.listening is not None else []
        shown, told = self.around(heard).flatten(1), self.range_and_trust(fused)
        return torch.cat([shown, told, horizon, displacement(motion), *heeded], dim=1)

    def step(self, perceived: Tensor, state: Tensor, episode_start: Tensor) -> tuple[Tensor, Tensor, Belief]:
        """Take one step.

        Args:
            perceived: float32 [batch, inputs], of `perceive`.
            state: float32 [batch, state_size]; ignored where the episode starts.
            episode_start: float32 [batch, 1].

        Returns:
            What is read, float32 [batch, size]; the state; the belief.
        """
        read, states, belief = self.unroll(perceived[None], state, episode_start[None])
        return read[0], states[0], Belief(*(part[0] for part in belief))

    def unroll(self, perceived: Tensor, state: Tensor, episode_start: Tensor) -> tuple[Tensor, Tensor, Belief]:
        """Take several steps, each argument but `state` with leading [time], as has all that is returned."""
        when = episode_start.shape[:2]
        shown, told, horizon, moved, *given = perceived.split(self._parts, dim=-1)
        pose, weight, layers, *listened = state.split(self._states, dim=1)
        polar, trust, listened = self._hear(shown, told, given, listened, episode_start)
        before, after, end = self.grid.walk(moved.detach(), pose, episode_start)
        cells = self.grid.about(before.flatten(0, 1), after.flatten(0, 1), episode_start.flatten(0, 1))
        heard = over_polar(polar.flatten(0, 1), cells, NEAREST_M).unflatten(0, when)
        seen, fades = (part.unflatten(0, when) for part in self._see(horizon.detach().flatten(0, 1), cells))
        stays = cells.stays.unflatten(0, when)[:, :, None]
        layers = layers.unflatten(1, (_LAYERS, self._cells, self._cells))
        believed, known = layers[:, :1], layers[:, 1:]
        weights, beliefs, knowns = [], [], []
        # `unbind`, here and in `memory`: the gradient of an index is as large as the whole, zeros but for one step.
        moments = (part.unbind() for part in (episode_start, trust, heard, stays, fades, seen))
        for starts, trusted, now_heard, stay, fade, now_seen in zip(*moments):
            weight = weight * (1.0 - starts)
            weight = weight + trusted * (1.0 - weight)
            share = (trusted / weight.clamp(min=1e-6))[:, :, None, None]
            believed = stay * believed
            believed = believed + share * (now_heard - believed)
            known = fade * known + now_seen
            weights.append(weight)
            beliefs.append(believed)
            knowns.append(known)
        believed, known = torch.stack(beliefs), torch.stack(knowns)
        log_p = torch.log_softmax(believed.flatten(2), dim=2)
        read = self._read(log_p.flatten(0, 1), known.flatten(0, 1), after.flatten(0, 1), cells)
        kept = [end, torch.stack(weights), believed.flatten(2), known.flatten(2), *listened]
        belief = Belief(log_p, cells.x.flatten(1).unflatten(0, when), cells.y.flatten(1).unflatten(0, when))
        return read.unflatten(0, when), torch.cat(kept, dim=2), belief

    def _hear(
        self, shown: Tensor, told: Tensor, given: list[Tensor], listened: list[Tensor], episode_start: Tensor
    ) -> tuple[Tensor, Tensor, list[Tensor]]:
        """Return each window's likelihood [time, batch, ranges, azimuths], its trust, and what was listened to."""
        shown = shown.unflatten(2, (self._azimuths, _UNITS))
        if self.listening is not None:
            shown, told, *listened = self.listening.unroll(given[0], listened[0], shown, told, episode_start)
        by_range, trust = told.split([RANGES, 1], dim=2)
        polar = self.likelihood(torch.relu(shown)) + by_range[:, :, None]
        return polar.transpose(2, 3), torch.sigmoid(trust), listened

    def _see(self, horizon: Tensor, cells: Cells) -> tuple[Tensor, Tensor]:
        """Return what is new of free, wall and visited, and how much is kept; each [moments, 3, cells, cells]."""
        nearness, known = horizon.split(DEPTH_CELLS, dim=1)
        depth_m = torch.expm1((1.0 - nearness) * self._depth_scale)
        column = (0.5 - cells.y / cells.x.clamp(min=0.1) * self._focal) * DEPTH_CELLS
        inside = (cells.x > 0.1) & (cells.x < SEES_M) & (column >= 0.0) & (column < float(DEPTH_CELLS))
        index = column.clamp(0.0, DEPTH_CELLS - 1.0).to(torch.int64).flatten(1)
        there_m = torch.gather(depth_m, 1, index).unflatten(1, cells.x.shape[1:])
        seen = inside & (torch.gather(known, 1, index).unflatten(1, cells.x.shape[1:]) > 0.5)
        free = (seen & (cells.x < there_m - 0.5 * CELL_M)).to(nearness.dtype)
        wall = (seen & (torch.abs(cells.x - there_m) <= 0.5 * CELL_M)).to(nearness.dtype)
        here = torch.exp(-(cells.x**2 + cells.y**2) / (2.0 * _HERE_M**2))
        news = torch.stack([free, 0.5 * wall, 0.1 * here], dim=1)
        fades = torch.stack([1.0 - free, 1.0 - 0.5 * torch.maximum(free, wall), RETENTION - 0.1 * here], dim=1)
        return news, fades * cells.stays[:, None]

    def _read(self, log_p: Tensor, known: Tensor, pose: Tensor, cells: Cells) -> Tensor:
        """Read the map at the points about the robot, and the belief's own figures."""
        above = ((log_p + 2.0 * math.log(self._cells)) / 4.0).clamp(-2.0, 3.0)  # the logarithm over a flat belief's
        layers = torch.cat([above.unflatten(1, (1, self._cells, self._cells)), known], dim=1)
        shown = self.grid.read(layers, self.points, pose).transpose(1, 2).flatten(2)  # a row for each direction
        shown = torch.relu(self.narrow(torch.relu(self.directions(with_neighbours(shown)))))
        read: Tensor = self.read(torch.cat([shown.flatten(1), _figures(log_p, cells)], dim=1))
        return read


def _figures(log_p: Tensor, cells: Cells) -> Tensor:
    """Return how probable a source near by is, where it is in the mean, and how sure that is; [moments, figures]."""
    p = torch.exp(log_p)
    x, y = cells.x.flatten(1), cells.y.flatten(1)
    squared = x * x + y * y
    far = torch.sqrt(squared)
    near = [(p * torch.sigmoid((near_m - far) / 0.2)).sum(dim=1) for near_m in NEAR_M]
    mean_x, mean_y = (p * x).sum(dim=1), (p * y).sum(dim=1)
    spread = torch.sqrt((p * squared).sum(dim=1) - mean_x**2 - mean_y**2 + 1e-3)
    entropy = -(p * log_p).sum(dim=1)
    return torch.stack([*near, mean_x / 5.0, mean_y / 5.0, spread / 5.0, entropy / 5.0], dim=1)


def state_size(cells: int, listening: int = 0) -> int:
    """Return the length of the state of a map of so many cells a side, and of so many units that listen."""
    return POSE + 1 + _LAYERS * cells**2 + listening


def belief_nll(belief: Belief, range_m: Tensor, bearing_rad: Tensor) -> Tensor:
    """Cross entropy of the belief to a source that is known to within half a cell.

    Args:
        belief: leading [...].
        range_m: float32 [...], straight to the source.
        bearing_rad: float32 [...], its azimuth in the base frame.

    Returns:
        float32 [...]; 0 where the source lies outside the map.
    """
    x = belief.x - (range_m * torch.cos(bearing_rad))[..., None]
    y = belief.y - (range_m * torch.sin(bearing_rad))[..., None]
    squared = x * x + y * y
    inside = squared.min(dim=-1).values < CELL_M**2
    target = torch.softmax(-squared / (2.0 * (0.5 * CELL_M) ** 2), dim=-1)
    return -(target * belief.log_p).sum(dim=-1) * inside
