"""The real-time loop of the hardware in the loop: renders, delivers when it is due, and obeys the wheels.

The robot can't tell where its world is simulated, with these exceptions. A window of one control period is
rendered 40 ms after it began, when the command that the last window provoked has come; its first 40 ms of sound
arrive then, all at once. Its depth image, which shows its end, is sent 5 ms before that, so that a camera's
thread has it when the step is due; so is the last report of the wheels. An array of another rate is waited for 90 ms,
since the robot's own resampling delays its command.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from phonotaxis.envs.hil.camera import VirtualCamera
from phonotaxis.envs.hil.chassis import Chassis
from phonotaxis.envs.hil.pipes import Pipe, interleaved
from phonotaxis.envs.hil.pulse import PIPE_CHANNELS, Pulse
from phonotaxis.envs.hil.upsampling import DELAY_S, Upsampler
from phonotaxis.envs.simulated_robot import SimulatedWorld, WindowResult

NS_PER_S = 1_000_000_000
BLOCK_S = 0.01
DECISION_NS = 40_000_000
RESAMPLED_DECISION_NS = 90_000_000  # soxr hands sound on up to 45 ms later (tests/deploy/jetson/test_resampling.py)
SCENE_AHEAD_NS = 5_000_000
QUIET_WINDOWS = 4  # before the episode begins; a person arms in its first window, in which the robot rests


@dataclass(eq=False)
class Window:
    """What one control period was, for scoring.

    Attributes:
        start_ns: when it began.
        delivered_ns: when its last sample was written.
        v_mps: mean speed of the wheels.
        w_radps: likewise.
        result: what was rendered.
    """

    start_ns: int
    delivered_ns: int
    v_mps: float
    w_radps: float
    result: WindowResult


@dataclass(eq=False)
class Stage:
    """The virtual devices of one robot: array, camera and chassis, in a folder.

    Attributes:
        hear: what a fault makes of a block, int16 [device_channels, samples].
        see: what a fault makes of an image, float32 [height, width] in metres.
        shown_m: the last image.
        device_rate_hz: at which the array runs; None is the contract's rate.
        device_sound: what was written at another rate than the contract's, int16 [device_channels, samples] each.
        array_delay_s: by which the sound that is written is late.
    """

    folder: Path
    world: SimulatedWorld
    track_m: float = 0.2
    windows: list[Window] = field(default_factory=list)
    device_rate_hz: int | None = None
    device_sound: list[np.ndarray] = field(default_factory=list)

    def __post_init__(self) -> None:
        contract = self.world.contract
        self.array_name = "phonotaxis-array"
        rate_hz, channels = contract.sample_rate_hz, contract.array.device_channels
        self._rate_hz = self.device_rate_hz or rate_hz
        self._upsampler = Upsampler(rate_hz, self._rate_hz, channels) if self._rate_hz != rate_hz else None
        self.array_delay_s = DELAY_S if self._upsampler else 0.0
        self.pulse = Pulse(self.folder / "pulse", self.array_name, channels, self._rate_hz)
        self._pipe = Pipe(self.pulse.pipe)
        self._left: list[Pipe] = []
        self.camera = VirtualCamera(contract.camera.width, contract.camera.height)
        self._odometers = Odometers(self.track_m)
        self.port = self.folder / "ttyDRIVE"
        self.chassis = Chassis(self.port, self._odometers.at, track_m=self.track_m)
        self.stop = threading.Event()
        self.hear: Callable[[np.ndarray], np.ndarray] = _unchanged
        self.shown_m = np.zeros((contract.camera.height, contract.camera.width), dtype=np.float32)
        self.see: Callable[[np.ndarray], np.ndarray] = _unchanged
        self.quiet = True  # no world yet: what is heard is nothing, and the wheels are not obeyed
        self.sent_samples = 0

    def pipe_again(self) -> None:
        """Open the array's pipe anew, after the sound server was started anew."""
        self._left.append(self._pipe)  # the world may be writing into it
        self._pipe = Pipe(self.pulse.pipe)

    def wait_for_robot(self, timeout_s: float, alive: Callable[[], bool]) -> bool:
        """Wait until the robot records and looks; False when it doesn't, or has ended."""
        deadline_s = time.monotonic() + timeout_s
        while time.monotonic() < deadline_s and alive():
            if self.camera.watched and self.pulse.recording():
                time.sleep(0.3)  # the stream is announced before it runs
                return True
            time.sleep(0.1)
        return False

    def run(self, seconds: float, begun: threading.Event | None = None) -> None:
        """Play some quiet windows and then the world, until `stop` is set or the time is over."""
        contract = self.world.contract
        period_ns = contract.control_period_ns
        begin_ns = time.monotonic_ns() + 20_000_000
        first = self.world.start()
        for number in range(QUIET_WINDOWS):
            self._deliver(_quiet(first, number), begin_ns + number * period_ns)
        begin_ns += QUIET_WINDOWS * period_ns
        result, v, w, count = first, 0.0, 0.0, 0
        self.quiet = False
        if begun is not None:
            begun.set()
        while not self.stop.is_set():
            start_ns = begin_ns + count * period_ns
            self._odometers.move(start_ns, start_ns + period_ns - SCENE_AHEAD_NS, result.odometry)
            delivered_ns = self._deliver(result, start_ns)
            self.windows.append(Window(start_ns, delivered_ns, v, w, result))
            count += 1
            if count * period_ns >= seconds * NS_PER_S:
                return
            start_ns += period_ns
            _sleep_until(start_ns + (RESAMPLED_DECISION_NS if self._upsampler else DECISION_NS))
            v, w = self.chassis.mean_speeds(start_ns, start_ns + period_ns)
            result = self.world.hold(v, w)

    def _deliver(self, result: WindowResult, start_ns: int) -> int:
        contract = self.world.contract
        sound = self._converted(result.audio_int16)
        rate, hop = self._rate_hz, sound.shape[1]
        size = max(1, round(BLOCK_S * rate))
        end_ns = start_ns + contract.control_period_ns
        for first in range(0, hop, size):
            last = min(first + size, hop)
            if last == hop:
                _sleep_until(end_ns - SCENE_AHEAD_NS)
                self.shown_m = self.see(result.depth_m)
                self.camera.send(self.shown_m)
                self.chassis.report(end_ns)
            _sleep_until(start_ns + last * NS_PER_S // rate)
            self._pipe.write(interleaved(self.hear(sound[:, first:last]), PIPE_CHANNELS))
        self.sent_samples += contract.hop_samples
        return time.monotonic_ns()

    def _converted(self, audio: np.ndarray) -> np.ndarray:
        if self._upsampler is None:
            return audio
        sound = self._upsampler.take(audio)
        self.device_sound.append(sound)
        return sound

    def close(self) -> None:
        """Take all devices away."""
        self.stop.set()
        self.chassis.close()
        self.camera.close()
        for pipe in (self._pipe, *self._left):
            pipe.close()
        self.pulse.close()


class Odometers:
    """The way of both wheels over time, as the world moves the robot by whole windows."""

    def __init__(self, track_m: float) -> None:
        self._track_m = track_m
        self._from = self._to = (0.0, 0.0)
        self._span_ns = (0, 1)

    def move(self, start_ns: int, end_ns: int, odometry: tuple[float, float, float]) -> None:
        """Spread a window's motion over a time; what slides sideways along a wall turns no wheel."""
        dx, _, dyaw = odometry
        way_m = dx if abs(dyaw) < 1e-9 else dx * dyaw / math.sin(dyaw)
        left, right = self._to
        half = dyaw * self._track_m / 2
        self._from, self._to = self._to, (left + way_m - half, right + way_m + half)
        self._span_ns = (start_ns, end_ns)

    def at(self, time_ns: int) -> tuple[float, float]:
        """Return the way of the left and the right wheel at a time, metres."""
        start_ns, end_ns = self._span_ns
        share = min(1.0, max(0.0, (time_ns - start_ns) / (end_ns - start_ns)))
        (l0, r0), (l1, r1) = self._from, self._to
        return l0 + share * (l1 - l0), r0 + share * (r1 - r0)


def _quiet(first: WindowResult, number: int) -> WindowResult:
    """Return a window before the episode: the first view, and a microphone's own noise of one code."""
    noise = np.random.default_rng(number).integers(-1, 2, first.audio_int16.shape).astype(np.int16)
    return WindowResult(noise, first.depth_m, first.pose, (0.0, 0.0, 0.0), False, first.distance_to_goal_m)


def _unchanged(values: np.ndarray) -> np.ndarray:
    return values


def _sleep_until(time_ns: int) -> None:
    left_s = (time_ns - time.monotonic_ns()) * 1e-9
    if left_s > 0:
        time.sleep(left_s)
