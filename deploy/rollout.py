"""Writes an episode of the simulator itself in the form that a robot's has: no devices, no real time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from phonotaxis.configs.contract import (
    AUDIO,
    DEPTH,
    DEPTH_AGE_S,
    EPISODE_START,
    INT16_FULL_SCALE,
    MOTION,
    MOTION_VALID,
)
from phonotaxis.configs.robot import RobotConfig, simulated_robot
from phonotaxis.deploy import messages
from phonotaxis.deploy.container import Container
from phonotaxis.deploy.devices import AudioBlock, DepthFrame, OdometrySample
from phonotaxis.deploy.episode_info import EpisodeInfo
from phonotaxis.deploy.observation import ObservationBuilder, digest
from phonotaxis.deploy.steps import EPISODE_START_EVENT, step_dict
from phonotaxis.deploy.viewer_messages import encode_calibration, encode_pose, encode_transforms
from phonotaxis.export.bundle import Bundle


@dataclass(frozen=True, eq=False)
class RolloutStep:
    """What a policy saw and said in one step of a simulator.

    Attributes:
        observation: one array for each of `contract.observations()`, without batch axis.
        outputs: one array for each of `contract.outputs()`, without batch axis.
    """

    observation: dict[str, np.ndarray]
    outputs: dict[str, np.ndarray]


def write_rollout(
    path: Path,
    bundle: Bundle,
    engine: dict[str, Any],
    steps: Iterable[RolloutStep],
    goal: np.ndarray | None = None,
    caution: float = 0.0,
    **extra: Any,
) -> None:
    """Write an episode file from observations and outputs.

    The observations are taken apart into blocks, frames and odometry, from which the builder must make the
    same bits again; so a replay of the file proves as much as that of a robot's.

    Args:
        path: must not exist.
        bundle: the policy.
        engine: fingerprint of what computed the outputs.
        steps: of one episode, in order.
        goal: float32 [n], in tasks that name one.
        caution: where the knob stood, of a policy that has one.
        extra: facts to keep, JSON-able: scene, seed.

    Raises:
        ValueError: an observation that no robot can have, e.g. audio that isn't 16 bit.
        OSError: the file can't be written.
    """
    robot = simulated_robot(bundle.contract.array, bundle.contract.camera, "none")
    robot = robot.model_copy(update={"sample_rate_hz": bundle.contract.sample_rate_hz})
    origin = bundle.sha256, dict(engine), bundle.provenance
    info = EpisodeInfo("rollout", bundle.contract, robot, *origin, goal, extra, caution)
    container = Container(path, info.metadata())
    try:
        writer = _RolloutWriter(container, info)
        for step in steps:
            writer.step(step)
    finally:
        container.close()


class _RolloutWriter:
    def __init__(self, container: Container, info: EpisodeInfo) -> None:
        self._container, self._contract, self._robot = container, info.contract, info.robot
        self._builder = ObservationBuilder(info.contract, info.robot, info.goal, info.caution)
        self._sample = 0
        self._count = 0
        self._pose = (0.0, 0.0, 0.0)

    def step(self, step: RolloutStep) -> None:
        """Write what led to a step, and the step.

        Raises:
            ValueError: it can't be expressed as sensor data.
        """
        contract = self._contract
        fresh = contract.hop_samples
        end = self._sample + fresh
        due_ns = end * 1_000_000_000 // contract.sample_rate_hz
        self._scene(step.observation, due_ns, fresh)
        block = AudioBlock(
            device_samples(step.observation[AUDIO][:, -fresh:], self._robot),
            self._sample,
            self._sample * 1_000_000_000 // contract.sample_rate_hz,
        )
        data = messages.encode_audio(block, contract.sample_rate_hz)
        self._container.add(messages.AUDIO_TOPIC, due_ns, block.capture_ns, self._sample, data)
        for due in self._builder.add_block(block):
            built = self._builder.observe(due)
            if digest(built) != digest(step.observation):
                odd = [name for name in built if not _same(built[name], step.observation.get(name))]
                raise ValueError(
                    f"step {self._count}: {', '.join(odd)} can't come from a robot; expected 16-bit "
                    "audio that goes on from the last window, and frames and odometry as the contract says"
                )
            fields = step_dict(contract, due, built, step.outputs)
            self._json(messages.STEP_TOPIC, due.due_ns, due.step, fields)
        self._sample = end
        self._count += 1

    def _scene(self, observation: dict[str, np.ndarray], due_ns: int, fresh: int) -> None:
        motion = [float(value) for value in observation[MOTION]]
        if observation[EPISODE_START][0] and self._count:
            self._builder.mark_start()
            event = messages.health_dict(due_ns, "info", EPISODE_START_EVENT, "a new goal", {})
            self._json(messages.HEALTH_TOPIC, due_ns, self._count, event)
        frame = DepthFrame(observation[DEPTH], due_ns - round(float(observation[DEPTH_AGE_S][0]) * 1e9))
        self._builder.add_frame(frame)
        self._container.add(messages.DEPTH_TOPIC, due_ns, frame.capture_ns, self._count, messages.encode_depth(frame))
        if observation[MOTION_VALID][0]:
            sample = OdometrySample(motion[0], motion[1], motion[2], bool(motion[5]), due_ns)
            self._builder.add_odometry(sample)
            self._json(messages.ODOMETRY_TOPIC, due_ns, self._count, messages.odometry_dict(sample))
            self._view(sample, due_ns)
        self._builder.set_allowed(motion[3], motion[4])
        begun_ns = due_ns - fresh * 1_000_000_000 // self._contract.sample_rate_hz  # it held over the window
        allowed = {"time_ns": begun_ns, "v_mps": motion[3], "w_radps": motion[4], "reason": "simulated"}
        self._json(
            messages.SAFETY_TOPIC,
            due_ns,
            self._count,
            {**allowed, "armed": True, "sequence": self._count - 1},
        )

    def _view(self, sample: OdometrySample, due_ns: int) -> None:
        self._pose = sample.after(self._pose)
        for topic, data in (
            (messages.POSE_TOPIC, encode_pose(due_ns, *self._pose)),
            (messages.TRANSFORM_TOPIC, encode_transforms(self._robot, due_ns, *self._pose)),
            (messages.CALIBRATION_TOPIC, encode_calibration(self._robot, due_ns)),
        ):
            self._container.add(topic, due_ns, due_ns, self._count, data)

    def _json(self, topic: str, time_ns: int, sequence: int, value: dict[str, Any]) -> None:
        self._container.add(topic, time_ns, time_ns, sequence, messages.encode_json(value))


def device_samples(audio: np.ndarray, robot: RobotConfig) -> np.ndarray:
    """Return what the device would have delivered for what a policy heard.

    Args:
        audio: float32 [mics, samples], full scale ±1.
        robot: whose channel map is undone; channels without a microphone stay 0.

    Returns:
        int16 [device_channels, samples].

    Raises:
        ValueError: the audio doesn't lie on the steps of 16 bit.
    """
    codes = audio * np.float32(INT16_FULL_SCALE)
    whole = np.clip(np.rint(codes), -INT16_FULL_SCALE, INT16_FULL_SCALE - 1)
    if not np.array_equal(whole, codes):
        raise ValueError("expected audio in steps of 2^-15 from -1 up to 1 - 2^-15, as a 16-bit converter gives")
    device = np.zeros((robot.array.device_channels, audio.shape[1]), dtype=np.int16)
    device[list(robot.array.channel_map)] = whole.astype(np.int16)
    return device


def _same(built: np.ndarray, given: np.ndarray | None) -> bool:
    return given is not None and given.dtype == built.dtype and given.tobytes() == built.tobytes()
