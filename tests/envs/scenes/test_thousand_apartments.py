"""A thousand apartments, walked through: each a home of its own, lived in, and connected."""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import NamedTuple

import numpy as np
import pytest

from phonotaxis.envs import scenes
from phonotaxis.envs.scenes.furniture import FURNITURE
from phonotaxis.envs.scenes.geodesic import geodesic_field
from phonotaxis.envs.scenes.materials import INDEX
from phonotaxis.envs.scenes.scene import Scene

SEEDS = range(1000)


class Home(NamedTuple):
    """What is kept of an apartment."""

    name: str
    kinds: tuple[str, ...]
    height_m: float
    digest: bytes
    all_reached: bool
    rooms_reached: int
    farthest_m: float
    made: tuple[bool, ...]  # by room: what makes it stands there
    floors: frozenset[tuple[str, int]]
    walls: frozenset[int]
    ceilings: frozenset[int]


def visit(seed: int) -> Home:
    scene = scenes.load("apartment", seed=seed)
    mask = scene.walkable()
    cells = np.argwhere(mask)
    row, column = (int(v) for v in cells[(7919 * seed) % len(cells)])
    walk = geodesic_field(mask, row, column, scene.cell_m)
    reached = np.isfinite(walk.distance_m) & mask
    kinds = tuple(scene.info[f"room_{room}"] for room in range(scene.room.max() + 1))
    open_floor = (scene.floor_m == 0.0) & (scene.ceiling_m == np.float32(scene.height_m))
    return Home(
        scene.name,
        kinds,
        scene.height_m,
        hashlib.sha256(scene.floor_m.tobytes() + scene.ceiling_m.tobytes()).digest(),
        bool((reached == mask).all()),
        len(set(np.unique(scene.room[reached])) - {-1}),
        float(walk.distance_m[reached].max()),
        tuple(_made(scene, room, kind) for room, kind in enumerate(kinds)),
        frozenset(
            (kind, int(m))
            for room, kind in enumerate(kinds)
            for m in np.unique(scene.floor_material[open_floor & (scene.room == room)])
        ),
        frozenset(int(m) for m in np.unique(scene.side_material[scene.is_wall])),
        frozenset(int(m) for m in np.unique(scene.ceiling_material[open_floor])),
    )


def _made(scene: Scene, room: int, kind: str) -> bool:
    """Tell whether the first piece of a room's furniture stands in it, by material and height."""
    piece = FURNITURE[kind][0]
    there = (scene.room == room) & (scene.floor_m > 0.0) & (scene.side_material == INDEX[piece.material])
    low, high = piece.height_m
    return bool((there & (scene.floor_m >= low - 0.01) & (scene.floor_m <= high + 0.01)).any())


@pytest.fixture(scope="module")
def homes() -> list[Home]:
    return [visit(seed) for seed in SEEDS]


def test_every_room_of_every_home_is_walked_to(homes: list[Home]) -> None:
    for home in homes:
        assert home.all_reached, home.name
        assert home.rooms_reached == len(home.kinds), home.name
        assert np.isfinite(home.farthest_m)
    assert min(home.farthest_m for home in homes) > 5.0


def test_no_two_homes_are_the_same(homes: list[Home]) -> None:
    assert len({home.digest for home in homes}) == len(homes)


def test_rooms_have_the_functions_of_a_home(homes: list[Home]) -> None:
    total: Counter[str] = Counter()
    for home in homes:
        count = Counter(home.kinds)
        assert count["living room"] == count["kitchen"] == count["bathroom"] == 1, home.name
        assert max(count["study"], count["dining room"], count["hall"]) <= 1, home.name
        assert 1 <= count["bedroom"] <= 3, home.name
        total += count
    assert set(total) == set(FURNITURE)
    assert min(total.values()) > 100


def test_what_makes_a_room_stands_in_it(homes: list[Home]) -> None:
    """A bed in the bedroom, a bath in the bathroom; where doors leave no wall free it may be missing."""
    made: Counter[str] = Counter()
    rooms: Counter[str] = Counter()
    for home in homes:
        rooms.update(home.kinds)
        made.update(kind for kind, there in zip(home.kinds, home.made) if there)
    missing = {kind: 1.0 - made[kind] / rooms[kind] for kind in rooms}
    assert max(missing.values()) < 0.05, missing


def test_surfaces_go_with_rooms(homes: list[Home]) -> None:
    floors = set().union(*(home.floors for home in homes))
    tiles, wood, carpet = INDEX["tiles"], INDEX["wood_floor"], INDEX["carpet"]
    for kind in FURNITURE:
        expected = {tiles} if kind in ("bathroom", "kitchen") else {wood, carpet}
        assert {material for room, material in floors if room == kind} == expected, kind
    walls, ceilings = set().union(*(h.walls for h in homes)), set().union(*(h.ceilings for h in homes))
    assert {INDEX[name] for name in ("plaster", "concrete", "tiles", "glass", "curtain")} <= walls
    assert ceilings == {INDEX["ceiling_plaster"], INDEX["acoustic_ceiling"]}


def test_ceilings_are_those_of_homes(homes: list[Home]) -> None:
    heights = [home.height_m for home in homes]
    assert min(heights) == pytest.approx(2.4, abs=0.02)
    assert max(heights) == pytest.approx(3.2, abs=0.02)
