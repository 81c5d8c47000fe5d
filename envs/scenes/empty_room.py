"""A rectangular room with nothing in it: the scene whose acoustics are known in closed form."""

from __future__ import annotations

from typing import Any

import numpy as np
from pydantic import Field, field_validator

from phonotaxis.envs.scenes.materials import INDEX
from phonotaxis.envs.scenes.options import SurfaceOptions, read_options
from phonotaxis.envs.scenes.scene import Scene


class EmptyRoomConfig(SurfaceOptions):
    """Options of the source `empty_room`. Sizes are rounded to whole cells; a corner is the origin."""

    size_m: tuple[float, float] = (6.0, 5.0)
    height_m: float = Field(default=2.6, ge=1.0, le=20.0)
    cell_m: float = Field(default=0.1, ge=0.02, le=0.5)

    @field_validator("size_m")
    @classmethod
    def _room_to_stand(cls, size_m: tuple[float, float]) -> tuple[float, float]:
        if not all(0.5 <= edge <= 200.0 for edge in size_m):
            raise ValueError("both edges must be 0.5 to 200 m")
        return size_m


def load_empty_room(name: str, seed: int, options: dict[str, Any]) -> Scene:
    """Build the room; the seed plays no part.

    Raises:
        SceneError: an option is unknown or out of range.
    """
    return empty_room(read_options(EmptyRoomConfig, options, name), name)


def empty_room(config: EmptyRoomConfig, name: str = "empty_room") -> Scene:
    """Build a room open over x 0 to `size_m[0]` and y 0 to `size_m[1]`, with a wall one cell thick."""
    cell = config.cell_m
    columns, rows = (round(edge / cell) for edge in config.size_m)
    shape = (rows + 2, columns + 2)
    inside = (slice(1, -1), slice(1, -1))
    floor = np.full(shape, config.height_m, np.float32)
    floor[inside] = 0.0
    room = np.full(shape, -1, np.int16)
    room[inside] = 0
    return Scene(
        name=name,
        cell_m=cell,
        origin_m=(-cell, -cell),
        floor_m=floor,
        ceiling_m=np.full(shape, config.height_m, np.float32),
        height_m=config.height_m,
        side_material=np.full(shape, INDEX[config.walls], np.uint8),
        floor_material=np.full(shape, INDEX[config.floor], np.uint8),
        ceiling_material=np.full(shape, INDEX[config.ceiling], np.uint8),
        room=room,
    )
