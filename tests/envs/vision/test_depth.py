from __future__ import annotations

import numba
import numpy as np
import pytest

from phonotaxis.configs.contract import PinholeCamera
from phonotaxis.envs import scenes
from phonotaxis.envs.acoustics.field import scene_sound
from phonotaxis.envs.acoustics.renderer import new_scene_list, put
from phonotaxis.envs.scenes.scene import Scene
from phonotaxis.envs.vision.depth import DepthRenderer, camera_model


def view(scene: Scene, camera: PinholeCamera, pose: tuple[float, float, float]) -> np.ndarray:
    renderer = DepthRenderer(camera, 1)
    nought = np.zeros(1, np.int64)
    renderer.render(nought, new_scene_list(scene_sound(scene)[0]), nought, np.array([pose]))
    return renderer.depth_m[0]


def random_poses(scene: Scene, count: int, seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    cells = np.argwhere(scene.walkable())
    chosen = cells[random.integers(len(cells), size=count)] + random.uniform(0.05, 0.95, (count, 2))
    xy = chosen[:, ::-1] * scene.cell_m + scene.origin_m
    return np.column_stack([xy, random.uniform(-np.pi, np.pi, count)])


def ray_depths(mesh_triangles: np.ndarray, origin: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """Meet rays with triangles (Möller and Trumbore 1997): the least parameter of each ray, or infinity."""
    a, b, c = (mesh_triangles[:, i] for i in range(3))
    edge1, edge2, offset = b - a, c - a, origin - a
    out = np.empty(len(directions))
    q = np.cross(offset, edge1)
    for i, direction in enumerate(directions):
        p = np.cross(direction, edge2)
        with np.errstate(divide="ignore", invalid="ignore"):
            scale = 1.0 / np.einsum("ij,ij->i", edge1, p)
            u = np.einsum("ij,ij->i", offset, p) * scale
            v = (q @ direction) * scale
            t = np.einsum("ij,ij->i", edge2, q) * scale
        hit = (u >= -1e-9) & (v >= -1e-9) & (u + v <= 1 + 1e-9) & (t > 1e-9)
        out[i] = t[hit].min() if hit.any() else np.inf
    return out


@pytest.mark.parametrize("rpy", [(0.0, 0.0, 0.0), (0.0, 0.0, 0.6), (0.0, 0.35, 0.0), (0.1, -0.2, -0.4)], ids=str)
def test_agrees_with_rays_cast_on_the_mesh(rpy):
    camera = PinholeCamera(mount_rpy_rad=rpy, fx=28.0, fy=35.0, cx=30.5, max_range_m=9.0)
    random = np.random.default_rng(2)
    errors = []
    for seed in range(3):
        scene = scenes.load("apartment", seed=seed)
        triangles = scene.mesh.triangles.astype(np.float64)
        for pose in random_poses(scene, 3, seed):
            image = view(scene, camera, pose)
            c, s = np.cos(pose[2]), np.sin(pose[2])
            turn = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1.0]])
            origin = np.array([pose[0], pose[1], 0]) + turn @ np.array(camera.mount_xyz_m)
            u, v = random.integers(0, 64, (2, 60))
            rays = np.stack(
                [np.ones(60), (camera.cx - u - 0.5) / camera.fx, -(v + 0.5 - camera.cy) / camera.fy], axis=1
            )
            truth = ray_depths(triangles, origin, rays @ (turn @ camera_model(camera).base_from_camera).T)
            truth[(truth < camera.min_range_m) | (truth > camera.max_range_m)] = 0.0
            errors += list(np.abs(truth - image[v, u]))
    assert np.mean(np.array(errors) < 0.01) >= 0.999
    assert np.median(errors) < 1e-5


def test_walking_by_columns_and_by_pixels_is_the_same():
    level = PinholeCamera(width=48, height=40, mount_xyz_m=(0.05, 0.02, 0.9))
    tilted = PinholeCamera(width=48, height=40, mount_xyz_m=(0.05, 0.02, 0.9), mount_rpy_rad=(0.0, 1e-12, 0.0))
    scene = scenes.load("apartment", seed=8)
    for pose in random_poses(scene, 10, 1):
        difference = np.abs(view(scene, level, pose) - view(scene, tilted, pose))
        assert np.mean(difference < 1e-4) > 0.999


def test_a_wall_in_front_is_as_far_as_it_is():
    scene = scenes.load("empty_room", size_m=(6.0, 5.0), height_m=2.6)
    image = view(scene, PinholeCamera(), (2.0, 2.5, 0.0))
    assert image[31, 31] == pytest.approx(3.9)  # the camera sits 0.1 m in front of the base
    # Row 63 looks down by atan(31.5 / 32) from 0.5 m; row 0 up by the same to the ceiling at 2.6 m.
    assert image[63, 32] == pytest.approx(0.5 * 32 / 31.5, rel=1e-6)
    assert image[0, 32] == pytest.approx(2.1 * 32 / 31.5, rel=1e-6)
    left = view(scene, PinholeCamera(mount_rpy_rad=(0, 0, np.pi / 2), mount_xyz_m=(0, 0, 0.5)), (2.0, 2.0, 0.0))
    assert left[31, 31] == pytest.approx(3.0)
    down = view(scene, PinholeCamera(mount_rpy_rad=(0, np.pi / 2, 0), mount_xyz_m=(0, 0, 0.5)), (2.0, 2.0, 0.0))
    np.testing.assert_allclose(down, 0.5, rtol=1e-6)
    # Left in the world is left in the image: a nearer wall on the left.
    near_left = view(scene, PinholeCamera(), (2.0, 4.0, 0.0))
    assert near_left[31, 0] < near_left[31, 63]


def test_out_of_range_is_unknown():
    scene = scenes.load("empty_room", size_m=(6.0, 5.0), height_m=2.6)
    image = view(scene, PinholeCamera(min_range_m=1.0, max_range_m=3.0), (2.0, 2.5, 0.0))
    assert image[31, 31] == 0.0  # 3.9 m
    assert image[63, 31] == 0.0  # 0.51 m
    assert ((image == 0) | ((image >= 1.0) & (image <= 3.0))).all()


@pytest.mark.parametrize("pose", [(-5.0, 1.0, 0.0), (-0.2, 1.0, 0.0), (float("nan"), 1.0, 0.0)])
def test_a_camera_in_a_wall_or_outside_sees_nothing(pose):
    assert not view(scenes.load("empty_room"), PinholeCamera(), pose).any()


def test_a_batch_is_bitwise_what_its_worlds_are_for_any_number_of_threads():
    loaded = [scenes.load("apartment", seed=seed) for seed in range(3)]
    listed = new_scene_list(scene_sound(loaded[0])[0])
    for slot, scene in enumerate(loaded):
        put(listed, slot, scene_sound(scene)[0])
    slot = np.array([0, 2, 1, 1, 0, 2, 2], np.int64)
    pose = np.stack([random_poses(loaded[s], 1, i)[0] for i, s in enumerate(slot)])
    renderer = DepthRenderer(PinholeCamera(), 7)
    before = numba.get_num_threads()
    images = []
    try:
        for threads in sorted({1, before}):
            numba.set_num_threads(threads)
            renderer.render(np.arange(7), listed, slot, pose)
            images.append(renderer.depth_m.copy())
    finally:
        numba.set_num_threads(before)
    assert all(np.array_equal(images[0], image) for image in images)
    for world in range(7):
        assert np.array_equal(view(loaded[slot[world]], PinholeCamera(), pose[world]), images[0][world])


def test_only_the_worlds_asked_for_are_drawn():
    scene = scenes.load("empty_room")
    renderer = DepthRenderer(PinholeCamera(), 3)
    pose = np.tile([2.0, 2.0, 0.0], (3, 1))
    renderer.render(np.array([1]), new_scene_list(scene_sound(scene)[0]), np.zeros(3, np.int64), pose)
    assert renderer.depth_m[1].any()
    assert not renderer.depth_m[[0, 2]].any()
