"""What PortAudio can't tell: that the sound server records from another source than the one that was opened.

Where a source goes while PulseAudio (or PipeWire in its place) lives on, the server moves its recordings to the
default source, and sound goes on as if nothing had happened: it is another device's, spread over our channels. ALSA's
plug-in, through which PortAudio records, doesn't ask to be left where it is and isn't told either. So the server is
asked, when it reports a change.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable
from typing import Any

LOOK_S = 0.5  # a change is reported at once; the look in between finds the end of this watch
GONE = "a source that has gone"
PROCESS_ID = "application.process.id"


class StreamWatch:
    """Watches the newest recording of this process until it is moved, the server goes, or the watch is closed.

    It watches nothing where this process records past the server, or where there is none.

    Attributes:
        source: the name of the source that it began with; empty where that isn't known.
    """

    def __init__(self, moved: Callable[[str], None]) -> None:
        """Begin to watch.

        Args:
            moved: called once, from the watching thread, with what happened.
        """
        self._moved = moved
        self._closing = threading.Event()
        self._server = _connect()
        self._thread: threading.Thread | None = None
        self.source = ""
        recording = _newest(self._server)
        if recording is None:
            self._disconnect()
            return
        self._recording, self._source = recording
        with contextlib.suppress(*_server_errors()):
            self.source = self._source_name(self._source)
        self._thread = threading.Thread(target=self._run, name="stream-watch", daemon=True)
        self._thread.start()

    @property
    def watching(self) -> bool:
        """Whether there is a recording to watch."""
        return self._thread is not None

    def _run(self) -> None:
        try:
            self._server.event_mask_set("source_output", "source")
            self._server.event_callback_set(_stop_listening)
            while not self._closing.is_set():
                source = _source_of(self._server, self._recording)
                if source is not None and source != self._source:
                    now = self._source_name(source)
                    before, now = self.source or GONE, now or GONE
                    self._moved(f"the sound server moved the recording from '{before}' to '{now}': is the array gone?")
                    return
                self._server.event_listen(LOOK_S)
        except _server_errors():
            return  # the server has gone; silence tells that
        finally:
            self._disconnect()

    def _source_name(self, index: int) -> str:
        """Return a source's name, which stays when it is plugged in anew; empty where it has gone."""
        import pulsectl

        try:
            return str(self._server.source_info(index).name)
        except pulsectl.PulseIndexError:
            return ""

    def _disconnect(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            with contextlib.suppress(*_server_errors()):
                server.close()

    def close(self) -> None:
        """Watch no longer, without waiting for the thread's next look; may be called more than once."""
        self._closing.set()


def load() -> bool:
    """Load the library, which searches the system for it and may take a second; False where there is none.

    Raises:
        ModuleNotFoundError: pulsectl isn't installed.
    """
    try:
        import pulsectl  # noqa: F401
    except OSError:
        return False
    return True


def _connect() -> Any:
    """Connect to this user's sound server; None where there is none, or no library that could record through it."""
    if not load():
        return None
    import pulsectl

    server = pulsectl.Pulse("phonotaxis-watch", connect=False)
    try:
        server.connect()  # with a time-out it would always wait for that
    except _server_errors():
        server.close()
        return None
    return server


def _server_errors() -> tuple[type[Exception], ...]:
    """Return what a server that goes away raises: three kinds without a common base, of which one isn't exported."""
    import pulsectl

    return pulsectl.PulseError, pulsectl.PulseDisconnected, pulsectl._pulsectl.LibPulse.CallError


def _newest(server: Any) -> tuple[int, int] | None:
    """Return the index of this process's newest recording and that of its source; None where there is none."""
    if server is None:
        return None
    try:
        listed = server.source_output_list()
    except _server_errors():
        return None
    own = [one for one in listed if one.proplist.get(PROCESS_ID) == str(os.getpid())]
    return max(((int(one.index), int(one.source)) for one in own), default=None)


def _source_of(server: Any, recording: int) -> int | None:
    found = [int(one.source) for one in server.source_output_list() if one.index == recording]
    return found[0] if found else None


def _stop_listening(event: Any) -> None:
    import pulsectl

    raise pulsectl.PulseLoopStop
