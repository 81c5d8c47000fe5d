"""`phonotaxis bench`: how fast the parts are on this machine."""

from __future__ import annotations

from typing import Annotated

import typer

from phonotaxis.commands.command import Command, Group, Json, Seed
from phonotaxis.figures import Figure, emit


def sim(
    worlds: Annotated[int, typer.Option(help="Worlds that are stepped at once.", min=1, max=4096)] = 64,
    seconds: Annotated[float, typer.Option(help="How long to measure.", min=0.1)] = 10.0,
    threads: Annotated[int, typer.Option(help="Threads; 1 measures one core.", min=1)] = 1,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Count the simulator's steps a second: sound, depth, motion, reward, and episodes that begin anew.

    Start-up and the compilation of kernels are left out; everything that a training pays for is in.
    """
    from phonotaxis.envs.bench import bench_sim

    measured = bench_sim(worlds=worlds, seconds=seconds, threads=threads, seed=seed)
    emit("bench sim", {name: Figure(value, unit) for name, (value, unit) in measured.items()}, json)


GROUP = Group(
    "bench",
    "How fast the parts are on this machine.",
    (
        Command(
            "sim",
            sim,
            (
                ("phonotaxis bench sim", "one core"),
                ("phonotaxis bench sim --threads 2 --worlds 256 --json", "two cores, for a script"),
            ),
        ),
    ),
)
