from __future__ import annotations

import hashlib

import numpy as np
import pytest

from phonotaxis.envs import scenes
from phonotaxis.envs.scenes.materials import INDEX, MATERIALS
from phonotaxis.envs.scenes.scene import Scene, SceneError
from phonotaxis.envs.scenes.walk import components, field_to

SEEDS = range(200)


def digest(scene: Scene) -> str:
    arrays = (
        scene.floor_m,
        scene.ceiling_m,
        scene.side_material,
        scene.floor_material,
        scene.ceiling_material,
    )
    return hashlib.sha256(b"".join(array.tobytes() for array in (*arrays, scene.room))).hexdigest()


@pytest.fixture(scope="module")
def apartments() -> list[Scene]:
    return [scenes.load("apartment", seed=seed) for seed in SEEDS]


def test_every_apartment_is_closed_connected_and_of_the_right_form(apartments):
    for scene in apartments:
        walls = scene.is_wall
        assert walls[0].all(), scene.name
        assert walls[-1].all(), scene.name
        assert walls[:, 0].all(), scene.name
        assert walls[:, -1].all(), scene.name
        assert components(scene.walkable()) == 1, scene.name
        assert scene.walkable().sum() * 0.01 > 10.0, scene.name
        assert scene.floor_m.dtype == scene.ceiling_m.dtype == np.float32
        assert (scene.floor_m >= 0).all()
        assert (scene.ceiling_m <= np.float32(scene.height_m)).all()
        assert ((scene.room < 0) == walls).all(), scene.name
        assert 4 <= scene.room.max() + 1 <= 8
        assert 2.4 <= scene.height_m <= 3.2
        assert max(scene.side_material.max(), scene.floor_material.max()) < len(MATERIALS)


def test_every_room_is_reached_through_doors(apartments):
    for scene in apartments:
        reached = set(np.unique(scene.room[scene.walkable()])) - {-1}
        assert reached == set(range(scene.room.max() + 1)), scene.name
        doors = (scene.ceiling_m < np.float32(scene.height_m)) & ~scene.is_wall
        assert components(doors) >= scene.room.max(), scene.name  # a spanning tree at least
        assert (scene.floor_m[doors] == 0).all()
        assert ((scene.ceiling_m[doors] >= 2.0) & (scene.ceiling_m[doors] <= 2.1)).all()
        assert (scene.side_material[doors] == INDEX["door_frame"]).all()


def test_apartments_are_of_homely_size_and_far_across(apartments):
    areas = [(~scene.is_wall).sum() * scene.cell_m**2 for scene in apartments]
    assert 70 < np.mean(areas) < 120
    assert min(areas) > 30
    distances = []
    random = np.random.default_rng(0)
    for scene in [scene for scene in apartments if scene.room.max() == 7][:10]:
        cells = np.argwhere(scene.walkable())
        goal, *starts = cells[random.integers(len(cells), size=60)]
        field = field_to(scene, int(goal[0]), int(goal[1]))
        distances += [float(field.distance_m[tuple(start)]) for start in starts]
    assert np.isfinite(distances).all()
    assert 6.0 < np.median(distances) < 11.0


def test_furniture_has_real_heights_and_leaves_most_of_the_floor(apartments):
    heights = np.concatenate([scene.floor_m[(scene.floor_m > 0) & ~scene.is_wall] for scene in apartments])
    assert heights.min() >= 0.4
    assert heights.max() <= 2.11
    shares = [((s.floor_m > 0) & ~s.is_wall).sum() / (~s.is_wall).sum() for s in apartments]
    assert 0.1 < np.mean(shares) < 0.3


def test_the_seed_decides_everything(apartments):
    assert digest(scenes.load("apartment", seed=17)) == digest(apartments[17])
    assert digest(scenes.load("apartment:17")) == digest(apartments[17])
    assert apartments[17].name == "apartment:17"
    assert len({digest(scene) for scene in apartments}) == len(apartments)


def test_options_are_obeyed():
    scene = scenes.load("apartment", seed=1, rooms_min=2, rooms_max=2, furniture_density=0.0, ceiling_m=(3.0, 3.0))
    assert scene.room.max() == 1
    assert scene.height_m == 3.0
    assert (scene.floor_m[~scene.is_wall] == 0).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"romms_min": 3}, r"romms_min: unknown key; did you mean 'rooms_min'"),
        ({"rooms_min": 9}, "rooms_min 9 must not exceed rooms_max 8"),
        ({"door_width_m": (0.2, 0.3)}, "door_width_m: expected 0.7 <= low"),
        ({"furniture_density": 2}, "furniture_density"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(SceneError, match=message):
        scenes.load("apartment", **options)
