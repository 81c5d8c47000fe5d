from __future__ import annotations

import numpy as np
import pytest

from phonotaxis.envs import scenes
from phonotaxis.envs.scenes.pool import ScenePool
from phonotaxis.envs.scenes.scene import SceneError


def test_plans_are_found_where_the_docstring_says_and_the_pool_grows():
    small, large = scenes.load("empty_room", size_m=(2.0, 1.5)), scenes.load("apartment", seed=4)
    pool = ScenePool(3, max_cells=400)
    pool.put(2, small)
    assert pool.max_cells == 400
    pool.put(0, large)
    assert pool.max_cells == large.floor_m.size
    for slot, scene in ((2, small), (0, large)):
        rows, columns = scene.shape
        assert (pool.rows[slot], pool.columns[slot]) == scene.shape
        for name in ("floor_m", "ceiling_m", "side_material", "floor_material", "ceiling_material"):
            row = getattr(pool, name)[slot]
            assert np.array_equal(row[: rows * columns].reshape(rows, columns), getattr(scene, name))
            assert row.dtype == getattr(scene, name).dtype
        assert tuple(pool.origin_m[slot]) == scene.origin_m
        assert pool.cell_m[slot] == scene.cell_m
        assert pool.scenes[slot] is scene
    assert pool.rows[1] == 0
    pool.put(0, small)
    assert not pool.floor_m[0, small.floor_m.size :].any()


def test_a_missing_slot_and_an_open_plan_are_refused():
    pool = ScenePool(1)
    with pytest.raises(IndexError, match="slot 1 of a pool of 1"):
        pool.put(1, scenes.load("empty_room"))
    scene = scenes.load("empty_room")
    scene.floor_m[0, 4] = 0.0
    with pytest.raises(SceneError, match="outermost ring"):
        pool.put(0, scene)
    with pytest.raises(ValueError, match="at least 1 slot"):
        ScenePool(0)
