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

    What is shown is measured on sentences of training and of validation, whose words and templates are others.
    """
    from phonotaxis.configs.base import ConfigError
    from phonotaxis.policies.checkpoint import has_checkpoint, save_checkpoint
    from phonotaxis.policies.sentences import understood

    if has_checkpoint(out):
        raise ConfigError(f"{out} holds a training; --out takes another folder")
    own = {} if phrases is None else read_phrases(phrases)
    chosen = policy_or_shipped(start)
    taught = with_understanding(load(chosen), own, seed)
    understanding = taught.policy().front_ends.understanding
    assert understanding is not None
    save_checkpoint(out, taught)
    figures: dict[str, Figure] = {}
    for split in ("train", "validation"):
        right, wrong = understood(understanding, split)
        figures |= {f"understood_{split}": Figure(right), f"taken_for_another_{split}": Figure(wrong)}
    for kind, calls in own.items():
        if missed := [call for call in calls if understanding.kind_of(call) != kind]:
            say(f"NOT UNDERSTOOD as {kind}: {', '.join(missed)}; name it in more ways")
    suite = f"--also before={chosen} --suite instruction-v1 --split validation"
    say(f"wrote {out}; next: `phonotaxis evaluate {out} {suite}`, `phonotaxis export {out}`")
    emit("instruct", figures, json)


def load(source: Path) -> Checkpoint:
    """Read a training's folder, or a bundle of full precision."""
    from phonotaxis.export.bundle import read_bundle
    from phonotaxis.export.weights import as_checkpoint
    from phonotaxis.policies.checkpoint import load_checkpoint

    return as_checkpoint(read_bundle(source)) if source.suffix == ".onnx" else load_checkpoint(source)


def read_phrases(path: Path) -> Phrases:
    """Read a person's own words.

    Raises:
        ConfigError: not a mapping of lists of words.
    """
    from phonotaxis.configs.base import ConfigError
    from phonotaxis.configs.goal import embed
    from phonotaxis.configs.presets import read_yaml

    told = read_yaml(path)
    if not isinstance(told, dict) or not told:
        raise ConfigError(f"{path}: expected lists of words by kind, as `telephone: [cellphone, handset]`")
    for kind, calls in told.items():
        if not isinstance(calls, list) or not calls or not all(isinstance(call, str) for call in calls):
            raise ConfigError(f"{path}: {kind}: expected a list of words, as [cellphone, handset]; got {calls!r}")
        for call in calls:
            embed(call)  # says what is wrong where no word says anything
    return {str(kind): tuple(calls) for kind, calls in told.items()}


def with_understanding(saved: Checkpoint, phrases: Phrases, seed: int) -> Checkpoint:
    """Return a checkpoint whose policy understands sentences, as `sentences.teach` does it; all else as it was.

    Raises:
        ConfigError: its policy can't be told what to find, or understands sentences of other kinds already.
    """
    import torch

    from phonotaxis.configs.base import ConfigError
    from phonotaxis.envs.sounds import TRAINING_KINDS
    from phonotaxis.policies.policy import Policy
    from phonotaxis.policies.sentences import teach
    from phonotaxis.policies.understanding import UNDERSTANDING

    if saved.contract.goal is None:
        raise ConfigError("the policy can't be told what to find: train one whose task has a goal, as semantic-v1's")
    kinds = saved.policy_config.understood_kinds or (*TRAINING_KINDS, *sorted(set(phrases) - set(TRAINING_KINDS)))
    if unknown := sorted(set(phrases) - set(kinds)):
        raise ConfigError(f"phrases of {', '.join(unknown)}: the policy understands {', '.join(kinds)} alone")
    if others := sorted(set(phrases) - set(TRAINING_KINDS)):
        say(f"note: {', '.join(others)}: found only by a policy that was trained to find that, by that name")
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


COMMAND = Command(
    "instruct",
    instruct,
    (
        ("phonotaxis instruct runs/train --out runs/instructed", "what the twelve kinds of training are called"),
        ("phonotaxis instruct --phrases mine.yaml", "the shipped policy, with words of your own"),
    ),
    needs_arguments=True,
)
