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

Where several sounds play, a second belief may say where those are that are not sought, and take their places away from
the first: what the sought sound is like needn't be known, if it is known what the others are like.
"""

from __future__ import annotations

import math
from collections.abc import Callable
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
_SEEN = 3  # layers of what is no belief: free, wall, visited
_UNITS, _NARROW = 24, 8
_HERE_M = 0.5
_TRUST_AT_FIRST = -2.0  # before the sigmoid


class Belief(NamedTuple):
    """What a map believes; leading [...] as of the moments.

    Attributes:
        log_p: float32 [..., cells], logarithm of each cell's probability to hold the source.
        x: float32 [..., cells], metres ahead of the robot.
        y: float32 [..., cells], metres to its left.
        others_log_p: as log_p, to hold another source; None where the map doesn't tell.
    """

    log_p: Tensor
    x: Tensor
    y: Tensor
    others_log_p: Tensor | None = None

    def each(self, change: Callable[[Tensor], Tensor]) -> Belief:
        """Return it with every part changed alike."""
        others = None if self.others_log_p is None else change(self.others_log_p)
        return Belief(change(self.log_p), change(self.x), change(self.y), others)


class Others(nn.Module):
    """What a map needs besides to believe where those sources are that are not sought.

    All of it says nothing at first: a policy whose map is given it goes on as it was.

    Attributes:
        away: how far the belief of the sought source falls with the logarithm of theirs.
    """

    def __init__(self, fused: int, size: int, listening: int) -> None:
        """Build the layers, see `BeliefMap`."""
        super().__init__()
        self.likelihood = nn.Linear(_UNITS, RANGES)
        self.range_and_trust = nn.Linear(fused, RANGES + 1)
        self.heed = nn.Linear(listening, RANGES + 1) if listening else None
        self.directions = nn.Linear(3 * len(POINTS_M), 2 * _UNITS, bias=False)
        self.read = nn.Linear(_FIGURES, size, bias=False)
        self.away = nn.Parameter(torch.zeros(()))
        for weight in self.parameters():
            nn.init.zeros_(weight)
        nn.init.constant_(self.range_and_trust.bias[RANGES:], _TRUST_AT_FIRST)


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
        self,
        contract: Contract,
        cells: int,
        azimuths: int,
        heard: int,
        fused: int,
        size: int,
        listening: int = 0,
        others: bool = False,
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
            others: whether it is believed, too, where the sources are that are not sought.
        """
        super().__init__()
        self.grid = Grid(cells, CELL_M)
        self._cells, self._azimuths = cells, azimuths
        self.listening = Listening(fused, listening, _UNITS, RANGES + 1) if listening else None
        self.others = Others(fused, size, listening) if others else None
        self._beliefs = 1 + others
        self._parts = [_UNITS * azimuths, self._beliefs * (RANGES + 1), 2 * DEPTH_CELLS, POSE]
        self._states = [POSE, self._beliefs, (self._beliefs + _SEEN) * cells**2]
        if self.listening is not None:
            self._parts.append(self.listening.inputs)
            self._states.append(self.listening.size)
        self.inputs, self.state_size = sum(self._parts), state_size(cells, listening, others)
        self.around = nn.Linear(heard, _UNITS)
        self.likelihood = nn.Linear(_UNITS, RANGES)
        self.range_and_trust = nn.Linear(fused, RANGES + 1)
        self.directions = nn.Linear(3 * (1 + _SEEN) * len(POINTS_M), 2 * _UNITS)
        self.narrow = nn.Linear(2 * _UNITS, _NARROW)
        self.read = nn.Linear(POINTS * _NARROW + _FIGURES, size, bias=False)
        # Nothing is believed and nothing read at first: a policy without map that is given one goes on as it was.
        for layer in (self.likelihood, self.range_and_trust):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
        nn.init.constant_(self.range_and_trust.bias[RANGES:], _TRUST_AT_FIRST)
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
        told = [self.range_and_trust(fused)]
        if self.others is not None:
            told.append(self.others.range_and_trust(fused))
        return torch.cat([self.around(heard).flatten(1), *told, horizon, displacement(motion), *heeded], dim=1)

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
        return read[0], states[0], belief.each(lambda part: part[0])

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
        layers = layers.unflatten(1, (self._beliefs + _SEEN, self._cells, self._cells))
        believed, known = layers[:, : self._beliefs], layers[:, self._beliefs :]
        weights, held, knowns = [], [], []
        # `unbind`, here and in `memory`: the gradient of an index is as large as the whole, zeros but for one step.
        moments = (part.unbind() for part in (episode_start, trust, heard, stays, fades, seen))
        for starts, trusted, now_heard, stay, fade, now_seen in zip(*moments):
            weight = weight * (1.0 - starts)
            weight = weight + trusted * (1.0 - weight)
            share = (trusted / weight.clamp(min=1e-6))[:, :, None, None]  # [batch, beliefs, 1, 1]
            believed = stay * believed
            believed = believed + share * (now_heard - believed)
            known = fade * known + now_seen
            weights.append(weight)
            held.append(believed)
            knowns.append(known)
        believed, known = torch.stack(held), torch.stack(knowns)
        log_p, others = self._normalised(believed)
        beliefs = [part.flatten(0, 1) for part in (log_p, others) if part is not None]
        read = self._read(beliefs, known.flatten(0, 1), after.flatten(0, 1), cells)
        kept = [end, torch.stack(weights), believed.flatten(2), known.flatten(2), *listened]
        belief = Belief(log_p, cells.x.flatten(1).unflatten(0, when), cells.y.flatten(1).unflatten(0, when), others)
        return read.unflatten(0, when), torch.cat(kept, dim=2), belief

    def _normalised(self, believed: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the logarithms of both beliefs' probabilities, each [time, batch, cells], the second where it is."""
        sought = believed[:, :, 0].flatten(2)
        if self.others is None:
            return torch.log_softmax(sought, dim=2), None
        others = torch.log_softmax(believed[:, :, 1].flatten(2), dim=2)
        return torch.log_softmax(sought - self.others.away * torch.relu(self._above(others)), dim=2), others

    def _above(self, log_p: Tensor) -> Tensor:
        """Return the logarithm over a flat belief's."""
        return log_p + 2.0 * math.log(self._cells)

    def _hear(
        self, shown: Tensor, told: Tensor, given: list[Tensor], listened: list[Tensor], episode_start: Tensor
    ) -> tuple[Tensor, Tensor, list[Tensor]]:
        """Say what each window tells.

        Returns:
            Its likelihoods [time, batch, beliefs, ranges, azimuths], their trust [time, batch, beliefs], and what was
            listened to.
        """
        shown = shown.unflatten(2, (self._azimuths, _UNITS))
        of_sought, *of_others = told.split(RANGES + 1, dim=2)
        if self.listening is not None:
            shown, of_sought, *listened = self.listening.unroll(given[0], listened[0], shown, of_sought, episode_start)
        shown, polars, trusts = torch.relu(shown), [], []
        likelihoods = [(self.likelihood, of_sought)]
        if self.others is not None:
            more = of_others[0] if self.others.heed is None else of_others[0] + self.others.heed(listened[0])
            likelihoods.append((self.others.likelihood, more))
        for likelihood, of_one in likelihoods:
            by_range, trust = of_one.split([RANGES, 1], dim=2)
            polars.append((likelihood(shown) + by_range[:, :, None]).transpose(2, 3))
            trusts.append(trust)
        return torch.stack(polars, dim=2), torch.sigmoid(torch.cat(trusts, dim=2)), listened

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

    def _read(self, beliefs: list[Tensor], known: Tensor, pose: Tensor, cells: Cells) -> Tensor:
        """Read the map at the points about the robot, and the beliefs' own figures."""
        side = (1, self._cells, self._cells)
        shapes = [(self._above(log_p) / 4.0).clamp(-2.0, 3.0).unflatten(1, side) for log_p in beliefs]
        layers = torch.cat([shapes[0], known, *shapes[1:]], dim=1)
        found = self.grid.read(layers, self.points, pose).transpose(1, 2)  # [moments, directions, layers, distances]
        shown = self.directions(with_neighbours(found[:, :, : 1 + _SEEN].flatten(2)))
        if self.others is not None:
            shown = shown + self.others.directions(with_neighbours(found[:, :, 1 + _SEEN :].flatten(2)))
        shown = torch.relu(self.narrow(torch.relu(shown)))
        read: Tensor = self.read(torch.cat([shown.flatten(1), _figures(beliefs[0], cells)], dim=1))
        return read if self.others is None else read + self.others.read(_figures(beliefs[1], cells))


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


def state_size(cells: int, listening: int = 0, others: bool = False) -> int:
    """Return the length of the state of a map: of so many cells a side, with so many units that listen."""
    beliefs = 1 + others
    return POSE + beliefs + (beliefs + _SEEN) * cells**2 + listening
