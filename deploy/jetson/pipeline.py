"""A GStreamer pipeline that ends in 16-bit depth, each frame with its capture time.

A pipeline's base time plus a buffer's time stamp lies in the monotonic clock, since the pipeline is given the
system's clock.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
from typing import Any

import numpy as np

from phonotaxis.configs.contract import PinholeCamera
from phonotaxis.deploy.devices import DeviceError

SINK = "phonotaxis_sink"
_POLL_NS = 100_000_000


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


class Pipeline:
    """A running pipeline; see `cameras.FrameSource`."""

    def __init__(self, text: str, pinhole: PinholeCamera) -> None:
        """Start it.

        Args:
            text: in gst-launch-1.0's words, without a sink.
            pinhole: of the frames.

        Raises:
            DeviceError: it isn't a pipeline, or it fails at once.
        """
        self._pinhole, self._unstamped = pinhole, 0
        self._gst = gst = gstreamer()
        try:
            self._pipeline = gst.parse_launch(f"{text} ! appsink name={SINK} sync=false max-buffers=8 drop=true")
        except gi_error() as error:
            raise DeviceError(f"devices.camera.pipeline: {error}; try it with gst-launch-1.0") from None
        self._pipeline.use_clock(gst.SystemClock.obtain())
        if self._pipeline.set_state(gst.State.PLAYING) == gst.StateChangeReturn.FAILURE:
            reason = self._error() or "it does not start"
            self._pipeline.set_state(gst.State.NULL)
            raise DeviceError(f"the camera's pipeline fails: {reason}")
        self._sink = self._pipeline.get_by_name(SINK)

    def _error(self) -> str:
        message = self._pipeline.get_bus().pop_filtered(self._gst.MessageType.ERROR)
        if message is None:
            return ""
        error, told = message.parse_error()
        # the first line says where in GStreamer's source; what follows says why, e.g. "reason not-negotiated (-4)"
        where, _, why = (told or "").strip().partition("\n")
        return f"{error.message} ({why})" if why else str(error.message)

    def pull(self) -> tuple[np.ndarray, int] | str | None:
        """Return the next frame, or why it is refused; see `cameras.FrameSource`."""
        sample = self._sink.try_pull_sample(_POLL_NS)
        return None if sample is None else self._decode(sample)

    def ended(self) -> str:
        """Return why no frame can come any more; empty where one may."""
        return self._error() or ("its stream has ended" if self._sink.is_eos() else "")

    def _decode(self, sample: Any) -> tuple[np.ndarray, int] | str:
        gst, pinhole = self._gst, self._pinhole
        buffer, caps = sample.get_buffer(), sample.get_caps()
        form = gst.Structure.new_empty("unknown") if caps is None else caps.get_structure(0)
        kind, width, height = form.get_value("format"), form.get_value("width"), form.get_value("height")
        if kind not in ("GRAY16_LE", "GRAY16_BE") or (width, height) != (pinhole.width, pinhole.height):
            return (
                f"the camera delivers {kind} of {width} x {height}, expected GRAY16_LE of {pinhole.width} x "
                f"{pinhole.height} as camera.pinhole says: correct the pipeline's caps or the configuration"
            )
        if buffer.pts == gst.CLOCK_TIME_NONE:
            self._unstamped += 1
            if self._unstamped == 1:  # a source that isn't live stamps nothing before it plays
                return ""
            return "the camera's frames have no time stamps: let its source stamp them (do-timestamp=true)"
        codes = self._codes(buffer, "<u2" if kind == "GRAY16_LE" else ">u2")
        return codes if isinstance(codes, str) else (codes, int(self._pipeline.get_base_time() + buffer.pts))

    def _codes(self, buffer: Any, kind: str) -> np.ndarray | str:
        width, height = self._pinhole.width, self._pinhole.height
        stride = (2 * width + 3) // 4 * 4  # GStreamer pads rows of raw video to four bytes
        mapped, view = buffer.map(self._gst.MapFlags.READ)
        if not mapped:
            return ""
        try:
            if len(view.data) != stride * height:
                return f"a frame of {len(view.data)} bytes, expected {stride * height}"
            rows = np.frombuffer(bytes(view.data), dtype=np.uint8).reshape(height, stride)
        finally:
            buffer.unmap(view)
        return np.ascontiguousarray(rows[:, : 2 * width]).view(kind)

    def close(self) -> None:
        """Stop it, which never returns where its source hangs."""
        self._pipeline.set_state(self._gst.State.NULL)


def gi_error() -> type[Exception]:
    """Return the class of GLib's errors."""
    from gi.repository import GLib

    error: type[Exception] = GLib.Error
    return error
