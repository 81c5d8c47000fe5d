"""What a training says that has come to numbers that aren't finite, before they are learnt from or saved."""

from __future__ import annotations

import math


class DivergedError(ValueError):
    """A loss, a gradient or a weight isn't finite; the message says which, and what to do."""


def check_finite(found: dict[str, float], learning_rate: float) -> None:
    """Refuse numbers from which nothing can be learnt.

    Args:
        found: by what it is.
        learning_rate: of the configuration.

    Raises:
        DivergedError: one of them isn't finite.
    """
    wrong = {what: value for what, value in found.items() if not math.isfinite(value)}
    if wrong:
        told = ", ".join(f"{what} is {value}" for what, value in wrong.items())
        raise DivergedError(
            f"the training diverged: {told}, expected finite numbers; a checkpoint is as it was: go on from it, "
            f"and where this comes again from its weights with a learning_rate under {learning_rate:g} (--config)"
        )
