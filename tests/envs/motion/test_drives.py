"""Drives: what ramps, latency and slip make of setpoints, and what the wheels tell of it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from phonotaxis.configs.compatibility import covered_in_period
from phonotaxis.envs.body import drive, wrap
from phonotaxis.envs.motion import ODOMETRY, rest, slip_factors

RADIUS_M = 0.18
PERIOD_S = 0.25


# --- without options


def test_without_options_it_is_plain_drive_to_the_bit(yard: Any) -> None:
    bodies = yard.fleet(yard.closet, yard.random_poses(200, 1))
    touched_any = 0
    for step in range(3):
        before, path = bodies.pose.copy(), bodies.path_m.copy()
        v, w = yard.random_setpoints(200, step)
        bodies.move(v, w)
        for i, (x0, y0, yaw0) in enumerate(before):
            x, y, yaw, travelled, touched = drive(yard.closet, x0, y0, yaw0, v[i], w[i], PERIOD_S, RADIUS_M)
            assert tuple(bodies.pose[i]) == (x, y, yaw)
            assert bodies.path_m[i] == path[i] + travelled
            assert bodies.state.v_mps[i] == (0.0 if touched else v[i])
            touched_any += touched
        cos, sin = np.cos(before[:, 2]), np.sin(before[:, 2])
        dx, dy = (bodies.pose - before)[:, :2].T
        expected = [cos * dx + sin * dy, cos * dy - sin * dx, wrap(bodies.pose[:, 2] - before[:, 2]), v, w]
        np.testing.assert_allclose(bodies.motion[:, :5].T, expected, rtol=1e-6, atol=1e-9)
    assert 20 < touched_any < 580


def test_options_that_do_nothing_change_nothing(yard: Any) -> None:
    """The path with options, given ramps too fast to see, ends where the plain one does."""
    plain, ramped = (
        yard.fleet(yard.closet, yard.random_poses(100, 2)),
        yard.fleet(yard.closet, yard.random_poses(100, 2)),
    )
    ramped.drives.max_acceleration_mps2[:] = 1e12
    for step in range(3):
        v, w = yard.random_setpoints(100, step)
        plain.move(v, w)
        ramped.move(v, w)
        np.testing.assert_allclose(ramped.pose, plain.pose, atol=1e-9)
        np.testing.assert_allclose(ramped.path_m, plain.path_m, atol=1e-9)
        np.testing.assert_allclose(ramped.motion, plain.motion, atol=1e-6)
        np.testing.assert_allclose(ramped.state.v_mps, plain.state.v_mps, atol=1e-9)


# --- ramps and latency


@pytest.mark.parametrize("acceleration", [None, 0.5, 2.0, 40.0])
@pytest.mark.parametrize("latency_s", [0.0, 0.1, 0.25])
def test_from_rest_it_covers_what_the_contract_compares_robots_by(
    yard: Any, acceleration: float | None, latency_s: float
) -> None:
    options = {"max_acceleration_mps2": acceleration, "max_angular_acceleration_radps2": acceleration}
    bodies = yard.fleet(yard.hall, [[20.0, 20.0, 0.0]] * 2, latency_s=latency_s, **options)
    bodies.move([0.8, 0.0], [0.0, 0.8])
    expected = covered_in_period(0.8, acceleration, latency_s, PERIOD_S)
    assert bodies.pose[0, 0] - 20.0 == pytest.approx(expected, abs=1e-12)
    assert bodies.pose[1, 2] == pytest.approx(expected, abs=1e-12)
    assert bodies.motion[0, 3] == np.float32(0.8)  # what safety let through, not what the wheels reached


def test_speeds_carry_over_into_the_next_period_and_end_with_the_episode(yard: Any) -> None:
    bodies = yard.fleet(yard.hall, [[20.0, 20.0, 0.0]] * 2, max_acceleration_mps2=2.0)
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


def test_a_setpoint_acts_after_the_latency_and_the_last_one_until_then(yard: Any) -> None:
    bodies = yard.fleet(yard.hall, [[20.0, 20.0, 0.0]], latency_s=PERIOD_S)
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


def test_follows_the_equations_of_motion(yard: Any) -> None:
    bodies = yard.fleet(yard.hall, [[20.0, 20.0, 0.3]], **yard.options)
    setpoints = [(0.0, 0.0), (1.0, 1.5), (0.6, -2.0), (-0.8, -0.5)]
    rates = (yard.options["max_acceleration_mps2"], yard.options["max_angular_acceleration_radps2"])
    for step, pair in enumerate(zip(setpoints, setpoints[1:])):
        slip = slip_factors(bodies.keys[0], step, (0.1, 0.2, 0.1))
        speeds = (bodies.state.v_mps[0], bodies.state.w_radps[0])
        expected = integrated(*bodies.pose[0], speeds, pair, rates, yard.options["latency_s"], slip)
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


def test_wheels_dont_see_slip_and_an_external_estimator_does(yard: Any) -> None:
    v, w = 0.8, 0.5
    driven: dict[str, np.ndarray] = {}
    for source in ODOMETRY:
        bodies = yard.fleet(yard.hall, [[20.0, 20.0, 0.0]] * 50, slip_v=0.1, slip_w=0.1, slip_turn_radpm=0.1)
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


def test_commands_are_what_was_asked_for_whatever_came_of_it(yard: Any) -> None:
    bodies = yard.fleet(yard.closet, [[3.9, 2.0, 0.0]])
    bodies.move(1.0, 0.0, odometry="commanded")
    assert bodies.motion[0].tolist() == pytest.approx([0.25, 0.0, 0.0, 1.0, 0.0, 1.0])
    assert bodies.pose[0, 0] < 3.93


def test_a_scaled_drive_runs_faster_and_its_wheels_know(yard: Any) -> None:
    for options in ({}, {"max_acceleration_mps2": 100.0}):
        bodies = yard.fleet(yard.hall, [[20.0, 20.0, 0.0]], speed_scale=1.1, **options)
        bodies.move(1.0, 0.0)
        bodies.move(1.0, 0.0)
        assert bodies.motion[0, 0] == pytest.approx(0.275, abs=1e-6)
        assert bodies.motion[0, 3] == 1.0


# --- bits


def test_bits_are_the_same_for_any_batch(yard: Any) -> None:
    def run(order: np.ndarray, split: int) -> list[np.ndarray]:
        bodies = yard.fleet(yard.closet, yard.random_poses(40, 5), wall="slide", **yard.options)
        bodies.drives.max_acceleration_mps2[::3] = np.inf
        bodies.drives.slides[::2] = False
        for step in range(6):
            for worlds in np.array_split(order, split):
                bodies.move(*yard.random_setpoints(40, step), worlds=worlds)
        return [bodies.pose, bodies.motion, bodies.path_m, *bodies.state]

    whole = run(np.arange(40), 1)
    shuffled = np.random.Generator(np.random.PCG64(1)).permutation(40)
    for a, b in zip(whole, run(shuffled, 7)):
        np.testing.assert_array_equal(a, b)


def test_worlds_that_are_left_out_stand_still(yard: Any) -> None:
    bodies = yard.fleet(yard.hall, [[20.0, 20.0, 0.0]] * 2, **yard.options)
    bodies.move(1.0, 1.0, worlds=np.array([1]))
    assert bodies.pose[0].tolist() == [20.0, 20.0, 0.0]
    assert np.isnan(bodies.motion[0]).all()
    assert bodies.state.v_mps[0] == 0.0
    assert bodies.pose[1, 0] > 20.0
