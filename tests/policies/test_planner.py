"""Plans beyond the map's edge stay within memory and lead nowhere."""

from __future__ import annotations

import numpy as np
import pytest

from phonotaxis.policies.mapping import CELL_M, SIDE, new_maps
from phonotaxis.policies.planner import new_visits, plan


@pytest.mark.parametrize("cells", [SIDE // 2 + 3, SIDE, -SIDE // 2 - 3, 100 * SIDE])
def test_beyond_its_map_a_follower_has_nowhere_to_go(cells: int) -> None:
    maps, visits = new_maps(2), new_visits(2)
    visits[1] = 1e9  # another world's, which must not be read
    place = np.array([[cells * CELL_M, cells * CELL_M, 0.0], [0.0, 0.0, 0.0]])
    ahead = np.full((2, 3), np.nan)
    plan(np.array([0]), maps, visits, place, np.zeros((2, 2)), 0.18, 1.0, ahead)
    np.testing.assert_allclose(ahead[0, :2], place[0, :2], atol=CELL_M)
    assert visits[0].sum() == 0.0
