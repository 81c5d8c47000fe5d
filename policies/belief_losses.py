"""What a belief is taught by: where the sources are, which the simulator knows."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from phonotaxis.policies.belief import CELL_M, Belief


def belief_nll(belief: Belief, range_m: Tensor, bearing_rad: Tensor) -> Tensor:
    """Cross entropy of the belief to a source that is known to within half a cell.

    Args:
        belief: leading [...].
        range_m: float32 [...], straight to the source.
        bearing_rad: float32 [...], its azimuth in the base frame.

    Returns:
        float32 [...]; 0 where the source lies outside the map.
    """
    ahead_m, left_m = range_m * torch.cos(bearing_rad), range_m * torch.sin(bearing_rad)
    return _cross_entropy(belief, belief.log_p, ahead_m, left_m)


def others_nll(belief: Belief, places_m: Tensor) -> Tensor:
    """Likewise of the belief in other sources, the mean over those that there are.

    Where there is none the belief is to be flat: a source that plays alone is no other one, whatever it sounds like.

    Args:
        belief: leading [...], with `others_log_p`.
        places_m: float32 [..., sources, 2], metres ahead of the robot and to its left; NaN where there is none.

    Returns:
        float32 [...]; how far from flat it is (Kullback-Leibler) where there is none; 0 where the map doesn't tell.
    """
    losses = torch.zeros_like(belief.log_p[..., 0])
    if belief.others_log_p is None:
        return losses
    log_p = belief.others_log_p
    there = torch.isfinite(places_m).all(dim=-1)
    places_m = torch.where(there[..., None], places_m, torch.zeros(()))
    for number in range(places_m.shape[-2]):
        ahead_m, left_m = places_m[..., number, :].unbind(-1)
        losses = losses + _cross_entropy(belief, log_p, ahead_m, left_m) * there[..., number]
    count = there.sum(dim=-1)
    from_flat = -log_p.mean(dim=-1) - math.log(log_p.shape[-1])
    return losses / count.clamp(min=1) + from_flat * (count == 0)


def _cross_entropy(belief: Belief, log_p: Tensor, ahead_m: Tensor, left_m: Tensor) -> Tensor:
    x, y = belief.x - ahead_m[..., None], belief.y - left_m[..., None]
    squared = x * x + y * y
    inside = squared.min(dim=-1).values < CELL_M**2
    target = torch.softmax(-squared / (2.0 * (0.5 * CELL_M) ** 2), dim=-1)
    return -(target * log_p).sum(dim=-1) * inside
