"""What the worlds hear: from sources and poses to the converter's codes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from phonotaxis.configs.air import Air
from phonotaxis.configs.contract import Contract
from phonotaxis.configs.task import AudioGoalTask
from phonotaxis.envs.acoustics.air import SPEED_OF_SOUND_MPS, amplitude_exponent_per_m, speed_of_sound_mps
from phonotaxis.envs.acoustics.converter import level_gain, self_noise
from phonotaxis.envs.acoustics.convolution import (
    Emission,
    StreamingConvolver,
    emissions,
    partition_taps,
)
from phonotaxis.envs.acoustics.directivity import build_directivity
from phonotaxis.envs.acoustics.noise import NoiseGains, NoiseSource
from phonotaxis.envs.acoustics.renderer import Listeners, ResponseRenderer
from phonotaxis.envs.acoustics.unit_variation import draw_unit
from phonotaxis.envs.episodes import Episode, Sounding
from phonotaxis.envs.handle import handle_of
from phonotaxis.envs.hashing import key_of
from phonotaxis.envs.hop import PARTS, HopParts, HopWorlds, VoiceArrays, render_hop
from phonotaxis.envs.library import Library
from phonotaxis.envs.randomise import Variation, varied_air, varied_unit


class Voice(NamedTuple):
    """One source in each world: where it is heard from, and what it emits.

    Attributes:
        listeners: what its responses depend on.
        convolver: of its sound.
        emission: what it emits when.
        gain: float32 [worlds], from loop to converter full scale; 0 where a world has no such source.
    """

    listeners: Listeners
    convolver: StreamingConvolver
    emission: Emission
    gain: np.ndarray

    def arrays(self) -> VoiceArrays:
        """Return it as kernels take it."""
        return VoiceArrays(
            self.listeners, self.convolver.kept, self.emission, self.gain
        )  # fmt: skip


class Hearing:
    """Renders the microphones of a number of worlds, hop by hop.

    Attributes:
        codes: int16 [worlds, mics, hop], the last hop as the converter delivers it.
        window: float32 [worlds, mics, window], what the policy sees: the last `window_samples`, full scale ±1.
        clipped: int64 [worlds], samples of the last hop that lay beyond where their microphone clips, over all.
        speed_mps: float64 [worlds], of the wheels' rims, for the motors' noise; set by who moves the robot.
        ticks: int64 [worlds, `PARTS`], the processor's ticks that each part has taken so far; for benchmarks.
    """

    def __init__(self, contract: Contract, library: Library, worlds: int) -> None:
        task = library.task
        self.library, self.array, self.hop = library, contract.array, contract.hop_samples
        self.rate_hz = contract.sample_rate_hz
        mics, hop = contract.array.mics, contract.hop_samples
        self.noise = NoiseSource(contract.array, self.rate_hz, task.noise, None if task.air == Air() else task.air)
        self._self_noise = self_noise(contract.array, self.rate_hz, hop)
        taps = int(round(task.response_s * self.rate_hz))
        self.renderer = ResponseRenderer(
            contract.array.positions_m(), self.rate_hz, taps, partition_taps(taps, hop),
            build_directivity(contract.array, self.rate_hz), None if task.air == Air() else task.air,
        )  # fmt: skip
        self.voices = _voices(self.renderer, contract, task, worlds)
        self.codes = np.zeros((worlds, mics, hop), dtype=np.int16)
        self.window = np.zeros((worlds, mics, contract.window_samples), dtype=np.float32)
        self.clipped = np.zeros(worlds, dtype=np.int64)
        self.hops = np.zeros(worlds, dtype=np.int64)  # since the episode began
        self.speed_mps = np.zeros(worlds)
        self._speed_before_mps = np.zeros(worlds)
        self._soundings: list[tuple[Sounding, ...]] = [()] * worlds
        self._key = np.zeros(worlds, dtype=np.uint64)
        self._gains = NoiseGains(np.ones(worlds, dtype=np.float32), np.ones(worlds, dtype=np.float32))
        self._self_noise_gain = np.ones(worlds, dtype=np.float32)
        self._clip = np.ones((worlds, mics), dtype=np.float32)
        self.ticks = np.zeros((worlds, len(PARTS)), dtype=np.int64)
        self._tap = np.zeros((0, mics, hop), dtype=np.float32)
        self._handle = handle_of(self._parts())

    def tap(self) -> np.ndarray:
        """Keep what goes into the converter, but for noise, from now on: float32 [worlds, mics, hop], full scale ±1."""
        self._tap = np.zeros(self.codes.shape, dtype=np.float32)
        self._handle = handle_of(self._parts())
        return self._tap

    def _parts(self) -> HopParts:
        own = HopWorlds(
            self._key, self.hops, self._self_noise_gain, self._clip, self.speed_mps, self._speed_before_mps,
            self._gains, self.codes, self.window, self.clipped, self.ticks, self._tap,
        )  # fmt: skip
        return HopParts(
            tuple(voice.arrays() for voice in self.voices), self.renderer.constants,
            self.voices[0].convolver.constants, self.noise.constants, self._self_noise, own,
        )  # fmt: skip

    @property
    def listeners(self) -> Listeners:
        """What the responses to the goal depend on."""
        return self.voices[0].listeners

    def begin(self, world: int, episode: Episode, variation: Variation | None = None) -> None:
        """Put a world at an episode's beginning; `hear` then renders its first hop."""
        self.listeners.pose[world] = episode.pose
        self.recall(world, episode)
        soundings = self._soundings[world]
        for number, voice in enumerate(self.voices):
            one = soundings[number] if number < len(soundings) else None
            self._begin_voice(voice, world, episode.scene, one)
        if variation is not None:
            self._vary(world, episode, variation)
        self._key[world] = key_of(episode.seed)
        self.hops[world] = 0
        self.speed_mps[world] = self._speed_before_mps[world] = 0.0
        self.window[world] = 0.0

    def recall(self, world: int, episode: Episode) -> None:
        """Take over what a world's episode plays; where the sources are is a part of `state`."""
        self._soundings[world] = (episode.goal(), *episode.others)

    def _begin_voice(self, voice: Voice, world: int, scene: int, sounding: Sounding | None) -> None:
        listeners = voice.listeners
        listeners.forget(world)
        voice.convolver.restart(world)
        listeners.scene[world] = scene
        listeners.moves[world] = False
        if sounding is None:
            voice.gain[world] = 0.0
            return
        listeners.field[world] = sounding.field
        listeners.source_m[world] = self.library.fields[sounding.field].source_m
        listeners.moves[world] = self._way(sounding)[1][-1] > 0.0
        listeners.moving_key[world] = self.library.fields[sounding.field].key
        voice.gain[world] = level_gain(self.array, sounding.level_db_spl)
        emission = voice.emission
        emission.sound[world], emission.clock[world] = sounding.sound, sounding.offset
        emission.begins[world] = sounding.offset + int(sounding.begins_s * self.rate_hz)
        emission.ends[world] = sounding.offset + int(sounding.ends_s * self.rate_hz)

    def _way(self, sounding: Sounding) -> tuple[np.ndarray, np.ndarray]:
        """Return a source's places along its way, float64 [places, 3], and how far along they are, metres."""
        slots = sounding.route.there or (sounding.field,)
        places = np.array([self.library.fields[slot].source_m for slot in slots])
        return places, np.concatenate([[0.0], np.cumsum(np.sqrt((np.diff(places, axis=0) ** 2).sum(axis=1)))])

    def _vary(self, world: int, episode: Episode, variation: Variation) -> None:
        """Take over an episode's own array, air and noise."""
        unit = draw_unit(self.array, varied_unit(variation), episode.seed, self.rate_hz)
        self._clip[world] = unit.clip
        air = varied_air(variation, self.library.task.air.pressure_kpa)
        speed_mps = SPEED_OF_SOUND_MPS if air == Air() else speed_of_sound_mps(air)
        exponents = amplitude_exponent_per_m(None if air == Air() else air)
        for voice in self.voices:
            listeners = voice.listeners
            listeners.mic_xyz_m[world] = unit.positions_m
            listeners.mic_gain[world] = unit.gain * unit.alive
            listeners.mic_late_by[world] = unit.delay_samples
            listeners.speed_mps[world] = speed_mps
            listeners.air[world] = exponents
        nominal_dba = self.noise.noise.diffuse_dba
        if nominal_dba is not None:
            self._gains.diffuse[world] = 10.0 ** ((variation.diffuse_noise_dba - nominal_dba) / 20.0)
        self._gains.robot[world] = 10.0 ** (variation.robot_noise_shift_db / 20.0)
        self._self_noise_gain[world] = 10.0 ** (variation.self_noise_shift_db / 20.0)

    def hear(self, worlds: np.ndarray) -> None:
        """Render the next hop of some worlds at the poses in `listeners`, int64 [k], each once."""
        for number, voice in enumerate(self.voices):
            for world in worlds[voice.listeners.moves[worlds] & (voice.gain[worlds] > 0.0)]:
                self._move(number, int(world))
        library = self.library
        render_hop(
            worlds, library.scene_sounds, library.fields, library.signals, library.signal_spans, self._handle
        )  # fmt: skip

    def _move(self, number: int, world: int) -> None:
        """Move a source on along its way, to and fro, to where it is at the end of the hop."""
        listeners, sounding = self.voices[number].listeners, self._soundings[world][number]
        route = sounding.route.there
        places, along_m = self._way(sounding)
        gone_m = sounding.speed_mps * (self.hops[world] + 1) * self.hop / self.rate_hz
        past_end_m = gone_m % (2.0 * along_m[-1]) - along_m[-1]
        at_m = along_m[-1] - abs(past_end_m)
        leg = min(int(np.searchsorted(along_m, at_m, side="right")) - 1, len(along_m) - 2)
        share = (at_m - along_m[leg]) / (along_m[leg + 1] - along_m[leg])
        nearest = leg + (share > 0.5)
        first, second = (leg, leg + 1) if nearest == leg else (leg + 1, leg)
        listeners.source_m[world] = places[leg] + share * (places[leg + 1] - places[leg])
        ahead = places[leg + 1, :2] - places[leg, :2]
        listeners.heading[world] = ahead / max(np.hypot(*ahead), 1e-9)
        if past_end_m > 0.0:
            route = sounding.route.back or route
            listeners.heading[world] *= -1.0
        listeners.field[world], listeners.next_field[world] = route[first], route[second]
        listeners.blend[world] = share if nearest == leg else 1.0 - share

    def state(self) -> dict[str, np.ndarray]:
        """Return every array that the next hop depends on, by name: part of a world's snapshot."""
        passing = ("ticks", "_tap", "_self_noise")  # nothing depends on them, or they never change
        own = {name: array for name, array in vars(self).items() if isinstance(array, np.ndarray)}
        state = {name: array for name, array in own.items() if name not in passing}
        state |= {f"gains.{name}": array for name, array in self._gains._asdict().items()}
        for number, voice in enumerate(self.voices):
            parts = {"listeners": voice.listeners._asdict(), "emission": voice.emission._asdict()}
            parts |= {"convolver": voice.convolver.state(), "own": {"gain": voice.gain}}
            for part, arrays in parts.items():
                state |= {f"voice{number}.{part}.{name}": array for name, array in arrays.items()}
        return state


def _voices(renderer: ResponseRenderer, contract: Contract, task: AudioGoalTask, worlds: int) -> tuple[Voice, ...]:
    """Allocate as many sources as an episode may have; all are heard at the same poses."""
    fade = max(1, int(round(task.crossfade_s * contract.sample_rate_hz)))
    mics, hop = contract.array.mics, contract.hop_samples
    voices: list[Voice] = []
    for _ in range(1 + task.sources.distractors):
        listeners = renderer.listeners(worlds)
        if voices:
            listeners = listeners._replace(pose=voices[0].listeners.pose)
        voices.append(
            Voice(
                listeners,
                StreamingConvolver(worlds, mics, renderer.taps, hop, fade),
                emissions(worlds),
                np.zeros(worlds, dtype=np.float32),
            )
        )
    return tuple(voices)
