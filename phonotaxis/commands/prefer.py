"""`phonotaxis prefer`: a knob for comfort and safety, learnt from ranked episodes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from phonotaxis.commands.command import Command, Json, TrainingOrBundle, policy_or_shipped, say
from phonotaxis.figures import Figure, emit

if TYPE_CHECKING:
    from phonotaxis.configs.task import AudioGoalTask
    from phonotaxis.policies.prefer import PreferenceTrainer, PreferProgress


def prefer(
    start: TrainingOrBundle = None,
    suite: Annotated[
        str | None,
        typer.Option(
            help="Whose train split is run; without, START's own task, of several the first, or else audiogoal-v1; "
            "see `evaluate --help`."
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the checkpoint.")] = Path("runs/prefer"),
    minutes: Annotated[
        float | None, typer.Option(help="How long to train; without, what --config says, or else 30.", min=0.01)
    ] = None,
    config: Annotated[str | None, typer.Option(help="Your own .yaml file of settings; good defaults without.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of everything random.", min=0)] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the checkpoint in OUT.")] = False,
    fields: Annotated[
        Path | None, typer.Option(help="Keep traced sound fields in this folder (up to 8 GiB) for the next training.")
    ] = None,
    json: Json = False,
) -> None:
    """Give a trained policy a knob: caution, which keeps it from obstacles, jerks and detours as far as you turn it.

    Episodes of one start are run several times and ranked by clearance, smoothness, time and collisions; success comes
    first. A head beside the policy learns to prefer the better ones (direct preference optimisation), the policy itself
    stays as it is: at caution 0 it decides what it always did. `run --caution 0.7` turns the knob, `tradeoff` measures
    it.

    Now and then the knob is turned up and down on episodes of the validation split: the head with the least discomfort
    whose success isn't below that of caution 0 by more than 2 points is what you get. Where none is, the knob does
    nothing, and the command says so. With a policy that has a knob it goes on from that.
    """
    from phonotaxis.commands.progress import ProgressBar
    from phonotaxis.commands.train import suite_of
    from phonotaxis.commands.tune import described
    from phonotaxis.deploy.interrupts import take_interrupts
    from phonotaxis.policies.checkpoint import has_checkpoint
    from phonotaxis.policies.curves import Curves

    take_interrupts()  # a batch system's too
    trainer = _resumed(start, suite, config, seed, minutes, out, fields) if resume else _begun(
        start, suite, config, seed, minutes, out, fields
    )  # fmt: skip
    say(f"learning preferences on {described(trainer.task)}")
    last: list[PreferProgress] = []
    try:
        with ProgressBar("learning preferences") as bar, Curves(out / "tensorboard") as curves:

            def show(progress: PreferProgress) -> None:
                last[:] = [progress]
                bar(progress.share, _note(progress))
                found = {f"validation/{name}": value for name, value in progress.validation.items()}
                curves.write(progress.values | found, progress.frames, progress.seconds)

            trainer.run(show)
    except KeyboardInterrupt:
        kept = f"the checkpoint is in {out}: `phonotaxis prefer --out {out} --resume` goes on"
        say(f"stopped; {kept}" if has_checkpoint(out) else "stopped before anything was learnt; nothing was written")
        raise typer.Exit(130) from None
    say(_what_is_kept(trainer))
    where = suite or suite_of(trainer.task)
    measured = f"`phonotaxis tradeoff {out} --suite {where} --split validation --plot tradeoff.png`"
    say(f"wrote {out}; next: {measured}, `phonotaxis export {out}`")
    emit("prefer", (_figures(last[-1]) if last else {}) | _kept_figures(trainer), json)


def _begun(
    start: Path | None, suite: str | None, config: str | None, seed: int | None, minutes: float | None, out: Path,
    fields: Path | None,
) -> PreferenceTrainer:  # fmt: skip
    from phonotaxis.configs import presets
    from phonotaxis.configs.base import ConfigError, build
    from phonotaxis.configs.prefer import PreferConfig
    from phonotaxis.export.weights import load_trained
    from phonotaxis.policies.benchmark import told
    from phonotaxis.policies.checkpoint import has_checkpoint
    from phonotaxis.policies.prefer import PreferenceTrainer, check_bound

    if has_checkpoint(out):
        raise ConfigError(f"{out} holds a training; --resume goes on with it, --out takes another folder")
    base = PreferConfig() if config is None else presets.load("training", config, PreferConfig)
    settings = build(PreferConfig, base.model_dump() | _given(seed, minutes), "command line")
    check_bound(settings, _given(None, minutes))
    chosen = policy_or_shipped(start)
    saved = load_trained(chosen)
    task, validation = _tasks(suite, saved.config, chosen)
    policy = saved.policy(contract=told(task.contract(), saved.contract))
    return PreferenceTrainer(policy, task, settings, out, saved.counters, fields, validation, saved.trainings)


def _resumed(
    start: Path | None, suite: str | None, config: str | None, seed: int | None, minutes: float | None, out: Path,
    fields: Path | None,
) -> PreferenceTrainer:  # fmt: skip
    from phonotaxis.configs.base import ConfigError
    from phonotaxis.policies.prefer import PreferenceTrainer

    for name, value in (("the policy", start), ("--suite", suite), ("--config", config), ("--seed", seed)):
        if value is not None:
            raise ConfigError(f"--resume goes on with what is in OUT; leave {name} out")
    return PreferenceTrainer.resumed(out, _given(None, minutes), fields)


def _tasks(suite: str | None, training: object, start: Path) -> tuple[AudioGoalTask, AudioGoalTask | None]:
    """Return what is run, and the suite's validation task where it is known; see `tune.own_tasks`."""
    from phonotaxis.commands.tune import own_tasks
    from phonotaxis.configs.lanes import suite_tasks

    found = own_tasks(training, start) if suite is None else suite_tasks(suite)
    return found["task"], found.get("validation")


def _given(seed: int | None, minutes: float | None) -> dict[str, float | int]:
    return {name: value for name, value in (("seed", seed), ("minutes", minutes)) if value is not None}


def _note(progress: PreferProgress) -> str:
    told, rate = progress.values, progress.frames / max(progress.seconds, 1e-9)
    success = 100.0 * told["success/with_caution"]
    return f"success {success:.0f} %, clearance {told['clearance_m/with_caution']:.2f} m, {rate:,.0f} frames/s"


def _what_is_kept(trainer: PreferenceTrainer) -> str:
    config, kept = trainer.config, trainer.comfort or trainer.measured
    if not config.validations:
        return "kept the last head; nothing was validated"
    found = f"on {config.validation_episodes} validation episodes "
    if kept is not None:
        found += f"caution 1 has {kept.success_with:.1%} success where caution 0 has {kept.success_without:.1%}, "
        found += f"and discomfort {kept.discomfort_with:.3g} where that has {kept.discomfort_without:.3g}"
    if trainer.comfort is not None:
        return f"kept the head of round {trainer.counters['prefer_kept_round']}: {found}"
    none = f"NO HEAD IS KEPT, caution changes nothing: {found}"
    none += ", the last time" if kept is not None else "none was better than caution 0"
    return f"{none}; train longer, or look at `manners`, `hold` and `success_tolerance` (--config)"


def _kept_figures(trainer: PreferenceTrainer) -> dict[str, Figure]:
    """Return which head is kept, and what it was measured at: that of the last one where none is."""
    found = trainer.comfort or trainer.measured
    if found is None:
        return {}
    own = {"kept": Figure(trainer.comfort is not None), "kept_round": Figure(trainer.counters["prefer_kept_round"])}
    return own | {name: Figure(value) for name, value in found.counters("validation_").items()}


def _figures(progress: PreferProgress) -> dict[str, Figure]:
    figures = {"duration": Figure(progress.seconds, "s"), "frames": Figure(progress.frames)}
    for name, unit in (("success", ""), ("clearance_m", "m"), ("changes_per_m", "1/m")):
        for caution in ("without", "with"):
            figures[f"{name}_{caution}_caution"] = Figure(progress.values[f"{name}/{caution}_caution"], unit)
    return figures


COMMAND = Command(
    "prefer",
    prefer,
    (
        ("phonotaxis prefer runs/train --out runs/prefer", "a knob for a trained policy"),
        (
            "phonotaxis prefer --suite audiogoal-robot-v1 --out runs/prefer",
            "the shipped policy's knob, learnt on as a rover",
        ),
        ("phonotaxis prefer --out runs/prefer --resume", "go on after Ctrl-C or a crash"),
    ),
    needs_arguments=True,
)
