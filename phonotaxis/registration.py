"""Registers the worlds with Gymnasium; entry points are strings, so nothing heavy is imported until `make`."""

from __future__ import annotations

IDS = ("phonotaxis/AudioGoal-v0", "phonotaxis/AudioGoalContinuous-v0")


def register_envs() -> None:
    """Register every world of `IDS`, once."""
    import gymnasium

    for env_id, actions in zip(IDS, ("discrete", "continuous")):
        if env_id not in gymnasium.registry:
            gymnasium.register(
                id=env_id,
                entry_point="phonotaxis.envs.gym:AudioGoalEnv",
                vector_entry_point="phonotaxis.envs.gym:AudioGoalVectorEnv",
                kwargs={"actions": actions},
            )
