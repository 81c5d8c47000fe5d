"""`phonotaxis prefer`: a knob for comfort and safety, learnt from ranked episodes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from phonotaxis.commands.command import Command, Json, TrainingOrBundle, policy_or_shipped, say
from phonotaxis.figures import Figure, emit, free_name

if TYPE_CHECKING:
    from phonotaxis.configs.lanes import Lane
    from phonotaxis.policies.prefer import PreferenceTrainer, PreferProgress


def prefer(
    start: TrainingOrBundle = None,
    suite: Annotated[
        list[str] | None,
        typer.Option(
            help="Whose train split is run; without, START's own task, of several the first, or else audiogoal-v1; "
            "see `evaluate --help`. May be repeated: suites take turns, and the knob must be good on each."
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
    nothing, and the command says so. A knob learnt on one body can cost success on another: name the suites of all
    that will turn it. With a policy that has a knob it goes on from that.
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
    for task in trainer.tasks.values():
        say(f"learning preferences on {described(task.task)}")
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
    measured = [
        f"`phonotaxis tradeoff {out} --suite {where} --split validation --plot tradeoff.png`"
        for where in suite or [suite_of(task.task) for task in trainer.tasks.values()]
    ]
    say(f"wrote {out}; next: {', '.join(measured)}, `phonotaxis export {out}`")
    emit("prefer", (_figures(last[-1]) if last else {}) | _kept_figures(trainer), json)


def _begun(
    start: Path | None, suites: list[str] | None, config: str | None, seed: int | None, minutes: float | None,
    out: Path, fields: Path | None,
) -> PreferenceTrainer:  # fmt: skip
    from phonotaxis.configs import presets
    from phonotaxis.configs.base import ConfigError, build
    from phonotaxis.configs.prefer import PreferConfig
    from phonotaxis.export.weights import load_trained
    from phonotaxis.policies.checkpoint import has_checkpoint
    from phonotaxis.policies.prefer import PreferenceTrainer, check_bound

    if has_checkpoint(out):
        raise ConfigError(f"{out} holds a training; --resume goes on with it, --out takes another folder")
    base = PreferConfig() if config is None else presets.load("training", config, PreferConfig)
    settings = build(PreferConfig, base.model_dump() | _given(seed, minutes), "command line")
    check_bound(settings, _given(None, minutes))
    chosen = policy_or_shipped(start)
    saved = load_trained(chosen)
    lanes = _lanes(suites, saved.config, chosen)
    return PreferenceTrainer(saved.policy(), lanes, settings, out, saved.counters, fields, saved.trainings)


def _resumed(
    start: Path | None, suites: list[str] | None, config: str | None, seed: int | None, minutes: float | None,
    out: Path, fields: Path | None,
) -> PreferenceTrainer:  # fmt: skip
    from phonotaxis.configs.base import ConfigError
    from phonotaxis.policies.prefer import PreferenceTrainer

    for name, value in (("the policy", start), ("--suite", suites), ("--config", config), ("--seed", seed)):
        if value is not None:
            raise ConfigError(f"--resume goes on with what is in OUT; leave {name} out")
    return PreferenceTrainer.resumed(out, _given(None, minutes), fields)


def _lanes(suites: list[str] | None, training: object, start: Path) -> list[Lane]:
    """Return what is run, and the suites' validation tasks where they are known; see `tune.own_tasks`."""
    from phonotaxis.commands.tune import own_tasks
    from phonotaxis.configs.base import ConfigError
    from phonotaxis.configs.lanes import Lane, suite_tasks

    found = [suite_tasks(suite) for suite in suites] if suites else [own_tasks(training, start)]
    lanes = [Lane.model_validate(tasks) for tasks in found]
    names = [lane.task.name for lane in lanes]
    if len(set(names)) < len(names):
        raise ConfigError(f"--suite: expected suites of different names, got {', '.join(names)}")
    return lanes


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
    measured = []
    for name, found in kept.items():
        where = f"on {config.validation_episodes} validation episodes " + (f"of {name} " if len(kept) > 1 else "")
        success = f"caution 1 has {found.success_with:.1%} success where caution 0 has {found.success_without:.1%}"
        felt = f"discomfort {found.discomfort_with:.3g} where that has {found.discomfort_without:.3g}"
        measured.append(f"{where}{success}, and {felt}")
    if trainer.comfort:
        return f"kept the head of round {trainer.counters['prefer_kept_round']}: {'; '.join(measured)}"
    none = f"NO HEAD IS KEPT, caution changes nothing: {'; '.join(measured)}"
    none += ", the last time" if kept else "none was better than caution 0"
    return f"{none}; train longer, or look at `manners`, `hold` and `success_tolerance` (--config)"


def _kept_figures(trainer: PreferenceTrainer) -> dict[str, Figure]:
    """Return which head is kept, and what it was measured at: that of the last one where none is."""
    found = trainer.comfort or trainer.measured
    if not found:
        return {}
    figures = {"kept": Figure(bool(trainer.comfort)), "kept_round": Figure(trainer.counters["prefer_kept_round"])}
    for name, comfort in found.items():
        whose = f"{free_name(name, ())}." if len(found) > 1 else ""
        figures |= {name: Figure(value) for name, value in comfort.counters(f"{whose}validation_").items()}
    return figures


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
            "phonotaxis prefer --suite audiogoal-v1 --suite audiogoal-robot-v1 --out runs/prefer",
            "the shipped policy's knob, learnt on for two bodies",
        ),
        ("phonotaxis prefer --out runs/prefer --resume", "go on after Ctrl-C or a crash"),
    ),
    needs_arguments=True,
)
