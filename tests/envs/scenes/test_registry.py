from __future__ import annotations

import pytest

from phonotaxis.configs import presets
from phonotaxis.envs import scenes
from phonotaxis.envs.scenes import registry
from phonotaxis.envs.scenes.scene import SceneError


def test_the_sources_are_listed_and_every_entry_point_can_be_imported():
    names = [source.name for source in scenes.sources()]
    assert names == sorted(names)
    assert {"apartment", "empty_room", "mesh_file", "occupancy_map"} <= set(names)
    for source in scenes.sources():
        assert callable(registry._loader(source)), source.name
        assert source.description


@pytest.mark.parametrize("name", presets.names("scenes"))
def test_every_preset_builds(name):
    scene = scenes.load(name, seed=2)
    assert scene.walkable().any()


def test_an_empty_room_has_the_size_and_materials_asked_for():
    scene = scenes.load("empty_room", size_m=(4.0, 3.0), height_m=2.4, floor="carpet", walls="concrete")
    assert scene.shape == (32, 42)
    assert scene.cell_of(0.001, 0.001) == (1, 1)
    assert scene.cell_of(3.999, 2.999) == (30, 40)
    assert scene.height_m == 2.4
    from phonotaxis.envs.scenes.materials import INDEX

    assert scene.floor_material[5, 5] == INDEX["carpet"]
    assert scene.side_material[0, 5] == INDEX["concrete"]
    assert (scene.floor_m[1:-1, 1:-1] == 0).all()
    assert scene.is_wall.sum() == 32 * 42 - 30 * 40


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("apartmint", {}, r"unknown scene 'apartmint'; did you mean 'apartment'\? \(known: .*empty_room"),
        ("house.stl", {}, r"unknown scene 'house.stl'.*files: .glb, .gltf, .obj, .ply, .yaml, .yml"),
        ("apartment:x", {}, "expected a seed"),
        ("apartment:3", {"seed": 5}, "names its seed: leave the seed 5 out, or give 'apartment' with it"),
        ("apartment", {"seed": -1}, "seed must be 0 or more"),
        ("occupancy_map", {}, "unknown scene"),
        ("empty_room", {"floor": "carpt"}, "unknown material; did you mean 'carpet'"),
        ("empty_room", {"size_m": (0.1, 3.0)}, "both edges must be"),
        ("empty_room", {"size": (3.0, 3.0)}, "unknown key; did you mean 'size_m'"),
    ],
)
def test_what_can_t_be_loaded_is_refused_with_a_hint(name, options, message):
    with pytest.raises(SceneError, match=message):
        scenes.load(name, **options)


def test_a_file_that_no_source_reads_is_named(tmp_path):
    path = tmp_path / "house.stl"
    path.write_bytes(b"solid")
    with pytest.raises(SceneError, match=r"can't read '\.stl' files \(known: .*files: \.glb"):
        scenes.load(path)


def test_sources_can_be_added_but_not_replaced(monkeypatch):
    monkeypatch.setattr(registry, "_SOURCES", dict(registry._SOURCES))
    entry_point = "phonotaxis.envs.scenes.empty_room:load_empty_room"
    scenes.register_source(scenes.SceneSource("my_room", entry_point, "mine"))
    assert scenes.load("my_room").walkable().any()
    with pytest.raises(SceneError, match="'my_room' is registered already"):
        scenes.register_source(scenes.SceneSource("my_room", entry_point, "mine"))
    with pytest.raises(SceneError, match=r"\.yaml are read by scene source 'occupancy_map' already"):
        scenes.register_source(scenes.SceneSource("other", entry_point, "mine", (".yaml",)))
