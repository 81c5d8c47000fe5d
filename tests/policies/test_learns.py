"""A known tiny task is solved: what is taught is what is done, from sound to action."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from phonotaxis.configs.imitation import ImitationConfig
from phonotaxis.configs.task import AudioGoalTask
from phonotaxis.configs.training import PolicyConfig
from phonotaxis.policies.evaluate import evaluate
from phonotaxis.policies.imitation import ImitationTrainer
from phonotaxis.policies.policy import Policy

SMALL = PolicyConfig(
    memory_size=32, audio_hidden=32, audio_size=32, depth_size=8, depth_channels=(2, 2), head_hidden=16
)


def success(policy: Policy, task: AudioGoalTask) -> float:
    """Share of 64 episodes with sounds that training hasn't, in rooms that it hasn't."""
    found = evaluate(policy, task, 64, baselines=(), split="validation").results["learnt"]
    return float(np.mean([result.success for result in found]))


@pytest.mark.timeout(600, func_only=True)
def test_an_empty_room_is_learnt(make_task: Callable[..., AudioGoalTask], compiled: None) -> None:
    """8,192 frames of two empty rooms: who knows nothing finds nothing there, and who has learnt finds most."""
    rough: dict[str, Any] = {"sources_per_scene": 4, "max_steps": 60, "turn_deg": 30.0, "step_m": 0.5}
    task = make_task(count=2, out_of_sight_share=0.0, **rough)
    trainer = ImitationTrainer(
        ImitationConfig(
            task=task, policy=SMALL, worlds=16, chunk=16, updates=12, batch_chunks=32, buffer_frames=8192,
            episode_steps=60, learning_rate=0.003, max_frames=8192, validate_every_minutes=0.0,
        )
    )  # fmt: skip
    assert success(trainer.average, task) < 0.1
    trainer.run()
    assert success(trainer.average, task) > 0.4
