"""Parts of a contract that two must have in common before one policy serves both."""

from __future__ import annotations

from phonotaxis.configs.contract import Contract

SENSED = ("sample_rate_hz", "hop_samples", "window_samples", "camera")  # shape and scale of what is sensed
BUILT_IN = (*SENSED, "array", "front_end")  # what the constants of an exported graph follow from, with `body`


def differing(one: Contract, other: Contract, parts: tuple[str, ...]) -> list[str]:
    """List the parts, in their order, in which two contracts differ."""
    return [part for part in parts if getattr(one, part) != getattr(other, part)]
