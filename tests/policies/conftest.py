"""Tasks and networks as small as they can be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from phonotaxis.configs.imitation import ImitationConfig
from phonotaxis.configs.task import AudioGoalTask, SceneSet, SoundSet
from phonotaxis.configs.training import PolicyConfig
from phonotaxis.envs.world import World


@pytest.fixture(scope="session")
def make_task() -> Callable[..., AudioGoalTask]:
    """Build a small task whose sound is cheap; fields can be overridden."""

    def make(source: str = "empty_room", count: int = 1, **changes: Any) -> AudioGoalTask:
        fields: dict[str, Any] = {
            "scenes": SceneSet(source=source, count=count),
            "sources_per_scene": 1,
            "min_distance_m": 1.5,
            "response_s": 0.05,
            "sounds": SoundSet(instances_per_kind=1),
        }
        return AudioGoalTask.model_validate(fields | changes)

    return make


@pytest.fixture(scope="session")
def compiled(make_task: Callable[..., AudioGoalTask]) -> None:
    """Compile the simulator and load what learns: minutes where numba's cache is cold and the machine is busy.

    Whichever test steps a world first pays for that, whatever its size: with `pytest.mark.timeout(func_only=True)` it
    isn't held against its time.
    """
    world = World(make_task(), 1)
    world.begin(np.arange(1), np.arange(1))
    world.step(np.ones(1, dtype=np.int64))
    torch.optim.AdamW([torch.zeros(1)])


@pytest.fixture(scope="session")
def tiny() -> PolicyConfig:
    """Size a network that steps in a millisecond."""
    return PolicyConfig(
        memory_size=8, audio_hidden=32, audio_size=8, motion_size=8, depth_size=8, depth_channels=(2, 2), head_hidden=8
    )


@pytest.fixture(scope="session")
def make_config(make_task: Callable[..., AudioGoalTask], tiny: PolicyConfig) -> Callable[..., ImitationConfig]:
    """Configure a training of a few small rounds; fields can be overridden."""

    def make(**changes: Any) -> ImitationConfig:
        fields: dict[str, Any] = {
            "task": make_task(),
            "policy": tiny,
            "worlds": 4,
            "chunk": 6,
            "updates": 3,
            "batch_chunks": 4,
            "buffer_frames": 1024,
            "episode_steps": 20,
            "validate_every_minutes": 0.0,
        }
        if "lanes" in changes:
            fields = {name: value for name, value in fields.items() if name not in ("task", "worlds", "episode_steps")}
        config = ImitationConfig(**(fields | changes))
        of_rounds = {"max_frames": 3 * config.worlds * config.chunk}
        return config if "max_frames" in changes else config.model_copy(update=of_rounds)

    return make
