"""Wall faces: the vertical rectangles that mirror a source."""

from __future__ import annotations

import numpy as np

from phonotaxis.envs.scenes.scene import Scene

FACE_FIELDS = ("axis", "offset_m", "low_m", "high_m", "normal", "material")
MAX_FACES = 4096  # the longest are kept: a noisy map has thousands of slivers that mirror next to nothing


def wall_faces(scene: Scene) -> np.ndarray:
    """Find the faces of full-height walls that open air touches, merged where they continue.

    Returns:
        float32 [faces, 6], columns of `FACE_FIELDS`: axis 0 is a plane of constant x, 1 of constant y, at
        `offset_m`, spanning `low_m`..`high_m` along the other axis; `normal` is ±1, towards the open air;
        `material` an index of `materials.MATERIALS`.
    """
    wall = scene.is_wall
    material = scene.side_material.astype(np.int16)
    faces: list[tuple[float, ...]] = []
    _collect(faces, 0, wall, material, scene)
    _collect(faces, 1, wall.T, material.T, scene)
    found = np.array(faces, dtype=np.float32).reshape(-1, len(FACE_FIELDS))
    order = np.argsort(-(found[:, 3] - found[:, 2]), kind="stable")
    return np.ascontiguousarray(found[order[:MAX_FACES]])


def _collect(faces: list[tuple[float, ...]], axis: int, wall: np.ndarray, material: np.ndarray, scene: Scene) -> None:
    """Append the faces between neighbouring columns of `wall`, merged along its rows."""
    origin = scene.origin_m[axis]
    across = scene.origin_m[1 - axis]
    for normal in (1, -1):
        left, right = wall[:, :-1], wall[:, 1:]
        solid, air = (left, right) if normal == 1 else (right, left)
        code = np.where(solid & ~air, (material[:, :-1] if normal == 1 else material[:, 1:]) + 1, 0)
        change = np.diff(code, axis=0, prepend=0, append=0)  # a run starts or ends where the code changes
        for column in np.flatnonzero(code.any(axis=0)):
            bounds = np.flatnonzero(change[:, column])
            for low, high in zip(bounds[:-1], bounds[1:]):
                if code[low, column]:
                    faces.append(
                        (
                            axis,
                            origin + (column + 1) * scene.cell_m,
                            across + low * scene.cell_m,
                            across + high * scene.cell_m,
                            normal,
                            code[low, column] - 1,
                        )
                    )
