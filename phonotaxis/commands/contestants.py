"""Policies of the command line, as the benchmark takes them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from phonotaxis.commands.command import say

if TYPE_CHECKING:
    from phonotaxis.configs.contract import Contract
    from phonotaxis.configs.suite import SplitName
    from phonotaxis.configs.task import AudioGoalTask
    from phonotaxis.configs.trained import Trainings
    from phonotaxis.policies.benchmark import Contestant

OWN_TASK, OWN_EPISODES = "own", 200  # what --suite takes for the training's own task, and how many where none are asked


class OwnTask(NamedTuple):
    """What `--suite own` measures on.

    Attributes:
        training: its folder.
        task: of the training, of several the first.
        split: that isn't the training's.
    """

    training: Path
    task: AudioGoalTask
    split: Literal["validation", "test"]


def own_task(policy: Path | None, split: SplitName) -> OwnTask:
    """Return a training's own task, of several the first, which is said.

    Raises:
        ConfigError: a bundle, or none; the train split; a training that names no task.
    """
    from phonotaxis.configs.base import ConfigError
    from phonotaxis.configs.trained import trained_tasks
    from phonotaxis.policies.checkpoint import load_checkpoint
    from phonotaxis.policies.evaluate import UNSEEN_COUNT, UNSEEN_SCENES

    if policy is None or policy.suffix == ".onnx":
        raise ConfigError("--suite own needs the folder of a training, whose task it takes; a bundle doesn't hold one")
    if split == "train":
        raise ConfigError("--suite own measures on test or validation, whose scenes the training hasn't; got train")
    tasks = trained_tasks(load_checkpoint(policy).config, str(policy))
    if not tasks:
        raise ConfigError(f"{policy}: doesn't say on which task it was trained; name a --suite")
    if len(tasks) > 1:
        say(f"own: {tasks[0].name}, the first of the training's {len(tasks)} lanes; name suites for the others")
    first = UNSEEN_SCENES[split]
    _warn(policy.name, tasks, split, (first, first + UNSEEN_COUNT))
    return OwnTask(policy, tasks[0], split)


def contestant_of(
    name: str, path: Path, contract: Contract, caution: float | None = None, split: SplitName = "test"
) -> Contestant:
    """Load a policy with its knob at `caution`, None for one that may have none; see `turnable`."""
    return turnable(name, path, contract, split)(caution)


def turnable(
    name: str, path: Path, contract: Contract, split: SplitName = "test"
) -> Callable[[float | None], Contestant]:
    """Load a policy, for any caution; weights of a training serve the contract, a bundle is as it is.

    One that was trained on what is to measure it is warned of.

    Args:
        name: for the user.
        path: folder of a training, or a bundle.
        contract: of the task it is measured on.
        split: that it is measured on.

    Returns:
        What gives the policy with its knob at a caution; ConfigError where it has none, or it can't be turned so far.
    """
    from phonotaxis.configs.caution import told_caution
    from phonotaxis.policies.benchmark import Contestant, check_hearing, told
    from phonotaxis.policies.evaluate import contestant

    if path.suffix == ".onnx":
        from phonotaxis.configs.trained import trainings
        from phonotaxis.export.bundle import read_bundle
        from phonotaxis.export.decider import EngineDecider
        from phonotaxis.export.weights import restored_policy

        bundle = read_bundle(path)
        check_hearing(name, bundle.contract, contract)
        warn_of_overlap(name, trainings(bundle.provenance), split)
        if same_front_ends(bundle.contract, contract):

            def acting(caution: float | None) -> Contestant:
                knob = told_caution(bundle.contract, caution)
                return Contestant(bundle.contract, lambda world: EngineDecider(bundle, world.num_worlds, knob))

            return acting
        restored = restored_policy(bundle, told(contract, bundle.contract))
        return lambda caution: contestant(restored, told_caution(bundle.contract, caution))
    from phonotaxis.policies.checkpoint import load_checkpoint

    saved = load_checkpoint(path)
    check_hearing(name, saved.contract, contract)
    warn_of_overlap(name, saved.trainings, split)
    policy = saved.policy(contract=told(contract, saved.contract))
    return lambda caution: contestant(policy, told_caution(saved.contract, caution))


def warn_of_overlap(name: str, trainings: Trainings, split: SplitName) -> None:
    """Tell the user where trainings, in any of their lanes, drew from the split that is to measure what came of them.

    Args:
        name: of the policy, for the user.
        trainings: configurations of those that it comes of.
        split: who measures on the train split knows what that is.
    """
    from phonotaxis.configs.base import ConfigError
    from phonotaxis.configs.trained import trained_tasks

    if split == "train":
        return
    tasks: list[AudioGoalTask] = []
    unknown = False
    for training in trainings:
        try:
            tasks += trained_tasks(training, name)
        except ConfigError:
            unknown = True
    if unknown:
        say(f"warning: {name} was trained by another version; whether on what tests it can't be told")
    _warn(name, tasks, split, None)


def _warn(name: str, tasks: list[AudioGoalTask], split: SplitName, scene_seeds: tuple[int, int] | None) -> None:
    from phonotaxis.configs.suite import overlap
    from phonotaxis.envs.sounds import KINDS_OF

    touched = dict.fromkeys(found for task in tasks if (found := overlap(task, split, KINDS_OF[split], scene_seeds)))
    if touched:
        say(f"warning: {name} was trained on what tests it: {'; '.join(touched)}; its figures are not comparable")


def same_front_ends(bundle: Contract, suite: Contract) -> bool:
    """Say whether a bundle's constants are those of a suite: its array, body and period."""
    from phonotaxis.configs.contract_parts import BUILT_IN, differing

    return not differing(bundle, suite, (*BUILT_IN, "body"))
