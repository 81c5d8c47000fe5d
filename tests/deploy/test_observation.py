from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

from phonotaxis.configs.contract import Contract, PinholeCamera
from phonotaxis.configs.robot import RobotConfig, simulated_robot
from phonotaxis.deploy.clearance import Clearance
from phonotaxis.deploy.devices import AudioBlock, DepthFrame, OdometrySample
from phonotaxis.deploy.observation import MAX_AGE_S, ObservationBuilder, digest

RATE = 16000


def _setup(toy: Any, **changes: Any) -> tuple[Contract, RobotConfig, ObservationBuilder]:
    contract = toy.contract(**changes)
    robot = simulated_robot(contract.array, contract.camera, "none")
    return contract, robot, ObservationBuilder(contract, robot)


def _block(first: int, count: int, channels: int = 6) -> AudioBlock:
    """Make a block whose samples tell their own index and channel, captured at 1 s + index / rate."""
    index = np.arange(first, first + count)
    samples = (index[None, :] % 1000 + 1000 * np.arange(channels)[:, None]).astype(np.int16)
    return AudioBlock(samples, first, 1_000_000_000 + first * 1_000_000_000 // RATE)


def _run(builder: ObservationBuilder, *blocks: AudioBlock) -> list[tuple[Any, dict[str, np.ndarray]]]:
    return [(due, builder.observe(due)) for block in blocks for due in builder.add_block(block)]


def test_the_observation_has_the_contracts_names_shapes_and_types(toy: Any) -> None:
    contract, _, builder = _setup(toy)
    ((_, seen),) = _run(builder, _block(0, 4000))
    assert list(seen) == [spec.name for spec in contract.observations()]
    assert [(v.shape, v.dtype.name) for v in seen.values()] == [
        (spec.shape, spec.dtype) for spec in contract.observations()
    ]


@pytest.mark.parametrize("size", [1, 7, 800, 3999, 4000, 4001, 12000])
def test_steps_fall_on_hops_whatever_the_blocks(toy: Any, size: int) -> None:
    _, _, builder = _setup(toy)
    whole = _block(100, 12000)
    blocks = [
        AudioBlock(whole.samples[:, at : at + size], 100 + at, whole.capture_ns + at * 62500)
        for at in range(0, 12000, size)
    ]
    found = _run(builder, *blocks)
    assert [due.end_sample for due, _ in found] == [4100, 8100, 12100]
    assert [due.step for due, _ in found] == [0, 1, 2]
    assert [due.due_ns - whole.capture_ns for due, _ in found] == [250_000_000, 500_000_000, 750_000_000]
    for number, (_, seen) in enumerate(found):
        heard = whole.samples[[1, 2, 3, 4], number * 4000 : (number + 1) * 4000]  # the array's channel map
        assert np.array_equal(seen["audio"] * 32768, heard.astype(np.float32))


def test_a_window_longer_than_the_hop_overlaps_and_begins_in_silence(toy: Any) -> None:
    _, _, builder = _setup(toy, window_samples=6000)
    whole = _block(100, 12000)
    found = _run(builder, whole)
    assert [due.end_sample for due, _ in found] == [4100, 8100, 12100]
    first, second = (seen["audio"][0] * 32768 for _, seen in found[:2])
    assert not first[:2000].any()
    assert np.array_equal(first[2000:], whole.samples[1, :4000].astype(np.float32))
    assert np.array_equal(second, whole.samples[1, 2000:8000].astype(np.float32))


def test_a_new_start_silences_what_was_heard_before(toy: Any) -> None:
    """Armed in the middle of a hop: of that step's window the hop stays, and later windows don't reach before it."""
    _, _, builder = _setup(toy, window_samples=14000)
    whole = _block(0, 20000)
    before = _run(builder, AudioBlock(whole.samples[:, :9000], 0, whole.capture_ns))
    builder.mark_start()
    after = _run(builder, AudioBlock(whole.samples[:, 9000:], 9000, whole.capture_ns + 9000 * 62500))
    assert [float(seen["episode_start"][0]) for _, seen in before + after] == [1.0, 0.0, 1.0, 0.0, 0.0]
    heard = whole.samples[1].astype(np.float32)
    for steps, (_, seen) in enumerate(after, start=1):
        window = seen["audio"][0] * 32768
        begun = 14000 - 4000 * steps
        assert not window[: max(begun, 0)].any()
        assert np.array_equal(window[begun:], heard[8000 : 8000 + 4000 * steps])


def test_a_small_gap_is_filled_with_zeros_in_its_place(toy: Any) -> None:
    _, _, builder = _setup(toy)
    found = _run(builder, _block(0, 1000), _block(1500, 2500))
    ((due, seen),) = found
    assert due.end_sample == 4000
    assert not seen["audio"][:, 1000:1500].any()
    assert seen["audio"][0, 1500] * 32768 == 1500 % 1000 + 1000
    assert builder.notices == ["audio gap of 500 samples, filled with zeros"]


@pytest.mark.parametrize("resumed_at", [4000 + 4001, 0, 100_000])
def test_a_long_gap_or_a_restart_resets_the_memory_and_the_window(toy: Any, resumed_at: int) -> None:
    _, _, builder = _setup(toy)
    first = _run(builder, _block(0, 4000))
    second = _run(builder, _block(resumed_at, 4000), _block(resumed_at + 4000, 4000))
    assert [float(seen["episode_start"][0]) for _, seen in first + second] == [1.0, 1.0, 0.0]
    assert [due.end_sample - resumed_at for due, _ in second] == [4000, 8000]
    assert len(builder.notices) == 1


def test_a_gap_of_exactly_one_hop_does_not_reset(toy: Any) -> None:
    _, _, builder = _setup(toy)
    found = _run(builder, _block(0, 4000), _block(8000, 4000))
    assert [float(seen["episode_start"][0]) for _, seen in found] == [1.0, 0.0, 0.0]


def test_odometry_adds_up_in_the_frame_of_the_last_step(toy: Any) -> None:
    _, _, builder = _setup(toy)
    builder.add_odometry(OdometrySample(1.0, 0.0, np.pi / 2, False, 0))
    builder.add_odometry(OdometrySample(2.0, 0.0, 0.25, True, 0))
    builder.set_allowed(0.5, -0.25)
    (_, seen), (_, after) = _run(builder, _block(0, 4000), _block(4000, 4000))
    assert seen["motion"] == pytest.approx([1.0, 2.0, np.pi / 2 + 0.25, 0.5, -0.25, 1.0])
    assert seen["motion_valid"][0] == 1.0
    assert after["motion"] == pytest.approx([0.0, 0.0, 0.0, 0.5, -0.25, 0.0])
    assert after["motion_valid"][0] == 0.0


def test_one_odometry_sample_passes_unchanged(toy: Any) -> None:
    _, _, builder = _setup(toy)
    motion = np.array([0.1, -0.0, -0.0], dtype=np.float32)
    builder.add_odometry(OdometrySample(*(float(x) for x in motion), collision=False, capture_ns=0))
    ((_, seen),) = _run(builder, _block(0, 4000))
    assert seen["motion"][:3].tobytes() == motion.tobytes()


def test_depth_passes_bit_by_bit_and_ages(toy: Any) -> None:
    contract, _, builder = _setup(toy)
    rng = np.random.default_rng(0)
    depth = rng.uniform(0.1, 9.0, (contract.camera.height, contract.camera.width)).astype(np.float32)
    depth[0, 0] = 0.0
    (_, blind), *_ = _run(builder, _block(0, 4000))
    assert blind["depth_age_s"][0] == MAX_AGE_S
    assert not blind["depth"].any()
    builder.add_frame(DepthFrame(depth, 1_000_000_000 + 400_000_000))
    ((_, seen),) = _run(builder, _block(4000, 4000))
    assert seen["depth"].tobytes() == depth.tobytes()
    assert seen["depth_age_s"][0] == np.float32(0.1)


def test_what_does_not_fit_the_array_or_camera_is_refused(toy: Any) -> None:
    _, _, builder = _setup(toy)
    with pytest.raises(ValueError, match="6 channels"):
        list(builder.add_block(_block(0, 100, channels=4)))
    with pytest.raises(ValueError, match="int16"):
        list(builder.add_block(AudioBlock(np.zeros((6, 10), dtype=np.int32), 0, 0)))
    with pytest.raises(ValueError, match="32 x 32"):
        builder.add_frame(DepthFrame(np.zeros((8, 8), dtype=np.float32), 0))


def test_a_named_goal_must_be_given(toy: Any) -> None:
    contract = toy.contract(goal={"size": 3, "embedding": "clap"})
    robot = simulated_robot(contract.array, contract.camera, "none")
    with pytest.raises(ValueError, match="goal of 3 numbers, got none"):
        ObservationBuilder(contract, robot)
    builder = ObservationBuilder(contract, robot, np.arange(3, dtype=np.float32))
    ((_, seen),) = _run(builder, _block(0, 4000))
    assert seen["goal"].tolist() == [0.0, 1.0, 2.0]


def test_the_digest_depends_on_each_bit_and_name(toy: Any) -> None:
    _, _, builder = _setup(toy)
    ((_, seen),) = _run(builder, _block(0, 4000))
    original = digest(seen)
    assert digest({name: value.copy() for name, value in seen.items()}) == original
    for name in seen:
        changed = {key: value.copy() for key, value in seen.items()}
        bits = changed[name].reshape(-1)[-1:].view(np.uint32)
        bits ^= 1
        assert digest(changed) != original, name
    assert digest({**seen, "more": np.zeros(1, dtype=np.float32)}) != original


def test_another_camera_is_reprojected(toy: Any) -> None:
    wide = PinholeCamera(width=128, height=128, fx=32.0, fy=32.0, cx=64.0, cy=64.0, mount_xyz_m=(0.1, 0.0, 0.5))
    contract = toy.contract()
    robot = simulated_robot(contract.array, wide, "none")
    builder = ObservationBuilder(contract, robot)
    builder.add_frame(DepthFrame(toy.hall_depth(wide, 4.0), 0))
    ((_, seen),) = _run(builder, _block(0, 4000))
    expected = toy.hall_depth(contract.camera, 4.0)
    both = (expected > 0) & (seen["depth"] > 0)
    assert both.sum() > 0.95 * (expected > 0).sum()
    # within a pixel of the robot's camera, where the floor's depth changes by at most 8 %
    assert np.abs(seen["depth"][both] / expected[both] - 1).max() < 0.1


def test_large_frames_at_full_rate_leave_time_for_all_else(toy: Any) -> None:
    """A second of a common depth camera, 30 frames of 640 x 480, against the second of a control loop."""
    large = PinholeCamera(width=640, height=480, fx=320.0, fy=320.0, cx=320.0, cy=240.0, mount_xyz_m=(0.1, 0.0, 0.5))
    contract = toy.contract()
    robot = simulated_robot(contract.array, large, "none")
    builder, clearance = ObservationBuilder(contract, robot), Clearance(robot)
    depths_m = [toy.hall_depth(large, wall_m) for wall_m in np.linspace(4.0, 3.0, 30)]
    begun_ns = time.thread_time_ns()
    for count, depth_m in enumerate(depths_m):
        builder.add_frame(DepthFrame(depth_m, count))
        ahead_m = clearance(depth_m)
    ((_, seen),) = _run(builder, _block(0, 4000))
    assert time.thread_time_ns() - begun_ns < 250_000_000
    assert seen["depth"].max() == pytest.approx(2.9, abs=1e-5)  # of the newest frame
    assert ahead_m == pytest.approx(3.0 - robot.radius_m, abs=0.01)
    with pytest.raises(ValueError, match="480 x 640"):
        builder.add_frame(DepthFrame(depth_m[:, :320], 31))
