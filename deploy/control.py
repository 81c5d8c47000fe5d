"""A person's hand on the guardian: arm, disarm, emergency stop and release, over a socket of this user alone.

Messages are JSON, one a packet: a request `{"type": "arm"}` gets one answer
`{"ok": true, "text": "...", "status": {...}}`. The socket is 0600 in a folder that is 0700.
"""

from __future__ import annotations

import contextlib
import json
import socket
from typing import TYPE_CHECKING, Any

from phonotaxis.configs.wire import WireError, make_private, peer_is_self, runtime_folder
from phonotaxis.deploy.emergency_stop import robot_key

if TYPE_CHECKING:
    from pathlib import Path

    from phonotaxis.configs.robot import RobotConfig

REQUESTS = ("arm", "disarm", "emergency_stop", "release", "status")
MAX_BYTES = 4096
MAX_CLIENTS = 8
_SUFFIX = ".guardian"


class ControlError(RuntimeError):
    """No guardian answers, or it refuses; the message says which."""


def control_path(robot: RobotConfig) -> Path:
    """Return where this robot's guardian listens, under `XDG_RUNTIME_DIR`.

    Raises:
        WireError: that folder isn't this user's alone.
    """
    return runtime_folder() / "phonotaxis" / f"{robot_key(robot)}{_SUFFIX}"


class NoGuardian(ControlError):
    """No guardian of this robot runs."""


class Refused(ControlError):
    """The guardian has answered: it did not do that, or that does nothing here."""


class Control:
    """The guardian's end: a listening socket and its clients, none of which it ever waits for."""

    def __init__(self, path: Path) -> None:
        """Listen.

        Raises:
            OSError: another guardian of this robot runs, or the folder is open to others.
        """
        make_private(path.parent)
        if _answers(path):
            raise FileExistsError(f"another guardian of this robot runs ({path}); end its run first")
        path.unlink(missing_ok=True)
        self._path = path
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            self._listener.bind(str(path))
            path.chmod(0o600)
            self._listener.listen(4)
        except OSError:
            self._listener.close()
            raise
        self._listener.setblocking(False)
        self._clients: list[socket.socket] = []

    def sockets(self) -> list[socket.socket]:
        """Return what to wait for with select."""
        return [self._listener, *self._clients]

    def requests(self, ready: list[socket.socket]) -> list[tuple[socket.socket, str]]:
        """Take what has come on the sockets that are ready; returns who asks what, nonsense as an empty request."""
        found = []
        for link in ready:
            if link is self._listener:
                self._accept()
            elif link in self._clients:
                packet = _receive(link)
                request = _request(packet)
                if packet and not (request == "arm" and _hung_up(link)):
                    found.append((link, request))
                else:
                    self._drop(link)
        return found

    def _accept(self) -> None:
        try:
            link, _ = self._listener.accept()
        except OSError:
            return
        if not peer_is_self(link):
            link.close()
            return
        if len(self._clients) >= MAX_CLIENTS:
            self._drop(self._clients[0])  # who keeps a connection open must not keep a person from stopping the robot
        link.setblocking(False)
        self._clients.append(link)

    def _drop(self, link: socket.socket) -> None:
        self._clients.remove(link)
        link.close()

    def answer(self, link: socket.socket, ok: bool, text: str, status: dict[str, Any]) -> None:
        """Answer without waiting."""
        packet = json.dumps({"ok": ok, "text": text, "status": status}).encode()
        try:
            link.send(packet, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
        except OSError:
            self._drop(link)

    def close(self) -> None:
        """Stop listening."""
        for link in (self._listener, *self._clients):
            link.close()
        with contextlib.suppress(OSError):
            self._path.unlink()


def _receive(link: socket.socket) -> bytes:
    try:
        return link.recv(MAX_BYTES)
    except OSError:
        return b""


def _hung_up(link: socket.socket) -> bool:
    """Whether nobody waits for the answer any more: who was told that nothing answers doesn't expect to be obeyed."""
    try:
        return link.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def _request(packet: bytes) -> str:
    try:
        kind = json.loads(packet)["type"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""
    return kind if kind in REQUESTS else ""


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as probe:
        probe.settimeout(0.5)
        try:
            probe.connect(str(path))
        except (TimeoutError, BlockingIOError):
            return True  # a queue that nobody empties is a guardian's that hangs
        except OSError:
            return False
        return True


def ask(robot: RobotConfig, request: str, timeout_s: float = 2.0) -> dict[str, Any]:
    """Ask this robot's guardian for something: the person's end.

    Args:
        robot: whose guardian.
        request: one of `REQUESTS`.
        timeout_s: to wait for the answer.

    Returns:
        The answer: `text`, and the guardian's `status`.

    Raises:
        NoGuardian: none of this robot runs.
        Refused: it says no, and why.
        ControlError: it doesn't answer, or the folder of its socket isn't this user's alone.
    """
    try:
        path = control_path(robot)
    except WireError as error:
        raise ControlError(str(error)) from None
    return _ask_at(path, f"the guardian of '{robot.name}'", request, timeout_s)


def stop_whoever_runs(timeout_s: float = 2.0) -> list[tuple[str, str]]:
    """Ask every guardian of this user that runs here for the emergency stop, where nobody knows which is meant.

    Returns:
        Of each its socket's name, and what it answers, or why it doesn't.
    """
    try:
        folder = runtime_folder() / "phonotaxis"
    except WireError:
        return []
    told = []
    for path in sorted(folder.glob(f"*{_SUFFIX}")):
        try:
            told.append((path.stem, str(_ask_at(path, f"guardian {path.stem}", "emergency_stop", timeout_s)["text"])))
        except NoGuardian:  # what one that was killed has left
            continue
        except ControlError as error:
            told.append((path.stem, str(error)))
    return told


def _ask_at(path: Path, who: str, request: str, timeout_s: float) -> dict[str, Any]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as link:
        link.settimeout(timeout_s)
        try:
            link.connect(str(path))
        except (TimeoutError, BlockingIOError) as error:
            raise ControlError(f"{who} does not answer ({error}): cut the motors' power") from None
        except OSError:
            raise NoGuardian(f"{who} doesn't run ({path}); start `phonotaxis run` first, as this same user") from None
        if not peer_is_self(link):
            raise ControlError(f"what listens at {path} is another user's, not {who}: cut the motors' power")
        try:
            link.send(json.dumps({"type": request}).encode())
            packet = link.recv(MAX_BYTES)
            answer: dict[str, Any] = json.loads(packet)
        except (OSError, ValueError) as error:
            raise ControlError(f"{who} does not answer ({error}): cut the motors' power") from None
    if not answer["ok"]:
        raise Refused(answer["text"])
    return answer
