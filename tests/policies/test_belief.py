"""The belief: bearings from several places cross where the source is, and what was known stays."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch

from phonotaxis.configs.imitation import ImitationConfig
from phonotaxis.configs.task import AudioGoalTask
from phonotaxis.policies.belief import CELL_M, RANGES, Belief, BeliefMap, belief_nll
from phonotaxis.policies.collect import Collector
from phonotaxis.policies.depth_front_end import DEPTH_CELLS
from phonotaxis.policies.policy import Policy

CELLS, AZIMUTHS, HEARD, FUSED, SIZE = 16, 36, 4, 5, 6
SOURCE = np.array([2.0, 1.5])


@pytest.fixture
def belief_map(make_task: Callable[..., AudioGoalTask]) -> BeliefMap:
    torch.manual_seed(0)
    made = BeliefMap(make_task().contract(), CELLS, AZIMUTHS, HEARD, FUSED, SIZE)
    torch.nn.init.normal_(made.read.weight)
    with torch.no_grad():
        made.likelihood.weight[:, 0] = 1.0  # what a direction shows first is its likelihood, at every range
    return made


class Walk:
    """A robot that knows each window's bearing to the source, and its map."""

    def __init__(self, belief_map: BeliefMap) -> None:
        self.map = belief_map
        self.pose = np.zeros(3)
        self.state = torch.zeros(1, belief_map.state_size)
        self.steps = 0

    def step(
        self, ahead_m: float, turn_rad: float, trust: float = 0.1, lie_rad: float = 0.0, depth_m: float | None = None
    ) -> Belief:
        x, y, yaw = self.pose
        self.pose = np.array([x + math.cos(yaw) * ahead_m, y + math.sin(yaw) * ahead_m, yaw + turn_rad])
        shown = np.zeros((AZIMUTHS, self.map.likelihood.in_features))
        shown[:, 0] = 30.0 + 30.0 * np.cos(2.0 * np.pi * np.arange(AZIMUTHS) / AZIMUTHS - self.bearing_rad - lie_rad)
        told = [0.0] * RANGES + [math.log(trust / (1.0 - trust)) if trust else -1e4]
        horizon = np.zeros((2, DEPTH_CELLS))
        if depth_m is not None:
            horizon[:] = [[1.0 - math.log1p(depth_m) / self.map._depth_scale], [1.0]]
        parts = [shown.ravel(), told, horizon.ravel(), [ahead_m, 0.0, turn_rad]]
        perceived = torch.tensor(np.concatenate(parts), dtype=torch.float32)[None]
        with torch.no_grad():
            _, self.state, belief = self.map.step(perceived, self.state, torch.tensor([[float(self.steps == 0)]]))
        self.steps += 1
        return belief

    @property
    def bearing_rad(self) -> float:
        return math.atan2(*(SOURCE - self.pose[:2])[::-1]) - float(self.pose[2])

    def error_m(self, belief: Belief) -> float:
        """How far from the source the most probable cell is."""
        best = int(belief.log_p[0].argmax())
        x, y, yaw = self.pose
        ahead, left = float(belief.x[0, best]), float(belief.y[0, best])
        place = [x + math.cos(yaw) * ahead - math.sin(yaw) * left, y + math.sin(yaw) * ahead + math.cos(yaw) * left]
        return float(np.hypot(*(place - SOURCE)))

    def layer(self, number: int) -> np.ndarray:
        return self.state[0, 4:].reshape(4, CELLS, CELLS)[number].numpy()


def test_one_bearing_is_no_place_and_several_are(belief_map: BeliefMap) -> None:
    walk = Walk(belief_map)
    first = walk.step(0.0, 0.0)
    assert float(first.log_p.exp().max()) < 0.1
    off_rad = torch.atan2(first.y, first.x)[0, first.log_p[0].argmax()] - walk.bearing_rad
    assert abs(float(off_rad)) < 0.2  # in the right direction from the first window on
    rng = np.random.default_rng(0)
    for _ in range(40):
        last = walk.step(0.1, float(rng.uniform(-0.5, 0.5)))
    assert walk.error_m(last) < CELL_M
    assert float(last.log_p.exp().max()) > 2.0 * float(first.log_p.exp().max())


def test_what_is_known_outlives_the_sound(belief_map: BeliefMap) -> None:
    walk = Walk(belief_map)
    for _ in range(30):
        walk.step(0.1, 0.1)
    for _ in range(30):
        last = walk.step(0.05, -0.3, trust=0.0, lie_rad=2.0)
    assert walk.error_m(last) < CELL_M


def test_new_windows_replace_old_ones(belief_map: BeliefMap) -> None:
    walk = Walk(belief_map)
    for _ in range(10):
        walk.step(0.1, 0.2, lie_rad=2.5)
    assert walk.error_m(walk.step(0.0, 0.0, lie_rad=2.5)) > 2.0
    for _ in range(60):
        last = walk.step(0.1, 0.2)
    assert walk.error_m(last) < CELL_M


def test_walls_and_the_way_to_them_are_seen(belief_map: BeliefMap) -> None:
    walk = Walk(belief_map)
    walk.step(0.0, 0.0, depth_m=2.6)
    free, wall, visited = (walk.layer(number) for number in (1, 2, 3))
    row = np.arange(CELLS)  # cells straight ahead, centres 0.375 m, 1.125 m, ...
    assert free[row, 0].tolist() == [1.0] * 3 + [0.0] * (CELLS - 3)
    assert wall[row, 0].tolist() == [0.0] * 3 + [0.5] + [0.0] * (CELLS - 4)
    assert np.unravel_index(visited.argmax(), visited.shape) in [(0, 0), (CELLS - 1, 0), (0, CELLS - 1)]
    walk.step(0.0, math.pi)  # it looks away, and knows no depth
    assert np.array_equal(walk.layer(1), free)
    assert np.array_equal(walk.layer(2), wall)


def test_an_episode_starts_with_nothing(belief_map: BeliefMap) -> None:
    perceived = torch.rand(2, belief_map.inputs)
    state = torch.rand(2, belief_map.state_size)
    read, kept, _ = belief_map.step(perceived, state, torch.tensor([[1.0], [0.0]]))
    fresh, anew, _ = belief_map.step(perceived, torch.zeros_like(state), torch.tensor([[1.0], [1.0]]))
    torch.testing.assert_close(read[0], fresh[0])
    torch.testing.assert_close(kept[0], anew[0])
    assert not torch.equal(kept[1], anew[1])


def test_the_loss_is_least_at_the_source(belief_map: BeliefMap) -> None:
    walk = Walk(belief_map)
    for _ in range(30):
        last = walk.step(0.1, 0.1)
    far = torch.tensor([np.hypot(*(SOURCE - walk.pose[:2]))], dtype=torch.float32)
    bearings = torch.tensor([walk.bearing_rad + off for off in (-1.0, -0.5, 0.0, 0.5, 1.0)], dtype=torch.float32)
    losses = [float(belief_nll(last, far, bearing[None])) for bearing in bearings]
    assert int(np.argmin(losses)) == 2
    assert float(belief_nll(last, far + CELLS * CELL_M, bearings[:1])) == 0.0  # outside of the map


@pytest.mark.parametrize(
    ("had", "gets"), [({}, {"map_cells": 6}), ({"map_cells": 6}, {"map_cells": 6, "listening_size": 8})]
)
def test_a_policy_that_is_given_a_map_or_listens_goes_on_as_it_was(
    make_config: Callable[..., ImitationConfig], had: dict[str, int], gets: dict[str, int]
) -> None:
    config = make_config()
    torch.manual_seed(1)
    without = Policy(config.task.contract(), config.policy.model_copy(update=had))
    given = Policy(config.task.contract(), config.policy.model_copy(update=gets))
    if without.mind.map is not None:
        _let_it_speak(without.mind.map)
    absent, unexpected = given.load_state_dict(without.state_dict(), strict=False)
    assert absent
    assert not unexpected
    assert all(name.startswith("mind.map.") for name in absent)
    chunk = Collector(config, without).collect(0.5).chunk
    features = {name: value.float() for name, value in chunk.features.items()}
    with torch.no_grad():
        first = without.unroll(features, chunk.state, chunk.episode_start)
        again = given.unroll(features, given.initial_state(4), chunk.episode_start)
    torch.testing.assert_close(first.logits, again.logits)


def _let_it_speak(belief_map: BeliefMap) -> None:
    for layer in (belief_map.read, belief_map.likelihood, belief_map.range_and_trust):
        torch.nn.init.normal_(layer.weight, std=0.1)


def test_how_a_window_is_read_hangs_on_what_was_heard_before(make_task: Callable[..., AudioGoalTask]) -> None:
    """Two walks hear the same last window and one another first; without listening the later belief alone tells."""
    torch.manual_seed(0)
    made = BeliefMap(make_task().contract(), CELLS, AZIMUTHS, HEARD, FUSED, SIZE, listening=8)
    _let_it_speak(made)
    assert made.listening is not None
    torch.nn.init.normal_(made.listening.heed.weight)
    perceived = torch.randn(3, 2, made.inputs)
    perceived[1:, 1] = perceived[1:, 0]
    perceived[0, 1, : -made.listening.inputs] = perceived[0, 0, : -made.listening.inputs]  # listened to otherwise alone
    starts = torch.zeros(3, 2, 1)
    with torch.no_grad():
        _, states, belief = made.unroll(perceived, torch.zeros(2, made.state_size), starts)
        assert float((belief.log_p[2, 0] - belief.log_p[2, 1]).abs().max()) > 1e-3
        starts[1] = 1.0  # an episode's start: what was heard before it is forgotten
        _, states, belief = made.unroll(perceived, torch.zeros(2, made.state_size), starts)
    assert torch.equal(belief.log_p[2, 0], belief.log_p[2, 1])
    assert torch.equal(states[2, 0], states[2, 1])
