"""Policies of the command line, as the benchmark takes them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from phonotaxis.commands.command import say

if TYPE_CHECKING:
    from phonotaxis.configs.contract import Contract
    from phonotaxis.policies.benchmark import Contestant


def contestant_of(name: str, path: Path, contract: Contract, caution: float | None = None) -> Contestant:
    """Load a policy; weights of a training serve the contract, a bundle is as it is.

    Args:
        name: for the user.
        path: folder of a training, or a bundle.
        contract: of the task it is measured on.
        caution: where its knob stands; None for a policy that may have none.

    Raises:
        ConfigError: it has no knob and one was turned, or it can't be turned so far.
    """
    from phonotaxis.configs.caution import told_caution
    from phonotaxis.policies.benchmark import Contestant, told
    from phonotaxis.policies.evaluate import contestant

    if path.suffix == ".onnx":
        from phonotaxis.export.bundle import read_bundle
        from phonotaxis.export.decider import EngineDecider
        from phonotaxis.export.weights import restored_policy

        bundle = read_bundle(path)
        knob = told_caution(bundle.contract, caution)
        if same_front_ends(bundle.contract, contract):
            return Contestant(bundle.contract, lambda world: EngineDecider(bundle, world.num_worlds, knob))
        return contestant(restored_policy(bundle, told(contract, bundle.contract)), knob)
    from phonotaxis.configs.suite import overlap
    from phonotaxis.configs.task import AudioGoalTask
    from phonotaxis.policies.checkpoint import load_checkpoint

    saved = load_checkpoint(path)
    if "task" in saved.config:
        touched = overlap(AudioGoalTask.model_validate(saved.config["task"]))
        if touched is not None:
            say(f"warning: {name} was trained on what tests it: {touched}; its figures are not comparable")
    return contestant(saved.policy(contract=told(contract, saved.contract)), told_caution(saved.contract, caution))


def same_front_ends(bundle: Contract, suite: Contract) -> bool:
    """Say whether a bundle's constants are those of a suite: its array, body and period."""
    from phonotaxis.configs.contract_parts import BUILT_IN, differing

    return not differing(bundle, suite, (*BUILT_IN, "body"))
