"""Signs that a sensor delivers something and yet senses nothing: constant or clipping channels, a frozen image.

A sign makes what comes suspicious at once, so that it doesn't renew the sensor's age; one that lasts is a fault. So
the robot stops when the last that could be believed is as old as it may become, and a bang or an image that comes
twice stops nothing.
"""

from __future__ import annotations

import numpy as np

from phonotaxis.deploy.devices import AudioBlock, DepthFrame, OdometrySample

FULL_SCALE = 32_700  # a converter that clips stays within a few codes of its end
CLIPPED_SHARE = 0.3  # of samples: a sine of twice full scale clips two thirds, loud speech some percent
# A real converter is never still for so long: a microphone's own noise moves its last bit. For a shorter time it may be
# a sound server that begins, or wakes a device.
MUTE_S = 3.0
FROZEN_FRAMES = 3
FROZEN_M = 0.10  # driven, or FROZEN_RAD turned, while the image stays the same bit by bit
FROZEN_RAD = 0.20
STIRRED_M = 0.01  # from here on an image can't stay the same bit by bit; odometers count in less
STIRRED_RAD = 0.02
TORN = 0.25  # neighbours whose depths differ by more, of the lesser, lie on different surfaces
TORN_SHARE = 0.5  # of the pairs: rooms have less than a fifth of them at edges, uncorrelated codes nine tenths
NOISY_FRAMES = 3
_PAIRS = 10_000  # that are enough to tell


class AudioWatch:
    """Watches the microphones' channels. One that goes silent while others hear is dead; one at its end clips.

    A channel must misbehave for `patience_ms` of sound, so that a bang or a digital pause is no fault. All of them may
    be still at once for `mute_s`, or for ever, as a simulated robot's may.

    Attributes:
        suspicious: the last block is to be believed only if the next ones are.
    """

    def __init__(
        self, channels: list[int], sample_rate_hz: int, patience_ms: float, mute_s: float | None = None
    ) -> None:
        self.suspicious = False
        self._mute = None if mute_s is None else int(mute_s * sample_rate_hz)
        self._channels = channels
        self._patience = int(patience_ms * 1e-3 * sample_rate_hz)
        self._constant = np.zeros(len(channels), dtype=np.int64)
        self._clipped = np.zeros(len(channels), dtype=np.int64)

    def __call__(self, block: AudioBlock) -> str:
        """Return what is wrong with the microphones now; empty where nothing is."""
        samples = block.samples[self._channels]
        count = samples.shape[1]
        constant = samples.max(axis=1) == samples.min(axis=1)
        clipped = (np.abs(samples.astype(np.int32)) >= FULL_SCALE).mean(axis=1) > CLIPPED_SHARE
        self._constant = np.where(constant, self._constant + count, 0)
        self._clipped = np.where(clipped, self._clipped + count, 0)
        self.suspicious = bool(clipped.any() or (constant.any() and not constant.all()))
        if self._mute is not None and self._constant.min() > self._mute:
            self.suspicious = True
            return "no channel hears anything, not even itself: is the array muted, or its gain or capture switch at 0?"
        dead = self._constant > self._patience
        if dead.any() and not dead.all():
            return f"channel {self._names(dead)} is dead"
        over = self._clipped > self._patience
        return f"channel {self._names(over)} clips" if over.any() else ""

    def _names(self, which: np.ndarray) -> str:
        return ", ".join(str(self._channels[i]) for i in np.flatnonzero(which))


class DepthWatch:
    """Notices a camera that delivers the same image while the robot moves, or noise instead of surfaces.

    Attributes:
        suspicious: the last image is one from before the robot moved, or no surface is in it.
    """

    def __init__(self) -> None:
        self.suspicious = False
        self._noisy = 0
        self._last: bytes = b""
        self._repeats = 0
        self._moved_m = self._turned_rad = 0.0
        self._changed_ns: int | None = None

    def moved(self, sample: OdometrySample) -> None:
        """Take a motion of the robot; one that was over when the image was taken is in the image."""
        if self._changed_ns is not None and sample.capture_ns <= self._changed_ns:
            return
        self._moved_m += abs(sample.dx_m)
        self._turned_rad += abs(sample.dyaw_rad)

    def __call__(self, frame: DepthFrame) -> str:
        """Return what is wrong with the camera; empty where nothing is."""
        self._noisy = self._noisy + 1 if torn_share(frame.depth_m) > TORN_SHARE else 0
        if self._noisy:
            self.suspicious = True
            return "the image is noise" if self._noisy >= NOISY_FRAMES else ""
        image = frame.depth_m.tobytes()
        if image != self._last:
            self._last, self._repeats, self._changed_ns = image, 0, frame.capture_ns
            self._moved_m = self._turned_rad = 0.0
            self.suspicious = False
            return ""
        self._repeats += 1
        self.suspicious = self._moved_m > STIRRED_M or self._turned_rad > STIRRED_RAD
        moving = self._moved_m > FROZEN_M or self._turned_rad > FROZEN_RAD
        return "the image is frozen" if self._repeats >= FROZEN_FRAMES and moving else ""


def torn_share(depth_m: np.ndarray) -> float:
    """Return the share of neighbouring known pixels that lie on different surfaces; 0 where hardly any are known.

    Args:
        depth_m: float32 [height, width], 0 = unknown. Of a large image, some rows are looked at.
    """
    height, width = depth_m.shape
    rows = depth_m[:: max(1, height * width // _PAIRS)]
    left, right = rows[:, :-1], rows[:, 1:]
    known = (left > 0) & (right > 0)
    if known.sum() < 0.01 * known.size:
        return 0.0
    near, far = np.minimum(left, right)[known], np.maximum(left, right)[known]
    return float((far - near > TORN * near).mean())
