"""Meshes that nobody would call a room: their sound is finite, or the error says what is wrong; nothing crashes."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st

from phonotaxis.envs import scenes
from phonotaxis.envs.acoustics import impulse_response
from phonotaxis.envs.scenes.scene import Scene, SceneError

LENGTH_S = 0.05
LOUDEST = 1e3  # see test_properties


def load(vertices: np.ndarray, faces: np.ndarray) -> Scene:
    """Write a mesh as it is, z up and in metres, and load it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mesh.ply"
        trimesh.Trimesh(vertices, faces, process=False).export(path)
        return scenes.load(str(path), up="z", unit_m=1.0)


def heard(scene: Scene, source: tuple[float, float, float], listener: tuple[float, float, float]) -> float:
    """Return the peak of a response that is checked to be finite and no louder than a source can be."""
    response = impulse_response(scene, source, listener, length_s=LENGTH_S)
    assert np.isfinite(response).all()
    assert np.abs(response).max() < LOUDEST
    return float(np.abs(response).max())


coordinate = st.floats(-6.0, 6.0, width=32)


@settings(max_examples=15, deadline=None)
@given(corners=st.lists(st.tuples(coordinate, coordinate, coordinate), min_size=3, max_size=3))
def test_a_scene_of_one_triangle_is_heard_or_refused_in_words(corners: list[tuple[float, float, float]]) -> None:
    said = ""
    try:
        scene = load(np.array(corners), np.array([[0, 1, 2]]))
    except SceneError as error:
        said = str(error)
    if said:
        assert "mesh.ply" in said
        assert len(said) > 40  # what is wrong, and what to do
        return
    cells = np.argwhere(~scene.is_wall)
    for row, column in cells[:: len(cells) // 3 + 1]:
        x, y = scene.centre_of(int(row), int(column))
        z = 0.5 * float(scene.floor_m[row, column] + scene.ceiling_m[row, column])
        assert heard(scene, (x, y, z), (x, y, z)) > 1.0


def test_a_triangle_on_the_ground_is_a_scene() -> None:
    """At least this one is heard, not refused."""
    scene = load(np.array([[0.0, 0.0, 0.0], [4.0, 0.0, 0.0], [0.0, 4.0, 0.0]]), np.array([[0, 1, 2]]))
    assert heard(scene, (1.0, 1.0, 1.0), (1.5, 1.0, 1.0)) > 0.5


@settings(max_examples=40, deadline=None)
@given(missing=st.sets(st.integers(0, 11), min_size=1, max_size=4))
def test_a_mesh_that_is_not_watertight_is_heard_or_refused_in_words(missing: set[int]) -> None:
    """Any triangles of a box may be lost, the floor's and the ceiling's included: the plan is closed all the same."""
    box = trimesh.creation.box(bounds=[(0.0, 0.0, 0.0), (4.0, 3.0, 2.5)])
    faces = np.delete(np.asarray(box.faces), sorted(missing), axis=0)
    assert not trimesh.Trimesh(box.vertices, faces, process=False).is_watertight
    said = ""
    try:
        scene = load(np.asarray(box.vertices), faces)
    except SceneError as error:
        said = str(error)
    if said:
        assert len(missing) > 1
        assert "mesh.ply" in said
        return
    cells = np.argwhere(scene.walkable())
    places = [(*scene.centre_of(int(row), int(column)), 1.0) for row, column in (cells[0], cells[-1])]
    assert heard(scene, places[0], places[1]) > 0.0
