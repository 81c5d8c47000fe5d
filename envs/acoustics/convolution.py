"""Convolution with a source's own time line, cross-faded where the response changes.

A step's sound is the source's signal convolved with the response at the new pose. During the first `fade` samples
it is mixed with what the previous response would have gone on with, which the previous step already computed: so
a boundary neither clicks nor costs a second transform.

The response is cut into partitions of `partition` taps, a whole number of which make a hop. The first is new at every
step; the spectra of the others are kept until they are renewed, and so are those of the source's past, since a
stretch of it that meets one partition now meets a later one at the next step (Wefers 2015, uniformly partitioned
convolution). Each row is transformed by itself, so its bits don't depend on which worlds are rendered along with it.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import scipy.fft
from numba import njit

from phonotaxis.envs.threads import launch_threads

_GROUP = 8  # worlds transformed together: their spectra stay in the cache
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


class StreamingConvolver:
    """Convolves looped source signals with responses that change from step to step.

    Args:
        worlds: how many.
        mics: microphones of a world.
        taps: length of the responses, samples.
        hop: samples a step yields.
        fade: samples of the cross-fade, at most `hop`.
        threads: that the transforms may use.
    """

    def __init__(self, worlds: int, mics: int, taps: int, hop: int, fade: int, threads: int = 1) -> None:
        launch_threads()
        self.taps, self.hop, self.fade = taps, hop, fade
        self._pool = ThreadPoolExecutor(threads) if threads > 1 else None
        self.partition = partition_taps(taps, hop)
        self.length = scipy.fft.next_fast_len(self.partition + hop + fade - 1, real=True)
        self.partitions = -(-taps // self.partition)
        bins = self.length // 2 + 1
        self.continuation = np.zeros((worlds, mics, fade), dtype=np.float32)
        self.fresh = np.ones(worlds, dtype=np.bool_)  # nothing to fade from yet
        self.late = np.zeros((worlds, self.partitions - 1, mics, bins), dtype=np.complex64)
        self.past = np.zeros((worlds, self.partitions, bins), dtype=np.complex64)  # a ring that begins at `head`
        self.head = np.zeros(worlds, dtype=np.int64)
        ramp = 0.5 - 0.5 * np.cos(np.pi * (np.arange(fade) + 0.5) / fade)
        self._ramp = ramp.astype(np.float32)
        self._per_hop = min(hop // self.partition if hop % self.partition == 0 else self.partitions, self.partitions)

    def state(self) -> dict[str, np.ndarray]:
        """Return what steps leave for the next: part of a world's snapshot."""
        names = ("continuation", "fresh", "late", "past", "head")
        return {name: getattr(self, name) for name in names}

    def restart(self, world: int) -> None:
        """Begin a new sound in a world: its next step fades from nothing."""
        self.fresh[world] = True

    def renew_late(self, worlds: np.ndarray, late: np.ndarray) -> None:
        """Take over the late part of some worlds' responses.

        Args:
            worlds: int64 [k], which.
            late: float32 [worlds, mics, taps - partition], of all worlds.
        """
        if self.partitions == 1 or worlds.size == 0:
            return
        _, mics, taps = late.shape
        whole = (self.partitions - 1) * self.partition

        def renew(group: np.ndarray) -> None:
            parts = late[group]
            if whole > taps:
                parts = np.pad(parts, ((0, 0), (0, 0), (0, whole - taps)))
            parts = parts.reshape(group.size, mics, self.partitions - 1, self.partition).transpose(0, 2, 1, 3)
            self.late[group] = scipy.fft.rfft(parts, n=self.length, axis=-1)

        self._share_out(renew, worlds)

    def step(
        self,
        worlds: np.ndarray,
        signals: np.ndarray,
        signal_length: np.ndarray,
        emission: Emission,
        early: np.ndarray,
        gain: np.ndarray,
        out: np.ndarray,
    ) -> None:
        """Render one hop of some worlds.

        Args:
            worlds: int64 [k], which, ascending.
            signals: float32 [sounds, longest], loops.
            signal_length: int64 [sounds], samples of each loop.
            emission: what is played when.
            early: float32 [worlds, mics, partition], beginning of the responses at the new poses.
            gain: float32 [worlds], from loop to converter full scale.
            out: float32 [worlds, mics, hop], filled where asked for.
        """

        def convolve(group: np.ndarray) -> None:
            self._convolve(group, signals, signal_length, emission, early, gain, out)

        self._share_out(convolve, worlds)

    def _share_out(self, work: Callable[[np.ndarray], None], worlds: np.ndarray) -> None:
        """Do some work for groups of worlds, several at once where there are threads: each group is its own."""
        groups = [worlds[first : first + _GROUP] for first in range(0, worlds.size, _GROUP)]
        for _ in map(work, groups) if self._pool is None else self._pool.map(work, groups):
            pass

    def _convolve(
        self,
        group: np.ndarray,
        signals: np.ndarray,
        signal_length: np.ndarray,
        emission: Emission,
        early: np.ndarray,
        gain: np.ndarray,
        out: np.ndarray,
    ) -> None:
        begin, end = self.partition - 1, self.partition - 1 + self.hop + self.fade
        self._hear_source(group, signals, signal_length, emission)
        consecutive = group[-1] - group[0] == group.size - 1
        rows = slice(group[0], group[-1] + 1) if consecutive else group  # a slice is read without a copy
        wet = scipy.fft.rfft(early[rows], n=self.length, axis=-1)
        _multiply(group, wet, self.past, self.head, self.late)
        sound = scipy.fft.irfft(wet, n=self.length, axis=-1, overwrite_x=True)
        _crossfade(group, sound[:, :, begin:end], self._ramp, gain, self.continuation, self.fresh, out)

    def transform_only(self, worlds: int) -> None:
        """Do the transforms of one step of some worlds and nothing else, to know what they cost."""
        _, mics, bins = self.late.shape[1:]
        for first in range(0, worlds, _GROUP):
            count = min(_GROUP, worlds - first)
            scipy.fft.rfft(np.zeros((count, self._per_hop, self.length), np.float32), axis=-1)
            beginning = np.zeros((count, mics, self.partition), np.float32)
            scipy.fft.rfft(beginning, n=self.length, axis=-1)
            wet = np.zeros((count, mics, bins), np.complex64)
            scipy.fft.irfft(wet, n=self.length, axis=-1, overwrite_x=True)

    def _hear_source(
        self, group: np.ndarray, signals: np.ndarray, signal_length: np.ndarray, emission: Emission
    ) -> None:
        """Add the newest stretches of the sources to their past; all of them where a sound has just begun."""
        fresh = self.fresh[group]
        for chosen, newest in ((group[~fresh], self._per_hop), (group[fresh], self.partitions)):
            if chosen.size == 0:
                continue
            dry = np.empty((chosen.size, newest, self.length), dtype=np.float32)
            _gather(chosen, signals, signal_length, emission, self.partition, dry)
            spectra = scipy.fft.rfft(dry, axis=-1)
            _push(chosen, spectra, self.past, self.head)


@njit(cache=True, error_model="numpy", nogil=True)
def _gather(worlds, signals, signal_length, emission, partition, dry):
    """Copy the stretches of each loop that meet the first partitions, float32 [worlds, partitions, length]."""
    for index in range(worlds.size):
        world = worlds[index]
        sound = emission.sound[world]
        length = signal_length[sound]
        loop = signals[sound, :length]
        for k in range(dry.shape[1]):
            begin = emission.clock[world] - (k + 1) * partition + 1
            at = begin % length
            row = dry[index, k]
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
    if at >= begins + _SWITCH and at + row.size <= ends:
        return
    for k in range(row.size):
        on = min(at + k - begins, ends - at - k)
        row[k] *= min(max(on, 0), _SWITCH) / np.float32(_SWITCH)


@njit(cache=True, error_model="numpy", nogil=True)
def _push(worlds, spectra, past, head):
    """Put spectra before what a ring holds."""
    partitions, newest = past.shape[1], spectra.shape[1]
    for index in range(worlds.size):
        world = worlds[index]
        head[world] = (head[world] - newest) % partitions
        for k in range(newest):
            past[world, (head[world] + k) % partitions] = spectra[index, k]


@njit(cache=True, error_model="numpy", nogil=True)
def _multiply(group, wet, past, head, late):
    """Turn the spectra of responses' beginnings into those of the sound: products summed over partitions."""
    partitions = past.shape[1]
    for index in range(group.size):
        world = group[index]
        first = head[world] % partitions
        for mic in range(wet.shape[1]):
            row, dry = wet[index, mic], past[world, first]
            if partitions == 4:  # what a task has by default, in one pass
                x1, x2, x3 = (
                    past[world, (first + 1) % 4], past[world, (first + 2) % 4], past[world, (first + 3) % 4],
                )  # fmt: skip
                h1, h2, h3 = late[world, 0, mic], late[world, 1, mic], late[world, 2, mic]
                for f in range(row.size):
                    row[f] = row[f] * dry[f] + x1[f] * h1[f] + x2[f] * h2[f] + x3[f] * h3[f]
                continue
            for f in range(row.size):
                row[f] *= dry[f]
            for k in range(1, partitions):
                dry, response = past[world, (first + k) % partitions], late[world, k - 1, mic]
                for f in range(row.size):
                    row[f] += dry[f] * response[f]


@njit(cache=True, error_model="numpy", nogil=True)
def _crossfade(group, sound, ramp, gain, continuation, fresh, out):
    """Mix a hop with the previous response's continuation, and keep its own."""
    mics, hop, fade = out.shape[1], out.shape[2], ramp.size
    for index in range(group.size):
        world = group[index]
        level = gain[world]
        for mic in range(mics):
            row, to, held = sound[index, mic], out[world, mic], continuation[world, mic]
            for k in range(hop):
                to[k] = row[k] * level
            if not fresh[world]:
                for k in range(fade):
                    to[k] = held[k] + (to[k] - held[k]) * ramp[k]
            for k in range(fade):
                held[k] = row[hop + k] * level
        fresh[world] = False
