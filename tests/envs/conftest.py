"""Worlds as small as they can be: what is tested is how they work, not what can be learnt in them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from phonotaxis.configs.task import AudioGoalTask, SceneSet, SoundSet

MakeTask = Callable[..., AudioGoalTask]


@pytest.fixture(scope="session")
def make_task() -> MakeTask:
    """Build a small task: one scene and one source of it, one sound of each kind; fields can be overridden."""

    def make(source: str = "empty_room", count: int = 1, **changes: Any) -> AudioGoalTask:
        fields: dict[str, Any] = {
            "scenes": SceneSet(source=source, count=count),
            "sources_per_scene": 1,
            "min_distance_m": 1.5,
            "sounds": SoundSet(instances_per_kind=1),
        }
        return AudioGoalTask.model_validate(fields | changes)

    return make
