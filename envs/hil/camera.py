"""What the robot sees: 16-bit depth frames for a GStreamer pipeline, over a loopback connection.

A pipe would block its reader for ever where frames cease; a socket can be left at any time.
"""

from __future__ import annotations

import contextlib
import socket
import threading

import numpy as np

DEPTH_SCALE_M = 0.001  # as most depth cameras deliver it


class VirtualCamera:
    """A depth camera that any GStreamer pipeline reads; it listens on 127.0.0.1 for as long as it lives.

    Attributes:
        width: of its images, pixels.
        height: likewise.
        pipeline: what to write as the robot's `devices.camera.pipeline`.
    """

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self._client: socket.socket | None = None
        self._lock = threading.Lock()
        self._port = 0
        self.plug()
        self.pipeline = (
            f"tcpclientsrc host=127.0.0.1 port={self._port} do-timestamp=true ! "
            f"rawvideoparse width={width} height={height} format=gray16-le framerate=0/1"
        )

    def plug(self) -> None:
        """Listen, anew after `close`."""
        self._closed = False
        self._listener = socket.create_server(("127.0.0.1", self._port))
        self._port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, name="virtual-camera", daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        while not self._closed:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            client.settimeout(0.05)
            self.unplug()
            with self._lock:
                self._client = client

    @property
    def watched(self) -> bool:
        """Whether a pipeline is connected."""
        return self._client is not None

    def send(self, depth_m: np.ndarray) -> None:
        """Send a frame, float32 [height, width] in metres with 0 = unknown, if anybody looks."""
        self.send_bytes(depth_codes(depth_m).tobytes())

    def send_bytes(self, data: bytes) -> None:
        """Send what may be no frame at all."""
        with self._lock:
            if self._client is None:
                return
            try:
                self._client.sendall(data)
            except OSError:
                self._drop()

    def unplug(self) -> None:
        """Break the connection; the pipeline may connect anew."""
        with self._lock:
            self._drop()

    def _drop(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None

    def close(self) -> None:
        """Stop listening."""
        self._closed = True
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(2.0)
        self.unplug()


def depth_codes(depth_m: np.ndarray) -> np.ndarray:
    """Return float32 metres as a depth camera's uint16 codes; 0 stays unknown."""
    return np.clip(np.round(depth_m / DEPTH_SCALE_M), 0, 65535).astype("<u2")
