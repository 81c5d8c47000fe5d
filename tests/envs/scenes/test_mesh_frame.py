from __future__ import annotations

import json
from pathlib import Path

import pytest
import trimesh

from phonotaxis.envs import scenes
from phonotaxis.envs.scenes.scene import SceneError


def write_box(path: Path, size: tuple[float, float, float]) -> Path:
    """Write a box from the origin, its edges along the file's x, y and z."""
    trimesh.creation.box(bounds=[(0.0, 0.0, 0.0), size]).export(path)
    return path


def test_y_is_up_in_gltf_where_walls_are_as_large_as_the_floor(tmp_path):
    scene = scenes.load(write_box(tmp_path / "corridor.glb", (12.0, 2.6, 1.4)))
    assert scene.info["up"] == "y (by glTF's standard)"
    assert scene.height_m == pytest.approx(2.6, abs=1e-4)


def test_up_is_asked_for_where_it_can_t_be_told(tmp_path):
    path = write_box(tmp_path / "cube.ply", (3.0, 3.0, 3.0))
    with pytest.raises(SceneError, match=r"which axis is up can't be told.*x 9, y 9, z 9.*give the option up"):
        scenes.load(path)
    assert scenes.load(path, up="z").height_m == pytest.approx(3.0)


def test_a_stage_configuration_beside_the_file_says_up_and_unit(tmp_path):
    path = write_box(tmp_path / "cube.ply", (6.0, 6.0, 7.0))
    beside = tmp_path / "cube.stage_config.json"
    beside.write_text(json.dumps({"up": [1, 0, 0], "units_to_meters": 0.5}))
    scene = scenes.load(path)
    assert scene.info["up"] == "x (as given)"
    assert scene.height_m == pytest.approx(3.0)
    assert scenes.load(path, up="z").height_m == pytest.approx(3.5)
    for content, message in (
        ("{", r"cube\.stage_config\.json: can't be read"),
        ('{"up": [0, 1, 1]}', r"up: expected \[1, 0, 0\].*got \[0, 1, 1\]"),
        ('{"units_to_meters": "cm"}', "units_to_meters: expected a number"),
    ):
        beside.write_text(content)
        with pytest.raises(SceneError, match=message):
            scenes.load(path)
        assert scenes.load(path, up="z", unit_m=0.5).height_m == pytest.approx(3.5)
