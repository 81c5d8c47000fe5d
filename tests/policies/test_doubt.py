"""What actions cost a pupil in doubt."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest

from phonotaxis.configs.task import AudioGoalTask
from phonotaxis.envs.world import World
from phonotaxis.policies.doubt import LEFT, LOITER_REGRET, RIGHT, SETTLED_REGRET, Loitering, settling
from phonotaxis.policies.expert import MAX_REGRET, WRONG_STOP_REGRET, action_regrets

MakeTask = Callable[..., AudioGoalTask]
FORWARD = 1


def test_turning_costs_from_three_quarters_of_a_circle_on() -> None:
    loitering = Loitering(2, 10.0)
    for _ in range(27):
        loitering.act(np.array([LEFT, RIGHT]))
    assert not loitering.regrets(4).any()
    for _ in range(27):
        loitering.act(np.array([LEFT, FORWARD]))
    regrets = loitering.regrets(4)
    assert regrets[0].tolist() == [0.0, 0.0, LOITER_REGRET, LOITER_REGRET]
    assert not regrets[1].any()


def test_a_few_steps_forward_among_many_turns_are_loitering_too() -> None:
    """To and fro in one room: seven turns for each step forward."""
    loitering = Loitering(1, 10.0)
    for step in range(160):
        loitering.act(np.array([FORWARD if step % 8 == 0 else LEFT]))
    assert loitering.regrets(4)[0, LEFT] == pytest.approx(LOITER_REGRET, abs=0.2)
    loitering.begin(np.array([0]))
    assert not loitering.regrets(4).any()


def test_the_expert_never_loiters(make_task: MakeTask) -> None:
    task = make_task("apartment")
    world, loitering = World(task, 4), Loitering(4, task.turn_deg)
    world.begin(np.arange(4), np.arange(4))
    for _ in range(80):
        actions = action_regrets(world).argmin(axis=1)
        loitering.act(actions)
        assert not loitering.regrets(4).any()
        outcome = world.step(actions)
        ended = np.flatnonzero(outcome.terminated | outcome.truncated)
        if ended.size:
            loitering.begin(ended)
            world.begin(ended, 10 + ended)


def test_in_long_silence_a_wrong_stop_costs_less(make_task: MakeTask) -> None:
    task = make_task()
    period_s = task.contract().control_period_s
    regrets = np.tile(np.float32([WRONG_STOP_REGRET, 0.0, 1.0, 1.0]), (5, 1))
    regrets[4, 0] = MAX_REGRET
    ends_s = [np.inf, 5.0, 5.0, 5.0, 5.0]
    steps = np.array([400, 10, 4 * 35, 4 * 60, 4 * 60])
    world = SimpleNamespace(
        episodes=[SimpleNamespace(ends_s=end_s) for end_s in ends_s], steps=steps,
        contract=SimpleNamespace(control_period_s=period_s),
    )  # fmt: skip
    settled = settling(world, regrets)  # type: ignore[arg-type]
    half = 0.5 * (WRONG_STOP_REGRET + SETTLED_REGRET)
    assert settled[:, 0].tolist() == [WRONG_STOP_REGRET, WRONG_STOP_REGRET, half, SETTLED_REGRET, SETTLED_REGRET]
    assert (settled[:, 1:] == regrets[:, 1:]).all()
