"""The follower: goes where the sound comes from, by a map that it makes, and stops when its signs say that it is there.

It uses no learnt network and no knowledge of the world: steered response power tracked over time for the direction,
depth for a map of what is in the way, the cheapest path over that map, odometry for where it is. A few signs and a
threshold decide when to stop; they are fitted to episodes of the training split (`tuning`).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from phonotaxis.configs import contract as names
from phonotaxis.configs.contract import Contract
from phonotaxis.envs.sounds import TRAINING_KINDS
from phonotaxis.envs.world import World
from phonotaxis.policies.kinds import KindOf, kind_weights
from phonotaxis.policies.mapping import camera_of, mark_touched, new_maps, see
from phonotaxis.policies.planner import new_visits, plan
from phonotaxis.policies.tracker import SIGNS, Tracker

STOP, FORWARD, LEFT, RIGHT = 0, 1, 2, 3
_FAR_M = 5.0  # where a source is taken to be whose distance isn't known
_LOOK_M = 0.9  # how far along its way it aims
_SAME_PLACE_M, _SAME_WAY_RAD = 0.05, 0.4
_NEAR = 0.3  # probability from which on the source's place is believed


# Fitted to the train split of audiogoal-v1, in the order of SIGNS; `tuning` fits them anew to each suite.
WEIGHTS = (
    24.261, -18.39, 0.614, 1.707, -0.091, -0.427, -0.02, 36.445, 14.621, -0.735, -1.656, -1.753, 1.397, -1.357, -1.917,
    -1.084, 1.158,
)  # fmt: skip
BIAS, THRESHOLD = -10.029, 0.8


class StopRule(NamedTuple):
    """When the follower believes that it has arrived: logistic in the tracker's signs.

    Attributes:
        weights: of `tracker.SIGNS`; bias.
        threshold: of the probability from which on it stops.
        min_steps: not before this many steps.
    """

    weights: tuple[float, ...] = WEIGHTS
    bias: float = BIAS
    threshold: float = THRESHOLD
    min_steps: int = 4

    def probability(self, signs: np.ndarray) -> np.ndarray:
        """Return the probability of having arrived, [...], by signs [..., SIGNS]."""
        total = self.bias + (signs * np.array(self.weights)).sum(axis=-1)
        found: np.ndarray = 1.0 / (1.0 + np.exp(-np.clip(total, -60.0, 60.0)))
        return found


class FollowerDecider:
    """Follows the direction of arrival over its own map.

    Args:
        contract: of the task.
        num_worlds: how many at once.
        rule: when to stop; None never stops (used to tune a rule).
        oracle_stop: stop where the task counts it as a success, whatever the rule: the upper end of any rule.
        kind_of: tells the kind of sound to go to, if any; frequencies are then weighted by what speaks for it.

    Attributes:
        tracker: its ear.
        bearing_rad: float64 [worlds], where it believes the source to be, base frame; NaN where it isn't asked.
    """

    def __init__(
        self,
        contract: Contract,
        num_worlds: int,
        rule: StopRule | None,
        oracle_stop: bool = False,
        kind_of: KindOf | None = None,
    ) -> None:
        if rule is not None and len(rule.weights) != len(SIGNS):
            raise ValueError(f"a stop rule has {len(SIGNS)} weights, for {', '.join(SIGNS)}; got {len(rule.weights)}")
        self.contract = contract
        self.rule, self.oracle_stop = rule, oracle_stop
        self.tracker = Tracker(contract, num_worlds)
        self._kind_of = kind_of
        self._weights = {} if kind_of is None else kind_weights(contract)
        self.bearing_rad = np.full(num_worlds, np.nan)
        self.steps = np.zeros(num_worlds, dtype=np.int64)
        self._maps, self._visits = new_maps(num_worlds), new_visits(num_worlds)
        self._place = np.zeros((num_worlds, 3))
        self._last = np.zeros(num_worlds, dtype=np.int64)
        self._bumped = np.full((num_worlds, 3), np.inf)  # place at which going on has touched something last
        self._camera = camera_of(contract)
        self._turn_rad = contract.body.max_w_radps * contract.control_period_s

    def begin(self, worlds: np.ndarray) -> None:
        """Forget some worlds."""
        for array in (self._maps, self._visits, self._place, self._last, self.steps):
            array[worlds] = 0
        self._bumped[worlds] = np.inf
        self.tracker.begin(worlds)

    def decide(self, world: World) -> np.ndarray:
        """Choose an action in every world."""
        observation, worlds = world.observation, np.flatnonzero(world.active)
        self._be_told(world, worlds[self.steps[worlds] == 0])
        self._move(worlds, observation[names.MOTION])
        self.tracker.listen(worlds, observation[names.AUDIO], self._place)
        way, wish, radius_m = np.zeros((world.num_worlds, 3)), self._wish(), self.contract.body.radius_m

        def look_and_plan(share: np.ndarray) -> None:
            see(share, self._maps, self._place, observation[names.DEPTH], self._camera)
            touched = share[observation[names.MOTION][share, 5] > 0]
            self._bumped[touched] = self._place[touched]
            mark_touched(touched, self._maps, self._place, radius_m)
            plan(share, self._maps, self._visits, self._place, wish, radius_m, _LOOK_M, way)

        world.crew.share(look_and_plan, worlds)
        self._visits[self.tracker.signs[:, SIGNS.index("near_before")] >= _NEAR] = 0.0  # near, it need not get away
        self.bearing_rad[:] = np.nan
        self.bearing_rad[worlds] = _wrap(self.tracker.direction_rad[worlds] - self._place[worlds, 2])
        actions = self._steer(way, worlds)
        self._last[worlds] = actions[worlds]
        self._stop(world, actions)
        self.steps[worlds] += 1
        return actions

    def _be_told(self, world: World, worlds: np.ndarray) -> None:
        """Take over the kind to go to, where episodes begin."""
        for index in worlds:
            episode = world.episodes[index]
            kind = None if self._kind_of is None or episode is None else self._kind_of(world.library, episode)
            self.tracker.weights[index] = 1.0 if kind is None else self._weights_of(kind)

    def _weights_of(self, kind: str) -> np.ndarray:
        """Return what speaks for a kind against those of training, and against itself where it isn't one of them."""
        if kind not in self._weights:
            self._weights[kind] = kind_weights(self.contract, (*TRAINING_KINDS, kind))[kind]
        return self._weights[kind]

    def _move(self, worlds: np.ndarray, motion: np.ndarray) -> None:
        """Follow the odometry, whose dx and dy are in the frame of the step before."""
        place, moved = self._place[worlds], motion[worlds].astype(np.float64)
        cos, sin = np.cos(place[:, 2]), np.sin(place[:, 2])
        place[:, 0] += cos * moved[:, 0] - sin * moved[:, 1]
        place[:, 1] += sin * moved[:, 0] + cos * moved[:, 1]
        place[:, 2] += moved[:, 2]
        self._place[worlds] = place

    def _wish(self) -> np.ndarray:
        """Return where it wants to be, [worlds, 2]: at the source if that seems near, else far towards it."""
        direction = self.tracker.direction_rad
        far = self._place[:, :2] + _FAR_M * np.stack([np.cos(direction), np.sin(direction)], axis=1)
        near = self.tracker.signs[:, SIGNS.index("near_before")]
        return np.where(near[:, None] >= _NEAR, self.tracker.source_xy, far)

    def _steer(self, way: np.ndarray, worlds: np.ndarray) -> np.ndarray:
        """Turn to the next point of the way, or go there."""
        away = way[:, :2] - self._place[:, :2]
        nowhere = np.hypot(away[:, 0], away[:, 1]) < 0.05
        heading = np.where(nowhere, self.tracker.direction_rad, np.arctan2(away[:, 1], away[:, 0]))
        off = _wrap(heading - self._place[:, 2])
        turn = np.where(off > 0.0, LEFT, RIGHT)
        undoing = ((self._last == LEFT) & (turn == RIGHT)) | ((self._last == RIGHT) & (turn == LEFT))
        turns = np.abs(off) > np.where(undoing, 1.1, 0.6) * self._turn_rad
        # With nowhere to go, or where going on has just touched something, it looks round, one way.
        there = np.hypot(*(self._place - self._bumped)[:, :2].T) < _SAME_PLACE_M
        bumps = there & (np.abs(_wrap(self._place[:, 2] - np.where(there, self._bumped[:, 2], 0.0))) < _SAME_WAY_RAD)
        looks = (nowhere & (~turns | undoing)) | (bumps & (~turns | undoing))
        turn = np.where(looks & (self._last == RIGHT), RIGHT, np.where(looks, LEFT, turn))
        return np.where(turns | looks, turn, FORWARD).astype(np.int64)

    def _stop(self, world: World, actions: np.ndarray) -> None:
        if self.oracle_stop:
            actions[world.distance_m < world.task.success_m] = STOP
        elif self.rule is not None:
            sure = self.rule.probability(self.tracker.signs) >= self.rule.threshold
            actions[sure & (self.steps >= self.rule.min_steps)] = STOP


def _wrap(angle: np.ndarray) -> np.ndarray:
    wrapped: np.ndarray = (angle + math.pi) % (2.0 * math.pi) - math.pi
    return wrapped
