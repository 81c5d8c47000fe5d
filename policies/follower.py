"""The follower: goes where the sound comes from, round what is in its way, and stops when it has passed the source.

It uses no map, no learning and no knowledge of the world: steered response power for the direction, depth for what
is in the way, odometry to keep the direction while turning.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

from phonotaxis.configs import contract as names
from phonotaxis.configs.contract import Contract
from phonotaxis.envs.world import World
from phonotaxis.policies.frontend import AudioFrontEnd

STOP, FORWARD, LEFT, RIGHT = 0, 1, 2, 3
_FORGET = 0.75  # of the direction belief, per step
_LOOK_M = 0.5  # free way that a step forward asks for
_MARGIN_M = 0.05
_STRAIGHT = 4  # steps forward after a detour
NEAR_M = 0.8
HOVER_M = 0.6
_PAST = 12  # places remembered
_FADE = 0.92  # of what was heard, per step
_GRID_M = 3.0
_CELL_M = 0.5


class StopRule(NamedTuple):
    """When the follower believes that it has arrived.

    Attributes:
        near: probability, given the directions heard along the way, that the source is within `NEAR_M`.
        hover: or this many steps in which it hasn't got `HOVER_M` away from one place: sound from all sides is near.
        min_steps: not before this many steps.
    """

    near: float = 0.2
    hover: float = 36.0
    min_steps: int = 4


class Signs(NamedTuple):
    """What stop rules look at, each float64 [worlds]: probability of being near, steps in one place, steps so far."""

    near: np.ndarray
    hover: np.ndarray
    steps: np.ndarray


class FollowerDecider:
    """Follows the direction of arrival with obstacle avoidance.

    Args:
        contract: of the task.
        num_worlds: how many at once.
        rule: when to stop; None never stops (used to tune a rule).
    """

    def __init__(self, contract: Contract, num_worlds: int, rule: StopRule | None) -> None:
        self.contract = contract
        self.rule = rule
        self.front_end = AudioFrontEnd(contract)
        self.bins = contract.front_end.azimuths
        self.signs = Signs(*(np.zeros(num_worlds) for _ in range(3)))
        self._belief = np.zeros((num_worlds, self.bins))
        self._yaw = np.zeros(num_worlds)
        self._loudest = np.full(num_worlds, -np.inf)
        self._place = np.zeros((num_worlds, 2))  # odometry frame
        self._places = np.zeros((num_worlds, _PAST, 2))
        self._anchor = np.zeros((num_worlds, 2))
        self._yaws = np.zeros((num_worlds, _PAST))
        self._powers = np.zeros((num_worlds, _PAST, self.bins))
        side = np.arange(-_GRID_M, _GRID_M + 1e-9, _CELL_M)
        self._grid = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2) + 1e-3
        self._is_near = np.hypot(self._grid[:, 0], self._grid[:, 1]) <= NEAR_M
        self._detour = np.zeros(num_worlds, dtype=np.int64)  # turning left (1) or right (-1) until it is free
        self._straight = np.zeros(num_worlds, dtype=np.int64)  # steps forward after a detour
        self._rays = _obstacle_rays(contract)

    def begin(self, worlds: np.ndarray) -> None:
        """Forget some worlds."""
        for array in (
            self._belief,
            self._yaw,
            self._place,
            self._places,
            self._yaws,
            self._powers,
            self._detour,
            self._straight,
            *self.signs,
        ):
            array[worlds] = 0
        self._loudest[worlds] = -np.inf

    @torch.no_grad()
    def decide(self, world: World) -> np.ndarray:
        """Choose an action in every world."""
        observation = world.observation
        motion = observation[names.MOTION]
        self._yaw += motion[:, 2]
        power, level_db = self._listen(observation[names.AUDIO], np.flatnonzero(world.active))
        self._loudest = np.maximum(self._loudest, level_db)
        quiet_db = self._loudest - level_db
        loud = 10.0 ** (-quiet_db[:, None] / 20.0)  # pauses say little
        direction = self._track(power * loud)
        self._judge(np.sqrt(power) * loud, motion)
        bearing = _wrap(direction - self._yaw)
        free_m = self._free_way_m(observation[names.DEPTH])
        actions = self._steer(bearing, free_m, motion[:, 5] > 0)
        if self.rule is not None:
            arrived = (self.signs.near >= self.rule.near) & (self.signs.steps >= self.rule.min_steps)
            actions[arrived | (self.signs.hover >= self.rule.hover)] = STOP
        self.signs.steps[:] += 1
        return actions

    def _listen(self, audio: np.ndarray, active: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the steered power, [worlds, bins] in the base frame, and the level in dB, [worlds]; 0 if inactive."""
        features = np.zeros((audio.shape[0], self.front_end.size), dtype=np.float32)
        features[active] = self.front_end(torch.from_numpy(audio[active])).numpy()
        spectral = 2 * (1 + self.contract.front_end.spectrum_bands)
        power = features[:, features.shape[1] - spectral - self.bins : features.shape[1] - spectral]
        return np.maximum(power, 0.0) ** 2, 10.0 * np.log10(np.mean(audio**2, axis=(1, 2)) + 1e-12)

    def _track(self, power: np.ndarray) -> np.ndarray:
        """Sum up the power in the odometry frame and return its direction there, [worlds]."""
        shift = np.rint(self._yaw / (2.0 * np.pi / self.bins)).astype(np.int64)
        columns = (np.arange(self.bins)[None, :] - shift[:, None]) % self.bins
        self._belief *= _FORGET
        self._belief += np.take_along_axis(power, columns, axis=1)
        return self._belief.argmax(axis=1) * (2.0 * np.pi / self.bins)

    def _judge(self, power: np.ndarray, moved: np.ndarray) -> None:
        """Renew the probability that the source is near, from the directions heard at the last places.

        A grid of places about the robot is scored by the steered power with which each was heard from each place the
        robot has been at. Straight on, all places ahead fit alike; past the source, only those beside the way do.
        """
        cos, sin = np.cos(self._yaw), np.sin(self._yaw)  # the place moved in the frame of the step before: nearly this
        self._place += np.stack([cos * moved[:, 0] - sin * moved[:, 1], sin * moved[:, 0] + cos * moved[:, 1]], axis=1)
        for history, newest in ((self._places, self._place), (self._yaws, self._yaw), (self._powers, power)):
            history[:, :-1] = history[:, 1:]
            history[:, -1] = newest
        fresh = self.signs.steps == 0
        left = fresh | (np.hypot(*(self._place - self._anchor).T) > HOVER_M)
        self._anchor[left] = self._place[left]
        self.signs.hover[:] = np.where(left, 0.0, self.signs.hover + 1.0)
        self._places[fresh] = self._place[fresh, None]
        away = self._grid[None, None] + (self._place[:, None] - self._places)[:, :, None]  # [worlds, past, cells, 2]
        azimuth = np.arctan2(away[..., 1], away[..., 0]) - self._yaws[:, :, None]
        column = np.rint(azimuth * (self.bins / (2.0 * np.pi))).astype(np.int64) % self.bins
        heard = np.take_along_axis(self._powers, column, axis=2)
        score = np.einsum("wpc,p->wc", heard, _FADE ** np.arange(_PAST)[::-1])
        score = np.exp(score - score.max(axis=1, keepdims=True))
        self.signs.near[:] = (score * self._is_near).sum(axis=1) / score.sum(axis=1)

    def _free_way_m(self, depth: np.ndarray) -> np.ndarray:
        """Return how far the disc could go along each candidate heading, [worlds, headings]."""
        rays = self._rays
        points = np.where((depth > 0) & rays.obstacle(depth), depth, np.inf).min(axis=1)  # [worlds, width]
        free = np.full((depth.shape[0], rays.headings.size), np.inf)
        for k, heading in enumerate(rays.headings):
            cos, sin = np.cos(heading), np.sin(heading)
            ahead = points * (cos + rays.left * sin)
            aside = np.abs(points * (rays.left * cos - sin))
            blocking = np.where(aside < self.contract.body.radius_m + _MARGIN_M, ahead, np.inf)
            free[:, k] = blocking.min(axis=1)
        return free

    def _steer(self, bearing: np.ndarray, free_m: np.ndarray, touched: np.ndarray) -> np.ndarray:
        """Turn towards the sound and go where it is free; where nothing is, turn one way until something is."""
        headings = self._rays.headings
        reach = _LOOK_M + self.contract.camera.mount_xyz_m[0]
        middle = headings.size // 2
        ahead_free = (free_m[:, middle] >= reach) & ~touched
        out_of_view = np.abs(bearing) > headings[-1]
        cost = np.abs(headings[None, :] - bearing[:, None]) + np.where(free_m < reach, 10.0, 0.0)
        best = cost.argmin(axis=1)
        blocked = (cost[np.arange(best.size), best] >= 10.0) | touched
        open_m = np.minimum(free_m, 5.0)
        wider = np.where(open_m[:, middle + 1 :].sum(axis=1) >= open_m[:, :middle].sum(axis=1), 1, -1)
        going_on = (self._straight > 0) & ahead_free
        begins = (self._detour == 0) & ~going_on & ~out_of_view & blocked
        self._detour = np.where(begins, wider, self._detour)
        ends = (self._detour != 0) & ahead_free
        self._straight = np.where(ends, _STRAIGHT, np.where(going_on, self._straight - 1, 0))
        self._detour = np.where(ends, 0, self._detour)
        aligned = np.abs(headings[best]) < 0.2  # less than a turn
        forward = ahead_free & (going_on | ends | (~out_of_view & aligned))
        turn = np.where(out_of_view, np.sign(bearing), np.where(aligned, wider, np.sign(headings[best])))
        turn = np.where(self._detour != 0, self._detour, turn)
        return np.where(forward, FORWARD, np.where(turn > 0, LEFT, RIGHT)).astype(np.int64)


class _Rays(NamedTuple):
    """The camera's geometry as the follower uses it: columns' tangents, rows' heights, candidate headings."""

    left: np.ndarray  # [width]
    down: np.ndarray  # [height, 1]
    camera_height_m: float
    robot_height_m: float
    headings: np.ndarray

    def obstacle(self, depth: np.ndarray) -> np.ndarray:
        """Tell which pixels show something that the body would hit."""
        height = self.camera_height_m - depth * self.down
        return (height > 0.06) & (height < self.robot_height_m)


def _obstacle_rays(contract: Contract) -> _Rays:
    camera = contract.camera
    left = (camera.cx - np.arange(camera.width) - 0.5) / camera.fx
    down = ((np.arange(camera.height) + 0.5 - camera.cy) / camera.fy)[:, None]
    widest = np.arctan(left.max()) * 0.9
    steps = int(widest / np.radians(10.0))
    headings = np.radians(10.0) * np.arange(-steps, steps + 1)
    return _Rays(left, down, camera.mount_xyz_m[2], contract.body.height_m, headings)


def _wrap(angle: np.ndarray) -> np.ndarray:
    wrapped: np.ndarray = (angle + np.pi) % (2.0 * np.pi) - np.pi
    return wrapped
