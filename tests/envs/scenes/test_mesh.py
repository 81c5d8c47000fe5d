from __future__ import annotations

import numpy as np
import pytest
import trimesh

from phonotaxis.envs import scenes
from phonotaxis.envs.scenes.materials import INDEX, MATERIALS
from phonotaxis.envs.scenes.mesh import export_glb
from phonotaxis.envs.scenes.scene import Scene


def area_of(scene: Scene, material: str) -> float:
    mesh = scene.mesh
    return float(mesh.area_faces[mesh.metadata["material"] == INDEX[material]].sum())


def test_an_empty_room_is_a_box_of_twelve_triangles():
    scene = scenes.load("empty_room", size_m=(4.0, 3.0), height_m=2.5)
    mesh = scene.mesh
    assert len(mesh.faces) == 12
    np.testing.assert_allclose(mesh.bounds, [[0, 0, 0], [4, 3, 2.5]], atol=1e-6)
    assert area_of(scene, "wood_floor") == pytest.approx(12.0)
    assert area_of(scene, "ceiling_plaster") == pytest.approx(12.0)
    assert area_of(scene, "plaster") == pytest.approx(2 * 7.0 * 2.5)
    towards_middle = np.array([2.0, 1.5, 1.25]) - mesh.triangles_center
    assert (np.einsum("ij,ij->i", mesh.face_normals, towards_middle) > 0).all()


def test_a_table_and_a_lintel_show_each_of_their_faces():
    scene = scenes.load("empty_room", size_m=(4.0, 3.0), height_m=2.5)
    table, lintel = (slice(10, 14), slice(10, 20)), (slice(10, 14), slice(30, 32))
    scene.floor_m[table] = 0.75
    scene.side_material[table] = scene.floor_material[table] = INDEX["cabinet"]
    scene.ceiling_m[lintel] = 2.0
    scene.side_material[lintel] = scene.ceiling_material[lintel] = INDEX["door_frame"]
    assert area_of(scene, "cabinet") == pytest.approx(0.4 * 1.0 + 2 * (0.4 + 1.0) * 0.75)
    assert area_of(scene, "door_frame") == pytest.approx(0.4 * 0.2 + 2 * (0.4 + 0.2) * 0.5, rel=1e-5)
    assert area_of(scene, "wood_floor") == pytest.approx(12.0 - 0.4)


@pytest.mark.parametrize("seed", range(3))
def test_the_surface_encloses_the_air_exactly(seed):
    scene = scenes.load("apartment", seed=seed)
    mesh = scene.mesh
    air = (scene.ceiling_m - scene.floor_m)[~scene.is_wall].astype(np.float64).sum() * scene.cell_m**2
    # The divergence theorem holds for a closed surface only; normals point inwards, into the air.
    assert -mesh.volume == pytest.approx(air, rel=1e-5)
    np.testing.assert_allclose((mesh.face_normals * mesh.area_faces[:, None]).sum(axis=0), 0, atol=1e-6)
    assert len(mesh.faces) == len(mesh.metadata["material"]) < 5000
    colors = np.array([kind.color for kind in MATERIALS])[mesh.metadata["material"]]
    assert np.array_equal(mesh.visual.face_colors[:, :3], colors)


def test_glb_is_y_up_and_keeps_the_materials(tmp_path):
    scene = scenes.load("apartment", seed=1)
    path = tmp_path / "apartment.glb"
    export_glb(scene, path)
    loaded = trimesh.load_scene(path)
    names = {part.visual.material.name for part in loaded.geometry.values()}
    assert names == {MATERIALS[index].name for index in np.unique(scene.mesh.metadata["material"])}
    (x0, y0, z0), (x1, y1, z1) = scene.mesh.bounds
    np.testing.assert_allclose(loaded.bounds, [[x0, z0, -y1], [x1, z1, -y0]], atol=1e-5)
    assert sum(part.area for part in loaded.geometry.values()) == pytest.approx(scene.mesh.area, rel=1e-5)
