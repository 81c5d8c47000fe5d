"""Early paths as they are collected: what stands for the source round a corner, and what each bend costs."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np
import pytest

from phonotaxis.envs import scenes
from phonotaxis.envs.acoustics.air import SPEED_OF_SOUND_MPS, amplitude_exponent_per_m
from phonotaxis.envs.acoustics.faces import wall_faces
from phonotaxis.envs.acoustics.field import scene_sound, source_field
from phonotaxis.envs.acoustics.paths import MAX_PATHS, Surfaces, early_paths, empty_paths
from phonotaxis.envs.scenes.materials import INDEX, OCTAVE_BANDS_HZ, absorption_table, scattering_table
from phonotaxis.envs.scenes.scene import Scene


class Found(NamedTuple):
    position_m: np.ndarray
    extra_m: np.ndarray
    gain: np.ndarray
    visible: bool


def paths_of(scene: Scene, source: tuple[float, ...], listener: tuple[float, ...], reach_m: float = 100.0) -> Found:
    field, sound = source_field(scene, source, 0.05), scene_sound(scene)[0]
    surfaces = Surfaces(
        absorption_table(), scattering_table().mean(axis=1).astype(np.float32), amplitude_exponent_per_m()
    )
    paths = empty_paths()
    way = (field.way_m, field.way_parent)
    points = (np.array(source, dtype=float), np.array(listener, dtype=float))
    count, visible = early_paths(sound.plan, sound.faces, *way, surfaces, *points, reach_m, paths)
    assert count <= MAX_PATHS
    return Found(paths.position_m[:count], paths.extra_m[:count], paths.gain[:count], bool(visible))


def test_in_sight_the_first_path_is_the_source_itself(two_rooms: Scene) -> None:
    found = paths_of(two_rooms, (7.0, 1.45, 1.0), (3.0, 1.45, 1.0))
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
    assert total_m == pytest.approx(np.hypot(around_m, source[2] - listener[2]), abs=0.2)
    assert (np.diff(found.gain[0]) < 0).all()
    assert found.gain[0].max() < 1.0 / total_m / np.sqrt(3.0)


def test_a_bend_costs_what_maekawa_says(two_rooms: Scene) -> None:
    """10 lg(3 + 20 N) at the first bend, 10 lg(1 + 20 N) at the second, N the detour in half wavelengths."""
    source, listener = (7.5, 4.0, 1.0), (3.5, 3.0, 1.0)
    found = paths_of(two_rooms, source, listener)
    total_m = found.extra_m[0] + np.linalg.norm(found.position_m[0] - listener)
    straight_m = np.linalg.norm(np.subtract(source, listener))
    half_waves = 2.0 * (total_m - straight_m) * np.array(OCTAVE_BANDS_HZ) / SPEED_OF_SOUND_MPS
    one_bend_db = 10 * np.log10(3.0 + 20.0 * half_waves)
    lost_db = -20 * np.log10(found.gain[0] * total_m) - 20 * np.log10(np.e) * amplitude_exponent_per_m() * total_m
    # The door's two edges share the detour: between one bend with all of it and two with half each.
    two_bends_db = 10 * np.log10(3.0 + 10.0 * half_waves) + 10 * np.log10(1.0 + 10.0 * half_waves)
    assert (lost_db > one_bend_db - 1.5).all()
    assert (lost_db < two_bends_db + 0.5).all()


def test_images_of_a_shoebox() -> None:
    """Six in a room of six surfaces, each mirrored at its plane, with what is neither absorbed nor scattered."""
    room = scenes.load("empty_room", floor="carpet", walls="plaster", ceiling="acoustic_ceiling")
    source = (1.7, 1.3, 1.1)
    found = paths_of(room, source, (4.1, 3.6, 0.9))
    assert len(found.gain) == 7
    images = {tuple(np.round(position, 4)) for position in found.position_m[1:]}
    x, y, z = source
    expected = [(-x, y, z), (12 - x, y, z), (x, -y, z), (x, 10 - y, z), (x, y, -z), (x, y, 5.2 - z)]
    assert images == {tuple(np.round(image, 4)) for image in expected}
    floor = int(np.flatnonzero(found.position_m[:, 2] == -z)[0])
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


def test_more_walls_than_there_is_room_for() -> None:
    """A forest of posts: the loudest direct path stays, and no more than there is room for."""
    room = scenes.load("empty_room", size_m=[20.0, 20.0])
    floor = room.floor_m.copy()
    floor[5:-5:6, 5:-5:6] = room.height_m
    forest = dataclasses.replace(room, name="forest", floor_m=floor)
    assert len(wall_faces(forest)) > 1000
    found = paths_of(forest, (9.95, 10.05, 1.0), (10.25, 9.75, 1.0))
    assert found.visible
    assert np.isfinite(found.gain).all()


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
    assert found.gain[0, 0] == pytest.approx(1 / 3.0 / np.sqrt(3.0), rel=0.01)
