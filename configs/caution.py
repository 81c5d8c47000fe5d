"""The knob of a policy that has one: how much comfort counts, turned by whoever runs it."""

from __future__ import annotations

from phonotaxis.configs.base import ConfigError
from phonotaxis.configs.contract import Contract


def told_caution(contract: Contract, wanted: float | None) -> float:
    """Check what a person asks of the knob.

    Args:
        contract: of the policy.
        wanted: 0 (the policy as it was before its preferences were learnt) to 1; None where nobody said a word.

    Returns:
        Where the knob stands; 0 where nobody said a word.

    Raises:
        ConfigError: the policy has no knob, or not one that can be turned so far.
    """
    if wanted is None:
        return 0.0
    if not contract.caution:
        raise ConfigError(
            "this policy has no caution to turn: name one that `phonotaxis prefer` has trained, as the shipped one; "
            "all commands but `tradeoff` take this one without --caution"
        )
    if not 0.0 <= wanted <= 1.0:
        raise ConfigError(f"caution lies between 0 and 1, got {wanted:g}")
    return wanted
