"""Parts of a contract that two must have in common before one policy serves both."""

from __future__ import annotations

from phonotaxis.configs.contract import Contract
from phonotaxis.configs.front_end import FrontEnd

SENSED = ("sample_rate_hz", "hop_samples", "window_samples", "camera")  # shape and scale of what is sensed
BUILT_IN = (*SENSED, "array")  # what the constants of an exported graph follow from, with `body` and its own front end


def served(contract: Contract, front_end: FrontEnd) -> Contract:
    """Return a task's contract as a policy with this front end serves it: what is heard of sound is the policy's."""
    return contract.model_copy(update={"front_end": front_end})


def differing(one: Contract, other: Contract, parts: tuple[str, ...]) -> list[str]:
    """List the parts, in their order, in which two contracts differ."""
    return [part for part in parts if getattr(one, part) != getattr(other, part)]
