"""The follower's map and planner, on places small enough to draw."""

from __future__ import annotations

import numpy as np
import pytest

from phonotaxis.configs.task import AudioGoalTask
from phonotaxis.policies.mapping import CELL_M, SIDE, camera_of, mark_touched, new_maps, see
from phonotaxis.policies.planner import new_visits, plan

ONE = np.zeros(1, dtype=np.int64)
CAMERA = camera_of(AudioGoalTask().contract())


def cell(x: float, y: float) -> tuple[int, int]:
    return int(np.floor(y / CELL_M)) + SIDE // 2, int(np.floor(x / CELL_M)) + SIDE // 2


def wall_ahead(distance_m: float) -> np.ndarray:
    return np.full((1, 64, 64), distance_m, dtype=np.float32)


@pytest.mark.parametrize("yaw", [0.0, 0.5 * np.pi, -2.0])
def test_a_wall_is_drawn_where_it_stands_and_the_way_to_it_is_free(yaw: float) -> None:
    maps, place = new_maps(1), np.array([[1.0, -2.0, yaw]])
    see(ONE, maps, place, wall_ahead(2.05), CAMERA)
    ahead = np.array([np.cos(yaw), np.sin(yaw)])
    assert maps[0][cell(*(place[0, :2] + (2.05 + CAMERA.ahead_m) * ahead))] > 0
    assert maps[0][cell(*(place[0, :2] + 1.0 * ahead))] < 0
    assert maps[0][cell(*(place[0, :2] + 2.6 * ahead))] == 0
    assert maps[0][cell(*(place[0, :2] - 1.0 * ahead))] == 0


def test_the_floor_is_no_obstacle_and_nothing_is_known_of_what_is_unseen() -> None:
    depth = np.zeros((1, 64, 64), dtype=np.float32)
    rows = np.arange(64)[40:]
    depth[0, 40:] = (CAMERA.height_m / CAMERA.down[rows])[:, None]
    maps = new_maps(1)
    see(ONE, maps, np.zeros((1, 3)), depth, CAMERA)
    assert (maps <= 0).all()
    assert (maps < 0).any()
    unseen = new_maps(1)
    see(ONE, unseen, np.zeros((1, 3)), np.zeros_like(depth), CAMERA)
    assert not unseen.any()


def test_what_was_touched_stays_whatever_is_seen() -> None:
    maps, place = new_maps(1), np.zeros((1, 3))
    mark_touched(ONE, maps, place, 0.18)
    for _ in range(30):
        see(ONE, maps, place, wall_ahead(5.0), CAMERA)
    assert maps[0][cell(0.23, 0.0)] > 0


def way_to(maps: np.ndarray, wish: tuple[float, float], look_m: float = 0.9) -> np.ndarray:
    out = np.zeros((1, 3))
    plan(ONE, maps, new_visits(1), np.array([[0.05, 0.05, 0.0]]), np.array([wish]), 0.18, look_m, out)
    return out[0]


def test_with_nothing_in_the_way_it_goes_straight() -> None:
    maps = np.full_like(new_maps(1), -4)
    x, y, cost_m = way_to(maps, (3.05, 0.05))
    assert (x, y) == (pytest.approx(0.95), pytest.approx(0.05))
    assert cost_m == pytest.approx(3.0, abs=0.2)


def test_round_a_wall_it_goes_by_the_gap() -> None:
    maps = np.full_like(new_maps(1), -4)
    row, column = cell(1.0, 0.0)
    maps[0, row - 40 : row + 12, column] = 4  # a wall across the way, open on the left from y = 1.2 m on
    _, y, cost_m = way_to(maps, (2.05, 0.05))
    assert y > 0.3
    assert cost_m > 3.0
    maps[0, row - 100 : row + 100, column] = 4  # and with no gap within reach it stays on this side
    x, _, _ = way_to(maps, (2.05, 0.05))
    assert x < 1.0


def test_where_it_has_long_been_it_is_less_worth_going() -> None:
    maps, visits, out = np.full_like(new_maps(1), -4), new_visits(1), np.zeros((1, 3))
    row, column = cell(1.0, 0.0)
    maps[0, :, column] = 4  # the wish lies behind a wall without a gap
    place, wish = np.array([[0.55, 0.05, 0.0]]), np.array([[3.05, 0.05]])
    plan(ONE, maps, visits, place, wish, 0.18, 0.9, out)
    before_m = out[0, 2]
    assert before_m < 0.5  # as near to it as it gets
    for _ in range(40):
        plan(ONE, maps, visits, place, wish, 0.18, 0.9, out)
    assert out[0, 2] > 2.0 * before_m
