"""A depth camera's own node: the code is whole, and the kernel's answers to its ioctls are made up."""

from __future__ import annotations

import ctypes
import errno
import os
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from phonotaxis.configs.base import ConfigError, build
from phonotaxis.configs.contract import PinholeCamera
from phonotaxis.configs.devices import CameraPipeline, DepthNode
from phonotaxis.configs.robot import CameraConfig
from phonotaxis.deploy.devices import DepthFrame, DeviceError
from phonotaxis.deploy.jetson import cameras, video_node
from phonotaxis.deploy.jetson.cameras import LiveCamera

CAMERA = CameraConfig(pinhole=PinholeCamera(width=30, height=20, fx=15, fy=15, cx=15, cy=10), max_age_ms=1000)
PAGE = 4096
ROW_BYTES = 64  # 60 and what the driver pads with


class Driver:
    """uvcvideo's side of a node; a plain file stands for the memory that it shares."""

    def __init__(self, path: Path, offers: bytes = b"Z16 ") -> None:
        path.write_bytes(bytes(video_node.BUFFERS * PAGE))
        self.path, self.offers = path, offers
        self.asked: list[int] = []
        self.queued: list[int] = []
        self.frames: list[tuple[np.ndarray, int, int]] = []
        self.rate = (0, 0)
        self.error = 0

    def ioctl(self, descriptor: int, code: int, argument: Any) -> int:
        self.asked.append(code)
        if self.error:
            raise OSError(self.error, os.strerror(self.error))
        answers = {
            video_node.SET_FORMAT: self._format,
            video_node.SET_RATE: self._rate,
            video_node.QUERY: self._query,
            video_node.QUEUE: lambda buffer: self.queued.append(buffer.index),
            video_node.DEQUEUE: lambda buffer: self._fill(descriptor, buffer),
        }
        answers.get(code, lambda other: None)(argument)
        return 0

    def _format(self, form: Any) -> None:
        form.of.pixels.pixelformat = int.from_bytes(self.offers, "little")
        form.of.pixels.bytesperline = ROW_BYTES

    def _rate(self, rate: Any) -> None:
        self.rate = (rate.numerator, rate.denominator)

    def _query(self, buffer: Any) -> None:
        buffer.length, buffer.offset = PAGE, buffer.index * PAGE

    def _fill(self, descriptor: int, buffer: Any) -> None:
        if not self.frames:
            time.sleep(0.005)  # a file is always readable, a node only when a frame has come
            raise BlockingIOError
        codes, capture_ns, flags = self.frames.pop(0)
        data = np.zeros((20, ROW_BYTES // 2), dtype="<u2")
        data[:, :30] = codes
        buffer.index = self.queued.pop(0)
        os.pwrite(descriptor, data.tobytes(), buffer.index * PAGE)
        buffer.bytesused, buffer.flags = data.nbytes, flags
        buffer.seconds, buffer.microseconds = divmod(capture_ns // 1000, 1_000_000)


@pytest.fixture
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Driver:
    driver = Driver(tmp_path / "video0")
    monkeypatch.setattr(video_node, "fcntl", SimpleNamespace(ioctl=driver.ioctl))
    monkeypatch.setattr(cameras, "RETRY_S", 0.05)
    return driver


def _open(driver: Driver, **changes: Any) -> LiveCamera:
    return LiveCamera(CameraPipeline(v4l2=DepthNode(device=str(driver.path)), **changes), CAMERA)


def _until(condition: Callable[[], bool], seconds: float = 5.0) -> bool:
    deadline_s = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline_s:
        time.sleep(0.002)
    return condition()


def test_layouts_and_numbers_are_the_kernels() -> None:
    """As a C compiler has them from linux/videodev2.h, on x86-64 and arm64 alike."""
    codes = [
        (video_node.SET_FORMAT, 0xC0D05605), (video_node.REQUEST, 0xC0145608), (video_node.QUERY, 0xC0585609),
        (video_node.QUEUE, 0xC058560F), (video_node.DEQUEUE, 0xC0585611), (video_node.STREAM_ON, 0x40045612),
        (video_node.STREAM_OFF, 0x40045613), (video_node.SET_RATE, 0xC0CC5616),
    ]  # fmt: skip
    assert [ours for ours, _ in codes] == [kernels for _, kernels in codes]
    places = {"bytesused": 8, "flags": 12, "seconds": 24, "microseconds": 32, "memory": 60, "offset": 64, "length": 72}
    assert {name: getattr(video_node.Buffer, name).offset for name in places} == places
    pixels = {"width": 8, "height": 12, "pixelformat": 16, "bytesperline": 24}
    assert {name: 8 + getattr(video_node.Pixels, name).offset for name in pixels} == pixels
    assert (video_node.Format.of.offset, video_node.Rate.numerator.offset) == (8, 12)
    assert ctypes.sizeof(video_node.Buffer) == 88


def test_depth_comes_from_a_node_with_the_drivers_times(driver: Driver) -> None:
    camera = _open(driver, latency_ms=5.0)
    codes = np.arange(600, dtype=np.uint16).reshape(20, 30) + 500
    sent_ns = [time.monotonic_ns() // 1000 * 1000 + at for at in range(0, 10_000_000, 1_000_000)]
    driver.frames += [(codes, at_ns, video_node.MONOTONIC) for at_ns in sent_ns]  # more than there are buffers
    frames: list[DepthFrame] = []

    def all_came() -> bool:
        frames.extend(camera.unread())
        return len(frames) == 10

    assert _until(all_came)
    camera.close()
    assert [frame.capture_ns for frame in frames] == [at_ns - 5_000_000 for at_ns in sent_ns]
    np.testing.assert_allclose(frames[-1].depth_m, codes * 0.001, atol=1e-6)
    assert (camera.fault, camera.refused, driver.rate) == ("", 0, (1, 30))
    assert driver.asked[-1] == video_node.STREAM_OFF


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (video_node.MONOTONIC | video_node.DAMAGED, "come damaged"),
        (0, "monotonic clock"),  # V4L2_BUF_FLAG_TIMESTAMP_UNKNOWN
    ],
)
def test_frames_that_are_damaged_or_of_another_clock_are_refused(flags: int, said: str, driver: Driver) -> None:
    camera = _open(driver)
    driver.frames.append((np.full((20, 30), 2000), time.monotonic_ns(), flags))
    assert _until(lambda: camera.refused == 1)
    camera.close()
    assert camera.latest() is None
    assert said in camera.fault


def test_what_cannot_stream_is_told(driver: Driver, tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match=r"devices\.camera\.v4l2: .*none.*check the path"):
        LiveCamera(CameraPipeline(v4l2=DepthNode(device=str(tmp_path / "none"))), CAMERA)
    driver.offers = b"UYVY"  # a driver never refuses a format: it answers with one of its own
    with pytest.raises(DeviceError, match="delivers UYVY of 30 x 20, expected Z16 of 30 x 20.*--list-formats-ext"):
        _open(driver)
    driver.error = errno.EBUSY
    with pytest.raises(DeviceError, match="doesn't stream .*no other program's"):
        _open(driver)


def test_a_camera_that_is_pulled_out_comes_back(driver: Driver) -> None:
    camera = _open(driver)
    driver.error = errno.ENODEV
    assert _until(lambda: "No such device" in camera.fault)
    driver.error, driver.queued = 0, []
    assert _until(lambda: camera.restarts == 1)
    driver.frames.append((np.full((20, 30), 2000), time.monotonic_ns(), video_node.MONOTONIC))
    assert _until(lambda: camera.latest() is not None)
    assert camera.fault == ""
    camera.close()


@pytest.mark.parametrize(
    ("camera", "said"),
    [
        ({}, "one of both, pipeline .* or v4l2"),
        ({"pipeline": "videotestsrc", "v4l2": {"device": "/dev/video0"}}, "one of both"),
        ({"pipeline": "videotestsrc !"}, "must end in an element"),
        ({"pipeline": "videotestsrc", "delivers": "colour"}, "delivers: Input should be 'depth', got 'colour'"),
    ],
)
def test_a_camera_is_one_thing_and_delivers_depth(camera: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        build(CameraPipeline, camera, "camera")
