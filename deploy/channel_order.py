"""Notices while the robot drives that channels were exchanged or inverted, from the sound itself.

Waves reach the microphones of an array in an order that its geometry allows. In each bin of each short spectrum the
plane wave that fits the channels' phases best is looked for (the steered response with phase transform of DiBiase
2000, bin by bin): once with the array as it is, and once for each pair exchanged and each channel inverted. Where
another order fits better, a cumulative sum of the difference (Page 1954) tells that it does, and since when; one bin
says little, several frames of a hundred bins say it surely, of an echo as well as of the direct sound. Levels don't
count, so that a microphone may be less sensitive than another.

What sound can't tell: an exchange that is a mirror image or a turn of the array (opposite microphones of a square),
and anything while no waves reach it: sound that each channel has for itself, as hiss and wind, counts for nothing.
"""

from __future__ import annotations

import itertools

import numpy as np

from phonotaxis.configs.array import MicrophoneArray
from phonotaxis.configs.directivity import Omnidirectional
from phonotaxis.deploy.clock import NS_PER_S
from phonotaxis.deploy.devices import AudioBlock

SOUND_MPS = 343.0
FRAME_S = 0.032
BAND_HZ = (300.0, 6000.0)
RINGS = ((0.0, 16), (60.0, 8), (90.0, 1))  # elevation in degrees, and directions; a flat array can't tell up from down
SAME_M = 0.002  # two orders whose distances between microphones differ by less are one
SLACK = 0.01  # of a frame's difference, at least; more where microphones that stand a little off explain more
OFF_M = 0.001  # along each axis: what a board's drawing and its soldering leave open
# In 32 minutes of walks by `tools/channel_order.py --worlds 64 --steps 120 --tries 1 --seed 1` a ReSpeaker's sum in
# order reached 0.11; what an exchange adds is noticed after some six frames, an inversion after one or two.
CERTAIN = 0.15
LEAST_FIT = 0.15  # of the way from what independent noise fits to a perfect fit: below, there are no waves to judge by
_PAIRS_OF_BINS = 2  # a window's main lobe is four bins wide: every other one says nearly all


class OrderWatch:
    """Watches the order and the polarity of an array's channels; for omnidirectional microphones alone.

    Attributes:
        watches: whether there is an order that this array's sound could tell from its own.
        exchanges: of microphones that sound can tell, with words for them.
        since_ns: capture time from which on the sound is not believed; None while all is well.
    """

    def __init__(self, array: MicrophoneArray, sample_rate_hz: int) -> None:
        self._channels = list(array.channel_map)
        self._rate_hz = sample_rate_hz
        self._size = round(FRAME_S * sample_rate_hz)
        places_m = array.positions_m() - array.positions_m().mean(axis=0)
        self.exchanges, inversions = _exchanges(places_m, self._channels), _inversions(self._channels)
        self._pairs = np.array([pair for pair, _ in self.exchanges], dtype=np.int64).reshape(-1, 2)
        self._inverted = [mic for mic, _ in inversions]
        self._others = [text for _, text in (*self.exchanges, *inversions)]
        self.watches = isinstance(array.directivity, Omnidirectional) and bool(self._others)
        self.since_ns: int | None = None
        self._rest = np.zeros((len(self._channels), 0), dtype=np.int16)
        self._next_sample: int | None = None
        self._wrong = 0  # of the others, from 1
        self._back = 0.0
        self._sums = np.zeros(len(self._others))
        self._begun_ns = np.zeros(len(self._others), dtype=np.int64)
        if self.watches:
            self._prepare(places_m)
            self._judge(np.zeros((array.mics, self._size), dtype=np.int16), 0)  # so that nothing is loaded later on

    def _prepare(self, places_m: np.ndarray) -> None:
        hz = np.fft.rfftfreq(self._size, 1.0 / self._rate_hz)
        within = (hz >= BAND_HZ[0]) & (hz <= min(BAND_HZ[1], 0.45 * self._rate_hz))
        self._bins = np.flatnonzero(within)[::_PAIRS_OF_BINS]
        self._window = np.hanning(self._size).astype(np.float32)
        mics = len(places_m)
        # the microphone further towards the source hears it first: undo its lead
        lead_s = _directions() @ places_m.T / SOUND_MPS
        self._steer = np.exp(-2j * np.pi * hz[self._bins, None, None] * lead_s).astype(np.complex64)
        first, second = self._pairs[:, 0], self._pairs[:, 1]
        self._apart = np.ascontiguousarray((self._steer[:, :, first] - self._steer[:, :, second]).swapaxes(1, 2))
        phases = np.random.default_rng(0).uniform(0.0, 2.0 * np.pi, (64, len(self._bins), mics))
        noise = float(np.mean([self._fit(frame)[0] for frame in np.exp(1j * phases).astype(np.complex64)]))
        self._least = noise + LEAST_FIT * (1.0 - noise)
        self._slack = self._explained(places_m, hz[self._bins])

    def _explained(self, places_m: np.ndarray, hz: np.ndarray) -> np.ndarray:
        """Return, for each other order, how much better it may fit a lone wave for microphones a little off, [others].

        Of an exchange of two microphones that a wave reaches nearly at once little is to be seen, and in a large
        array less than of their tolerance.
        """
        rng = np.random.default_rng(1)
        better = []
        for azimuth in np.repeat(np.arange(0.0, 2.0 * np.pi, np.pi / 24), 3):
            off_m = places_m + rng.normal(size=places_m.shape) * OFF_M
            lead_s = off_m @ np.array([np.cos(azimuth), np.sin(azimuth), 0.0]) / SOUND_MPS
            fits = self._fit(np.exp(2j * np.pi * hz[:, None] * lead_s).astype(np.complex64))
            better.append(fits[1:] - fits[0])
        slack: np.ndarray = np.maximum(SLACK, np.max(better, axis=0))
        return slack

    def _fit(self, phases: np.ndarray) -> np.ndarray:
        """Return how well each order fits, 0 to 1, [1 + others]; `phases`: complex64 [bins, mics] of modulus 1.

        With weights w, exchanging two channels changes the sum of w x by -(w_a - w_b) (x_a - x_b), and inverting one by
        -2 w_a x_a. No matrix product: BLAS's threads would wait for a loaded machine's other cores.
        """
        shares = self._steer * phases[:, None, :]
        as_it_is = shares.sum(axis=2)[:, None, :]  # [bins, 1, directions]
        apart = phases[:, self._pairs[:, 0]] - phases[:, self._pairs[:, 1]]
        exchanged = as_it_is - self._apart * apart[:, :, None]
        inverted = as_it_is - 2.0 * shares[:, :, self._inverted].swapaxes(1, 2)
        sums = np.concatenate([as_it_is, exchanged, inverted], axis=1)
        power: np.ndarray = (sums.real**2 + sums.imag**2).max(axis=2).mean(axis=0) / phases.shape[1] ** 2
        return power

    def __call__(self, block: AudioBlock) -> str:
        """Take a block; return what is wrong now, empty where nothing is."""
        if not self.watches:
            return ""
        if block.first_sample != self._next_sample:
            self._rest = self._rest[:, :0]
        self._next_sample = block.first_sample + block.samples.shape[1]
        begun_ns = block.capture_ns - self._rest.shape[1] * NS_PER_S // self._rate_hz
        samples = np.concatenate([self._rest, block.samples[self._channels]], axis=1)
        while samples.shape[1] >= self._size:
            self._judge(samples[:, : self._size], begun_ns)
            samples = samples[:, self._size :]
            begun_ns += self._size * NS_PER_S // self._rate_hz
        self._rest = samples
        return self._others[self._wrong - 1] if self._wrong else ""

    @property
    def evidence(self) -> float:
        """How much speaks for another order; `CERTAIN` is enough."""
        return float(self._sums.max(initial=0.0))

    def _judge(self, frame: np.ndarray, begun_ns: int) -> None:
        spectra = np.fft.rfft(frame.astype(np.float32) * self._window)[:, self._bins]
        phases = (spectra / np.maximum(np.abs(spectra), 1e-3)).T.astype(np.complex64)
        fits = self._fit(np.ascontiguousarray(phases))
        better = fits[1:] - fits[0] if fits.max() > self._least else np.zeros(len(self._others))
        if self._wrong:
            # it is over when the array as it is fits better as surely as it fitted worse; silence proves nothing
            self._back = max(0.0, self._back - better[self._wrong - 1] - SLACK)
            if self._back >= CERTAIN:
                self._wrong, self.since_ns = 0, None
                self._sums[:] = 0.0
            return
        self._begun_ns[self._sums == 0.0] = begun_ns
        self._sums = np.maximum(0.0, self._sums + better - self._slack)
        worst = int(self._sums.argmax())
        if self._sums[worst] >= CERTAIN:
            self._wrong, self._back, self.since_ns = worst + 1, 0.0, int(self._begun_ns[worst])


def _directions() -> np.ndarray:
    """Return unit vectors [directions, 3] towards where waves may come from."""
    found = []
    for elevation_deg, count in RINGS:
        azimuth, elevation = np.arange(count) * (2.0 * np.pi / count), np.deg2rad(elevation_deg)
        level = np.cos(elevation)
        found.append(np.stack([level * np.cos(azimuth), level * np.sin(azimuth), np.sin(elevation) + 0 * azimuth], 1))
    return np.concatenate(found)


def _exchanges(places_m: np.ndarray, channels: list[int]) -> list[tuple[tuple[int, int], str]]:
    """List the exchanges of two microphones that waves can tell from the array as it is, with words for them.

    Distances between microphones decide that: an exchange that leaves all of them as they were can't be noticed, and
    those that change them alike are one.
    """
    as_it_is = np.linalg.norm(places_m[:, None] - places_m[None], axis=2)
    kinds: list[tuple[tuple[int, int], np.ndarray, list[str]]] = []
    for a, b in itertools.combinations(range(len(places_m)), 2):
        order = np.arange(len(places_m))
        order[[a, b]] = b, a
        distances = as_it_is[np.ix_(order, order)]
        if np.abs(distances - as_it_is).max() < SAME_M:
            continue
        alike = [names for _, known, names in kinds if np.abs(known - distances).max() < SAME_M]
        names = alike[0] if alike else []
        names.append(f"{channels[a]} and {channels[b]}")
        if not alike:
            kinds.append(((a, b), distances, names))
    return [(pair, f"channels {', or '.join(names)} are exchanged") for pair, _, names in kinds]


def _inversions(channels: list[int]) -> list[tuple[int, str]]:
    """List the channels that may be inverted: of two, either is the same, and of one nothing can be told."""
    if len(channels) == 2:
        return [(0, f"channel {channels[0]} or {channels[1]} is inverted")]
    return (
        [(mic, f"channel {channel} is inverted") for mic, channel in enumerate(channels)] if len(channels) > 2 else []
    )
