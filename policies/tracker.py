"""The follower's ear: where the sound comes from, tracked over time, and whether its source is near."""

from __future__ import annotations

import numpy as np
import torch

from phonotaxis.configs.contract import Contract
from phonotaxis.policies.audio_front_end import AudioFrontEnd
from phonotaxis.policies.blocks import in_blocks

_FORGET = 0.9  # of the direction belief, per step
_BEFORE = 0.75  # share kept per step of signs that are smoothed
_STICK = 1.8  # times as much belief as the old direction's is asked of a new one
_LEVEL_FORGET_DB = 0.05  # by which the loudest level is taken back per step
NEAR_M = 0.8
HOVER_M = 0.6
_PAST = 12  # places remembered
_APART_M = 0.2  # or turned by: places are remembered where one has moved or turned so far
_FADE = 0.92  # of what was heard, per place
_GRID_M = 3.0
_CELL_M = 0.5
SLOW = (0.9, 0.97)  # shares kept per step of what is averaged over seconds
SIGNS = (
    "near", "near_before", "peak", "peak_before", "quiet_db", "spread", "hover", "near_slow", "near_slower",
    "peak_slow", "peak_slower", "spread_slow", "spread_slower", "near_most", "near_share", "peak_below", "log_steps",
)  # fmt: skip
_NEAR, _PEAK, _SPREAD, _STEPS = SIGNS.index("near"), SIGNS.index("peak"), SIGNS.index("spread"), len(SIGNS) - 1


class Tracker:
    """Listens in a number of worlds.

    Attributes:
        direction_rad: float64 [worlds], where the sound comes from, in the frame of the episode's start.
        source_xy: float64 [worlds, 2], where it would be if it were near, in that frame.
        signs: float64 [worlds, SIGNS], what a rule for stopping looks at: the probability that the source is near,
            given the directions heard along the way, now, before, over seconds, at most, and now as a share of that;
            the steered power's height likewise, and how far below its highest; how much less loud it is than it has
            been; how wide the belief's directions are spread; steps in one place; logarithm of all steps.
    """

    def __init__(self, contract: Contract, worlds: int) -> None:
        self.front_end = AudioFrontEnd(contract)
        self.bins = contract.front_end.azimuths
        self.weights = np.ones((worlds, self.front_end.bins), dtype=np.float32)  # of frequencies
        self.direction_rad = np.zeros(worlds)
        self.source_xy = np.zeros((worlds, 2))
        self.signs = np.zeros((worlds, len(SIGNS)))
        self._belief = np.zeros((worlds, self.bins))
        self._loudest_db = np.full(worlds, -np.inf)
        self._fresh = np.ones(worlds, dtype=np.bool_)
        self._anchor = np.zeros((worlds, 2))
        self._places = np.zeros((worlds, _PAST, 3))
        self._powers = np.zeros((worlds, _PAST, self.bins))
        side = np.arange(-_GRID_M, _GRID_M + 1e-9, _CELL_M)
        self._grid = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2) + 1e-3
        self._is_near = np.hypot(self._grid[:, 0], self._grid[:, 1]) <= NEAR_M

    def begin(self, worlds: np.ndarray) -> None:
        """Forget some worlds."""
        for array in (self._belief, self._places, self._powers, self.signs):
            array[worlds] = 0.0
        self._loudest_db[worlds] = -np.inf
        self._fresh[worlds] = True

    def listen(self, worlds: np.ndarray, audio: np.ndarray, place: np.ndarray) -> None:
        """Take in the last window of some worlds.

        Args:
            worlds: int64 [k].
            audio: float32 [worlds, mics, samples].
            place: float64 [worlds, 3], x, y, yaw in the frame of the episode's start.
        """
        heard = in_blocks(self._steered, {"audio": audio[worlds], "weights": self.weights[worlds]})
        power = np.maximum(heard["power"].astype(np.float64), 0.0)  # [k, bins], in the base frame
        level_db = 10.0 * np.log10(np.mean(audio[worlds].astype(np.float64) ** 2, axis=(1, 2)) + 1e-12)
        loudest_db = np.maximum(self._loudest_db[worlds] - _LEVEL_FORGET_DB, level_db)
        self._loudest_db[worlds] = loudest_db
        quiet_db = loudest_db - level_db
        loud = 10.0 ** (-quiet_db[:, None] / 20.0)  # pauses say little
        self._track(worlds, power**2 * loud, place[worlds])
        near = self._judge(worlds, power * loud, place[worlds])
        self._sign(worlds, near, power.max(axis=1), quiet_db, self._hover(worlds, place[worlds, :2]))
        self._fresh[worlds] = False

    def _sign(
        self, worlds: np.ndarray, near: np.ndarray, peak: np.ndarray, quiet_db: np.ndarray, hover: np.ndarray
    ) -> None:
        """Renew the signs of some worlds; each argument is [k]."""
        signs, fresh = self.signs[worlds], self._fresh[worlds]
        now = {_NEAR: near, _PEAK: np.log(peak + 0.1), _SPREAD: self._spread(worlds)}
        before = _BEFORE * signs[:, [1, 3]] + (1.0 - _BEFORE) * np.stack([now[_NEAR], now[_PEAK]], axis=1)
        highest = np.where(fresh, now[_PEAK], np.maximum(signs[:, _PEAK] - signs[:, 15], now[_PEAK]))
        most = np.maximum(signs[:, 13], near)
        slow = [k * signs[:, 7 + 2 * n + m] + (1.0 - k) * now[f] for n, f in enumerate(now) for m, k in enumerate(SLOW)]
        steps = np.where(fresh, 0.0, np.expm1(signs[:, _STEPS]) + 1.0)
        self.signs[worlds] = np.stack(
            [
                near, before[:, 0], now[_PEAK], before[:, 1], quiet_db, now[_SPREAD], hover, *slow, most,
                near / (most + 1e-3), now[_PEAK] - highest, np.log1p(steps),
            ],
            axis=1,
        )  # fmt: skip

    @torch.no_grad()
    def _steered(self, block: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        audio, weights = torch.from_numpy(block["audio"]), torch.from_numpy(block["weights"])
        return {"power": self.front_end.steered_power(audio, weights).numpy()}

    def _track(self, worlds: np.ndarray, power: np.ndarray, place: np.ndarray) -> None:
        """Sum up the power in the frame of the start."""
        shift = np.rint(place[:, 2] / (2.0 * np.pi / self.bins)).astype(np.int64)
        columns = (np.arange(self.bins)[None, :] - shift[:, None]) % self.bins
        belief = _FORGET * self._belief[worlds] + np.take_along_axis(power, columns, axis=1)
        self._belief[worlds] = belief
        best, rows = belief.argmax(axis=1), np.arange(worlds.size)
        old = np.rint(self.direction_rad[worlds] * (self.bins / (2.0 * np.pi))).astype(np.int64) % self.bins
        held = np.max([belief[rows, (old + k) % self.bins] for k in (-1, 0, 1)], axis=0)
        keep = (belief[rows, best] < _STICK * held) & ~self._fresh[worlds] & (np.abs(best - old) % (self.bins - 1) > 1)
        self.direction_rad[worlds] = np.where(keep, old, best) * (2.0 * np.pi / self.bins)

    def _spread(self, worlds: np.ndarray) -> np.ndarray:
        """Return one less the length of the belief's mean direction: 0 is one direction, 1 all of them."""
        azimuth = np.arange(self.bins) * (2.0 * np.pi / self.bins)
        belief = self._belief[worlds]
        mean = np.abs((belief * np.exp(1j * azimuth)[None, :]).sum(axis=1))
        return 1.0 - mean / np.maximum(belief.sum(axis=1), 1e-12)

    def _judge(self, worlds: np.ndarray, power: np.ndarray, place: np.ndarray) -> np.ndarray:
        """Return the probability that the source is near, from the directions heard at the last places.

        A grid of places about the robot is scored by the steered power with which each was heard from each place the
        robot has been at. Straight on, all places ahead fit alike; past the source, only those beside the way do.
        """
        places, powers = self._places[worlds], self._powers[worlds]
        fresh = self._fresh[worlds]
        places[fresh] = place[fresh, None]
        moved = np.hypot(*(place[:, :2] - places[:, -2, :2]).T) + np.abs(place[:, 2] - places[:, -2, 2])
        on = fresh | (moved > _APART_M)  # slow robots remember as much of their way as fast ones
        places[on, :-1], powers[on, :-1] = places[on, 1:], powers[on, 1:]
        places[:, -1] = place
        powers[:, -1] = np.where(on[:, None], power, np.maximum(power, powers[:, -1]))
        self._places[worlds], self._powers[worlds] = places, powers
        away = self._grid[None, None] + (place[:, None, :2] - places[:, :, :2])[:, :, None]  # [k, past, cells, 2]
        azimuth = np.arctan2(away[..., 1], away[..., 0]) - places[:, :, 2:3]
        column = np.rint(azimuth * (self.bins / (2.0 * np.pi))).astype(np.int64) % self.bins
        heard = np.take_along_axis(powers, column, axis=2)
        score = (heard * (_FADE ** np.arange(_PAST)[::-1])[None, :, None]).sum(axis=1)
        score = np.exp(score - score.max(axis=1, keepdims=True))
        score /= score.sum(axis=1, keepdims=True)
        self.source_xy[worlds] = place[:, :2] + (score[:, :, None] * self._grid[None]).sum(axis=1)
        near: np.ndarray = (score * self._is_near).sum(axis=1)
        return near

    def _hover(self, worlds: np.ndarray, place: np.ndarray) -> np.ndarray:
        """Count the steps in which it hasn't got away from one place: sound from all sides is near."""
        left = self._fresh[worlds] | (np.hypot(*(place - self._anchor[worlds]).T) > HOVER_M)
        self._anchor[worlds] = np.where(left[:, None], place, self._anchor[worlds])
        return np.where(left, 0.0, self.signs[worlds, 6] + 1.0)
