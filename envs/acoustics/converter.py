"""From pressure to numbers: noise, microphone self-noise, the converter's clipping and its 16 bits."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from phonotaxis.configs.array import MicrophoneArray
from phonotaxis.configs.contract import INT16_FULL_SCALE
from phonotaxis.envs.hashing import fold

REFERENCE_PASCAL = 20e-6
_BANK, _LEAST_PART = 1 << 18, 1 << 16  # samples of self-noise, of all microphones and of each
_STREAMS = -1  # folded in where self-noise folds in a step's number, which is never negative


class NoiseStreams(NamedTuple):
    """Noise that goes on from hop to hop: loops, and how loud each is as a hop begins and ends.

    Attributes:
        bank: float32 [streams, mics, length], loops, full scale ±1.
        before: float32 [k, streams], factor at the first sample of a hop, for each of the k worlds asked for.
        now: float32 [k, streams], factor at the first sample after the hop; it goes there in a straight line.
    """

    bank: np.ndarray
    before: np.ndarray
    now: np.ndarray


def level_gain(array: MicrophoneArray, level_db_spl: np.ndarray | float) -> np.ndarray:
    """Return the factor from a loop of RMS 1 to converter full scale, for its level at 1 m in dB SPL."""
    pascal = REFERENCE_PASCAL * 10.0 ** (np.asarray(level_db_spl) / 20.0)
    return (pascal / array.full_scale_pascal).astype(np.float32)


def a_weighting_db(frequency_hz: np.ndarray) -> np.ndarray:
    """Return the A-weighting of IEC 61672-1:2013, annex E, in dB, for frequencies in Hz."""
    f2 = np.square(np.maximum(np.asarray(frequency_hz, dtype=np.float64), 1e-3))
    ratio = 12194.0**2 * f2**2 / (
        (f2 + 20.6**2) * np.sqrt((f2 + 107.7**2) * (f2 + 737.9**2)) * (f2 + 12194.0**2)
    )  # fmt: skip
    return 20.0 * np.log10(ratio) + 2.0


def self_noise_gain(array: MicrophoneArray, sample_rate_hz: int) -> float:
    """Return the RMS, in full scale, of white noise whose A-weighted level is the array's self-noise."""
    frequency_hz = (np.arange(4096) + 0.5) * sample_rate_hz / 2 / 4096
    weight_db = 10.0 * np.log10(np.mean(10.0 ** (a_weighting_db(frequency_hz) / 10.0)))
    return float(level_gain(array, array.self_noise_dba - weight_db))


def self_noise(array: MicrophoneArray, sample_rate_hz: int, hop: int) -> np.ndarray:
    """Return the bank that self-noise is read from, a hop at a time.

    Each microphone has a part of its own: two that read from one would now and then hear the same noise, one a little
    after the other, as from a direction.

    Returns:
        float32 [mics, any], full scale ±1: Gaussian, of the array's level.
    """
    part = max(_BANK // array.mics, _LEAST_PART, 2 * hop)
    noise = np.random.Generator(np.random.PCG64(20261123)).standard_normal((array.mics, part), dtype=np.float32)
    return noise * np.float32(self_noise_gain(array, sample_rate_hz))


@njit(cache=True, error_model="numpy", nogil=True)
def add_streams(row, streams, index, mic, gain, key, begins_at, gone):
    """Add a microphone's noise to its row.

    Args:
        row: float32 [hop], added to.
        streams: the loops and factors.
        index: row of the factors.
        mic: microphone.
        gain: factor on its signal.
        key: of the episode; it chooses where in its loop each stream begins.
        begins_at: samples since the episode began.
        gone: `ramp` of the hop, made once for all rows.
    """
    length = streams.bank.shape[2]
    for stream in range(streams.bank.shape[0]):
        before, now = gain * streams.before[index, stream], gain * streams.now[index, stream]
        if before == 0.0 and now == 0.0:
            continue
        loop = streams.bank[stream, mic]
        offset = int(fold(fold(key, _STREAMS), stream) % np.uint64(length))
        _add_loop(row, loop, (offset + begins_at) % length, before, now - before, gone)


@njit(cache=True, error_model="numpy", nogil=True)
def ramp(hop):
    """Return what part of a hop has gone at each of its samples, float32 [hop], 0 to 1."""
    return np.arange(hop).astype(np.float32) / np.float32(hop)


@njit(cache=True, error_model="numpy", nogil=True)
def _add_loop(row, loop, at, gain, change, gone):
    done = 0
    while done < row.size:
        part = min(loop.size - at, row.size - done)
        to, what, share = row[done : done + part], loop[at : at + part], gone[done : done + part]
        if change == 0.0:
            for k in range(part):
                to[k] += what[k] * gain
        else:
            for k in range(part):
                to[k] += what[k] * (gain + change * share[k])
        done += part
        at = 0


@njit(cache=True, error_model="numpy", nogil=True)
def convert(worlds, rows, sound, noise, noise_gain, streams, episode_key, step, codes, clipped, clip, mic_gain):
    """Add noise to what the microphones of some worlds receive in a hop, and quantise it to 16 bits.

    Self-noise is read at places of a microphone's bank that a hash of (episode, step, microphone) chooses. Noise of the
    room and of the robot is added here to save a pass over the sound.

    Args:
        worlds: int64 [k], which.
        rows: int64 [k], where each stands in `sound`.
        sound: float32 [rows, mics, hop], full scale ±1.
        noise: float32 [mics, any], of `self_noise`.
        noise_gain: float32 [worlds], factor on it.
        streams: noise to add, in the order of `worlds`.
        episode_key: uint64 [worlds].
        step: int64 [worlds], number of the hop within the episode.
        codes: int16 [worlds, mics, hop], filled where asked for; clipped where the microphone clips.
        clipped: int64 [worlds], filled where asked for: how many samples of the hop lay beyond where their microphone
            clips, over all microphones.
        clip: float32 [worlds, mics], where each microphone clips, 0 (excluded) to 1, full scale.
        mic_gain: float32 [worlds, mics], factor on the streams; the sound has it already. 0 is a dead channel: its
            codes are 0, without self-noise.
    """
    mics, hop = sound.shape[1:]
    gone = ramp(hop)
    for index in range(worlds.size):
        world = worlds[index]
        key = fold(episode_key[world], step[world])
        gain = noise_gain[world]
        row = np.empty(hop, dtype=np.float32)
        over = 0
        for mic in range(mics):
            if mic_gain[world, mic] == 0.0:
                codes[world, mic, :] = 0
                continue
            at = int(fold(key, mic) % np.uint64(noise.shape[1] - hop))
            clean, hiss = sound[rows[index], mic], noise[mic, at : at + hop]
            for k in range(hop):
                row[k] = clean[k] + hiss[k] * gain
            add_streams(row, streams, index, mic, mic_gain[world, mic], episode_key[world], step[world] * hop, gone)
            over += _quantise(row, codes[world, mic], clip[world, mic])
        clipped[world] = over


@njit(cache=True, error_model="numpy", nogil=True)
def _quantise(row, codes, clip):
    """Round a row to 16 bits and return how many of its samples lay beyond where its microphone clips."""
    scale = np.float32(INT16_FULL_SCALE)
    limit = np.rint(scale * clip)
    low, high = -limit, min(limit, np.float32(INT16_FULL_SCALE - 1))
    highest, lowest = np.int16(0), np.int16(0)
    for k in range(row.size):
        code = np.rint(row[k] * scale)
        codes[k] = np.int16(min(max(code, low), high))
    for k in range(row.size):  # counting in the first loop would double its time
        highest, lowest = max(highest, codes[k]), min(lowest, codes[k])
    over = 0
    if highest >= high or lowest <= low:
        for k in range(row.size):
            code = np.rint(row[k] * scale)
            over += (code < low) | (code > high)
    return over
