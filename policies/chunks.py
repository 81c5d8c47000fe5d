"""Chunks of experience: what is collected, and the ring of memory that learning draws from."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from phonotaxis.configs import contract as names


class Chunk(NamedTuple):
    """Experience of `batch` worlds over `time` steps; what the learner sees of it.

    It is pickled by value, as arrays. Left to itself torch would pass a file descriptor from a thread of the process
    that sends, and that thread speaks up in a traceback when the process that receives is killed.

    Attributes:
        features: of `Policy.features`, each float16 or float32 [time, batch, ...].
        episode_start: float32 [time, batch, 1].
        state: float32 [batch, state_size], before the first step, of the policy that collected.
        regrets: float32 [time, batch, actions], see `expert.action_regrets`.
        bearing_rad: float32 [time, batch], azimuth of the source in the base frame.
        range_m: float32 [time, batch], straight to the source.
        distance_m: float32 [time, batch], geodesic, to the source.
        to_go: float32 [time, batch], actions of the shortest walk.
    """

    features: dict[str, Tensor]
    episode_start: Tensor
    state: Tensor
    regrets: Tensor
    bearing_rad: Tensor
    range_m: Tensor
    distance_m: Tensor
    to_go: Tensor

    def __reduce__(self) -> tuple[Callable[..., Chunk], tuple[dict[str, np.ndarray], dict[str, np.ndarray]]]:
        rest = {name: value.numpy() for name, value in self._asdict().items() if name != "features"}
        return _of_arrays, ({name: value.numpy() for name, value in self.features.items()}, rest)


def _of_arrays(features: dict[str, np.ndarray], rest: dict[str, np.ndarray]) -> Chunk:
    tensors = {name: torch.from_numpy(value) for name, value in rest.items()}
    return Chunk(features={name: torch.from_numpy(value) for name, value in features.items()}, **tensors)


def with_goal_noise(chunk: Chunk, deviation: float, rng: np.random.Generator) -> Chunk:
    """Return a chunk whose named goals are off, each world's by one draw; where nothing is named nothing changes.

    Args:
        chunk: as drawn, float32; left as it is.
        deviation: standard deviation, where a named goal's root mean square is 1.
        rng: of the draw.
    """
    goal = chunk.features.get(names.GOAL)
    if goal is None or deviation == 0.0:
        return chunk
    drawn = torch.from_numpy(rng.standard_normal(goal.shape[1:], dtype=np.float32))
    off = torch.where(goal.any(dim=-1, keepdim=True), goal + deviation * drawn, goal)
    return chunk._replace(features=chunk.features | {names.GOAL: off})


class ChunkBuffer:
    """A ring of chunks, one world each, in float16 where a float32 would hold nothing more.

    Args:
        capacity: chunks kept.
        seed: of the draws.
    """

    def __init__(self, capacity: int, seed: int) -> None:
        self.capacity = capacity
        self.count = 0
        self._next = 0
        self._rng = np.random.Generator(np.random.PCG64([0x627566, seed]))
        self._store: dict[str, Tensor] = {}

    def add(self, chunk: Chunk) -> None:
        """Keep a chunk's worlds, in place of the oldest where the ring is full."""
        columns = _flatten(chunk)
        batch = chunk.state.shape[0]
        if not self._store:
            for name, column in columns.items():
                self._store[name] = torch.zeros((self.capacity, *column.shape[1:]), dtype=column.dtype)
        where = torch.arange(self._next, self._next + batch) % self.capacity
        for name, column in columns.items():
            self._store[name][where] = column
        self._next = int((self._next + batch) % self.capacity)
        self.count = min(self.count + batch, self.capacity)

    def draw(self, batch: int) -> Chunk:
        """Draw chunks uniformly, as float32, time first."""
        picks = torch.from_numpy(self._rng.integers(self.count, size=batch))
        columns = {name: store[picks].float() for name, store in self._store.items()}
        return _unflatten(columns)


def _flatten(chunk: Chunk) -> dict[str, Tensor]:
    """Name every tensor and put the worlds first."""
    columns = {f"features.{name}": value.transpose(0, 1).half() for name, value in chunk.features.items()}
    for name in ("episode_start", "regrets", "bearing_rad", "range_m", "distance_m", "to_go"):
        columns[name] = getattr(chunk, name).transpose(0, 1)
    return columns | {"state": chunk.state}


def _unflatten(columns: dict[str, Tensor]) -> Chunk:
    features = {
        name.removeprefix("features."): value.transpose(0, 1)
        for name, value in columns.items()
        if name.startswith("features.")
    }
    rest = {name: columns[name].transpose(0, 1) for name in columns if not name.startswith("features.")}
    rest["state"] = columns["state"]
    return Chunk(features=features, **rest)
