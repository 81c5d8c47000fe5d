"""The times of a run: whether sound and image belong together, and how fast the converter's clock runs."""

from __future__ import annotations

from dataclasses import dataclass

from phonotaxis.configs.robot import RobotConfig
from phonotaxis.deploy.clock import NS_PER_S
from phonotaxis.deploy.devices import AudioBlock, DepthFrame
from phonotaxis.deploy.drift import Drift
from phonotaxis.deploy.synchronisation import SyncWatch, bound_ms

TOLD_NS = 60 * NS_PER_S
DRIFT_EVENT = "audio_drift"
ODD_PPM = 1000.0  # quartzes keep within 100, and USB's specification asks for 500


@dataclass(frozen=True)
class DriftReport:
    """The converter's drift, as it stands in the log.

    Attributes:
        level: of the health event.
        text: for people.
        ppm: how much faster than nominal the converter runs.
        std_ppm: its standard error.
    """

    level: str
    text: str
    ppm: float
    std_ppm: float


class Timing:
    """Follows capture times.

    Attributes:
        limit_ms: by how much they may be wrong before nothing is done by them.
    """

    def __init__(self, robot: RobotConfig, turning_radps: float) -> None:
        self.limit_ms = bound_ms(robot, turning_radps)
        self._rate_hz = robot.sample_rate_hz
        self._sound, self._image = SyncWatch("sound", self.limit_ms), SyncWatch("image", self.limit_ms)
        self._drift = Drift(robot.sample_rate_hz)
        self._told_ns: int | None = None

    @property
    def error_ms(self) -> float:
        """By how much capture times were wrong at least, at most so far."""
        return max(self._sound.worst_ms, self._image.worst_ms)

    def sound(self, block: AudioBlock, at_ns: int) -> str:
        """Take a block as it arrives; return what is wrong with its time."""
        count = block.samples.shape[1]
        self._drift.observe(block.first_sample, count, block.capture_ns)
        return self._sound(block.capture_ns + count * NS_PER_S // self._rate_hz, at_ns)

    def image(self, frame: DepthFrame, at_ns: int) -> str:
        """Take a frame as it arrives; return what is wrong with its time."""
        return self._image(frame.capture_ns, at_ns)

    def drift(self, at_ns: int, last: bool = False) -> DriftReport | None:
        """Return the drift once a minute, and in the end; None between, and where it isn't known.

        Args:
            at_ns: now.
            last: the run has ended.
        """
        if self._told_ns is None:
            self._told_ns = at_ns
        if not last and at_ns - self._told_ns < TOLD_NS:
            return None
        self._told_ns = at_ns
        found = self._drift.fit()
        if found is None:
            return None
        ppm, std_ppm = found
        text = f"the converter runs {ppm:+.1f} ppm against the computer's clock (standard error {std_ppm:.1f})"
        odd = abs(ppm) - 2.0 * std_ppm > ODD_PPM
        return DriftReport(
            "warning" if odd else "info",
            text + (": no quartz does; is its rate another one, or are samples lost?" if odd else ""),
            ppm,
            std_ppm,
        )
