from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from phonotaxis.envs import scenes
from phonotaxis.envs.scenes.scene import Scene, SceneError
from phonotaxis.envs.scenes.walk import largest_component

SHARED_MAPS = Path(__file__).parents[3] / ".." / "shared" / "data" / "maps"


def write_map(folder: Path, pixels: np.ndarray | Image.Image | None = None, **keys: Any) -> Path:
    """Write a 4 x 3 m map with a ring of wall and a wall at columns 20, 21 that leaves a gap at high y."""
    if pixels is None:
        pixels = np.full((30, 40), 254, np.uint8)
        pixels[0] = pixels[-1] = pixels[:, 0] = pixels[:, -1] = 0
        pixels[10:, 20:22] = 0  # rows of an image run downward: the gap is at high y
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    data = {"image": "map.png", "resolution": 0.1, "origin": [1.0, -2.0, 0.0], "negate": 0}
    data |= {"occupied_thresh": 0.65, "free_thresh": 0.196} | keys
    image.save(folder / data["image"])
    path = folder / "map.yaml"
    path.write_text(yaml.safe_dump({key: value for key, value in data.items() if value is not None}))
    return path


def is_free(scene: Scene, x_m: float, y_m: float) -> bool:
    row, column = scene.cell_of(x_m, y_m)
    rows, columns = scene.shape
    return 0 <= row < rows and 0 <= column < columns and not bool(scene.is_wall[row, column])


def test_pixels_lie_where_ros_puts_them(tmp_path):
    scene = scenes.load(write_map(tmp_path))
    assert scene.shape == (30, 40)
    assert scene.cell_m == pytest.approx(0.1)
    assert scene.origin_m == pytest.approx((1.0, -2.0))
    assert is_free(scene, 1.15, -1.85)
    assert not is_free(scene, 1.05, -1.85)
    assert not is_free(scene, 3.05, -1.5)  # in the dividing wall
    assert is_free(scene, 3.05, 0.5)  # in its gap
    way = scene.geodesic_distance_m((2.0, -1.5), (4.0, -1.5))
    assert 3.6 < way < 4.5
    assert (scene.ceiling_m == 2.5).all()
    assert scene.room.min() == -1


@pytest.mark.parametrize("format", ["map.pgm", "map.png", "map.bmp"])
def test_image_formats(tmp_path, format):
    scene = scenes.load(write_map(tmp_path, image=format))
    assert (~scene.is_wall).sum() == 28 * 38 - 2 * 19


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "1", "I;16"])
def test_pixel_formats_mean_the_same(tmp_path, mode):
    grey = np.full((12, 12), 255, np.uint8)
    grey[0] = grey[-1] = grey[:, 0] = grey[:, -1] = grey[5, 5] = 0
    if mode == "I;16":
        image = Image.fromarray(grey.astype(np.uint16) * 257)
    else:
        image = Image.fromarray(grey).convert(mode)
    scene = scenes.load(write_map(tmp_path, image, image="map.png"))
    assert (~scene.is_wall).sum() == 99


def shades(folder: Path, **keys: Any) -> list[bool]:
    """Which of the shades 0, 51, 102, ... 255, three pixels each, are free."""
    pixels = np.zeros((5, 22), np.uint8)
    pixels[1:4, 1:19] = np.repeat(np.arange(0, 256, 51), 3)
    pixels[1:4, 20] = 0 if keys.get("negate") or keys.get("mode") == "raw" else 255
    scene = scenes.load(write_map(folder, pixels, **keys))
    return [is_free(scene, 1.0 + 0.1 * (3 * i + 2) + 0.05, -2.0 + 0.25) for i in range(6)]


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        # occupancy of the shades: 1.0, 0.8, 0.6, 0.4, 0.2, 0.0
        ({}, [0, 0, 0, 0, 0, 1]),
        ({"free_thresh": 0.3}, [0, 0, 0, 0, 1, 1]),
        ({"free_thresh": 0.3, "negate": 1}, [1, 1, 0, 0, 0, 0]),
        # scale from 0.2 to 0.65: 0.4 is 44 of 100, 0.6 is 89
        ({"mode": "scale", "free_thresh": 0.2}, [0, 0, 0, 1, 1, 1]),
        ({"mode": "raw"}, [1, 0, 0, 0, 0, 0]),
    ],
)
def test_thresholds_negate_and_modes(tmp_path, keys, expected):
    assert shades(tmp_path, **keys) == [bool(value) for value in expected]


def test_transparent_pixels_of_a_scale_map_are_unknown(tmp_path):
    pixels = np.full((12, 12, 4), 255, np.uint8)
    pixels[4:6, 4:6, 3] = 0
    scene = scenes.load(write_map(tmp_path, pixels, mode="scale"))
    assert (~scene.is_wall).sum() == 144 - 4


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_opacity_of_a_trinary_map_is_one_channel_of_four(tmp_path, mode):
    grey = np.full((12, 12, 2), 255, np.uint8)
    grey[3, 3] = 128, 255  # (3 * 128 + 255) / 4 is 0.63 of white, (128 + 255) / 2 would be 0.75
    grey[6, 6] = 255, 0  # transparent white is 0.75 of it
    path = write_map(tmp_path, Image.fromarray(grey, "LA").convert(mode), free_thresh=0.3)
    scene = scenes.load(path)
    assert (~scene.is_wall).sum() == 144 - 1
    assert not is_free(scene, 1.35, -2.0 + 0.85)


def test_fine_maps_are_merged_and_no_thin_wall_vanishes(tmp_path):
    pixels = np.full((200, 300), 254, np.uint8)
    pixels[:, 151] = 0  # 1 cm
    scene = scenes.load(write_map(tmp_path, pixels, resolution=0.01))
    assert scene.cell_m == pytest.approx(0.05)
    assert scene.geodesic_distance_m((1.5, -1.0), (3.5, -1.0)) == float("inf")
    assert is_free(scene, 2.49, -1.0)
    assert not is_free(scene, 2.52, -1.0)
    coarser = scenes.load(write_map(tmp_path, pixels, resolution=0.01), cell_m=0.1)
    assert coarser.cell_m == pytest.approx(0.1)
    assert coarser.geodesic_distance_m((1.5, -1.0), (3.5, -1.0)) == float("inf")


def test_large_maps_get_larger_cells_unless_told_otherwise(tmp_path):
    path = write_map(tmp_path, np.full((400, 300), 254, np.uint8), resolution=0.05)
    assert scenes.load(path).cell_m == pytest.approx(0.1)
    assert scenes.load(path, cell_m=0.05).cell_m == pytest.approx(0.05)


def test_coarse_maps_are_divided(tmp_path):
    pixels = np.full((10, 12), 254, np.uint8)
    pixels[:, 6] = 0
    scene = scenes.load(write_map(tmp_path, pixels, resolution=0.5))
    assert scene.cell_m == pytest.approx(0.5 / 3)
    assert not is_free(scene, 1.0 + 3.25, -2.0 + 2.0)
    assert is_free(scene, 1.0 + 2.9, -2.0 + 2.0)
    assert (~scene.is_wall).sum() * scene.cell_m**2 == pytest.approx(110 * 0.25)


@pytest.mark.parametrize(("resolution", "cell_m"), [(0.15, 0.15), (0.06, 0.18), (0.05, 0.2)])
def test_cells_are_of_whole_pixels_up_to_the_coarsest(tmp_path, resolution, cell_m):
    pixels = np.zeros((60, 60), np.uint8)
    pixels[20:40, 30:50] = 254
    scene = scenes.load(write_map(tmp_path, pixels, resolution=resolution), cell_m=0.2)
    assert scene.cell_m == pytest.approx(cell_m)
    assert is_free(scene, 1.0 + 40 * resolution, -2.0 + 30 * resolution)
    assert not is_free(scene, 1.0 + 29 * resolution, -2.0 + 30 * resolution)
    assert not is_free(scene, 1.0 + 51 * resolution, -2.0 + 30 * resolution)


def test_a_passage_narrower_than_a_cell_is_no_free_space(tmp_path):
    pixels = np.zeros((30, 40), np.uint8)
    pixels[5] = 254
    with pytest.raises(SceneError, match=r"no free space as wide as a cell of 0\.180 m"):
        scenes.load(write_map(tmp_path, pixels, resolution=0.06), cell_m=0.2)


def test_a_map_far_from_the_origin_is_moved(tmp_path):
    near = scenes.load(write_map(tmp_path, origin=[0.5, 7.25, 0.0]))
    assert "moved" not in near.info
    far = scenes.load(write_map(tmp_path, origin=[447_000.5, 4_642_007.25, 0.0]))
    assert far.origin_m == pytest.approx((0.5, 0.25), abs=1e-6)
    assert far.info["moved"] == "by (-447000, -4642007) m to the origin"
    assert np.array_equal(far.is_wall, near.is_wall)


@pytest.mark.parametrize("yaw", [0.5, -2.0, np.pi / 2])
def test_a_turned_origin_turns_the_map(tmp_path, yaw):
    straight = scenes.load(write_map(tmp_path))
    turned = scenes.load(write_map(tmp_path, origin=[1.0, -2.0, float(yaw)]))
    c, s = np.cos(yaw), np.sin(yaw)
    random = np.random.default_rng(0)
    lost = 0
    for along, across in random.uniform([0, 0], [4, 3], (400, 2)):
        now = is_free(turned, 1.0 + c * along - s * across, -2.0 + s * along + c * across)
        before = is_free(straight, 1.0 + along, -2.0 + across)
        assert before or not now  # no wall is lost
        lost += before and not now
    assert lost < 0.2 * 400
    points = [(1.0 + c * x - s * 0.6, -2.0 + s * x + c * 0.6) for x in (1.0, 3.0)]
    assert 3.6 < turned.geodesic_distance_m(*points) < 4.8


@pytest.mark.parametrize("free_thresh", [None, 0.196, 0.25])
def test_unknown_space_is_cropped_away(tmp_path, free_thresh):
    pixels = np.full((500, 400), 205, np.uint8)
    pixels[100:120, 50:90] = 254
    scene = scenes.load(write_map(tmp_path, pixels, free_thresh=free_thresh))
    assert scene.shape == (22, 42)
    assert scene.origin_m == pytest.approx((1.0 + 4.9, -2.0 + 0.1 * (500 - 120 - 1)))
    assert scene.is_wall.sum() == 22 * 42 - 20 * 40


def test_a_turned_map_is_cropped_where_it_lies(tmp_path):
    """What lies about the free space changes nothing, and a resolution in the wrong unit is refused at once."""
    small = np.full((24, 44), 205, np.uint8)
    small[2:22, 2:42] = 254
    small[8:22, 20:23] = 0
    alone = scenes.load(write_map(tmp_path, small, origin=[0.0, 0.0, 0.3]))
    large = np.full((1000, 1200), 205, np.uint8)
    large[-24:, :44] = small  # at the lower left, where the origin is
    within = scenes.load(write_map(tmp_path, large, origin=[0.0, 0.0, 0.3]))
    np.testing.assert_array_equal(within.is_wall, alone.is_wall)
    assert within.origin_m == pytest.approx(alone.origin_m)
    large[500] = 254
    with pytest.raises(SceneError, match="120[0-9] m across is too large, more than 4096 cells of 0.200 m"):
        scenes.load(write_map(tmp_path, large, origin=[0.0, 0.0, 0.3], resolution=1.0))


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"resoluton": 0.05}, "resoluton: unknown key; did you mean 'resolution'"),
        ({"resolution": None}, "resolution: required, but absent"),
        ({"resolution": 50.0}, "resolution: .*less than or equal to 1, got 50.0"),
        ({"resolution": 0.0}, "resolution: .*got 0.0"),
        ({"resolution": float("nan")}, "resolution: .*got nan"),
        ({"origin": [0.0, 0.0]}, "origin"),
        ({"mode": "trinery"}, "mode: .*'trinary', 'scale' or 'raw', got 'trinery'"),
        ({"free_thresh": 0.9}, "free_thresh 0.9 must not exceed occupied_thresh 0.65"),
        ({"free_thresh": 0.0}, "no free space in map.png.*negate 0, free_thresh 0.0 and mode trinary"),
        ({"occupied_thresh": "high"}, "occupied_thresh: .*got 'high'"),
    ],
)
def test_a_yaml_that_can_t_be_used_is_refused(tmp_path, keys, message):
    with pytest.raises(SceneError, match=message):
        scenes.load(write_map(tmp_path, **keys))


def test_an_image_that_can_t_be_used_is_refused(tmp_path):
    path = write_map(tmp_path)
    image = tmp_path / "map.png"
    whole = image.read_bytes()
    image.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SceneError, match=r"map\.png: the image can't be read"):
        scenes.load(path)
    image.write_bytes(b"image: not an image")
    with pytest.raises(SceneError, match=r"map\.png: not an image that can be read; expected PGM"):
        scenes.load(path)
    image.unlink()
    with pytest.raises(SceneError, match=r"image .*map\.png does not exist"):
        scenes.load(path)
    image.mkdir()
    with pytest.raises(SceneError, match="can't be read"):
        scenes.load(path)


@pytest.mark.parametrize("size", [(5000, 3), (100_000, 100_000)])
def test_a_huge_image_is_refused_before_it_is_read(tmp_path, size):
    path = write_map(tmp_path, image="map.pgm")
    (tmp_path / "map.pgm").write_bytes(b"P5\n%d %d\n255\n" % size)
    with pytest.raises(SceneError, match="more than 4096"):
        scenes.load(path)


def test_a_missing_or_unreadable_yaml_is_refused(tmp_path):
    with pytest.raises(SceneError, match=r"nowhere\.yaml: can't be read"):
        scenes.load(tmp_path / "nowhere.yaml")
    bad = tmp_path / "bad.yaml"
    bad.write_text("image: [unclosed")
    with pytest.raises(SceneError, match="not YAML"):
        scenes.load(bad)
    bad.write_text("image: a.png\nresolution: 0.1\nimage: b.png")
    with pytest.raises(SceneError, match=r"bad\.yaml: key 'image' is said in line 1 and again in line 3"):
        scenes.load(bad)
    bad.write_text("- a list")
    with pytest.raises(SceneError, match="expected a mapping"):
        scenes.load(bad)
    with pytest.raises(SceneError, match="unknown material; did you mean 'concrete'"):
        scenes.load(write_map(tmp_path), walls="concret")


@pytest.mark.parametrize("name", ["tb3_sandbox.yaml", "depot.yaml"])
def test_real_maps_load(name):
    path = SHARED_MAPS / name
    if not path.exists():
        pytest.skip(f"the shared maps are not beside the checkout ({SHARED_MAPS.resolve()} is absent)")
    scene = scenes.load(path)
    floor = largest_component(scene.walkable())
    assert floor.sum() * scene.cell_m**2 > 10.0
    assert floor.sum() > 0.9 * scene.walkable().sum()
    assert scene.mesh.area > 100.0
