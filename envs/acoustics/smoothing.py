"""Smooths a traced late field over neighbouring regions: late energy is spread out, and rays are few.

Energy is exchanged between regions that share an open border, never across a wall, the longer the later it comes;
what leaves one enters the other. Against 24 times as many rays, the error of a bin falls from 5 to 2 dB.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse

from phonotaxis.envs.acoustics.regions import Regions

_RATE = 0.2  # of a border as long as the longest, per exchange
# Exchanges from each time bin on: sound that has just been reflected once knows where it is.
ENERGY = ((0, 1), (2, 2), (4, 4), (12, 6))
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
            for _ in range(times):
                flat = step @ flat
            part[:] = flat.reshape(part.shape)


def smooth_in_time(energy: np.ndarray) -> None:
    """Smooth the late bins of an energy, float32 [regions, bins, bands], in place, over three neighbours."""
    first = ENERGY[-1][0]
    if energy.shape[1] > first + 1:
        before, here, after = energy[:, first - 1 : -2], energy[:, first:-1], energy[:, first + 1 :]
        energy[:, first:-1] = 0.25 * before + 0.5 * here + 0.25 * after


def _one_exchange(regions: Regions) -> scipy.sparse.csr_array:
    """Return what one exchange makes of the regions' energy densities, float32 [regions, regions]."""
    border = _borders(regions.label, len(regions.volume_m3)).tocoo()
    flow = _RATE * border.data / max(border.data.max(initial=0.0), 1.0)
    size = regions.volume_m3.astype(np.float64) / regions.volume_m3.max()
    most = np.bincount(border.row, flow, len(size)).max(initial=0.0)
    # A small region gives and takes no more than it holds: what it exchanges is bounded by its size.
    flow *= np.minimum(1.0, np.minimum(size[border.row], size[border.col]) / max(_RATE, most))
    kept = 1.0 - np.bincount(border.row, flow, len(size)) / size
    given = scipy.sparse.coo_array((flow / size[border.row], (border.row, border.col)), shape=border.shape)
    return (scipy.sparse.diags_array(kept) + given).tocsr().astype(np.float32)


def _borders(label: np.ndarray, count: int) -> scipy.sparse.csr_array:
    """Return the length of the border of each pair of regions, in cells, float64 [regions, regions]."""
    one = np.concatenate([label[:, :-1].ravel(), label[:-1].ravel()])
    other = np.concatenate([label[:, 1:].ravel(), label[1:].ravel()])
    shared = (one >= 0) & (other >= 0) & (one != other)
    one, other = one[shared], other[shared]
    pairs = (np.concatenate([one, other]), np.concatenate([other, one]))
    return scipy.sparse.coo_array((np.ones(2 * one.size), pairs), shape=(count, count)).tocsr()
