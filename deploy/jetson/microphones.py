"""Live microphones: PyAudio's callback into a ring of blocks, whose samples are counted.

They are resampled only where the device can't do the policy's rate; the count of the device's samples stays the clock.

PortAudio is a poor witness of faults. When the sound server dies, or the array is unplugged, callbacks cease
and nothing else happens; `stop_stream` then never returns. So the age of the last callback is watched, and the
device is opened anew, with a PortAudio of its own, until it is there again. Where a sound server stands between,
it may go on with another source instead; `sound_server` watches that, and what comes from there is not taken: neither
from a stream that was moved nor from one that is opened anew and records elsewhere than the first one did.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from phonotaxis.configs.array import MicrophoneArray
from phonotaxis.configs.devices import Microphones
from phonotaxis.deploy.arrival import ArrivalClock
from phonotaxis.deploy.clock import NS_PER_S, now_ns
from phonotaxis.deploy.devices import AudioBlock, DeviceError
from phonotaxis.deploy.jetson import portaudio, sound_server
from phonotaxis.deploy.jetson.resampling import Resampler, other_rates_hz

SILENT_NS = 500_000_000  # of callbacks: fifty in a row are missing
FIRST_BLOCK_NS = 3_000_000_000  # a device that wakes up takes its time
RETRY_S = 0.25
OVERFLOW_TOLD_NS = 10_000_000_000  # once in so long: a computer that is too busy loses samples many times a second
OPEN_S = 20.0  # a sound server that wakes up takes seconds, one that hangs for ever
CLOSE_S = 5.0
_QUEUED_S = 60.0  # of sound: a stalled loop shows as age, not as lost memory


class LiveMicrophones:
    """A microphone array on a sound card.

    Attributes:
        device_rate_hz: at which the device runs.
        lost: samples (at the policy's rate) that never came, found by their arrival or by a restart of the device.
        restarts: of the device.
        overflows: callbacks before which PortAudio says that samples were thrown away; how many it doesn't say.
        fault: why there is no sound now; empty where there is.
    """

    def __init__(self, config: Microphones, array: MicrophoneArray, sample_rate_hz: int) -> None:
        """Open the device.

        Raises:
            DeviceError: it isn't there, can't do the rate or the channels, its file contradicts itself, or the sound
                server doesn't answer.
        """
        self._name = config.device or array.device_name
        self._channels, self._rate_hz = array.device_channels, sample_rate_hz
        self._rates_hz = _rates_hz(config, sample_rate_hz)
        self._block_s, self._latency_ns = config.block_ms * 1e-3, int(config.latency_ms * 1e6)
        self._queue: queue.Queue[AudioBlock] = queue.Queue(int(_QUEUED_S / self._block_s))
        self._resampler: Resampler | None = None
        self.device_rate_hz = 0
        self._next = 0  # sample of the device
        self._delivered = 0  # samples at the policy's rate
        self.lost, self.restarts, self.fault = 0, 0, ""
        self.overflows = self._overflowed_ns = 0
        self._closing = threading.Event()
        self._audio: Any = None
        self._stream: Any = None
        self._server: sound_server.StreamWatch | None = None
        self._moved = self._source = ""
        self._generation = 0
        self._believed = True  # it is known where the stream records, or that this can't be known
        self._heard_ns, self._opened_at = now_ns(), 0
        sound_server.load()  # before sound flows
        if not _within(OPEN_S, self._begin):
            raise DeviceError(
                f"the sound server hasn't opened '{self._name}' within {OPEN_S:g} s: does it hang? Start it anew (e.g. "
                "`systemctl --user restart pulseaudio`, or pipewire-pulse)"
            )
        self._watch = threading.Thread(target=self._keep_open, name="microphones", daemon=True)
        self._watch.start()

    def _begin(self) -> None:
        self._open()
        self._watch_server()

    def _open(self) -> None:
        import pyaudio

        audio = portaudio.start()
        try:
            card = portaudio.choose(portaudio.sound_cards(audio), self._name, self._channels)
            with portaudio.quiet():
                rate_hz = self._agree(audio, card.index)
                self._generation += 1
                self._resume()
                self._audio, self._stream = (
                    audio,
                    audio.open(
                        rate=rate_hz,
                        channels=self._channels,
                        format=pyaudio.paInt16,
                        input=True,
                        input_device_index=card.index,
                        frames_per_buffer=max(1, round(self._block_s * rate_hz)),
                        stream_callback=self._callback_of(self._generation),
                    ),
                )
        except (OSError, ValueError) as error:
            audio.terminate()
            raise DeviceError(
                f"'{self._name}' can't deliver {self._channels} channels of 16 bit at "
                f"{self.device_rate_hz or self._rates_hz[0]} Hz ({_words(error)}); correct sample_rate_hz and the "
                "array, or close the program that holds it"
            ) from None
        except DeviceError:
            audio.terminate()
            raise

    def _agree(self, audio: Any, index: int) -> int:
        """Find the rate that the device can do; once found it stays, for samples are counted in it.

        Raises:
            ValueError: there is none.
            DeviceError: it isn't the policy's, and soxr isn't installed.
        """
        import pyaudio

        form = {"input_device": index, "input_channels": self._channels, "input_format": pyaudio.paInt16}
        refused: ValueError | None = None
        for rate_hz in [self.device_rate_hz] if self.device_rate_hz else self._rates_hz:
            try:
                audio.is_format_supported(rate_hz, **form)
            except ValueError as error:
                if pyaudio.paInvalidSampleRate not in error.args:
                    raise
                refused = refused or error
                continue
            if rate_hz != self._rate_hz and self._resampler is None:
                self._resampler = Resampler(rate_hz, self._rate_hz, self._channels)
            self.device_rate_hz = rate_hz
            return rate_hz
        raise refused or ValueError("no rate to ask for")

    def _resume(self) -> None:
        """Count on from where the time is: every sample keeps its place, however long nothing was heard."""
        at_ns = now_ns()
        if self._next:
            self._flush()
            self._next += int((at_ns - self._heard_ns) * self.device_rate_hz // NS_PER_S)
        self._clock, self._heard_ns, self._opened_at = ArrivalClock(self.device_rate_hz), at_ns, self._next

    def _watch_server(self) -> None:
        """Take nothing more from this stream once it is another device's.

        Raises:
            DeviceError: it is from the start.
        """
        generation, self._moved = self._generation, ""

        def leave(why: str) -> None:
            if generation == self._generation:
                self._generation += 1
                self._moved = self.fault = why

        self._server = sound_server.StreamWatch(leave)
        source = self._server.source
        self._source = self._source or source
        if source and source != self._source:
            self._moved = (
                f"the sound server records from '{source}', it began with '{self._source}': is the array gone? Where "
                "it has another name now, start the run anew"
            )
            raise DeviceError(self._moved)

    def _callback_of(self, generation: int) -> Any:
        import pyaudio

        def callback(data: bytes, frames: int, times: Any, status: int) -> tuple[None, int]:
            if generation == self._generation:
                at_ns = now_ns()
                if status & pyaudio.paInputOverflow:
                    self.overflows, self._overflowed_ns = self.overflows + 1, at_ns
                self._take(data, frames, at_ns)
            return None, pyaudio.paContinue

        return callback

    def _take(self, data: bytes, frames: int, at_ns: int) -> None:
        self._heard_ns = at_ns
        self._next += self._clock.arrive(self._next + frames, at_ns)
        if self._believed:
            self._deliver(data)
        self._next += frames

    def _deliver(self, data: bytes) -> None:
        samples = np.ascontiguousarray(np.frombuffer(data, dtype=np.int16).reshape(-1, self._channels).T)
        if self._resampler is None:
            self._put(samples, self._next)
        else:
            for resampled, first_sample in self._resampler.take(samples, self._next):
                self._put(resampled, first_sample)

    def _flush(self) -> None:
        """Deliver what is still in the resampler, by the clock that it came by."""
        if self._resampler is not None:
            for resampled, first_sample in self._resampler.flush():
                self._put(resampled, first_sample)

    def _put(self, samples: np.ndarray, first_sample: int) -> None:
        """Hand over samples at the policy's rate; the first one of both rates is the same."""
        self.lost += first_sample - self._delivered
        self._delivered = first_sample + samples.shape[1]
        capture_ns = self._clock.captured_ns(0) + first_sample * NS_PER_S // self._rate_hz - self._latency_ns
        with contextlib.suppress(queue.Full):  # the age of what is read has stopped the robot long before
            self._queue.put_nowait(AudioBlock(samples, first_sample, capture_ns))

    @property
    def rate_told(self) -> str:
        """At which rate the device runs, and what follows."""
        told = f"the microphones run at {self.device_rate_hz} Hz"
        return told if self._resampler is None else f"{told}, resampled to {self._rate_hz} Hz by soxr"

    @property
    def overflow(self) -> str:
        """What PortAudio says it has thrown away in the last seconds; empty where it says nothing."""
        if not self.overflows or now_ns() - self._overflowed_ns > OVERFLOW_TOLD_NS:
            return ""
        return (
            f"PortAudio has thrown away samples, {self.overflows} time(s) so far: this computer is too busy; end what "
            "else runs here, or raise devices.microphones.block_ms"
        )

    def _keep_open(self) -> None:
        while not self._closing.wait(RETRY_S):
            silent_ns = now_ns() - self._heard_ns
            if not self._moved and silent_ns < (SILENT_NS if self._next > self._opened_at else FIRST_BLOCK_NS):
                self.fault = ""
                continue
            self._restart(silent_ns)

    def _restart(self, silent_ns: int) -> None:
        self.fault = self.fault or f"no sound from '{self._name}' for {silent_ns * 1e-9:.1f} s"
        self._drop()
        before = self._heard_ns, self._next, self._opened_at
        self._believed = False
        try:
            self._open()
            self._watch_server()
        except DeviceError as error:
            self._drop()
            self.fault = str(error)
            self._heard_ns, self._next, self._opened_at = before  # still silent: try again
            return
        self.restarts += 1
        self._believed = True

    def _drop(self) -> None:
        """Let go of the stream without `stop_stream`, which hangs where the source was removed."""
        self._generation += 1
        if self._server is not None:
            self._server.close()
        stream, audio, self._stream, self._audio, self._server = self._stream, self._audio, None, None, None
        with contextlib.suppress(OSError):
            if stream is not None:
                stream.close()
        with contextlib.suppress(OSError):
            if audio is not None:
                audio.terminate()

    def read_block(self, timeout_s: float) -> AudioBlock | None:
        """Return the next unread block, or None when none came in time."""
        try:
            return self._queue.get(timeout=timeout_s)
        except queue.Empty:
            return None

    def close(self) -> None:
        """Let go of the device; may be called more than once. What a sound server that hangs holds is left to it."""
        if not self._closing.is_set():
            self._closing.set()
            self._watch.join(CLOSE_S)
            _within(CLOSE_S, self._drop)


def _within(limit_s: float, call: Callable[[], None]) -> bool:
    """Call in a thread of its own; returns whether that ended in time, and raises what it raised.

    PortAudio waits for a sound server that hangs, and while it does the thread hears of no signal.
    """
    raised: list[Exception] = []

    def run() -> None:
        try:
            call()
        except Exception as error:  # noqa: BLE001
            raised.append(error)

    thread = threading.Thread(target=run, name="microphones-within", daemon=True)
    thread.start()
    thread.join(limit_s)
    if raised:
        raise raised[0]
    return not thread.is_alive()


def _words(error: Exception) -> str:
    """Return what PyAudio says: its OSError is (number, text), its ValueError (text, number)."""
    return str(getattr(error, "strerror", None) or error.args[0])


def _rates_hz(config: Microphones, rate_hz: int) -> list[int]:
    """Return the rates to ask the device for, the best first."""
    named_hz = config.device_rate_hz
    if named_hz is None or named_hz == rate_hz:
        return [rate_hz, *(other_rates_hz(rate_hz) if config.resample and named_hz is None else ())]
    if named_hz < rate_hz:
        raise DeviceError(
            f"devices.microphones.device_rate_hz is {named_hz}, the policy hears at {rate_hz} Hz: what a lower rate "
            "doesn't have can't be made up; name a rate of the device that is at least the policy's"
        )
    if not config.resample:
        raise DeviceError(
            f"devices.microphones.device_rate_hz is {named_hz}, the policy hears at {rate_hz} Hz, and resample is "
            "false; remove one of the two"
        )
    return [named_hz]


def record(microphones: LiveMicrophones, seconds: float) -> np.ndarray:
    """Record for a while.

    Returns:
        int16 [device_channels, samples].

    Raises:
        DeviceError: no sound came.
    """
    blocks: list[np.ndarray] = []
    deadline_s = time.monotonic() + seconds
    while time.monotonic() < deadline_s:
        block = microphones.read_block(0.1)
        if block is not None:
            blocks.append(block.samples)
    if not blocks:
        raise DeviceError(microphones.fault or f"no sound came within {seconds:g} s; is the array muted or suspended?")
    return np.concatenate(blocks, axis=1)
