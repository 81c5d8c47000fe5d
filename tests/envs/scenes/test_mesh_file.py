from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trimesh
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from phonotaxis import cli
from phonotaxis.configs.contract import PinholeCamera
from phonotaxis.configs.task import AudioGoalTask
from phonotaxis.envs import acoustics, scenes
from phonotaxis.envs.library import load_scene
from phonotaxis.envs.scenes.materials import INDEX
from phonotaxis.envs.scenes.mesh import export_glb
from phonotaxis.envs.scenes.scene import Scene, SceneError
from phonotaxis.envs.scenes.walk import components
from phonotaxis.envs.vision.eyes import look

SIMPLE_ROOM = Path(__file__).parents[3] / ".." / "shared" / "data" / "meshes" / "simple_room.glb"
# What turns z up into another axis up: (x, y, z) of the world is (x, z, -y) of a y-up file, (z, x, y) of an x-up one.
TO_FILE = {
    "z": np.eye(3),
    "y": np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0]], float),
    "x": np.array([[0, 0, 1], [1, 0, 0], [0, 1, 0]], float),
}


def box(low: tuple[float, float, float], high: tuple[float, float, float]) -> trimesh.Trimesh:
    return trimesh.creation.box(bounds=[low, high])


def room(ceiling: bool = True) -> dict[str, trimesh.Trimesh]:
    """Build a room of 6 x 4 x 2.6 m of slabs 0.2 m thick, with a table and a wardrobe."""
    parts = {
        "floor": box((-0.2, -0.2, -0.2), (6.2, 4.2, 0.0)),
        "wall_south": box((-0.2, -0.2, 0.0), (6.2, 0.0, 2.6)),
        "wall_north": box((-0.2, 4.0, 0.0), (6.2, 4.2, 2.6)),
        "wall_west": box((-0.2, 0.0, 0.0), (0.0, 4.0, 2.6)),
        "wall_east": box((6.0, 0.0, 0.0), (6.2, 4.0, 2.6)),
        "top": box((2.0, 1.0, 0.70), (3.6, 1.8, 0.74)),
        "leg": box((2.7, 1.3, 0.0), (2.9, 1.5, 0.70)),
        "wardrobe": box((4.4, 3.4, 0.0), (6.0, 4.0, 2.0)),
        "lamp": box((3.6, 2.6, 2.2), (4.0, 3.0, 2.6)),
    }
    if ceiling:
        parts["ceiling"] = box((-0.2, -0.2, 2.6), (6.2, 4.2, 2.8))
    return parts


def save(
    path: Path, parts: dict[str, trimesh.Trimesh], up: str = "z", unit_m: float = 1.0, shift: Any = (0.0, 0.0, 0.0)
) -> Path:
    """Write parts, given in metres and z up, in a file's axes and unit."""
    collection = trimesh.Scene()
    for name, part in parts.items():
        placed = part.copy()
        placed.vertices = (placed.vertices + np.asarray(shift)) @ TO_FILE[up].T / unit_m
        collection.add_geometry(placed, node_name=name, geom_name=name)
    if path.suffix == ".ply":
        collection.to_mesh().export(path)
    elif path.suffix == ".gltf":
        for name, data in collection.export(file_type="gltf").items():
            path.with_name(path.name if name == "model.gltf" else name).write_bytes(data)
    else:
        collection.export(path)
    return path


def at(scene: Scene, grid: np.ndarray, x_m: float, y_m: float) -> float:
    return float(grid[scene.cell_of(x_m, y_m)])


def is_open(scene: Scene, x_m: float, y_m: float) -> bool:
    row, column = scene.cell_of(x_m, y_m)
    inside = 0 <= row < scene.shape[0] and 0 <= column < scene.shape[1]
    return inside and not scene.is_wall[row, column]


def check_room(scene: Scene, ceiling_m: float = 2.6) -> None:
    open_m2 = (~scene.is_wall).sum() * scene.cell_m**2
    assert open_m2 == pytest.approx(24.0, abs=0.05)
    assert at(scene, scene.floor_m, 1.0, 2.0) == 0.0
    assert at(scene, scene.ceiling_m, 1.0, 2.0) == pytest.approx(ceiling_m, abs=1e-4)
    assert at(scene, scene.floor_m, 2.2, 1.2) == pytest.approx(0.74, abs=1e-4)  # beside the leg, under the top
    assert at(scene, scene.floor_m, 5.0, 3.7) == pytest.approx(2.0, abs=1e-4)
    assert at(scene, scene.floor_m, 3.8, 2.8) == 0.0
    assert at(scene, scene.ceiling_m, 3.8, 2.8) == pytest.approx(2.2, abs=1e-4)
    for x, y in ((-0.1, 2.0), (6.1, 2.0), (3.0, -0.1), (3.0, 4.1)):
        assert not is_open(scene, x, y)
    assert scene.geodesic_distance_m((0.5, 0.5), (3.5, 3.5)) < 4.6
    assert components(scene.walkable()) == 1


@pytest.mark.parametrize("suffix", [".glb", ".gltf", ".obj", ".ply"])
@pytest.mark.parametrize("up", ["x", "y", "z"])
def test_every_format_and_up_axis(tmp_path, suffix, up):
    scene = scenes.load(save(tmp_path / f"room{suffix}", room(), up))
    assert scene.info["up"].startswith(up)
    check_room(scene)


@pytest.mark.parametrize("unit_m", [1.0, 0.01, 0.001, 0.0254])
def test_units_are_found_by_the_height_of_the_ceiling(tmp_path, unit_m):
    scene = scenes.load(save(tmp_path / "room.obj", room(), unit_m=unit_m))
    assert scene.info["unit"].startswith(f"{unit_m:g} m (")
    check_room(scene)


def test_the_unit_is_asked_for_where_it_can_t_be_told(tmp_path):
    path = save(tmp_path / "room.glb", room(), "y", unit_m=30.0)
    with pytest.raises(SceneError, match=r"the unit can't be told.*0.087 m in metres.*give the option unit_m"):
        scenes.load(path)
    check_room(scenes.load(path, unit_m=30.0))


def test_an_open_mesh_gets_a_ceiling_and_says_so(tmp_path):
    path = save(tmp_path / "room.glb", room(ceiling=False), "y")
    scene = scenes.load(path)
    check_room(scene)
    assert "2.60 m is assumed" in scene.info["ceiling"]
    assert scenes.load(path, ceiling_m=2.8).height_m == pytest.approx(2.8)
    assert not is_open(scenes.load(path, ceiling_m=2.8), -0.1, 2.0)


def test_a_hole_in_the_ceiling_gets_the_height_of_the_rest(tmp_path):
    parts = room(ceiling=False)
    parts["west"] = box((-0.2, -0.2, 3.0), (4.0, 4.2, 3.2))
    parts["posts"] = box((-0.2, -0.2, 2.6), (0.0, 4.2, 3.0))
    scene = scenes.load(save(tmp_path / "room.glb", parts, "y"))
    assert at(scene, scene.ceiling_m, 1.0, 2.0) == pytest.approx(3.0, abs=1e-4)
    assert at(scene, scene.ceiling_m, 5.0, 2.0) == pytest.approx(3.0, abs=1e-4)


@pytest.mark.parametrize("angle_rad", [0.1, 0.3, 0.785])
def test_a_turned_room_has_the_area_it_has(tmp_path, angle_rad):
    parts = {name: part.copy() for name, part in room().items()}
    for part in parts.values():
        part.apply_transform(trimesh.transformations.rotation_matrix(angle_rad, [0, 0, 1]))
    scene = scenes.load(save(tmp_path / "room.glb", parts, "y"))
    assert (~scene.is_wall).sum() * scene.cell_m**2 == pytest.approx(24.0, rel=0.015)
    raised = (scene.floor_m > 0.7) & (scene.floor_m < 0.8)
    assert raised.sum() * scene.cell_m**2 == pytest.approx(1.6 * 0.8, rel=0.15)


def test_a_partition_thinner_than_a_cell_keeps_its_length(tmp_path):
    # Half as high as the room, and ending in the open: nothing of it may be taken for the edge of something wide.
    parts = {"shell": box((0, 0, 0), (6.0, 4.0, 2.6)), "screen": box((3.02, 0.0, 0.0), (3.05, 2.5, 1.4))}
    scene = scenes.load(save(tmp_path / "room.glb", parts, "y"))
    assert (np.abs(scene.floor_m - 1.4) < 1e-3).sum() == pytest.approx(25, abs=1)
    assert scene.geodesic_distance_m((2.5, 0.5), (3.5, 0.5)) > 4.0


def test_inside_out_and_single_sheets_are_rooms_too(tmp_path):
    shell = box((0, 0, 0), (6.0, 4.0, 2.6))
    inward = shell.copy()
    inward.invert()
    for name, mesh in (("outward", shell), ("inward", inward)):
        scene = scenes.load(save(tmp_path / f"{name}.glb", {"shell": mesh}, "y"))
        assert scene.height_m == pytest.approx(2.6, abs=1e-4)
        assert (~scene.is_wall).sum() * 0.01 == pytest.approx(24.0)


def test_a_thin_wall_at_any_angle_is_tight(tmp_path):
    for angle in (0.0, 0.3, 0.785):
        c, s = np.cos(angle), np.sin(angle)
        ends = np.array([[4.0 - 5 * c, 3.0 - 5 * s], [4.0 + 5 * c, 3.0 + 5 * s]])
        corners = [(*ends[0], 0.0), (*ends[1], 0.0), (*ends[1], 2.6), (*ends[0], 2.6)]
        sheet = trimesh.Trimesh(corners, [[0, 1, 2], [0, 2, 3]], process=False)
        parts = {"shell": box((0, 0, 0), (8.0, 6.0, 2.6)), "sheet": sheet}
        scene = scenes.load(save(tmp_path / "two.glb", parts, "y"), up="y")
        left = (4.0 - 1.5 * s, 3.0 + 1.5 * c)
        right = (4.0 + 1.5 * s, 3.0 - 1.5 * c)
        # Half of the room can't be reached, and so is wall.
        assert sorted([is_open(scene, *left), is_open(scene, *right)]) == [False, True]


def test_two_storeys_the_larger_is_taken_and_the_other_can_be_asked_for(tmp_path):
    parts = room()
    parts["upper"] = box((0.0, 0.0, 2.8), (4.0, 4.0, 5.4))
    path = save(tmp_path / "house.glb", parts, "y")
    check_room(scenes.load(path))
    upper = scenes.load(path, floor_z_m=2.8)
    assert (~upper.is_wall).sum() * 0.01 == pytest.approx(16.0)
    assert upper.info["floor"].startswith("at z = 2.800 m")


def test_the_inside_of_a_foundation_is_no_room(tmp_path):
    parts = {"foundation": box((-1.0, -1.0, -2.2), (7.0, 7.0, -0.2)), **room()}
    check_room(scenes.load(save(tmp_path / "house.glb", parts, "y")))


def test_a_stairwell_is_fenced_and_small_holes_are_closed(tmp_path):
    tiles = {
        f"tile{i}{j}": box((0.5 * i, 0.5 * j, -0.1), (0.5 * i + 0.5, 0.5 * j + 0.5, 0.0))
        for i in range(12)
        for j in range(8)
        if not (8 <= i < 10 and 3 <= j < 6)
    }
    crack = tiles.pop("tile11")
    crack.vertices[:, 0] -= 0.15
    walls = {name: part for name, part in room().items() if name.startswith(("wall", "ceiling"))}
    cellar = {"cellar": box((3.8, 1.2, -2.8), (5.2, 3.2, -2.7))}
    scene = scenes.load(save(tmp_path / "house.glb", {**tiles, **walls, **cellar, "crack": crack}, "y"), up="y")
    assert at(scene, scene.floor_m, 4.5, 2.2) == pytest.approx(0.1)
    assert not scene.is_wall[scene.cell_of(4.5, 2.2)]
    assert not scene.walkable()[scene.cell_of(4.5, 2.2)]
    assert at(scene, scene.floor_m, 0.9, 0.75) == 0.0
    assert scene.floor_m.min() == 0.0


def test_materials_by_name_class_and_option(tmp_path):
    parts = room()
    collection = trimesh.Scene()
    for name, part in parts.items():
        placed = part.copy()
        placed.vertices = placed.vertices @ TO_FILE["y"].T
        if name == "floor":
            look = trimesh.visual.material.PBRMaterial(name="OakParquet_02")
            placed.visual = trimesh.visual.TextureVisuals(material=look)
        if name == "top":
            placed.metadata["class"] = "glass table"
        collection.add_geometry(placed, node_name=name.title(), geom_name=name)
    path = tmp_path / "room.glb"
    collection.export(path)
    scene = scenes.load(path, walls="concrete", materials={"LAMP": "upholstery"})
    row, column = scene.cell_of(1.0, 2.0)
    assert scene.floor_material[row, column] == INDEX["wood_floor"]
    assert scene.ceiling_material[row, column] == INDEX["ceiling_plaster"]
    assert at(scene, scene.floor_material, 5.0, 3.7) == INDEX["cabinet"]
    assert at(scene, scene.floor_material, 2.2, 1.2) == INDEX["glass"]
    assert at(scene, scene.ceiling_material, 3.8, 2.8) == INDEX["upholstery"]
    assert (scene.side_material[scene.is_wall] == INDEX["concrete"]).mean() > 0.8
    assert "OakParquet_02: wood_floor" in scene.info["materials"]
    with pytest.raises(SceneError, match=r"materials.Lmap: no such name in the mesh; did you mean 'Lamp'"):
        scenes.load(path, materials={"Lmap": "carpet"})
    with pytest.raises(SceneError, match=r"materials.Lamp: unknown material; did you mean 'carpet'"):
        scenes.load(path, materials={"Lamp": "carpt"})


def test_an_apartment_comes_back_from_its_own_export(tmp_path):
    before = scenes.load("apartment", seed=3)
    path = tmp_path / "flat.glb"
    export_glb(before, path)
    after = scenes.load(path)
    assert after.info["up"].startswith("y")
    assert after.height_m == pytest.approx(before.height_m, abs=1e-3)
    same = total = 0
    material = 0
    for row, column in np.argwhere(~before.is_wall):
        x, y = before.centre_of(int(row), int(column))
        other = after.cell_of(x, y)
        total += 1
        same += abs(after.floor_m[other] - before.floor_m[row, column]) < 1e-3
        material += after.floor_material[other] == before.floor_material[row, column]
    assert same > 0.99 * total
    assert material > 0.99 * total
    assert (~after.is_wall).sum() == pytest.approx(total, rel=0.005)
    assert components(after.walkable()) == components(before.walkable())


def test_a_mesh_far_from_the_origin_is_moved(tmp_path):
    path = tmp_path / "room.obj"
    save(path, room(), shift=(500_000.0, 4_000_000.0, 30_000.0))
    scene = scenes.load(path)
    assert "moved" in scene.info
    assert (~scene.is_wall).sum() * 0.01 == pytest.approx(24.0, rel=0.07)
    assert scenes.load(path, floor_z_m=30_000.0).shape == scene.shape


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"upp": "z"}, "upp: unknown key; did you mean 'up'"),
        ({"up": "w"}, "up: Input should be 'auto', 'x', 'y' or 'z', got 'w'"),
        ({"unit_m": 0.0}, "unit_m: .*greater than 0"),
        ({"floor": "wood"}, "unknown material; did you mean 'wood_floor'"),
        ({"unit_m": 1000.0}, r"with y up and a unit of 1000 m are .* cells of 0.1 m, more than 4096"),
        ({"unit_m": 0.02}, "nowhere can a robot"),
        ({"robot_radius_m": 2.0}, r"nowhere can a robot of 2.0 m radius .* the floor at z = 0.00 m has .* m2"),
        ({"floor_z_m": 1.3}, "nowhere can a robot of 0.18 m radius"),
    ],
)
def test_options_that_can_t_be_used_are_refused(tmp_path, options, message):
    path = save(tmp_path / "room.glb", {n: p for n, p in room().items() if n not in ("top", "leg")}, "y")
    with pytest.raises(SceneError, match=message):
        scenes.load(path, **options)


coordinate = st.floats(-20.0, 20.0).map(lambda value: round(value, 2))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(corners=st.lists(st.tuples(coordinate, coordinate, coordinate), min_size=3, max_size=3))
def test_a_scene_of_one_triangle_is_a_scene_or_a_reason(tmp_path, corners):
    path = tmp_path / "one.obj"
    path.write_text("".join(f"v {x} {y} {z}\n" for x, y, z in corners) + "f 1 2 3\n")
    try:
        scene = scenes.load(path, up="z", unit_m=1.0)
    except SceneError as error:
        assert any(text in str(error) for text in ("nowhere can a robot", "has an area"))  # noqa: PT017 both end well
        return
    check_invariants(scene)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(missing=st.sets(st.integers(0, 11), max_size=6), shift=st.tuples(coordinate, coordinate, coordinate))
def test_a_room_that_is_not_watertight_is_a_scene_or_a_reason(tmp_path, missing, shift):
    shell = box((0, 0, 0), (6.0, 4.0, 2.6))
    level = np.abs(shell.face_normals[:, 2]) > 0.5
    shell.update_faces([face not in missing for face in range(12)])
    path = save(tmp_path / "leaky.ply", {"shell": shell}, shift=shift)
    if set(np.flatnonzero(level)) <= missing:  # neither floor nor ceiling is left
        with pytest.raises(SceneError, match="nowhere can a robot"):
            scenes.load(path, up="z", unit_m=1.0)
        return
    scene = scenes.load(path, up="z", unit_m=1.0)
    check_invariants(scene)
    assert scene.height_m == pytest.approx(2.6, abs=1e-3)


def check_invariants(scene: Scene) -> None:
    assert scene.walkable().any()
    for grid in (scene.floor_m, scene.ceiling_m):
        assert grid.dtype == np.float32
        assert np.isfinite(grid).all()
    assert scene.floor_m.min() == 0.0
    assert scene.ceiling_m.max() == np.float32(scene.height_m)
    assert scene.ceiling_m[~scene.is_wall].min() > 0.0


def test_a_task_plays_in_a_mesh(tmp_path):
    path = save(tmp_path / "room.glb", room(), "y")
    options = {"materials": {"floor": "carpet"}, "cell_m": 0.1}
    task = AudioGoalTask.model_validate({"scenes": {"source": str(path), "count": 1, "options": options}})
    scene = load_scene(task.scenes, 0)
    assert at(scene, scene.floor_material, 1.0, 2.0) == INDEX["carpet"]
    json.dumps(task.model_dump(mode="json"))


def test_the_command_line_shows_and_exports_a_mesh(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "cube.glb", {"cube": box((0, 0, 0), (5.0, 4.0, 3.0))}, "y")
    before = (tmp_path / "cube.glb").read_bytes()
    option = ["--option", "up=z", "--option", "materials={cube: glass}", "--option", "cell_m=0.2"]
    assert cli.run(["scene", "show", "cube.glb", *option, "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)["figures"]
    assert figures["up"]["value"] == "z (as given)"
    assert figures["height"]["value"] == pytest.approx(4.0)
    assert figures["wall_materials"]["value"] == "glass"
    assert cli.run(["scene", "export", "cube.glb"]) == 0
    assert (tmp_path / "cube.glb").read_bytes() == before
    assert scenes.load(tmp_path / "cube-scene.glb").height_m == pytest.approx(3.0, abs=1e-4)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("up", "--option up: expected key=value"),
        ("cell_m=[", "is not a value in YAML"),
        ("seed=3", "seed is not an option of a source"),
        ("upp=z", "upp: unknown key; did you mean 'up'"),
    ],
)
def test_an_option_that_can_t_be_used_is_one_line(tmp_path, capsys, option, message):
    path = save(tmp_path / "cube.glb", {"cube": box((0, 0, 0), (5.0, 4.0, 3.0))}, "y")
    assert cli.run(["scene", "show", str(path), "--option", option]) == 1
    err = capsys.readouterr().err
    assert message in err
    assert len(err.splitlines()) == 1


def test_the_real_room_is_seen_and_heard(tmp_path):
    if not SIMPLE_ROOM.exists():
        pytest.skip(f"the shared meshes are not beside the checkout ({SIMPLE_ROOM.resolve()} is absent)")
    scene = scenes.load(SIMPLE_ROOM)
    assert scene.info["up"] == "z (as given)"  # in its stage_config.json, against glTF's standard
    alone = tmp_path / "alone.glb"
    alone.write_bytes(SIMPLE_ROOM.read_bytes())
    assert scenes.load(alone).info["up"].startswith("z (against glTF's standard")
    assert (scenes.load(alone).floor_m == scene.floor_m).all()
    rows, columns = scene.shape
    assert 10.4 < columns * scene.cell_m < 11.0
    assert 10.7 < rows * scene.cell_m < 11.3
    assert 90.0 < scene.walkable().sum() * scene.cell_m**2 < 110.0
    assert at(scene, scene.floor_m, 0.25, 0.25) == pytest.approx(1.007, abs=0.01)  # the table
    assert at(scene, scene.floor_m, 2.4, -1.4) == pytest.approx(2.008, abs=0.01)  # the block
    assert scene.geodesic_distance_m((0.7, -1.4), (4.2, -1.4)) > 4.0  # around it
    heard = acoustics.impulse_response(scene, (4.2, -1.4, 1.2), (0.7, -1.4, 0.5))
    assert np.isfinite(heard).all()
    assert np.abs(heard).max() > 1e-3
    depth = look(scene, PinholeCamera(), np.array([[0.7, -1.4, 0.0]])).depth_m[0]
    assert np.isfinite(depth).all()
    assert depth[32, 32] == pytest.approx(1.37 - 0.7 - 0.1, abs=0.11)
