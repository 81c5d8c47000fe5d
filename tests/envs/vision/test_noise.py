from __future__ import annotations

import numpy as np
import pytest

from phonotaxis.configs.base import ConfigError, build
from phonotaxis.configs.contract import PinholeCamera
from phonotaxis.configs.vision import DepthNoise
from phonotaxis.envs import scenes
from phonotaxis.envs.hashing import key_of
from phonotaxis.envs.threads import Crew
from phonotaxis.envs.vision.eyes import look
from phonotaxis.envs.vision.noise import DepthCamera, mark_edges

CAMERA = PinholeCamera()
EVERYTHING = DepthNoise(
    lateral_px=0.4, axial_m=0.002, axial_per_m=0.004, disparity_step_px=0.125, baseline_m=0.05, focal_px=420.0,
    edge_dropout=0.5, min_range_m=0.3, max_range_m=8.0,
)  # fmt: skip


def keys_of(*seeds: int) -> np.ndarray:
    return np.array([key_of(seed) for seed in seeds], np.uint64)


def spoiled(clean: np.ndarray, noise: DepthNoise, camera: PinholeCamera = CAMERA, first_step: int = 0) -> np.ndarray:
    """Spoil images, each as a step of one episode."""
    out = np.array(clean, np.float32)
    count = len(out)
    DepthCamera(camera, noise, count).spoil(
        np.arange(count), out, np.repeat(keys_of(5), count), first_step + np.arange(count)
    )
    return out


def rooms() -> np.ndarray:
    """Draw a few images of furnished rooms, float32 [7, 64, 64]."""
    scene = scenes.load("apartment", seed=4)
    cells = np.argwhere(scene.walkable())
    chosen = cells[np.random.default_rng(2).integers(len(cells), size=7)]
    xy = (chosen[:, ::-1] + 0.5) * scene.cell_m + scene.origin_m
    return look(scene, CAMERA, np.column_stack([xy, np.arange(7.0)])).depth_m


def test_off_by_default_and_then_depth_is_as_it_was():
    clean = rooms()
    assert DepthNoise().off
    assert not EVERYTHING.off
    assert np.array_equal(spoiled(clean, DepthNoise()), clean)


@pytest.mark.parametrize("depth_m", [1.0, 4.0])
def test_axial_noise_has_the_spread_asked_for_and_no_bias(depth_m):
    noise = DepthNoise(axial_m=0.01, axial_per_m=0.005)
    error = spoiled(np.full((20, 64, 64), depth_m), noise).astype(np.float64) - depth_m
    sigma = 0.01 + 0.005 * depth_m**2
    assert error.std() == pytest.approx(sigma, rel=0.02)  # 82,000 draws: a standard error of 0.25 %
    assert abs(error.mean()) < 4 * sigma / np.sqrt(error.size)
    # Pixels and steps draw apart from each other.
    assert abs(np.corrcoef(error[:, :, :-1].ravel(), error[:, :, 1:].ravel())[0, 1]) < 0.02
    assert abs(np.corrcoef(error[0].ravel(), error[1].ravel())[0, 1]) < 0.06


def test_disparity_comes_in_whole_steps():
    clean = np.linspace(0.5, 9.5, 64 * 64, dtype=np.float32).reshape(1, 64, 64)
    noise = DepthNoise(disparity_step_px=0.125, baseline_m=0.05, focal_px=400.0)
    depth = spoiled(clean, noise)[0].astype(np.float64)
    steps = 0.05 * 400.0 / depth / 0.125
    np.testing.assert_allclose(steps, np.rint(steps), atol=1e-4)
    assert len(np.unique(steps.round())) > 100
    # Half a step of disparity at most, which is depth² / (baseline · focal) · step / 2, and a little beyond.
    assert (np.abs(depth - clean[0]) <= 1.05 * clean[0] ** 2 / 20.0 * 0.125 / 2).all()
    # The camera's own focal length where the matcher's isn't given; beyond half a step there is no depth.
    coarse = DepthNoise(disparity_step_px=8.0, baseline_m=1.0)
    assert set(np.unique(spoiled(clean, coarse))) == {0.0, *np.float32(4.0 / np.arange(1, 9))}


def test_edges_are_steps_in_depth_and_neither_slants_nor_creases():
    scene = scenes.load("empty_room", size_m=(6.0, 5.0), height_m=2.6)
    empty = look(scene, CAMERA, np.array([[1.0, 2.5, 0.4]])).depth_m[0]
    edges = np.zeros(empty.shape, np.bool_)
    mark_edges(empty, 0.02, edges)
    assert np.abs(np.diff(empty, axis=0)).max() > 0.2  # the floor near the horizon
    assert not edges.any()
    empty[20:40, 25:30] = 0.8  # a post in front
    mark_edges(empty, 0.02, edges)
    expected = np.zeros_like(edges)
    expected[20:40, [24, 25, 29, 30]] = True
    expected[[19, 20, 39, 40], 25:30] = True
    assert np.array_equal(edges, expected)


def test_pixels_beside_a_step_drop_out_with_the_probability_asked_for():
    clean = np.full((200, 64, 64), 4.0, np.float32)
    clean[:, :, 32:] = 2.0
    out = spoiled(clean, DepthNoise(edge_dropout=0.3))
    dropped = out == 0
    assert dropped[:, :, [31, 32]].mean() == pytest.approx(0.3, abs=0.01)  # 25,600 draws: 0.003
    assert not dropped[:, :, :31].any()
    assert not dropped[:, :, 33:].any()
    assert np.array_equal(out[~dropped], clean[~dropped])
    assert not (spoiled(clean, DepthNoise(edge_dropout=1.0))[:, :, 31:33]).any()


def test_lateral_noise_takes_depth_from_beside():
    clean = np.full((50, 64, 64), 4.0, np.float32)
    clean[:, :, 32:] = 2.0
    wrong = spoiled(clean, DepthNoise(lateral_px=1.0)) != clean
    # A pixel beside the step is wrong where its shift rounds beyond: a normal draw over 0.5, or over 1.5.
    assert wrong[:, :, [31, 32]].mean() == pytest.approx(0.3085, abs=0.02)
    assert wrong[:, :, [30, 33]].mean() == pytest.approx(0.0668, abs=0.01)
    assert not wrong[:, :, :20].any()


def test_range_is_the_narrower_of_noise_and_camera():
    clean = np.linspace(0.2, 9.9, 64 * 64, dtype=np.float32).reshape(1, 64, 64)
    narrow = spoiled(clean, DepthNoise(min_range_m=0.5, max_range_m=6.0))
    assert np.array_equal(narrow, np.where((clean >= 0.5) & (clean <= 6.0), clean, 0))
    wide = DepthNoise(min_range_m=0.01, max_range_m=50.0, axial_m=0.5)
    noisy = spoiled(clean, wide, PinholeCamera(min_range_m=1.0, max_range_m=5.0))
    assert ((noisy == 0) | ((noisy >= 1.0) & (noisy <= 5.0))).all()


def test_unknown_stays_unknown():
    clean = rooms()
    clean[:, 10:30, 10:30] = 0.0
    noise = EVERYTHING.model_copy(update={"lateral_px": 0.0})
    assert not spoiled(clean, noise)[:, 10:30, 10:30].any()


def test_noise_depends_on_episode_step_and_pixel_and_on_nothing_else():
    clean = rooms()
    keys, steps = keys_of(1, 2, 3, 4, 5, 6, 7), np.arange(7) * 11
    camera = DepthCamera(CAMERA, EVERYTHING, 7)
    images = []
    for threads in (1, 2):
        images.append(clean.copy())
        Crew(threads).share(lambda part: camera.spoil(part, images[-1], keys, steps), np.arange(7))
    assert all(np.array_equal(images[0], image) for image in images)
    alone = clean.copy()
    for world in (4, 2):
        camera.spoil(np.array([world]), alone, keys, steps)
    assert np.array_equal(alone[[2, 4]], images[0][[2, 4]])
    assert np.array_equal(alone[[0, 1, 3, 5, 6]], clean[[0, 1, 3, 5, 6]])
    for other_keys, other_steps in ((keys + np.uint64(1), steps), (keys, steps + 1)):
        other = clean.copy()
        camera.spoil(np.arange(7), other, other_keys, other_steps)
        assert not any(np.array_equal(a, b) for a, b in zip(other, images[0]))


def test_gain_scales_a_worlds_noise():
    out = np.full((2, 64, 64), 3.0, np.float32)
    camera = DepthCamera(CAMERA, DepthNoise(axial_m=0.01), 2)
    camera.gain[:] = 0.0, 2.0
    camera.spoil(np.arange(2), out, keys_of(1, 2), np.zeros(2, np.int64))
    assert np.array_equal(out[0], np.full((64, 64), 3.0, np.float32))
    assert out[1].astype(np.float64).std() == pytest.approx(0.02, rel=0.05)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"disparity_step_px": 0.1}, "needs a baseline_m above 0"),
        ({"min_range_m": 2.0, "max_range_m": 1.0}, "must exceed min_range_m"),
        ({"edge_dropout": 1.5}, "edge_dropout"),
        ({"axial": 0.1}, "did you mean 'axial_m'"),
    ],
)
def test_noise_that_cannot_be_is_refused(values, message):
    with pytest.raises(ConfigError, match=message):
        build(DepthNoise, values, "camera.yaml")


def test_a_narrower_camera_leaves_the_rest_of_the_image_unknown() -> None:
    clean = np.full((1, 64, 64), 2.0, np.float32)
    noise = DepthNoise(field_of_view_deg=(60.0, 30.0))
    assert not noise.off
    seen = spoiled(clean, noise)[0] > 0.0
    # fx = fy = 32 pixels: 60 degrees reach 32 tan 30 = 18.5 pixels to either side, 30 degrees 8.6
    assert np.flatnonzero(seen.any(axis=0))[[0, -1]].tolist() == [14, 49]
    assert np.flatnonzero(seen.any(axis=1))[[0, -1]].tolist() == [23, 40]
    assert seen[23:41, 14:50].all()


def test_an_angle_of_view_must_be_one() -> None:
    with pytest.raises(ConfigError, match="field_of_view_deg must be"):
        build(DepthNoise, {"field_of_view_deg": [180.0, 60.0]}, "noise")
