"""Exchanged and inverted channels, noticed from sound alone; and all that must not be taken for them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from phonotaxis.configs import presets
from phonotaxis.configs.array import MicrophoneArray
from phonotaxis.configs.task import AudioGoalTask
from phonotaxis.deploy.channel_order import OrderWatch
from phonotaxis.deploy.devices import AudioBlock
from phonotaxis.envs.world import World

RATE_HZ, BLOCK, MS = 16000, 160, 1_000_000


def _array(name: str = "respeaker_usb_v2") -> MicrophoneArray:
    return presets.load("arrays", name, MicrophoneArray)


def _field(array: MicrophoneArray, seconds: float, sources: int, seed: int, off_m: float = 0.0) -> np.ndarray:
    """Sound of some sources around an array, and hiss: int16 [device_channels, samples]."""
    rng = np.random.default_rng(seed)
    count = int(seconds * RATE_HZ)
    places = array.positions_m() - array.positions_m().mean(axis=0) + rng.normal(size=(array.mics, 3)) * off_m
    hz = np.fft.rfftfreq(count, 1.0 / RATE_HZ)
    heard = rng.normal(size=(array.mics, count)) * 3.0
    for _ in range(sources):
        towards = rng.normal(size=3) * [1.0, 1.0, 0.3]
        lead_s = places @ (towards / np.linalg.norm(towards)) / 343.0
        spectrum = np.fft.rfft(rng.normal(size=count)) / (1.0 + hz / 1000.0)
        heard += np.fft.irfft(spectrum * np.exp(2j * np.pi * hz * lead_s[:, None]), count) * 600.0
    samples = np.zeros((array.device_channels, count), dtype=np.int16)
    samples[list(array.channel_map)] = np.clip(np.round(heard), -32768, 32767)
    return samples


def _blocks(samples: np.ndarray) -> list[AudioBlock]:
    starts = range(0, samples.shape[1] - BLOCK + 1, BLOCK)
    return [AudioBlock(samples[:, at : at + BLOCK], at, at * 1_000_000_000 // RATE_HZ) for at in starts]


def _exchanged(a: int, b: int) -> Callable[[np.ndarray], np.ndarray]:
    def change(samples: np.ndarray) -> np.ndarray:
        changed = samples.copy()
        changed[[a, b]] = changed[[b, a]]
        return changed

    return change


def _inverted(channel: int) -> Callable[[np.ndarray], np.ndarray]:
    def change(samples: np.ndarray) -> np.ndarray:
        changed = samples.copy()
        changed[channel] = -changed[channel]
        return changed

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_exchanged(2, 3), "channels 1 and 4, or 2 and 3 are exchanged"),
        (_exchanged(1, 2), "channels 1 and 2, or 3 and 4 are exchanged"),
        (_inverted(4), "channel 4 is inverted"),
    ],
)
def test_what_went_wrong_is_noticed_and_since_when(change: Callable[[np.ndarray], np.ndarray], said: str) -> None:
    samples = _field(_array(), 6.0, 5, 1)
    samples[:, 32_000:64_000] = change(samples[:, 32_000:64_000])
    watch = OrderWatch(_array(), RATE_HZ)
    noticed_ns = over_ns = 0
    for block in _blocks(samples):
        found = watch(block)
        end_ns = block.capture_ns + 10 * MS
        if found and not noticed_ns:
            noticed_ns = end_ns
            assert watch.since_ns is not None
            assert abs(watch.since_ns - 2000 * MS) <= 64 * MS
        if found:
            assert found == said
            assert end_ns > 2000 * MS
        if noticed_ns and not found and not over_ns:
            over_ns = end_ns
            assert watch.since_ns is None
    assert 0 < noticed_ns - 2000 * MS < 300 * MS
    assert 0 < over_ns - 4000 * MS < 300 * MS


@pytest.mark.parametrize("sources", [0, 1, 2, 8])
@pytest.mark.parametrize("name", ["respeaker_usb_v2", "respeaker_6mic", "uma8"])
def test_an_array_in_order_is_left_alone(name: str, sources: int) -> None:
    for seed in range(2):  # microphones a millimetre off, and nothing but hiss where there are no sources
        watch = OrderWatch(_array(name), RATE_HZ)
        assert {watch(block) for block in _blocks(_field(_array(name), 8.0, sources, seed, off_m=0.001))} == {""}


def test_what_sounds_odd_is_no_exchange() -> None:
    array, rng = _array(), np.random.default_rng(4)
    field = _field(array, 8.0, 3, 5)
    rows = list(array.channel_map)
    silence = np.zeros_like(field)
    loud = field.copy()
    loud[rows] = np.clip(loud[rows].astype(np.int32) * 200, -32768, 32767)
    windy = field.copy()
    windy[rows[1]] += np.round(rng.normal(size=field.shape[1]) * 4000).astype(np.int16)
    dead = field.copy()
    dead[rows[2]] = 0
    mixed = np.round(rng.normal(size=field.shape) * 50 + rng.normal(size=field.shape[1]) * 100).astype(np.int16)
    uneven = field.copy()
    uneven[rows[3]] //= 8
    for samples in (silence, loud, windy, dead, mixed, uneven):
        watch = OrderWatch(array, RATE_HZ)
        assert {watch(block) for block in _blocks(samples)} == {""}


def test_silence_proves_nothing() -> None:
    samples = _exchanged(2, 3)(_field(_array(), 1.0, 4, 6))
    watch = OrderWatch(_array(), RATE_HZ)
    assert [watch(block) for block in _blocks(samples)][-1]
    quiet = _field(_array(), 20.0, 0, 7)
    assert {bool(watch(block)) for block in _blocks(quiet)} == {True}


def test_a_gap_is_no_wave() -> None:
    """What comes behind a gap isn't put beside what came before it."""
    watch = OrderWatch(_array(), RATE_HZ)
    samples = _exchanged(2, 3)(_field(_array(), 8.0, 4, 8))  # of which put together it would complain
    for number, block in enumerate(_blocks(samples)):
        if number % 2 == 0:
            assert watch(block) == ""
    assert watch.evidence == 0.0


def test_what_no_sound_can_tell_is_not_claimed() -> None:
    mirrored = _exchanged(1, 3)(_field(_array(), 4.0, 4, 9))  # opposite microphones: a mirror image
    watch = OrderWatch(_array(), RATE_HZ)
    assert {watch(block) for block in _blocks(mirrored)} == {""}
    assert not OrderWatch(_array("foa"), RATE_HZ).watches  # directional, and all in one place
    one = _array().model_copy(update={"mic_xyz_m": ((0.0, 0.0, 0.4),), "channel_map": (1,)})
    assert not OrderWatch(one, RATE_HZ).watches


def test_in_rooms_as_well_round_corners_as_before_the_source() -> None:
    """Of a walk in simulated apartments nothing is complained of, and most exchanges are noticed within 300 ms."""
    array, worlds, windows = _array(), 4, 12
    world = World(AudioGoalTask(), worlds)
    world.begin(np.arange(worlds), np.arange(worlds) + 60)
    heard = []
    for step in range(windows):
        heard.append(np.round(world.observation["audio"] * 32768).astype(np.int16))
        world.step(np.full(worlds, 1 if step % 3 else 2))
    noticed, tries = 0, 0
    for w in range(worlds):
        samples = np.zeros((array.device_channels, windows * 4000), dtype=np.int16)
        samples[list(array.channel_map)] = np.concatenate([window[w] for window in heard], axis=1)
        watch = OrderWatch(array, RATE_HZ)
        assert {watch(block) for block in _blocks(samples)} == {""}
        for at in (8000, 20_000, 32_000):
            changed = np.concatenate([samples[:, :at], _exchanged(2, 3)(samples[:, at : at + 4800])], axis=1)
            watch = OrderWatch(array, RATE_HZ)
            noticed += any(watch(block) for block in _blocks(changed))
            tries += 1
    assert noticed / tries > 0.5
