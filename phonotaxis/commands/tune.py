"""`phonotaxis tune`: reinforcement from where imitation ended."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from phonotaxis.commands.command import Command, Json, say
from phonotaxis.figures import Figure, emit

if TYPE_CHECKING:
    from phonotaxis.configs.task import AudioGoalTask
    from phonotaxis.policies.ppo import PpoProgress

DEFAULT_SUITE = "audiogoal-v1"


def tune(
    start: Annotated[Path, typer.Argument(help="Folder of a training, or bundle (.onnx), to go on with.")],
    suite: Annotated[
        str | None,
        typer.Option(
            help="Whose train split rewards it; without, the task of --config, or else START's own, of several the "
            "first, or else audiogoal-v1; see `evaluate --help`. Several at once are `lanes` of --config, as in a "
            "training."
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the checkpoint.")] = Path("runs/tuned"),
    frames: Annotated[
        int | None,
        typer.Option(help="How many steps of experience; without, what --config says, or else 200,000.", min=1),
    ] = None,
    config: Annotated[str | None, typer.Option(help="Your own .yaml file of settings; good defaults without.")] = None,
    fields: Annotated[
        Path | None,
        typer.Option(help="Keep traced sound fields in this folder (up to 8 GiB): the next training begins faster."),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Seed of everything random; without, what --config says, or else 0.", min=0)
    ] = None,
    json: Json = False,
) -> None:
    """Tune a trained policy by reinforcement (RecurrentPPO of Stable-Baselines3) on what the task rewards.

    The policy's own network and memory are trained, the critic first; checkpoints have the form of any training's, so
    that `evaluate`, `export` and `tune` itself take them. On a CPU it sees a few hundred steps a second: minutes of
    imitation teach more than hours of this, which is for what no expert can show.
    """
    from phonotaxis.commands.progress import ProgressBar
    from phonotaxis.commands.train import suite_of
    from phonotaxis.configs import presets
    from phonotaxis.configs.base import ConfigError, build
    from phonotaxis.configs.lanes import suite_tasks, without_void
    from phonotaxis.configs.ppo import PpoConfig
    from phonotaxis.deploy.interrupts import take_interrupts
    from phonotaxis.export.bundle import read_bundle
    from phonotaxis.export.weights import as_checkpoint
    from phonotaxis.policies.checkpoint import has_checkpoint, load_checkpoint
    from phonotaxis.policies.ppo import tune as run

    take_interrupts()  # a batch system's too
    if has_checkpoint(out):
        raise ConfigError(f"{out} holds a training; --out takes another folder")
    base = PpoConfig() if config is None else presets.load("training", config, PpoConfig)
    if suite is not None and base.lanes:
        raise ConfigError("--config has lanes; name suites there, or leave them out for one by --suite")
    given: dict[str, Any] = {
        name: value for name, value in (("seed", seed), ("frames", frames)) if value is not None
    }  # fmt: skip
    saved = as_checkpoint(read_bundle(start)) if start.suffix == ".onnx" else load_checkpoint(start)
    if suite is not None:
        given |= {"validation": None} | suite_tasks(suite)
    elif "task" not in base.model_fields_set:
        given |= own_tasks(saved.config, start)
    settings = build(PpoConfig, without_void(base.model_dump()) | given, "command line")
    for lane in settings.all_lanes:
        say(f"tuning on {described(lane.task)}")
    last: list[PpoProgress] = []
    try:
        with ProgressBar("tuning") as bar:

            def show(progress: PpoProgress) -> None:
                last[:] = [progress]
                success = ", ".join(f"{100 * share:.0f}" for share in progress.success)
                bar(progress.share, f"success {success} %, {progress.frames:,} frames")

            run(saved, settings, out, show, fields)
    except KeyboardInterrupt:
        kept = f"the checkpoint is in {out}: `phonotaxis tune {out} --out ANOTHER` goes on from it"
        say(f"stopped; {kept}" if has_checkpoint(out) else "stopped before anything was learnt; nothing was written")
        raise typer.Exit(130) from None
    asked = suite or suite_of(settings.task)
    before = "" if asked == "own" else f" --also before={start}"
    say(f"wrote {out}; next: `phonotaxis evaluate {out}{before} --suite {asked} --split validation`")
    figures = {} if not last else {
        "frames": Figure(last[-1].frames),
        **{f"lane_{number}.success_while_tuning": Figure(success) for number, success in enumerate(last[-1].success)},
    }  # fmt: skip
    emit("tune", figures, json)


def own_tasks(training: object, start: Path) -> dict[str, AudioGoalTask]:
    """Return what a policy was trained on as `suite_tasks` does, of several tasks the first.

    Args:
        training: the configuration that its training left behind; where it names no task it is audiogoal-v1.
        start: the policy, for the user.

    Raises:
        ConfigError: its task isn't of this version's form.
    """
    from phonotaxis.configs.base import ConfigError
    from phonotaxis.configs.lanes import first_tasks, suite_tasks

    try:
        own = first_tasks(training, str(start)) if isinstance(training, dict) else {}
    except ConfigError as error:
        raise ConfigError(
            f"{error}\n{start}: can't take over the task that it was trained on; name a --suite"
        ) from None
    return own or suite_tasks(DEFAULT_SUITE)


def described(task: AudioGoalTask) -> str:
    """Say which task it is, with which array and body."""
    body = f"a body {2.0 * task.radius_m:g} m wide and {task.height_m:g} m high"
    return f"{task.name}: {task.array}, {body}, {task.step_m:g} m and {task.turn_deg:g} degrees a step"


COMMAND = Command(
    "tune",
    tune,
    (
        ("phonotaxis tune runs/train --out runs/tuned", "go on by reinforcement on the training's own task"),
        ("phonotaxis tune runs/train --suite audiogoal-hard-v1 --frames 500000", "on another suite, for longer"),
        ("phonotaxis tune export/shipped.onnx --frames 50000", "the shipped policy, in a checkout of the repository"),
    ),
    needs_arguments=True,
)
