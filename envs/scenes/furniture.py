"""Furniture: boxes with real heights, placed so that every door can be used and every free spot reached."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from phonotaxis.envs.scenes.floor_plan import Door, FloorPlan, Rect
from phonotaxis.envs.scenes.materials import INDEX
from phonotaxis.envs.scenes.walk import components, edge_distance

STUB_CELLS = 6  # depth of the doorway that stands for the room behind it
_TRIES, _TRIES_FIRST = 6, 60  # places that are tried for a piece, and for the one that makes the room
DOOR_CLEARANCE_CELLS = 8  # floor kept free in front of a door


class Piece(NamedTuple):
    """A kind of furniture: its extent along the wall and away from it, its height (metres), its material."""

    name: str
    along_m: tuple[float, float]
    deep_m: tuple[float, float]
    height_m: tuple[float, float]
    material: str
    at_wall: bool = True


_BED = Piece("bed", (1.4, 1.8), (2.0, 2.1), (0.45, 0.55), "bed")
_SOFA = Piece("sofa", (1.6, 2.2), (0.8, 0.9), (0.75, 0.85), "upholstery")
_ARMCHAIR = Piece("armchair", (0.8, 0.9), (0.8, 0.9), (0.75, 0.9), "upholstery")
_TABLE = Piece("table", (1.2, 1.8), (0.8, 0.9), (0.72, 0.78), "cabinet", at_wall=False)
_LOW_TABLE = Piece("low table", (0.8, 1.2), (0.5, 0.6), (0.4, 0.45), "cabinet", at_wall=False)
_DESK = Piece("desk", (1.2, 1.6), (0.6, 0.7), (0.72, 0.76), "cabinet")
_BOOKSHELF = Piece("bookshelf", (0.8, 1.6), (0.3, 0.4), (1.7, 2.0), "bookshelf")
_WARDROBE = Piece("wardrobe", (1.2, 2.0), (0.6, 0.6), (1.9, 2.1), "cabinet")
_SIDEBOARD = Piece("sideboard", (1.0, 1.6), (0.4, 0.5), (0.8, 0.95), "cabinet")
_COUNTER = Piece("counter", (1.8, 2.6), (0.6, 0.6), (0.88, 0.92), "cabinet")
_FRIDGE = Piece("fridge", (0.6, 0.7), (0.6, 0.7), (1.6, 1.9), "cabinet")
_BATHTUB = Piece("bathtub", (1.5, 1.7), (0.7, 0.8), (0.5, 0.6), "tiles")
_TOILET = Piece("toilet", (0.4, 0.4), (0.6, 0.7), (0.4, 0.45), "tiles")
_BASIN = Piece("basin", (0.5, 0.8), (0.5, 0.5), (0.8, 0.85), "tiles")

# The first piece is what makes the room; it is left out only where it fits nowhere.
FURNITURE: dict[str, tuple[Piece, ...]] = {
    "living room": (_SOFA, _LOW_TABLE, _BOOKSHELF, _SIDEBOARD, _ARMCHAIR, _BOOKSHELF),
    "bedroom": (_BED, _WARDROBE, _SIDEBOARD, _ARMCHAIR),
    "kitchen": (_COUNTER, _FRIDGE, _TABLE, _COUNTER),
    "bathroom": (_TOILET, _BATHTUB, _BASIN, _SIDEBOARD),
    "study": (_DESK, _BOOKSHELF, _BOOKSHELF, _ARMCHAIR, _SIDEBOARD),
    "dining room": (_TABLE, _SIDEBOARD, _BOOKSHELF, _SIDEBOARD),
    "hall": (_SIDEBOARD, _WARDROBE),
}


class Box(NamedTuple):
    """One placed piece: its cells, its height in metres and its material's index."""

    cells: Rect
    height_m: float
    material: int


def furnish(
    random: np.random.Generator,
    plan: FloorPlan,
    room: int,
    kind: str,
    density: float,
    cell_m: float,
    walker_radius_m: float,
) -> list[Box]:
    """Place a room's furniture.

    Args:
        random: the source of all chance.
        plan: rooms and doors.
        room: number of the room.
        kind: key of `FURNITURE`.
        density: share of the room's pieces that are tried, 0..1; above 0, what makes the room always is.
        cell_m: edge of a cell, metres.
        walker_radius_m: what has to be able to reach every spot it fits.

    Returns:
        The pieces that found a place. A piece that would block a door or cut the floor in two is left out.
    """
    rect = plan.rooms[room]
    doors = [door for door in plan.doors if room in door.rooms]
    blocked = _stage(rect, doors)
    reserved = _in_front_of_doors(rect, doors)
    boxes: list[Box] = []
    for number, piece in enumerate(FURNITURE[kind]):
        makes_the_room = number == 0 and density > 0.0
        if random.random() >= density and not makes_the_room:
            continue
        for _ in range(_TRIES_FIRST if makes_the_room else _TRIES):
            cells = _draw_place(random, piece, rect, cell_m)
            if cells is not None and _fits(cells, rect, blocked, reserved, walker_radius_m / cell_m):
                boxes.append(Box(cells, round(random.uniform(*piece.height_m), 2), INDEX[piece.material]))
                break
    return boxes


def _stage(rect: Rect, doors: list[Door]) -> np.ndarray:
    """Return what is blocked of the room alone, bool [rows + 2 stubs, columns + 2 stubs]; doors end there."""
    pad = STUB_CELLS
    blocked = np.ones((rect.rows + 2 * pad, rect.columns + 2 * pad), bool)
    blocked[pad:-pad, pad:-pad] = False
    for door in doors:
        row0, row1 = door.cells.row0 - rect.row0 + pad, door.cells.row1 - rect.row0 + pad
        column0, column1 = door.cells.column0 - rect.column0 + pad, door.cells.column1 - rect.column0 + pad
        if door.along_columns:
            inward = slice(1, pad) if column0 < pad else slice(-pad, -1)
            blocked[row0:row1, inward] = False
        else:
            inward = slice(1, pad) if row0 < pad else slice(-pad, -1)
            blocked[inward, column0:column1] = False
    return blocked


def _in_front_of_doors(rect: Rect, doors: list[Door]) -> np.ndarray:
    """Return the floor that no piece may take, bool [rows, columns] of the room."""
    kept = np.zeros((rect.rows, rect.columns), bool)
    for door in doors:
        deep_r, deep_c = (1, DOOR_CLEARANCE_CELLS) if door.along_columns else (DOOR_CLEARANCE_CELLS, 1)
        row0, row1 = door.cells.row0 - rect.row0 - deep_r, door.cells.row1 - rect.row0 + deep_r
        column0, column1 = (
            door.cells.column0 - rect.column0 - deep_c,
            door.cells.column1 - rect.column0 + deep_c,
        )
        kept[max(row0, 0) : max(row1, 0), max(column0, 0) : max(column1, 0)] = True
    return kept


def _draw_place(random: np.random.Generator, piece: Piece, rect: Rect, cell_m: float) -> Rect | None:
    """Draw where a piece could stand; None where the room is too small for it."""
    along = round(random.uniform(*piece.along_m) / cell_m)
    deep = round(random.uniform(*piece.deep_m) / cell_m)
    side = int(random.integers(0, 4))  # of the room: low row, high row, low column, high column
    place = random.random()
    rows, columns = (deep, along) if side < 2 else (along, deep)
    if rows > rect.rows - 8 or columns > rect.columns - 8:
        return None
    if not piece.at_wall:
        row0 = rect.row0 + 4 + round(place * (rect.rows - rows - 8))
        column0 = rect.column0 + 4 + round(random.random() * (rect.columns - columns - 8))
    elif side < 2:
        row0 = rect.row0 if side == 0 else rect.row1 - rows
        column0 = rect.column0 + round(place * (rect.columns - columns))
    else:
        column0 = rect.column0 if side == 2 else rect.column1 - columns
        row0 = rect.row0 + round(place * (rect.rows - rows))
    return Rect(row0, column0, row0 + rows, column0 + columns)


def _fits(cells: Rect, rect: Rect, blocked: np.ndarray, reserved: np.ndarray, radius_cells: float) -> bool:
    """Put a piece on the stage if the floor stays whole; tell whether it did."""
    rows = slice(cells.row0 - rect.row0, cells.row1 - rect.row0)
    columns = slice(cells.column0 - rect.column0, cells.column1 - rect.column0)
    if reserved[rows, columns].any():
        return False
    pad = STUB_CELLS
    window = (slice(rows.start + pad, rows.stop + pad), slice(columns.start + pad, columns.stop + pad))
    if blocked[window].any():
        return False
    blocked[window] = True
    if components(edge_distance(blocked) >= radius_cells + 0.5 - 1e-5) == 1:
        return True
    blocked[window] = False
    return False
