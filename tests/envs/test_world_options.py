"""Each option of a task acts in the world, and an episode is the same wherever it runs."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from phonotaxis.configs import contract as names
from phonotaxis.configs.air import Air
from phonotaxis.configs.compatibility import covered_in_period
from phonotaxis.configs.motion import Drive
from phonotaxis.configs.task import AudioGoalTask
from phonotaxis.envs.acoustics.air import SPEED_OF_SOUND_MPS, amplitude_exponent_per_m
from phonotaxis.envs.acoustics.tracer import BIN_S
from phonotaxis.envs.acoustics.unit_variation import draw_unit
from phonotaxis.envs.library import Library
from phonotaxis.envs.randomise import draw_variation, materials_of, nominal_variation, varied_camera
from phonotaxis.envs.simulated_world import WorldRobot
from phonotaxis.envs.vision.eyes import look
from phonotaxis.envs.world import World

STOP, FORWARD, LEFT, RIGHT = range(4)
STAND = np.zeros(1)
MakeTask = Callable[..., AudioGoalTask]


@pytest.fixture
def begin(make_task: MakeTask) -> Callable[..., World]:
    """Begin one world of a small task on an episode, in the middle of the room, looking along x."""

    def begun(seed: int = 3, **fields: Any) -> World:
        world = World(make_task(**({"response_s": 0.1} | fields)))
        start(world, seed)
        return world

    return begun


def start(world: World, seed: int) -> None:
    world.begin(np.array([0]), np.array([seed]))
    world.pose[0] = 3.0, 2.5, 0.0


def go(world: World, action: int) -> np.ndarray:
    """Act, and return how far the world has gone: dx, dy, dyaw of its base frame, and what its odometry says of it."""
    x0, y0, yaw0 = world.pose[0]
    world.step(np.array([action]))
    x, y, yaw = world.pose[0]
    cos, sin = math.cos(yaw0), math.sin(yaw0)
    gone = cos * (x - x0) + sin * (y - y0), cos * (y - y0) - sin * (x - x0), math.remainder(yaw - yaw0, 2 * math.pi)
    return np.array([gone, world.observation[names.MOTION][0, :3].astype(float)])


def stand(world: World) -> None:
    world.step_setpoints(STAND, STAND, np.zeros(1, dtype=np.bool_))


def rms(world: World) -> float:
    return float(np.sqrt(np.mean(world.observation[names.AUDIO].astype(float) ** 2)))


def test_a_drive_ramps_and_begins_each_episode_at_rest(begin: Callable[..., World]) -> None:
    world = begin(drive={"max_acceleration_mps2": 2.0, "latency_s": 0.05})
    expected = covered_in_period(1.0, 2.0, 0.05, 0.25)
    for _ in range(2):
        (first, _), (second, _) = go(world, FORWARD), go(world, FORWARD)
        assert first[0] == pytest.approx(expected)
        assert second[0] > 1.5 * first[0]
        start(world, 4)


def test_slip_is_felt_and_wheels_do_not_see_it(begin: Callable[..., World]) -> None:
    world = begin(drive={"slip_v": 0.1})
    steps = np.array([go(world, FORWARD) for _ in range(4)])
    assert steps[:, 1, 0] == pytest.approx(0.25)
    assert np.abs(steps[:, 0, 0] - 0.25).min() > 1e-4
    assert np.unique(steps[:, 0, 0].round(6)).size == 4  # drawn anew each step
    start(world, 3)
    assert np.array_equal([go(world, FORWARD)[0, 0] for _ in range(4)], steps[:, 0, 0])
    start(world, 4)
    assert go(world, FORWARD)[0, 0] != steps[0, 0, 0]


@pytest.mark.parametrize(("wall", "slides"), [("stop", False), ("slide", True)])
def test_what_happens_at_a_wall_is_the_tasks_choice(begin: Callable[..., World], wall: str, slides: bool) -> None:
    world = begin(drive={"wall": wall})
    world.pose[0] = 3.0, 0.4, math.radians(-30.0)
    for _ in range(4):
        go(world, FORWARD)
    assert world.observation[names.MOTION][0, 5] == 1.0
    assert bool(world.pose[0, 0] > 3.7) is slides


def test_class_and_colour_are_what_eyes_see(begin: Callable[..., World]) -> None:
    world = begin(modalities=("depth", "color", "semantic"))
    go(world, LEFT)
    assert world.episodes[0] is not None
    scene = world.library.scenes[world.episodes[0].scene]
    seen = look(scene, world.contract.camera, world.pose, ("depth", "semantic", "color"))
    assert np.array_equal(world.observation[names.SEMANTIC], seen.semantic)
    assert np.array_equal(world.observation[names.COLOR], seen.color)
    assert np.array_equal(world.observation[names.DEPTH], seen.depth_m)
    assert len(np.unique(seen.semantic)) >= 3


def test_depth_noise_is_drawn_for_each_step_and_episode(begin: Callable[..., World]) -> None:
    noisy = begin(depth_noise={"axial_m": 0.01})
    clean = begin()
    images = []
    for _ in range(2):
        stand(noisy)
        stand(clean)
        images.append(noisy.observation[names.DEPTH][0] - clean.observation[names.DEPTH][0])
    start(noisy, 4)
    stand(noisy)
    images.append(noisy.observation[names.DEPTH][0] - clean.observation[names.DEPTH][0])
    known = clean.observation[names.DEPTH][0] > 0.2
    for image in images:
        assert np.std(image[known]) == pytest.approx(0.01, rel=0.1)
    correlations = np.corrcoef([image[known] for image in images]) - np.eye(3)
    assert np.abs(correlations).max() < 0.1  # 4000 pixels: six standard errors


def test_depth_noise_is_scaled_for_each_episode(begin: Callable[..., World]) -> None:
    noise = {"axial_m": 0.01}
    world = begin(depth_noise=noise, randomise={"depth_noise_scale": [0.0, 2.0]})
    clean = begin()
    stand(clean)
    for seed in (3, 5):
        start(world, seed)
        stand(world)
        scale = draw_variation(world.task.randomise, seed).depth_noise_scale
        error = (world.observation[names.DEPTH] - clean.observation[names.DEPTH])[clean.observation[names.DEPTH] > 0.2]
        assert np.std(error) == pytest.approx(0.01 * scale, rel=0.1)


def test_the_camera_of_an_episode_is_bumped(begin: Callable[..., World]) -> None:
    ranges = {"camera_pitch_shift_rad": [-0.1, 0.1], "camera_z_shift_m": [-0.1, 0.1], "camera_fov_scale": [0.8, 1.2]}
    world = begin(randomise=ranges)
    for seed in (3, 4):
        start(world, seed)
        stand(world)
        assert world.episodes[0] is not None
        scene = world.library.scenes[world.episodes[0].scene]
        camera = varied_camera(world.contract.camera, draw_variation(world.task.randomise, seed))
        assert camera != world.contract.camera
        assert np.array_equal(world.observation[names.DEPTH], look(scene, camera, world.pose).depth_m)


def test_the_body_of_an_episode_has_its_own_speed_and_radius(begin: Callable[..., World]) -> None:
    world = begin(randomise={"speed_scale": [0.8, 1.2], "radius_m": [0.1, 0.4]})
    scales, stops = [], []
    for seed in range(4):
        start(world, seed)
        before = world.actions_to_go()[0]
        scale = draw_variation(world.task.randomise, seed).speed_scale
        assert go(world, FORWARD)[0, 0] == pytest.approx(0.25 * scale)
        scales.append((scale, before))
        for _ in range(20):
            go(world, FORWARD)
        stops.append(world.pose[0, 0] + draw_variation(world.task.randomise, seed).radius_m)
    assert np.ptp(stops) < 0.11  # all came as near to the wall as their radius lets them, to a cell
    slowest, fastest = min(scales), max(scales)
    assert slowest[1] > fastest[1]  # who is slow needs more steps


def test_starts_leave_room_for_the_widest_body(make_task: MakeTask) -> None:
    task = make_task(response_s=0.1, min_distance_m=0.5, randomise={"radius_m": [0.1, 0.6]})
    library = Library(task)
    scene = library.scene_slot(0)
    cells = np.argwhere(library.walkable(scene))
    xy = np.array([library.scenes[scene].centre_of(int(row), int(column)) for row, column in cells])
    assert 0.55 < xy.min() < 0.7


def test_a_louder_episode_is_louder(begin: Callable[..., World]) -> None:
    quiet_room = {"array": "respeaker_usb_v2", "sounds": {"instances_per_kind": 1, "mean_level_db_spl": 80}}
    plain, softer = begin(**quiet_room), begin(**quiet_room, randomise={"sound_level_shift_db": -12.0})
    assert plain.episodes[0] is not None
    assert softer.episodes[0] is not None
    assert softer.episodes[0] == plain.episodes[0]._replace(level_db_spl=plain.episodes[0].level_db_spl - 12.0)
    assert rms(plain) / rms(softer) == pytest.approx(10 ** (12 / 20), rel=0.1)


def test_distractors_grow_louder_with_the_goal(begin: Callable[..., World]) -> None:
    sources = {"distractors": 1}
    plain, softer = begin(sources=sources), begin(sources=sources, randomise={"sound_level_shift_db": -12.0})
    levels = [[one.level_db_spl for one in world.episodes[0].others] for world in (plain, softer) if world.episodes[0]]
    assert levels[0] == pytest.approx([level + 12.0 for level in levels[1]])


def test_motors_are_heard_as_fast_as_wheels_turn(begin: Callable[..., World]) -> None:
    noise = {"robot": {"motor_dba_at_full_speed": 70.0}}
    sounds = {"instances_per_kind": 1, "mean_level_db_spl": 30.0, "level_range_db": 0.0}
    world = begin(noise=noise, sounds=sounds)
    assert world.hearing.speed_mps[0] == 0.0
    stand(world)
    at_rest = rms(world)
    go(world, FORWARD)
    go(world, FORWARD)
    assert world.hearing.speed_mps[0] == pytest.approx(1.0)
    assert rms(world) > 5.0 * at_rest
    go(world, LEFT)
    assert world.hearing.speed_mps[0] == pytest.approx(math.radians(40.0) * 0.12)  # wheels are 0.24 m apart
    start(world, 3)
    assert world.hearing.speed_mps[0] == 0.0


def test_a_units_gains_and_dead_channels_are_those_of_the_noise_too(begin: Callable[..., World]) -> None:
    """The source is 50 dB below the noise, so that a channel's level is the noise's."""
    quiet = {"instances_per_kind": 1, "mean_level_db_spl": 30.0, "level_range_db": 0.0}
    room: dict[str, Any] = {"noise": {"diffuse_dba": 80.0, "robot": {"fan_dba": 60.0}}, "sounds": quiet}
    plain, spread = begin(**room), begin(**room, unit={"gain_std_db": 3.0})
    deaf = begin(**room, unit={"dead_probability": 1.0})
    for world in (plain, spread, deaf):
        stand(world)
    heard = [np.sqrt(np.mean(world.observation[names.AUDIO][0] ** 2, axis=1)) for world in (plain, spread, deaf)]
    unit = draw_unit(spread.contract.array, spread.task.unit, 3, spread.task.sample_rate_hz)
    assert np.ptp(20 * np.log10(unit.gain)) > 2.0
    np.testing.assert_allclose(heard[1] / heard[0], unit.gain, rtol=0.02)
    lives = draw_unit(deaf.contract.array, deaf.task.unit, 3, deaf.task.sample_rate_hz).alive
    assert lives.sum() == 1
    np.testing.assert_array_equal(heard[2], np.where(lives, heard[0], 0.0))  # no self-noise either


def test_the_air_of_an_episode_is_that_of_its_early_paths_and_its_late_field(begin: Callable[..., World]) -> None:
    """Fields are traced in the nominal air; what another takes beside it is taken from every bin of the late field."""
    plain, dry = begin(), begin(randomise={"air_relative_humidity_percent": 10.0})
    for world in (plain, dry):
        stand(world)
    excess = amplitude_exponent_per_m(Air(relative_humidity_percent=10.0)) - amplitude_exponent_per_m()
    wet, parched = (world.hearing.listeners for world in (plain, dry))
    metres = np.linalg.norm(wet.path_position_m[0, 0] - [*plain.pose[0, :2], 0.45])
    np.testing.assert_allclose(parched.path_gain[0, 0], wet.path_gain[0, 0] * np.exp(-excess * metres), rtol=1e-5)
    count = wet.pulse_counts[0, 0]
    assert count == parched.pulse_counts[0, 0] > 100
    before, after = wet.pulses[0, :count], parched.pulses[0, :count]
    seconds, band = before[:, 0] / plain.task.sample_rate_hz, before[:, 5].astype(int)
    middle_m = (np.floor(seconds / BIN_S) + 0.5) * BIN_S * SPEED_OF_SOUND_MPS
    sure = np.abs(seconds / BIN_S % 1.0 - 0.5) < 0.49  # float32 may put a pulse on the other side of a bin's edge
    sure &= after[:, 0] == before[:, 0]  # not so where the first sound comes, which is slower in dry air
    assert sure.mean() > 0.8
    expected = before[:, 1] * np.exp(-excess[band] * middle_m)
    np.testing.assert_allclose(after[sure, 1], expected[sure], rtol=1e-4)


def test_what_varies_of_a_bodys_speed_multiplies_the_tasks_own(begin: Callable[..., World]) -> None:
    world = begin(drive={"speed_scale": 0.5}, randomise={"speed_scale": [0.8, 1.2]})
    drawn = draw_variation(world.task.randomise, 3).speed_scale
    assert go(world, FORWARD)[0, 0] == pytest.approx(0.25 * 0.5 * drawn)


def test_a_variation_goes_with_the_episode_not_with_the_world(make_task: MakeTask, everything: dict[str, Any]) -> None:
    task = make_task(response_s=0.1, **everything)
    nominal = nominal_variation(task.radius_m, task.drive, task.air, task.unit, task.noise.diffuse_dba)
    world = World(task, 2)
    world.begin(np.array([1, 0]), np.array([8, 9]))
    (scene,) = world.library.scenes.values()
    drawn = [materials_of(scene, draw_variation(task.randomise, seed, nominal)) for seed in (9, 8)]
    assert world.variations == drawn
    assert world.variations[0] != world.variations[1]
    world.begin(np.array([0]), np.array([8]))
    assert world.variations[0] == world.variations[1]
    for array in (*world.drives, *world.eyes.model[:5], world.depth_camera.gain):
        assert np.array_equal(array[0], array[1])


def test_without_ranges_every_episode_has_the_tasks_own_values(make_task: MakeTask) -> None:
    task = make_task(response_s=0.1, drive={"latency_s": 0.1}, radius_m=0.2)
    world = World(task, 2)
    world.begin(np.arange(2), np.array([1, 2]))
    assert world.variations == [nominal_variation(0.2, Drive(latency_s=0.1))] * 2


def test_a_snapshot_takes_back_variations_and_drives(make_task: MakeTask, everything: dict[str, Any]) -> None:
    world = World(make_task(response_s=0.1, **everything), 2)
    world.begin(np.arange(2), np.array([1, 2]))
    world.step(np.array([FORWARD, LEFT]))
    snapshot = world.snapshot()
    before = _body_and_camera(world)
    assert np.abs(world.drive_state.v_setpoint_mps).max() > 0
    world.begin(np.arange(2), np.array([3, 4]))
    assert world.variations != before[0]
    world.restore(snapshot)
    assert _body_and_camera(world) == before


def _body_and_camera(world: World) -> list[Any]:
    arrays = (*world.drives, *world.drive_state, *world.eyes.model, world.depth_camera.gain)
    return [list(world.variations), *(array.tolist() for array in arrays)]


def test_a_simulated_robot_is_the_same_world(make_task: MakeTask, everything: dict[str, Any]) -> None:
    task = make_task(response_s=0.1, **everything)
    library = Library(task)
    world, robot = World(task, library=library), WorldRobot(task, seed=6, library=library)
    world.begin(np.array([0]), np.array([6]))
    window = robot.start()
    for v_mps, w_radps in ((1.0, 0.0), (0.5, 0.3), (0.0, -0.4)):
        assert np.array_equal(window.depth_m, world.observation[names.DEPTH][0])
        hop = world.observation[names.AUDIO][0] * 32768
        assert np.array_equal(window.audio_int16[list(world.contract.array.channel_map)], hop)
        assert window.odometry == tuple(world.observation[names.MOTION][0, :3].astype(float))
        world.step_setpoints(np.array([v_mps]), np.array([w_radps]), np.zeros(1, dtype=np.bool_))
        window = robot.hold(v_mps, w_radps)
