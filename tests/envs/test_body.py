"""The body: how it moves, what stops it, and what is left of its way."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from phonotaxis.configs.task import AudioGoalTask
from phonotaxis.envs import library as library_module
from phonotaxis.envs import scenes
from phonotaxis.envs.body import clearance_at, drive, walk_to_go, wrap
from phonotaxis.envs.library import Ground, Library
from phonotaxis.envs.scenes.geodesic import geodesic_field
from phonotaxis.envs.scenes.raycast import line_of_sight
from phonotaxis.envs.scenes.scene import Scene
from phonotaxis.envs.scenes.walk import clearance_m
from phonotaxis.envs.world import World

RADIUS_M = 0.18
Gap = Callable[[], Scene]


def ground_of(scene: Scene) -> Ground:
    return Ground(clearance_m(scene), scene.cell_m, 1.0 / scene.cell_m, *scene.origin_m)


@pytest.fixture(scope="module")
def room() -> Ground:
    """Stand in a room of 6 x 5 m."""
    return ground_of(scenes.load("empty_room"))


def test_straight_ahead(room: Ground) -> None:
    x, y, yaw, travelled, touched = drive(room, 2.0, 2.0, 0.5, 1.0, 0.0, 0.25, RADIUS_M)
    assert (x, y) == pytest.approx((2.0 + 0.25 * math.cos(0.5), 2.0 + 0.25 * math.sin(0.5)))
    assert (yaw, travelled) == pytest.approx((0.5, 0.25))
    assert not touched


def test_backwards_and_round_an_arc(room: Ground) -> None:
    """Pieces of 2 cm follow the circle of radius v / w to a tenth of a millimetre."""
    v, w, seconds = -0.8, 0.7, 1.5
    x, y, yaw, travelled, _ = drive(room, 3.0, 2.5, 0.3, v, w, seconds, RADIUS_M)
    assert yaw == pytest.approx(0.3 + w * seconds)
    assert travelled == pytest.approx(0.8 * seconds)
    assert x == pytest.approx(3.0 + v / w * (math.sin(yaw) - math.sin(0.3)), abs=1e-4)
    assert y == pytest.approx(2.5 - v / w * (math.cos(yaw) - math.cos(0.3)), abs=1e-4)


@pytest.mark.parametrize("turn", [0.2, 3.0, -4.0, 13.0, -40.0])
def test_yaw_is_wrapped(room: Ground, turn: float) -> None:
    yaw = drive(room, 3.0, 2.5, 2.0, 0.0, turn, 1.0, RADIUS_M)[2]
    assert -math.pi <= yaw <= math.pi
    assert math.cos(yaw - 2.0 - turn) == pytest.approx(1.0, abs=1e-9)


def test_wrap() -> None:
    angles = np.linspace(-20.0, 20.0, 401)
    wrapped = wrap(angles)
    assert (np.abs(wrapped) <= np.pi).all()
    np.testing.assert_allclose(np.exp(1j * wrapped), np.exp(1j * angles), atol=1e-12)


@pytest.mark.parametrize("heading", [0.0, 0.5 * math.pi, math.pi, -0.5 * math.pi])
def test_stops_at_contact(room: Ground, heading: float) -> None:
    """The disc's edge comes within 2 cm of the wall, and no nearer than it."""
    x, y, _, travelled, touched = drive(room, 3.0, 2.5, heading, 5.0, 0.0, 2.0, RADIUS_M)
    gap = min(x, 6.0 - x, y, 5.0 - y) - RADIUS_M
    assert touched
    assert -1e-6 <= gap <= 0.02
    assert travelled == pytest.approx(math.hypot(x - 3.0, y - 2.5))


def test_touching_still_turns(room: Ground) -> None:
    x, y, yaw, travelled, touched = drive(room, 5.82, 2.5, 0.0, 1.0, 0.4, 0.5, RADIUS_M)
    assert (x, y, travelled) == (5.82, 2.5, 0.0)
    assert touched
    assert yaw == pytest.approx(0.2)


def test_a_disc_too_near_a_wall_may_leave_but_not_press_on(room: Ground) -> None:
    x, *_, touched = drive(room, 0.1, 2.5, 0.0, 1.0, 0.0, 0.5, RADIUS_M)
    assert (x, touched) == (pytest.approx(0.6), False)
    x, *_, touched = drive(room, 0.1, 2.5, math.pi, 1.0, 0.0, 0.5, RADIUS_M)
    assert (x, touched) == (0.1, True)


def test_never_tunnels_through_random_walls() -> None:
    """However long the step: the way is in the open, and the end has room for the disc."""
    rng = np.random.Generator(np.random.PCG64(11))
    bare = scenes.load("empty_room")
    moved = touched_walls = 0
    for _ in range(40):
        floor = bare.floor_m.copy()
        for row, column in rng.integers(3, 50, (12, 2)):  # posts and slivers one cell thick
            long, thick = rng.integers(2, 12), 1
            rows, columns = (thick, long) if rng.random() < 0.5 else (long, thick)
            floor[row : row + rows, column : column + columns] = bare.height_m
        floor[[0, -1]], floor[:, [0, -1]] = bare.height_m, bare.height_m
        scene = Scene(**{**vars_of(bare), "floor_m": floor})
        ground = ground_of(scene)
        for x, y, yaw in zip(rng.uniform(0.3, 5.7, 40), rng.uniform(0.3, 4.7, 40), rng.uniform(-3, 3, 40)):
            if clearance_at(ground, x, y) < RADIUS_M:
                continue
            to_x, to_y, _, _, touched = drive(ground, x, y, yaw, 5.0, 0.0, rng.uniform(0.1, 3.0), RADIUS_M)
            assert clearance_at(ground, to_x, to_y) >= RADIUS_M
            plan = (scene.floor_m, scene.ceiling_m, 1 / scene.cell_m, *scene.origin_m)
            assert line_of_sight(*plan, x, y, 0.1, to_x, to_y, 0.1)
            moved += 1
            touched_walls += touched
    assert moved > 300
    assert 100 < touched_walls < moved


def vars_of(scene: Scene) -> dict[str, object]:
    names = ("name", "cell_m", "origin_m", "floor_m", "ceiling_m", "height_m", "side_material")
    return {name: getattr(scene, name) for name in (*names, "floor_material", "ceiling_material", "room")}


def test_clearance_is_zero_outside(room: Ground) -> None:
    assert clearance_at(room, -5.0, 2.0) == 0.0
    assert clearance_at(room, 2.0, 50.0) == 0.0
    assert clearance_at(room, 3.0, 2.5) == pytest.approx(2.5, abs=0.051)


@pytest.mark.parametrize("seed", [0, 5])
def test_what_is_left_of_a_walk_is_the_scenes_geodesic_distance(
    make_task: Callable[..., AudioGoalTask], seed: int
) -> None:
    """Anywhere a body can be, within a cell (0.1 m) of what the scene says."""
    task = make_task("apartment", count=6)
    library = Library(task)
    slot = library.scene_slot(seed)
    field, scene = library.field_slot(slot, 0), library.scenes[slot]
    walk, ground = library.walks[field], library.grounds[slot]
    rng = np.random.Generator(np.random.PCG64(seed))
    cells = np.argwhere(library.walkable(slot))
    for row, column in cells[rng.integers(len(cells), size=40)]:
        x, y = scene.centre_of(int(row), int(column)) + rng.uniform(-0.049, 0.049, 2)
        metres, to_x, to_y, bends = walk_to_go(walk, ground, x, y)
        expected = scene.geodesic_distance_m((x, y), tuple(walk.goal_xy), task.radius_m)
        assert metres == pytest.approx(expected, abs=scene.cell_m)
        assert metres >= math.hypot(*(walk.goal_xy - (x, y))) - 1e-6
        assert bends >= 0.0
        if math.hypot(to_x - x, to_y - y) > 0.2:  # a step towards the next way-point is a step nearer
            there = walk_to_go(
                walk, ground, x + 0.1 * _unit(to_x - x, to_y - y)[0], y + 0.1 * _unit(to_x - x, to_y - y)[1]
            )
            assert there[0] == pytest.approx(metres - 0.1, abs=0.05)


def _unit(x: float, y: float) -> tuple[float, float]:
    return x / math.hypot(x, y), y / math.hypot(x, y)


def test_without_a_walk_it_is_infinitely_far(room: Ground) -> None:
    passable = np.zeros(room.clearance_m.shape, bool)
    passable[5:10, 5:10] = True
    way = geodesic_field(passable, 6, 6, room.cell)
    walk = library_module.WalkField(way.distance_m, way.parent, way.turn_rad, np.array([0.55, 0.55]))
    assert walk_to_go(walk, room, 0.75, 0.55)[:1] == (pytest.approx(0.2),)
    assert walk_to_go(walk, room, 4.0, 4.0)[0] == np.inf
    assert walk_to_go(walk, room, -9.0, 4.0)[0] == np.inf


@pytest.fixture
def pinched() -> Scene:
    """Build two rooms whose only passage, between two corners, lets a body through but no walk."""
    room = scenes.load("empty_room", size_m=[8.0, 3.0])
    floor = room.floor_m
    for x0, x1, y0, y1 in ((2.9, 3.0, 0.0, 1.0), (3.3, 3.4, 1.3, 3.0)):
        (r0, c0), (r1, c1) = room.cell_of(x0 + 0.05, y0 + 0.05), room.cell_of(x1 - 0.05, y1 - 0.05)
        floor[r0 : r1 + 1, c0 : c1 + 1] = room.height_m
    return room


def test_no_body_gets_where_no_walk_leads(
    make_task: Callable[..., AudioGoalTask], monkeypatch: pytest.MonkeyPatch, pinched: Scene
) -> None:
    """Otherwise the distance would be infinite there, and the reward no number."""
    monkeypatch.setattr(library_module, "load_scene", lambda scene_set, index: pinched)
    world = World(make_task(min_distance_m=0.5, max_steps=20))
    world.begin(np.array([0]), np.array([0]))
    world.pose[0] = 3.65, 0.65, 0.75 * math.pi
    assert drive(ground_of(pinched), 3.65, 0.65, 0.75 * math.pi, 1.0, 0.0, 1.5, RADIUS_M)[0] < 2.7
    rewards = [world.step(np.array([1])).reward[0] for _ in range(8)]
    assert np.isfinite(rewards).all()
    assert np.isfinite(world.distance_m).all()
    assert world.observation["motion"][0, 5] == 1.0
