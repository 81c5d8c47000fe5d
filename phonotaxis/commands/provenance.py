"""Says where a policy comes from, for the files that are made of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import phonotaxis
from phonotaxis.configs.trained import BEFORE, TRAINING
from phonotaxis.figures import commit

if TYPE_CHECKING:
    from phonotaxis.policies.checkpoint import Checkpoint


def provenance(saved: Checkpoint) -> dict[str, Any]:
    """Return what a bundle says about its origin: version, commit, training and those before it."""
    return {
        "phonotaxis": phonotaxis.__version__,
        "commit": commit(),
        TRAINING: saved.config,
        "counters": saved.counters,
        **({BEFORE: list(saved.before)} if saved.before else {}),
    }
