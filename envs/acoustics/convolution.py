"""Convolution with a source's own time line, cross-faded where the response changes.

A step's sound is the source's signal convolved with the response at the new pose. During the first `fade` samples
it is mixed with what the previous response would have gone on with, which the previous step already computed: so
a boundary neither clicks nor costs a second transform.

The response is cut into partitions of `partition` taps, a whole number of which make a hop. The first is new at every
step; the spectra of the others are kept until they are renewed, and so are those of the source's past, since a
stretch of it that meets one partition now meets a later one at the next step (Wefers 2015, uniformly partitioned
convolution).

Two microphones are the real and the imaginary part of one transform: what they are convolved with is real, so they
come out as they went in. Each world is done by itself, from its own arrays, so its bits don't depend on which worlds
are rendered along with it, and threads may share the worlds out among them.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from phonotaxis.envs.fourier.spectra import multiply, part_two, shorten
from phonotaxis.envs.fourier.transform import Plan, fast_length, new_scratch, plan_of, transform

_SWITCH = 80  # samples in which a source comes on or goes off


class Emission(NamedTuple):
    """What the sources of a number of worlds emit when; times are samples of the source's own clock.

    Attributes:
        sound: int64 [worlds], the loop a world's source plays.
        clock: int64 [worlds], the loop's sample at which the next hop begins.
        begins: int64 [worlds], it is silent before.
        ends: int64 [worlds], and from then on.
    """

    sound: np.ndarray
    clock: np.ndarray
    begins: np.ndarray
    ends: np.ndarray


def emissions(worlds: int) -> Emission:
    """Allocate sources that play for ever."""
    far = 1 << 60
    return Emission(
        np.zeros(worlds, dtype=np.int64),
        np.zeros(worlds, dtype=np.int64),
        np.full(worlds, -far, dtype=np.int64),
        np.full(worlds, far, dtype=np.int64),
    )


def partition_taps(taps: int, hop: int) -> int:
    """Return how many taps are to be new at each step: half a hop, if that is less than all."""
    half = hop // 2 if hop % 2 == 0 else hop
    return min(half, taps)


class Kept(NamedTuple):
    """What steps leave for the next.

    Attributes:
        continuation: float32 [worlds, mics, fade], what the last response would have gone on with.
        fresh: bool [worlds], there is nothing to fade from yet.
        late: int16 [worlds, pairs of mics, partitions - 1, 2, points], spectra of the responses' kept partitions in
            steps of `step`: what is kept is statistical, and reading it is a good part of a step. Rounding is noise
            90 dB below the loudest frequency, at all times of a hop.
        step: float32 [worlds, pairs of mics, partitions - 1].
        past: float32 [worlds, partitions, 2, bins], spectra of the source's past, a ring that begins at `head`.
        head: int64 [worlds].
    """

    continuation: np.ndarray
    fresh: np.ndarray
    late: np.ndarray
    step: np.ndarray
    past: np.ndarray
    head: np.ndarray


class ConvolverConstants(NamedTuple):
    """What a convolver's worlds share.

    Attributes:
        plan: of the transforms.
        partition: taps of a partition.
        per_hop: stretches of the source that are new at each step.
        ramp: float32 [fade], 0 to 1.
    """

    plan: Plan
    partition: int
    per_hop: int
    ramp: np.ndarray


class StreamingConvolver:
    """Convolves looped source signals with responses that change from step to step.

    Several threads may call one convolver at once, each for worlds of its own.

    Args:
        worlds: how many.
        mics: microphones of a world.
        taps: length of the responses, samples.
        hop: samples a step yields.
        fade: samples of the cross-fade, at most `hop`.

    Attributes:
        constants: what its kernels take beside what it keeps.
        kept: what steps leave for the next.
    """

    def __init__(self, worlds: int, mics: int, taps: int, hop: int, fade: int) -> None:
        self.partition = partition_taps(taps, hop)
        self.partitions = -(-taps // self.partition)
        least = self.partition + hop + fade - 1
        points, self._pairs = fast_length(least), (mics + 1) // 2
        self.kept = Kept(
            np.zeros((worlds, mics, fade), dtype=np.float32),
            np.ones(worlds, dtype=np.bool_),
            np.zeros((worlds, self._pairs, self.partitions - 1, 2, points), dtype=np.int16),
            np.zeros((worlds, self._pairs, self.partitions - 1), dtype=np.float32),
            np.zeros((worlds, self.partitions, 2, points // 2 + 1), dtype=np.float32),
            np.zeros(worlds, dtype=np.int64),
        )
        ramp = 0.5 - 0.5 * np.cos(np.pi * (np.arange(fade) + 0.5) / fade)
        per_hop = min(hop // self.partition if hop % self.partition == 0 else self.partitions, self.partitions)
        self.constants = ConvolverConstants(plan_of(points), self.partition, per_hop, ramp.astype(np.float32))

    def state(self) -> dict[str, np.ndarray]:
        """Return what steps leave for the next: part of a world's snapshot."""
        return self.kept._asdict()

    def restart(self, world: int) -> None:
        """Begin a new sound in a world: its next step fades from nothing."""
        self.kept.fresh[world] = True

    def transform_only(self, worlds: int) -> None:
        """Do the transforms of one step of some worlds and nothing else, to know what they cost."""
        _transform_only(worlds * (2 * self._pairs + (self.constants.per_hop + 1) // 2), self.constants.plan)


@njit(cache=True, error_model="numpy", nogil=True)
def _transform_only(times, plan):
    scratch, room = new_scratch(plan), np.ones((4, plan.re.size), dtype=np.float32)
    re, im, out_re, out_im = room[0], room[1], room[2], room[3]
    for _ in range(times):
        transform(re, im, out_re, out_im, plan, scratch)


@njit(cache=True, error_model="numpy", nogil=True)
def renew_late(worlds, rows, late, constants, state):
    """Take over the late part of some worlds' responses: transform its partitions.

    Args:
        worlds: int64 [k].
        rows: int64 [k], where each stands in `late`.
        late: float32 [rows, mics, taps - partition].
        constants: the convolver's.
        state: its `Kept`.
    """
    plan, partition = constants.plan, constants.partition
    scratch, room = new_scratch(plan), np.zeros((2, plan.re.size), dtype=np.float32)
    mics, taps = late.shape[1:]
    for world, row in zip(worlds, rows):
        for pair in range(state.late.shape[1]):
            for number in range(state.late.shape[2]):
                begin = number * partition
                part = late[row, 2 * pair : min(2 * pair + 2, mics), begin : min(begin + partition, taps)]
                _fill(part, room)
                transform(room[0], room[1], room[0], room[1], plan, scratch)
                codes = state.late[world, pair, number].reshape(-1)
                state.step[world, pair, number] = shorten(room.reshape(-1), codes)


@njit(cache=True, error_model="numpy", nogil=True)
def _fill(rows, room):
    """Put one or two rows at the beginnings of two, and zeros after them."""
    for number in range(2):
        to = room[number]
        count = 0
        if number < rows.shape[0]:
            row = rows[number]
            count = row.size
            to[:count] = row
        to[count:] = 0.0


@njit(cache=True, error_model="numpy", nogil=True)
def convolve(worlds, rows, signals, signal_spans, emission, early, gain, constants, state, out):
    """Render one hop of some worlds, one after the other.

    Args:
        worlds: int64 [k].
        rows: int64 [k], where each stands in `early` and `out`.
        signals: float32 [samples], loops, one after the other.
        signal_spans: int64 [sounds, 2], where each begins there, and its length.
        emission: what is played when.
        early: float32 [rows, mics, partition], beginning of the responses at the new poses.
        gain: float32 [worlds], from loop to converter full scale.
        constants: the convolver's.
        state: its `Kept`.
        out: float32 [rows, mics, hop], filled.
    """
    plan, ramp, per_hop = constants.plan, constants.ramp, constants.per_hop
    points = plan.re.size
    scratch, room, sound = new_scratch(plan), np.empty((2, points), np.float32), np.empty((2, points), np.float32)
    re, im, first_sound, second_sound = room[0], room[1], sound[0], sound[1]
    mics, partition = early.shape[1:]
    for world, row in zip(worlds, rows):
        newest = state.past.shape[1] if state.fresh[world] else per_hop
        _hear_source(world, newest, signals, signal_spans, emission, partition, plan, scratch, room, state)
        past, first = state.past[world].reshape(-1), state.head[world]
        level = gain[world] / np.float32(points)  # the inverse transform leaves a factor
        for pair in range(state.late.shape[1]):
            _fill(early[row, 2 * pair : min(2 * pair + 2, mics)], room)
            transform(re, im, re, im, plan, scratch)
            multiply(re, im, past, first, state.late[world, pair].reshape(-1), state.step[world, pair])
            transform(im, re, second_sound, first_sound, plan, scratch)
            for mic in range(2 * pair, min(2 * pair + 2, mics)):
                heard = first_sound if mic % 2 == 0 else second_sound
                held = state.continuation[world, mic]
                _crossfade(heard[partition - 1 :], level, ramp, state.fresh[world], held, out[row, mic])
        state.fresh[world] = False


@njit(cache=True, error_model="numpy", nogil=True)
def _hear_source(world, newest, signals, signal_spans, emission, partition, plan, scratch, room, state):
    """Put the spectra of the newest stretches of a source before those of its past, two at a time."""
    ring, partitions = state.past[world], state.past.shape[1]
    head = (state.head[world] - newest) % partitions
    state.head[world] = head
    nothing = np.empty(ring[0].size, dtype=np.float32)
    for number in range(0, newest, 2):
        _gather(world, number, signals, signal_spans, emission, partition, room[0])
        second = nothing
        room[1, :] = 0.0
        if number + 1 < newest:
            _gather(world, number + 1, signals, signal_spans, emission, partition, room[1])
            second = ring[(head + number + 1) % partitions].reshape(-1)
        transform(room[0], room[1], room[0], room[1], plan, scratch)
        part_two(room[0], room[1], ring[(head + number) % partitions].reshape(-1), second)


@njit(cache=True, error_model="numpy", nogil=True)
def _gather(world, number, signals, signal_spans, emission, partition, row):
    """Copy the stretch of a world's loop that meets partition `number` of the response, float32 [points]."""
    sound = emission.sound[world]
    first, length = signal_spans[sound, 0], signal_spans[sound, 1]
    loop = signals[first : first + length]
    begin = emission.clock[world] - (number + 1) * partition + 1
    at = begin % length
    done = 0
    while done < row.size:
        part = min(length - at, row.size - done)
        row[done : done + part] = loop[at : at + part]
        done += part
        at = 0
    _switch(row, begin, emission.begins[world], emission.ends[world])


@njit(cache=True, error_model="numpy", nogil=True)
def _switch(row, at, begins, ends):
    """Silence a stretch that begins at a time of the source's clock where the source is off."""
    if at >= begins + _SWITCH and at + row.size + _SWITCH <= ends:
        return
    for k in range(row.size):
        on = min(at + k - begins, ends - at - k)
        row[k] *= min(max(on, 0), _SWITCH) / np.float32(_SWITCH)


@njit(cache=True, error_model="numpy", nogil=True)
def _crossfade(heard, level, ramp, fresh, held, out):
    """Mix a microphone's hop with the previous response's continuation, and keep its own."""
    hop, fade = out.size, ramp.size
    for k in range(hop):
        out[k] = heard[k] * level
    if not fresh:
        for k in range(fade):
            out[k] = held[k] + (out[k] - held[k]) * ramp[k]
    rest = heard[hop : hop + fade]
    for k in range(fade):
        held[k] = rest[k] * level
