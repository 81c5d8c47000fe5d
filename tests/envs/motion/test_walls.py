"""Drives at walls: bodies stop or slide, and never come through."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from phonotaxis.envs.body import clearance_at

RADIUS_M = 0.18
PERIOD_S = 0.25


@pytest.mark.parametrize("heading", [0.3, 1.2, 2.0, -0.5, -2.6])
def test_slides_along_a_wall(yard: Any, heading: float) -> None:
    """It covers the share of its way that runs along the wall, and touches all the while."""
    along = int(abs(math.cos(heading)) > abs(math.sin(heading)))
    bodies = yard.fleet(yard.closet, [[2.1, 2.1, heading]], wall="slide")
    stopping = yard.fleet(yard.closet, [[2.1, 2.1, heading]])
    for _ in range(12):  # 1.8 m to the wall
        bodies.move(0.8, 0.0)
        stopping.move(0.8, 0.0)
    start = bodies.pose[0].copy()
    share = math.sin(heading) if along else math.cos(heading)
    seconds = 3.2
    bodies.move(0.2, 0.0, seconds=seconds)
    stopping.move(0.2, 0.0, seconds=seconds)
    moved = bodies.pose[0, :2] - start[:2]
    assert moved[along] == pytest.approx(0.2 * seconds * share, abs=0.005)
    assert moved[1 - along] == pytest.approx(0.0, abs=0.02)  # a piece
    assert clearance_at(yard.closet, *bodies.pose[0, :2]) >= RADIUS_M - 1e-9
    assert bodies.motion[0, 5] == stopping.motion[0, 5] == 1.0
    assert stopping.motion[0, 0] == pytest.approx(0.0, abs=0.02)
    assert bodies.motion[0, 1] == 0.0  # wheels can't see it go sideways
    assert bodies.motion[0, 0] == pytest.approx(0.2 * seconds * share * share, abs=0.02)


def test_stands_in_a_corner_and_gets_out_of_it(yard: Any) -> None:
    bodies = yard.fleet(yard.closet, [[3.7, 3.7, math.pi / 4]], wall="slide")
    bodies.move(1.0, 0.0)
    x, y, _ = bodies.pose[0]
    assert clearance_at(yard.closet, x, y) >= RADIUS_M
    bodies.move(1.0, 0.0)
    assert bodies.pose[0, :2] == pytest.approx([x, y], abs=0.02)
    bodies.move(-1.0, 0.0)
    assert bodies.pose[0, :2] == pytest.approx(np.array([x, y]) - 0.25 / math.sqrt(2), abs=0.02)


def test_after_a_stop_at_a_wall_the_wheels_ramp_from_rest(yard: Any) -> None:
    bodies = yard.fleet(yard.closet, [[3.8, 2.0, 0.0]], max_acceleration_mps2=2.0)
    bodies.state.v_mps[0] = bodies.state.v_setpoint_mps[0] = 1.0
    bodies.move(1.0, 0.0)
    assert (bodies.motion[0, 5], bodies.state.v_mps[0]) == (1.0, 0.0)
    start = bodies.pose[0, 0]
    bodies.move(-1.0, 0.0)
    assert bodies.pose[0, 0] - start == pytest.approx(-0.0625, abs=1e-12)


def test_what_a_wall_stopped_may_go_back_within_the_period(yard: Any) -> None:
    """The old setpoint drives into the wall until the new one acts, which leads away from it."""
    bodies = yard.fleet(yard.closet, [[3.9, 2.0, 0.0]], latency_s=0.1)
    bodies.state.v_setpoint_mps[0] = bodies.state.v_mps[0] = 1.0
    bodies.move(-1.0, 0.0)
    assert bodies.motion[0, 5] == 1.0
    assert 3.74 < bodies.pose[0, 0] < 3.78  # 0.15 s back from somewhere in the last 2 cm before 3.92


def maze(seed: int, blocked: np.ndarray) -> np.ndarray:
    """Put walls one cell thick, straight and in diagonal chains, into a hall of 60 x 60 cells."""
    rng = np.random.Generator(np.random.PCG64(seed))
    for _ in range(14):
        (row, column), length = rng.integers(1, 59, 2), rng.integers(2, 30)
        down, right = ((0, 1), (1, 0), (1, 1), (1, -1))[rng.integers(4)]
        k = np.arange(length)
        blocked[np.clip(row + down * k, 0, 59), np.clip(column + right * k, 0, 59)] = True
    return blocked


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    cell_m=st.sampled_from([0.02, 0.05, 0.1, 0.3]),
    cells=st.floats(0.45, 4.0),
    metres=st.floats(-5.0, 5.0),
    turn=st.floats(-6.0, 6.0),
    wall=st.sampled_from(["stop", "slide"]),
    with_options=st.booleans(),
)
def test_never_tunnels(
    yard: Any, seed: int, cell_m: float, cells: float, metres: float, turn: float, wall: str, with_options: bool
) -> None:
    """However long the step, each body stays in its part of the maze, and where it has room."""
    blocked = maze(seed, yard.walled(60, 60))
    ground, radius_m = yard.ground_of(blocked, cell_m), cells * cell_m
    poses = yard.random_poses(64, seed, cell_m, 59 * cell_m)
    poses = poses[[clearance_at(ground, x, y) >= radius_m for x, y, _ in poses]]
    if len(poses) == 0:
        return
    parts = ndimage.label(~blocked)[0]
    bodies = yard.fleet(ground, poses, radius_m, wall=wall, **(yard.options if with_options else {}))
    bodies.state.v_mps[:] = bodies.state.v_setpoint_mps[:] = metres / PERIOD_S
    before = parts[tuple((bodies.pose[:, 1::-1] / cell_m).astype(int).T)]
    assert (before > 0).all()
    for _ in range(2):
        bodies.move(metres / PERIOD_S, turn / PERIOD_S)
        np.testing.assert_array_equal(parts[tuple((bodies.pose[:, 1::-1] / cell_m).astype(int).T)], before)
        assert min(clearance_at(ground, x, y) for x, y, _ in bodies.pose) >= radius_m
        assert np.isfinite(bodies.pose).all()
        assert np.isfinite(bodies.motion).all()


@pytest.mark.parametrize("wall", ["stop", "slide"])
@pytest.mark.parametrize("cell_m", [0.02, 0.04, 0.05, 0.1])
def test_not_even_a_tiny_body_slips_between_two_cells_that_touch(yard: Any, wall: str, cell_m: float) -> None:
    blocked = yard.walled(20, 20)
    blocked[np.arange(1, 19), np.arange(1, 19)] = True  # a diagonal wall from corner to corner
    poses = yard.random_poses(200, 3, 1.5 * cell_m, 18.5 * cell_m)
    poses = poses[np.abs(poses[:, 0] - poses[:, 1]) > 1.5 * cell_m]
    bodies = yard.fleet(yard.ground_of(blocked, cell_m), poses, 0.001, wall=wall)
    side = np.sign(bodies.pose[:, 0] - bodies.pose[:, 1])
    for step in range(20):
        bodies.move(*yard.random_setpoints(len(poses), step))
        np.testing.assert_array_equal(np.sign(bodies.pose[:, 0] - bodies.pose[:, 1]), side)


def test_a_sliding_disc_too_near_a_wall_may_leave_it(yard: Any) -> None:
    bodies = yard.fleet(yard.closet, [[0.2, 2.0, 0.5], [0.2, 2.0, math.pi]], wall="slide")
    bodies.move(1.0, 0.0)
    assert bodies.pose[0, 0] == pytest.approx(0.2 + 0.25 * math.cos(0.5))
    assert bodies.pose[1, 0] >= 0.2 - 1e-9
