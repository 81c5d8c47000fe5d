"""A hop of sound, from sources and poses to the converter's codes, as one kernel."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from phonotaxis.configs.contract import INT16_FULL_SCALE
from phonotaxis.envs.acoustics.converter import NoiseStreams, convert
from phonotaxis.envs.acoustics.convolution import ConvolverConstants, Emission, Kept, convolve, renew_late
from phonotaxis.envs.acoustics.noise import NoiseConstants, NoiseGains, fill_factors
from phonotaxis.envs.acoustics.renderer import Listeners, RendererConstants, Responses, new_responses, render
from phonotaxis.envs.ticks import ticks

PARTS = ("responses", "convolution", "converter", "window")  # of a hop, as its time is counted


class VoiceArrays(NamedTuple):
    """A `Voice` as kernels take it."""

    listeners: Listeners
    kept: Kept
    emission: Emission
    gain: np.ndarray


class _Room(NamedTuple):
    """Where one world's hop is made: so what passes from part to part stays in the cache.

    Attributes:
        row: int64 [1], 0: where it stands in the others.
        responses: of one world.
        sound: float32 [1, mics, hop], of all sources.
        other: float32 [1, mics, hop], of one of them.
    """

    row: np.ndarray
    responses: Responses
    sound: np.ndarray
    other: np.ndarray


class HopWorlds(NamedTuple):
    """What else a hop of each world needs and fills; see `Hearing` and `convert`.

    Attributes:
        key: uint64 [worlds], of the episode.
        hops: int64 [worlds], since the episode began.
        self_noise_gain: float32 [worlds].
        clip: float32 [worlds, mics], where each microphone clips, full scale.
        speed_mps: float64 [worlds], of the wheels' rims as the hop ends.
        speed_before_mps: float64 [worlds], as it begins.
        gains: on the noise of room and robot.
        codes: int16 [worlds, mics, hop], filled.
        window: float32 [worlds, mics, window], full scale ±1, filled.
        clipped: int64 [worlds], samples that clipped, filled.
        ticks: int64 [worlds, PARTS], added to.
        tap: float32 [worlds or 0, mics, hop], filled with what goes into the converter, unless empty.
    """

    key: np.ndarray
    hops: np.ndarray
    self_noise_gain: np.ndarray
    clip: np.ndarray
    speed_mps: np.ndarray
    speed_before_mps: np.ndarray
    gains: NoiseGains
    codes: np.ndarray
    window: np.ndarray
    clipped: np.ndarray
    ticks: np.ndarray
    tap: np.ndarray


class HopParts(NamedTuple):
    """All that a hop needs beside the library: sources, the goal's first; what makes their sound; and the worlds."""

    voices: tuple[VoiceArrays, ...]
    renderer: RendererConstants
    convolver: ConvolverConstants
    noise: NoiseConstants
    self_noise: np.ndarray
    worlds: HopWorlds


@njit(cache=True, error_model="numpy", nogil=True)
def render_hop(worlds, scenes, fields, signals, signal_spans, handle):
    """Render a hop of some worlds, one after the other, so that what passes from part to part stays in the cache.

    Args:
        worlds: int64 [k].
        scenes: typed list of `SceneSound`.
        fields: typed list of `SourceField`.
        signals: float32 [samples], loops, one after the other.
        signal_spans: int64 [sounds, 2], where each begins there, and its length.
        handle: on `HopParts`.
    """
    parts = handle[0]
    # What is taken from a tuple is counted as used; done for each world, threads would wait for one another's counts.
    own, goal, renderer, convolver, noise = parts.worlds, parts.voices[0], parts.renderer, parts.convolver, parts.noise
    self_noise, spent = parts.self_noise, own.ticks
    mics, hop = own.codes.shape[1:]
    room = _Room(
        np.zeros(1, dtype=np.int64), new_responses(1, mics, parts.renderer),
        np.empty((1, mics, hop), dtype=np.float32), np.empty((1, mics, hop), dtype=np.float32),
    )  # fmt: skip
    for index in range(worlds.size):
        one, world = worlds[index : index + 1], worlds[index]
        _speak(one, scenes, fields, signals, signal_spans, goal, renderer, convolver, room, room.sound, spent)
        for number in range(1, len(parts.voices)):
            if parts.voices[number].gain[world] > 0.0:
                other = parts.voices[number]
                _speak(
                    one, scenes, fields, signals, signal_spans, other, renderer, convolver, room, room.other,
                    spent,
                )  # fmt: skip
                _add(room.other[0], room.sound[0])
        if own.tap.shape[0] > 0:
            own.tap[world] = room.sound[0]
        begun = ticks()
        convert(
            one, room.row, room.sound, self_noise, own.self_noise_gain, _streams(noise, own, world), own.key,
            own.hops, own.codes, own.clipped, own.clip, goal.listeners.mic_gain,
        )  # fmt: skip
        own.speed_before_mps[world] = own.speed_mps[world]
        own.hops[world] += 1
        converted = ticks()
        _slide(own.codes[world], own.window[world])
        spent[world, 2] += converted - begun
        spent[world, 3] += ticks() - converted


@njit(cache=True, error_model="numpy", nogil=True)
def _speak(one, scenes, fields, signals, signal_spans, voice, renderer, convolver, room, sound, spent):
    """Render a hop of one source in one world, without noise, float32 [1, mics, hop]."""
    world = one[0]
    begun = ticks()
    render(one, room.row, scenes, fields, voice.listeners, renderer, room.responses)
    rendered = ticks()
    if room.responses.renewed[0]:
        renew_late(one, room.row, room.responses.late, convolver, voice.kept)
    convolve(
        one, room.row, signals, signal_spans, voice.emission, room.responses.early, voice.gain, convolver,
        voice.kept, sound,
    )  # fmt: skip
    voice.emission.clock[world] += sound.shape[2]
    spent[world, 0] += rendered - begun
    spent[world, 1] += ticks() - rendered


@njit(cache=True, error_model="numpy", nogil=True)
def _streams(noise, own, world):
    """Return the noise of one world's hop."""
    streams = noise.bank.shape[0]
    factors = np.empty((2, streams), dtype=np.float32)
    for row, speeds in enumerate((own.speed_before_mps, own.speed_mps)):
        fill_factors(noise, speeds[world], own.gains.diffuse[world], own.gains.robot[world], factors[row])
    return NoiseStreams(noise.bank, factors[:1], factors[1:])


@njit(cache=True, error_model="numpy", nogil=True)
def _add(added, to):
    for mic in range(to.shape[0]):
        for k in range(to.shape[1]):
            to[mic, k] += added[mic, k]


@njit(cache=True, error_model="numpy", nogil=True)
def _slide(codes, window):
    """Move a world's window on by a hop and put the newest codes, full scale ±1, at its end."""
    hop = codes.shape[1]
    kept = window.shape[1] - hop
    scale = np.float32(1.0 / INT16_FULL_SCALE)
    for mic in range(codes.shape[0]):
        row, new = window[mic], codes[mic]
        for k in range(kept):
            row[k] = row[k + hop]
        for k in range(hop):
            row[kept + k] = new[k] * scale
