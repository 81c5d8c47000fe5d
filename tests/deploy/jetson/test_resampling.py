"""Sound cards that can't do the policy's rate: what comes out, where it belongs in time, and what is told."""

from __future__ import annotations

import builtins
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soxr

from phonotaxis.configs import presets
from phonotaxis.configs.array import MicrophoneArray
from phonotaxis.configs.devices import Microphones
from phonotaxis.deploy.devices import AudioBlock, DeviceError
from phonotaxis.deploy.jetson import microphones as live
from phonotaxis.deploy.jetson import portaudio
from phonotaxis.deploy.jetson.microphones import LiveMicrophones, record
from phonotaxis.deploy.jetson.resampling import Resampler, other_rates_hz
from phonotaxis.envs.hil.pipes import Pipe, interleaved
from phonotaxis.envs.hil.pulse import PIPE_CHANNELS, Pulse

RATE = 16000
NS = 1_000_000_000
INVALID_RATE = -9997  # PortAudio's paInvalidSampleRate
Piece = tuple[np.ndarray, int]


def _impulse(samples: int, at: int, channels: int = 1) -> np.ndarray:
    wave = np.zeros((channels, samples), dtype=np.int16)
    wave[:, at] = 30000
    return wave


def _resampled(resampler: Resampler, wave: np.ndarray, first: int, block: int) -> list[Piece]:
    found: list[Piece] = []
    for at in range(0, wave.shape[1], block):
        found += resampler.take(wave[:, at : at + block], first + at)
    return found


def _peak(pieces: list[Piece]) -> int:
    """Return the place of the largest sample."""
    samples, first = max(pieces, key=lambda piece: int(np.abs(piece[0]).max()))
    return first + int(np.abs(samples[0]).argmax())


@pytest.mark.parametrize("device_hz", [32000, 44100, 48000, 96000])
def test_an_impulse_keeps_its_place_whatever_the_delay(device_hz: int) -> None:
    at = device_hz // 2 + 17
    pieces = _resampled(Resampler(device_hz, RATE, 1), _impulse(2 * device_hz, at), 0, device_hz // 100)
    assert _peak(pieces) == pytest.approx(at * RATE / device_hz, abs=0.5)
    places = [first for _, first in pieces]
    assert places == list(np.cumsum([0, *(samples.shape[1] for samples, _ in pieces[:-1])]))


@pytest.mark.parametrize("device_hz", [44100, 48000])
def test_it_comes_out_at_most_45_ms_later(device_hz: int) -> None:
    resampler, out, late_s = Resampler(device_hz, RATE, 6), 0, []
    for block in range(300):
        size = device_hz // 100
        for samples, _ in resampler.take(np.zeros((6, size), dtype=np.int16), block * size):
            out += samples.shape[1]
        late_s.append((block + 1) / 100 - out / RATE)
    assert max(late_s) < 0.045


@pytest.mark.parametrize("device_hz", [44100, 48000])
def test_behind_a_gap_everything_is_in_its_place_again_and_nothing_before_is_lost(device_hz: int) -> None:
    resampler, size = Resampler(device_hz, RATE, 1), device_hz // 100
    before = _resampled(resampler, _impulse(10 * size, 3 * size), 0, size)
    begin = 40 * size + 7  # on no sample of the output
    after = _resampled(resampler, _impulse(60 * size, 20 * size), begin, size)
    heard = before + [piece for piece in after if piece[1] < 20 * size * RATE // device_hz]
    assert sum(samples.shape[1] for samples, _ in heard) == 10 * size * RATE // device_hz
    assert _peak(heard) == 3 * size * RATE // device_hz
    rest = [piece for piece in after if piece[1] >= 20 * size * RATE // device_hz]
    assert _peak(rest) == pytest.approx((begin + 20 * size) * RATE / device_hz, abs=0.5)
    assert 0 <= rest[0][1] - begin * RATE / device_hz <= RATE / 100  # at most 10 ms until two samples coincide


def test_silence_stays_silent_and_copies_stay_copies() -> None:
    wave = np.random.default_rng(0).integers(-32768, 32767, (3, 48000)).astype(np.int16)
    wave[1], wave[2] = wave[0], 0
    out = np.concatenate([samples for samples, _ in _resampled(Resampler(48000, RATE, 3), wave, 0, 480)], axis=1)
    np.testing.assert_array_equal(out[0], out[1])
    assert not out[2].any()
    assert out.dtype == np.int16


def test_multiples_are_asked_for_first_and_never_a_lower_rate() -> None:
    assert other_rates_hz(16000) == [32000, 48000, 96000, 44100, 88200]
    assert other_rates_hz(48000) == [96000, 88200]


class Card:
    """A sound card behind PortAudio's functions, at one rate alone, whose clock a test turns on."""

    def __init__(self, rate_hz: int) -> None:
        self.rate_hz, self.now_ns = rate_hz, 5 * NS
        self.opened: dict[str, Any] = {}

    def get_device_count(self) -> int:
        return 1

    def get_device_info_by_index(self, index: int) -> dict[str, Any]:
        return {"name": "card", "maxInputChannels": 6, "defaultSampleRate": float(self.rate_hz)}

    def is_format_supported(self, rate: int, **form: Any) -> bool:
        if rate != self.rate_hz:
            raise ValueError("Invalid sample rate", INVALID_RATE)
        return True

    def open(self, **options: Any) -> Card:
        self.opened = options
        return self

    def deliver(self, wave: np.ndarray) -> None:
        """Capture a block and hand it over as soon as it is complete."""
        self.now_ns += wave.shape[1] * NS // self.rate_hz
        self.opened["stream_callback"](np.ascontiguousarray(wave.T).tobytes(), wave.shape[1], None, 0)

    def close(self) -> None:
        pass

    def terminate(self) -> None:
        pass


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> Card:
    card = Card(48000)
    monkeypatch.setattr(portaudio, "start", lambda: card)
    monkeypatch.setattr(live, "now_ns", lambda: card.now_ns)
    return card


def _array() -> MicrophoneArray:
    return presets.load("arrays", "respeaker_usb_v2", MicrophoneArray)


def _all(device: LiveMicrophones) -> list[AudioBlock]:
    blocks = []
    while (block := device.read_block(0.0)) is not None:
        blocks.append(block)
    return blocks


def _heard_ns(blocks: list[AudioBlock]) -> int:
    """Return the capture time of the largest sample."""
    block = max(blocks, key=lambda one: int(np.abs(one.samples).max()))
    return block.capture_ns + int(np.abs(block.samples[0]).argmax()) * NS // RATE


@pytest.mark.parametrize("device_hz", [44100, 48000])
def test_capture_times_are_right_to_a_sample(card: Card, device_hz: int) -> None:
    card.rate_hz = device_hz
    device = LiveMicrophones(Microphones(device="card", latency_ms=3.0), _array(), RATE)
    try:
        size = device_hz // 100
        assert (card.opened["rate"], card.opened["frames_per_buffer"]) == (device_hz, size)
        began_ns = card.now_ns
        for number in range(100):
            card.deliver(_impulse(size, 100, 6) if number == 50 else np.zeros((6, size), dtype=np.int16))
        blocks = _all(device)
    finally:
        device.close()
    captured_ns = began_ns + (50 * size + 100) * NS // device_hz - 3_000_000
    assert abs(_heard_ns(blocks) - captured_ns) <= NS // RATE
    ends = [block.first_sample + block.samples.shape[1] for block in blocks]
    assert [block.first_sample for block in blocks] == [0, *ends[:-1]]
    assert (device.lost, device.device_rate_hz) == (0, device_hz)
    assert device.rate_told == f"the microphones run at {device_hz} Hz, resampled to 16000 Hz by soxr"


def test_samples_that_the_driver_lost_are_counted_in_the_policys_rate(card: Card) -> None:
    device = LiveMicrophones(Microphones(device="card"), _array(), RATE)
    try:
        quiet = np.zeros((6, 480), dtype=np.int16)
        for _ in range(150):
            card.deliver(quiet)
        card.now_ns += NS // 5  # 0.2 s never come, and a lag counts as lasting after two seconds
        for _ in range(250):
            card.deliver(quiet)
        began_ns = card.now_ns
        for number in range(20):
            card.deliver(_impulse(480, 0, 6) if number == 0 else quiet)
        blocks = _all(device)
    finally:
        device.close()
    assert device.lost == pytest.approx(RATE // 5, abs=RATE // 100)
    jumps = [b.first_sample - a.first_sample - a.samples.shape[1] for a, b in zip(blocks, blocks[1:])]
    assert [jump for jump in jumps if jump] == [device.lost]
    assert abs(_heard_ns(blocks) - began_ns) <= NS // RATE


def test_a_robot_may_refuse_to_resample(card: Card) -> None:
    with pytest.raises(DeviceError, match=r"'card' can't deliver 6 channels of 16 bit at 16000 Hz \(Invalid"):
        LiveMicrophones(Microphones(device="card", resample=False), _array(), RATE)


def test_a_rate_that_is_named_is_taken_though_the_device_seems_to_do_the_policys(
    card: Card, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(card, "is_format_supported", lambda rate, **form: True)  # as a sound server says
    device = LiveMicrophones(Microphones(device="card", device_rate_hz=44100), _array(), RATE)
    device.close()
    assert card.opened["rate"] == 44100
    assert device.rate_told == "the microphones run at 44100 Hz, resampled to 16000 Hz by soxr"


@pytest.mark.parametrize(
    ("named", "why"),
    [
        ({"device_rate_hz": 8000}, "device_rate_hz is 8000, the policy hears at 16000 Hz: what a lower rate"),
        ({"device_rate_hz": 48000, "resample": False}, "device_rate_hz is 48000.*resample is false; remove one"),
        ({"device_rate_hz": 44100}, r"6 channels of 16 bit at 44100 Hz \(Invalid"),  # it does 48 kHz alone
    ],
)
def test_a_rate_that_cant_be_is_refused_in_words(card: Card, named: dict[str, Any], why: str) -> None:
    with pytest.raises(DeviceError, match=why):
        LiveMicrophones(Microphones(device="card", **named), _array(), RATE)


def test_a_card_that_is_busy_is_not_asked_for_another_rate(card: Card, monkeypatch: pytest.MonkeyPatch) -> None:
    def busy(rate: int, **form: Any) -> bool:
        if rate == RATE:
            raise ValueError("Device unavailable", -9985)
        return True

    monkeypatch.setattr(card, "is_format_supported", busy)
    with pytest.raises(DeviceError, match="Device unavailable"):
        LiveMicrophones(Microphones(device="card"), _array(), RATE)


def test_a_card_that_can_is_not_resampled(card: Card) -> None:
    card.rate_hz = RATE
    device = LiveMicrophones(Microphones(device="card"), _array(), RATE)
    device.close()
    assert device.rate_told == "the microphones run at 16000 Hz"


def test_without_soxr_it_is_told_what_to_install(card: Card, monkeypatch: pytest.MonkeyPatch) -> None:
    imported = builtins.__import__

    def missing(name: str, *rest: Any, **options: Any) -> Any:
        if name == "soxr":
            raise ModuleNotFoundError("No module named 'soxr'")
        return imported(name, *rest, **options)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(DeviceError, match=r"run at 48000 Hz and the policy at 16000 Hz; soxr.*pip install soxr"):
        LiveMicrophones(Microphones(device="card"), _array(), RATE)


@pytest.fixture
def fast_pulse(folder: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pulse]:
    """Run a sound server with an array at 48 kHz, which refuses other rates as a sound card does."""
    import pyaudio

    server = Pulse(folder / "pulse", "virtual-array", 6, 48000)
    for name, value in server.environment().items():
        monkeypatch.setenv(name, value)

    def supported(self: Any, rate: int, **form: Any) -> bool:  # the sound server would convert to any
        return Card(48000).is_format_supported(rate)

    monkeypatch.setattr(pyaudio.PyAudio, "is_format_supported", supported)
    yield server
    server.close()


def test_what_a_48_khz_array_records_is_all_there(fast_pulse: Pulse) -> None:
    device = LiveMicrophones(Microphones(device="virtual-array"), _array(), RATE)
    pipe, rng, played = Pipe(fast_pulse.pipe), np.random.default_rng(5), []
    try:
        began_s = time.monotonic()
        for number in range(200):
            played.append(rng.integers(-9000, 9000, (6, 480)).astype(np.int16))
            time.sleep(max(0.0, began_s + number / 100 - time.monotonic()))
            pipe.write(interleaved(played[-1], PIPE_CHANNELS))
        blocks, until_s = [], time.monotonic() + 20.0
        while time.monotonic() < until_s and sum(block.samples.shape[1] for block in blocks) < 1.9 * RATE:
            block = device.read_block(0.3)
            blocks += [] if block is None else [block]
    finally:
        device.close()
        pipe.close()
    got = np.concatenate([block.samples for block in blocks], axis=1)
    wanted = soxr.resample(np.concatenate(played, axis=1).T.astype(np.float32), 48000, RATE).T[:, : got.shape[1]]
    # to rounding, up to the last samples, whose filter reaches what had not been played yet
    np.testing.assert_allclose(got[:, : RATE + RATE // 2], wanted[:, : RATE + RATE // 2], atol=0.51)
    assert device.lost == 0


@pytest.fixture
def jack_array(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Run a JACK server at 48 kHz: its ALSA device does no other rate, and delivers silence as time goes on."""
    if shutil.which("jackd") is None:
        pytest.fail("no jackd: tools/setup_robot.sh installs it")
    ports = " ".join(f"{number} system:capture_{number + 1}" for number in range(6))
    (folder / "asound.conf").write_text(
        "</usr/share/alsa/alsa.conf>\n"
        f'pcm."jack-array" {{ type jack playback_ports {{ }} capture_ports {{ {ports} }} hint {{ show on }} }}\n'
    )
    monkeypatch.setenv("ALSA_CONFIG_PATH", str(folder / "asound.conf"))
    monkeypatch.setenv("JACK_DEFAULT_SERVER", folder.name)
    command = [
        "jackd",
        "-n",
        folder.name,
        "--no-realtime",
        "-d",
        "dummy",
        "-r",
        "48000",
        "-p",
        "480",
        "-C",
        "6",
        "-P",
        "0",
    ]
    with (folder / "jack.log").open("wb") as log:
        server = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        deadline_s = time.monotonic() + 15.0
        while not _listed("jack-array") and time.monotonic() < deadline_s:
            assert server.poll() is None, (folder / "jack.log").read_text()
            time.sleep(0.1)
        yield "jack-array"
    finally:
        server.terminate()
        server.wait(10.0)


def _listed(name: str) -> bool:
    audio = portaudio.start()
    try:
        return name in [card.name for card in portaudio.sound_cards(audio)]
    finally:
        audio.terminate()


def test_an_alsa_device_that_refuses_the_rate_is_opened_at_its_own(jack_array: str) -> None:
    with pytest.raises(DeviceError, match=r"16000 Hz \(Invalid sample rate\)"):
        LiveMicrophones(Microphones(device=jack_array, resample=False), _array(), RATE)
    device = LiveMicrophones(Microphones(device=jack_array), _array(), RATE)
    try:
        assert device.rate_told == "the microphones run at 48000 Hz, resampled to 16000 Hz by soxr"
        record(device, 0.5)
        samples = record(device, 2.0)
    finally:
        device.close()
    assert samples.shape == (6, pytest.approx(2 * RATE, rel=0.1))
    assert not samples.any()
