"""How often a policy would have done what a person did who drove the robot in its stead."""

from __future__ import annotations

import math

import numpy as np

from phonotaxis.configs.contract import Contract, DiscreteActions
from phonotaxis.deploy.devices import OdometrySample

NEAR = 0.25  # continuous actions agree where v and w each lie within so much of the body's limits


class Agreement:
    """Compares each decision with the motion of the control period that follows it."""

    def __init__(self, contract: Contract) -> None:
        self._contract = contract
        self._pending: np.ndarray | None = None
        self._way_m = self._turn_rad = 0.0
        self.steps = self.agreed = 0

    def moved(self, sample: OdometrySample) -> None:
        """Take a motion of the robot."""
        self._way_m += sample.dx_m
        self._turn_rad += sample.dyaw_rad

    def decided(self, action: np.ndarray) -> None:
        """Compare the decision before with what was driven since, and keep this one for the next call."""
        if self._pending is not None:
            self.steps += 1
            self.agreed += self._agrees(self._pending)
        self._pending = np.array(action)
        self._way_m = self._turn_rad = 0.0

    def _agrees(self, action: np.ndarray) -> bool:
        period_s = self._contract.control_period_s
        v, w = self._way_m / period_s, self._turn_rad / period_s
        if isinstance(self._contract.actions, DiscreteActions):
            return self._nearest(v, w) == int(action)
        body = self._contract.body
        wanted_v, wanted_w, _ = self._contract.setpoint(action)
        return abs(wanted_v - v) <= NEAR * body.max_v_mps and abs(wanted_w - w) <= NEAR * body.max_w_radps

    def _nearest(self, v: float, w: float) -> int:
        """Return the action whose setpoint is nearest, each axis in units of the largest setpoint there is."""
        assert isinstance(self._contract.actions, DiscreteActions)
        setpoints = self._contract.actions.setpoints
        units = [max(abs(s[axis]) for s in setpoints) or 1.0 for axis in (0, 1)]
        return min(
            range(len(setpoints)),
            key=lambda i: math.hypot((setpoints[i][0] - v) / units[0], (setpoints[i][1] - w) / units[1]),
        )

    @property
    def share(self) -> float | None:
        """The share of the steps in which both agreed; None before the first."""
        return self.agreed / self.steps if self.steps else None
