"""Convolution with a source's own time line, cross-faded where the response changes.

A step's sound is the source's signal convolved with the response at the new pose. During the first `fade` samples
it is mixed with what the previous response would have gone on with, which the previous step already computed: so
a boundary neither clicks nor costs a second transform.
"""

from __future__ import annotations

import numpy as np
import scipy.fft
from numba import njit, prange

from phonotaxis.envs.threads import launch_threads

_GROUP = 4  # worlds transformed together: their spectra stay in the cache


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
        self.taps, self.hop, self.fade, self.threads = taps, hop, fade, threads
        self.length = scipy.fft.next_fast_len(taps + hop + fade - 1, real=True)
        self.continuation = np.zeros((worlds, mics, fade), dtype=np.float32)  # part of a world's snapshot
        self.fresh = np.ones(worlds, dtype=np.bool_)  # nothing to fade from yet
        ramp = 0.5 - 0.5 * np.cos(np.pi * (np.arange(fade) + 0.5) / fade)
        self._ramp = ramp.astype(np.float32)
        self._dry = np.zeros((worlds, self.length), dtype=np.float32)

    def restart(self, world: int) -> None:
        """Begin a new sound in a world: its next step fades from nothing."""
        self.fresh[world] = True

    def step(
        self,
        worlds: np.ndarray,
        signals: np.ndarray,
        signal_length: np.ndarray,
        signal_of: np.ndarray,
        clock: np.ndarray,
        responses: np.ndarray,
        gain: np.ndarray,
        out: np.ndarray,
    ) -> None:
        """Render one hop of some worlds.

        Args:
            worlds: int64 [k], which, ascending.
            signals: float32 [sounds, longest], loops.
            signal_length: int64 [sounds], samples of each loop.
            signal_of: int64 [worlds], the loop a world's source plays.
            clock: int64 [worlds], the source's sample at which the hop begins; what came before has been playing.
            responses: float32 [worlds, mics, taps], at the new poses.
            gain: float32 [worlds], from loop to converter full scale.
            out: float32 [worlds, mics, hop], filled where asked for.
        """
        _gather(worlds, signals, signal_length, signal_of, clock, self.taps - 1, self._dry)
        begin, end = self.taps - 1, self.taps - 1 + self.hop + self.fade
        for first in range(0, worlds.size, _GROUP):
            group = worlds[first : first + _GROUP]
            consecutive = group[-1] - group[0] == group.size - 1
            rows = slice(group[0], group[-1] + 1) if consecutive else group  # a slice is read without a copy
            dry = scipy.fft.rfft(self._dry[rows], axis=-1, workers=self.threads)
            wet = scipy.fft.rfft(responses[rows], n=self.length, axis=-1, workers=self.threads)
            wet *= dry[:, None, :]
            sound = scipy.fft.irfft(wet, n=self.length, axis=-1, workers=self.threads, overwrite_x=True)
            _crossfade(group, sound[:, :, begin:end], self._ramp, gain, self.continuation, self.fresh, out)


@njit(cache=True, error_model="numpy", parallel=True, nogil=True)
def _gather(worlds, signals, signal_length, signal_of, clock, before, dry):
    """Copy the stretch of each loop that a hop needs, float32 [worlds, length]."""
    for index in prange(worlds.size):
        world = worlds[index]
        length = signal_length[signal_of[world]]
        loop = signals[signal_of[world], :length]
        at = (clock[world] - before) % length
        row = dry[world]
        done = 0
        while done < row.size:
            part = min(length - at, row.size - done)
            row[done : done + part] = loop[at : at + part]
            done += part
            at = 0


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
