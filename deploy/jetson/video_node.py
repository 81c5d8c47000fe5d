"""A depth camera's own node of the kernel, e.g. a RealSense's, whose Z16 GStreamer's v4l2src doesn't know.

Video4Linux (linux/videodev2.h, layouts of computers of 64 bit): the driver fills memory that is shared with it, and
stamps each frame by the monotonic clock, as uvcvideo does unless it is told otherwise.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import mmap
import os
import select
from typing import TYPE_CHECKING

import numpy as np

from phonotaxis.configs.contract import PinholeCamera
from phonotaxis.deploy.clock import NS_PER_S
from phonotaxis.deploy.devices import DeviceError

if TYPE_CHECKING:
    from phonotaxis.configs.devices import DepthNode

POLL_S = 0.1
BUFFERS = 4
CAPTURE, MMAP, PROGRESSIVE = 1, 1, 1  # V4L2_BUF_TYPE_VIDEO_CAPTURE, V4L2_MEMORY_MMAP, V4L2_FIELD_NONE
DAMAGED, CLOCKS, MONOTONIC = 0x40, 0xE000, 0x2000  # V4L2_BUF_FLAG_ERROR, _TIMESTAMP_MASK, _TIMESTAMP_MONOTONIC
_U32, _I64 = ctypes.c_uint32, ctypes.c_int64


def _numbers(*names: str) -> list[tuple[str, type]]:
    return [(name, _U32) for name in names]


class Pixels(ctypes.Structure):
    """v4l2_pix_format."""

    _fields_ = _numbers(
        "width", "height", "pixelformat", "field", "bytesperline", "sizeimage", "colorspace", "priv", "flags",
        "encoding", "quantization", "transfer",
    )  # fmt: skip


class _FormatOf(ctypes.Union):
    _fields_ = (("pixels", Pixels), ("raw", ctypes.c_uint8 * 200), ("aligned", ctypes.c_void_p))


class Format(ctypes.Structure):
    """v4l2_format."""

    _fields_ = (("type", _U32), ("of", _FormatOf))


class Rate(ctypes.Structure):
    """v4l2_streamparm."""

    _fields_ = (
        *_numbers("type", "capability", "mode", "numerator", "denominator", "extended", "buffers"),
        ("rest", _U32 * 44),
    )


class Request(ctypes.Structure):
    """v4l2_requestbuffers."""

    _fields_ = _numbers("count", "type", "memory", "capabilities", "flags")


class Buffer(ctypes.Structure):
    """v4l2_buffer."""

    _fields_ = (
        *_numbers("index", "type", "bytesused", "flags", "field"),
        *(("seconds", _I64), ("microseconds", _I64), ("timecode", _U32 * 4)),
        *_numbers("sequence", "memory", "offset", "offset_rest", "length", "reserved", "request"),
    )


def _code(direction: int, number: int, size: int) -> int:
    """Return an ioctl's number (asm-generic/ioctl.h): 1 writes, 3 writes and reads."""
    return direction << 30 | size << 16 | ord("V") << 8 | number


SET_FORMAT = _code(3, 5, ctypes.sizeof(Format))
REQUEST = _code(3, 8, ctypes.sizeof(Request))
QUERY = _code(3, 9, ctypes.sizeof(Buffer))
QUEUE = _code(3, 15, ctypes.sizeof(Buffer))
DEQUEUE = _code(3, 17, ctypes.sizeof(Buffer))
STREAM_ON, STREAM_OFF = _code(1, 18, 4), _code(1, 19, 4)
SET_RATE = _code(3, 22, ctypes.sizeof(Rate))


class VideoNode:
    """A node that streams; see `cameras.FrameSource`."""

    def __init__(self, config: DepthNode, pinhole: PinholeCamera) -> None:
        """Open the node and let it stream.

        Args:
            config: of the node.
            pinhole: of the frames.

        Raises:
            DeviceError: it isn't there, another program streams from it, or it has no such format.
        """
        self._config, self._pinhole = config, pinhole
        self._maps: list[mmap.mmap] = []
        self._row_bytes, self._ended = 0, ""
        try:
            self._descriptor = os.open(config.device, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise DeviceError(f"devices.camera.v4l2: {error}; check the path, the cable and the group video") from None
        try:
            self._choose()
            self._share()
            fcntl.ioctl(self._descriptor, STREAM_ON, _U32(CAPTURE))
        except OSError as error:
            self.close()
            raise DeviceError(
                f"{config.device} doesn't stream ({error.strerror}): is it a camera's, and no other program's?"
            ) from None
        except DeviceError:
            self.close()
            raise

    def _choose(self) -> None:
        wanted, pinhole = self._config.format, self._pinhole
        form = Format(type=CAPTURE)
        pixels = form.of.pixels
        pixels.width, pixels.height, pixels.field = pinhole.width, pinhole.height, PROGRESSIVE
        pixels.pixelformat = int.from_bytes(wanted.ljust(4).encode(), "little")
        fcntl.ioctl(self._descriptor, SET_FORMAT, form)
        got = int(pixels.pixelformat).to_bytes(4, "little").decode("ascii", "replace").strip()
        if (got, pixels.width, pixels.height) != (wanted, pinhole.width, pinhole.height):
            raise DeviceError(
                f"{self._config.device} delivers {got} of {pixels.width} x {pixels.height}, expected {wanted} of "
                f"{pinhole.width} x {pinhole.height} as devices.camera.v4l2 and camera.pinhole say; what it can: "
                f"v4l2-ctl -d {self._config.device} --list-formats-ext"
            )
        self._row_bytes = max(pixels.bytesperline, 2 * pinhole.width)
        with contextlib.suppress(OSError):  # a driver that has one rate alone
            rate = Rate(type=CAPTURE, numerator=1, denominator=self._config.frame_rate_hz)
            fcntl.ioctl(self._descriptor, SET_RATE, rate)

    def _share(self) -> None:
        granted = Request(count=BUFFERS, type=CAPTURE, memory=MMAP)
        fcntl.ioctl(self._descriptor, REQUEST, granted)
        for index in range(granted.count):
            buffer = Buffer(index=index, type=CAPTURE, memory=MMAP)
            fcntl.ioctl(self._descriptor, QUERY, buffer)
            self._maps.append(mmap.mmap(self._descriptor, buffer.length, offset=buffer.offset))
            fcntl.ioctl(self._descriptor, QUEUE, buffer)

    def pull(self) -> tuple[np.ndarray, int] | str | None:
        """Return the next frame, or why it is refused; see `cameras.FrameSource`."""
        buffer = Buffer(type=CAPTURE, memory=MMAP)
        try:
            if not select.select([self._descriptor], [], [], POLL_S)[0]:
                return None
            fcntl.ioctl(self._descriptor, DEQUEUE, buffer)
            data = self._maps[buffer.index][: buffer.bytesused]
            flags, capture_ns = buffer.flags, buffer.seconds * NS_PER_S + buffer.microseconds * 1000
            fcntl.ioctl(self._descriptor, QUEUE, buffer)
        except BlockingIOError:
            return None
        except OSError as error:
            self._ended = f"{self._config.device}: {error.strerror}"
            return None
        return self._refusal(flags, len(data)) or (self._codes(data), capture_ns)

    def _refusal(self, flags: int, size: int) -> str:
        expected = self._row_bytes * self._pinhole.height
        if flags & DAMAGED or size != expected:
            return f"the camera's frames come damaged ({size} bytes of {expected}): try a shorter cable, or USB 3"
        if flags & CLOCKS != MONOTONIC:
            return "the camera's driver doesn't stamp its frames by the monotonic clock (of uvcvideo: clock=monotonic)"
        return ""

    def _codes(self, data: bytes) -> np.ndarray:
        rows = np.frombuffer(data, dtype=np.uint8).reshape(self._pinhole.height, self._row_bytes)
        return np.ascontiguousarray(rows[:, : 2 * self._pinhole.width]).view("<u2")

    def ended(self) -> str:
        """Return why no frame can come any more; empty where one may."""
        return self._ended

    def close(self) -> None:
        """Stop streaming and let go of the node."""
        with contextlib.suppress(OSError):
            fcntl.ioctl(self._descriptor, STREAM_OFF, _U32(CAPTURE))
        for shared in self._maps:
            shared.close()
        os.close(self._descriptor)
