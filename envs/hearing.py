"""What the worlds hear: from sources and poses to the converter's codes."""

from __future__ import annotations

import numpy as np

from phonotaxis.configs.contract import Contract, audio_from_int16
from phonotaxis.envs.acoustics.converter import Converter, level_gain
from phonotaxis.envs.acoustics.convolution import StreamingConvolver
from phonotaxis.envs.acoustics.renderer import ResponseRenderer
from phonotaxis.envs.episodes import Episode
from phonotaxis.envs.hashing import key_of
from phonotaxis.envs.library import Library


class Hearing:
    """Renders the microphones of a number of worlds, hop by hop.

    Attributes:
        codes: int16 [worlds, mics, hop], the last hop as the converter delivers it.
        window: float32 [worlds, mics, window], what the policy sees: the last `window_samples`, full scale ±1.
    """

    def __init__(self, contract: Contract, library: Library, worlds: int, threads: int) -> None:
        task = library.task
        taps = int(round(task.response_s * contract.sample_rate_hz))
        fade = max(1, int(round(task.crossfade_s * contract.sample_rate_hz)))
        mics, hop = contract.array.mics, contract.hop_samples
        self.library = library
        self.array = contract.array
        self.hop = hop
        self.convolver = StreamingConvolver(worlds, mics, taps, hop, fade, threads)
        self.renderer = ResponseRenderer(
            contract.array.positions_m(), contract.sample_rate_hz, taps, self.convolver.partition
        )
        self.listeners = self.renderer.listeners(worlds)
        self.converter = Converter(contract.array, contract.sample_rate_hz)
        self.codes = np.zeros((worlds, mics, hop), dtype=np.int16)
        self.window = np.zeros((worlds, mics, contract.window_samples), dtype=np.float32)
        self.clock = np.zeros(worlds, dtype=np.int64)  # of the source, at the end of the last hop
        self.hops = np.zeros(worlds, dtype=np.int64)  # since the episode began
        self._sound = np.zeros(worlds, dtype=np.int64)
        self._gain = np.zeros(worlds, dtype=np.float32)
        self._key = np.zeros(worlds, dtype=np.uint64)
        self._responses = self.renderer.responses(worlds)
        self._received = np.zeros((worlds, mics, hop), dtype=np.float32)

    def begin(self, world: int, episode: Episode) -> None:
        """Put a world at an episode's beginning; `hear` then fills its first window."""
        listeners = self.listeners
        listeners.scene[world], listeners.field[world] = episode.scene, episode.field
        listeners.pose[world] = episode.pose
        listeners.source_m[world] = self.library.fields[episode.field].source_m
        listeners.forget(world)
        self.convolver.restart(world)
        self._sound[world] = episode.sound
        self._gain[world] = level_gain(self.array, episode.level_db_spl)
        self._key[world] = key_of(episode.seed)
        self.clock[world] = episode.offset
        self.hops[world] = 0
        self.window[world] = 0.0

    def hear(self, worlds: np.ndarray) -> None:
        """Render the next hop of some worlds at the poses in `listeners`, int64 [k], ascending."""
        library = self.library
        self.renderer.render(worlds, library.scene_sounds, library.fields, self.listeners, self._responses)
        self.convolver.renew_late(worlds[self._responses.renewed[worlds]], self._responses.late)
        self.convolver.step(
            worlds, library.signals, library.signal_length, self._sound, self.clock, self._responses.early,
            self._gain, self._received,
        )  # fmt: skip
        self.converter.convert(worlds, self._received, self._key, self.hops, self.codes)
        self.clock[worlds] += self.hop
        self.hops[worlds] += 1
        kept = self.window.shape[2] - self.hop
        if kept:
            self.window[worlds, :, :kept] = self.window[worlds, :, self.hop :]
        self.window[worlds, :, kept:] = audio_from_int16(self.codes[worlds])
