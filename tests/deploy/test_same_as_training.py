"""What the runtime builds from a simulated robot's devices is what training saw, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest

from phonotaxis.configs.robot import simulated_robot
from phonotaxis.configs.task import AudioGoalTask, SceneSet, SoundSet
from phonotaxis.deploy.devices import AudioBlock, DepthFrame, OdometrySample
from phonotaxis.deploy.observation import ObservationBuilder, digest
from phonotaxis.envs.library import Library
from phonotaxis.envs.simulated_robot import WindowResult
from phonotaxis.envs.simulated_world import WorldRobot
from phonotaxis.envs.world import World

ACTIONS = (1, 1, 2, 1, 3, 3, 1, 1)


@pytest.fixture(scope="module")
def task() -> AudioGoalTask:
    scenes = SceneSet(source="empty_room", count=1)
    return AudioGoalTask(
        scenes=scenes, sounds=SoundSet(instances_per_kind=1), sources_per_scene=1, out_of_sight_share=0.0,
        min_distance_m=0.5,
    )  # fmt: skip


@pytest.fixture(scope="module")
def library(task: AudioGoalTask) -> Library:
    return Library(task)


def _feed(builder: ObservationBuilder, window: WindowResult, number: int) -> dict[str, np.ndarray]:
    """Give the builder a window as the wire would, in blocks of 50 ms, and return the step's observation."""
    hop = window.audio_int16.shape[1]
    end_ns = (number + 1) * 250_000_000
    builder.add_frame(DepthFrame(window.depth_m, end_ns))
    builder.add_odometry(OdometrySample(*window.odometry, collision=window.collision, capture_ns=end_ns))
    found = []
    for first in range(0, hop, 800):
        block = AudioBlock(
            window.audio_int16[:, first : first + 800],
            number * hop + first,
            number * 250_000_000 + first * 62_500,
        )
        found += [builder.observe(due) for due in builder.add_block(block)]
    (observation,) = found
    return observation


@pytest.mark.parametrize("window_samples", [4000, 10_000])
def test_the_robot_sees_what_training_saw(task: AudioGoalTask, library: Library, window_samples: int) -> None:
    task = task.model_copy(update={"window_samples": window_samples})
    trained = World(task, num_worlds=1, library=library)
    trained.begin(np.array([0]), np.array([4]))
    robot = WorldRobot(task, seed=4, library=library)
    contract = robot.contract
    builder = ObservationBuilder(contract, simulated_robot(contract.array, contract.camera, "none"))

    seen = _feed(builder, robot.start(), 0)
    for number, action in enumerate(ACTIONS, start=1):
        expected = {spec.name: trained.observation[spec.name][0] for spec in contract.observations()}
        assert digest(seen) == digest(expected), f"step {number - 1}"
        v_mps, w_radps, _ = contract.setpoint(action)
        trained.step(np.array([action]))
        builder.set_allowed(v_mps, w_radps)
        seen = _feed(builder, robot.hold(v_mps, w_radps), number)
    assert np.abs(seen["audio"]).max() > 0.001  # it heard something
    assert robot.world.pose[0] == pytest.approx(trained.pose[0])


def test_the_simulated_robot_outlives_the_tasks_steps(task: AudioGoalTask, library: Library) -> None:
    short = task.model_copy(update={"max_steps": 2})
    robot = WorldRobot(short, seed=4, library=library)
    first = robot.start()
    poses = [robot.hold(0.0, 0.5).pose[2] for _ in range(5)]
    turns = np.diff([first.pose[2], *poses])
    assert np.abs((turns - 0.125 + np.pi) % (2 * np.pi) - np.pi).max() < 1e-9
    again = robot.start()
    assert again.pose == first.pose
    assert np.array_equal(again.audio_int16, first.audio_int16)
