"""What imitation minimises."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from phonotaxis.configs.task import AudioGoalTask
from phonotaxis.policies.belief import belief_nll
from phonotaxis.policies.chunks import Chunk
from phonotaxis.policies.directions import directions_nll
from phonotaxis.policies.policy import PolicyOutput

_TEMPERATURE = 0.25  # actions: how much worse an action may be and still be imitated
_WEIGHTS = {"regret": 0.5, "imitation": 1.0, "bearing": 0.4, "distance": 0.1, "belief": 0.1, "value": 0.02}


class Losses(NamedTuple):
    """Scalar losses; `total` is their weighted sum."""

    total: Tensor
    regret: Tensor
    imitation: Tensor
    bearing: Tensor
    distance: Tensor
    belief: Tensor
    value: Tensor


def imitation_losses(output: PolicyOutput, chunk: Chunk, task: AudioGoalTask) -> Losses:
    """Compare what the policy says with what the expert knows.

    - regret: expected regret of the policy's action, in actions;
    - imitation: cross entropy to the softmax of the negative regrets, which keeps gradients where the policy is sure
      of the wrong thing;
    - bearing: negative log-likelihood of the true azimuth under the predicted von Mises distribution, or cross entropy
      of the predicted directions, where a policy has these;
    - distance: likewise of the true geodesic distance under the predicted log-normal one;
    - belief: cross entropy of the map, where there is one, to the source's place;
    - value: smooth absolute error to the expert's undiscounted return.

    Args:
        output: leading [time, batch].
        chunk: what was seen.
        task: whose rewards the value counts.
    """
    log_p = torch.log_softmax(output.logits, dim=-1)
    regret = (log_p.exp() * chunk.regrets).sum(-1).mean()
    target = torch.softmax(-chunk.regrets / _TEMPERATURE, dim=-1)
    imitation = -(target * log_p).sum(-1).mean()
    if output.directions is None:
        bearing = bearing_nll(output.bearing, chunk.bearing_rad).mean()
    else:
        bearing = directions_nll(output.directions, chunk.bearing_rad).mean()
    known = torch.isfinite(chunk.distance_m)
    log_m = torch.log(torch.where(known, chunk.distance_m, torch.ones(())).clamp_min(0.05))
    mean, std = output.distance.unbind(-1)
    distance = ((0.5 * ((log_m - mean) / std) ** 2 + torch.log(std)) * known).mean()
    to_go = torch.where(known, chunk.to_go, torch.zeros(()))
    belief = torch.zeros(())
    if output.belief is not None:
        belief = belief_nll(output.belief, chunk.range_m, chunk.bearing_rad).mean()
    returns = task.success_reward + task.progress_reward_per_m * log_m.exp() + task.step_reward * to_go
    value = (torch.nn.functional.smooth_l1_loss(output.value.squeeze(-1), returns, reduction="none") * known).mean()
    parts = {
        "regret": regret,
        "imitation": imitation,
        "bearing": bearing,
        "distance": distance,
        "belief": belief,
        "value": value,
    }
    total = torch.stack([_WEIGHTS[name] * part for name, part in parts.items()]).sum()
    return Losses(total, **parts)


def bearing_nll(bearing: Tensor, azimuth_rad: Tensor) -> Tensor:
    """Negative log-likelihood of an azimuth under a von Mises distribution, without the constant log 2 pi.

    Args:
        bearing: float32 [..., 3], cosine, sine, concentration.
        azimuth_rad: float32 [...].
    """
    cosine, sine, concentration = bearing.unbind(-1)
    aligned = cosine * torch.cos(azimuth_rad) + sine * torch.sin(azimuth_rad)
    log_i0 = torch.log(torch.special.i0e(concentration)) + concentration
    return log_i0 - concentration * aligned
