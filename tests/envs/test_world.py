"""The task as the field defines it: actions, rewards, ends, and what is reported of an episode."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from phonotaxis.configs import contract as names
from phonotaxis.configs.noise import Noise
from phonotaxis.configs.sources import Sources
from phonotaxis.configs.task import AudioGoalTask
from phonotaxis.envs import library as library_module
from phonotaxis.envs import world as world_module
from phonotaxis.envs.acoustics.converter import NoiseStreams, convert
from phonotaxis.envs.acoustics.convolution import convolve, renew_late
from phonotaxis.envs.library import Library
from phonotaxis.envs.sounds import TRAINING_KINDS
from phonotaxis.envs.threads import Crew, cores
from phonotaxis.envs.world import World

STOP, FORWARD, LEFT, RIGHT = range(4)
MakeTask = Callable[..., AudioGoalTask]


@pytest.fixture(scope="module")
def task(make_task: MakeTask) -> AudioGoalTask:
    return make_task(max_steps=30)


@pytest.fixture(scope="module")
def library(task: AudioGoalTask) -> Library:
    return Library(task)


@pytest.fixture
def world(task: AudioGoalTask, library: Library) -> World:
    world = World(task, 2, library=library)
    world.begin(np.arange(2), np.array([3, 4]))
    return world


def face(world: World, first_m: float, second_m: float = 2.0) -> None:
    """Put the two agents at these distances from their sources, facing them, on the side of the room's middle."""
    for index, distance_m in enumerate((first_m, second_m)):
        source = world.source_m(index)[:2]
        towards = np.array([3.0, 2.5]) - source
        towards /= np.linalg.norm(towards)
        turn = math.radians(10.0)
        yaw = math.atan2(-towards[1], -towards[0])
        world.pose[index] = *(source + distance_m * towards), yaw - turn
    world.step(np.array([LEFT, LEFT]))  # so that the worlds measure where they are


def test_actions_move_as_they_say(world: World) -> None:
    """0.25 m forward, 10 degrees to the left (counter-clockwise) or to the right."""
    face(world, 2.0, 2.0)
    before = world.pose.copy()
    world.step(np.array([FORWARD, LEFT]))
    moved = world.pose - before
    assert np.hypot(*moved[0, :2]) == pytest.approx(0.25)
    assert math.atan2(moved[0, 1], moved[0, 0]) == pytest.approx(before[0, 2])
    assert moved[1].tolist() == pytest.approx([0.0, 0.0, math.radians(10.0)])
    world.step(np.array([STOP, RIGHT]))
    assert world.pose[1] == pytest.approx(before[1])


def test_rewards_are_those_of_the_task(world: World) -> None:
    """-0.01 a step, metres of geodesic progress, +10 for a stop within a metre."""
    face(world, 1.6, 2.0)
    first = world.step(np.array([FORWARD, LEFT]))
    assert first.reward == pytest.approx([0.25 - 0.01, -0.01], abs=1e-6)
    assert not first.terminated.any()
    world.step(np.array([FORWARD, FORWARD]))
    world.step(np.array([FORWARD, FORWARD]))
    assert world.distance_m[0] == pytest.approx(0.85)
    last = world.step(np.array([STOP, STOP]))
    assert last.reward == pytest.approx([10.0 - 0.01, -0.01], abs=1e-6)
    assert last.terminated.tolist() == [True, True]
    assert [world.result(k).success for k in (0, 1)] == [True, False]
    assert [world.result(k).stopped for k in (0, 1)] == [True, True]


def test_progress_sums_up_to_the_way_gained(world: World) -> None:
    start = world.distance_m.copy()
    rng = np.random.Generator(np.random.PCG64(0))
    total = sum(world.step(rng.integers(1, 4, 2)).reward.astype(float) for _ in range(25))
    np.testing.assert_allclose(total, start - world.distance_m - 0.25, atol=1e-5)


@pytest.mark.parametrize(("distance_m", "success"), [(0.98, True), (1.02, False)])
def test_success_is_a_stop_within_a_metre(world: World, distance_m: float, success: bool) -> None:
    face(world, distance_m)
    outcome = world.step(np.array([STOP, LEFT]))
    assert world.distance_m[0] == pytest.approx(distance_m, abs=1e-6)
    assert bool(outcome.reward[0] > 5) is success
    result = world.result(0)
    assert (result.success, result.reached) == (success, success)
    assert result.final_distance_m == pytest.approx(distance_m)
    assert result.sound in TRAINING_KINDS


def test_passing_by_is_no_success(world: World) -> None:
    face(world, 1.1)
    world.step(np.array([FORWARD, LEFT]))
    for _ in range(18):
        world.step(np.array([LEFT, LEFT]))
    for _ in range(4):
        world.step(np.array([FORWARD, LEFT]))
    world.step(np.array([STOP, LEFT]))
    result = world.result(0)
    assert result.reached
    assert not result.success
    assert result.path_length_m == pytest.approx(5 * 0.25 + 0.0, abs=0.01)


def test_steps_are_used_up(world: World) -> None:
    for step in range(30):
        assert world.active.all()
        outcome = world.step(np.array([LEFT, RIGHT]))
        assert outcome.truncated.tolist() == [step == 29] * 2
    assert not outcome.terminated.any()
    assert not world.active.any()
    assert world.result(0).steps == 30
    after = world.step(np.array([FORWARD, FORWARD]))  # a world that is done stands still
    assert not after.reward.any()
    assert not (after.terminated | after.truncated).any()
    assert world.result(0).steps == 30


def test_a_stop_on_the_last_step_is_a_stop(make_task: MakeTask) -> None:
    world = World(make_task(max_steps=1))
    world.begin(np.array([0]), np.array([0]))
    outcome = world.step(np.array([STOP]))
    assert outcome.terminated[0]
    assert not outcome.truncated[0]


def test_the_task_is_the_fields() -> None:
    task = AudioGoalTask()
    contract = task.contract()
    assert contract.control_period_s == 0.25
    turn = math.radians(40)
    assert np.allclose(contract.actions.setpoints, [(0, 0), (1, 0), (0, turn), (0, -turn)])
    assert (task.max_steps, task.success_m, task.success_reward, task.step_reward) == (500, 1.0, 10.0, -0.01)
    assert task.sounds.level_range_db == 10.0
    assert task.out_of_sight_share >= 0.5


def test_odometry_adds_up_to_the_pose(make_task: MakeTask) -> None:
    """Composing what `motion` says of each step leads from the first pose to the last, bumps included."""
    world = World(make_task(actions="continuous", max_steps=100))
    world.begin(np.array([0]), np.array([6]))
    rng = np.random.Generator(np.random.PCG64(2))
    x, y, yaw = world.pose[0]
    touched = 0
    for _ in range(60):
        action = rng.uniform([-0.2, -1.0, -1.0], [1.0, 1.0, -0.1])[None]
        world.step(action)
        dx, dy, turn, v_mps, w_radps, collision = world.observation[names.MOTION][0].astype(float)
        x, y = x + math.cos(yaw) * dx - math.sin(yaw) * dy, y + math.sin(yaw) * dx + math.cos(yaw) * dy
        yaw += turn
        assert (x, y) == pytest.approx(world.pose[0, :2], abs=1e-4)
        assert math.cos(yaw - world.pose[0, 2]) == pytest.approx(1.0, abs=1e-8)
        assert v_mps == pytest.approx(action[0, 0] * world.contract.body.max_v_mps, rel=1e-6)
        assert w_radps == pytest.approx(action[0, 1] * world.contract.body.max_w_radps, rel=1e-6)
        touched += int(collision)
    assert world.result(0).collisions == touched > 0


def test_continuous_stop_is_the_third_above_zero(make_task: MakeTask) -> None:
    world = World(make_task(actions="continuous"), 3)
    actions = np.array([[1.0, 1.0, 0.1], [1.0, 1.0, 0.0], [9.0, -9.0, -1.0]])
    v_mps, w_radps, stop = world.setpoints(actions)
    body = world.contract.body
    assert stop.tolist() == [True, False, False]
    assert v_mps.tolist() == [0.0, body.max_v_mps, body.max_v_mps]
    assert w_radps.tolist() == [0.0, body.max_w_radps, -body.max_w_radps]


def test_bearing_is_in_the_base_frame(world: World) -> None:
    for turn in (0.0, 1.0, -2.5):
        face(world, 1.5)
        world.pose[0, 2] += turn
        world.step(np.array([LEFT, LEFT]))
        bearing = math.remainder(world.bearing_rad[0] + turn + math.radians(10), 2 * math.pi)
        assert bearing == pytest.approx(0.0, abs=1e-6)


def test_the_window_holds_the_last_sounds(make_task: MakeTask) -> None:
    """A window of two and a half hops: the newest hop at its end, what came before in front of it."""
    world = World(make_task(window_samples=10_000))
    world.begin(np.array([0]), np.array([1]))
    before = world.observation[names.AUDIO].copy()
    assert not before[0, :, :6000].any()  # an episode begins in silence
    assert np.abs(before[0, :, 6000:6100]).max() > 0
    world.step(np.array([LEFT]))
    after = world.observation[names.AUDIO]
    assert np.array_equal(after[:, :, :6000], before[:, :, 4000:])
    assert np.array_equal(after[0, :, 6000:], world.hearing.codes[0].astype(np.float32) / 32768)


def test_observations_keep_to_the_contract(world: World) -> None:
    world.step(np.array([FORWARD, LEFT]))
    for spec in world.contract.observations():
        array = world.observation[spec.name]
        assert array.shape == (2, *spec.shape)
        assert array.dtype == spec.dtype
        assert array.min() >= spec.low
        assert array.max() <= spec.high
    codes = world.observation[names.AUDIO] * 32768
    assert np.array_equal(codes, np.rint(codes))


def test_actions_to_go_counts_down(world: World) -> None:
    """Straight ahead: a step to each 0.25 m, and the stop."""
    face(world, 2.0)
    world.step(np.array([FORWARD, LEFT]))
    before = world.actions_to_go()[0]
    assert before == pytest.approx((1.75 - 1.0) / 0.25 + 2.0, abs=0.1)
    world.step(np.array([FORWARD, LEFT]))
    assert world.actions_to_go()[0] == pytest.approx(before - 1.0, abs=0.05)
    for _ in range(3):
        world.step(np.array([FORWARD, LEFT]))
    assert world.actions_to_go()[0] == 1.0


def test_other_steps_and_turns(make_task: MakeTask) -> None:
    world = World(make_task(turn_deg=15.0, step_m=0.4))
    world.begin(np.array([0]), np.array([0]))
    world.pose[0] = 3.0, 2.5, 0.0
    world.step(np.array([LEFT]))
    world.step(np.array([FORWARD]))
    assert world.pose[0] == pytest.approx(
        [3.0 + 0.4 * math.cos(math.radians(15)), 2.5 + 0.4 * math.sin(math.radians(15)), math.radians(15)]
    )


def test_misuse_is_named(task: AudioGoalTask, library: Library) -> None:
    with pytest.raises(ValueError, match="num_worlds must be at least 1, got 0"):
        World(task, 0, library=library)
    with pytest.raises(ValueError, match="world 0 has no episode yet"):
        World(task, 1, library=library).result(0)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"sample_rate_hz": 48000, "hop_samples": 12000, "window_samples": 12000}, "sample_rate_hz is 16000, .* 48000"),
        ({"radius_m": 0.31}, "widest_radius_m is .* 0.31"),
        ({"response_s": 0.07}, "response_s is .* 0.07"),
        ({"min_distance_m": 1.75}, "min_distance_m is .* 1.75"),
    ],
)
def test_a_library_of_another_task_is_refused(
    task: AudioGoalTask, library: Library, change: dict[str, object], said: str
) -> None:
    other = AudioGoalTask.model_validate(task.model_dump() | change)
    with pytest.raises(ValueError, match=f"the library was made for a task whose {said}: make one for it"):
        World(other, 1, library=library)
    World(task.model_copy(update={"max_steps": 7, "step_reward": -1.0}), 1, library=library)


def test_a_world_uses_no_more_threads_than_it_was_given(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    measure = world_module.measure

    def noted(*arguments: object) -> None:
        seen.append(threading.current_thread().name)
        measure(*arguments)

    monkeypatch.setattr(world_module, "measure", noted)
    world.step(np.array([FORWARD, FORWARD]))
    assert seen == [threading.main_thread().name]
    many = World(world.task, threads=1000, library=world.library)
    assert many.threads == many.crew.threads == cores()


def test_builders_build_the_same_and_none_but_they(make_task: MakeTask, monkeypatch: pytest.MonkeyPatch) -> None:
    task = make_task(max_steps=30)
    built: list[int] = []
    trace = library_module.source_field

    def noted(*arguments: Any) -> Any:
        built.append(arguments[-1].threads)
        return trace(*arguments)

    monkeypatch.setattr(library_module, "source_field", noted)
    builders = Crew(3)
    alone, helped = World(task, 2), World(task, 2, builders=builders)
    for one in (alone, helped):
        one.begin(np.arange(2), np.array([3, 4]))
        one.step(np.array([FORWARD, LEFT]))
    half = len(built) // 2
    assert built == [1] * half + [3] * half
    assert half > 0
    assert helped.crew.threads == 1
    assert helped.observation[names.AUDIO].tobytes() == alone.observation[names.AUDIO].tobytes()
    builders.close()


def test_a_step_may_begin_the_next_episode_of_a_world_that_is_done(task: AudioGoalTask, library: Library) -> None:
    """What it ends on and what it begins with are those of a step and of a beginning by themselves."""
    asked: list[list[int]] = []

    def seeds_for(worlds: np.ndarray) -> np.ndarray:
        asked.append(worlds.tolist())
        return worlds + 10

    flowing, halting = World(task, 3, library=library), World(task, 3, library=library)
    for one in (flowing, halting):
        one.begin(np.arange(3), np.arange(3))
        one.step(np.array([FORWARD, 2, 3]))
    outcome = flowing.step(np.array([FORWARD, 0, 2]), seeds_for)
    expected = halting.step(np.array([FORWARD, 0, 2]))
    assert asked == [[1]]
    assert list(outcome.endings) == [1]
    assert outcome.terminated.tolist() == [False, True, False]
    np.testing.assert_array_equal(outcome.reward, expected.reward)
    assert outcome.endings[1].result == halting.result(1)
    for name, array in outcome.endings[1].observation.items():
        np.testing.assert_array_equal(array, halting.observation[name][1])
    halting.begin(np.array([1]), np.array([11]))
    for name, array in flowing.observation.items():
        np.testing.assert_array_equal(array, halting.observation[name])
    assert flowing.active.all()
    assert flowing.steps.tolist() == halting.steps.tolist() == [2, 0, 2]


def test_a_hop_in_one_kernel_is_that_of_its_parts(make_task: Callable[..., AudioGoalTask]) -> None:
    """The kernel of a step, against renderer, convolver and converter called one by one, with a distractor."""
    task = make_task(response_s=0.3, sources=Sources(distractors=1), noise=Noise(diffuse_dba=40.0))
    world = World(task, 2)
    world.begin(np.arange(2), np.array([3, 4]))
    apart = World(task, 2, library=world.library)
    apart.begin(np.arange(2), np.array([3, 4]))
    hearing, worlds = apart.hearing, np.arange(2)
    total = np.zeros(hearing.codes.shape, dtype=np.float32)
    for voice in hearing.voices:
        responses, sound = hearing.renderer.responses(2), np.zeros_like(total)
        library = apart.library
        hearing.renderer.render(worlds, library.scene_sounds, library.fields, voice.listeners, responses)
        parts, renewed = (voice.convolver.constants, voice.convolver.kept), worlds[responses.renewed]
        renew_late(renewed, renewed, responses.late, *parts)
        convolve(
            worlds, worlds, library.signals, library.signal_spans, voice.emission, responses.early, voice.gain, *parts,
            sound,
        )  # fmt: skip
        total += sound
    nominal = np.ones((2, 1), dtype=np.float32)  # at its level, whatever the speed
    convert(
        worlds, worlds, total, hearing._self_noise, hearing._self_noise_gain,
        NoiseStreams(hearing.noise.bank, nominal, nominal), hearing._key, hearing.hops, hearing.codes, hearing.clipped,
        hearing._clip, hearing.listeners.mic_gain,
    )  # fmt: skip
    tapped = world.hearing.tap()
    world.hearing.hear(worlds)
    assert np.abs(tapped).max() > 0.0
    np.testing.assert_allclose(tapped, total, atol=1e-7)
    np.testing.assert_array_equal(world.hearing.codes, hearing.codes)
