"""The offset between sound and image, from events that both sense: a clap before the camera, a door, a board.

The onset of each event is found in both streams and paired; the camera's is late by half a frame on average,
which is taken off. The median over many events is good to a few milliseconds even at 30 frames a second. It is stored
in the robot's file, in the keys by which capture times are corrected, and nowhere else.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml

from phonotaxis.configs.base import ConfigError, build
from phonotaxis.configs.devices import HardwareDevices
from phonotaxis.configs.edit_yaml import Keys, replace_text, with_values
from phonotaxis.configs.robot import RobotConfig, load_robot
from phonotaxis.deploy.devices import AudioBlock, DepthFrame, DeviceError

MIN_EVENTS = 20
PAIR_NS = 300_000_000  # an onset of the other stream further away belongs to another event
APART_NS = 150_000_000  # of quiet, at least, between two events
LOUD = 8.0  # times the median level
MOVED = 6.0  # times the median change of the image
KEPT_PIXELS = 4096  # of a frame, or up to four times as many
WINDOW_S = 0.001  # of the sound's level
# Events lie anywhere between two frames, so half their range from quartile to quartile is a quarter of a frame's time
# at least; at twice that, or 10 ms with a fast camera, something else decided: other sounds, light, stalls.
MAX_SPREAD_FRAMES, MAX_SPREAD_MS = 0.5, 10.0
CAMERA_KEYS: Keys = ("devices", "camera", "latency_ms")
MICROPHONES_KEYS: Keys = ("devices", "microphones", "latency_ms")


@dataclass(frozen=True)
class Offset:
    """Sound against image.

    Attributes:
        image_late_ms: by how much the image's capture times are later than the sound's.
        spread_ms: half the range from the lower to the upper quartile.
        events: that both saw.
    """

    image_late_ms: float
    spread_ms: float
    events: int


def sound_onsets(blocks: list[AudioBlock], channel: int, sample_rate_hz: int) -> np.ndarray:
    """Return int64 [events], when a channel became loud, monotonic ns."""
    size = max(1, round(WINDOW_S * sample_rate_hz))
    levels, times = [], []
    for block in blocks:
        count = block.samples.shape[1] // size
        cut = block.samples[channel, : count * size].astype(np.float64).reshape(count, size)
        levels.append(np.sqrt((cut**2).mean(axis=1)))
        times.append(block.capture_ns + np.arange(count) * size * 1_000_000_000 // sample_rate_hz)
    return _onsets(np.concatenate(levels), np.concatenate(times), LOUD) if blocks else np.zeros(0, dtype=np.int64)


def image_onsets(frames: list[DepthFrame]) -> np.ndarray:
    """Return int64 [events], when the image began to change, monotonic ns, less half the time between frames."""
    if len(frames) < 3:
        return np.zeros(0, dtype=np.int64)
    images = np.stack([frame.depth_m for frame in frames])
    times = np.array([frame.capture_ns for frame in frames], dtype=np.int64)
    changes = np.abs(np.diff(images, axis=0)).mean(axis=(1, 2))
    # an event lies anywhere between the frame that shows it first and the one before
    return _onsets(changes, times[1:] - np.int64(frame_ms(frames) * 1e6 / 2), MOVED)


def thinned(frame: DepthFrame) -> DepthFrame:
    """Return the frame with no more pixels than a clap needs: minutes of whole images would not fit into memory."""
    step = max(1, int(np.sqrt(frame.depth_m.size / KEPT_PIXELS)))
    return DepthFrame(frame.depth_m[::step, ::step].copy(), frame.capture_ns)


def frame_ms(frames: list[DepthFrame]) -> float:
    """Return the time from frame to frame, the median; 0 for fewer than two."""
    times = np.array([frame.capture_ns for frame in frames], dtype=np.int64)
    return float(np.median(np.diff(times))) * 1e-6 if len(times) > 1 else 0.0


def _onsets(values: np.ndarray, times_ns: np.ndarray, factor: float) -> np.ndarray:
    threshold = max(factor * float(np.median(values)), 0.3 * float(np.percentile(values, 99.5)), 1e-9)
    above_ns = times_ns[values > threshold]
    begins: np.ndarray = np.diff(above_ns, prepend=above_ns[:1] - APART_NS - 1) > APART_NS  # what lasts is one event
    return above_ns[begins]


def offset_between(sound_ns: np.ndarray, image_ns: np.ndarray) -> Offset:
    """Pair the onsets that are each other's nearest, and take the median of their differences.

    Raises:
        DeviceError: fewer than 20 events were sensed by both.
    """
    apart = np.zeros(0)
    if len(sound_ns) and len(image_ns):
        between = np.abs(image_ns[:, None] - sound_ns)
        nearest = between.argmin(axis=1)
        paired = (between.argmin(axis=0)[nearest] == np.arange(len(image_ns))) & (between.min(axis=1) <= PAIR_NS)
        apart = (image_ns - sound_ns[nearest])[paired] * 1e-6
    if len(apart) < MIN_EVENTS:
        raise DeviceError(
            f"{len(apart)} event(s) were both heard ({len(sound_ns)}) and seen ({len(image_ns)}), at least "
            f"{MIN_EVENTS} are needed: clap in front of the camera, half a metre to a metre away, once a second"
        )
    low, middle, high = np.percentile(apart, [25, 50, 75])
    return Offset(float(middle), float(high - low) / 2, len(apart))


def check_spread(offset: Offset, between_frames_ms: float) -> None:
    """Refuse an offset that isn't one.

    Raises:
        DeviceError: the events disagree by more than the camera's rate explains.
    """
    most_ms = max(MAX_SPREAD_MS, MAX_SPREAD_FRAMES * between_frames_ms)
    if offset.spread_ms > most_ms:
        raise DeviceError(
            f"the {offset.events} events spread by {offset.spread_ms:.1f} ms, at most {most_ms:.1f} ms are plausible "
            f"with a frame every {between_frames_ms:.1f} ms: clap alone, in even light, before a camera that stands"
        )


def corrected(devices: HardwareDevices, offset: Offset) -> dict[Keys, float]:
    """Return what takes the offset off capture times: key of the robot's file to milliseconds.

    Neither may be negative; where the sound is the later one, it is the microphones' latency that grows.
    """
    camera_ms = round(devices.camera.latency_ms + offset.image_late_ms, 1) + 0.0  # no -0.0
    if camera_ms >= 0:
        return {CAMERA_KEYS: camera_ms}
    return {CAMERA_KEYS: 0.0, MICROPHONES_KEYS: round(devices.microphones.latency_ms - camera_ms, 1)}


def by_hand(latencies: dict[Keys, float]) -> str:
    """Return what a person would write into the robot's file."""
    return "; ".join(f"{': {'.join(keys)}: {value:.1f}{'}' * (len(keys) - 1)}" for keys, value in latencies.items())


def store(path: Path, measured_with: RobotConfig, latencies: dict[Keys, float]) -> None:
    """Write latencies into the robot's file, in which all else stays as it is, comments too.

    Args:
        path: of the file.
        measured_with: what was in it when the measurement began.
        latencies: as `corrected` returns them.

    Raises:
        ConfigError: it is no file of a person's, it was changed meanwhile, or it can't be changed without changing
            something else; it is left as it was.
    """
    if path.suffix not in (".yaml", ".yml"):
        raise ConfigError(f"'{path}' is a robot that comes with phonotaxis, no file of yours")
    if load_robot(path) != measured_with:
        raise ConfigError(f"{path}: was changed during the measurement; measure again")
    try:
        changed = with_values(path.read_bytes().decode("utf-8"), latencies)  # line ends stay as they are
        build(RobotConfig, yaml.safe_load(changed), str(path))
        replace_text(path, changed)
    except OSError as error:
        raise ConfigError(f"{path}: can't be written ({error.strerror or error})") from None
