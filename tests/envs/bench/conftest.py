"""A small task for the bench: two rooms would do, one does."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from phonotaxis.configs.task import AudioGoalTask


@pytest.fixture(scope="package")
def task(make_task: Callable[..., AudioGoalTask]) -> AudioGoalTask:
    return make_task(sources_per_scene=3, max_steps=5, response_s=0.1)
