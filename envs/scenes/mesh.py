"""A scene's surface as triangles: what renderers, viewers and other simulators take."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import trimesh
from numba import njit

from phonotaxis.envs.scenes import materials
from phonotaxis.envs.scenes.scene import Scene


class _Quads(NamedTuple):
    """Rectangles: corners float64 [quads, 4, 3], counter-clockwise seen from the air, and int [quads]."""

    corners: np.ndarray
    material: np.ndarray


def build_mesh(scene: Scene) -> trimesh.Trimesh:
    """Build the exact surface between matter and air.

    Equal neighbouring faces are merged: vertical ones along the wall, horizontal ones into rectangles. Quads
    do not share vertices, so that colours end where materials do.

    Args:
        scene: the scene.

    Returns:
        A mesh in world metres, z up, normals towards the air; `metadata["material"]` holds, as uint8 [faces],
        each face's index into `materials.MATERIALS`, and faces have their materials' colours.
    """
    parts = [
        *_walls(scene, along_x=True),
        *_walls(scene, along_x=False),
        _level(scene, scene.floor_m, scene.floor_material, up=True),
        _level(scene, scene.ceiling_m, scene.ceiling_material, up=False),
    ]
    corners = np.concatenate([part.corners for part in parts])
    material = np.repeat(np.concatenate([part.material for part in parts]), 2).astype(np.uint8)
    first = 4 * np.arange(len(corners))[:, None, None]
    faces = (first + np.array([[0, 1, 2], [0, 2, 3]])).reshape(-1, 3)
    colors = np.array([(*kind.color, 255) for kind in materials.MATERIALS], np.uint8)
    mesh = trimesh.Trimesh(corners.reshape(-1, 3), faces, face_colors=colors[material], process=False)
    mesh.metadata["material"] = material
    return mesh


def export_glb(scene: Scene, path: str | Path) -> None:
    """Write the scene as binary glTF, which is y up: world (x, y, z) becomes (x, z, -y).

    Each material is a mesh of its own that bears the material's name and colour.
    """
    mesh = scene.mesh
    turn = np.array([[1, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 0], [0, 0, 0, 1]], np.float64)
    collection = trimesh.Scene()
    for index in np.unique(mesh.metadata["material"]):
        kind = materials.MATERIALS[index]
        faces = mesh.faces[mesh.metadata["material"] == index]
        used, renamed = np.unique(faces, return_inverse=True)
        look = trimesh.visual.material.PBRMaterial(
            name=kind.name, baseColorFactor=(*kind.color, 255), metallicFactor=0.0, roughnessFactor=0.9
        )
        part = trimesh.Trimesh(
            trimesh.transform_points(mesh.vertices[used], turn),
            renamed.reshape(-1, 3),
            visual=trimesh.visual.TextureVisuals(material=look),
            process=False,
        )
        collection.add_geometry(part, geom_name=kind.name, node_name=kind.name)
    Path(path).write_bytes(trimesh.exchange.gltf.export_glb(collection, include_normals=True))


def _air(scene: Scene) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the air's lower and upper end in every cell (float64, equal in walls) and the material."""
    low = scene.floor_m.astype(np.float64)
    return low, np.where(scene.is_wall, low, scene.ceiling_m.astype(np.float64)), scene.side_material


def _level(scene: Scene, height_m: np.ndarray, material: np.ndarray, up: bool) -> _Quads:
    """Return the faces that look up (floors, tops of furniture) or down (ceilings, lintels)."""
    keys = np.stack([height_m.astype(np.float64), material.astype(np.float64)], axis=-1)
    rects, values = _merged(keys, ~scene.is_wall, both_axes=True)
    x0, y0 = scene.origin_m
    low_y, low_x = y0 + rects[:, 0] * scene.cell_m, x0 + rects[:, 1] * scene.cell_m
    high_y, high_x = y0 + rects[:, 2] * scene.cell_m, x0 + rects[:, 3] * scene.cell_m
    z = values[:, 0]
    loop = [(low_x, low_y, z), (high_x, low_y, z), (high_x, high_y, z), (low_x, high_y, z)]
    return _quads(loop, values[:, 1], reverse=not up)


def _walls(scene: Scene, along_x: bool) -> list[_Quads]:
    """Return the vertical faces between neighbours along x, or along y."""
    low, high, material = _air(scene)
    if not along_x:
        low, high, material = low.T, high.T, material.T
    before, after = (slice(None), slice(None, -1)), (slice(None), slice(1, None))
    quads = []
    for air, matter, towards_lower in ((before, after, True), (after, before, False)):
        solid = high[matter] <= low[matter]
        # What stands on the ground next door, up to the ceiling for a wall; then what hangs down next door.
        base, top = low[air], np.where(solid, high[air], np.minimum(high[air], low[matter]))
        quads.append(_wall_quads(scene, base, top, material[matter], top > base, along_x, towards_lower))
        base, top = np.maximum(low[air], high[matter]), high[air]
        shown = (top > base) & ~solid
        quads.append(_wall_quads(scene, base, top, material[matter], shown, along_x, towards_lower))
    return quads


def _wall_quads(
    scene: Scene,
    base: np.ndarray,
    top: np.ndarray,
    material: np.ndarray,
    shown: np.ndarray,
    along_x: bool,
    towards_lower: bool,
) -> _Quads:
    """Merge the faces of each line of the grid into runs and return them as quads."""
    keys = np.stack([base, top, material.astype(np.float64)], axis=-1)
    rects, values = _merged(keys.swapaxes(0, 1), shown.T, both_axes=False)
    x0, y0 = scene.origin_m if along_x else scene.origin_m[::-1]
    across = x0 + (rects[:, 0] + 1) * scene.cell_m
    start, end = y0 + rects[:, 1] * scene.cell_m, y0 + rects[:, 3] * scene.cell_m
    base, top = values[:, 0], values[:, 1]
    loop = [(across, start, base), (across, end, base), (across, end, top), (across, start, top)]
    if not along_x:
        loop = [(y, x, z) for x, y, z in loop]
    # As listed, the loop turns counter-clockwise seen from +x; exchanging x and y mirrors it.
    return _quads(loop, values[:, 2], reverse=towards_lower == along_x)


def _quads(loop: Sequence[tuple[np.ndarray, ...]], material: np.ndarray, reverse: bool) -> _Quads:
    """Put corner coordinates together."""
    corners = np.stack([np.stack(corner, axis=-1) for corner in loop], axis=1)
    return _Quads(corners[:, ::-1] if reverse else corners, material.astype(np.int64))


def _merged(keys: np.ndarray, shown: np.ndarray, both_axes: bool) -> tuple[np.ndarray, np.ndarray]:
    """Merge equal neighbours.

    Args:
        keys: float64 [rows, columns, values]; faces with equal values may merge.
        shown: bool [rows, columns], where there is a face.
        both_axes: merge into rectangles, else along columns only.

    Returns:
        int64 [rects, 4] (row0, column0, row1, column1; ends excluded) and their values, [rects, values].
    """
    distinct, index = np.unique(keys[shown], axis=0, return_inverse=True)
    labels = np.full(shown.shape, -1, np.int64)
    labels[shown] = index.ravel()
    rects = _greedy(labels, both_axes)
    return rects, distinct[labels[rects[:, 0], rects[:, 1]]].reshape(len(rects), keys.shape[2])


@njit(cache=True, error_model="numpy", fastmath=False)
def _greedy(labels: np.ndarray, both_axes: bool) -> np.ndarray:
    """Cover equal non-negative labels by rectangles: as wide as possible, then as high as possible."""
    rows, columns = labels.shape
    taken = labels < 0
    rects = np.empty((rows * columns, 4), np.int64)
    count = 0
    for row in range(rows):
        for column in range(columns):
            if taken[row, column]:
                continue
            label = labels[row, column]
            end = column + 1
            while end < columns and not taken[row, end] and labels[row, end] == label:
                end += 1
            below = row + 1
            while both_axes and below < rows:
                fits = True
                for c in range(column, end):
                    if taken[below, c] or labels[below, c] != label:
                        fits = False
                        break
                if not fits:
                    break
                below += 1
            taken[row:below, column:end] = True
            rects[count] = (row, column, below, end)
            count += 1
    return rects[:count].copy()
