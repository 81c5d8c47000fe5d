"""What one kind of camera sees in many worlds at once: depth, semantic class and plain colour."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numba import njit
from numba.typed import List

from phonotaxis.configs.base import did_you_mean
from phonotaxis.configs.contract import PinholeCamera
from phonotaxis.configs.vision import MODALITIES
from phonotaxis.envs.scenes.plan import Plan, plan_of
from phonotaxis.envs.scenes.scene import Scene
from phonotaxis.envs.vision.camera import CameraModel, camera_model, pixel_tangents, rotation
from phonotaxis.envs.vision.cast import Matter, cast_ray, draw_column
from phonotaxis.envs.vision.surfaces import color_table, semantic_table


class Seen(NamedTuple):
    """What sight needs of a scene."""

    plan: Plan


class Eyes:
    """Draws what one kind of camera sees in every world of a batch.

    Any size, intrinsics and mount pose are drawn exactly. A camera that neither pitches nor rolls takes a fast
    way, a walk for each column; any other takes a walk for each pixel, which costs ten times as much.

    Args:
        camera: the camera.
        num_worlds: how many worlds.
        modalities: of `MODALITIES`, what to draw; depth comes with any of them.

    Attributes:
        depth_m: float32 [worlds, height, width], metres along the optical axis; 0 where the depth is out of the
            camera's range or the camera is inside matter or outside the plan.
        semantic: uint8 [worlds, height, width], index into `configs.vision.SEMANTIC_CLASSES`, at any range; 0
            (unknown) where the camera is inside matter or outside. [0, height, width] unless asked for.
        color: uint8 [worlds, height, width, 3], RGB, at any range; black where `semantic` is unknown.
            [0, height, width, 3] unless asked for.

    Raises:
        ValueError: there is no such modality, or none was named.
    """

    def __init__(self, camera: PinholeCamera, num_worlds: int, modalities: Sequence[str] = ("depth",)) -> None:
        for modality in modalities:
            if modality not in MODALITIES:
                hint = did_you_mean(modality, MODALITIES)
                raise ValueError(f"no modality '{modality}'{hint} (known: {', '.join(MODALITIES)})")
        if not modalities:
            raise ValueError(f"expected at least one modality of {', '.join(MODALITIES)}, got none")
        self.camera = camera
        self.modalities = tuple(modalities)
        self.model = camera_model(camera, num_worlds)
        size = camera.height, camera.width
        self.depth_m = np.zeros((num_worlds, *size), np.float32)
        self.semantic = np.zeros((num_worlds if "semantic" in modalities else 0, *size), np.uint8)
        self.color = np.zeros((num_worlds if "color" in modalities else 0, *size, 3), np.uint8)
        surfaces = len(self.semantic) or len(self.color)
        self._hits = np.zeros((num_worlds, *size), np.uint16) if surfaces else None
        self._semantic_table, self._color_table = semantic_table(), color_table()

    def mount(self, world: int, xyz_m: tuple[float, float, float], rpy_rad: tuple[float, float, float]) -> None:
        """Mount one world's camera otherwise than the configuration says, as a robot that was bumped has it.

        Args:
            world: which.
            xyz_m: the camera's centre in the base frame, metres.
            rpy_rad: roll, pitch and yaw (REP-103), radians.

        Raises:
            ValueError: a number isn't finite.
        """
        if not np.isfinite([*xyz_m, *rpy_rad]).all():
            raise ValueError(f"world {world}: a camera's mount must be finite, got {xyz_m} m and {rpy_rad} rad")
        self.model.mount_m[world] = xyz_m
        self.model.base_from_camera[world] = rotation(*rpy_rad)
        self.model.level[world] = rpy_rad[0] == 0.0 and rpy_rad[1] == 0.0

    def adopt(self, world: int, camera: PinholeCamera) -> None:
        """Give one world a camera with intrinsics and a mount of its own; size and range stay.

        Raises:
            ValueError: it has another size.
        """
        if (camera.width, camera.height) != (self.camera.width, self.camera.height):
            raise ValueError(
                f"world {world}: expected a camera of {self.camera.width} x {self.camera.height} pixels, got "
                f"{camera.width} x {camera.height}"
            )
        self.mount(world, camera.mount_xyz_m, camera.mount_rpy_rad)
        self.model.left[world], self.model.down[world] = pixel_tangents(camera)

    def render(self, worlds: np.ndarray, scenes: List, scene_of: np.ndarray, pose: np.ndarray) -> None:
        """Draw some worlds' images; the same to the last bit for any number of threads and any batch.

        Args:
            worlds: int64 [k], which, each once.
            scenes: typed list of tuples that have a `plan`.
            scene_of: int64 [worlds], index into the scenes.
            pose: float64 [worlds, 3], x, y (metres) and yaw (radians) of the robot's base.

        Raises:
            ValueError: a pose isn't finite.
        """
        if not np.isfinite(pose[worlds]).all():
            world = next(w for w in worlds if not np.isfinite(pose[w]).all())
            raise ValueError(f"world {world}: expected a finite pose (x, y in m, yaw in rad), got {pose[world]}")
        _draw(worlds, scenes, scene_of, pose, self.model, self.depth_m, self._hits)
        if self._hits is not None:
            _paint(worlds, self._hits, self._semantic_table, self._color_table, self.semantic, self.color)


def look(scene: Scene, camera: PinholeCamera, poses: np.ndarray, modalities: Sequence[str] = ("depth",)) -> Eyes:
    """Draw what a camera sees from some poses in one scene, without a world.

    Args:
        scene: where.
        camera: the camera.
        poses: float64 [poses, 3], x, y (metres) and yaw (radians) of the robot's base.
        modalities: what to draw.

    Returns:
        Eyes with a world for each pose, rendered.

    Raises:
        ValueError: a pose isn't finite, or there is no such modality.
    """
    at = np.asarray(poses, dtype=np.float64).reshape(-1, 3)
    eyes = Eyes(camera, len(at), modalities)
    eyes.render(np.arange(len(at)), new_seen_list(Seen(plan_of(scene))), np.zeros(len(at), np.int64), at)
    return eyes


@njit(cache=True)
def new_seen_list(item: Seen) -> List:
    """Return a typed list that holds one `Seen` (compiled, so that the list's code is cached)."""
    items = List()
    items.append(item)
    return items


@njit(cache=True, error_model="numpy", fastmath=False)
def draw_world(
    plan: Plan,
    x: float,
    y: float,
    yaw: float,
    camera: CameraModel,
    world: int,
    image: np.ndarray,
    hits: np.ndarray | None,
) -> None:
    """Draw one world: depths, float32 [height, width], and surfaces, uint16 [height, width] or None."""
    image[:] = 0.0
    far = camera.range_m[1]
    if hits is not None:
        hits[:] = 0
        far = np.inf  # class and colour know no range
    mount, turn = camera.mount_m[world], camera.base_from_camera[world]
    left, down, cell = camera.left[world], camera.down[world], plan.cell
    cos, sin = np.cos(yaw), np.sin(yaw)
    u = (x + cos * mount[0] - sin * mount[1] - plan.ox) / cell
    v = (y + sin * mount[0] + cos * mount[1] - plan.oy) / cell
    z = mount[2]
    rows, columns = plan.floor.shape
    if not (0.0 <= u < columns and 0.0 <= v < rows):
        return
    matter = Matter(
        plan.floor.reshape(-1), plan.ceiling.reshape(-1), plan.side_material.reshape(-1),
        plan.floor_material.reshape(-1), plan.ceiling_material.reshape(-1), rows, columns,
    )  # fmt: skip
    at = int(v) * columns + int(u)
    if matter.floor[at] >= matter.ceiling[at] or z < matter.floor[at] or z > matter.ceiling[at]:
        return
    for i in range(left.shape[0]):
        ahead, aside = turn[0, 0] + turn[0, 1] * left[i], turn[1, 0] + turn[1, 1] * left[i]
        if camera.level[world]:
            du, dv = (cos * ahead - sin * aside) / cell, (sin * ahead + cos * aside) / cell
            draw_column(matter, u, v, z, du, dv, down, far, image, hits, i)
            continue
        for j in range(down.shape[0]):
            dx, dy = ahead - turn[0, 2] * down[j], aside - turn[1, 2] * down[j]
            dz = turn[2, 0] + turn[2, 1] * left[i] - turn[2, 2] * down[j]
            du, dv = (cos * dx - sin * dy) / cell, (sin * dx + cos * dy) / cell
            depth, hit = cast_ray(matter, u, v, z, du, dv, dz, far)
            image[j, i] = depth
            if hits is not None:
                hits[j, i] = hit
    _keep_range(image, camera.range_m[0], camera.range_m[1])


@njit(cache=True, error_model="numpy", fastmath=False)
def _keep_range(image: np.ndarray, near_m: float, far_m: float) -> None:
    for j in range(image.shape[0]):
        for i in range(image.shape[1]):
            if not near_m <= image[j, i] <= far_m:
                image[j, i] = 0.0


@njit(cache=True, error_model="numpy", fastmath=False, nogil=True)
def _draw(
    worlds: np.ndarray,
    scenes: List,
    scene_of: np.ndarray,
    pose: np.ndarray,
    camera: CameraModel,
    depth_m: np.ndarray,
    hits: np.ndarray | None,
) -> None:
    """Draw worlds; each writes its own images only, so threads may share them out."""
    for index in range(worlds.size):
        world = worlds[index]
        plan = scenes[scene_of[world]].plan
        x, y, yaw = pose[world, 0], pose[world, 1], pose[world, 2]
        if hits is None:
            draw_world(plan, x, y, yaw, camera, world, depth_m[world], None)
        else:
            draw_world(plan, x, y, yaw, camera, world, depth_m[world], hits[world])


@njit(cache=True, error_model="numpy", fastmath=False, nogil=True)
def _paint(
    worlds: np.ndarray,
    hits: np.ndarray,
    classes: np.ndarray,
    colors: np.ndarray,
    semantic: np.ndarray,
    color: np.ndarray,
) -> None:
    """Turn surfaces into classes and colours, where their images hold worlds at all."""
    for index in range(worlds.size):
        world = worlds[index]
        for j in range(hits.shape[1]):
            for i in range(hits.shape[2]):
                hit = hits[world, j, i]
                if semantic.shape[0] > 0:
                    semantic[world, j, i] = classes[hit]
                if color.shape[0] > 0:
                    color[world, j, i, 0] = colors[hit, 0]
                    color[world, j, i, 1] = colors[hit, 1]
                    color[world, j, i, 2] = colors[hit, 2]
