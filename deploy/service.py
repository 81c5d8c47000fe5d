"""The service manager's protocol: ready, and still alive (sd_notify(3)); nothing where there is none."""

from __future__ import annotations

import contextlib
import os
import socket


def notify(state: str) -> None:
    """Tell the service manager, without ever waiting.

    Args:
        state: `READY=1` or `WATCHDOG=1`.
    """
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as link, contextlib.suppress(OSError):
        link.setblocking(False)
        link.sendto(state.encode(), "\0" + address[1:] if address[0] == "@" else address)
