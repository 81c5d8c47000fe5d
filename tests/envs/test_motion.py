"""Drives: what ramps, latency, slip and walls make of setpoints, and what the wheels tell of it."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba.typed import List
from scipy import ndimage

from phonotaxis.configs.compatibility import covered_in_period
from phonotaxis.configs.motion import Drive
from phonotaxis.envs.body import clearance_at, drive, wrap
from phonotaxis.envs.library import Ground
from phonotaxis.envs.motion import ODOMETRY, drive_parameters, drive_state, move, rest, slip_factors
from phonotaxis.envs.scenes.walk import edge_distance

RADIUS_M = 0.18
PERIOD_S = 0.25


def ground_of(blocked: np.ndarray, cell_m: float = 0.1) -> Ground:
    return Ground(edge_distance(blocked) * np.float32(cell_m), cell_m, 1.0 / cell_m, 0.0, 0.0)


def walled(rows: int, columns: int) -> np.ndarray:
    blocked = np.zeros((rows, columns), dtype=bool)
    blocked[[0, -1]], blocked[:, [0, -1]] = True, True
    return blocked


HALL = ground_of(walled(400, 400))  # 40 x 40 m: no wall within reach
CLOSET = ground_of(walled(42, 42))  # walls at 0.1 and 4.1 m


class Fleet(NamedTuple):
    """The bodies of some worlds, and what `move` needs beside their setpoints."""

    grounds: Any
    scene: np.ndarray
    pose: np.ndarray
    drives: Any
    state: Any
    keys: np.ndarray
    steps: np.ndarray
    motion: np.ndarray
    path_m: np.ndarray

    def move(
        self, v: Any, w: Any, seconds: float = PERIOD_S, odometry: str = "wheel", worlds: np.ndarray | None = None
    ) -> None:
        n = len(self.pose)
        v, w = (np.broadcast_to(np.asarray(x, dtype=np.float64), n).copy() for x in (v, w))
        chosen = np.arange(n) if worlds is None else worlds
        move(
            chosen, self.grounds, self.scene, self.pose, v, w, seconds, self.drives, self.state, self.keys,
            self.steps, ODOMETRY[odometry], self.motion, self.path_m,
        )  # fmt: skip
        self.steps[chosen] += 1


def fleet(ground: Ground, poses: Any, radius_m: float = RADIUS_M, **options: Any) -> Fleet:
    pose = np.atleast_2d(np.array(poses, dtype=np.float64))
    n = len(pose)
    grounds = List()
    grounds.append(ground)
    return Fleet(
        grounds, np.zeros(n, dtype=np.int64), pose, drive_parameters(Drive(**options), radius_m, n), drive_state(n),
        np.arange(n, dtype=np.uint64) + np.uint64(2**63), np.zeros(n, dtype=np.int64),
        np.full((n, 6), np.nan, dtype=np.float32), np.zeros(n),
    )  # fmt: skip


def random_poses(n: int, seed: int, low: float = 0.3, high: float = 3.9) -> np.ndarray:
    rng = np.random.Generator(np.random.PCG64(seed))
    return np.stack([rng.uniform(low, high, n), rng.uniform(low, high, n), rng.uniform(-3.1, 3.1, n)], axis=1)


def random_setpoints(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.Generator(np.random.PCG64([7, seed]))
    return rng.uniform(-1.5, 4.0, n), rng.uniform(-3.0, 3.0, n)


OPTIONS: dict[str, Any] = {
    "max_acceleration_mps2": 3.0,
    "max_angular_acceleration_radps2": 6.0,
    "latency_s": 0.1,
    "slip_v": 0.1,
    "slip_w": 0.2,
    "slip_turn_radpm": 0.1,
}


# --- without options


def test_without_options_it_is_plain_drive_to_the_bit() -> None:
    bodies = fleet(CLOSET, random_poses(200, 1))
    touched_any = 0
    for step in range(3):
        before, path = bodies.pose.copy(), bodies.path_m.copy()
        v, w = random_setpoints(200, step)
        bodies.move(v, w)
        for i, (x0, y0, yaw0) in enumerate(before):
            x, y, yaw, travelled, touched = drive(CLOSET, x0, y0, yaw0, v[i], w[i], PERIOD_S, RADIUS_M)
            assert tuple(bodies.pose[i]) == (x, y, yaw)
            assert bodies.path_m[i] == path[i] + travelled
            assert bodies.state.v_mps[i] == (0.0 if touched else v[i])
            touched_any += touched
        cos, sin = np.cos(before[:, 2]), np.sin(before[:, 2])
        dx, dy = (bodies.pose - before)[:, :2].T
        expected = [cos * dx + sin * dy, cos * dy - sin * dx, wrap(bodies.pose[:, 2] - before[:, 2]), v, w]
        np.testing.assert_allclose(bodies.motion[:, :5].T, expected, rtol=1e-6, atol=1e-9)
    assert 20 < touched_any < 580


def test_options_that_do_nothing_change_nothing() -> None:
    """The path with options, given ramps too fast to see, ends where the plain one does."""
    plain, ramped = fleet(CLOSET, random_poses(100, 2)), fleet(CLOSET, random_poses(100, 2))
    ramped.drives.max_acceleration_mps2[:] = 1e12
    for step in range(3):
        v, w = random_setpoints(100, step)
        plain.move(v, w)
        ramped.move(v, w)
        np.testing.assert_allclose(ramped.pose, plain.pose, atol=1e-9)
        np.testing.assert_allclose(ramped.path_m, plain.path_m, atol=1e-9)
        np.testing.assert_allclose(ramped.motion, plain.motion, atol=1e-6)
        np.testing.assert_allclose(ramped.state.v_mps, plain.state.v_mps, atol=1e-9)


# --- ramps and latency


@pytest.mark.parametrize("acceleration", [None, 0.5, 2.0, 40.0])
@pytest.mark.parametrize("latency_s", [0.0, 0.1, 0.25])
def test_from_rest_it_covers_what_the_contract_compares_robots_by(acceleration: float | None, latency_s: float) -> None:
    options = {"max_acceleration_mps2": acceleration, "max_angular_acceleration_radps2": acceleration}
    bodies = fleet(HALL, [[20.0, 20.0, 0.0]] * 2, latency_s=latency_s, **options)
    bodies.move([0.8, 0.0], [0.0, 0.8])
    expected = covered_in_period(0.8, acceleration, latency_s, PERIOD_S)
    assert bodies.pose[0, 0] - 20.0 == pytest.approx(expected, abs=1e-12)
    assert bodies.pose[1, 2] == pytest.approx(expected, abs=1e-12)
    assert bodies.motion[0, 3] == np.float32(0.8)  # what safety let through, not what the wheels reached


def test_speeds_carry_over_into_the_next_period_and_end_with_the_episode() -> None:
    bodies = fleet(HALL, [[20.0, 20.0, 0.0]] * 2, max_acceleration_mps2=2.0)
    bodies.move(1.0, 0.0)
    assert bodies.state.v_mps.tolist() == [0.5, 0.5]
    rest(bodies.state, np.array([1]))
    start = bodies.pose[:, 0].copy()
    bodies.move(1.0, 0.0)
    assert bodies.pose[:, 0] - start == pytest.approx([0.5 * 0.25 + 0.0625, 0.0625], abs=1e-12)
    start = bodies.pose[:, 0].copy()
    bodies.move(-1.0, 0.0)  # from 1 m/s to 0.5 m/s, and from 0.5 m/s to rest
    assert bodies.pose[:, 0] - start == pytest.approx([0.1875, 0.0625], abs=1e-12)
    assert bodies.state.v_mps == pytest.approx([0.5, 0.0], abs=1e-12)


def test_a_setpoint_acts_after_the_latency_and_the_last_one_until_then() -> None:
    bodies = fleet(HALL, [[20.0, 20.0, 0.0]], latency_s=PERIOD_S)
    for setpoint, covered in ((1.0, 0.0), (0.4, 0.25), (0.0, 0.1), (0.0, 0.0)):
        start = bodies.pose[0, 0]
        bodies.move(setpoint, 0.0)
        assert bodies.pose[0, 0] - start == pytest.approx(covered, abs=1e-12)


def integrated(
    x: float, y: float, yaw: float, speeds: Any, setpoints: Any, rates: Any, latency_s: float, slip: Any
) -> Any:
    """Integrate the equations of motion in steps of 10 microseconds: an independent truth."""
    dt, (v, w) = 1e-5, speeds
    for k in range(round(PERIOD_S / dt)):
        to_v, to_w = setpoints[0] if k * dt < latency_s else setpoints[1]
        v_next = v + np.clip(to_v - v, -rates[0] * dt, rates[0] * dt)
        w_next = w + np.clip(to_w - w, -rates[1] * dt, rates[1] * dt)
        v, w, v_mean, w_mean = v_next, w_next, 0.5 * (v + v_next), 0.5 * (w + w_next)
        turning = slip[1] * w_mean + slip[2] * v_mean
        x += slip[0] * v_mean * math.cos(yaw + 0.5 * turning * dt) * dt
        y += slip[0] * v_mean * math.sin(yaw + 0.5 * turning * dt) * dt
        yaw += turning * dt
    return x, y, yaw, v, w


def test_follows_the_equations_of_motion() -> None:
    bodies = fleet(HALL, [[20.0, 20.0, 0.3]], **OPTIONS)
    setpoints = [(0.0, 0.0), (1.0, 1.5), (0.6, -2.0), (-0.8, -0.5)]
    rates = (OPTIONS["max_acceleration_mps2"], OPTIONS["max_angular_acceleration_radps2"])
    for step, pair in enumerate(zip(setpoints, setpoints[1:])):
        slip = slip_factors(bodies.keys[0], step, (0.1, 0.2, 0.1))
        speeds = (bodies.state.v_mps[0], bodies.state.w_radps[0])
        expected = integrated(*bodies.pose[0], speeds, pair, rates, OPTIONS["latency_s"], slip)
        bodies.move(*pair[1])
        assert tuple(bodies.pose[0]) == pytest.approx(expected[:3], abs=5e-5)  # 10 us of a corner, and pieces of 2 cm
        assert (bodies.state.v_mps[0], bodies.state.w_radps[0]) == pytest.approx(expected[3:], abs=1e-4)


# --- slip and odometry


def test_slip_has_the_spread_it_is_given_and_never_runs_backwards() -> None:
    spread = (0.3, 0.1, 0.05)
    draws = np.array([slip_factors(np.uint64(9), step, spread) for step in range(4000)])
    np.testing.assert_allclose(draws.mean(axis=0), [1.0, 1.0, 0.0], atol=5 * 0.3 / math.sqrt(4000))
    np.testing.assert_allclose(draws.std(axis=0), spread, rtol=0.06)  # 5 standard errors
    assert np.abs(np.corrcoef(draws.T) - np.eye(3)).max() < 5 / math.sqrt(4000)
    assert draws[:, 0].min() >= 0.1 - 1e-12
    assert slip_factors(np.uint64(9), 5, spread) == tuple(draws[5])
    assert slip_factors(np.uint64(10), 5, spread) != tuple(draws[5])


def test_wheels_dont_see_slip_and_an_external_estimator_does() -> None:
    v, w = 0.8, 0.5
    driven: dict[str, np.ndarray] = {}
    for source in ODOMETRY:
        bodies = fleet(HALL, [[20.0, 20.0, 0.0]] * 50, slip_v=0.1, slip_w=0.1, slip_turn_radpm=0.1)
        bodies.move(v, w, odometry=source)
        driven[source] = bodies.motion.astype(np.float64)
    turn = w * PERIOD_S
    arc = [v / w * math.sin(turn), v / w * (1 - math.cos(turn)), turn]
    np.testing.assert_allclose(driven["wheel"][:, :3], np.tile(arc, (50, 1)), atol=1e-5)
    np.testing.assert_allclose(driven["commanded"][:, :3], np.tile(arc, (50, 1)), atol=1e-7)
    moved = bodies.pose - [20.0, 20.0, 0.0]
    np.testing.assert_allclose(driven["external"][:, :3], moved, atol=1e-6)
    assert np.hypot(*moved[:, :2].T).std() == pytest.approx(0.1 * v * PERIOD_S, rel=0.5)
    np.testing.assert_array_equal(driven["wheel"][:, 3:], np.tile(np.float32([v, w, 0.0]), (50, 1)))


def test_commands_are_what_was_asked_for_whatever_came_of_it() -> None:
    bodies = fleet(CLOSET, [[3.9, 2.0, 0.0]])
    bodies.move(1.0, 0.0, odometry="commanded")
    assert bodies.motion[0].tolist() == pytest.approx([0.25, 0.0, 0.0, 1.0, 0.0, 1.0])
    assert bodies.pose[0, 0] < 3.93


def test_a_scaled_drive_runs_faster_and_its_wheels_know() -> None:
    for options in ({}, {"max_acceleration_mps2": 100.0}):
        bodies = fleet(HALL, [[20.0, 20.0, 0.0]], speed_scale=1.1, **options)
        bodies.move(1.0, 0.0)
        bodies.move(1.0, 0.0)
        assert bodies.motion[0, 0] == pytest.approx(0.275, abs=1e-6)
        assert bodies.motion[0, 3] == 1.0


# --- walls


@pytest.mark.parametrize("heading", [0.3, 1.2, 2.0, -0.5, -2.6])
def test_slides_along_a_wall(heading: float) -> None:
    """It covers the share of its way that runs along the wall, and touches all the while."""
    along = int(abs(math.cos(heading)) > abs(math.sin(heading)))
    bodies = fleet(CLOSET, [[2.1, 2.1, heading]], wall="slide")
    stopping = fleet(CLOSET, [[2.1, 2.1, heading]])
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
    assert clearance_at(CLOSET, *bodies.pose[0, :2]) >= RADIUS_M - 1e-9
    assert bodies.motion[0, 5] == stopping.motion[0, 5] == 1.0
    assert stopping.motion[0, 0] == pytest.approx(0.0, abs=0.02)
    assert bodies.motion[0, 1] == 0.0  # wheels can't see it go sideways
    assert bodies.motion[0, 0] == pytest.approx(0.2 * seconds * share * share, abs=0.02)


def test_stands_in_a_corner_and_gets_out_of_it() -> None:
    bodies = fleet(CLOSET, [[3.7, 3.7, math.pi / 4]], wall="slide")
    bodies.move(1.0, 0.0)
    x, y, _ = bodies.pose[0]
    assert clearance_at(CLOSET, x, y) >= RADIUS_M
    bodies.move(1.0, 0.0)
    assert bodies.pose[0, :2] == pytest.approx([x, y], abs=0.02)
    bodies.move(-1.0, 0.0)
    assert bodies.pose[0, :2] == pytest.approx(np.array([x, y]) - 0.25 / math.sqrt(2), abs=0.02)


def test_after_a_stop_at_a_wall_the_wheels_ramp_from_rest() -> None:
    bodies = fleet(CLOSET, [[3.8, 2.0, 0.0]], max_acceleration_mps2=2.0)
    bodies.state.v_mps[0] = bodies.state.v_setpoint_mps[0] = 1.0
    bodies.move(1.0, 0.0)
    assert (bodies.motion[0, 5], bodies.state.v_mps[0]) == (1.0, 0.0)
    start = bodies.pose[0, 0]
    bodies.move(-1.0, 0.0)
    assert bodies.pose[0, 0] - start == pytest.approx(-0.0625, abs=1e-12)


def test_what_a_wall_stopped_may_go_back_within_the_period() -> None:
    """The old setpoint drives into the wall until the new one acts, which leads away from it."""
    bodies = fleet(CLOSET, [[3.9, 2.0, 0.0]], latency_s=0.1)
    bodies.state.v_setpoint_mps[0] = bodies.state.v_mps[0] = 1.0
    bodies.move(-1.0, 0.0)
    assert bodies.motion[0, 5] == 1.0
    assert 3.74 < bodies.pose[0, 0] < 3.78  # 0.15 s back from somewhere in the last 2 cm before 3.92


def maze(seed: int) -> np.ndarray:
    """Walls one cell thick, straight and in diagonal chains, in a hall of 60 x 60 cells."""
    rng = np.random.Generator(np.random.PCG64(seed))
    blocked = walled(60, 60)
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
    options=st.sampled_from([{}, OPTIONS]),
)
def test_never_tunnels(
    seed: int, cell_m: float, cells: float, metres: float, turn: float, wall: str, options: dict[str, Any]
) -> None:
    """However long the step, each body stays in its part of the maze, and where it has room."""
    blocked = maze(seed)
    ground, radius_m = ground_of(blocked, cell_m), cells * cell_m
    poses = random_poses(64, seed, cell_m, 59 * cell_m)
    poses = poses[[clearance_at(ground, x, y) >= radius_m for x, y, _ in poses]]
    if len(poses) == 0:
        return
    parts = ndimage.label(~blocked)[0]
    bodies = fleet(ground, poses, radius_m, wall=wall, **options)
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
def test_not_even_a_tiny_body_slips_between_two_cells_that_touch(wall: str, cell_m: float) -> None:
    blocked = walled(20, 20)
    blocked[np.arange(1, 19), np.arange(1, 19)] = True  # a diagonal wall from corner to corner
    poses = random_poses(200, 3, 1.5 * cell_m, 18.5 * cell_m)
    poses = poses[np.abs(poses[:, 0] - poses[:, 1]) > 1.5 * cell_m]
    bodies = fleet(ground_of(blocked, cell_m), poses, 0.001, wall=wall)
    side = np.sign(bodies.pose[:, 0] - bodies.pose[:, 1])
    for step in range(20):
        bodies.move(*random_setpoints(len(poses), step))
        np.testing.assert_array_equal(np.sign(bodies.pose[:, 0] - bodies.pose[:, 1]), side)


def test_a_sliding_disc_too_near_a_wall_may_leave_it() -> None:
    bodies = fleet(CLOSET, [[0.2, 2.0, 0.5], [0.2, 2.0, math.pi]], wall="slide")
    bodies.move(1.0, 0.0)
    assert bodies.pose[0, 0] == pytest.approx(0.2 + 0.25 * math.cos(0.5))
    assert bodies.pose[1, 0] >= 0.2 - 1e-9


# --- bits


def test_bits_are_the_same_for_any_batch() -> None:
    def run(order: np.ndarray, split: int) -> list[np.ndarray]:
        bodies = fleet(CLOSET, random_poses(40, 5), wall="slide", **OPTIONS)
        bodies.drives.max_acceleration_mps2[::3] = np.inf
        bodies.drives.slides[::2] = False
        for step in range(6):
            for worlds in np.array_split(order, split):
                bodies.move(*random_setpoints(40, step), worlds=worlds)
        return [bodies.pose, bodies.motion, bodies.path_m, *bodies.state]

    whole = run(np.arange(40), 1)
    shuffled = np.random.Generator(np.random.PCG64(1)).permutation(40)
    for a, b in zip(whole, run(shuffled, 7)):
        np.testing.assert_array_equal(a, b)


def test_worlds_that_are_left_out_stand_still() -> None:
    bodies = fleet(HALL, [[20.0, 20.0, 0.0]] * 2, **OPTIONS)
    bodies.move(1.0, 1.0, worlds=np.array([1]))
    assert bodies.pose[0].tolist() == [20.0, 20.0, 0.0]
    assert np.isnan(bodies.motion[0]).all()
    assert bodies.state.v_mps[0] == 0.0
    assert bodies.pose[1, 0] > 20.0
