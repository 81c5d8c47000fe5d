"""Procedural apartments: the default world, with nothing to download. The seed decides everything."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from pydantic import Field, model_validator

from phonotaxis.configs.base import ConfigError, Frozen, build
from phonotaxis.envs.scenes.floor_plan import FloorPlan, Rect, draw_floor_plan
from phonotaxis.envs.scenes.furniture import Box, furnish
from phonotaxis.envs.scenes.materials import INDEX
from phonotaxis.envs.scenes.scene import Scene, SceneError
from phonotaxis.envs.scenes.walk import components

CELL_M = 0.1
DRAWS = 1000  # of a floor plan, 50 us each; with the default options about one in three fails
Range = tuple[float, float]

_FURTHER_ROOMS = ["bedroom", "bedroom", "dining room", "study"]  # of which some, beside the rooms that every home has
_MORE_ROOMS = ["bathroom", "bedroom", "bedroom", "study", "bedroom", "bathroom", "bedroom", "study"]
_BY_PRIVACY = ["bathroom", "bedroom", "study", "dining room"]


class ApartmentConfig(Frozen):
    """Options of the source `apartment`: ranges to draw from evenly; plans are rounded to cells of 0.1 m."""

    rooms_min: int = Field(default=4, ge=1, le=16)
    rooms_max: int = Field(default=8, ge=1, le=16)
    room_area_m2: Range = (8.0, 20.0)
    ceiling_m: Range = (2.4, 3.2)
    wall_thickness_m: Range = (0.1, 0.2)
    door_width_m: Range = (0.8, 1.0)
    door_height_m: Range = (2.0, 2.1)
    extra_door_probability: float = Field(default=0.1, ge=0.0, le=1.0)
    furniture_density: float = Field(default=0.75, ge=0.0, le=1.0)
    walker_radius_m: float = Field(default=0.18, gt=0.0, le=0.3)

    @model_validator(mode="after")
    def _ranges(self) -> ApartmentConfig:
        if self.rooms_min > self.rooms_max:
            raise ValueError(f"rooms_min {self.rooms_min} must not exceed rooms_max {self.rooms_max}")
        limits = {
            "room_area_m2": (6.0, 100.0),
            "ceiling_m": (2.2, 10.0),
            "wall_thickness_m": (0.1, 0.5),
            "door_width_m": (0.7, 1.5),
            "door_height_m": (1.8, 2.2),
        }
        for key, (least, most) in limits.items():
            low, high = getattr(self, key)
            if not least <= low <= high <= most:
                raise ValueError(f"{key}: expected {least} <= low <= high <= {most}, got {low}, {high}")
        return self


def load_apartment(name: str, seed: int, options: dict[str, Any]) -> Scene:
    """Build the apartment of a seed.

    Raises:
        SceneError: an option is unknown, out of range, or no apartment fits the options.
    """
    try:
        config = build(ApartmentConfig, options, name)
    except ConfigError as error:
        raise SceneError(str(error)) from None
    return apartment(config, seed, f"{name}:{seed}")


def apartment(config: ApartmentConfig, seed: int, name: str = "apartment") -> Scene:
    """Build one apartment.

    Every cell in which a walker of `config.walker_radius_m` and 0.6 m height can stand is reached from every
    other.

    Args:
        config: what apartments are like.
        seed: which of them.
        name: what the scene is called.

    Raises:
        SceneError: no floor plan was found for these options.
    """
    random = np.random.Generator(np.random.PCG64(seed))
    rooms = int(random.integers(config.rooms_min, config.rooms_max + 1))
    wall_cells = _cells(random, config.wall_thickness_m)
    door_cells = _cells(random, config.door_width_m)
    ceiling_m = round(random.uniform(*config.ceiling_m), 2)
    door_m = round(random.uniform(*config.door_height_m), 2)
    for _ in range(DRAWS):
        areas = random.uniform(*config.room_area_m2, size=rooms) / CELL_M**2
        plan = draw_floor_plan(random, areas, wall_cells, door_cells, config.extra_door_probability)
        if plan is not None:
            break
    else:
        raise SceneError(
            f"{name}: no floor plan of {rooms} rooms found in {DRAWS} draws; widen room_area_m2 or lower rooms_max"
        )
    kinds = _room_kinds(random, plan)
    boxes = [
        furnish(random, plan, room, kind, config.furniture_density, CELL_M, config.walker_radius_m)
        for room, kind in enumerate(kinds)
    ]
    scene = _extrude(random, plan, kinds, boxes, ceiling_m, door_m, name)
    if components(scene.walkable(config.walker_radius_m)) != 1:
        raise SceneError(f"{name}: the walkable floor is not connected; report this seed with its options")
    return scene


def _cells(random: np.random.Generator, range_m: Range) -> int:
    """Draw a length and round it to whole cells."""
    return max(1, round(random.uniform(*range_m) / CELL_M))


def _room_kinds(random: np.random.Generator, plan: FloorPlan) -> list[str]:
    """Say what each room is for.

    The largest is to live in, the smallest with one door to wash in, one beside the living room to cook in. Of the
    rest, those that one passes through are halls and dining rooms, those at the end bedrooms.
    """
    rooms = len(plan.rooms)
    size = [rect.rows * rect.columns for rect in plan.rooms]
    doors = [sum(room in door.rooms for door in plan.doors) for room in range(rooms)]
    kinds = {int(np.argmax(size)): "living room"}
    living = next(iter(kinds))
    beside = {room for door in plan.doors if living in door.rooms for room in door.rooms}

    def first(key: Callable[[int], tuple[float, ...]]) -> int:
        return min((room for room in range(rooms) if room not in kinds), key=key)

    if rooms > 1:
        kinds[first(lambda room: (doors[room] > 1, size[room]))] = "bathroom"
    if rooms > 2:
        kinds[first(lambda room: (room not in beside, size[room]))] = "kitchen"
    if rooms > 4 and doors[busiest := first(lambda room: (-doors[room], size[room]))] >= 3:
        kinds[busiest] = "hall"
    rest = sorted((room for room in range(rooms) if room not in kinds), key=lambda room: (doors[room], -size[room]))
    further = [str(kind) for kind in random.permutation(_FURTHER_ROOMS)]
    wanted = (["bedroom"] + further + _MORE_ROOMS)[: len(rest)]
    return [kind for _, kind in sorted((kinds | dict(zip(rest, sorted(wanted, key=_BY_PRIVACY.index)))).items())]


def _extrude(
    random: np.random.Generator,
    plan: FloorPlan,
    kinds: list[str],
    boxes: list[list[Box]],
    ceiling_m: float,
    door_m: float,
    name: str,
) -> Scene:
    shape = (plan.rows, plan.columns)
    floor = np.full(shape, ceiling_m, np.float32)
    ceiling = np.full(shape, ceiling_m, np.float32)
    room_of = np.full(shape, -1, np.int16)
    side = np.full(shape, INDEX["plaster"], np.uint8)
    below = np.full(shape, INDEX["wood_floor"], np.uint8)
    above = np.full(shape, INDEX["ceiling_plaster"], np.uint8)
    for room, (rect, kind) in enumerate(zip(plan.rooms, kinds)):
        floor[rect.window] = 0.0
        room_of[rect.window] = room
        below[rect.window], above[rect.window], wall = _surfaces(random, kind)
        side[_wall_around(rect, plan.wall_cells).window] = wall
    for rect in plan.rooms:
        _windows(random, rect, plan, side)
    for door in plan.doors:
        window = door.cells.window
        floor[window], ceiling[window] = 0.0, min(door_m, ceiling_m - 0.1)
        room_of[window] = door.rooms[0]
        side[window] = above[window] = INDEX["door_frame"]
        below[window] = INDEX["wood_floor"]
    for box in (box for some in boxes for box in some):
        window = box.cells.window
        floor[window] = box.height_m
        side[window] = below[window] = box.material
    return Scene(
        name=name,
        cell_m=CELL_M,
        origin_m=(0.0, 0.0),
        floor_m=floor,
        ceiling_m=ceiling,
        height_m=ceiling_m,
        side_material=side,
        floor_material=below,
        ceiling_material=above,
        room=room_of,
        info={"source": "apartment", **{f"room_{room}": kind for room, kind in enumerate(kinds)}},
    )


def _surfaces(random: np.random.Generator, kind: str) -> tuple[int, int, int]:
    """Draw the materials of a room's floor, ceiling and walls."""
    wall, ceiling = random.random(), random.random()
    if kind in ("bathroom", "kitchen"):
        return INDEX["tiles"], INDEX["ceiling_plaster"], INDEX["tiles" if kind == "bathroom" else "plaster"]
    carpet = {"bedroom": 0.6, "living room": 0.4, "study": 0.4}.get(kind, 0.1)
    floor = INDEX["carpet" if random.random() < carpet else "wood_floor"]
    return (
        floor,
        INDEX["acoustic_ceiling" if ceiling < 0.12 else "ceiling_plaster"],
        INDEX["concrete" if wall < 0.2 else "plaster"],
    )


def _wall_around(rect: Rect, wall_cells: int) -> Rect:
    return Rect(rect.row0 - wall_cells, rect.column0 - wall_cells, rect.row1 + wall_cells, rect.column1 + wall_cells)


def _windows(random: np.random.Generator, rect: Rect, plan: FloorPlan, side: np.ndarray) -> None:
    """Glaze a stretch of each outer wall of a room, some of it behind a curtain."""
    border = max(plan.wall_cells, 2)
    outer = (
        rect.row0 == border,
        rect.row1 == plan.rows - border,
        rect.column0 == border,
        rect.column1 == plan.columns - border,
    )
    for wall, is_outer in enumerate(outer):
        chance, place, wide, curtain = random.random(4)
        if not is_outer or chance < 0.25:
            continue
        length = rect.columns if wall < 2 else rect.rows
        width = min(round((1.0 + wide) / CELL_M), length - 4)
        start = (rect.column0 if wall < 2 else rect.row0) + 2 + int(place * (length - 4 - width))
        material = INDEX["curtain" if curtain < 0.3 else "glass"]
        along = slice(start, start + width)
        if wall < 2:
            side[rect.row0 - 1 if wall == 0 else rect.row1, along] = material
        else:
            side[along, rect.column0 - 1 if wall == 2 else rect.column1] = material
