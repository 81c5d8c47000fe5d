from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from phonotaxis.configs.contract import ContinuousActions
from phonotaxis.configs.devices import HardwareDevices, Ros2Drive
from phonotaxis.configs.robot import load_robot
from phonotaxis.configs.task import AudioGoalTask
from phonotaxis.deploy.agreement import Agreement
from phonotaxis.deploy.arrival import ArrivalClock
from phonotaxis.deploy.devices import AudioBlock, DepthFrame, OdometrySample
from phonotaxis.deploy.plausibility import MUTE_S, TORN_SHARE, AudioWatch, DepthWatch, torn_share
from phonotaxis.deploy.ramp import Ramp
from phonotaxis.deploy.watches import Watches
from phonotaxis.envs.world import World

MS = 1_000_000


def _block(change: Any = None) -> AudioBlock:
    samples = np.random.default_rng(1).integers(-900, 900, (6, 160)).astype(np.int16)
    if change is not None:
        change(samples)
    return AudioBlock(samples, 0, 0)


def test_a_dead_or_clipping_channel_is_noticed_after_its_patience() -> None:
    def dead(samples: np.ndarray) -> None:
        samples[3] = 7

    def clipping(samples: np.ndarray) -> None:
        samples[2] = np.where(np.arange(160) % 2 == 0, 32767, -32768)

    def unmapped(samples: np.ndarray) -> None:
        samples[0] = 0

    def digital_silence(samples: np.ndarray) -> None:
        samples[:] = 0

    for change, said in ((dead, "channel 3 is dead"), (clipping, "channel 2 clips")):
        watch = AudioWatch([1, 2, 3, 4], 16000, 250.0)
        for _ in range(25):
            assert watch(_block(change)) == ""
            assert watch.suspicious  # at once: the age counts from the last block that could be believed
        assert watch(_block(change)) == said
        assert watch(_block()) == ""
        assert not watch.suspicious
    for change in (unmapped, digital_silence):
        watch = AudioWatch([1, 2, 3, 4], 16000, 250.0)
        assert all(watch(_block(change)) == "" and not watch.suspicious for _ in range(100))


def test_an_array_that_is_mute_is_a_fault_of_hardware_alone(toy: Any) -> None:
    """Behind a muted card a policy would search in silence; a simulated world may be silent for ever."""

    def mute(samples: np.ndarray) -> None:
        samples[1:5] = 3

    contract = toy.contract()
    robot = load_robot("simulated")
    camera = {"pipeline": "videotestsrc"}
    devices = HardwareDevices(camera=camera, drive=Ros2Drive())
    simulated = Watches(robot, contract).audio
    real = Watches(robot.model_copy(update={"devices": devices}), contract).audio
    blocks = [_block(mute)] * int(MUTE_S * 100)
    for block in blocks:
        assert real(block) == simulated(block) == ""
        assert not real.suspicious
    assert real(blocks[0]).startswith("no channel hears anything")
    assert real.suspicious
    assert simulated(blocks[0]) == ""
    assert real(_block()) == ""
    assert not real.suspicious


def test_an_image_that_stays_while_the_robot_moves_is_frozen() -> None:
    frame = DepthFrame(np.ones((4, 4), dtype=np.float32), 0)
    other = DepthFrame(np.full((4, 4), 2.0, dtype=np.float32), 0)
    for motion, frozen in (
        (OdometrySample(0.06, 0.0, 0.0, False, 1), True),
        (OdometrySample(0, 0, 0, False, 1), False),
        (OdometrySample(0.06, 0.0, 0.0, False, 0), False),  # it is in the image, though it is told of afterwards
    ):
        watch = DepthWatch()
        said = [watch(frame)]
        for _ in range(4):
            watch.moved(motion)
            said.append(watch(frame))
            assert watch.suspicious == frozen
        assert said[:3] == ["", "", ""]
        assert (said[-1] == "the image is frozen") == frozen
        assert watch(other) == ""
        assert not watch.suspicious


def test_an_image_without_surfaces_is_noise(toy: Any) -> None:
    rng, watch = np.random.default_rng(6), DepthWatch()
    hall = toy.hall_depth(toy.contract().camera, 4.0)
    said = []
    for _ in range(3):
        said.append(watch(DepthFrame(rng.uniform(0.0, 65.0, (48, 64)).astype(np.float32), 0)))
        assert watch.suspicious
    assert said == ["", "", "the image is noise"]
    assert watch(DepthFrame(hall, 0)) == ""
    assert not watch.suspicious
    assert torn_share(np.zeros((48, 64), dtype=np.float32)) == 0.0
    speckled = np.where(rng.random(hall.shape) < 0.3, 0.0, hall * (1 + 0.02 * rng.normal(size=hall.shape)))
    assert torn_share(speckled.astype(np.float32)) < 0.1  # what a stereo camera makes of it


def test_rooms_full_of_things_are_no_noise() -> None:
    world = World(AudioGoalTask(), num_worlds=8)
    shares = []
    for seed in range(0, 64, 8):
        world.begin(np.arange(8), np.arange(seed, seed + 8))
        shares += [torn_share(depth_m) for depth_m in world.observation["depth"]]
    assert max(shares) < 0.5 * TORN_SHARE


def test_arrivals_give_capture_times_without_their_jitter() -> None:
    rng = np.random.default_rng(4)
    clock, errors = ArrivalClock(16000), []
    for block in range(1, 500):
        true_ns = block * 10 * MS
        assert clock.arrive(block * 160, true_ns + int(rng.exponential(3.0) * MS)) == 0
        errors.append((clock.captured_ns(block * 160) - true_ns) * 1e-6)
    assert max(np.abs(errors[100:])) < 0.5


@pytest.mark.parametrize("ppm", [-200.0, 200.0])
def test_a_converter_that_drifts_loses_nothing(ppm: float) -> None:
    clock = ArrivalClock(16000)
    for block in range(1, 60_000):
        true_ns = int(block * 10 * MS * (1 + ppm * 1e-6))
        assert clock.arrive(block * 160, true_ns) == 0
    assert abs(clock.captured_ns(block * 160) - true_ns) < 1 * MS


def test_samples_that_never_came_are_counted_though_the_driver_says_nothing() -> None:
    clock, end, lost = ArrivalClock(16000), 0, 0
    for block in range(1, 1000):
        if 300 <= block < 320:
            continue  # 200 ms, 3200 samples
        end += 160
        found = clock.arrive(end, block * 10 * MS)
        end, lost = end + found, lost + found
    assert lost == pytest.approx(3200, abs=32)
    stalled = ArrivalClock(16000)
    for block in range(1, 1000):  # the same time late, and then all at once: nothing is lost
        at_ns = max(block, 319 if 300 <= block < 320 else 0) * 10 * MS
        assert stalled.arrive(block * 160, at_ns) == 0


def test_a_ramp_keeps_acceleration_and_jerk_and_arrives() -> None:
    ramp, speeds = Ramp(2.0, 10.0), [0.0]
    for _ in range(100):
        speeds.append(ramp(0.8, 0.02))
    rates = np.diff(speeds) / 0.02
    assert speeds[-1] == 0.8
    assert (np.diff(speeds) >= 0).all()
    assert rates.max() <= 2.0 + 1e-9
    jerks = np.diff(rates) / 0.02
    arrival = int(np.argmax(np.isclose(speeds, 0.8))) - 1
    assert np.abs(jerks[: arrival - 1]).max() <= 10.0 + 1e-6  # the last tick is cut to the setpoint
    ramp.stop()
    assert ramp.speed == 0.0


def test_agreement_counts_what_the_person_did(toy: Any) -> None:
    contract = toy.contract()
    agreement = Agreement(contract)
    assert agreement.share is None
    for action, dx_m, dyaw_rad in ((1, 0.25, 0.0), (1, 0.0, 0.17), (2, 0.0, 0.16), (3, 0.0, 0.17), (0, 0.0, 0.0)):
        agreement.decided(np.asarray(action))
        agreement.moved(OdometrySample(dx_m, 0.0, dyaw_rad, False, 0))
    agreement.decided(np.asarray(0))
    assert agreement.steps == 5
    assert agreement.share == pytest.approx(3 / 5)
    free = Agreement(contract.model_copy(update={"actions": ContinuousActions()}))
    free.decided(np.array([0.5, 0.0, -1.0]))
    free.moved(OdometrySample(0.5 * 0.25 * contract.body.max_v_mps, 0.0, 0.0, False, 0))
    free.decided(np.array([0.5, 1.0, -1.0]))
    free.moved(OdometrySample(0.125, 0.0, -math.pi, False, 0))
    free.decided(np.array([0.0, 0.0, 1.0]))
    assert (free.steps, free.agreed) == (2, 1)
