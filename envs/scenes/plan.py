"""A scene's plan as kernels take it: one named tuple of arrays and scalars."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from phonotaxis.envs.scenes.scene import Scene


class Plan(NamedTuple):
    """The fields of a `Scene` that kernels read; all arrays are [rows, columns]."""

    floor: np.ndarray  # float32, metres
    ceiling: np.ndarray  # float32, metres
    side_material: np.ndarray  # uint8
    floor_material: np.ndarray  # uint8
    ceiling_material: np.ndarray  # uint8
    cell: float  # metres
    inv: float  # 1 / metres
    ox: float  # metres
    oy: float  # metres
    height: float  # metres


def plan_of(scene: Scene) -> Plan:
    """Return a scene's plan."""
    return Plan(
        np.ascontiguousarray(scene.floor_m, dtype=np.float32),
        np.ascontiguousarray(scene.ceiling_m, dtype=np.float32),
        np.ascontiguousarray(scene.side_material, dtype=np.uint8),
        np.ascontiguousarray(scene.floor_material, dtype=np.uint8),
        np.ascontiguousarray(scene.ceiling_material, dtype=np.uint8),
        float(scene.cell_m),
        1.0 / float(scene.cell_m),
        float(scene.origin_m[0]),
        float(scene.origin_m[1]),
        float(scene.height_m),
    )
