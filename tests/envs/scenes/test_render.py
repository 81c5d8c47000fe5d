from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from phonotaxis.envs import scenes
from phonotaxis.envs.scenes.render import WALL_COLOR, _scale_length_m, plan_image, top_down_png


def test_walls_rooms_and_furniture_are_told_apart():
    scene = scenes.load("apartment", seed=3)
    image = plan_image(scene)
    assert image.shape == (*scene.shape, 3)
    assert image.dtype == np.uint8
    assert tuple(image[0, 0]) == WALL_COLOR
    bare = ~scene.is_wall & (scene.floor_m == 0)
    pieces = ~scene.is_wall & (scene.floor_m > 0)
    assert image[bare].mean() > image[pieces].mean() + 30
    first, second = (image[bare & (scene.room == room)].mean(axis=0) for room in (0, 1))
    assert np.abs(first - second).max() > 3


def test_the_picture_has_the_width_asked_for_and_shows_the_path(tmp_path):
    scene = scenes.load("apartment", seed=3)
    cells = np.argwhere(scene.walkable())
    a, b = scene.centre_of(*cells[0]), scene.centre_of(*cells[-1])
    plain, marked = tmp_path / "plain.png", tmp_path / "marked.png"
    top_down_png(scene, plain, width_px=600)
    top_down_png(scene, marked, [scene.shortest_path(a, b), np.empty((0, 2))], (*b, 1.0), "a walk", 600)
    with Image.open(plain) as one, Image.open(marked) as other:
        assert one.size == other.size
        assert one.size[0] == 600
        changed = (np.asarray(one.convert("RGB")) != np.asarray(other.convert("RGB"))).any(axis=-1)
    assert changed.mean() > 0.005
    with pytest.raises(ValueError, match=r"path 0: expected \[points, 2\], got \[5\]"):
        top_down_png(scene, plain, [np.zeros(5)])


@pytest.mark.parametrize(("width", "length"), [(12.0, 2.0), (20.0, 5.0), (3.0, 0.5), (41.0, 10.0)])
def test_the_scale_bar_is_a_round_length(width, length):
    assert _scale_length_m(width) == pytest.approx(length)
