"""`phonotaxis tune`: reinforcement from where imitation ended."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from phonotaxis.commands.command import Command, Json, TrainingOrBundle, policy_or_shipped, say
from phonotaxis.figures import Figure, emit, free_name

if TYPE_CHECKING:
    from phonotaxis.configs.ppo import PpoConfig
    from phonotaxis.configs.task import AudioGoalTask
    from phonotaxis.policies.checkpoint import Checkpoint
    from phonotaxis.policies.ppo import PpoProgress

DEFAULT_SUITE = "audiogoal-v1"


def tune(
    start: TrainingOrBundle = None,
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
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the checkpoint in OUT.")] = False,
    json: Json = False,
) -> None:
    """Tune a trained policy by reinforcement (RecurrentPPO of Stable-Baselines3) on what the task rewards.

    The policy's own network and memory are trained, the critic first; checkpoints have the form of any training's, so
    that `evaluate`, `export` and `tune` itself take them. On a CPU it sees a few hundred steps a second: minutes of
    imitation teach more than hours of this, which is for what no expert can show.

    The policy runs validation episodes before it is tuned, on the way and at the end; what is better than it was, and
    the best of all, is in OUT/best. `tensorboard --logdir OUT` shows the curves.
    """
    from phonotaxis.commands.progress import ProgressBar
    from phonotaxis.commands.train import suite_of
    from phonotaxis.deploy.interrupts import take_interrupts
    from phonotaxis.policies.checkpoint import has_checkpoint
    from phonotaxis.policies.curves import Curves
    from phonotaxis.policies.ppo import tune as run

    take_interrupts()  # a batch system's too
    given: dict[str, Any] = {
        name: value for name, value in (("seed", seed), ("frames", frames)) if value is not None
    }  # fmt: skip
    if resume:
        saved, settings = _resumed(out, given, {"START": start, "--suite": suite, "--config": config, "--seed": seed})
    else:
        saved, settings = _begun(policy_or_shipped(start), suite, config, given, out)
    for lane in settings.all_lanes:
        say(f"tuning on {described(lane.task)}")
    last: list[PpoProgress] = []
    try:
        with ProgressBar("tuning") as bar, Curves(out / "tensorboard") as curves:

            def show(progress: PpoProgress) -> None:
                last[:] = [progress]
                bar(progress.share, _note(progress))
                curves.write(_curves(progress, settings), progress.frames, progress.seconds)

            run(saved, settings, out, show, fields, resume)
    except KeyboardInterrupt:
        kept = f"the checkpoint is in {out}: `{how_to_go_on(out, fields)}` goes on"
        say(f"stopped; {kept}" if has_checkpoint(out) else "stopped before anything was learnt; nothing was written")
        raise typer.Exit(130) from None
    asked = suite or suite_of(settings.task)
    before = "" if asked == "own" or resume else f" --also before={policy_or_shipped(start)}"
    chosen = _chosen(out, last)
    say(f"wrote {out}; next: `phonotaxis evaluate {chosen}{before} --suite {asked} --split validation`")
    emit("tune", {} if not last else _figures(last[-1]), json)


def _begun(
    start: Path, suite: str | None, config: str | None, given: dict[str, Any], out: Path
) -> tuple[Checkpoint, PpoConfig]:
    """Return what is tuned, and on what and how, with the given fields of that changed.

    Raises:
        ConfigError: something is there already, or two options speak of the same.
    """
    from phonotaxis.configs import presets
    from phonotaxis.configs.base import ConfigError, build
    from phonotaxis.configs.lanes import suite_tasks, without_void
    from phonotaxis.configs.ppo import PpoConfig
    from phonotaxis.export.weights import load_trained
    from phonotaxis.policies.checkpoint import has_checkpoint
    from phonotaxis.policies.starts import without_knob

    if has_checkpoint(out):
        raise ConfigError(f"{out} holds a training; --resume goes on with it, --out takes another folder")
    base = PpoConfig() if config is None else presets.load("training", config, PpoConfig)
    if suite is not None and base.lanes:
        raise ConfigError("--config has lanes; name suites there, or leave them out for one by --suite")
    saved = load_trained(start)
    if saved.policy_config.caution:
        saved = without_knob(saved)
        say("note: the policy's knob is left behind; `phonotaxis prefer` adds one to what is tuned")
    if suite is not None:
        given = given | {"validation": None} | suite_tasks(suite)
    elif "task" not in base.model_fields_set:
        given = given | own_tasks(saved.config, start)
    return saved, build(PpoConfig, without_void(base.model_dump()) | given, "command line")


def _resumed(out: Path, given: dict[str, Any], others: dict[str, Any]) -> tuple[Checkpoint, PpoConfig]:
    """Return what stands in the folder, with the given fields changed; none of the other options may be given.

    Raises:
        ConfigError: one of them is given.
        CheckpointError: there is nothing to go on with.
    """
    from phonotaxis.configs.base import ConfigError, build
    from phonotaxis.configs.lanes import without_void
    from phonotaxis.configs.ppo import PpoConfig
    from phonotaxis.policies.checkpoint import CheckpointError, load_checkpoint

    for name, value in others.items():
        if value is not None:
            raise ConfigError(f"--resume goes on with what is in OUT; leave {name} out")
    saved = load_checkpoint(out)
    if not isinstance(saved.config.get("ppo"), dict):
        raise CheckpointError(f"{out}: not of a tuning; `phonotaxis tune {out} --out ANOTHER` begins one with it")
    return saved, build(PpoConfig, without_void(saved.config["ppo"]) | given, str(out))


def how_to_go_on(out: Path, fields: Path | None) -> str:
    """Return the command line that goes on with a tuning."""
    kept = [] if fields is None else ["--fields", str(fields)]
    return shlex.join(["phonotaxis", "tune", "--out", str(out), "--resume", *kept])


def _note(progress: PpoProgress) -> str:
    success = ", ".join(f"{100 * share:.0f}" for share in progress.success)
    rate = progress.frames / max(progress.seconds, 1e-9)
    return f"success {success} %, {progress.frames:,} frames, {rate:,.0f} a second"


def _curves(progress: PpoProgress, settings: PpoConfig) -> dict[str, float]:
    from phonotaxis.configs.lanes import lane_names

    success = dict(zip(lane_names(settings.all_lanes), progress.success))
    values = {f"success/{name}": share for name, share in success.items()}
    values |= {f"validation_spl/{name}": value for name, value in progress.validation.items()}
    return values | {"training/kl": progress.kl}


def _chosen(out: Path, last: list[PpoProgress]) -> Path:
    """Return the folder of the policy that is to be taken, and tell the user why that one."""
    from phonotaxis.policies.checkpoint import has_checkpoint
    from phonotaxis.policies.validation import BEST

    best, told = out / BEST, last[-1] if last else None
    if told is None or told.validation_at_start is None:
        return out
    if not has_checkpoint(best):
        say(f"NOTHING WAS GAINED on validation: mean SPL {told.validation_at_start:.3f} before, and never above that")
        return out
    say(f"validation's mean SPL: {told.validation_at_start:.3f} before, at best {told.validation_best:.3f}, in {best}")
    return best


def _figures(progress: PpoProgress) -> dict[str, Figure]:
    figures = {"frames": Figure(progress.frames), "duration": Figure(progress.seconds, "s")}
    for number, success in enumerate(progress.success):
        figures[f"lane_{number}.success_while_tuning"] = Figure(success)
    for name, value in progress.validation.items():
        figures[free_name(name, figures, "validation_spl_", "task")] = Figure(value)
    for name, spl in (("at_start", progress.validation_at_start), ("best", progress.validation_best)):
        if spl is not None:
            figures[f"validation_mean_spl_{name}"] = Figure(spl)
    return figures


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
        ("phonotaxis tune --suite semantic-v1 --frames 50000", "the shipped policy, on a suite"),
        ("phonotaxis tune --out runs/tuned --resume", "go on after Ctrl-C or a crash"),
    ),
    needs_arguments=True,
)
