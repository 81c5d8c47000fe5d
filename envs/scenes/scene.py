"""A scene: an extruded floor plan of cells, each with matter below, open air, and matter above."""

from __future__ import annotations

import hashlib
import zlib
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import trimesh


class SceneError(ValueError):
    """A scene that can't be built or used; the message says what is wrong with it and what to do."""


@dataclass(frozen=True, eq=False)
class Scene:
    """A floor plan of square cells, extruded.

    In cell [row, column], whose lower corner is at `origin_m + (column, row) * cell_m`, matter is solid from
    the ground to `floor_m` and from `ceiling_m` up; the air between is open. A wall is solid all the way
    (`floor_m >= ceiling_m`). The outermost ring of cells is always wall, so that no ray leaves the scene.

    Attributes:
        name: what the scene was loaded from, e.g. `apartment:3` or a map's path; for people.
        content: what a scene from a file holds, as `digest` gives it, so that its draws don't depend on how its path
            is spelt; empty where the name says it all.
        cell_m: edge of a cell, metres.
        origin_m: world x, y of the plan's lower left corner, metres.
        floor_m: float32 [rows, columns], top of the matter below, metres; 0 on open floor.
        ceiling_m: float32 [rows, columns], underside of the matter above, metres.
        height_m: highest ceiling, metres.
        side_material: uint8 [rows, columns], index into `materials.MATERIALS` of the cell's vertical faces.
        floor_material: uint8 [rows, columns], of the face that looks up.
        ceiling_material: uint8 [rows, columns], of the face that looks down.
        room: int16 [rows, columns], number of the room; -1 in walls.
        absorption_scale: factor on what its materials absorb, each band up to 1.
        scattering_scale: factor on what they scatter, likewise.
    """

    name: str
    cell_m: float
    origin_m: tuple[float, float]
    floor_m: np.ndarray
    ceiling_m: np.ndarray
    height_m: float
    side_material: np.ndarray
    floor_material: np.ndarray
    ceiling_material: np.ndarray
    room: np.ndarray
    info: dict[str, str] = field(default_factory=dict)
    absorption_scale: float = 1.0
    scattering_scale: float = 1.0
    content: str = ""
    # What `walk` has worked out so far.
    cache: dict[object, object] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        shape = self.floor_m.shape
        grids = ("floor_m", "ceiling_m", "side_material", "floor_material", "ceiling_material", "room")
        if len(shape) != 2 or min(shape) < 3 or any(getattr(self, name).shape != shape for name in grids):
            shapes = ", ".join(f"{name} {list(getattr(self, name).shape)}" for name in grids)
            raise SceneError(f"{self.name}: grids must share one shape of at least 3 x 3 cells, got {shapes}")
        walls = self.is_wall
        if not (walls[0].all() and walls[-1].all() and walls[:, 0].all() and walls[:, -1].all()):
            raise SceneError(f"{self.name}: the outermost ring of cells must be wall (floor_m >= ceiling_m)")

    @property
    def key(self) -> int:
        """Of the scene's draws, 32 bits: places and headings of its sources, and the pulses of its late fields."""
        return zlib.crc32((self.content or self.name).encode())

    def digest(self) -> str:
        """Return 32 hex digits over plan, heights and materials, whatever the scene is called."""
        grids = (self.floor_m, self.ceiling_m, self.side_material, self.floor_material, self.ceiling_material)
        digest = hashlib.sha256(repr(self.shape).encode())
        for array in (np.array([self.cell_m, *self.origin_m, self.height_m]), *grids):
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()[:32]

    @property
    def shape(self) -> tuple[int, int]:
        """Rows (y) and columns (x) of the plan."""
        rows, columns = self.floor_m.shape
        return rows, columns

    @property
    def is_wall(self) -> np.ndarray:
        """Bool [rows, columns]: solid from ground to ceiling."""
        return self.floor_m >= self.ceiling_m

    @cached_property
    def mesh(self) -> trimesh.Trimesh:
        """The surface as triangles in world metres, z up; `metadata["material"]` indexes one per face."""
        from phonotaxis.envs.scenes.mesh import build_mesh

        return build_mesh(self)

    def cell_of(self, x_m: float, y_m: float) -> tuple[int, int]:
        """Return the row and column of the cell that holds a point (which may lie outside the plan)."""
        inv = 1.0 / self.cell_m  # as kernels have it, so that both find the same cell on a border
        column = int(np.floor((x_m - self.origin_m[0]) * inv))
        row = int(np.floor((y_m - self.origin_m[1]) * inv))
        return row, column

    def centre_of(self, row: int, column: int) -> tuple[float, float]:
        """Return the world x, y of a cell's centre, metres."""
        return (
            self.origin_m[0] + (column + 0.5) * self.cell_m,
            self.origin_m[1] + (row + 0.5) * self.cell_m,
        )

    def walkable(self, radius_m: float = 0.18, height_m: float = 0.6) -> np.ndarray:
        """Bool [rows, columns]: a disc of this radius and height can stand with its centre in the cell."""
        from phonotaxis.envs.scenes.walk import walkable

        return walkable(self, radius_m, height_m)

    def geodesic_distance_m(self, a: tuple[float, ...], b: tuple[float, ...], radius_m: float = 0.18) -> float:
        """Return the length of the shortest walk between two points, metres; infinity where there is none.

        Args:
            a: world x, y (further coordinates are ignored), metres.
            b: likewise.
            radius_m: of the disc that walks.
        """
        from phonotaxis.envs.scenes.walk import walk

        return walk(self, a, b, radius_m)[0]

    def shortest_path(
        self, a: tuple[float, ...], b: tuple[float, ...], radius_m: float = 0.18, height_m: float = 0.6
    ) -> np.ndarray:
        """Return the way-points of the shortest walk, float64 [points, 2], metres; empty without one."""
        from phonotaxis.envs.scenes.walk import walk

        return walk(self, a, b, radius_m, height_m)[1]
