"""How an episode felt to whoever stood near: the way it kept from obstacles, and how smoothly it went.

Clearance is measured in the simulator's plan, not by what the policy sees.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from phonotaxis.envs.body import clearance_at
from phonotaxis.envs.metrics import EpisodeResult
from phonotaxis.envs.world import World
from phonotaxis.policies.rollout import Decider

LOW = 0.1  # quantile: a tenth of the steps are as near or nearer
_SPEED_CHANGES = 0.05  # of the body's largest speed: less is no change


@dataclass
class Ride:
    """What a bystander notices of one episode.

    Attributes:
        clearance_m: of the body's edge from what stands nearest, at each step.
        changes: how often the speed asked for changed, and how often the direction of turning; from rest.
        last: speed and direction of turning asked for last.
    """

    clearance_m: list[float] = field(default_factory=list)
    changes: int = 0
    last: tuple[float, int] = (0.0, 0)

    def ask(self, v_mps: float, w_radps: float, least_mps: float) -> None:
        """Take note of a setpoint; speeds that differ by less than `least_mps` are the same."""
        v_before, turn_before = self.last
        turn = int(np.sign(w_radps))
        changed = abs(v_mps - v_before) > least_mps
        self.changes += int(changed) + int(turn != turn_before)
        self.last = (v_mps if changed else v_before, turn)

    @property
    def mean_m(self) -> float:
        """Mean clearance, metres."""
        return float(np.mean(self.clearance_m))

    @property
    def low_m(self) -> float:
        """Clearance that a tenth of the steps fall below, metres."""
        return float(np.quantile(self.clearance_m, LOW))

    def nearness(self, comfortable_m: float) -> float:
        """Return the mean over the steps of 1 - clearance / comfortable where that is positive, 0 to 1."""
        return float(np.mean(np.maximum(0.0, 1.0 - np.array(self.clearance_m) / comfortable_m)))

    def changes_per_m(self, result: EpisodeResult) -> float:
        """Return the changes a metre of the shortest way, the same for all who begin there."""
        return self.changes / max(result.shortest_path_m, 1.0)


class Bystander:
    """Watches a decider's episodes; see `policies.rollout.Decider`.

    Attributes:
        rides: one for each episode begun, in the order of their beginnings, which is that of their seeds.
    """

    def __init__(self, decider: Decider, num_worlds: int) -> None:
        self.rides: list[Ride] = []
        self._decider = decider
        self._running = np.full(num_worlds, -1, dtype=np.int64)

    @property
    def bearing_rad(self) -> np.ndarray | None:
        """What the decider says."""
        return getattr(self._decider, "bearing_rad", None)

    def begin(self, worlds: np.ndarray) -> None:
        """Begin new rides."""
        self._running[worlds] = len(self.rides) + np.arange(len(worlds))
        self.rides += [Ride() for _ in worlds]
        self._decider.begin(worlds)

    def decide(self, world: World) -> np.ndarray:
        """Let the decider decide, and note where each body stands and what it is asked to do."""
        actions = self._decider.decide(world)
        v_mps, w_radps, stop = world.setpoints(np.where(world.active, actions.T, 0).T)
        least_mps = _SPEED_CHANGES * world.contract.body.max_v_mps
        for index in np.flatnonzero(world.active):
            ride = self.rides[self._running[index]]
            ride.clearance_m.append(clearance_m(world, int(index)))
            if not stop[index]:  # to stop in the end is no change of mind
                ride.ask(float(v_mps[index]), float(w_radps[index]), least_mps)
        return actions


def clearance_m(world: World, index: int) -> float:
    """Return how far a body's edge is from the nearest obstacle of the plan, metres, at least 0."""
    ground = world.library.grounds[int(world.hearing.listeners.scene[index])]
    x, y = world.pose[index, :2]
    return max(0.0, float(clearance_at(ground, x, y)) - float(world.drives.radius_m[index]))
