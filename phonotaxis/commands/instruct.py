"""`phonotaxis instruct`: what words mean, learnt from sentences."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from phonotaxis.commands.command import Command, Json, TrainingOrBundle, policy_or_shipped, say
from phonotaxis.figures import Figure, emit

if TYPE_CHECKING:
    from phonotaxis.policies.checkpoint import Checkpoint
    from phonotaxis.policies.sentences import Phrases


def instruct(
    start: TrainingOrBundle = None,
    out: Annotated[Path, typer.Option(help="Folder for the checkpoint.")] = Path("runs/instructed"),
    phrases: Annotated[
        Path | None,
        typer.Option(
            help="Your own words beside training's: a .yaml file with lists by kind, as in `telephone: \\[cellphone, "
            "handset]`."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of everything random.", min=0)] = 0,
    json: Json = False,
) -> None:
    """Teach a trained policy what sentences mean, in seconds: which of the kinds that it knows they name.

    A small network learns that from thousands of sentences, whose words get other endings and others between them. It
    stands before the policy, and puts the kind's name in the sentence's place; the policy itself stays as it is, as do
    goals that name nothing and words that are surely none of the kinds. It goes along with every export.

    What is shown is measured on sentences of training and of validation, whose words and templates are others; some of
    them name none of the kinds.
    """
    from phonotaxis.configs.base import ConfigError
    from phonotaxis.export.weights import load_trained
    from phonotaxis.policies.checkpoint import has_checkpoint, save_checkpoint
    from phonotaxis.policies.sentences import mistaken, understood

    if has_checkpoint(out):
        raise ConfigError(f"{out} holds a training; --out takes another folder")
    own = {} if phrases is None else read_phrases(phrases)
    chosen = policy_or_shipped(start)
    taught = with_understanding(load_trained(chosen), own, seed)
    understanding = taught.policy().front_ends.understanding
    assert understanding is not None
    figures: dict[str, Figure] = {}
    for split in ("train", "validation"):
        if (found := understood(understanding, split)) is not None:
            figures |= {f"understood_{split}": Figure(found[0]), f"taken_for_another_{split}": Figure(found[1])}
        figures[f"other_words_taken_for_a_kind_{split}"] = Figure(mistaken(understanding, split, own))
    save_checkpoint(out, taught)
    for kind, calls in own.items():
        if missed := [call for call in calls if understanding.kind_of(call) != kind]:
            say(f"NOT UNDERSTOOD as {kind}: {', '.join(missed)}; name it in more ways")
    suite = f"--also before={chosen} --suite instruction-v1 --split validation"
    say(f"wrote {out}; next: `phonotaxis evaluate {out} {suite}`, `phonotaxis export {out}`")
    emit("instruct", figures, json)


def read_phrases(path: Path) -> Phrases:
    """Read a person's own words.

    Raises:
        ConfigError: not a mapping of lists of words, or one that is of two kinds.
    """
    from phonotaxis.configs.base import ConfigError
    from phonotaxis.configs.goal import embed
    from phonotaxis.configs.presets import read_yaml

    told = read_yaml(path)
    if not isinstance(told, dict) or not told:
        raise ConfigError(f"{path}: expected lists of words by kind, as `telephone: [cellphone, handset]`")
    seen: dict[str, str] = {}
    for kind, calls in told.items():
        if not isinstance(calls, list) or not calls or not all(isinstance(call, str) for call in calls):
            raise ConfigError(f"{path}: {kind}: expected a list of words, as [cellphone, handset]; got {calls!r}")
        for call in calls:
            embed(call)  # says what is wrong where no word says anything
            if seen.setdefault(call.lower(), str(kind)) != str(kind):
                raise ConfigError(f"{path}: '{call}' is both {seen[call.lower()]} and {kind}; leave one of them out")
    named: dict[str, tuple[str, ...]] = {}
    for kind, calls in told.items():
        name = "_".join(str(kind).lower().split())
        named[name] = (*named.get(name, ()), *calls)  # a kind may be written in several ways
    return named


def with_understanding(saved: Checkpoint, phrases: Phrases, seed: int) -> Checkpoint:
    """Return a checkpoint whose policy understands sentences, as `sentences.teach` does it; all else as it was.

    Raises:
        ConfigError: its policy can't be told what to find, or understands sentences of other kinds already.
    """
    import torch

    from phonotaxis.configs.base import ConfigError
    from phonotaxis.policies.policy import Policy
    from phonotaxis.policies.sentences import teach
    from phonotaxis.policies.understanding import UNDERSTANDING

    if saved.contract.goal is None:
        raise ConfigError("the policy can't be told what to find: train one whose task has a goal, as semantic-v1's")
    named = kinds_of(saved)
    others = sorted(set(phrases) - set(named))
    if others and saved.policy_config.understood_kinds:
        raise ConfigError(f"phrases of {', '.join(others)}: the policy understands {', '.join(named)} alone")
    if others:
        say(f"note: {', '.join(others)}: found only by a policy that was trained to find that, by that name")
    kinds = (*named, *others)
    if len(kinds) < 2:
        raise ConfigError(f"only {', '.join(kinds)} is known to the policy, so that there is nothing to tell apart")
    before = saved.policy().state_dict()
    config = saved.policy_config.model_copy(update={"understood_kinds": tuple(kinds)})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        policy = Policy(saved.contract, config).eval()
    understanding = policy.front_ends.understanding
    assert understanding is not None
    teach(understanding, seed, phrases)
    own = {name: value for name, value in policy.state_dict().items() if name.startswith(UNDERSTANDING)}
    saved.policy_config, saved.modules, saved.optimizer = config, {"policy": before | own}, None
    return saved


def kinds_of(saved: Checkpoint) -> tuple[str, ...]:
    """Return the kinds that a policy understands already, or else those that it was trained to find by name.

    Where its trainings don't say, or named nothing, these are the bank's of the train split.
    """
    from phonotaxis.configs.base import ConfigError
    from phonotaxis.configs.trained import trained_tasks
    from phonotaxis.envs.sounds import TRAINING_KINDS

    if saved.policy_config.understood_kinds:
        return saved.policy_config.understood_kinds
    found: dict[str, None] = {}
    for training in saved.trainings:
        try:
            tasks = trained_tasks(training, "the policy's training")
        except ConfigError:
            continue  # of another version's form
        for task in tasks:
            if task.goal in ("kind", "sentence") and task.sounds.folder is None:
                found |= dict.fromkeys(task.sounds.kinds or TRAINING_KINDS)
    return tuple(found) or TRAINING_KINDS


COMMAND = Command(
    "instruct",
    instruct,
    (
        ("phonotaxis instruct runs/train --out runs/instructed", "what the twelve kinds of training are called"),
        ("phonotaxis instruct --phrases mine.yaml", "the shipped policy, with words of your own"),
    ),
    needs_arguments=True,
)
