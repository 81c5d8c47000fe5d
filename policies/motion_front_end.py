"""The front end of motion: odometry and what the body can do, of order one."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from phonotaxis.configs.contract import Contract

_STEP_M, _TURN_RAD = 0.25, math.radians(10.0)  # whose octaves the body's are counted in
_BODY = 8  # the first of its features


class MotionFrontEnd(nn.Module):
    """Odometry, the age of the depth image and what the body can do, of order one.

    Attributes:
        size: number of features, 12.
    """

    size = 12
    scale: Tensor
    body: Tensor

    def __init__(self, contract: Contract) -> None:
        """Take the body's limits and the control period as units."""
        super().__init__()
        body, period_s = contract.body, contract.control_period_s
        step_m, turn_rad = body.max_v_mps * period_s, body.max_w_radps * period_s
        units = [step_m, step_m, turn_rad, body.max_v_mps, body.max_w_radps, 1.0]
        self.register_buffer("scale", 1.0 / torch.tensor(units, dtype=torch.float32), persistent=False)
        self.register_buffer("body", torch.tensor(_body_features(contract), dtype=torch.float32), persistent=False)
        self._period_s = period_s

    def forward(self, motion: Tensor, motion_valid: Tensor, depth_age_s: Tensor) -> Tensor:
        """Scale and bound the motion.

        Args:
            motion: float32 [batch, 6], fields `contract.MOTION_FIELDS`.
            motion_valid: float32 [batch, 1], 0 or 1; where 0 the displacement reads as zero.
            depth_age_s: float32 [batch, 1], seconds.

        Returns:
            float32 [batch, 12]: six of the motion, its validity and the image's age in periods, each in [-4, 4], and
            the body's four, which are the same at every step.
        """
        scaled = motion * self.scale
        scaled = torch.cat([scaled[:, :3] * motion_valid, scaled[:, 3:]], dim=1)
        body = self.body.expand(motion.shape[0], -1)
        return torch.cat([torch.cat([scaled, motion_valid, depth_age_s / self._period_s], 1).clamp(-4.0, 4.0), body], 1)


def displacement(features: Tensor) -> Tensor:
    """Say in metres and radians what the front end says in full steps and turns of a body.

    Bodies that learn as one batch have steps of their own, so it is the features that tell a step's length.

    Args:
        features: float32 [batch, 12], of the front end.

    Returns:
        float32 [batch, 3], ahead and to the left in the pose before, metres, and turned, radians.
    """
    octaves = features[:, _BODY : _BODY + 2]
    step, turn = torch.exp(octaves * math.log(2.0)).split(1, dim=1)
    return torch.cat([features[:, :2] * (step * _STEP_M), features[:, 2:3] * (turn * _TURN_RAD)], dim=1)


def _body_features(contract: Contract) -> list[float]:
    """Describe the body.

    Octaves of a step's length about 0.25 m and of a turn's angle about 10 degrees, latency in periods, and how much of
    a period the way to full speed takes.
    """
    body, period_s = contract.body, contract.control_period_s
    acceleration_mps2 = body.max_acceleration_mps2
    ramp_s = 0.0 if acceleration_mps2 is None else body.max_v_mps / acceleration_mps2
    return [
        math.log2(body.max_v_mps * period_s / _STEP_M),
        math.log2(body.max_w_radps * period_s / _TURN_RAD),
        min(body.latency_s / period_s, 4.0),
        min(ramp_s / period_s, 4.0),
    ]
