"""On what a policy was trained, as checkpoints and bundles say it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from phonotaxis.configs.base import build
from phonotaxis.configs.task import AudioGoalTask

Trainings = tuple[dict[str, Any], ...]  # configurations of those that a policy comes of, the last first

TRAINING, BEFORE = "training", "before"  # keys of a bundle's provenance


def trainings(provenance: Mapping[str, Any]) -> Trainings:
    """Return the configurations of all trainings that a bundle comes of, the last first; none where it says none."""
    before = provenance.get(BEFORE)
    told = [provenance.get(TRAINING), *(before if isinstance(before, list) else ())]
    return tuple(config for config in told if isinstance(config, dict))


def trained_tasks(config: Mapping[str, Any], where: str) -> list[AudioGoalTask]:
    """Read the tasks of a training, in the order of its lanes, from the configuration that it left behind.

    Args:
        config: of a checkpoint, or one of a bundle's.
        where: what the user knows it as.

    Raises:
        ConfigError: a task isn't of this version's form.
    """
    inner = config.get("ppo")
    found = [owner.get("lanes") for owner in (config, inner) if isinstance(owner, dict) and owner.get("lanes")]
    lanes = found[0] if found and isinstance(found[0], (list, tuple)) else ()
    tasks = [lane.get("task") if isinstance(lane, dict) else lane for lane in lanes] or [config.get("task")]
    return [build(AudioGoalTask, task, f"{where}: task") for task in tasks if task is not None]
