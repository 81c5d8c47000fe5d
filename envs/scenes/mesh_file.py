"""Mesh files (glTF, OBJ, PLY) as scenes: cut into cells, each with matter below, open air and matter above."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field
from scipy import ndimage

from phonotaxis.envs.scenes.materials import INDEX
from phonotaxis.envs.scenes.mesh_air import LEAST_AIR_M, Air, AirOptions, find_air
from phonotaxis.envs.scenes.mesh_edges import trim
from phonotaxis.envs.scenes.mesh_frame import Frame, beside, extent_text, find_frame, to_world
from phonotaxis.envs.scenes.mesh_materials import part_materials
from phonotaxis.envs.scenes.mesh_surface import Surface, read_surface
from phonotaxis.envs.scenes.moved import moved_info, offset_m
from phonotaxis.envs.scenes.options import SurfaceOptions, read_options
from phonotaxis.envs.scenes.rasterise import gaps_of, spans_of
from phonotaxis.envs.scenes.scene import Scene, SceneError

MOST_CELLS = 4096  # along either side


class MeshOptions(SurfaceOptions):
    """How a mesh becomes a plan. `walls`, `floor` and `ceiling` hold where names in the file say nothing.

    Attributes:
        up: the file's axis that points up; `auto` takes it from a stage configuration of habitat-sim beside
            the file, finds it or asks.
        unit_m: length of the file's unit in metres; likewise by default.
        cell_m: edge of a cell.
        floor_z_m: height of the floor in the mesh, in metres along its up axis; the level with the most room
            to stand on by default.
        ceiling_m: height above the floor where the mesh has no ceiling; by default that of the rest of it,
            or 2.6 m over open meshes.
        robot_radius_m: of the robot for which the largest drivable part is kept.
        robot_height_m: of it.
        materials: material by a name in the file: of a material, class, node or geometry.
    """

    up: Literal["auto", "x", "y", "z"] = "auto"
    unit_m: float | None = Field(default=None, gt=0.0, le=1000.0)
    cell_m: float = Field(default=0.1, ge=0.02, le=0.5)
    floor_z_m: float | None = None
    ceiling_m: float | None = Field(default=None, ge=1.0, le=20.0)
    robot_radius_m: float = Field(default=0.18, gt=0.0, le=2.0)
    robot_height_m: float = Field(default=0.6, gt=0.1, le=3.0)
    materials: dict[str, str] = {}


def load_mesh_file(name: str, seed: int, options: dict[str, Any]) -> Scene:
    """Load a mesh; the seed plays no part.

    The scene's x and y are the mesh's, in metres and turned z up; its z is 0 on the floor. A mesh that lies over 10 km
    from their origin is moved there. `info` says so, and what was found: up, unit, floor, ceiling and materials.

    Args:
        name: path of the file.
        seed: not used.
        options: of `MeshOptions`.

    Raises:
        SceneError: the file or an option can't be used, up or unit have to be asked for, or no robot can
            stand in it.
    """
    config = read_options(MeshOptions, options, name)
    path = Path(name)
    surface = read_surface(path)
    given, found = part_materials(name, surface.parts, config.materials, config)
    up, unit_m = _said(path, config)
    y_by_standard = path.suffix.lower() in (".glb", ".gltf")
    frame = find_frame(name, surface.triangles, up, unit_m, y_by_standard)
    scene = _scene(name, surface, frame, config, given)
    scene.info["materials"] = found
    return scene


def _said(path: Path, config: MeshOptions) -> tuple[str, float | None]:
    """Return up and unit as the options say, else as a file beside the mesh does, else what asks to find them."""
    if config.up != "auto" and config.unit_m is not None:
        return config.up, config.unit_m
    up, unit_m = beside(path)
    return (up if config.up == "auto" else config.up), (unit_m if config.unit_m is None else config.unit_m)


def _scene(name: str, surface: Surface, frame: Frame, config: MeshOptions, given: np.ndarray) -> Scene:
    triangles = to_world(surface.triangles, frame)
    moved = offset_m(triangles.reshape(-1, 3).min(axis=0))
    triangles = triangles - moved
    origin, shape = _grid(name, triangles, config.cell_m, frame)
    try:
        spans = spans_of(triangles, config.cell_m, origin, shape)
    except MemoryError as error:
        raise SceneError(f"{name}: {error}; simplify the mesh or give a larger cell_m") from None
    gaps = gaps_of(spans, shape[0] * shape[1], LEAST_AIR_M)
    floor_z_m = None if config.floor_z_m is None else config.floor_z_m - float(moved[2])
    robot = AirOptions(config.robot_radius_m, config.robot_height_m, floor_z_m, config.ceiling_m)
    air = find_air(name, gaps, _normal_z(triangles), shape, config.cell_m, robot)
    side = gaps.side.reshape(shape)
    air = trim(air, side, triangles, origin, config.cell_m)
    rows, columns, origin = _cropped(air, config.cell_m, origin)
    air = air._replace(**{key: getattr(air, key)[rows, columns] for key in ("floor_m", "ceiling_m", "below", "above")})
    open_cells = air.floor_m < air.ceiling_m
    material = given[surface.part]  # int16 [triangles]
    return Scene(
        name=name,
        cell_m=config.cell_m,
        origin_m=origin,
        floor_m=air.floor_m,
        ceiling_m=air.ceiling_m,
        height_m=float(air.ceiling_m.max()),
        side_material=_faces(_nearest(side[rows, columns]), material, config.walls),
        floor_material=_faces(air.below, material, config.floor),
        ceiling_material=_faces(air.above, material, config.ceiling),
        room=np.where(open_cells, 0, -1).astype(np.int16),
        info=_info(surface, frame, air, moved),
    )


def _grid(name: str, triangles: np.ndarray, cell_m: float, frame: Frame) -> tuple[tuple[float, float], tuple[int, int]]:
    """Return the lower left corner and the rows and columns of a grid with two empty rings around the mesh.

    The mesh's lowest x and y lie on the grid's lines, and so do faces at whole multiples of the cell from there.
    """
    points = triangles.reshape(-1, 3)
    low, high = points.min(axis=0), points.max(axis=0)
    # One more for a face on the far edge, which belongs to the cell beyond it.
    columns, rows = (int(np.floor((high[axis] - low[axis]) / cell_m + 0.01)) + 1 + 4 for axis in (0, 1))
    if max(rows, columns) > MOST_CELLS:
        raise SceneError(
            f"{name}: {extent_text(triangles)} m with {frame.up} up and a unit of {frame.unit_m:g} m are {columns} x "
            f"{rows} cells of {cell_m:g} m, more than {MOST_CELLS} along a side; check the options unit_m and up, or "
            "give a larger cell_m"
        )
    return (float(low[0]) - 2.0 * cell_m, float(low[1]) - 2.0 * cell_m), (rows, columns)


def _normal_z(triangles: np.ndarray) -> np.ndarray:
    normal = np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])
    return np.asarray(normal[:, 2] / np.linalg.norm(normal, axis=1))


def _cropped(air: Air, cell_m: float, origin_m: tuple[float, float]) -> tuple[slice, slice, tuple[float, float]]:
    """Return what to keep of the grid, the open cells and a ring of wall, and the new lower left corner."""
    open_cells = air.floor_m < air.ceiling_m
    rows, columns = np.flatnonzero(open_cells.any(axis=1)), np.flatnonzero(open_cells.any(axis=0))
    row, column = int(rows[0]) - 1, int(columns[0]) - 1
    origin = (origin_m[0] + column * cell_m, origin_m[1] + row * cell_m)
    return slice(row, int(rows[-1]) + 2), slice(column, int(columns[-1]) + 2), origin


def _nearest(triangle: np.ndarray) -> np.ndarray:
    """Fill cells without a triangle (-1) from the nearest cell with one."""
    if (triangle < 0).all():
        return triangle
    index = ndimage.distance_transform_edt(triangle < 0, return_distances=False, return_indices=True)
    return np.asarray(triangle[tuple(index)])


def _faces(triangle: np.ndarray, material: np.ndarray, default: str) -> np.ndarray:
    """Return the materials of cells' faces, uint8, by their triangles (-1: none)."""
    known = np.where(triangle >= 0, material[triangle], -1)
    return np.where(known >= 0, known, INDEX[default]).astype(np.uint8)


def _info(surface: Surface, frame: Frame, air: Air, moved_m: np.ndarray) -> dict[str, str]:
    info = {
        "source": "mesh_file",
        "triangles": str(len(surface.triangles)),
        "up": f"{frame.up} ({frame.up_reason})",
        "unit": f"{frame.unit_m:g} m ({frame.unit_reason})",
        "floor": f"at z = {air.floor_z_m + moved_m[2]:.3f} m of the mesh",
        "ceiling": f"over {100.0 * air.covered:.0f} % of the floor; elsewhere {air.open_ceiling_m:.2f} m is assumed",
    }
    return info | moved_info(moved_m)
