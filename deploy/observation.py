"""Builds what the policy sees from blocks, frames and odometry; the live loop and replay run this same code.

The order of calls decides the result, and the log keeps that order, so a replay sees what the robot saw.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from phonotaxis.configs.contract import (
    AUDIO,
    CAUTION,
    DEPTH,
    DEPTH_AGE_S,
    EPISODE_START,
    GOAL,
    MOTION,
    MOTION_VALID,
    Contract,
    audio_from_int16,
)
from phonotaxis.configs.robot import RobotConfig
from phonotaxis.deploy.clock import SampleClock
from phonotaxis.deploy.devices import AudioBlock, DepthFrame, OdometrySample
from phonotaxis.deploy.reprojection import Reprojection

MAX_AGE_S = 10.0  # ages are capped here; it is also the age where no frame ever came, since inputs are finite


@dataclass(frozen=True)
class Due:
    """A step whose samples have arrived.

    Attributes:
        step: counted from 0 over the whole episode.
        end_sample: index of the sample that follows the window.
        due_ns: monotonic time at which the window ended.
    """

    step: int
    end_sample: int
    due_ns: int


class ObservationBuilder:
    """Gathers sensor data and builds the contract's observation whenever a step is due."""

    def __init__(
        self, contract: Contract, robot: RobotConfig, goal: np.ndarray | None = None, caution: float = 0.0
    ) -> None:
        """Start with an empty window.

        Args:
            contract: of the policy.
            robot: whose devices deliver; checked against the contract before.
            goal: float32 [n], in tasks that name one.
            caution: where the knob stands, for a policy that has one.

        Raises:
            ValueError: the task names a goal and none was given, or of another size.
        """
        if contract.goal is not None and (goal is None or goal.shape != (contract.goal.size,)):
            got = "none" if goal is None else str(goal.shape)
            raise ValueError(f"task '{contract.task}' needs a goal of {contract.goal.size} numbers, got {got}")
        self.contract = contract
        self.clock = SampleClock(robot.sample_rate_hz)
        self.notices: list[str] = []
        self._goal, self._caution = goal, caution
        self._channels = list(robot.array.channel_map)
        self._device_channels = robot.array.device_channels
        self._reproject = Reprojection(robot.camera.pinhole, contract.camera)
        self._window = np.zeros((contract.array.mics, contract.window_samples), dtype=np.int16)
        self._next_sample: int | None = None
        self._until_due = contract.hop_samples  # what precedes the first hop is silence
        self._step = 0
        self._start = True
        self._depth = np.zeros((contract.camera.height, contract.camera.width), dtype=np.float32)
        self._depth_ns: int | None = None
        self._unseen: np.ndarray | None = None  # the newest frame, until a step needs it: most are never needed
        self._motion = (0.0, 0.0, 0.0)
        self._collision = False
        self._has_odometry = False
        self._allowed = (0.0, 0.0)

    def mark_start(self) -> None:
        """Let the next step reset the policy's memory: new goal, arming, or an emergency stop."""
        self._start = True

    def resync(self, step: int, end_sample: int) -> None:
        """Go on behind a step that was observed elsewhere: a log that begins in the middle is replayed so.

        Args:
            step: number of that step.
            end_sample: index of the sample that followed its window.
        """
        self._step = step + 1
        heard = end_sample if self._next_sample is None else self._next_sample
        self._next_sample = heard
        # more than a hop may have been heard since: then that many steps are left out
        self._until_due = (end_sample - heard) % self.contract.hop_samples or self.contract.hop_samples
        self._start = False
        self._motion, self._collision, self._has_odometry = (0.0, 0.0, 0.0), False, False

    def set_allowed(self, v_mps: float, w_radps: float) -> None:
        """Take note of the velocities that safety lets through from now on."""
        self._allowed = (v_mps, w_radps)

    def add_frame(self, frame: DepthFrame) -> None:
        """Take a depth frame, which nobody changes any more; the newest one counts.

        Raises:
            ValueError: its shape is not the configured camera's.
        """
        self._reproject.check(frame.depth_m)
        self._unseen, self._depth_ns = frame.depth_m, frame.capture_ns

    def add_odometry(self, sample: OdometrySample) -> None:
        """Add a motion to those since the last step."""
        if not self._has_odometry:
            self._motion = (sample.dx_m, sample.dy_m, sample.dyaw_rad)  # untouched, so that -0.0 stays -0.0
            self._collision, self._has_odometry = sample.collision, True
            return
        x, y, yaw = self._motion
        c, s = math.cos(yaw), math.sin(yaw)
        self._motion = (
            x + c * sample.dx_m - s * sample.dy_m,
            y + s * sample.dx_m + c * sample.dy_m,
            yaw + sample.dyaw_rad,
        )
        self._collision = self._collision or sample.collision

    def add_block(self, block: AudioBlock) -> Iterator[Due]:
        """Take a block, and yield each step that is due, in the middle of the block where a hop ends there.

        The iterator must be exhausted. A gap of up to one hop is filled with zeros; after a longer one, or
        when the index runs backwards, the window starts anew and the next step resets the memory.

        Raises:
            ValueError: not int16 of the array's device channels.
        """
        samples = self._channels_of(block)
        first = block.first_sample
        if self._next_sample is None:
            self._next_sample = first
        gap = first - self._next_sample
        if not 0 <= gap <= self.contract.hop_samples:
            self._restart(gap, first)
        elif gap:
            self.notices.append(f"audio gap of {gap} samples, filled with zeros")
            samples = np.concatenate([np.zeros((len(samples), gap), dtype=np.int16), samples], axis=1)
        self.clock.observe(first, block.capture_ns)
        while samples.shape[1]:
            part, samples = samples[:, : self._until_due], samples[:, self._until_due :]
            yield from self._push(part)

    def _channels_of(self, block: AudioBlock) -> np.ndarray:
        samples = block.samples
        if samples.dtype != np.int16 or samples.ndim != 2 or len(samples) != self._device_channels:
            raise ValueError(
                f"expected int16 samples of {self._device_channels} channels as the array says, got "
                f"{samples.dtype} {samples.shape}: correct the array's device_channels or the device's mode"
            )
        return samples[self._channels]

    def _restart(self, gap: int, first: int) -> None:
        self.notices.append(f"audio gap of {gap} samples, more than one hop: the memory starts anew")
        self._window[:] = 0
        self._until_due = self.contract.hop_samples
        self._next_sample = first
        self._start = True
        self.clock.restart()

    def _push(self, part: np.ndarray) -> Iterator[Due]:
        count = part.shape[1]
        keep = self._window.shape[1] - count
        self._window[:, :keep] = self._window[:, count:].copy()
        self._window[:, keep:] = part
        self._next_sample = (self._next_sample or 0) + count
        self._until_due -= count
        if self._until_due == 0:
            self._until_due = self.contract.hop_samples
            yield Due(self._step, self._next_sample, self.clock.ns_at(self._next_sample))

    def observe(self, due: Due) -> dict[str, np.ndarray]:
        """Build the observation of a due step and begin to gather for the next one.

        Args:
            due: what `add_block` yielded just now.

        Returns:
            One array for each of `contract.observations()`, in that order, without batch axis.
        """
        if self._start:
            self._window[:, : self.contract.overlap_samples] = 0  # an episode begins in silence
        if self._unseen is not None:
            self._depth, self._unseen = self._reproject(self._unseen), None
        values: dict[str, np.ndarray] = {
            AUDIO: audio_from_int16(self._window),
            DEPTH: self._depth.copy(),
            DEPTH_AGE_S: np.array([self._depth_age_s(due)], dtype=np.float32),
            MOTION: np.array([*self._motion, *self._allowed, float(self._collision)], dtype=np.float32),
            MOTION_VALID: np.array([float(self._has_odometry)], dtype=np.float32),
        }
        if self._goal is not None:
            values[GOAL] = self._goal.astype(np.float32)
        if self.contract.caution:
            values[CAUTION] = np.array([self._caution], dtype=np.float32)
        values[EPISODE_START] = np.array([float(self._start)], dtype=np.float32)
        self._step += 1
        self._start = False
        self._motion, self._collision, self._has_odometry = (0.0, 0.0, 0.0), False, False
        return values

    def _depth_age_s(self, due: Due) -> float:
        if self._depth_ns is None:
            return MAX_AGE_S
        return min(MAX_AGE_S, max(0, due.due_ns - self._depth_ns) * 1e-9)


def digest(observation: dict[str, np.ndarray]) -> str:
    """Return the SHA-256, in hex, of an observation: names, types, shapes and bytes, in order."""
    total = hashlib.sha256()
    for name, value in observation.items():
        total.update(f"{name} {value.dtype.name} {value.shape}\n".encode())
        total.update(np.ascontiguousarray(value).tobytes())
    return total.hexdigest()
