"""The offset between sound and image, from events that both sense: a clap before the camera, a door, a board.

The onset of each event is found in both streams and paired; the camera's is late by half a frame on average,
which is taken off. The median over many events is good to a few milliseconds even at 30 frames a second.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from phonotaxis.deploy.devices import AudioBlock, DepthFrame, DeviceError

MIN_EVENTS = 20
PAIR_NS = 300_000_000  # an onset of the other stream further away belongs to another event
APART_NS = 250_000_000  # least between two events
LOUD = 8.0  # times the median level
MOVED = 6.0  # times the median change of the image
WINDOW_S = 0.001  # of the sound's level


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
    return _onsets(changes, times[1:] - np.int64(np.median(np.diff(times)) / 2), MOVED)


def _onsets(values: np.ndarray, times_ns: np.ndarray, factor: float) -> np.ndarray:
    threshold = max(factor * float(np.median(values)), 0.3 * float(np.percentile(values, 99.5)), 1e-9)
    found: list[int] = []
    for at in times_ns[values > threshold]:
        if not found or at - found[-1] > APART_NS:
            found.append(int(at))
    return np.array(found, dtype=np.int64)


def offset_between(sound_ns: np.ndarray, image_ns: np.ndarray) -> Offset:
    """Pair the onsets and take the median of their differences.

    Raises:
        DeviceError: fewer than 20 events were sensed by both.
    """
    apart = []
    for at in image_ns:
        if len(sound_ns):
            nearest = sound_ns[np.abs(sound_ns - at).argmin()]
            if abs(nearest - at) <= PAIR_NS:
                apart.append((int(at) - int(nearest)) * 1e-6)
    if len(apart) < MIN_EVENTS:
        raise DeviceError(
            f"{len(apart)} event(s) were both heard ({len(sound_ns)}) and seen ({len(image_ns)}), at least "
            f"{MIN_EVENTS} are needed: clap in front of the camera, half a metre to a metre away, once a second"
        )
    low, middle, high = np.percentile(apart, [25, 50, 75])
    return Offset(float(middle), float(high - low) / 2, len(apart))
