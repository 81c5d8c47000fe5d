"""Parts of a contract that two must have in common before one policy serves both."""

from __future__ import annotations

from phonotaxis.configs.contract import Contract

SENSED = ("sample_rate_hz", "hop_samples", "window_samples", "camera")  # shape and scale of what is sensed
BUILT_IN = (*SENSED, "array")  # what the constants of an exported graph follow from, with `body` and its own front end


def served(own: Contract, task: Contract | None) -> Contract:
    """Return a task's contract as a policy serves it: with the policy's front end; without a task its own contract."""
    return own if task is None else task.model_copy(update={"front_end": own.front_end})


def differing(one: Contract, other: Contract, parts: tuple[str, ...]) -> list[str]:
    """List the parts, in their order, in which two contracts differ."""
    return [part for part in parts if getattr(one, part) != getattr(other, part)]
