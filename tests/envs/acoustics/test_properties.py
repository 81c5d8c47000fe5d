"""Wherever source and listener are put, their response is finite or the error says what is wrong; nothing crashes."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st

from phonotaxis.configs.array import MicrophoneArray
from phonotaxis.envs import scenes
from phonotaxis.envs.acoustics import impulse_response
from phonotaxis.envs.acoustics.field import scene_sound
from phonotaxis.envs.scenes.materials import INDEX
from phonotaxis.envs.scenes.scene import Scene, SceneError

LENGTH_S = 0.05
CELL_M = 0.1
# Of a microphone that all but touches the source: pressure falls as 1 / distance, cut off where a source has a size.
LOUDEST = 1e3


def plan_scene(name: str, rows: list[str], height_m: float = 2.5) -> Scene:
    """Build a scene from a drawing: '#' wall, '.' open, 't' a table, 'd' a door's lintel; row 0 at the lowest y."""
    cells = np.array([list(row) for row in rows])
    floor = np.select([cells == "#", cells == "t"], [height_m, 0.75], 0.0).astype(np.float32)
    ceiling = np.where(cells == "d", np.float32(2.0), np.float32(height_m))
    plaster = np.full(cells.shape, INDEX["plaster"], np.uint8)
    room = np.where(cells == "#", -1, 0).astype(np.int16)
    return Scene(name, CELL_M, (0.0, 0.0), floor, ceiling, height_m, plaster, plaster, plaster, room)


CLOSET = plan_scene("closet", ["###", "#.#", "###"])
ROOMS = plan_scene(
    "rooms",
    [
        "####################",
        "#........#.........#",
        "#........#....tt...#",
        "#........d....tt...#",
        "#........d.........#",
        "#........#.........#",
        "#..###...###..######",
        "#..#.#...#.........#",
        "#..###.............#",
        "#........#.........#",
        "####################",
    ],
)
APARTMENT = scenes.load("apartment", seed=3)
SCENES = (CLOSET, ROOMS, APARTMENT)


def places(scene: Scene) -> st.SearchStrategy[tuple[float, float, float]]:
    """Draw points: anywhere in or near the plan, on borders and corners of cells, at heights of surfaces."""
    rows, columns = scene.shape

    def along(cells: int, origin_m: float) -> st.SearchStrategy[float]:
        metres = cells * scene.cell_m
        border = st.integers(-1, cells + 1).map(lambda k: origin_m + k * scene.cell_m)
        centre = st.integers(0, cells - 1).map(lambda k: origin_m + (k + 0.5) * scene.cell_m)
        beside = border.map(lambda at: math.nextafter(at, -math.inf))
        anywhere = st.floats(origin_m - 0.5, origin_m + metres + 0.5)
        return st.one_of(centre, centre, border, beside, anywhere)

    surfaces = st.sampled_from([0.0, 0.75, 2.0, math.nextafter(scene.height_m, 0.0), scene.height_m])
    heights = st.one_of(st.floats(0.0, scene.height_m), surfaces, st.floats(-1.0, scene.height_m + 1.0))
    return st.tuples(along(columns, scene.origin_m[0]), along(rows, scene.origin_m[1]), heights)


def heard(
    scene: Scene, source_m: tuple[float, float, float], listener_m: tuple[float, float, float], yaw_rad: float = 0.0
) -> np.ndarray:
    """Return a response that is checked to be finite and no louder than a source can be."""
    response = impulse_response(scene, source_m, listener_m, yaw_rad, length_s=LENGTH_S)
    assert np.isfinite(response).all()
    assert np.abs(response).max() < LOUDEST
    return response


def in_air(scene: Scene, point_m: tuple[float, float, float]) -> bool:
    row, column = scene.cell_of(*point_m[:2])
    rows, columns = scene.shape
    inside = 0 <= row < rows and 0 <= column < columns
    return inside and float(scene.floor_m[row, column]) <= point_m[2] < float(scene.ceiling_m[row, column])


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.name)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_two_places_are_heard_or_refused(scene: Scene, data: st.DataObject) -> None:
    """A response is had exactly where both are in open air, be it on a border, in a corner or under the ceiling."""
    source, listener = data.draw(places(scene)), data.draw(places(scene))
    yaw_rad = data.draw(st.floats(-10.0, 10.0))
    if in_air(scene, source) and in_air(scene, listener):
        heard(scene, source, listener, yaw_rad)
    else:
        with pytest.raises(SceneError, match=r"lies (outside|in a wall|in matter)"):
            impulse_response(scene, source, listener, yaw_rad, length_s=LENGTH_S)


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.name)
@settings(max_examples=20, deadline=None)
@given(data=st.data(), apart_m=st.sampled_from([0.0, 1e-12, 1e-6, 1e-3, 0.02]))
def test_a_listener_at_the_source_is_near_but_not_deafened(scene: Scene, data: st.DataObject, apart_m: float) -> None:
    row, column = data.draw(st.sampled_from([tuple(cell) for cell in np.argwhere(~scene.is_wall)]))
    x, y = scene.centre_of(int(row), int(column))
    low, high = float(scene.floor_m[row, column]), float(scene.ceiling_m[row, column])
    z = data.draw(st.floats(low, high, exclude_max=True, width=32))
    response = heard(scene, (x, y, z), (x + apart_m, y, z))
    assert np.abs(response).max() > 1.0  # louder than at a metre


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 1e300, -1e300])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_places_that_are_no_places_are_refused(bad: float, axis: int) -> None:
    point = [0.45, 0.45, 1.0]
    point[axis] = bad
    place = (point[0], point[1], point[2])
    for source, listener in ((place, (0.45, 0.45, 1.0)), ((0.45, 0.45, 1.0), place)):
        with pytest.raises(SceneError, match=r"lies (outside|in matter)"):
            impulse_response(ROOMS, source, listener, length_s=LENGTH_S)


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ((0.05, 0.45, 1.0), "the source at .* lies in a wall; move it into open air"),
        ((1.45, 0.25, 0.5), r"lies in matter \(the air there is 0.75 to 2.50 m high\)"),
        ((0.95, 0.35, 2.2), r"lies in matter \(the air there is 0.00 to 2.00 m high\)"),
        ((0.45, 0.45, 2.5), "lies in matter"),
        ((-5.0, 0.45, 1.0), "lies outside rooms"),
    ],
)
def test_a_source_in_matter_is_named(place: tuple[float, float, float], message: str) -> None:
    with pytest.raises(SceneError, match=message):
        impulse_response(ROOMS, place, (0.45, 0.45, 1.0), length_s=LENGTH_S)


def test_on_a_door_sill_both_rooms_hear() -> None:
    for x in (0.9, 0.95, math.nextafter(1.0, 0.0)):
        for listener in ((0.25, 0.35, 0.5), (1.75, 0.35, 0.5)):
            assert np.abs(heard(ROOMS, (x, 0.4, 1.0), listener)).max() > 0.1


def test_an_enclosed_listener_hears_nothing() -> None:
    assert np.abs(heard(ROOMS, (0.75, 0.15, 1.0), (0.45, 0.75, 1.0))).max() == 0.0


def test_microphones_in_one_place_hear_one_sound(array: MicrophoneArray) -> None:
    both = array.model_copy(update={"mic_xyz_m": array.mic_xyz_m[:1] * 2, "channel_map": (0, 1)})
    response = impulse_response(ROOMS, (0.45, 0.45, 1.0), (1.45, 0.85, 0.5), array=both, length_s=LENGTH_S)
    assert np.isfinite(response).all()
    assert np.array_equal(response[0], response[1])
    assert np.abs(response).max() > 0.01


def test_microphones_that_reach_into_walls_hear_finitely(array: MicrophoneArray) -> None:
    """An array in a corner has microphones beyond the wall, or beyond the plan."""
    wide = array.model_copy(update={"mic_xyz_m": tuple((30.0 * x, 30.0 * y, z) for x, y, z in array.mic_xyz_m)})
    for listener in ((0.1, 0.1, 0.0), (1.85, 0.95, 2.4), (0.45, 0.75, 1.0)):
        response = impulse_response(ROOMS, (0.45, 0.45, 1.0), listener, array=wide, length_s=LENGTH_S)
        assert np.isfinite(response).all()


def test_a_scene_of_one_cell_has_a_sound() -> None:
    response = heard(CLOSET, (0.15, 0.15, 1.0), (0.15, 0.15, 0.3))
    assert np.abs(response).max() > 1.0
    assert scene_sound(CLOSET)[1].volume_m3.tolist() == pytest.approx([CELL_M**2 * CLOSET.height_m])


def test_a_scene_without_air_refuses_everybody() -> None:
    solid = plan_scene("solid", ["###", "###", "###"])
    with pytest.raises(SceneError, match="lies in a wall"):
        impulse_response(solid, (0.15, 0.15, 1.0), (0.15, 0.15, 1.0), length_s=LENGTH_S)


def save(path: Path, vertices: np.ndarray, faces: np.ndarray) -> str:
    trimesh.Trimesh(vertices, faces, process=False).export(path)
    return str(path)


def test_a_mesh_of_one_triangle_is_heard_or_refused_in_words(tmp_path: Path) -> None:
    corners = np.array([[0.0, 0.0, 0.0], [4.0, 0.0, 0.0], [0.0, 4.0, 0.0]])
    for tilt_m in (0.0, 1.0, 30.0):
        corners[2, 2] = tilt_m
        said = None
        path = save(tmp_path / f"triangle_{tilt_m:.0f}.ply", corners, np.array([[0, 1, 2]]))
        try:
            scene = scenes.load(path, up="z", unit_m=1.0)
        except SceneError as error:
            said = str(error)
        if said is not None:
            assert path in said
            continue
        for row, column in np.argwhere(~scene.is_wall)[::97]:
            x, y = scene.centre_of(int(row), int(column))
            z = 0.5 * float(scene.floor_m[row, column] + scene.ceiling_m[row, column])
            heard(scene, (x, y, z), (x, y, z))


@pytest.mark.parametrize("missing", range(12))
def test_a_mesh_that_is_not_watertight_is_heard(tmp_path: Path, missing: int) -> None:
    """Any triangle of a box may be lost, the floor's and the ceiling's included: the plan is closed all the same."""
    box = trimesh.creation.box(bounds=[(0.0, 0.0, 0.0), (4.0, 3.0, 2.5)])
    faces = np.delete(np.asarray(box.faces), missing, axis=0)
    path = save(tmp_path / "open.ply", np.asarray(box.vertices), faces)
    assert not trimesh.load_mesh(path).is_watertight
    scene = scenes.load(path, up="z", unit_m=1.0)
    cells = np.argwhere(scene.walkable())
    places = [(*scene.centre_of(int(row), int(column)), 1.0) for row, column in (cells[0], cells[-1])]
    assert np.abs(heard(scene, places[0], places[1])).max() > 0.0
