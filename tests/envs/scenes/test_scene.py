from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from phonotaxis.envs import scenes
from phonotaxis.envs.scenes.scene import SceneError


def test_cells_and_points_agree():
    scene = scenes.load("empty_room", size_m=(2.0, 1.0))
    for cell in ((0, 0), (3, 7), (11, 21)):
        assert scene.cell_of(*scene.centre_of(*cell)) == cell
    assert scene.cell_of(-0.15, -0.05) == (0, -1)
    assert scene.centre_of(1, 1) == pytest.approx((0.05, 0.05))


def test_an_open_border_and_unequal_grids_are_refused():
    scene = scenes.load("empty_room")
    floor = scene.floor_m.copy()
    floor[-1, 4] = 0.0
    with pytest.raises(SceneError, match="outermost ring of cells must be wall"):
        dataclasses.replace(scene, floor_m=floor)
    with pytest.raises(SceneError, match=r"share one shape.*room \[2, 2\]"):
        dataclasses.replace(scene, room=np.zeros((2, 2), np.int16))


def test_a_changed_copy_does_not_inherit_what_was_worked_out_for_the_original():
    scene = scenes.load("empty_room")
    before = scene.walkable().sum()
    floor = scene.floor_m.copy()
    floor[:, 30] = scene.height_m
    assert dataclasses.replace(scene, floor_m=floor).walkable().sum() < before
    assert scene.walkable().sum() == before
