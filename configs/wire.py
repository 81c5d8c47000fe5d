"""The wire between the robot's runtime and a simulated robot: frames over a Unix-domain stream socket.

A frame is two little-endian uint32 (bytes of the header, bytes of the payload), a JSON header with a `type`,
and the payload. The client opens one connection for its sensors (`{"type": "hello", "role": "sensors"}`) and
its guardian one for the drive (`"role": "drive"`). The robot sends `audio`, `depth` and `odometry` in the
order in which they happened; the guardian sends `command`. Both ends share the machine's monotonic clock.
"""

from __future__ import annotations

import json
import os
import socket
import stat
import struct
from pathlib import Path
from typing import Any

import numpy as np

MAX_HEADER_BYTES = 65_536
MAX_PAYLOAD_BYTES = 16_777_216
_ANOTHER_FOLDER = "set XDG_RUNTIME_DIR to a folder that is yours alone"
_LENGTHS = struct.Struct("<II")


class WireError(ConnectionError):
    """The other end of the wire has gone, or speaks something else."""


class WireTimeout(WireError):
    """Nothing came in time; the wire is still open."""


def send(link: socket.socket, header: dict[str, Any], payload: bytes = b"") -> None:
    """Send one frame.

    Raises:
        WireError: the other end has gone.
    """
    text = json.dumps(header, separators=(",", ":")).encode()
    try:
        link.sendall(_LENGTHS.pack(len(text), len(payload)) + text + payload)
    except OSError as error:
        raise WireError(f"the wire broke while sending '{header.get('type')}' ({error})") from None


def receive(link: socket.socket) -> tuple[dict[str, Any], bytes]:
    """Receive one frame: its header and payload.

    Raises:
        WireTimeout: nothing came within the socket's time limit.
        WireError: the other end has gone, or what came is no frame.
    """
    header_bytes, payload_bytes = _LENGTHS.unpack(_exactly(link, _LENGTHS.size, first=True))
    if header_bytes > MAX_HEADER_BYTES or payload_bytes > MAX_PAYLOAD_BYTES:
        raise WireError(f"not a frame of this wire: it announces {header_bytes} + {payload_bytes} bytes")
    text = _exactly(link, header_bytes)
    payload = _exactly(link, payload_bytes)
    try:
        header = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise WireError(f"not a frame of this wire: its header is not JSON ({error})") from None
    if not isinstance(header, dict) or not isinstance(header.get("type"), str):
        raise WireError("not a frame of this wire: its header has no type")
    return header, payload


def _exactly(link: socket.socket, count: int, first: bool = False) -> bytes:
    parts = bytearray()
    while len(parts) < count:
        try:
            part = link.recv(count - len(parts))
        except TimeoutError:
            if first and not parts:
                raise WireTimeout("nothing came in time") from None
            continue  # the rest of a frame that has begun is on its way
        except OSError as error:
            raise WireError(f"the wire broke ({error})") from None
        if not part:
            raise WireError("the other end has closed the wire")
        parts += part
    return bytes(parts)


def array_payload(values: np.ndarray) -> tuple[dict[str, Any], bytes]:
    """Return what describes an array (dtype, shape) and its bytes, little-endian, in C order."""
    little = np.ascontiguousarray(values).astype(values.dtype.newbyteorder("<"), copy=False)
    return {"dtype": values.dtype.name, "shape": list(values.shape)}, little.tobytes()


def array_from(header: dict[str, Any], payload: bytes, dtype: str, dimensions: int) -> np.ndarray:
    """Read the array of a frame.

    Args:
        header: with `dtype` and `shape`.
        payload: its bytes.
        dtype: the type expected.
        dimensions: the number of axes expected.

    Raises:
        WireError: other type, axes or size than announced or expected.
    """
    shape = header.get("shape")
    fits = isinstance(shape, list) and len(shape) == dimensions and all(isinstance(n, int) and n > 0 for n in shape)
    if header.get("dtype") != dtype or not fits:
        raise WireError(f"expected {dtype} with {dimensions} axes, got {header.get('dtype')} of shape {shape}")
    kind = np.dtype(dtype).newbyteorder("<")
    if int(np.prod(shape)) * kind.itemsize != len(payload):  # type: ignore[arg-type]
        raise WireError(f"an array of {dtype} {shape} does not fill {len(payload)} bytes")
    return np.frombuffer(payload, dtype=kind).astype(dtype).reshape(shape)


def runtime_folder() -> Path:
    """Return the user's folder for sockets; a relative `XDG_RUNTIME_DIR` is none (XDG Base Directory Specification).

    Raises:
        WireError: it isn't this user's own, or others may write to it, who could put sockets of theirs in our place.
    """
    named = Path(os.environ.get("XDG_RUNTIME_DIR", ""))
    own = Path(f"/tmp/phonotaxis-{os.getuid()}")  # anybody may have made that, a link too
    folder, given = (named, True) if named.is_absolute() else (own, False)
    try:
        found = os.stat(folder, follow_symlinks=given)
    except FileNotFoundError:
        return folder
    except OSError as error:
        raise WireError(f"{folder}: can't be looked at ({error.strerror or error}); {_ANOTHER_FOLDER}") from None
    if not stat.S_ISDIR(found.st_mode):
        raise WireError(f"{folder}: sockets shall lie in it, and it is no folder; remove it, or {_ANOTHER_FOLDER}")
    if found.st_uid != os.getuid():
        raise WireError(f"{folder}: sockets shall lie in it, and it is another user's; {_ANOTHER_FOLDER}")
    if found.st_mode & 0o022:
        raise WireError(
            f"{folder}: sockets shall lie in it, and others may write to it; chmod go-w {folder}, or {_ANOTHER_FOLDER}"
        )
    return folder


def make_private(folder: Path) -> None:
    """Make a folder that only this user can enter, and those above it that aren't there yet, whatever the umask is.

    Raises:
        PermissionError: it is there and open to others.
        OSError: it can't be made.
    """
    for each in reversed([one for one in (folder, *folder.parents) if not one.exists()]):
        each.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_mode & 0o077:
        raise PermissionError(f"{folder}: open to other users; make it 0700 (chmod 700 {folder})")


def socket_path(configured: str) -> Path:
    """Return where the simulated robot listens; a relative path lies under the user's runtime folder.

    Raises:
        WireError: that is needed, and not the user's alone.
    """
    return Path(configured) if Path(configured).is_absolute() else runtime_folder() / configured


def connect(path: Path, role: str, timeout_s: float) -> socket.socket:
    """Connect to the simulated robot and say which role the connection has.

    Raises:
        WireError: nobody listens there.
    """
    link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    link.settimeout(timeout_s)
    try:
        link.connect(str(path))
        send(link, {"type": "hello", "role": role})
    except OSError as error:
        link.close()
        raise WireError(
            f"{path}: no simulated robot listens here ({error.strerror or error}); start one with "
            "python -m phonotaxis.envs.simulated_robot, or set devices.socket"
        ) from None
    return link


def peer_is_self(link: socket.socket) -> bool:
    """Whether the process at the other end belongs to this user (SO_PEERCRED, unix(7))."""
    credentials = link.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _, uid, _ = struct.unpack("3i", credentials)
    return bool(uid == os.getuid())


def listen(path: Path) -> socket.socket:
    """Listen at a path that only this user can reach: folder 0700, socket 0600.

    Raises:
        WireError: the path is too long for a Unix socket (107 bytes), or the folder is open to others.
    """
    try:
        make_private(path.parent)
    except PermissionError as error:
        raise WireError(str(error)) from None
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(str(path))
        path.chmod(0o600)
        listener.listen(4)
    except OSError as error:
        listener.close()
        raise WireError(f"{path}: can't listen here ({error.strerror or error})") from None
    return listener
