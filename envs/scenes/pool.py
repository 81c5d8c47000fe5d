"""Scenes side by side in flat arrays, so that one kernel call serves worlds in different scenes."""

from __future__ import annotations

import numpy as np

from phonotaxis.envs.scenes.scene import Scene, SceneError


class ScenePool:
    """A fixed number of slots, each holding one scene's plan, row after row.

    Cell [row, column] of the scene in slot `s` is at `[s, row * columns[s] + column]`; cells behind a plan's
    last are wall. The arrays are replaced by larger ones when a larger scene is put in: take them anew
    from the pool for each kernel call.

    Attributes:
        floor_m: float32 [slots, max_cells], top of the matter below, metres.
        ceiling_m: float32 [slots, max_cells], underside of the matter above, metres.
        side_material: uint8 [slots, max_cells], index into `materials.MATERIALS`.
        floor_material: uint8 [slots, max_cells].
        ceiling_material: uint8 [slots, max_cells].
        rows: int32 [slots]; 0 in an empty slot.
        columns: int32 [slots].
        origin_m: float64 [slots, 2], world x, y of the plan's lower left corner, metres.
        cell_m: float64 [slots], edge of a cell, metres.
        scenes: the scene of each slot, or None.
    """

    _GRIDS = ("floor_m", "ceiling_m", "side_material", "floor_material", "ceiling_material")

    def __init__(self, slots: int, max_cells: int = 4096) -> None:
        """Make an empty pool.

        Args:
            slots: number of scenes it can hold.
            max_cells: cells to hold room for at first.
        """
        if slots < 1 or max_cells < 1:
            raise ValueError(f"expected at least 1 slot and 1 cell, got {slots} and {max_cells}")
        self.floor_m = np.zeros((slots, max_cells), np.float32)
        self.ceiling_m = np.zeros((slots, max_cells), np.float32)
        self.side_material = np.zeros((slots, max_cells), np.uint8)
        self.floor_material = np.zeros((slots, max_cells), np.uint8)
        self.ceiling_material = np.zeros((slots, max_cells), np.uint8)
        self.rows = np.zeros(slots, np.int32)
        self.columns = np.zeros(slots, np.int32)
        self.origin_m = np.zeros((slots, 2), np.float64)
        self.cell_m = np.ones(slots, np.float64)
        self.scenes: list[Scene | None] = [None] * slots

    @property
    def slots(self) -> int:
        """Number of scenes the pool can hold."""
        return len(self.scenes)

    @property
    def max_cells(self) -> int:
        """Cells a slot has room for now."""
        return int(self.floor_m.shape[1])

    def put(self, slot: int, scene: Scene) -> None:
        """Copy a scene into a slot, in place of what was there.

        Raises:
            IndexError: no such slot.
            SceneError: the plan's outermost ring isn't all wall, so rays would leave the array.
        """
        if not 0 <= slot < self.slots:
            raise IndexError(f"slot {slot} of a pool of {self.slots}")
        walls = scene.is_wall
        if not (walls[0].all() and walls[-1].all() and walls[:, 0].all() and walls[:, -1].all()):
            raise SceneError(f"{scene.name}: the outermost ring of cells must be wall (floor_m >= ceiling_m)")
        rows, columns = scene.shape
        cells = rows * columns
        if cells > self.max_cells:
            self._grow(cells)
        for name in self._GRIDS:
            grid = getattr(self, name)
            grid[slot, :cells] = getattr(scene, name).ravel()
            grid[slot, cells:] = 0
        self.rows[slot], self.columns[slot] = rows, columns
        self.origin_m[slot] = scene.origin_m
        self.cell_m[slot] = scene.cell_m
        self.scenes[slot] = scene

    def _grow(self, cells: int) -> None:
        """Make room for at least this many cells a slot."""
        for name in self._GRIDS:
            old = getattr(self, name)
            new = np.zeros((self.slots, cells), old.dtype)
            new[:, : old.shape[1]] = old
            setattr(self, name, new)
