"""What mesh files call their pieces, whichever way they were written."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import trimesh

from phonotaxis.envs.scenes.mesh_surface import read_surface
from phonotaxis.envs.scenes.scene import SceneError


def test_faces_of_an_obj_count_back_from_where_they_stand(tmp_path: Path) -> None:
    """Exporters that write each object with its own vertices count so; comments and other commands stand between."""
    path = tmp_path / "two.obj"
    path.write_text(
        "o low\nv 0 0 0\nv 1 0 0\nv 0 1 0\nvn 0 0 1\nf -3//-1 -2//-1 \\\n-1//-1 # the first\n"
        "o high\nv 0 0 5\nv 1 0 5\nv 0 1 5\nv 1 1 5\nvn 0 0 1\nf -4//-1 -3//-1 -2//-1\nf -3 -1 -2\n"
    )
    surface = read_surface(path)
    heights = {
        surface.parts[part].geometry: set(surface.triangles[surface.part == part][..., 2].ravel()) for part in (0, 1)
    }
    assert heights == {"low": {0.0}, "high": {5.0}}
    assert len(surface.triangles) == 3
    path.write_text("v 0 0 0\nv 1 0 0\nf -3 -2 -1\nv 0 1 0\n")
    with pytest.raises(SceneError, match="names -3 of the 2 above it"):
        read_surface(path)


@pytest.mark.parametrize("library", ["", "mtllib lost.mtl\n", "mtllib one.mtl two.mtl\n"])
def test_an_obj_keeps_its_materials_without_their_library(tmp_path: Path, library: str) -> None:
    path = tmp_path / "two.obj"
    corners = "v 0 0 0\nv 1 0 0\nv 0 1 0\n"
    path.write_text(f"{library}{corners}usemtl thick carpet\nf 1 2 3\nusemtl glass\nf 3 2 1\n")
    assert {part.material for part in read_surface(path).parts} == {"thick carpet", "glass"}


def test_a_node_of_several_primitives_keeps_its_name(tmp_path: Path) -> None:
    """So that what is said of it under `materials` holds whenever the file is read."""
    collection = trimesh.Scene()
    for name, height in (("a", 0.0), ("b", 1.0)):
        piece = trimesh.Trimesh(np.array([[0, 0, height], [1, 0, height], [0, 1, height]]), [[0, 1, 2]], process=False)
        collection.add_geometry(piece, node_name=name, geom_name=name)
    files = collection.export(file_type="gltf")
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    path = tmp_path / "model.gltf"
    tree = json.loads(path.read_text())
    tree["meshes"] = [
        {"name": "sofa", "primitives": [piece for mesh in tree["meshes"] for piece in mesh["primitives"]]}
    ]
    tree["nodes"] = [{"name": "the sofa", "mesh": 0, "extras": {"semantic_class": "couch"}, "translation": [0, 0, 7]}]
    tree["scenes"], tree["scene"] = [{"nodes": [0]}], 0
    path.write_text(json.dumps(tree))
    once, again = read_surface(path), read_surface(path)
    assert [part.label for part in once.parts] == ["the sofa", "the sofa"]
    assert [part.semantic_class for part in once.parts] == ["couch", "couch"]
    assert once.parts == again.parts
    assert sorted(set(once.triangles[..., 2].ravel())) == [7.0, 8.0]
