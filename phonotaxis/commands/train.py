"""`phonotaxis train`: imitation of the shortest path, from nothing or from where it was interrupted."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from phonotaxis.commands.command import Command, Json, say
from phonotaxis.figures import Figure, emit

if TYPE_CHECKING:
    from phonotaxis.configs.imitation import ImitationConfig
    from phonotaxis.configs.task import AudioGoalTask
    from phonotaxis.policies.imitation import Progress
    from phonotaxis.policies.policy import Policy


def train(
    config: Annotated[
        str | None, typer.Option(help="A training preset, or your own .yaml file; good defaults without.")
    ] = None,
    suite: Annotated[
        str | None, typer.Option(help="Train for a suite of the benchmark, on its train split; see `evaluate --help`.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the checkpoint.")] = Path("runs/train"),
    minutes: Annotated[float | None, typer.Option(help="How long to train.", min=0.01)] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of everything random.", min=0)] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the checkpoint in OUT.")] = False,
    weights: Annotated[
        Path | None,
        typer.Option(
            help="Begin with the weights of another training (its folder) or bundle (.onnx), of this network."
        ),
    ] = None,
    fields: Annotated[
        Path | None,
        typer.Option(help="Keep traced sound fields in this folder (up to 8 GiB): the next training begins faster."),
    ] = None,
    seeds: Annotated[
        int, typer.Option(help="Train so many, one after the other, with seeds from SEED up, in OUT/seed-N.", min=1)
    ] = 1,
    json: Json = False,
) -> None:
    """Train a policy by imitation of the shortest path to the sound.

    The success shown on the way counts episodes in which the expert still helps; `phonotaxis evaluate`
    measures the policy alone. Ctrl-C or SIGTERM at any time leaves a checkpoint, and --resume goes on from it.
    """
    from phonotaxis.configs.base import ConfigError
    from phonotaxis.policies.checkpoint import has_checkpoint

    if resume and weights is not None:
        raise ConfigError("--resume goes on with the weights in OUT; leave --weights out")
    other = None if weights is None else _policy_of(weights)
    changes: dict[str, Any] = {"minutes": minutes, "seed": seed, "task": task_of(suite)}
    if other is not None and config is None:
        changes["policy"] = other.config
    if seeds == 1:
        figures = _train(settings(config, out, resume, changes), out, resume, other, fields, f"{out} --resume")
    else:
        figures = {}
        for number in range(seed or 0, (seed or 0) + seeds):
            folder, own = out / f"seed-{number}", changes | {"seed": number}
            begun = resume and has_checkpoint(folder)
            chosen = settings(None, folder, True, {}) if begun else settings(config, folder, False, own)
            again = f"{out} --seeds {seeds} --resume" + (f" --config {config}" if config else "")
            found = _train(chosen, folder, begun, other, fields, again)
            figures |= {f"seed_{number}_{name}": figure for name, figure in found.items()}
    _say_what_next(out if seeds == 1 else folder, suite)
    emit("train", figures, json)


def _train(
    config: ImitationConfig, out: Path, resume: bool, begin: Policy | None, fields: Path | None, how_to_go_on: str
) -> dict[str, Figure]:
    from phonotaxis.commands.progress import ProgressBar
    from phonotaxis.deploy.interrupts import take_interrupts
    from phonotaxis.policies.curves import Curves
    from phonotaxis.policies.imitation import ImitationTrainer

    take_interrupts()  # a batch system's too
    trainer = ImitationTrainer(config, out, fields)
    if resume:
        trainer.resume()
    elif begin is not None:
        trainer.start_from(begin)
    last: list[Progress] = []
    try:
        with ProgressBar("training") as bar, Curves(out / "tensorboard") as curves:

            def show(progress: Progress) -> None:
                last[:] = [progress]
                bar(progress.share, f"success {100 * progress.success:.0f} %, {progress.frames:,} frames")
                curves.add(progress)

            trainer.run(show)
    except KeyboardInterrupt:
        say(f"stopped; the checkpoint is in {out}: `phonotaxis train --out {how_to_go_on}` goes on")
        raise typer.Exit(130) from None
    return _figures(last[-1], trainer.validation) if last else {}


def _policy_of(source: Path) -> Policy:
    """Read the network of a training's folder, or of a bundle."""
    from phonotaxis.export.bundle import read_bundle
    from phonotaxis.export.weights import restored_policy
    from phonotaxis.policies.checkpoint import load_checkpoint

    return restored_policy(read_bundle(source)) if source.suffix == ".onnx" else load_checkpoint(source).policy()


def _say_what_next(out: Path, suite: str | None) -> None:
    from phonotaxis.policies.checkpoint import has_checkpoint
    from phonotaxis.policies.validation import BEST

    on = f" --suite {suite}" if suite is not None else " --suite own"
    best = out / BEST
    chosen = best if has_checkpoint(best) else out
    kept = f"; the best on validation is in {best}" if chosen is best else ""
    say(f"wrote {out}{kept}; next: `phonotaxis evaluate {chosen}{on}`, `phonotaxis export {chosen}`")


def task_of(suite: str | None) -> AudioGoalTask | None:
    """Return the task of a suite's train split; None without a suite."""
    from phonotaxis.configs.suite import load_suite

    return None if suite is None else load_suite(suite).task_of("train")


def settings(name: str | None, out: Path, resume: bool, changes: dict[str, Any]) -> ImitationConfig:
    """Put together the checkpoint's own configuration, a preset or the defaults, and the options given."""
    from phonotaxis.configs import presets
    from phonotaxis.configs.base import ConfigError, build
    from phonotaxis.configs.imitation import ImitationConfig
    from phonotaxis.policies.checkpoint import has_checkpoint, load_checkpoint

    given = {key: value for key, value in changes.items() if value is not None}
    if resume:
        if name is not None:
            raise ConfigError("--resume goes on with the checkpoint's own configuration; leave --config out")
        if "task" in given:
            raise ConfigError("--resume goes on with the checkpoint's own task; leave --suite out")
        base = build(ImitationConfig, load_checkpoint(out).config, str(out))
    elif has_checkpoint(out):
        raise ConfigError(f"{out} holds a training; --resume goes on with it, --out takes another folder")
    else:
        base = ImitationConfig() if name is None else presets.load("training", name, ImitationConfig)
    return build(ImitationConfig, {**base.model_dump(), **given}, "command line")


def _figures(progress: Progress, validation: dict[str, float]) -> dict[str, Figure]:
    return {
        "duration": Figure(progress.seconds, "s"),
        "frames": Figure(progress.frames),
        "episodes": Figure(progress.episodes),
        "success_while_training": Figure(progress.success),
    } | {f"validation_spl_{name.replace('-', '_')}": Figure(value) for name, value in validation.items()}


COMMAND = Command(
    "train",
    train,
    (
        ("phonotaxis train --minutes 20", "a good policy on a laptop"),
        ("phonotaxis train --suite audiogoal-v1 --out runs/v1", "what `phonotaxis evaluate runs/v1` then measures"),
        ("phonotaxis train --config my_training.yaml --out runs/mine", "your own task, network and schedule"),
        ("phonotaxis train --suite semantic-v1 --seeds 3 --out runs/three", "three seeds, for a paper's intervals"),
        ("phonotaxis train --out runs/mine --resume", "go on after Ctrl-C or a crash"),
        ("phonotaxis train --config mine.yaml --weights runs/all --out runs/mine", "from a policy that hears already"),
        ("phonotaxis train --weights policy.onnx --suite semantic-v1 --out runs/on", "from a bundle, with its network"),
    ),
)
