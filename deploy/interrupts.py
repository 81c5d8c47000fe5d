"""Ctrl-C and a service manager's stop, in a run and while it is ending."""

from __future__ import annotations

import signal
import threading
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def take_interrupts() -> None:
    """Let Ctrl-C, SIGTERM and a terminal's end raise KeyboardInterrupt: drive first, then the log, in words.

    Ctrl-C too, since a shell's script starts jobs in the background with that ignored: who then asks a robot to stop by
    it is to be heard. SIGHUP not where it is ignored, as under nohup, which is there to outlive the terminal.
    """
    for number in _SIGNALS:
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)


def put_off_interrupts() -> None:
    """Let one Ctrl-C or SIGTERM pass from here on: what it asks for is under way. The next acts as it did before.

    Without it a stop that comes while a run ends for another reason would take the summary with it.
    """
    if threading.current_thread() is not threading.main_thread():
        return  # no other thread may set handlers, and none is interrupted
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # a terminal that closes sends it two or three times
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def once(number: int, frame: FrameType | None) -> None:
        for each, handler in before.items():
            signal.signal(each, handler)

    for number in before:
        signal.signal(number, once)
