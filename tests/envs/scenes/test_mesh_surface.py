from __future__ import annotations

from pathlib import Path

import pytest
import trimesh

from phonotaxis.envs import scenes
from phonotaxis.envs.scenes.scene import SceneError


def write_box(path: Path, size: tuple[float, float, float]) -> Path:
    """Write a box from the origin, its edges along the file's x, y and z."""
    trimesh.creation.box(bounds=[(0.0, 0.0, 0.0), size]).export(path)
    return path


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.glb", b"", "the file is empty"),
        ("a.glb", b"no mesh at all, only text" * 9, r"not a \.glb file that can be read \(incorrect header"),
        ("a.gltf", b"{}", "no triangles in it"),
        ("a.gltf", b"{", r"not a \.gltf file that can be read \(its JSON is broken"),
        ("a.gltf", b'{"asset": {"version": "2.0"}, "buffers": [{"uri": "x.bin", "byteLength": 4}], "meshes": []}',
         r"it names x\.bin, which is not beside it"),
        ("a.obj", b"hello\n", "no triangles in it"),
        ("a.obj", b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 9\n", r"not a \.obj file that can be read"),
        ("a.obj", b"v 0 0\nv 1 0\nv 0 1\nf 1 2 3\n", "has vertices of 2 coordinates; expected x, y, z"),
        ("a.obj", b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 three\n", r"not a \.obj file that can be read"),
        ("a.ply", b"hello\n", r"not a \.ply file that can be read"),
        ("a.obj", b"v 0 0 0\nv 1 0 0\nv 2 0 0\nf 1 2 3\n", "none of its 1 triangles has an area"),
        ("a.obj", b"v nan 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n", "1 of 1 triangles have a corner that is not a finite"),
        ("a.obj", b"v 1e30 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n", "a coordinate of 1e[+]30"),
        ("a.obj", b"v 0 0 0\nv 9 0 0\nv 0 9 0\nf 1 2 3\n", "the unit can't be told: with z up.* are 0 apart"),
        ("a.obj", b"v 0 0 0\nv 9 0 9\nv 0 9 9\nf 1 2 3\n", "which axis is up can't be told"),
        ("a.ply", b"ply\nformat ascii 1.0\nelement vertex 1\nproperty float x\nproperty float y\nproperty float z\n"
         b"end_header\n0 0 0\n", "a cloud of points without faces"),
    ],
)  # fmt: skip
def test_what_is_no_mesh_is_refused(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(SceneError, match=message):
        scenes.load(path)


def test_a_face_whose_corner_is_missing_is_refused(tmp_path):
    path = tmp_path / "a.ply"
    properties = "property float x\nproperty float y\nproperty float z\n"
    head = (
        f"ply\nformat ascii 1.0\nelement vertex 3\n{properties}element face 1\nproperty list uchar int vertex_indices\n"
    )
    path.write_text(f"{head}end_header\n0 0 0\n1 0 0\n0 1 0\n3 0 1 70\n")
    with pytest.raises(SceneError, match=r"a face whose corner is vertex 70, where there are 3"):
        scenes.load(path)


def test_an_obj_with_umlauts_of_old_programs_is_read(tmp_path):
    path = write_box(tmp_path / "room.obj", (5.0, 4.0, 2.6))
    path.write_bytes("o Kücheninsel\n".encode("latin-1") + path.read_bytes())
    assert "Kücheninsel" in scenes.load(path).info["materials"]


def test_files_cut_short_are_refused_not_crashed_over(tmp_path):
    for suffix in (".glb", ".ply"):
        path = write_box(tmp_path / f"room{suffix}", (5.0, 2.6, 4.0))
        whole = path.read_bytes()
        for share in (0.02, 0.1, 0.5, 0.9, 0.999):
            path.write_bytes(whole[: int(share * len(whole))])
            with pytest.raises(SceneError):
                scenes.load(path, up="y")


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    with pytest.raises(SceneError, match=r"nowhere\.glb: can't be read \(No such file"):
        scenes.load(tmp_path / "nowhere.glb")
    (tmp_path / "folder.ply").mkdir()
    with pytest.raises(SceneError, match="not a file"):
        scenes.load(tmp_path / "folder.ply")
