"""A bundle in the simulator: the file that drives the robot is what is measured."""

from __future__ import annotations

import numpy as np

from phonotaxis.configs import contract as names
from phonotaxis.envs.world import World
from phonotaxis.export.bundle import Bundle
from phonotaxis.export.engines import open_engine
from phonotaxis.policies.blocks import in_blocks
from phonotaxis.policies.rollout import bearing_of


class EngineDecider:
    """An exported policy in its engine, with its memory per world; see `policies.rollout.Decider`.

    Attributes:
        caution: where the knob stands, where the policy has one.
        bearing_rad: float64 [worlds], where it said last that the source is; NaN where it wasn't asked.
    """

    def __init__(self, bundle: Bundle, num_worlds: int, caution: float = 0.0) -> None:
        self.contract = bundle.contract
        self.caution = caution
        self._engine = open_engine(bundle)
        self._state = np.zeros((num_worlds, *self.contract.state_shape), dtype=np.float32)
        self.bearing_rad = np.full(num_worlds, np.nan)

    def begin(self, worlds: np.ndarray) -> None:
        """Clear the memory of some worlds."""
        self._state[worlds] = 0.0

    def decide(self, world: World) -> np.ndarray:
        """Take the policy's action in every active world."""
        active = np.flatnonzero(world.active)
        seen = self.contract.seen(world.observation, active, self.caution)
        said = in_blocks(self._engine.run, self.contract.feed(seen, self._state[active]))
        self._state[active] = said[names.STATE_OUT]
        self.bearing_rad[:] = np.nan
        self.bearing_rad[active] = bearing_of(said[names.BEARING])
        action = said[names.ACTION]
        actions = np.zeros((world.num_worlds, *action.shape[1:]), dtype=action.dtype)
        actions[active] = action
        return actions
