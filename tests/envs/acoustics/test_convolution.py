"""Streaming convolution: each hop goes on where the last one ended, and a new response fades in without a click."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.signal

from phonotaxis.envs.acoustics.convolution import (
    Emission,
    StreamingConvolver,
    convolve,
    emissions,
    renew_late,
)

WORLDS, MICS, TAPS, HOP, FADE = 3, 2, 500, 400, 80
TOLERANCE = 2e-5  # of the loudest sample: late parts are kept in 16 bits


def step(
    convolver: StreamingConvolver,
    worlds: np.ndarray,
    loops: tuple[np.ndarray, np.ndarray],
    emission: Emission,
    response: np.ndarray,
    gain: np.ndarray,
    out: np.ndarray,
) -> None:
    """Take over responses, early and late, and convolve a hop of loops [samples] and where each lies there."""
    early, late = (np.ascontiguousarray(part) for part in np.split(response, [convolver.partition], axis=2))
    if late.size:
        renew_late(worlds, worlds, late, convolver.constants, convolver.kept)
    convolve(worlds, worlds, *loops, emission, early, gain, convolver.constants, convolver.kept, out)


class Stage:
    """A convolver with loops, and what is to be fed to it."""

    def __init__(self, worlds: int = WORLDS) -> None:
        rng = np.random.Generator(np.random.PCG64(5))
        self.convolver = StreamingConvolver(worlds, MICS, TAPS, HOP, FADE)
        self.loops = rng.standard_normal((2, 1700)).astype(np.float32)
        self.length = np.array([1700, 333])  # the second is shorter than a hop and a response
        self.emission = emissions(worlds)
        self.sound = self.emission.sound
        self.sound[:] = np.arange(worlds) % 2
        self.gain = np.linspace(0.5, 2.0, worlds).astype(np.float32)
        decay = np.exp(-np.arange(TAPS) / 100)
        self.responses = (rng.standard_normal((2, worlds, MICS, TAPS)) * decay).astype(np.float32)
        self.clock = self.emission.clock
        self.clock[:] = [0, 1234, 1600][:worlds]
        self.out = np.zeros((worlds, MICS, HOP), dtype=np.float32)

    def step(self, which: int, worlds: np.ndarray | None = None) -> np.ndarray:
        chosen = np.arange(self.clock.size) if worlds is None else worlds
        loops = self.loops.ravel(), np.stack([np.arange(2) * self.loops.shape[1], self.length], axis=1)
        step(self.convolver, chosen, loops, self.emission, self.responses[which], self.gain, self.out)
        self.clock[chosen] += HOP
        return self.out.copy()

    def expected(self, world: int, which: int, begin: int, samples: int) -> np.ndarray:
        """Convolve the endless loop directly, [mics, samples]."""
        loop = self.loops[self.sound[world], : self.length[self.sound[world]]].astype(float)
        at = (begin - TAPS + 1 + np.arange(samples + TAPS - 1)) % loop.size
        return self.gain[world] * np.array(
            [np.convolve(loop[at], row.astype(float), "valid") for row in self.responses[which, world]]
        )


def test_a_hop_is_the_loop_convolved_on_its_own_time_line() -> None:
    stage = Stage()
    begin = stage.clock.copy()
    hops = np.concatenate([stage.step(0) for _ in range(5)], axis=2)
    for world in range(WORLDS):
        whole = stage.expected(world, 0, begin[world], 5 * HOP)
        np.testing.assert_allclose(hops[world], whole, atol=TOLERANCE * np.abs(whole).max())


def test_a_new_response_fades_in_over_the_first_samples() -> None:
    stage = Stage()
    stage.step(0)
    begin = stage.clock.copy()
    hop = stage.step(1)
    ramp = 0.5 - 0.5 * np.cos(np.pi * (np.arange(FADE) + 0.5) / FADE)
    for world in range(WORLDS):
        old, new = (stage.expected(world, which, begin[world], HOP) for which in (0, 1))
        np.testing.assert_allclose(hop[world, :, FADE:], new[:, FADE:], atol=TOLERANCE * np.abs(new).max())
        mixed = old[:, :FADE] + (new - old)[:, :FADE] * ramp
        np.testing.assert_allclose(hop[world, :, :FADE], mixed, atol=TOLERANCE * np.abs(new).max())


def test_a_restarted_world_hears_nothing_of_what_was() -> None:
    stage = Stage()
    stage.step(0)
    stage.convolver.restart(1)
    begin = stage.clock.copy()
    hop = stage.step(1)
    alone = stage.expected(1, 1, begin[1], HOP)
    np.testing.assert_allclose(hop[1], alone, atol=TOLERANCE * np.abs(alone).max())
    assert np.abs(hop[0] - stage.expected(0, 1, begin[0], HOP)).max() > 0.01  # the others fade


def test_worlds_that_are_left_out_keep_their_place() -> None:
    together, apart = Stage(), Stage()
    for _ in range(2):
        together.step(0)
    apart.step(0)
    held = apart.out[1].copy()
    apart.step(0, np.array([0, 2]))  # not neighbours
    assert np.array_equal(apart.out[1], held)
    assert np.array_equal(apart.step(0, np.array([1]))[1], together.out[1])
    assert np.array_equal(apart.out, together.out)


@pytest.mark.parametrize("frequency_hz", [440.0, 1000.0])
def test_a_moving_tone_does_not_click_at_boundaries(frequency_hz: float) -> None:
    """Above 3 kHz a boundary is no louder than the middle of a step, within 2 dB; a hard switch is, by 20."""
    rate_hz, hop, taps, fade = 16000, 4000, 2000, 400
    period = rate_hz / frequency_hz
    loop = np.sin(2 * np.pi * np.arange(int(period * 400)) / period).astype(np.float32)[None]
    convolver = StreamingConvolver(1, 1, taps, hop, fade)
    out, heard, hard = np.zeros((1, 1, hop), dtype=np.float32), [], []
    emission = emissions(1)
    for number in range(6):  # 0.25 m nearer in each, with an echo that moves the other way
        response = np.zeros((1, 1, taps), dtype=np.float32)
        near, far = 300 - 11.66 * number, 500 + 7.3 * number
        for delay, gain in ((near, 1.0), (far, 0.4)):
            response[0, 0] += gain * np.sinc(np.arange(taps) - delay) * np.exp(-(((np.arange(taps) - delay) / 60) ** 2))
        loops = loop.ravel(), np.array([[0, loop.size]])
        arguments = (np.zeros(1, int), loops, emission, response, np.ones(1, np.float32), out)
        step(convolver, *arguments)
        heard.append(out[0, 0].copy())
        step(StreamingConvolver(1, 1, taps, hop, fade), *arguments)
        hard.append(out[0, 0].copy())
        emission.clock[:] += hop
    faded, switched = (_boundary_db(np.concatenate(parts), hop, rate_hz) for parts in (heard, hard))
    assert faded < 2.0
    assert switched > 15.0  # the measure sees clicks where there are any


def _boundary_db(sound: np.ndarray, hop: int, rate_hz: int) -> float:
    """Return how much louder boundaries are than the middles of steps above 3 kHz, dB."""
    high = scipy.signal.sosfiltfilt(scipy.signal.butter(6, 3000, "high", fs=rate_hz, output="sos"), sound.astype(float))
    floor = 1e-4**2  # 80 dB under the tone: what lies lower is nobody's click
    at = np.arange(hop, sound.size - hop, hop)
    boundary = np.mean([np.mean(high[k - 200 : k + 1000] ** 2) for k in at])
    middle = np.mean([np.mean(high[k + 1800 : k + 3000] ** 2) for k in at])
    return float(10 * np.log10((boundary + floor) / (middle + floor)))


def test_a_source_is_silent_before_it_begins_and_after_it_ends() -> None:
    """Its echoes go on; nothing comes before."""
    stage = Stage()
    stage.emission.begins[0] = 300
    stage.emission.ends[0] = 700
    hops = np.concatenate([stage.step(0) for _ in range(5)], axis=2)
    loop = np.tile(stage.loops[0, :1700], 2)[: 5 * HOP].astype(float)
    time = np.arange(loop.size)
    loop *= np.clip(np.minimum(time - 300, 700 - time), 0, 80) / 80
    expected = stage.gain[0] * np.array([np.convolve(loop, row)[: loop.size] for row in stage.responses[0, 0]])
    np.testing.assert_allclose(hops[0], expected, atol=TOLERANCE * np.abs(expected).max())
    assert np.abs(hops[0][:, :300]).max() < 1e-4 * np.abs(expected).max()
    assert np.abs(hops[0][:, 700:1100]).max() > 1e-3 * np.abs(expected).max()
    assert np.abs(hops[0][:, 1200:]).max() < 1e-4 * np.abs(expected).max()


@pytest.mark.parametrize(
    ("mics", "taps", "hop", "fade", "tolerance"),
    [
        (1, 500, 400, 80, TOLERANCE),
        (3, 1100, 400, 80, TOLERANCE),
        (5, 1100, 401, 80, TOLERANCE),  # a hop that isn't two halves: one partition
        (3, 90, 400, 80, 2e-6),  # shorter than a partition: nothing is kept, nothing rounded
        (1, 200, 400, 400, 2e-6),
        (2, 100, 2, 1, 5 * TOLERANCE),  # a hundred partitions, each rounded
    ],
)
def test_any_array_response_and_hop(mics: int, taps: int, hop: int, fade: int, tolerance: float) -> None:
    rng = np.random.Generator(np.random.PCG64(9))
    convolver, emission = StreamingConvolver(1, mics, taps, hop, fade), emissions(1)
    loop = rng.standard_normal((1, 700)).astype(np.float32)
    response = (rng.standard_normal((1, mics, taps)) * np.exp(-np.arange(taps) / 100)).astype(np.float32)
    out, heard, one = np.zeros((1, mics, hop), dtype=np.float32), [], np.zeros(1, dtype=np.int64)
    for _ in range(5):
        step(convolver, one, (loop[0], np.array([[0, 700]])), emission, response, np.ones(1, dtype=np.float32), out)
        emission.clock[:] += hop
        heard.append(out[0].copy())
    at = np.arange(-taps + 1, 5 * hop) % 700
    wanted = np.array([np.convolve(loop[0, at].astype(float), row.astype(float), "valid") for row in response[0]])
    np.testing.assert_allclose(np.concatenate(heard, axis=1), wanted, atol=tolerance * np.abs(wanted).max())
