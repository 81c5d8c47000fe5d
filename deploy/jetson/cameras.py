"""Live cameras: a GStreamer pipeline that ends in 16-bit depth, each frame with its capture time.

A pipeline's base time plus a buffer's time stamp lies in the monotonic clock, since the pipeline is given the
system's clock. A stream that ends, fails or falls silent is built anew until it is back.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import threading
from typing import Any

import numpy as np

from phonotaxis.configs.devices import CameraPipeline
from phonotaxis.configs.robot import CameraConfig
from phonotaxis.deploy.clock import now_ns
from phonotaxis.deploy.devices import DepthFrame, DeviceError

SINK = "phonotaxis_sink"
RETRY_S = 0.5
FIRST_FRAME_S = 10.0  # sensors of CSI cameras take seconds to come up
STOP_S = 2.0
_POLL_NS = 100_000_000
_KEPT_FRAMES = 64


@functools.cache
def gstreamer() -> Any:
    """Load GStreamer once.

    Raises:
        DeviceError: its introspection data are missing.
        ModuleNotFoundError: PyGObject isn't installed.
    """
    import gi

    _prefer_the_compilers_unwinder()
    try:
        gi.require_version("Gst", "1.0")
        gi.require_version("GstApp", "1.0")
    except ValueError as error:
        raise DeviceError(f"{error}: install gir1.2-gstreamer-1.0 and gir1.2-gst-plugins-base-1.0") from None
    from gi.repository import Gst, GstApp  # GstApp gives appsink its methods

    Gst.init(None)
    _ = GstApp
    return Gst


def _prefer_the_compilers_unwinder() -> None:
    """Let C++ exceptions of what is loaded later be unwound by libgcc, as they must be.

    GStreamer brings libunwind along, whose functions have the same names. Whoever comes first in the process's symbols
    serves all, and an exception thrown in an engine or another extension would abort the process.
    """
    with contextlib.suppress(OSError):  # musl, say: there is no libgcc_s to prefer
        ctypes.CDLL("libgcc_s.so.1", mode=ctypes.RTLD_GLOBAL)


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
    """A depth camera behind a GStreamer pipeline.

    Attributes:
        refused: frames that came without a time stamp or in another form than depth of the configured size.
        restarts: of the pipeline.
        fault: why no frame comes now; empty where they come.
    """

    def __init__(self, config: CameraPipeline, camera: CameraConfig) -> None:
        """Start the pipeline.

        Raises:
            DeviceError: it isn't a pipeline, or it fails at once.
        """
        self._config, self._pinhole = config, camera.pinhole
        self._silent_ns = max(1_000_000_000, int(camera.max_age_ms * 1e6))
        self._lock = threading.Lock()
        self._unread: list[DepthFrame] = []
        self._latest: DepthFrame | None = None
        self.refused, self.restarts, self.fault = 0, 0, ""
        self._closing = threading.Event()
        self._gst = gstreamer()
        self._pipeline, self._sink = self._start()
        self._thread = threading.Thread(target=self._read, name="camera", daemon=True)
        self._thread.start()

    def _start(self) -> tuple[Any, Any]:
        gst = self._gst
        text = f"{self._config.pipeline} ! appsink name={SINK} sync=false max-buffers=8 drop=true"
        try:
            pipeline = gst.parse_launch(text)
        except gi_error() as error:
            raise DeviceError(f"devices.camera.pipeline: {error}; try it with gst-launch-1.0") from None
        pipeline.use_clock(gst.SystemClock.obtain())
        if pipeline.set_state(gst.State.PLAYING) == gst.StateChangeReturn.FAILURE:
            reason = self._error_of(pipeline) or "it does not start"
            pipeline.set_state(gst.State.NULL)
            raise DeviceError(f"the camera's pipeline fails: {reason}")
        return pipeline, pipeline.get_by_name(SINK)

    def _error_of(self, pipeline: Any) -> str:
        message = pipeline.get_bus().pop_filtered(self._gst.MessageType.ERROR)
        return "" if message is None else str(message.parse_error()[0].message)

    def _read(self) -> None:
        patience = _Patience(self._silent_ns)
        while not self._closing.is_set():
            sample = self._sink.try_pull_sample(_POLL_NS)
            if sample is not None:
                self._take(sample)
                patience.heard()
                continue
            reason = self._error_of(self._pipeline) or ("its stream has ended" if self._sink.is_eos() else "")
            if reason := reason or patience.ended():
                self._restart(reason)
                patience.restarted()

    def _restart(self, reason: str) -> None:
        self.fault = f"the camera: {reason}"
        self._stop()
        while not self._closing.wait(RETRY_S):
            try:
                self._pipeline, self._sink = self._start()
            except DeviceError as error:
                self.fault = str(error)
            else:
                self.restarts += 1
                return

    def _take(self, sample: Any) -> None:
        frame = self._decode(sample)
        if frame is None:
            self.refused += 1
            return
        self.fault = ""
        with self._lock:
            self._latest = frame
            self._unread = [*self._unread[-_KEPT_FRAMES:], frame]

    def _decode(self, sample: Any) -> DepthFrame | None:
        gst, pinhole = self._gst, self._pinhole
        buffer, caps = sample.get_buffer(), sample.get_caps()
        form = gst.Structure.new_empty("unknown") if caps is None else caps.get_structure(0)
        kind, width, height = form.get_value("format"), form.get_value("width"), form.get_value("height")
        if kind not in ("GRAY16_LE", "GRAY16_BE") or (width, height) != (pinhole.width, pinhole.height):
            self.fault = (
                f"the camera delivers {kind} of {width} x {height}, expected GRAY16_LE of {pinhole.width} x "
                f"{pinhole.height} as camera.pinhole says: correct the pipeline's caps or the configuration"
            )
            return None
        if buffer.pts == gst.CLOCK_TIME_NONE:
            if self.refused:  # a source that isn't live stamps nothing before it plays
                self.fault = "the camera's frames have no time stamps: let its source stamp them (do-timestamp=true)"
            return None
        codes = self._codes(buffer, "<u2" if kind == "GRAY16_LE" else ">u2")
        if codes is None:
            return None
        capture_ns = self._pipeline.get_base_time() + buffer.pts - int(self._config.latency_ms * 1e6)
        return DepthFrame(depth_from_codes(codes, self._config.depth_scale_m, pinhole), capture_ns)

    def _codes(self, buffer: Any, kind: str) -> np.ndarray | None:
        width, height = self._pinhole.width, self._pinhole.height
        stride = (2 * width + 3) // 4 * 4  # GStreamer pads rows of raw video to four bytes
        mapped, view = buffer.map(self._gst.MapFlags.READ)
        if not mapped:
            return None
        try:
            if len(view.data) != stride * height:
                self.fault = f"a frame of {len(view.data)} bytes, expected {stride * height}"
                return None
            rows = np.frombuffer(bytes(view.data), dtype=np.uint8).reshape(height, stride)
        finally:
            buffer.unmap(view)
        return np.ascontiguousarray(rows[:, : 2 * width]).view(kind)

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
        """Stop the pipeline; may be called more than once."""
        if not self._closing.is_set():
            self._closing.set()
            self._thread.join(5.0)
            self._stop()

    def _stop(self) -> None:
        """Stop the pipeline; one whose source never returns is left behind."""
        pipeline = self._pipeline
        stopping = threading.Thread(target=pipeline.set_state, args=(self._gst.State.NULL,), daemon=True)
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


def gi_error() -> type[Exception]:
    """Return the class of GLib's errors."""
    from gi.repository import GLib

    error: type[Exception] = GLib.Error
    return error
