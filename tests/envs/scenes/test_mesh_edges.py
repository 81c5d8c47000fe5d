from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from phonotaxis.envs.scenes.mesh_air import Air
from phonotaxis.envs.scenes.mesh_edges import trim
from phonotaxis.envs.scenes.rasterise import gaps_of, spans_of

CELL_M = 0.1
SHAPE = (40, 50)
HEIGHT_M = 2.5


def sheets(ends: np.ndarray) -> np.ndarray:
    """Upright rectangles of 2.5 m height over segments, float64 [segments, ends, xy], as triangles."""
    low = np.concatenate([ends, np.zeros((*ends.shape[:2], 1))], axis=2)
    high = low + [0.0, 0.0, HEIGHT_M]
    first = np.stack([low[:, 0], low[:, 1], high[:, 1]], axis=1)
    second = np.stack([low[:, 0], high[:, 1], high[:, 0]], axis=1)
    return np.concatenate([first, second])


def air_between(triangles: np.ndarray) -> tuple[Air, np.ndarray]:
    """Every cell that no triangle touches is open, whether or not it can be reached."""
    spans = spans_of(triangles, CELL_M, (0.0, 0.0), SHAPE)
    solid = np.zeros(SHAPE, bool)
    solid.flat[spans.cell] = True
    solid[:2] = solid[-2:] = solid[:, :2] = solid[:, -2:] = True
    floor = np.where(solid, np.float32(HEIGHT_M), np.float32(0.0))
    none = np.full(SHAPE, -1, np.int32)
    air = Air(0.0, 1.0, HEIGHT_M, floor, np.full(SHAPE, HEIGHT_M, np.float32), none, none.copy())
    return air, gaps_of(spans, SHAPE[0] * SHAPE[1], 0.1).side.reshape(SHAPE)


@pytest.mark.parametrize("seed", range(40))
def test_what_was_apart_stays_apart(seed):
    random = np.random.default_rng(seed)
    ends = random.uniform([0.3, 0.3], [4.7, 3.7], (12, 2, 2))
    if seed % 2:  # pairs of sheets closer than a cell: thin walls with two faces
        ends[6:] = ends[:6] + random.uniform(-0.08, 0.08, (6, 1, 2))
    triangles = sheets(ends)
    air, side = air_between(triangles)
    after = trim(air, side, triangles, (0.0, 0.0), CELL_M)
    before_parts, _ = ndimage.label(air.floor_m == 0.0)
    after_parts, _ = ndimage.label(after.floor_m == 0.0)
    assert (after.floor_m <= air.floor_m).all()
    assert (after.floor_m < air.floor_m).any()
    for part in range(1, after_parts.max() + 1):
        assert len(set(before_parts[after_parts == part]) - {0}) <= 1


def test_a_cell_goes_to_the_side_its_centre_is_on():
    def width(left_m: float, right_m: float) -> int:
        box = np.array([[[left_m, -1], [left_m, 9]], [[right_m, -1], [right_m, 9]]], float)
        triangles = sheets(np.clip(box, 0.0, [4.999, 3.999]))
        air, side = air_between(triangles)
        air.floor_m[:, :10] = air.floor_m[:, 31:] = HEIGHT_M  # what lies behind can't be reached
        return int((trim(air, side, triangles, (0.0, 0.0), CELL_M).floor_m[20] == 0.0).sum())

    assert width(1.0, 3.0) == 20
    assert width(1.03, 3.03) == 20
    assert width(1.07, 3.03) == 19
    assert width(1.03, 3.07) == 21
