"""PortAudio, quietly: its devices, and which of them is the one that the robot's configuration names."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from phonotaxis.configs.base import did_you_mean
from phonotaxis.deploy.devices import DeviceError


@dataclass(frozen=True)
class SoundCard:
    """An input device of PortAudio.

    Attributes:
        index: PortAudio's number for it, which changes whenever something is plugged in.
        name: which doesn't.
        channels: at most.
        sample_rate_hz: its default.
    """

    index: int
    name: str
    channels: int
    sample_rate_hz: float


def start() -> Any:
    """Start PortAudio and return it (`pyaudio.PyAudio`); end it with `terminate`.

    Raises:
        DeviceError: it doesn't start.
        ModuleNotFoundError: PyAudio isn't installed.
    """
    import pyaudio

    try:
        with quiet():  # it tries every sound system there is, and ALSA and JACK complain of each that isn't
            return pyaudio.PyAudio()
    except OSError as error:
        raise DeviceError(f"PortAudio doesn't start ({error}): do ALSA's settings name a default device?") from None


def _speak_past() -> None:
    """Let Python write to a descriptor of its own for good: another thread's words to the person aren't for nowhere.

    For good, since that thread may just hold the stream that a moment's exchange would close.
    """
    with contextlib.suppress(AttributeError, OSError, ValueError):  # none, or a stand-in without a descriptor
        if sys.stderr.fileno() == 2:
            sys.stderr.flush()
            sys.stderr = os.fdopen(os.dup(2), "w", buffering=1, encoding=sys.stderr.encoding, errors=sys.stderr.errors)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Send what libraries print on standard error nowhere for a moment; what Python prints goes on."""
    _speak_past()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def sound_cards(audio: Any) -> list[SoundCard]:
    """List the devices that can record."""
    found = []
    for index in range(audio.get_device_count()):
        facts = audio.get_device_info_by_index(index)
        if facts["maxInputChannels"] > 0:
            name, channels = str(facts["name"]), int(facts["maxInputChannels"])
            found.append(SoundCard(index, name, channels, float(facts["defaultSampleRate"])))
    return found


def choose(cards: list[SoundCard], name: str, channels: int) -> SoundCard:
    """Pick the device whose name is, or else contains, the configured one.

    Raises:
        DeviceError: no such device, several, or one with too few channels.
    """
    wanted = name.casefold()
    exact = [card for card in cards if card.name.casefold() == wanted]
    named = exact or [card for card in cards if wanted and wanted in card.name.casefold()]
    if not named:
        listed = ", ".join(f"'{card.name}'" for card in cards) or "none at all"
        raise DeviceError(
            f"no microphone array '{name}'{did_you_mean(name, [card.name for card in cards])} (there is {listed}); "
            "plug it in, or correct devices.microphones.device; `phonotaxis devices list` shows them"
        )
    fitting = [card for card in named if card.channels >= channels]
    if not fitting:
        most = max(card.channels for card in named)
        raise DeviceError(
            f"'{named[0].name}' has {most} channel(s), the array's file says {channels}: another firmware is on it "
            "(a ReSpeaker needs the one with 6 channels), or the wrong array is configured"
        )
    if len({card.name for card in fitting}) > 1:
        listed = ", ".join(f"'{card.name}'" for card in fitting)
        raise DeviceError(f"'{name}' could be {listed}; name more of it in devices.microphones.device")
    return fitting[0]
