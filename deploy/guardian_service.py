"""The guardian's loop: messages of the runtime, a person's requests and fifty ticks a second, and no waiting."""

from __future__ import annotations

import json
import select
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from phonotaxis.configs.wire import peer_is_self
from phonotaxis.deploy.clock import now_ns
from phonotaxis.deploy.control import Control
from phonotaxis.deploy.devices import DeviceError
from phonotaxis.deploy.guardian_trace import GuardianTrace

if TYPE_CHECKING:
    from phonotaxis.deploy.arm_button import ArmButton
    from phonotaxis.deploy.guardian import Guardian

TICK_S = 0.02
HEARTBEAT_NS = 100_000_000
BRAKE_TICKS = 25  # half a second of zeros after the runtime has gone, then the drive's own dead man holds
MAX_MESSAGE_BYTES = 4096
MAX_NOTICE = 500  # characters, which JSON may write as six bytes each
MAX_BACKLOG = 256  # messages handled at a time
GOAL_REACHED = "goal reached"  # in a status: the policy's own stop has disarmed


def serve(
    link: socket.socket,
    guardian: Guardian,
    control: Control | None = None,
    trace: GuardianTrace | None = None,
    button: ArmButton | None = None,
) -> str:
    """Run until the runtime quits or its connection ends; returns which.

    What the guardian was told goes along with its statuses, where there is a trace of it.

    Raises:
        DeviceError: the drive has gone for good; its own dead-man timeout stops the robot.
    """
    next_tick_ns, said_ns = now_ns(), 0
    said: dict[str, Any] = {}
    while True:
        watched: list[Any] = [link, *(control.sockets() if control is not None else ())]
        if guardian.drive_descriptor >= 0:
            watched.append(guardian.drive_descriptor)
        readable, _, _ = select.select(watched, [], [], max(0.0, (next_tick_ns - now_ns()) * 1e-9))
        if guardian.drive_descriptor in readable:
            guardian.listen()
            _tell_motions(link, guardian)
        at_once = False
        if link in readable:
            acted = _take(link, guardian)
            if acted is None:
                return "connection ended"
            at_once = acted
        if control is not None:
            at_once = _obey(control, readable, guardian) or at_once
        if button is not None:
            at_once = _pressed(link, button, guardian) or at_once
        if guardian.quit:
            return "quit"
        at_ns = now_ns()
        if at_once or at_ns >= next_tick_ns:  # a new command acts at once, not at the next tick
            guardian.tick(at_ns)
            next_tick_ns = at_ns + int(TICK_S * 1e9)
            _tell_motions(link, guardian)
            _tell_notices(link, guardian)
            status = guardian.status(at_ns)
            if at_ns - said_ns > HEARTBEAT_NS or _differs(status, said):
                told = {} if trace is None else {"trace": trace.offer()}
                if say(link, {**status, **told}) and trace is not None:
                    trace.sent()
                said_ns, said = at_ns, status


def _take(link: socket.socket, guardian: Guardian) -> bool | None:
    """Handle all that has arrived; returns whether to act at once, None when the connection has ended or is broken.

    All of it, so that a guardian that was itself held up doesn't take the runtime for silent.
    """
    at_once = False
    for _ in range(MAX_BACKLOG):
        try:
            packet = link.recv(MAX_MESSAGE_BYTES, socket.MSG_DONTWAIT)
        except BlockingIOError:
            break
        except ConnectionResetError:
            return None  # killed with our statuses unread: an end like any other
        if not packet:
            return None
        try:
            at_once = guardian.handle(json.loads(packet), now_ns()) or at_once
        except (ValueError, KeyError, TypeError) as error:
            print(f"guardian: the runtime's connection is broken ({error}); stopping", file=sys.stderr)
            return None
    return at_once


def _obey(control: Control, readable: list[Any], guardian: Guardian) -> bool:
    requests = control.requests(readable)
    for person, request in requests:
        at_ns = now_ns()
        done, text = guardian.person(request, at_ns)
        control.answer(person, done, text, guardian.status(at_ns))
    return bool(requests)


def _pressed(link: socket.socket, button: ArmButton, guardian: Guardian) -> bool:
    """Do what a person at the button asks for; it is read each time, since who polls a device may wait for it."""
    at_ns = now_ns()
    request = button.request(guardian.armed, at_ns)
    if request:
        done, text = guardian.person(request, at_ns)
        button.notices.append(("info" if done else "warning", f"arm button: {text}"))
    while button.notices and _notify(link, "arm_button", *button.notices[0]):
        del button.notices[0]
    return bool(request)


def _notify(link: socket.socket, event: str, level: str, text: str) -> bool:
    return say(link, {"type": "notice", "event": event, "level": level, "text": text[:MAX_NOTICE]})


def _tell_notices(link: socket.socket, guardian: Guardian) -> None:
    while guardian.notices and _notify(link, "drive", "warning", guardian.notices[0]):
        del guardian.notices[0]


def _tell_motions(link: socket.socket, guardian: Guardian) -> None:
    motions, guardian.motions = guardian.motions, []
    for motion in motions:
        fields = {"dx_m": motion.dx_m, "dy_m": motion.dy_m, "dyaw_rad": motion.dyaw_rad}
        say(link, {"type": "odometry", **fields, "collision": motion.collision, "capture_ns": motion.capture_ns})


def _differs(status: dict[str, Any], said: dict[str, Any]) -> bool:
    return any(status[key] != said.get(key) for key in ("v_mps", "w_radps", "reason", "armed", "sequence"))


def say(link: socket.socket, message: dict[str, Any]) -> bool:
    """Send without ever waiting: a runtime that doesn't listen must not hold up the drive. False if it isn't sent."""
    try:
        link.send(json.dumps(message, separators=(",", ":")).encode(), socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
    except OSError:
        return False  # its silence, or the end of its connection, is noticed where messages are taken
    return True


def brake(guardian: Guardian, cause: str) -> None:
    """Disarm and send zeros for half a second, as far as the drive still listens."""
    guardian.disarm(cause)
    for _ in range(BRAKE_TICKS):
        try:
            guardian.tick(now_ns())
        except DeviceError:
            return
        select.select([], [], [], TICK_S)


def accept_runtime(path: Path, timeout_s: float = 30.0) -> socket.socket:
    """Wait at the path for the one runtime of this user.

    Raises:
        OSError: nobody came, or somebody else.
    """
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        listener.bind(str(path))
        path.chmod(0o600)
        listener.listen(1)
        listener.settimeout(timeout_s)
        link, _ = listener.accept()
    finally:
        listener.close()
        path.unlink(missing_ok=True)
    if not peer_is_self(link):
        link.close()
        raise PermissionError("the runtime belongs to another user")
    link.setblocking(True)
    return link
