from __future__ import annotations

import ast
import inspect
import itertools
import textwrap
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phonotaxis.configs.contract import PinholeCamera
from phonotaxis.configs.geometry import base_from_camera, pixel_rays
from phonotaxis.configs.robot import DriveConfig, RobotConfig, SafetyLimits, load_robot, simulated_robot
from phonotaxis.deploy.clearance import FLOOR_TOLERANCE_M, Clearance
from phonotaxis.deploy.safety import Command, SafetyFilter, SensorState
from phonotaxis.deploy.way import Way

MS = 1_000_000
NOW = 10_000 * MS


def _robot(drive: dict[str, Any] | None = None, **limits: Any) -> RobotConfig:
    changes = {"safety": SafetyLimits(**limits), "drive": DriveConfig(**(drive or {}))}
    return load_robot("simulated").model_copy(update=changes)


def _fresh(now_ns: int = NOW, clearance_m: float | None = 5.0) -> SensorState:
    return SensorState(now_ns, now_ns, clearance_m, now_ns)


def _armed(robot: RobotConfig) -> SafetyFilter:
    safety = SafetyFilter(robot)
    safety.arm()
    return safety


def test_it_starts_disarmed_and_only_arming_lets_anything_through() -> None:
    safety = SafetyFilter(_robot())
    command = Command(0.5, 0.5, NOW, 0)
    allowed = safety.filter(command, NOW, _fresh())
    assert (allowed.v_mps, allowed.w_radps, allowed.reason) == (0.0, 0.0, "disarmed")
    safety.arm()
    allowed = safety.filter(command, NOW, _fresh())
    assert (allowed.v_mps, allowed.w_radps, allowed.reason) == (0.5, 0.5, "ok")
    safety.disarm()
    assert safety.filter(command, NOW, _fresh()).v_mps == 0.0


STALE = {
    "runtime silent": SensorState(NOW, NOW, 5.0, NOW - 251 * MS),
    "audio stale": SensorState(NOW - 251 * MS, NOW, 5.0, NOW),
    "depth stale": SensorState(NOW, NOW - 601 * MS, 5.0, NOW),
}


@pytest.mark.parametrize("reason", STALE)
def test_stale_senses_stop_it(reason: str) -> None:
    allowed = _armed(_robot()).filter(Command(0.5, 0.5, NOW, 0), NOW, STALE[reason])
    assert (allowed.v_mps, allowed.w_radps, allowed.reason) == (0.0, 0.0, reason)


@pytest.mark.parametrize("sensors", [None, SensorState(None, NOW, 5.0, NOW), SensorState(NOW, None, 5.0, NOW)])
def test_senses_that_never_came_stop_it(sensors: SensorState | None) -> None:
    assert _armed(_robot()).filter(Command(0.5, 0.5, NOW, 0), NOW, sensors).v_mps == 0.0


def test_a_command_expires_after_its_step_was_due() -> None:
    safety = _armed(_robot(command_expiry_ms=450.0))
    assert safety.filter(Command(0.5, 0.0, NOW - 450 * MS, 0), NOW, _fresh()).reason == "ok"
    assert safety.filter(Command(0.5, 0.0, NOW - 451 * MS, 0), NOW, _fresh()).reason == "command expired"
    assert safety.filter(None, NOW, _fresh()).reason == "no command yet"


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_are_none_stop_it(value: float) -> None:
    for command in (Command(value, 0.0, NOW, 0), Command(0.0, value, NOW, 0)):
        allowed = _armed(_robot()).filter(command, NOW, _fresh())
        assert (allowed.v_mps, allowed.w_radps, allowed.reason) == (0.0, 0.0, "command not finite")


def test_speeds_are_clipped() -> None:
    safety = _armed(_robot(max_v_mps=0.3, max_w_radps=0.2))
    allowed = safety.filter(Command(1.0, -1.0, NOW, 0), NOW, _fresh())
    assert (allowed.v_mps, allowed.w_radps, allowed.reason) == (0.3, -0.2, "speed limit")


def test_acceleration_is_clipped_but_a_stop_is_not() -> None:
    safety = _armed(_robot(max_acceleration_mps2=1.0, max_angular_acceleration_radps2=2.0))
    safety.filter(None, NOW, _fresh())
    ramp = [
        safety.filter(Command(1.0, -1.0, NOW + t * MS, 0), NOW + t * MS, _fresh(NOW + t * MS)) for t in (100, 200, 300)
    ]
    assert [a.v_mps for a in ramp] == pytest.approx([0.1, 0.2, 0.3])
    assert [a.w_radps for a in ramp] == pytest.approx([-0.2, -0.4, -0.6])
    assert ramp[0].reason == "acceleration limit"
    assert safety.filter(Command(1.0, 0.0, NOW, 0), NOW + 310 * MS, None).v_mps == 0.0


def test_nothing_looks_backwards() -> None:
    command = Command(-0.5, 0.1, NOW, 0)
    assert _armed(_robot()).filter(command, NOW, _fresh()).v_mps == 0.0
    assert _armed(_robot(reverse_allowed=True)).filter(command, NOW, _fresh()).v_mps == -0.5


def test_an_obstacle_slows_and_stops_it_and_leaves_turning_free() -> None:
    robot = _robot(obstacle_margin_m=0.05, obstacle_ahead_s=0.25)
    for clearance_m, expected in ((5.0, 1.0), (0.30, 1.0), (0.15, 0.4), (0.05, 0.0), (0.0, 0.0)):
        allowed = _armed(robot).filter(Command(1.0, 0.3, NOW, 0), NOW, _fresh(clearance_m=clearance_m))
        assert allowed.v_mps == pytest.approx(expected)
        assert allowed.w_radps == 0.3
        assert allowed.reason == ("ok" if expected == 1.0 else "obstacle")


def test_an_unknown_way_ahead_is_not_free() -> None:
    allowed = _armed(_robot()).filter(Command(1.0, 0.3, NOW, 0), NOW, _fresh(clearance_m=None))
    assert (allowed.v_mps, allowed.w_radps, allowed.reason) == (0.0, 0.3, "way ahead unknown")


def test_a_drive_that_brakes_slowly_keeps_its_stopping_distance() -> None:
    robot = _robot({"max_acceleration_mps2": 0.5}, obstacle_margin_m=0.0)
    allowed = _armed(robot).filter(Command(1.0, 0.0, NOW, 0), NOW, _fresh(clearance_m=0.36))
    assert allowed.v_mps == pytest.approx(np.sqrt(2 * 0.5 * 0.36))


def test_reports_of_the_wheels_that_were_held_up_and_come_together_are_no_speed() -> None:
    """The kernel may hold a serial line back for a second: fifty reports in one millisecond are no 100 m/s."""
    way = Way()

    def report(came_ms: float) -> float:
        way.measure(0.3 * 0.02, 0.0, int(came_ms * MS))
        return way.measured_mps(int(came_ms * MS))

    before_mps = [report(at) for at in range(0, 400, 20)]
    held_mps = [report(1380 + place * 0.02) for place in range(50)]  # of 400 to 1380 ms
    after_mps = [report(at) for at in range(1400, 2000, 20)]
    assert before_mps[0] == 0.0  # one report tells no speed
    known_mps = [*before_mps[1:], held_mps[-1], *after_mps]
    assert known_mps == pytest.approx([0.3] * len(known_mps), abs=0.005)
    assert max(held_mps) < 0.305


def test_the_way_driven_since_the_frame_counts() -> None:
    """It drives towards a wall on one old frame and never gets there."""
    safety = _armed(_robot(obstacle_margin_m=0.05))
    way_m, frame_ns = 0.0, NOW
    for tick in range(28):
        now_ns = NOW + tick * 20 * MS
        sensors = SensorState(now_ns, frame_ns, 0.5, now_ns)
        way_m += safety.filter(Command(1.0, 0.0, now_ns, 0), now_ns, sensors).v_mps * 0.02
    assert 0.3 < way_m <= 0.45


@pytest.mark.parametrize(("measured_radps", "commanded_radps"), [(0.0, 0.8), (0.8, 0.0), (0.0, -0.8), (-0.8, 0.8)])
@pytest.mark.parametrize(("ticks", "reason"), [(15, "ok"), (25, "way ahead unknown")])  # 0.24 and 0.40 rad
def test_a_robot_that_has_turned_away_from_its_frame_knows_no_way_ahead(
    measured_radps: float, commanded_radps: float, ticks: int, reason: str
) -> None:
    """Commanded or measured, to the left or right: the corridor of an old frame lies where it looked then."""
    safety = _armed(_robot())
    for tick in range(ticks + 1):
        now_ns = NOW + tick * 20 * MS
        safety.observe_motion(0.0, 0.02 * measured_radps if tick else 0.0, now_ns)
        sensors = SensorState(now_ns, NOW, 5.0, now_ns)
        command = Command(0.0, commanded_radps, now_ns, 0) if tick < ticks else Command(0.5, 0.1, now_ns, 0)
        allowed = safety.filter(command, now_ns, sensors)
    assert (allowed.v_mps, allowed.w_radps, allowed.reason) == (0.5 if reason == "ok" else 0.0, 0.1, reason)
    assert safety.blocked(now_ns) == (reason != "ok")
    now_ns += 20 * MS
    fresh = safety.filter(Command(0.5, 0.1, now_ns, 0), now_ns, _fresh(now_ns))
    assert (fresh.v_mps, fresh.reason) == (0.5, "ok")


def test_a_robot_that_has_turned_back_looks_where_its_frame_did() -> None:
    safety = _armed(_robot())
    for tick in range(30):
        now_ns = NOW + tick * 20 * MS
        sensors = SensorState(now_ns, NOW, 5.0, now_ns)
        safety.filter(Command(0.0, 0.8 if tick < 15 else -0.8, now_ns, 0), now_ns, sensors)
    allowed = safety.filter(Command(0.5, 0.0, now_ns, 0), now_ns, sensors)
    assert (allowed.v_mps, allowed.reason) == (0.5, "ok")


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.floats(-3, 3), st.floats(-3, 3), st.integers(0, 700), st.integers(0, 300), st.integers(0, 700),
            st.one_of(st.none(), st.floats(0, 3)), st.integers(1, 100), st.booleans(),
        ),
        min_size=1, max_size=30,
    )
)  # fmt: skip
def test_whatever_comes_the_limits_hold(ticks: list[Any]) -> None:
    robot = _robot(max_v_mps=0.8, max_w_radps=0.7, max_acceleration_mps2=2.0)
    safety, now_ns = SafetyFilter(robot), NOW
    last_v = 0.0
    for v, w, command_age, audio_age, depth_age, clearance_m, passed, armed in ticks:
        now_ns += passed * MS
        (safety.arm if armed else safety.disarm)()
        sensors = SensorState(now_ns - audio_age * MS, now_ns - depth_age * MS, clearance_m, now_ns)
        allowed = safety.filter(Command(v, w, now_ns - command_age * MS, 0), now_ns, sensors)
        assert 0.0 <= allowed.v_mps <= 0.8
        assert abs(allowed.w_radps) <= 0.7
        assert allowed.v_mps <= last_v + 2.0 * passed * 1e-3 + 1e-9
        if not armed or command_age > 450 or audio_age > 250 or depth_age > 600:
            assert (allowed.v_mps, allowed.w_radps) == (0.0, 0.0)
        if clearance_m is None:
            assert allowed.v_mps == 0.0
        else:
            assert allowed.v_mps * 0.25 <= clearance_m + 1e-9
        last_v = allowed.v_mps


def test_clearance_measures_the_way_to_a_wall(toy: Any) -> None:
    robot = load_robot("simulated")
    clearance = Clearance(robot)
    for wall_m in (0.8, 1.5, 4.0):
        # the points lie a little off the axis, where the round body has further to go
        assert clearance(toy.hall_depth(robot.camera.pinhole, wall_m)) == pytest.approx(
            wall_m - robot.radius_m, abs=0.015
        )


def test_clearance_in_an_open_hall_is_the_cameras_range(toy: Any) -> None:
    robot = load_robot("simulated")
    assert Clearance(robot)(toy.hall_depth(robot.camera.pinhole, 50.0)) == robot.camera.pinhole.max_range_m


def test_clearance_sees_a_post_only_where_the_body_would_touch_it(toy: Any) -> None:
    robot = load_robot("simulated")
    camera = robot.camera.pinhole
    rows, columns = np.mgrid[: camera.height, : camera.width]
    for y_m, in_the_way in ((0.0, True), (0.1, True), (0.3, False)):
        depth = toy.hall_depth(camera, 50.0)
        post = np.abs((columns + 0.5 - camera.cx) / camera.fx * 1.0 + y_m) < 0.03  # 1 m before the camera
        depth[post & (rows < 47)] = 1.0
        way_m = Clearance(robot)(depth)
        if in_the_way:
            assert way_m == pytest.approx(1.1 - np.sqrt(0.18**2 - y_m**2), abs=0.04)
        else:
            assert way_m == camera.max_range_m


def test_clearance_is_unknown_where_the_floor_ahead_is_unseen(toy: Any) -> None:
    robot = load_robot("simulated")
    depth = toy.hall_depth(robot.camera.pinhole, 4.0)
    assert Clearance(robot)(np.zeros_like(depth)) is None
    near = depth.copy()
    near[40:, 20:44] = 0.0  # something too near to measure hides the floor
    assert Clearance(robot)(near) is None
    nan = np.where(near == 0.0, np.float32("nan"), near)
    assert Clearance(robot)(nan) is None


def test_a_camera_that_sees_no_floor_needs_the_whole_way_to_be_known(toy: Any) -> None:
    robot = load_robot("simulated")
    upward = robot.camera.pinhole.model_copy(update={"mount_rpy_rad": (0.0, -0.9, 0.0)})
    robot = robot.model_copy(update={"camera": robot.camera.model_copy(update={"pinhole": upward})})
    clearance = Clearance(robot)
    shape = (upward.height, upward.width)
    assert clearance(np.zeros(shape, dtype=np.float32)) is None
    assert clearance(np.full(shape, 3.0, dtype=np.float32)) is not None


def test_all_stop_reasons_are_reached_by_some_test() -> None:
    states = [None, _fresh(), *STALE.values()]
    commands = [None, Command(1.0, 0.0, NOW, 0), Command(1.0, 0.0, 0, 0), Command(float("nan"), 0.0, NOW, 0)]
    found = {
        safety.stop_reason(command, NOW, state)
        for safety in (SafetyFilter(_robot()), _armed(_robot()))
        for command, state in itertools.product(commands, states)
    }
    tree = ast.parse(textwrap.dedent(inspect.getsource(SafetyFilter.stop_reason)))
    returned = [node for each in ast.walk(tree) if isinstance(each, ast.Return) for node in ast.walk(each)]
    said = {node.value for node in returned if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    assert found == said
    assert len(said) >= 8


@pytest.mark.parametrize(("drop_m", "free"), [(0.0, True), (0.04, True), (0.2, False), (3.0, False)])
def test_a_floor_that_is_not_there_is_not_free(toy: Any, drop_m: float, free: bool) -> None:
    robot = load_robot("simulated")
    camera = robot.camera.pinhole
    level = toy.hall_depth(camera, 50.0)
    lower = level * (1.0 + drop_m / camera.mount_xyz_m[2])
    lower[lower > camera.max_range_m] = 0.0
    assert (Clearance(robot)(lower.astype(np.float32)) is not None) == free


def test_only_pixels_that_could_see_an_obstacle_are_looked_at_and_none_is_missed(toy: Any) -> None:
    rng, judged = np.random.default_rng(5), 0
    for _ in range(60):
        mount = {
            "mount_xyz_m": tuple(rng.uniform([-0.2, -0.3, 0.1], [0.2, 0.3, 0.9])),
            "mount_rpy_rad": tuple(rng.uniform(-0.6, 0.6, 3)),
        }
        camera = PinholeCamera(width=48, height=32, fx=30.0, fy=30.0, cx=24.0, cy=16.0, **mount)
        robot = simulated_robot(toy.contract().array, camera, "none", safety=SafetyLimits(max_unknown_fraction=1.0))
        depth = rng.uniform(0.1, 10.0, (32, 48)).astype(np.float32)
        depth[rng.random(depth.shape) < 0.1] = np.nan
        way_m = Clearance(robot)(depth)
        if way_m is None:  # it sees no floor at all
            continue
        judged += 1
        pose = base_from_camera(camera)
        x, y, z = (pose[:3, :3] @ (pixel_rays(camera) * depth[..., None]).reshape(-1, 3).T) + pose[:3, 3:]
        hit = (x > 0) & (abs(y) < robot.radius_m) & (z > FLOOR_TOLERANCE_M) & (z < robot.height_m)
        short_m = x[hit] - np.sqrt(robot.radius_m**2 - y[hit] ** 2)
        assert way_m == pytest.approx(np.clip(short_m, 0.0, 10.0).min(initial=10.0), abs=1e-9)
    assert judged >= 40
