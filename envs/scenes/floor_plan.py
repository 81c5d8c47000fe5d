"""Floor plans of procedural apartments: a rectangle split into rooms, and doors that join them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

SHORTEST_SIDE_CELLS = 21
DOOR_POST_CELLS = 1  # wall that stays between a door and the room's corner


class Rect(NamedTuple):
    """A rectangle of cells: rows `row0` to `row1` and columns `column0` to `column1`, ends excluded."""

    row0: int
    column0: int
    row1: int
    column1: int

    @property
    def rows(self) -> int:
        """Number of rows."""
        return self.row1 - self.row0

    @property
    def columns(self) -> int:
        """Number of columns."""
        return self.column1 - self.column0

    @property
    def window(self) -> tuple[slice, slice]:
        """The rectangle as an index into the plan."""
        return slice(self.row0, self.row1), slice(self.column0, self.column1)


class Door(NamedTuple):
    """A doorway: the cells of the wall it pierces, the rooms it joins and the way it leads."""

    cells: Rect
    rooms: tuple[int, int]
    along_columns: bool  # one walks through it along x


class FloorPlan(NamedTuple):
    """Rooms and doors on a grid of `rows` by `columns` cells, its outer wall included."""

    rows: int
    columns: int
    rooms: tuple[Rect, ...]
    doors: tuple[Door, ...]
    wall_cells: int


def draw_floor_plan(
    random: np.random.Generator,
    areas_cells: np.ndarray,
    wall_cells: int,
    door_cells: int,
    extra_door_probability: float,
) -> FloorPlan | None:
    """Draw one floor plan.

    Args:
        random: the source of all chance.
        areas_cells: float64 [rooms], wanted areas, in cells; they set the size of the whole and the splits.
        wall_cells: thickness of the walls.
        door_cells: width of the doors.
        extra_door_probability: of a door in a wall that the spanning tree leaves closed.

    Returns:
        The plan, or None where this draw leads to a room that is too narrow or that no door reaches.
    """
    total = float(areas_cells.sum())
    aspect = random.uniform(1.0, 1.8)
    long_side, short_side = round(np.sqrt(total * aspect)), round(np.sqrt(total / aspect))
    rows, columns = (short_side, long_side) if random.random() < 0.5 else (long_side, short_side)
    border = max(wall_cells, 2)
    whole = Rect(border, border, border + rows, border + columns)
    rooms = _split(random, whole, areas_cells, wall_cells)
    if rooms is None:
        return None
    doors = _place_doors(random, rooms, wall_cells, door_cells, extra_door_probability)
    if doors is None:
        return None
    return FloorPlan(rows + 2 * border, columns + 2 * border, tuple(rooms), tuple(doors), wall_cells)


def _split(random: np.random.Generator, rect: Rect, areas_cells: np.ndarray, wall_cells: int) -> list[Rect] | None:
    """Split a rectangle by walls until there is one part per area; None where a part gets too narrow."""
    if min(rect.rows, rect.columns) < SHORTEST_SIDE_CELLS:
        return None
    if len(areas_cells) == 1:
        return [rect]
    count = len(areas_cells) // 2
    if len(areas_cells) > 3 and random.random() < 0.5:
        count += int(random.integers(0, 2))
    share = float(areas_cells[:count].sum() / areas_cells.sum())
    by_columns = rect.columns * random.uniform(0.8, 1.25) > rect.rows
    length = (rect.columns if by_columns else rect.rows) - wall_cells
    at = round(length * share)
    if by_columns:
        cut = rect.column0 + at
        first, second = rect._replace(column1=cut), rect._replace(column0=cut + wall_cells)
    else:
        cut = rect.row0 + at
        first, second = rect._replace(row1=cut), rect._replace(row0=cut + wall_cells)
    left = _split(random, first, areas_cells[:count], wall_cells)
    right = _split(random, second, areas_cells[count:], wall_cells)
    return None if left is None or right is None else left + right


def _place_doors(
    random: np.random.Generator, rooms: list[Rect], wall_cells: int, door_cells: int, extra: float
) -> list[Door] | None:
    """Join all rooms by a random spanning tree of doors, then open some of the other walls."""
    walls = [
        (i, j, shared)
        for i in range(len(rooms))
        for j in range(i + 1, len(rooms))
        if (shared := _shared_wall(rooms[i], rooms[j], wall_cells, door_cells)) is not None
    ]
    group = list(range(len(rooms)))
    doors = []
    for index in random.permutation(len(walls)):
        i, j, (cells, along_columns) = walls[index]
        joins = group[i] != group[j]
        # Drawn for every wall, so that one answer doesn't shift all that follow.
        opened, place = random.random() < extra, random.random()
        if joins:
            old, new = group[j], group[i]
            group = [new if g == old else g for g in group]
        if joins or opened:
            doors.append(Door(_cut(cells, along_columns, place, door_cells), (i, j), along_columns))
    return doors if len(set(group)) == 1 else None


def _shared_wall(a: Rect, b: Rect, wall_cells: int, door_cells: int) -> tuple[Rect, bool] | None:
    """Return the cells of the wall between two rooms that a door could use, and whether it leads along x."""
    needed = door_cells + 2 * DOOR_POST_CELLS
    for first, second in ((a, b), (b, a)):
        row0, row1 = max(a.row0, b.row0), min(a.row1, b.row1)
        if second.column0 - first.column1 == wall_cells and row1 - row0 >= needed:
            return Rect(row0, first.column1, row1, second.column0), True
        column0, column1 = max(a.column0, b.column0), min(a.column1, b.column1)
        if second.row0 - first.row1 == wall_cells and column1 - column0 >= needed:
            return Rect(first.row1, column0, second.row0, column1), False
    return None


def _cut(wall: Rect, along_columns: bool, place: float, door_cells: int) -> Rect:
    """Return the door's cells in a wall, `place` (0..1) of the way between the posts."""
    length = wall.rows if along_columns else wall.columns
    free = length - door_cells - 2 * DOOR_POST_CELLS
    # Doors keep to the corners more than to the middle, as they do in homes.
    eased = 0.5 - 0.5 * np.cos(np.pi * place)
    offset = DOOR_POST_CELLS + round(free * float(eased))
    if along_columns:
        return wall._replace(row0=wall.row0 + offset, row1=wall.row0 + offset + door_cells)
    return wall._replace(column0=wall.column0 + offset, column1=wall.column0 + offset + door_cells)
