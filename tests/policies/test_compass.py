"""The compass: what is kept by direction stays where it is while the robot turns."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch

from phonotaxis.configs.contract import MOTION_FIELDS
from phonotaxis.configs.imitation import ImitationConfig
from phonotaxis.configs.task import AudioGoalTask
from phonotaxis.configs.training import PolicyConfig
from phonotaxis.policies.collect import Collector
from phonotaxis.policies.compass import ORDERS, TERMS, Compass, column_azimuths, harmonics, turned
from phonotaxis.policies.policy import Policy

ORDER = torch.arange(1.0, ORDERS + 1.0)
AZIMUTHS = 36


def bump(at_rad: float) -> np.ndarray:
    """Harmonics of a lobe about an azimuth."""
    ring_rad = 2.0 * np.pi * np.arange(AZIMUTHS) / AZIMUTHS
    return np.exp(4.0 * (np.cos(ring_rad - at_rad) - 1.0)) @ harmonics(ring_rad) / AZIMUTHS


def azimuth_of(state: torch.Tensor) -> float:
    return math.atan2(state[1 + ORDERS].item(), state[1].item())


@pytest.mark.parametrize("turn_rad", [0.0, 0.1745, -0.5, 3.0])
def test_what_was_at_an_azimuth_is_less_a_turn_to_the_left(turn_rad: float) -> None:
    before = torch.tensor(bump(0.7), dtype=torch.float32)[None, None]
    after = turned(before, torch.tensor([[turn_rad]]), ORDER)
    np.testing.assert_allclose(after[0, 0].numpy(), bump(0.7 - turn_rad), atol=1e-5)


def test_turns_all_round_change_nothing() -> None:
    state = start = torch.randn(3, 2, TERMS, generator=torch.Generator().manual_seed(0))
    for _ in range(36):
        state = turned(state, torch.full((3, 1), math.radians(10.0)), ORDER)
    torch.testing.assert_close(state, start, atol=1e-5, rtol=0)


def test_columns_are_left_to_right() -> None:
    azimuths = column_azimuths(4, width=64, focal_px=32.0)
    np.testing.assert_allclose(np.tan(azimuths), [0.75, 0.25, -0.25, -0.75])


def test_a_share_of_what_is_new_is_taken_and_the_start_forgets() -> None:
    compass = Compass(3, 2, 5, 1, AZIMUTHS, column_azimuths(4, 64, 32.0))
    new, state = torch.randn(2, compass.state_size), torch.randn(2, compass.state_size)
    share = torch.tensor([[0.25, 0.0]]).expand(2, 2)
    found = compass.step(new, share, torch.zeros(2, 1), state, torch.tensor([[0.0], [1.0]]))
    torch.testing.assert_close(found[0, :TERMS], state[0, :TERMS] + 0.25 * (new[0, :TERMS] - state[0, :TERMS]))
    torch.testing.assert_close(found[0, TERMS:], state[0, TERMS:])
    torch.testing.assert_close(found[1, :TERMS], 0.25 * new[1, :TERMS])
    assert not found[1, TERMS:].any()


def test_a_sound_heard_once_is_known_after_a_turn(make_task: Callable[..., AudioGoalTask], tiny: PolicyConfig) -> None:
    """Through the mind's own inputs: motion's feature counts in full turns of a step."""
    torch.manual_seed(0)
    contract = make_task().contract()
    policy = Policy(contract, tiny.model_copy(update={"compass_channels": 1}))
    mind = policy.mind
    assert mind.compass is not None
    size = tiny.memory_size
    perceived = torch.zeros(2, 1, mind.inputs)
    perceived[0, 0, size : size + TERMS] = torch.tensor(bump(0.9), dtype=torch.float32)
    perceived[0, 0, -3:] = torch.tensor([1.0, 1.0, 0.0])
    sensed = policy.senses.sense(policy.features({s.name: torch.zeros(1, *s.shape) for s in contract.observations()}))
    motion = torch.zeros(1, 12)
    turn_rad = 0.5 * contract.body.max_w_radps * contract.control_period_s
    motion[0, MOTION_FIELDS.index("dyaw_rad")] = 0.5
    perceived[1, 0, -1] = mind.prepare(sensed, motion)[0, -1].detach()
    _, states = mind.unroll(perceived, torch.zeros(1, mind.state_size), torch.tensor([[[1.0]], [[0.0]]]))
    assert azimuth_of(states[0, 0, mind.memory.state_size :]) == pytest.approx(0.9, abs=1e-5)
    assert azimuth_of(states[1, 0, mind.memory.state_size :]) == pytest.approx(0.9 - turn_rad, abs=1e-5)


def test_a_policy_that_is_given_a_compass_goes_on_as_it_was(
    make_config: Callable[..., ImitationConfig],
) -> None:
    config = make_config()
    torch.manual_seed(1)
    without = Policy(config.task.contract(), config.policy)
    given = Policy(config.task.contract(), config.policy.model_copy(update={"compass_channels": 3}))
    absent, unexpected = given.load_state_dict(without.state_dict(), strict=False)
    assert not unexpected
    assert all(name.startswith(("mind.compass.", "mind.bearings.")) for name in absent)
    chunk = Collector(config, without).collect(0.5).chunk
    features = {name: value.float() for name, value in chunk.features.items()}
    with torch.no_grad():
        first = without.unroll(features, chunk.state, chunk.episode_start)
        again = given.unroll(features, given.initial_state(4), chunk.episode_start)
    torch.testing.assert_close(first.logits, again.logits)
