"""Live cameras: frames of 16-bit depth from a GStreamer pipeline or a node of the kernel, with their capture times.

A stream that ends, fails or falls silent is begun anew until it is back.
"""

from __future__ import annotations

import threading
from typing import Any, Protocol

import numpy as np

from phonotaxis.configs.contract import PinholeCamera
from phonotaxis.configs.devices import CameraPipeline
from phonotaxis.configs.robot import CameraConfig
from phonotaxis.deploy.clock import now_ns
from phonotaxis.deploy.devices import DepthFrame, DeviceError

RETRY_S = 0.5
FIRST_FRAME_S = 10.0  # sensors of CSI cameras take seconds to come up
STOP_S = 2.0
_KEPT_FRAMES = 64


class FrameSource(Protocol):
    """Where frames come from, until it has ended: then it is closed, and a new one made."""

    def pull(self) -> tuple[np.ndarray, int] | str | None:
        """Wait for a frame, up to 0.1 s.

        Returns:
            Its codes, uint16 [height, width], and its capture time, monotonic ns. For one that is refused why, or
            nothing where that needs no word; None where none came.
        """
        ...

    def ended(self) -> str:
        """Return why no frame can come any more; empty where one may."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


def open_source(config: CameraPipeline, pinhole: PinholeCamera) -> FrameSource:
    """Open what the robot's file names.

    Raises:
        DeviceError: it can't be opened.
    """
    if config.v4l2 is not None:
        from phonotaxis.deploy.jetson.video_node import VideoNode

        return VideoNode(config.v4l2, pinhole)
    from phonotaxis.deploy.jetson.pipeline import Pipeline

    return Pipeline(config.pipeline or "", pinhole)


class _Patience:
    """How long no frame may come; a sensor that is started anew gets twice the time that it took before, or more."""

    def __init__(self, silent_ns: int) -> None:
        self._silent_ns = self._slowest_ns = silent_ns
        self._waking, self._first_ns, self._heard_ns = True, int(FIRST_FRAME_S * 1e9), now_ns()

    def heard(self) -> None:
        at_ns = now_ns()
        if self._waking:
            self._slowest_ns, self._waking = max(self._slowest_ns, 2 * (at_ns - self._heard_ns)), False
        self._heard_ns = at_ns

    def restarted(self) -> None:
        wanted_ns = 2 * self._first_ns if self._waking else self._slowest_ns
        self._first_ns, self._waking = min(int(FIRST_FRAME_S * 1e9), wanted_ns), True
        self._heard_ns = now_ns()

    def ended(self) -> str:
        """Return what to say where it has ended, else nothing."""
        limit_ns = self._first_ns if self._waking else self._silent_ns
        return f"no frame for {limit_ns * 1e-9:.1f} s" if now_ns() - self._heard_ns > limit_ns else ""


class LiveCamera:
    """A depth camera behind a GStreamer pipeline or a node of the kernel.

    Attributes:
        refused: frames that came without a time stamp, damaged, or in another form than depth of the configured size.
        restarts: of the source.
        fault: why no frame comes now; empty where they come.
    """

    def __init__(self, config: CameraPipeline, camera: CameraConfig) -> None:
        """Start it.

        Raises:
            DeviceError: the file names nothing that could deliver depth, or it fails at once.
        """
        self._config, self._pinhole = config, camera.pinhole
        self._silent_ns = max(1_000_000_000, int(camera.max_age_ms * 1e6))
        self._lock = threading.Lock()
        self._unread: list[DepthFrame] = []
        self._latest: DepthFrame | None = None
        self.refused, self.restarts, self.fault = 0, 0, ""
        self._closing = threading.Event()
        self._source: FrameSource | None = open_source(config, self._pinhole)
        self._thread = threading.Thread(target=self._read, name="camera", daemon=True)
        self._thread.start()

    def _read(self) -> None:
        patience = _Patience(self._silent_ns)
        while not self._closing.is_set() and self._source is not None:
            taken = self._source.pull()
            if taken is not None:
                self._take(taken)
                patience.heard()
            elif reason := self._source.ended() or patience.ended():
                self._restart(reason)
                patience.restarted()

    def _restart(self, reason: str) -> None:
        self.fault = f"the camera: {reason}"
        self._stop()
        while not self._closing.wait(RETRY_S):
            try:
                self._source = open_source(self._config, self._pinhole)
            except DeviceError as error:
                self.fault = str(error)
            else:
                self.restarts += 1
                return

    def _take(self, taken: tuple[np.ndarray, int] | str) -> None:
        if isinstance(taken, str):
            self.fault = taken or self.fault
            self.refused += 1
            return
        codes, capture_ns = taken
        depth_m = depth_from_codes(codes, self._config.depth_scale_m, self._pinhole)
        frame = DepthFrame(depth_m, capture_ns - int(self._config.latency_ms * 1e6))
        self.fault = ""
        with self._lock:
            self._latest = frame
            self._unread = [*self._unread[-_KEPT_FRAMES:], frame]

    def latest(self) -> DepthFrame | None:
        """Return the newest frame, None before the first."""
        with self._lock:
            return self._latest

    def unread(self) -> list[DepthFrame]:
        """Return the frames that came since the last call, oldest first (the newest 64 of them)."""
        with self._lock:
            frames, self._unread = self._unread, []
        return frames

    def close(self) -> None:
        """Let go of the camera; may be called more than once."""
        if not self._closing.is_set():
            self._closing.set()
            self._thread.join(5.0)
            self._stop()

    def _stop(self) -> None:
        """Close the source; one that never returns is left behind."""
        source, self._source = self._source, None
        if source is not None:
            stopping = threading.Thread(target=source.close, daemon=True)
            stopping.start()
            stopping.join(STOP_S)


def depth_from_codes(codes: np.ndarray, scale_m: float, pinhole: Any) -> np.ndarray:
    """Turn a depth camera's codes into metres.

    Args:
        codes: uint16 [height, width]; 0 = unknown.
        scale_m: metres of one code.
        pinhole: the camera, whose range bounds what counts as known.

    Returns:
        float32 [height, width], metres along the axis; 0 = unknown.
    """
    depth_m = codes.astype(np.float32) * np.float32(scale_m)
    # codes are rounded, so the ends of the range give by half a code
    known = (depth_m >= pinhole.min_range_m - scale_m / 2) & (depth_m <= pinhole.max_range_m + scale_m / 2)
    return np.where(known & (codes > 0), depth_m, np.float32(0))
