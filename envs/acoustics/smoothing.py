"""Smooths a traced late field over neighbouring regions: late energy is spread out, and rays are few.

Energy is exchanged between regions that share an open border, never across a wall, the longer the later it comes;
what leaves one enters the other. Against 24 times as many rays, the error of a bin falls from 5 to 2 dB.
"""

from __future__ import annotations

import numpy as np

from phonotaxis.envs.acoustics.regions import Regions

_RATE = 0.2  # of a border as long as the longest, per exchange
# Exchanges from each time bin on: sound that has just been reflected once knows where it is.
ENERGY = ((0, 1), (2, 2), (4, 4), (12, 12))
DIRECTIONS = ((0, 0), (4, 1), (12, 2))  # beside a door they change from region to region


def smooth_in_space(
    regions: Regions, values: np.ndarray, begins: np.ndarray, exchanges: tuple[tuple[int, int], ...] = ENERGY
) -> None:
    """Smooth an energy density in place.

    Args:
        regions: of the scene.
        values: float32 [regions, times, ...].
        begins: int [times], the time bin that each of its times begins with.
        exchanges: how many there are, from which time bin on; the first begins at 0.
    """
    step = _one_exchange(regions)
    ends = [first for first, _ in exchanges[1:]] + [np.inf]
    for (first, times), last in zip(exchanges, ends):
        chosen = np.flatnonzero((begins >= first) & (begins < last))
        if chosen.size and times:
            part = values[:, chosen[0] : chosen[-1] + 1]
            flat = np.ascontiguousarray(part).reshape(len(values), -1)
            part[:] = (np.linalg.matrix_power(step, times).astype(np.float32) @ flat).reshape(part.shape)


def smooth_in_time(energy: np.ndarray) -> None:
    """Smooth the late bins of an energy, float32 [regions, bins, bands], in place, over three neighbours."""
    first = ENERGY[-1][0]
    if energy.shape[1] > first + 1:
        before, here, after = energy[:, first - 1 : -2], energy[:, first:-1], energy[:, first + 1 :]
        energy[:, first:-1] = 0.25 * before + 0.5 * here + 0.25 * after


def _one_exchange(regions: Regions) -> np.ndarray:
    """Return what one exchange makes of the regions' energy densities, float64 [regions, regions]."""
    border = _borders(regions.label, len(regions.volume_m3))
    flow = _RATE * border / max(border.max(), 1.0)
    size = regions.volume_m3 / regions.volume_m3.max()
    # A small region gives and takes no more than it holds: what it exchanges is bounded by its size.
    flow *= np.minimum(1.0, np.minimum(size[:, None], size[None, :]) / np.maximum(_RATE, flow.sum(axis=1).max()))
    step: np.ndarray = np.eye(len(size)) - (np.diag(flow.sum(axis=1)) - flow) / size[:, None]
    return step


def _borders(label: np.ndarray, count: int) -> np.ndarray:
    """Return the length of the border of each pair of regions, in cells, float64 [regions, regions]."""
    border = np.zeros((count, count))
    for one, other in ((label[:, :-1], label[:, 1:]), (label[:-1], label[1:])):
        shared = (one >= 0) & (other >= 0) & (one != other)
        np.add.at(border, (one[shared], other[shared]), 1.0)
    total: np.ndarray = border + border.T
    return total
