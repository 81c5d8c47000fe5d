"""How far what is drawn agrees with independent ray casting: embree on the scene's triangles."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from phonotaxis.configs.contract import PinholeCamera
from phonotaxis.envs.scenes.scene import Scene
from phonotaxis.envs.vision.camera import rotation
from phonotaxis.envs.vision.eyes import look
from phonotaxis.envs.vision.surfaces import FACE_BITS, FACE_UP, semantic_table

TOLERANCE_M = 0.01


class Agreement(NamedTuple):
    """Shares of pixels, 0..1, and how many were compared."""

    depth: float  # depths within `TOLERANCE_M`, unknown alike
    semantic: float  # classes the same
    pixels: int


def depth_agreement(scene: Scene, poses: np.ndarray, camera: PinholeCamera) -> Agreement:
    """Compare the eyes' images with embree's, pixel by pixel.

    Args:
        scene: where.
        poses: float64 [poses, 3], x, y (metres) and yaw (radians) of the robot's base, the camera in open air.
        camera: the camera.

    Raises:
        ImportError: embreex isn't installed; it comes with `phonotaxis[dev]` on x86-64.
    """
    from trimesh.ray.ray_pyembree import RayMeshIntersector

    caster = RayMeshIntersector(scene.mesh)
    classes = semantic_table()[(scene.mesh.metadata["material"].astype(np.int64) << FACE_BITS) | FACE_UP]
    eyes = look(scene, camera, poses, ("depth", "semantic"))
    same_depth = same_class = 0
    for index, pose in enumerate(np.asarray(poses, dtype=np.float64).reshape(-1, 3)):
        depth_m, face = _cast(caster, *_rays(pose, camera), scene)
        known = (depth_m >= camera.min_range_m) & (depth_m <= camera.max_range_m)
        error_m = np.abs(np.where(known, depth_m, 0.0) - eyes.depth_m[index].ravel())
        same_depth += int(np.count_nonzero(error_m <= TOLERANCE_M))
        same_class += int(np.count_nonzero(np.where(face >= 0, classes[face], 0) == eyes.semantic[index].ravel()))
    pixels = eyes.depth_m.size
    return Agreement(same_depth / pixels, same_class / pixels, pixels)


def _rays(pose: np.ndarray, camera: PinholeCamera) -> tuple[np.ndarray, np.ndarray]:
    """Return the camera's centre, float64 [3], and each pixel's direction per metre of depth, [pixels, 3]."""
    world_from_base = rotation(0.0, 0.0, pose[2])
    centre = np.array([pose[0], pose[1], 0.0]) + world_from_base @ np.array(camera.mount_xyz_m)
    row, column = np.mgrid[: camera.height, : camera.width].reshape(2, -1)
    ahead = np.ones(row.size)
    left = (camera.cx - column - 0.5) / camera.fx
    up = (camera.cy - row - 0.5) / camera.fy
    return centre, np.stack([ahead, left, up], axis=1) @ (world_from_base @ rotation(*camera.mount_rpy_rad)).T


def _cast(caster: Any, centre: np.ndarray, rays: np.ndarray, scene: Scene) -> tuple[np.ndarray, np.ndarray]:
    """Return each ray's depth in metres (infinity where nothing is met) and the face it meets first (or -1).

    Embree computes in single precision: it tells which face is met, and the plane of that face where.
    """
    lengths = np.linalg.norm(rays, axis=1)
    face = np.asarray(
        caster.intersects_first(ray_origins=np.tile(centre, (len(rays), 1)), ray_directions=rays / lengths[:, None])
    )
    normal, point = scene.mesh.face_normals[face], scene.mesh.triangles[face, 0]
    with np.errstate(divide="ignore", invalid="ignore"):
        depth_m = np.einsum("ij,ij->i", point - centre, normal) / np.einsum("ij,ij->i", rays, normal)
    return np.where(face >= 0, depth_m, np.inf), face
