"""Listening regions: patches of about a metre that share a late field and never straddle a wall."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from phonotaxis.envs.scenes.scene import Scene

REGION_EDGE_M = 1.0
EAR_HEIGHT_M = 0.5  # what stands lower can be heard over
BORROWED_M = 2.0  # from a place over furniture to the region whose late field is heard there, at most


class Regions(NamedTuple):
    """Regions of a scene.

    Attributes:
        label: int32 [rows, columns], the region of each cell; -1 in matter.
        centre_m: float32 [regions, 2], mean of its cells' centres, world x, y.
        volume_m3: float32 [regions], of open air.
    """

    label: np.ndarray
    centre_m: np.ndarray
    volume_m3: np.ndarray


def listening_regions(scene: Scene) -> Regions:
    """Cut the open floor into blocks, and each block where a wall parts it."""
    open_air = (scene.floor_m < EAR_HEIGHT_M) & (scene.ceiling_m > EAR_HEIGHT_M) & ~scene.is_wall
    block = max(1, round(REGION_EDGE_M / scene.cell_m))
    label, count = _label(open_air, block)
    rows, columns = np.nonzero(label >= 0)
    index = label[rows, columns]
    cells = np.maximum(np.bincount(index, minlength=count), 1)
    x = scene.origin_m[0] + (columns + 0.5) * scene.cell_m
    y = scene.origin_m[1] + (rows + 0.5) * scene.cell_m
    centre = np.stack([np.bincount(index, x, count) / cells, np.bincount(index, y, count) / cells], axis=1)
    air = (scene.ceiling_m - scene.floor_m)[rows, columns] * scene.cell_m**2
    return Regions(label, centre.astype(np.float32), np.bincount(index, air, count).astype(np.float32))


def heard_regions(scene: Scene, regions: Regions) -> np.ndarray:
    """Return which region's late field is heard in each cell, int32 [rows, columns]; -1 in matter and far from all.

    Air that has no region, that over furniture, takes the one that is the fewest cells away through air: a region
    behind a wall is no neighbour.
    """
    label = regions.label.copy()
    _borrow(label, scene.floor_m < scene.ceiling_m, int(round(BORROWED_M / scene.cell_m)))
    return label


@njit(cache=True)
def _borrow(label: np.ndarray, air: np.ndarray, most_cells: int) -> None:
    """Spread labels, in place, over air that has none, up to so many cells from cell to cell."""
    rows, columns = label.shape
    queue = np.empty((rows * columns, 2), dtype=np.int32)
    end = 0
    for r in range(rows):
        for c in range(columns):
            if label[r, c] >= 0:
                queue[end, 0], queue[end, 1] = r, c
                end += 1
    begin = 0
    for _ in range(most_cells):
        stop = end
        while begin < stop:
            r, c = queue[begin, 0], queue[begin, 1]
            begin += 1
            for step in range(4):
                rr = r + (step == 0) - (step == 1)
                cc = c + (step == 2) - (step == 3)
                if 0 <= rr < rows and 0 <= cc < columns and air[rr, cc] and label[rr, cc] < 0:
                    label[rr, cc] = label[r, c]
                    queue[end, 0], queue[end, 1] = rr, cc
                    end += 1


@njit(cache=True)
def _label(open_air: np.ndarray, block: int) -> tuple[np.ndarray, int]:
    """Label connected cells within each block; returns int32 [rows, columns] and the number of labels."""
    rows, columns = open_air.shape
    label = np.full((rows, columns), -1, dtype=np.int32)
    stack = np.empty((block * block * 4 + 8, 2), dtype=np.int32)
    count = 0
    for r0 in range(rows):
        for c0 in range(columns):
            if not open_air[r0, c0] or label[r0, c0] >= 0:
                continue
            top, left = (r0 // block) * block, (c0 // block) * block
            label[r0, c0] = count
            stack[0, 0], stack[0, 1] = r0, c0
            depth = 1
            while depth > 0:
                depth -= 1
                r, c = stack[depth, 0], stack[depth, 1]
                for step in range(4):
                    rr = r + (step == 0) - (step == 1)
                    cc = c + (step == 2) - (step == 3)
                    if rr < top or cc < left or rr >= min(top + block, rows) or cc >= min(left + block, columns):
                        continue
                    if open_air[rr, cc] and label[rr, cc] < 0:
                        label[rr, cc] = count
                        stack[depth, 0], stack[depth, 1] = rr, cc
                        depth += 1
            count += 1
    return label, count
