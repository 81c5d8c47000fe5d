"""Mirror images of points at walls, and where they are heard."""

from __future__ import annotations

import numpy as np
import pytest

from phonotaxis.envs import scenes
from phonotaxis.envs.acoustics.field import SceneSound, scene_sound
from phonotaxis.envs.acoustics.mirrors import Images, heard_at, images_of
from phonotaxis.envs.scenes.scene import Scene


def images_in(sound: SceneSound, at: tuple[float, float], most_walls: int) -> Images:
    point = np.array(at)
    return images_of(sound.plan, sound.faces, sound.mirrored, point, np.stack([point, point]), most_walls)


def hears(sound: SceneSound, images: Images, index: int, source: tuple[float, float], to: tuple[float, float]) -> bool:
    two = [np.stack([np.array(point), np.array(point)]) for point in (source, to)]
    return bool(heard_at(sound.plan, sound.faces, images, index, two[0], np.array(to), two[1]))


def test_images_in_a_rectangular_room_are_those_of_its_lattice() -> None:
    """At one wall four, at two walls eight: two in each direction, and those in a corner, once for each order."""
    sound = scene_sound(scenes.load("empty_room", size_m=[6.0, 5.0]))[0]
    x, y = 1.7, 1.3
    images = images_in(sound, (x, y), 2)
    of = [{tuple(np.round(xy, 4)) for xy in images.xy_m[images.walls == walls]} for walls in range(3)]
    assert of[0] == {(x, y)}
    assert of[1] == {(-x, y), (12 - x, y), (x, -y), (x, 10 - y)}
    straight = {(x - 12, y), (x + 12, y), (x, y - 10), (x, y + 10)}
    corners = {(a, b) for a in (-x, 12 - x) for b in (-y, 10 - y)}
    assert of[2] == {(round(a, 4), round(b, 4)) for a, b in straight | corners}


def test_a_lattice_image_is_heard_by_one_order_of_its_walls() -> None:
    """Of the two images in a corner, which differ in which wall comes first, a listener hears exactly one."""
    sound = scene_sound(scenes.load("empty_room", size_m=[6.0, 5.0]))[0]
    source, listener = (1.7, 1.3), (4.3, 3.1)
    images = images_in(sound, source, 2)
    heard = [k for k in range(len(images.walls)) if hears(sound, images, k, source, listener)]
    places = [tuple(np.round(images.xy_m[k], 4)) for k in heard]
    assert len(places) == len(set(places)) == 1 + 4 + 8
    for k in heard:  # what leaves the image towards the listener leaves the source into the room
        left = (np.array(listener) - images.xy_m[k]) * images.flip[k]
        assert np.hypot(*left) == pytest.approx(np.hypot(*(np.array(listener) - images.xy_m[k])))
        ahead = np.array(source) + 0.05 * left / np.hypot(*left)
        assert (ahead > 0.0).all()
        assert (ahead < (6.0, 5.0)).all()


def test_a_gain_is_the_product_of_its_walls() -> None:
    sound = scene_sound(scenes.load("empty_room", size_m=[6.0, 5.0]))[0]
    images = images_in(sound, (1.7, 1.3), 3)
    for k in range(len(images.walls)):
        materials = [int(sound.faces[face, 5]) for face in images.chain[k, : images.walls[k]]]
        np.testing.assert_allclose(images.gain[k], np.prod(sound.mirrored[materials], axis=0), rtol=1e-5)


def test_an_image_is_not_heard_through_a_wall(two_rooms: Scene) -> None:
    """The source mirrored at the far wall of its room is heard there, and beyond the door where the line passes it."""
    sound = scene_sound(two_rooms)[0]
    source = (7.0, 1.45)
    images = images_in(sound, source, 1)
    (far,) = np.flatnonzero(np.isclose(images.xy_m[:, 0], 13.0) & np.isclose(images.xy_m[:, 1], 1.45))
    assert hears(sound, images, int(far), source, (6.0, 2.0))
    assert hears(sound, images, int(far), source, (3.0, 1.45))
    assert not hears(sound, images, int(far), source, (3.0, 4.0))


def test_an_edge_has_no_image_in_its_own_wall(two_rooms: Scene) -> None:
    """What its own faces send back is in its diffraction coefficient: counted again it would be heard twice."""
    sound = scene_sound(two_rooms)[0]
    for edge, at in enumerate(sound.edges.at_m):
        mine = np.flatnonzero((sound.edge_images.owner == edge) & (sound.edge_images.walls == 1))
        assert mine.size >= 2
        for k in mine:
            face = sound.faces[sound.edge_images.chain[k, 0]]
            assert abs(at[int(face[0])] - face[1]) > 0.2
