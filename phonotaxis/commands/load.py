"""Reads what a training left, for the commands that use it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import phonotaxis
from phonotaxis.figures import commit

if TYPE_CHECKING:
    from phonotaxis.policies.checkpoint import Checkpoint
    from phonotaxis.policies.policy import Policy


def trained_policy(folder: Path) -> tuple[Policy, Checkpoint]:
    """Load the policy of a training: the running average of its weights, which is the better one.

    Raises:
        CheckpointError: no checkpoint of ours.
    """
    from phonotaxis.policies.checkpoint import load_checkpoint
    from phonotaxis.policies.policy import Policy

    saved = load_checkpoint(folder)
    policy = Policy(saved.contract, saved.policy_config).eval()
    policy.load_state_dict(saved.modules["average"])
    return policy, saved


def provenance(saved: Checkpoint) -> dict[str, Any]:
    """Return what a bundle says about its origin: version, commit, configuration, length of the training."""
    return {
        "phonotaxis": phonotaxis.__version__,
        "commit": commit(),
        "training": saved.config,
        "counters": saved.counters,
    }
