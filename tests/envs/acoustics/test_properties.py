"""Wherever source and listener are put, their response is finite or the error says what is wrong; nothing crashes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from phonotaxis.configs.array import MicrophoneArray
from phonotaxis.configs.source_directivity import Cardioid, Loudspeaker, Talker
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


Place = tuple[float, float, float]
SENDS = st.sampled_from([None, Talker(), Loudspeaker(), Cardioid(order=4.0)])
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


def places(scene: Scene) -> st.SearchStrategy[Place]:
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


def heard(scene: Scene, source_m: Place, listener_m: Place, yaw_rad: float = 0.0, **sends: Any) -> np.ndarray:
    """Return a response that is checked to be finite and no louder than a source can be."""
    response = impulse_response(scene, source_m, listener_m, yaw_rad, length_s=LENGTH_S, **sends)
    assert np.isfinite(response).all()
    assert np.abs(response).max() < LOUDEST
    return response


def in_air(scene: Scene, point_m: Place) -> bool:
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
    sends = {"directivity": data.draw(SENDS), "heading_rad": data.draw(st.floats(-10.0, 10.0))}
    if in_air(scene, source) and in_air(scene, listener):
        heard(scene, source, listener, yaw_rad, **sends)
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
def test_a_source_in_matter_is_named(place: Place, message: str) -> None:
    with pytest.raises(SceneError, match=message):
        impulse_response(ROOMS, place, (0.45, 0.45, 1.0), length_s=LENGTH_S)


@settings(max_examples=40, deadline=None)
@given(
    x=st.floats(0.9, 1.0, exclude_max=True),
    y=st.floats(0.3, 0.5, exclude_max=True),
    z=st.floats(0.0, 1.9),
    data=st.data(),
)
def test_on_a_door_sill_both_rooms_hear(x: float, y: float, z: float, data: st.DataObject) -> None:
    """The sill's cells, their borders included; the listener stands anywhere in either room, out of sight or in it."""
    for low, high in ((0.15, 0.85), (1.05, 1.85)):
        listener = (data.draw(st.floats(low, high)), data.draw(st.floats(0.15, 0.55)), 0.5)
        if in_air(ROOMS, listener):
            assert np.abs(heard(ROOMS, (x, y, z), listener)).max() > 0.1


@settings(max_examples=40, deadline=None)
@given(
    inwards=st.tuples(*[st.sampled_from([0.0, 1e-12, 1e-9, 1e-6, 1e-3, 0.05])] * 3),
    corner=st.sampled_from([(0.1, 0.1, 1, 1), (1.9, 0.1, -1, 1), (0.1, 1.0, 1, -1), (1.9, 1.0, -1, -1)]),
    up=st.booleans(),
)
def test_in_a_corner_of_three_surfaces_one_hears_and_is_heard(
    inwards: Place, corner: tuple[float, float, int, int], up: bool
) -> None:
    x, y, right, back = corner
    z = ROOMS.height_m - inwards[2] if up else inwards[2]
    place = (x + right * inwards[0], y + back * inwards[1], z)
    middle = (0.55, 0.45, 1.0) if x < 1.0 else (1.5, 0.85, 1.0)
    if in_air(ROOMS, place):
        for ways in ((place, middle), (middle, place)):
            assert np.abs(heard(ROOMS, *ways)).max() > 0.01


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_a_source_in_a_wall_or_outside_the_map_is_refused_wherever_the_listener_is(data: st.DataObject) -> None:
    row, column = data.draw(st.sampled_from([tuple(cell) for cell in np.argwhere(ROOMS.is_wall)]))
    x, y = ROOMS.centre_of(int(row), int(column))
    aside = st.floats(-0.049, 0.049)
    in_wall = (x + data.draw(aside), y + data.draw(aside), data.draw(st.floats(0.0, 2.4)))
    far = st.one_of(st.floats(-1e6, -0.01), st.floats(2.01, 1e6))
    outside = (data.draw(far), data.draw(st.floats(-1e6, 1e6)), data.draw(st.floats(0.0, 2.4)))
    listener = data.draw(places(ROOMS))
    for source, said in ((in_wall, "in a wall"), (outside, "outside rooms")):
        with pytest.raises(SceneError, match=r"lies (outside|in a wall|in matter)") as caught:
            impulse_response(ROOMS, source, listener, length_s=LENGTH_S)
        assert "listener" in str(caught.value) or said in str(caught.value)


def test_an_enclosed_listener_hears_nothing() -> None:
    assert np.abs(heard(ROOMS, (0.75, 0.15, 1.0), (0.45, 0.75, 1.0))).max() == 0.0


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), yaw_rad=st.floats(-10.0, 10.0))
def test_microphones_in_one_place_hear_one_sound(array: MicrophoneArray, data: st.DataObject, yaw_rad: float) -> None:
    both = array.model_copy(update={"mic_xyz_m": array.mic_xyz_m[:1] * 2, "channel_map": (0, 1)})
    source, listener = data.draw(places(ROOMS)), data.draw(places(ROOMS))
    if in_air(ROOMS, source) and in_air(ROOMS, listener):
        response = impulse_response(ROOMS, source, listener, yaw_rad, array=both, length_s=LENGTH_S)
        assert np.isfinite(response).all()
        assert np.array_equal(response[0], response[1])


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
