"""Grounds to drive on, and bodies to put there."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest
from numba.typed import List

from phonotaxis.configs.motion import Drive
from phonotaxis.envs.library import Ground
from phonotaxis.envs.motion import ODOMETRY, drive_parameters, drive_state, move
from phonotaxis.envs.scenes.walk import edge_distance

RADIUS_M = 0.18
PERIOD_S = 0.25


def ground_of(blocked: np.ndarray, cell_m: float = 0.1) -> Ground:
    return Ground(edge_distance(blocked) * np.float32(cell_m), cell_m, 1.0 / cell_m, 0.0, 0.0)


def walled(rows: int, columns: int) -> np.ndarray:
    blocked = np.zeros((rows, columns), dtype=bool)
    blocked[[0, -1]], blocked[:, [0, -1]] = True, True
    return blocked


class Fleet(NamedTuple):
    """The bodies of some worlds, and what `move` needs beside their setpoints."""

    grounds: Any
    scene: np.ndarray
    pose: np.ndarray
    drives: Any
    state: Any
    keys: np.ndarray
    steps: np.ndarray
    motion: np.ndarray
    path_m: np.ndarray

    def move(
        self, v: Any, w: Any, seconds: float = PERIOD_S, odometry: str = "wheel", worlds: np.ndarray | None = None
    ) -> None:
        n = len(self.pose)
        v, w = (np.broadcast_to(np.asarray(x, dtype=np.float64), n).copy() for x in (v, w))
        chosen = np.arange(n) if worlds is None else worlds
        move(
            chosen, self.grounds, self.scene, self.pose, v, w, seconds, self.drives, self.state, self.keys,
            self.steps, ODOMETRY[odometry], self.motion, self.path_m,
        )  # fmt: skip
        self.steps[chosen] += 1


def fleet(ground: Ground, poses: Any, radius_m: float = RADIUS_M, **options: Any) -> Fleet:
    pose = np.atleast_2d(np.array(poses, dtype=np.float64))
    n = len(pose)
    grounds = List()
    grounds.append(ground)
    return Fleet(
        grounds, np.zeros(n, dtype=np.int64), pose, drive_parameters(Drive(**options), radius_m, n), drive_state(n),
        np.arange(n, dtype=np.uint64) + np.uint64(2**63), np.zeros(n, dtype=np.int64),
        np.full((n, 6), np.nan, dtype=np.float32), np.zeros(n),
    )  # fmt: skip


def random_poses(n: int, seed: int, low: float = 0.3, high: float = 3.9) -> np.ndarray:
    rng = np.random.Generator(np.random.PCG64(seed))
    return np.stack([rng.uniform(low, high, n), rng.uniform(low, high, n), rng.uniform(-3.1, 3.1, n)], axis=1)


def random_setpoints(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.Generator(np.random.PCG64([7, seed]))
    return rng.uniform(-1.5, 4.0, n), rng.uniform(-3.0, 3.0, n)


OPTIONS: dict[str, Any] = {
    "max_acceleration_mps2": 3.0,
    "max_angular_acceleration_radps2": 6.0,
    "latency_s": 0.1,
    "slip_v": 0.1,
    "slip_w": 0.2,
    "slip_turn_radpm": 0.1,
}


@pytest.fixture(scope="session")
def yard() -> SimpleNamespace:
    """Return what the tests of drives share, under the names it has here."""
    return SimpleNamespace(
        hall=ground_of(walled(400, 400)),  # 40 x 40 m: no wall within reach
        closet=ground_of(walled(42, 42)),  # walls at 0.1 and 4.1 m
        options=OPTIONS,
        fleet=fleet,
        ground_of=ground_of,
        walled=walled,
        random_poses=random_poses,
        random_setpoints=random_setpoints,
    )
