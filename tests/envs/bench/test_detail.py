"""Apartments in detail: more triangles or more cells, and the same place to be in."""

from __future__ import annotations

import numpy as np
import pytest

from phonotaxis.envs import scenes
from phonotaxis.envs.bench import detail
from phonotaxis.envs.bench.detail import in_detail, load_detailed, share_for
from phonotaxis.envs.scenes.scene import Scene, SceneError


@pytest.fixture(scope="module")
def plain() -> Scene:
    return scenes.load("empty_room", size_m=[4.0, 3.0])


def test_finer_cells_leave_the_surface_as_it_is(plain: Scene) -> None:
    fine = in_detail(plain, 3, 0.0)
    assert fine.floor_m.size == 9 * plain.floor_m.size
    assert len(fine.mesh.faces) == len(plain.mesh.faces)
    assert fine.mesh.area == pytest.approx(plain.mesh.area)
    assert fine.mesh.bounds == pytest.approx(plain.mesh.bounds)


def test_rough_cells_make_triangles_and_can_be_rolled_over(plain: Scene) -> None:
    rough = in_detail(plain, 1, 0.5)
    assert len(rough.mesh.faces) > 20 * len(plain.mesh.faces)
    assert np.array_equal(rough.walkable(), plain.walkable())
    assert np.abs(rough.floor_m - plain.floor_m).max() <= detail.ROUGH_M
    again = in_detail(plain, 1, 0.5)
    assert np.array_equal(again.floor_m, rough.floor_m)


def test_the_share_gives_so_many_times_the_triangles(plain: Scene) -> None:
    share = share_for(plain, 1, 20.0)
    made = len(in_detail(plain, 1, share).mesh.faces) / len(plain.mesh.faces)
    assert made == pytest.approx(20.0, rel=0.1)
    assert share_for(plain, 1, 1e6) == 1.0  # as many as there can be


def test_the_source_is_registered_once_and_loads_apartments() -> None:
    detail.register()
    detail.register()
    assert [source.name for source in scenes.sources()].count(detail.SOURCE) == 1
    scene = scenes.load(detail.SOURCE, seed=2, refine=2)
    assert scene.cell_m == pytest.approx(0.5 * scenes.load("apartment:2").cell_m)
    with pytest.raises(SceneError, match="unknown key"):
        load_detailed(detail.SOURCE, 0, {"refined": 2})
