from __future__ import annotations

import numpy as np
import pytest

from phonotaxis.envs import scenes
from phonotaxis.envs.scenes.scene import Scene, SceneError
from phonotaxis.envs.scenes.walk import (
    FIELDS_KEPT,
    anchor_cell,
    clearance_m,
    components,
    field_to,
    largest_component,
    walk,
    walkable,
)


def divided_room() -> Scene:
    """6 x 5 m with a wall at x 3.0 to 3.1 that leaves a gap at y 4.0 to 5.0."""
    scene = scenes.load("empty_room", size_m=(6.0, 5.0), height_m=2.6)
    scene.floor_m[:41, 31] = 2.6
    return scene


def test_clearance_is_the_distance_to_the_nearest_edge():
    random = np.random.default_rng(1)
    scene = scenes.load("empty_room", size_m=(3.0, 2.0))
    scene.floor_m[1:-1, 1:-1] = np.where(random.random((20, 30)) < 0.03, 0.5, 0.0)
    scene.ceiling_m[5, 7] = 0.4
    blocked = (scene.floor_m > 0) | (scene.ceiling_m < 0.6)
    rows, columns = np.nonzero(blocked)
    measured = clearance_m(scene)
    for row, column in np.ndindex(blocked.shape):
        away = np.hypot(np.maximum(np.abs(rows - row) - 0.5, 0), np.maximum(np.abs(columns - column) - 0.5, 0)).min()
        assert measured[row, column] == pytest.approx(0.1 * away * (not blocked[row, column]), abs=1e-6)
    assert measured.dtype == np.float32


def test_walkable_keeps_the_radius_and_half_a_cell_and_counts_what_hangs_low():
    scene = scenes.load("empty_room", size_m=(3.0, 2.0))
    mask = walkable(scene, 0.2)
    # Centres lie 0.05, 0.15, 0.25 ... m from a wall: the third is the first with 0.2 m and half a cell.
    assert mask[3:-3, 3:-3].all()
    assert mask.sum() == (20 - 4) * (30 - 4)
    assert walkable(scene, 0.21).sum() == (20 - 6) * (30 - 6)
    low = scenes.load("empty_room", size_m=(3.0, 2.0))
    low.ceiling_m[:, 15] = 0.5
    assert components(walkable(low, 0.1, 0.6)) == 2
    assert components(walkable(low, 0.1, 0.45)) == 1


def test_largest_component():
    mask = np.array([[1, 1, 0, 1], [0, 0, 0, 1], [1, 0, 0, 1]], bool)
    assert largest_component(mask).tolist() == np.array([[0, 0, 0, 1], [0, 0, 0, 1], [0, 0, 0, 1]], bool).tolist()
    assert not largest_component(np.zeros((3, 3), bool)).any()


def test_a_walk_goes_round_the_wall_and_is_as_long_as_its_way_points():
    scene = divided_room()
    length, path = walk(scene, (1.0, 1.0), (5.0, 1.0))
    # By hand: two straight lines over (3.05, 4.0 + 0.23), the wall's end plus the margin; a disc's path is
    # rounder and a grid's a little longer.
    least = 2 * np.hypot(2.05, 3.23)
    assert least <= length <= 1.05 * least
    assert path[0].tolist() == [1.0, 1.0]
    assert path[-1].tolist() == [5.0, 1.0]
    assert length == pytest.approx(np.hypot(*np.diff(path, axis=0).T).sum())
    assert scene.geodesic_distance_m((1.0, 1.0, 0.5), (5.0, 1.0, 1.5)) == length
    assert np.array_equal(scene.shortest_path((1.0, 1.0), (5.0, 1.0)), path)
    assert walk(scene, (5.0, 1.0), (1.0, 1.0))[0] == pytest.approx(length, rel=0.01)


def test_a_walk_in_sight_is_straight_and_a_walk_to_itself_is_nothing():
    scene = divided_room()
    length, path = walk(scene, (0.52, 0.61), (2.31, 3.17))
    assert length == pytest.approx(np.hypot(1.79, 2.56))
    assert path.shape == (2, 2)
    assert walk(scene, (1.0, 1.0), (1.0, 1.0))[0] == 0.0


def test_without_a_way_the_distance_is_infinite():
    scene = divided_room()
    scene.floor_m[:, 31] = 2.6
    length, path = walk(scene, (1.0, 1.0), (5.0, 1.0))
    assert length == float("inf")
    assert path.shape == (0, 2)


def test_a_point_on_furniture_is_reached_from_its_own_side_of_the_wall():
    scene = divided_room()
    scene.floor_m[1:40, 21:31] = 0.5  # a bed along the wall
    assert np.hypot(2.9 - 3.4, 0) < 2.9 - 2.0  # open floor is nearer on the wall's other side
    assert anchor_cell(scene, 2.9, 1.2)[1] < 21
    assert walk(scene, (1.0, 1.2), (2.9, 1.2))[0] == pytest.approx(1.9, abs=0.15)


@pytest.mark.parametrize(
    ("point", "message"),
    [
        ((3.05, 1.0), r"empty_room.*\(3\.05, 1\.00\) lies in a wall"),
        ((9.0, 1.0), r"outside the plan, which spans x -0\.10 to 6\.10 m and y -0\.10 to 5\.10 m"),
        ((float("nan"), 1.0), "not finite"),
    ],
)
def test_points_that_can_t_be_reached_are_refused(point, message):
    scene = divided_room()
    with pytest.raises(SceneError, match=message):
        walk(scene, (1.0, 1.0), point)
    with pytest.raises(SceneError, match=message):
        walk(scene, point, (1.0, 1.0))


def test_a_point_far_from_the_walkable_floor_is_refused():
    scene = divided_room()
    scene.floor_m[1:-1, 1:31] = 0.5
    with pytest.raises(SceneError, match=r"nothing walkable within 1\.5 m"):
        walk(scene, (0.3, 0.3), (5.0, 1.0))


def test_fields_are_kept_up_to_a_bound():
    scene = divided_room()
    first = field_to(scene, 10, 10)
    assert field_to(scene, 10, 10) is first
    for column in range(11, 11 + FIELDS_KEPT):
        field_to(scene, 12, 4 + column % 20 if column < 31 else column + 10)
    kept = [key for key in scene.cache if key[0] == "field"]
    assert len(kept) <= FIELDS_KEPT
