"""`phonotaxis train`: imitation of the shortest path, from nothing or from where it was interrupted."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from phonotaxis.commands.command import Command, Json, say
from phonotaxis.figures import Figure, emit, free_name

if TYPE_CHECKING:
    from phonotaxis.configs.imitation import ImitationConfig
    from phonotaxis.configs.task import AudioGoalTask
    from phonotaxis.configs.trained import Trainings
    from phonotaxis.policies.imitation import Progress
    from phonotaxis.policies.policy import Policy


def train(
    config: Annotated[
        str | None,
        typer.Option(
            help="A training preset (all_suites, any_sound, directions, half_hour, half_hour_blind, half_hour_deaf, "
            "half_hour_no_memory, half_hour_one_microphone), or your own .yaml file; good defaults without."
        ),
    ] = None,
    suite: Annotated[
        str | None, typer.Option(help="Train for a suite of the benchmark, on its train split; see `evaluate --help`.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the checkpoint.")] = Path("runs/train"),
    minutes: Annotated[
        float | None, typer.Option(help="How long to train; without, what --config says, or else 20.", min=0.01)
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Seed of everything random; without, what --config says, or else 0.", min=0)
    ] = None,
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
    from phonotaxis.configs.lanes import suite_tasks
    from phonotaxis.policies.checkpoint import has_checkpoint

    if resume and weights is not None and seeds == 1:
        raise ConfigError("--resume goes on with the weights in OUT; leave --weights out")
    _refuse_mixture(out, seeds, resume)
    begin = None if weights is None else _begin(weights)
    other = None if begin is None else begin.policy
    changes: dict[str, Any] = {"minutes": minutes, "seed": seed} | ({} if suite is None else suite_tasks(suite))
    if other is not None and config is None:
        changes["policy"] = other.config.model_copy(update={"caution": False})
    if other is not None and other.config.caution:
        say("note: the knob of the given weights is left behind; `phonotaxis prefer` adds one to what is trained")
    if seeds == 1:
        folder, chosen = out, settings(config, out, resume, changes)
        if other is not None and other.config.directions and not chosen.policy.directions:
            say("note: the head for directions is left behind; --config directions adds one to what is trained")
        figures = _train(chosen, out, resume, begin, fields, how_to_go_on(out, {"fields": fields}))
    else:
        figures = {}
        given = {"config": config, "suite": suite, "minutes": minutes, "seed": seed, "weights": weights}
        again = how_to_go_on(out, {"seeds": seeds} | given | {"fields": fields})
        first = _first_seed(config) if seed is None else seed
        for number in range(first, first + seeds):
            folder, own = out / f"seed-{number}", changes | {"seed": number}
            begun = resume and has_checkpoint(folder)
            name, changed = (None, {"minutes": minutes}) if begun else (config, own)
            chosen = settings(name, folder, begun, changed)
            if begun:
                _refuse_another(folder, chosen, settings(config, folder / "anew", False, own))
            found = _train(chosen, folder, begun, begin, fields, again)
            figures |= {f"seed_{number}_{name}": figure for name, figure in found.items()}
    _say_what_next(out, folder, suite or suite_of(chosen.task))
    emit("train", figures, json)


def _refuse_mixture(out: Path, seeds: int, resume: bool) -> None:
    """Refuse to put several seeds beside one training in a folder: which of them is meant could not be told.

    Raises:
        ConfigError: with what to do.
    """
    from phonotaxis.commands.evaluate import seeds_of
    from phonotaxis.configs.base import ConfigError
    from phonotaxis.policies.checkpoint import has_checkpoint

    if seeds > 1 and has_checkpoint(out):
        raise ConfigError(f"{out} holds one training, and --seeds makes several in it; --out takes another folder")
    if seeds == 1 and not resume and (found := seeds_of(out)):
        raise ConfigError(f"{out} holds several seeds, the first in {found[0]}; --out takes another folder")


def _refuse_another(folder: Path, begun: ImitationConfig, asked: ImitationConfig) -> None:
    """Refuse to go on with a seed as something else than the seeds beside it will be: their mean would be of neither.

    Raises:
        ConfigError: with what to do.
    """
    from phonotaxis.configs.base import ConfigError

    differ = [name for name in ("lanes", "task", "policy") if getattr(begun, name) != getattr(asked, name)]
    if differ:
        raise ConfigError(
            f"{folder} was begun with another {' and another '.join(differ)} than is asked for now; say the same "
            "--config and --suite as then, or --out takes another folder"
        )


def how_to_go_on(out: Path, options: dict[str, Any]) -> str:
    """Return the command line that goes on with a training, with the options that its folder doesn't know."""
    given = [word for name, value in options.items() if value is not None for word in (f"--{name}", str(value))]
    return shlex.join(["phonotaxis", "train", "--out", str(out), "--resume", *given])


def _train(
    config: ImitationConfig, out: Path, resume: bool, begin: _Begin | None, fields: Path | None, again: str
) -> dict[str, Figure]:
    from phonotaxis.commands.progress import ProgressBar
    from phonotaxis.configs.base import ConfigError
    from phonotaxis.deploy.interrupts import take_interrupts
    from phonotaxis.policies.checkpoint import has_checkpoint
    from phonotaxis.policies.curves import Curves
    from phonotaxis.policies.imitation import ImitationTrainer

    take_interrupts()  # a batch system's too
    trainer = ImitationTrainer(config, out, fields)
    if resume:
        trainer.resume()
    elif begin is not None:
        trainer.start_from(*begin)
    elif config.learns:
        raise ConfigError(
            f"learns names {', '.join(config.learns)} alone: all else stays as --weights give it; name a training's "
            "folder or a bundle there, e.g. --weights policy.onnx"
        )
    last: list[Progress] = []
    try:
        with ProgressBar("training") as bar, Curves(out / "tensorboard") as curves:

            def show(progress: Progress) -> None:
                last[:] = [progress]
                rate = progress.frames / max(progress.seconds, 1e-9)
                note = f"success {100 * progress.success:.0f} %, {progress.frames:,} frames, {rate:,.0f} a second"
                bar(progress.share, note)
                curves.add(progress)

            trainer.run(show)
    except KeyboardInterrupt:
        kept = f"the checkpoint is in {out}: `{again}` goes on"
        say(f"stopped; {kept}" if has_checkpoint(out) else "stopped before anything was learnt; nothing was written")
        raise typer.Exit(130) from None
    return _figures(last[-1], trainer.validation) if last else {}


def _first_seed(name: str | None) -> int:
    """Return the seed of a configuration; that of the defaults where none is named."""
    from phonotaxis.configs import presets
    from phonotaxis.configs.imitation import ImitationConfig

    return (ImitationConfig() if name is None else presets.load("training", name, ImitationConfig)).seed


class _Begin(NamedTuple):
    """A policy to begin with, and the configurations of the trainings that it comes of."""

    policy: Policy
    trainings: Trainings


def _begin(source: Path) -> _Begin:
    """Read the network of a training's folder, or of a bundle, and the trainings that it comes of."""
    from phonotaxis.configs.trained import trainings
    from phonotaxis.export.bundle import read_bundle
    from phonotaxis.export.weights import restored_policy
    from phonotaxis.policies.checkpoint import load_checkpoint

    if source.suffix == ".onnx":
        bundle = read_bundle(source)
        return _Begin(restored_policy(bundle), trainings(bundle.provenance))
    saved = load_checkpoint(source)
    return _Begin(saved.policy(), saved.trainings)


def _say_what_next(out: Path, last: Path, suite: str) -> None:
    """Say what to do with what was trained in `last`, which is `out` or, of several seeds, a folder in it."""
    from phonotaxis.policies.checkpoint import has_checkpoint
    from phonotaxis.policies.validation import BEST

    best = last / BEST
    chosen = best if has_checkpoint(best) else last
    kept = f"; the best on validation is in {best}" if chosen is best else ""
    measured = chosen if last == out or suite == "own" else out  # of several seeds `own` takes one
    evaluate = shlex.join(["phonotaxis", "evaluate", str(measured), "--suite", suite, "--split", "validation"])
    say(f"wrote {out}{kept}; next: `{evaluate}`, `{shlex.join(['phonotaxis', 'export', str(chosen)])}`")


def suite_of(task: AudioGoalTask) -> str:
    """Return the shipped suite that a training's task is of; `own` where it is of none."""
    from phonotaxis.configs import presets

    return task.name if task.name in presets.names("suites") else "own"


def settings(name: str | None, out: Path, resume: bool, changes: dict[str, Any]) -> ImitationConfig:
    """Put together the checkpoint's own configuration, a preset or the defaults, and the options given.

    Raises:
        ConfigError: an option that does nothing, or would undo what is there.
    """
    from phonotaxis.configs import presets
    from phonotaxis.configs.base import ConfigError, build
    from phonotaxis.configs.imitation import ImitationConfig
    from phonotaxis.configs.lanes import without_void
    from phonotaxis.policies.checkpoint import has_checkpoint, load_checkpoint

    given = {key: value for key, value in changes.items() if value is not None}
    if resume:
        if name is not None:
            raise ConfigError("--resume goes on with the checkpoint's own configuration; leave --config out")
        if "task" in given:
            raise ConfigError("--resume goes on with the checkpoint's own task; leave --suite out")
        saved = load_checkpoint(out).config
        if other := {"ppo": "tune", "prefer": "prefer"}.get(next(iter({"ppo", "prefer"} & saved.keys()), "")):
            raise ConfigError(
                f"{out} is of a `phonotaxis {other}`: `phonotaxis {other} --out {out} --resume` goes on with it; train "
                "begins with its weights by --weights, and another --out"
            )
        base = build(ImitationConfig, without_void(saved), str(out))
    elif has_checkpoint(out):
        raise ConfigError(f"{out} holds a training; --resume goes on with it, --out takes another folder")
    else:
        base = ImitationConfig() if name is None else presets.load("training", name, ImitationConfig)
    if "task" in given:
        if base.lanes:
            raise ConfigError("--config has lanes; name suites there, or leave them out for one by --suite")
        given = {"validation": None} | given  # what a file says of validation holds for its own task
    if "minutes" in given and base.max_frames is not None:
        raise ConfigError(f"the training ends after max_frames, {base.max_frames:,}; leave --minutes or max_frames out")
    return build(ImitationConfig, without_void(base.model_dump()) | given, "command line")


def _figures(progress: Progress, validation: dict[str, float]) -> dict[str, Figure]:
    figures = {
        "duration": Figure(progress.seconds, "s"),
        "frames": Figure(progress.frames),
        "episodes": Figure(progress.episodes),
        "success_while_training": Figure(progress.success),
    }
    for name, value in validation.items():
        figures[free_name(name, figures, "validation_spl_", "task")] = Figure(value)
    return figures


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
        ("phonotaxis train --config all_suites --weights policy.onnx --out runs/on", "from a bundle of that network"),
    ),
)
