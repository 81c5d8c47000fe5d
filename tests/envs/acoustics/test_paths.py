"""Early paths as they are collected: what stands for the source round a corner, and what each bend costs."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np
import pytest

from phonotaxis.envs import scenes
from phonotaxis.envs.acoustics.air import amplitude_exponent_per_m
from phonotaxis.envs.acoustics.faces import wall_faces
from phonotaxis.envs.acoustics.field import scene_sound, source_field
from phonotaxis.envs.acoustics.paths import _MAX_EARLY, MAX_PATHS, Surfaces, _keep, early_paths, empty_paths
from phonotaxis.envs.scenes.materials import INDEX, absorption_table, scattering_table
from phonotaxis.envs.scenes.scene import Scene
from phonotaxis.envs.truth import wedge


class Found(NamedTuple):
    position_m: np.ndarray
    extra_m: np.ndarray
    gain: np.ndarray
    leaves: np.ndarray
    visible: bool


def paths_of(scene: Scene, source: tuple[float, ...], listener: tuple[float, ...], reach_m: float = 100.0) -> Found:
    field, sound = source_field(scene, source, 0.05), scene_sound(scene)[0]
    surfaces = Surfaces(sound.mirrored, amplitude_exponent_per_m())
    paths = empty_paths()
    way = (sound.edges, field.edge_m, field.edge_next)
    points = (np.array(source, dtype=float), np.array(listener, dtype=float))
    count, visible = early_paths(sound.plan, sound.faces, *way, surfaces, *points, reach_m, paths)
    assert count <= MAX_PATHS
    return Found(*(part[:count] for part in paths), bool(visible))


def test_in_sight_the_first_path_is_the_source_itself() -> None:
    found = paths_of(scenes.load("empty_room", size_m=[10.0, 5.0]), (7.0, 1.45, 1.0), (3.0, 1.45, 1.0))
    assert found.visible
    assert found.position_m[0].tolist() == [7.0, 1.45, 1.0]
    assert found.extra_m[0] == 0.0
    np.testing.assert_allclose(found.gain[0], np.exp(-4.0 * amplitude_exponent_per_m()) / 4.0, rtol=1e-5)


@pytest.mark.parametrize("source", [(7.5, 4.0, 1.2), (9.0, 2.5, 1.0), (5.6, 4.6, 1.0)])
@pytest.mark.parametrize("listener", [(2.5, 4.5, 0.5), (3.5, 2.5, 0.5), (4.7, 4.0, 0.5)])
def test_round_the_corner_the_door_stands_for_the_source(
    two_rooms: Scene, source: tuple[float, float, float], listener: tuple[float, float, float]
) -> None:
    """It is heard from the doorway's edge; the whole way is the shortest there is; high frequencies bend worse."""
    found = paths_of(two_rooms, source, listener)
    assert not found.visible
    total_m = found.extra_m[0] + np.linalg.norm(found.position_m[0] - listener)
    corner = np.array([5.05, 1.85])
    heard, there = (complex(*(point - listener[:2])) for point in (found.position_m[0, :2], corner))
    assert abs(np.angle(heard / there)) < np.radians(12)
    around_m = np.hypot(*(corner - listener[:2])) + np.hypot(*(corner - source[:2]))
    assert total_m == pytest.approx(np.hypot(around_m, source[2] - listener[2]), abs=0.1)
    assert (np.diff(found.gain[0]) < 0).all()
    assert found.gain[0].max() < 0.7 / total_m


def wall_end(thickness: int) -> Scene:
    """Build a hall of 20 x 20 m with a wall along y = 10 m from x = 0 to 10 m, some cells of 0.1 m thick."""
    room = scenes.load("empty_room", size_m=[20.0, 20.0])
    floor = room.floor_m.copy()
    row, column = room.cell_of(10.05, 10.05)
    floor[row : row + thickness, :column] = room.height_m
    return dataclasses.replace(room, name=f"wall_end_{thickness}", floor_m=floor)


@pytest.mark.parametrize(("thickness", "exterior_rad"), [(1, wedge.HALF_PLANE_RAD), (60, wedge.RIGHT_ANGLE_RAD)])
def test_round_an_edge_the_level_is_that_of_a_wedge(thickness: int, exterior_rad: float) -> None:
    """Against the closed form, per octave, from the light into the dark; reflections of the faces count as paths."""
    scene = wall_end(thickness)
    edge = np.array([10.0, 10.0 + (0.05 if thickness == 1 else 0.0)])
    source = np.array([8.0, 7.5, 1.0])
    grazing = np.arctan2(*(edge - source[:2])[::-1])  # straight on over the edge
    off_db = []
    for into_dark_deg in (-15.0, -8.0, -3.0, -1.0, 1.0, 3.0, 8.0, 15.0, 30.0):
        azimuth = grazing + np.radians(into_dark_deg)
        listener = np.array([*(edge + 2.0 * np.array([np.cos(azimuth), np.sin(azimuth)])), 1.0])
        found = paths_of(scene, tuple(source), tuple(listener))
        first = [k for k in range(len(found.gain)) if found.position_m[k, 2] == 1.0][:1]
        way_m = found.extra_m[first[0]] + np.linalg.norm(found.position_m[first[0]] - listener)
        air = np.exp(-amplitude_exponent_per_m() * way_m)
        truth = edge_level_db(exterior_rad, source, edge, listener)
        off_db.append(20 * np.log10(np.abs(found.gain[first[0]]) / air)[1:] - truth)
    assert np.median(np.abs(off_db)) < 1.0
    assert np.max(np.abs(off_db)) < 2.5


def edge_level_db(exterior_rad: float, source: np.ndarray, edge: np.ndarray, listener: np.ndarray) -> np.ndarray:
    """Level of direct and bent sound over octaves from 250 Hz, without what the wall's side mirrors."""
    points = []
    for point in (source, listener):
        x, y = point[:2] - edge
        angle = (np.arctan2(y, x) - np.pi) % (2 * np.pi)  # from the side of the wall that faces up, anticlockwise
        points.append(wedge.EdgePoint(float(np.hypot(x, y)), float(angle - (2 * np.pi - exterior_rad) * 0.0), 0.0))
    levels = []
    for centre_hz in wedge.OCTAVES_HZ:
        tones = centre_hz * 2.0 ** np.linspace(-0.45, 0.45, 31)
        pressure = wedge.utd_diffraction(tones, exterior_rad, *points)
        if abs(points[0].angle_rad - points[1].angle_rad) < np.pi:
            metres = wedge.straight_m(*points)
            pressure = pressure + np.exp(-2j * np.pi * tones / wedge.SPEED_OF_SOUND_MPS * metres) / metres
        levels.append(10 * np.log10(np.mean(np.abs(pressure) ** 2)))
    return np.array(levels)


def test_images_of_a_shoebox() -> None:
    """One at each of six surfaces, two at floor and ceiling, one at each wall with one of these."""
    room = scenes.load("empty_room", floor="carpet", walls="plaster", ceiling="acoustic_ceiling")
    source = (1.7, 1.3, 1.1)
    found = paths_of(room, source, (4.1, 3.6, 0.9))
    assert len(found.gain) == 1 + 4 + 4 * 3
    images = {tuple(np.round(position, 4)) for position in found.position_m[1:]}
    x, y, z = source
    expected = [(-x, y, z), (12 - x, y, z), (x, -y, z), (x, 10 - y, z), (x, y, -z), (x, y, 5.2 - z)]
    expected += [(x, y, z + 5.2), (x, y, z - 5.2)]
    expected += [(a, b, c) for a, b, _ in expected[:4] for c in (-z, 5.2 - z)]
    assert images == {tuple(np.round(image, 4)) for image in expected}
    floor = int(np.flatnonzero((found.position_m == (x, y, -z)).all(axis=1))[0])
    metres = np.linalg.norm(found.position_m[floor] - (4.1, 3.6, 0.9))
    absorbed, scattered = absorption_table()[INDEX["carpet"]], scattering_table()[INDEX["carpet"]].mean()
    kept = np.sqrt((1 - absorbed) * (1 - scattered)) * np.exp(-amplitude_exponent_per_m() * metres)
    np.testing.assert_allclose(found.gain[floor], kept / metres, rtol=1e-5)


def test_images_beyond_reach_are_left_out() -> None:
    room = scenes.load("empty_room")
    found = paths_of(room, (1.0, 2.5, 1.0), (1.5, 2.5, 1.0), reach_m=4.0)
    walls = found.position_m[1:][found.position_m[1:, 2] == 1.0]
    assert walls.tolist() == [[-1.0, 2.5, 1.0]]


def test_a_wall_with_a_gap_mirrors_only_where_it_stands(two_rooms: Scene) -> None:
    """Opposite the open door nothing comes back; opposite the wall it does."""
    for y, mirrored in ((1.45, False), (3.5, True)):
        found = paths_of(two_rooms, (2.0, y, 1.0), (3.0, y, 1.0))
        assert bool(np.any(np.isclose(found.position_m[:, 0], 8.0))) is mirrored  # the plane x = 5


def test_among_a_thousand_faces_the_source_comes_first() -> None:
    room = scenes.load("empty_room", size_m=[20.0, 20.0])
    floor = room.floor_m.copy()
    floor[5:-5:6, 5:-5:6] = room.height_m
    forest = dataclasses.replace(room, name="forest", floor_m=floor)
    assert len(wall_faces(forest)) > 1000
    found = paths_of(forest, (9.95, 10.05, 1.0), (10.25, 9.75, 1.0))
    assert found.visible
    assert found.position_m[0].tolist() == [9.95, 10.05, 1.0]
    assert np.isfinite(found.gain).all()


def test_more_paths_than_there_is_room_for_leave_what_was_found_first() -> None:
    paths, listener = empty_paths(), np.array([0.0, 0.0, 1.0])
    count = 0
    for number in range(2 * _MAX_EARLY):
        paths.gain[count] = 1.0
        count = _keep(paths, count, np.array([1.0 + number, 0.0, 1.0]), listener, amplitude_exponent_per_m())
    assert count == _MAX_EARLY - 1
    np.testing.assert_array_equal(paths.position_m[:count, 0], np.arange(1.0, _MAX_EARLY))
    assert not paths.position_m[_MAX_EARLY:].any()


def test_something_low_between_is_heard_over() -> None:
    """A desk of 0.9 m between two places at 0.5 m: out of sight, little is lost, from the source's side."""
    room = scenes.load("empty_room")
    floor = room.floor_m.copy()
    floor[10:40, 30:34] = 0.9
    desk = dataclasses.replace(room, name="desk", floor_m=floor)
    found = paths_of(desk, (4.5, 2.5, 0.5), (1.5, 2.5, 0.5))
    assert not found.visible
    bearing = np.arctan2(found.position_m[0, 1] - 2.5, found.position_m[0, 0] - 1.5)
    assert abs(bearing) < 0.1
    assert 0.5 < found.gain[0, 0] * 3.0 * np.sqrt(3.0) < 1.0


def three_rooms() -> Scene:
    """Build rooms in a row: the wall at x = 3.3 m has a door at y = 0.5 to 1.4 m, that at 6.6 m at y = 3.6 to 4.5 m."""
    room = scenes.load("empty_room", size_m=[10.0, 5.0])
    floor = room.floor_m.copy()
    for x, low, high in ((3.35, 0.5, 1.4), (6.65, 3.6, 4.5)):
        column = room.cell_of(x, 1.0)[1]
        floor[:, column] = room.height_m
        floor[room.cell_of(x, low + 0.05)[0] : room.cell_of(x, high - 0.05)[0] + 1, column] = 0.0
    return dataclasses.replace(room, name="three_rooms", floor_m=floor)


def test_round_several_corners_sound_leaves_towards_the_first_and_comes_from_the_last() -> None:
    source, listener = np.array([8.5, 1.0, 1.2]), np.array([1.5, 4.0, 0.5])
    found = paths_of(three_rooms(), tuple(source), tuple(listener))
    first, last = np.array([6.65, 3.6]), np.array([3.35, 1.4])  # ends of thin walls are edges in their middle
    np.testing.assert_allclose(found.position_m[0, :2], last, atol=1e-6)
    towards = (first - source[:2]) / np.hypot(*(first - source[:2]))
    np.testing.assert_allclose(found.leaves[0] / np.hypot(*found.leaves[0]), towards, atol=1e-6)
    # Unfolded, the way climbs evenly: level it is as long as its three legs.
    flat = sum(np.hypot(*(b - a)) for a, b in ((source[:2], first), (first, last), (last, listener[:2])))
    assert np.hypot(*found.leaves[0]) == pytest.approx(flat / np.hypot(flat, 0.7))


def test_mirror_images_leave_towards_where_they_are_reflected() -> None:
    """Of each image at a wall, the line from the source meets that wall where the line from the listener does."""
    source, listener = np.array([7.0, 1.45, 1.0]), np.array([3.0, 3.05, 1.2])
    found = paths_of(scenes.load("empty_room", size_m=[10.0, 5.0]), tuple(source), tuple(listener))
    at_walls = 0
    for image, leaves in zip(found.position_m, found.leaves):
        assert np.hypot(*leaves) <= 1.0
        length = np.sqrt(((image - listener) ** 2).sum())
        ends = source[:2] + leaves * length  # unfolded once more, from the source's side
        (axis,) = np.flatnonzero(np.abs(image[:2] - source[:2]) > 1e-9) if np.any(image[:2] != source[:2]) else (None,)
        if axis is None:
            np.testing.assert_allclose(ends, listener[:2], atol=1e-9)
            continue
        at_walls += 1
        wall = 0.5 * (image[axis] + source[axis])
        mirrored = listener[:2].copy()
        mirrored[axis] = 2.0 * wall - listener[axis]
        np.testing.assert_allclose(ends, mirrored, atol=1e-6)
    assert at_walls >= 4


@pytest.mark.parametrize("height_m", [1.2, 1.5, 2.2])
def test_a_source_on_something_tall_is_heard_round_the_corner(two_rooms: Scene, height_m: float) -> None:
    """As one that hangs there is."""
    floor = two_rooms.floor_m.copy()
    (row, column) = two_rooms.cell_of(8.05, 3.55)
    floor[row : row + 10, column : column + 6] = height_m
    cupboard = dataclasses.replace(two_rooms, name=f"cupboard_{height_m}", floor_m=floor)
    source, listener = (8.25, 3.75, height_m + 0.15), (2.5, 4.5, 0.5)
    found, hung = (paths_of(scene, source, listener) for scene in (cupboard, two_rooms))
    np.testing.assert_allclose(found.position_m[0], hung.position_m[0])
    np.testing.assert_allclose(found.gain[0], hung.gain[0])
    region = int(scene_sound(cupboard)[0].label[cupboard.cell_of(*listener[:2])])
    assert source_field(cupboard, source, 0.1).echoes[region] > 0


def test_a_source_on_something_tall_is_heard_over_its_edge(two_rooms: Scene) -> None:
    """Who stands close before a cupboard doesn't see what stands on it."""
    floor = two_rooms.floor_m.copy()
    (row, column) = two_rooms.cell_of(8.05, 3.05)
    floor[row : row + 10, column : column + 10] = 1.6
    cupboard = dataclasses.replace(two_rooms, name="wide_cupboard", floor_m=floor)
    found = paths_of(cupboard, (8.55, 3.55, 1.7), (7.5, 3.55, 0.5))
    assert not found.visible
    assert found.position_m[0, 2] == pytest.approx(1.6, abs=1e-3)
    assert found.position_m[0, 0] == pytest.approx(8.05, abs=0.1)


def test_a_source_under_something_that_hangs_low_is_heard_round_the_corner(two_rooms: Scene) -> None:
    ceiling = two_rooms.ceiling_m.copy()
    (row, column) = two_rooms.cell_of(8.05, 3.55)
    ceiling[row : row + 5, column : column + 5] = 1.0
    shelf = dataclasses.replace(two_rooms, name="shelf", ceiling_m=ceiling)
    found, plain = (paths_of(scene, (8.25, 3.75, 0.5), (2.5, 4.5, 0.5)) for scene in (shelf, two_rooms))
    np.testing.assert_allclose(found.position_m[0], plain.position_m[0])
