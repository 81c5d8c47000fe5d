from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phonotaxis.configs.contract import PinholeCamera
from phonotaxis.configs.vision import MODALITIES, SEMANTIC_CLASSES
from phonotaxis.envs import scenes
from phonotaxis.envs.acoustics.field import scene_sound
from phonotaxis.envs.acoustics.renderer import new_scene_list, put
from phonotaxis.envs.scenes.materials import INDEX, MATERIALS
from phonotaxis.envs.scenes.scene import Scene
from phonotaxis.envs.threads import Crew
from phonotaxis.envs.vision.camera import rotation
from phonotaxis.envs.vision.eyes import Eyes, look


def view(scene: Scene, camera: PinholeCamera, pose: tuple[float, float, float]) -> np.ndarray:
    return look(scene, camera, np.array([pose])).depth_m[0]


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
            truth = ray_depths(triangles, origin, rays @ (turn @ rotation(*camera.mount_rpy_rad)).T)
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


@pytest.mark.parametrize("pose", [(-5.0, 1.0, 0.0), (-0.2, 1.0, 0.0), (1e300, -1e300, 1e6)])
@pytest.mark.parametrize("rpy", [(0.0, 0.0, 0.0), (0.2, 0.1, 0.0)])
def test_a_camera_in_a_wall_or_outside_sees_nothing(pose, rpy):
    eyes = look(scenes.load("empty_room"), PinholeCamera(mount_rpy_rad=rpy), np.array([pose]), MODALITIES)
    assert not eyes.depth_m.any()
    assert not eyes.semantic.any()
    assert not eyes.color.any()


@pytest.mark.parametrize("height_m", [-0.1, 2.7])
def test_a_camera_in_the_ground_or_above_the_ceiling_sees_nothing(height_m):
    camera = PinholeCamera(mount_xyz_m=(0.0, 0.0, height_m))
    assert not view(scenes.load("empty_room", height_m=2.6), camera, (2.0, 2.0, 0.0)).any()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_pose_that_is_no_place_is_an_error(value):
    poses = np.array([[2.0, 2.0, 0.0], [2.0, value, 0.0]])
    with pytest.raises(ValueError, match="world 1: expected a finite pose"):
        look(scenes.load("empty_room"), PinholeCamera(), poses)


def test_a_batch_is_bitwise_what_its_worlds_are_for_any_number_of_threads():
    loaded = [scenes.load("apartment", seed=seed) for seed in range(3)]
    listed = new_scene_list(scene_sound(loaded[0])[0])
    for slot, scene in enumerate(loaded):
        put(listed, slot, scene_sound(scene)[0])
    slot = np.array([0, 2, 1, 1, 0, 2, 2], np.int64)
    pose = np.stack([random_poses(loaded[s], 1, i)[0] for i, s in enumerate(slot)])
    renderer = Eyes(PinholeCamera(), 7)
    images = []
    for threads in (1, 2):
        Crew(threads).share(lambda part: renderer.render(part, listed, slot, pose), np.arange(7))
        images.append(renderer.depth_m.copy())
    assert all(np.array_equal(images[0], image) for image in images)
    for world in range(7):
        assert np.array_equal(view(loaded[slot[world]], PinholeCamera(), pose[world]), images[0][world])


def test_only_the_worlds_asked_for_are_drawn():
    scene = scenes.load("empty_room")
    renderer = Eyes(PinholeCamera(), 3)
    pose = np.tile([2.0, 2.0, 0.0], (3, 1))
    renderer.render(np.array([1]), new_scene_list(scene_sound(scene)[0]), np.zeros(3, np.int64), pose)
    assert renderer.depth_m[1].any()
    assert not renderer.depth_m[[0, 2]].any()


def test_classes_and_colors_are_those_of_the_surfaces_seen():
    materials = {"floor": "carpet", "walls": "glass", "ceiling": "acoustic_ceiling"}
    scene = scenes.load("empty_room", size_m=(6.0, 5.0), height_m=2.6, **materials)
    eyes = look(scene, PinholeCamera(), np.array([[2.0, 2.5, 0.0], [2.0, 2.5, np.pi / 2]]), MODALITIES)
    for row, name in ((63, "carpet"), (31, "glass"), (0, "acoustic_ceiling")):
        material = MATERIALS[INDEX[name]]
        assert (eyes.semantic[:, row, 31] == SEMANTIC_CLASSES.index(material.semantic_class)).all()
        lit = eyes.color[:, row, 31] / np.array(material.color)
        assert ((lit > 0.6) & (lit <= 1.01)).all()
        np.testing.assert_allclose(lit, lit[:, :1].repeat(3, axis=1), atol=0.01)  # darker, of the same hue
    assert (eyes.color[0, 31, 31] != eyes.color[1, 31, 31]).any()  # walls that meet don't look alike
    assert (eyes.color[0, 63, 31] == eyes.color[1, 63, 31]).all()  # the floor doesn't turn with the robot


def test_class_and_color_have_no_range_and_leave_depth_as_it_is():
    scene = scenes.load("empty_room", size_m=(6.0, 5.0), height_m=2.6)
    camera = PinholeCamera(min_range_m=1.0, max_range_m=3.0)
    pose = np.array([[2.0, 2.5, 0.3]])
    eyes = look(scene, camera, pose, ("semantic", "color"))
    assert (eyes.depth_m == 0).any()
    assert (eyes.semantic > 0).all()
    assert (eyes.color > 0).all()
    assert np.array_equal(eyes.depth_m, look(scene, camera, pose).depth_m)


def test_what_was_not_asked_for_takes_no_memory():
    assert Eyes(PinholeCamera(), 5).semantic.size == Eyes(PinholeCamera(), 5, ("depth", "semantic")).color.size == 0


@pytest.mark.parametrize(
    ("modalities", "message"), [(("depth", "semantics"), "did you mean 'semantic'"), ((), "at least one modality")]
)
def test_modalities_that_do_not_exist_are_refused(modalities, message):
    with pytest.raises(ValueError, match=message):
        Eyes(PinholeCamera(), 1, modalities)


def test_walking_by_columns_and_by_pixels_hits_the_same_surfaces():
    level = PinholeCamera(width=40, height=48, mount_xyz_m=(0.05, 0.02, 0.9))
    tilted = level.model_copy(update={"mount_rpy_rad": (0.0, 1e-12, 0.0)})
    scene = scenes.load("apartment", seed=8)
    poses = random_poses(scene, 10, 1)
    a, b = (look(scene, camera, poses, MODALITIES) for camera in (level, tilted))
    assert len(np.unique(a.semantic)) > 3
    assert np.mean(a.semantic == b.semantic) > 0.999
    assert np.mean((a.color == b.color).all(axis=-1)) > 0.999


def test_each_world_can_mount_its_camera_on_its_own():
    scene = scenes.load("apartment", seed=3)
    pose = np.tile(random_poses(scene, 1, 5), (3, 1))
    bumped = (0.05, 0.01, 0.6), (0.0, 0.2, 0.1)
    eyes = Eyes(PinholeCamera(), 3)
    eyes.mount(1, *bumped)
    eyes.render(np.arange(3), new_scene_list(scene_sound(scene)[0]), np.zeros(3, np.int64), pose)
    plain, tilted = (
        view(scene, camera, pose[0])
        for camera in (PinholeCamera(), PinholeCamera(mount_xyz_m=bumped[0], mount_rpy_rad=bumped[1]))
    )
    assert np.array_equal(eyes.depth_m, np.stack([plain, tilted, plain]))
    assert not np.array_equal(plain, tilted)
    with pytest.raises(ValueError, match="mount must be finite"):
        eyes.mount(0, (float("nan"), 0.0, 0.0), (0.0, 0.0, 0.0))


def test_each_world_can_have_a_camera_of_its_own():
    scene = scenes.load("apartment", seed=3)
    pose = np.tile(random_poses(scene, 1, 5), (2, 1))
    other = PinholeCamera(fx=28.0, fy=36.0, cx=30.0, mount_xyz_m=(0.05, 0.0, 0.7), mount_rpy_rad=(0.0, 0.0, 0.1))
    eyes = Eyes(PinholeCamera(), 2)
    eyes.adopt(0, other)
    eyes.render(np.arange(2), new_scene_list(scene_sound(scene)[0]), np.zeros(2, np.int64), pose)
    assert np.array_equal(eyes.depth_m[0], view(scene, other, pose[0]))
    assert np.array_equal(eyes.depth_m[1], view(scene, PinholeCamera(), pose[0]))
    with pytest.raises(ValueError, match="expected a camera of 64 x 64 pixels, got 32 x 64"):
        eyes.adopt(0, PinholeCamera(width=32))


@settings(max_examples=60, deadline=None)
@given(
    x=st.one_of(st.integers(0, 60).map(lambda k: k * 0.1), st.floats(-1.0, 7.0)),
    y=st.one_of(st.integers(0, 50).map(lambda k: k * 0.1), st.floats(-1.0, 6.0)),
    quarter=st.one_of(st.integers(-4, 4).map(float), st.floats(-4.0, 4.0)),
    height_m=st.floats(0.0, 2.6),
    pitch=st.sampled_from([0.0, 1e-300, 0.3, -np.pi / 2, np.pi / 2]),
    cx=st.sampled_from([8.0, 8.5]),
)
def test_from_any_place_depths_are_in_range_and_planes_are_where_they_are(x, y, quarter, height_m, pitch, cx):
    # On cell borders, along the axes and straight up and down too: a ray ends, and on one of six planes.
    scene = scenes.load("empty_room", size_m=(6.0, 5.0), height_m=2.6)
    camera = PinholeCamera(
        width=16, height=16, fx=8.0, fy=8.0, cx=cx, cy=8.0, mount_xyz_m=(0.0, 0.0, height_m),
        mount_rpy_rad=(0.0, pitch, 0.0),
    )  # fmt: skip
    yaw = quarter * np.pi / 2
    eyes = look(scene, camera, np.array([[x, y, yaw]]), MODALITIES)
    depth = eyes.depth_m[0].astype(np.float64)
    assert ((depth == 0) | ((depth >= camera.min_range_m - 1e-6) & (depth <= camera.max_range_m))).all()
    row, column = np.mgrid[:16, :16]
    rays = np.stack([np.ones((16, 16)), (cx - column - 0.5) / 8.0, (7.5 - row) / 8.0], axis=-1)
    met = np.array([x, y, height_m]) + depth[..., None] * (rays @ (rotation(0, 0, yaw) @ rotation(0, pitch, 0)).T)
    off_plane = np.minimum(np.abs(met), np.abs(met - [6.0, 5.0, 2.6])).min(axis=-1)
    assert (off_plane[depth > 0] < 1e-4).all()
    if 0.2 < x < 5.8 and 0.2 < y < 4.8 and 0.2 < height_m < 2.4:
        assert (depth > 0).all()
        assert (eyes.semantic > 0).all()
