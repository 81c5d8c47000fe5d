"""`phonotaxis tune`: reinforcement from where imitation ended."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from phonotaxis.commands.command import Command, Json, Seed, say
from phonotaxis.figures import Figure, emit

if TYPE_CHECKING:
    from phonotaxis.policies.ppo import PpoProgress


def tune(
    start: Annotated[Path, typer.Argument(help="Folder of a training, whose policy is gone on with.")],
    suite: Annotated[str, typer.Option(help="Whose train split rewards it; see `evaluate --help`.")] = "audiogoal-v1",
    out: Annotated[Path, typer.Option(help="Folder for the checkpoint.")] = Path("runs/tuned"),
    frames: Annotated[int | None, typer.Option(help="How many steps of experience.", min=1)] = None,
    config: Annotated[str | None, typer.Option(help="Your own .yaml file of settings; good defaults without.")] = None,
    fields: Annotated[
        Path | None,
        typer.Option(help="Keep traced sound fields in this folder (up to 8 GiB): the next training begins faster."),
    ] = None,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Tune a trained policy by reinforcement (RecurrentPPO of Stable-Baselines3) on what the task rewards.

    The policy's own network and memory are trained, the critic first; checkpoints have the form of any training's, so
    that `evaluate`, `export` and `tune` itself take them. On a CPU it sees a few hundred steps a second: minutes of
    imitation teach more than hours of this, which is for what no expert can show.
    """
    from phonotaxis.commands.progress import ProgressBar
    from phonotaxis.configs import presets
    from phonotaxis.configs.base import build
    from phonotaxis.configs.ppo import PpoConfig
    from phonotaxis.configs.suite import load_suite
    from phonotaxis.policies.checkpoint import load_checkpoint
    from phonotaxis.policies.ppo import tune as run

    base = PpoConfig() if config is None else presets.load("training", config, PpoConfig)
    given = {"seed": seed} | ({} if frames is None else {"frames": frames})
    settings = build(PpoConfig, base.model_dump() | given, "command line")
    saved, task = load_checkpoint(start), load_suite(suite).task_of("train")
    last: list[PpoProgress] = []
    with ProgressBar("tuning") as bar:

        def show(progress: PpoProgress) -> None:
            last[:] = [progress]
            bar(progress.share, f"success {100 * progress.success:.0f} %, {progress.frames:,} frames")

        run(saved, task, settings, out, show, fields)
    say(f"wrote {out}; next: `phonotaxis evaluate {out} --also before={start} --suite {suite} --split validation`")
    figures = {} if not last else {
        "frames": Figure(last[-1].frames),
        "success_while_tuning": Figure(last[-1].success),
    }  # fmt: skip
    emit("tune", figures, json)


COMMAND = Command(
    "tune",
    tune,
    (
        ("phonotaxis tune runs/train --out runs/tuned", "go on by reinforcement on audiogoal-v1"),
        ("phonotaxis tune runs/train --suite audiogoal-hard-v1 --frames 500000", "on another suite, for longer"),
    ),
    needs_arguments=True,
)
