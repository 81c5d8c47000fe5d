"""`phonotaxis demo`: the whole line once, from nothing to a robot that finds a sound."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from phonotaxis.commands.command import Command, Json, Seed
from phonotaxis.figures import emit


def demo(
    map: Annotated[
        Path | None,
        typer.Option(help="Your own world: a ROS occupancy map (map_server's YAML beside its image)."),
    ] = None,
    sounds: Annotated[Path | None, typer.Option(help="Your own sounds: a folder of WAV, FLAC or OGG files.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for everything it makes.")] = Path("runs/demo"),
    seed: Seed = 0,
    minutes: Annotated[float, typer.Option(help="How long to train.", min=0.05, max=600)] = 3.0,
    episodes: Annotated[int, typer.Option(help="Evaluation episodes for each policy.", min=2)] = 200,
    json: Json = False,
) -> None:
    """Train a policy, evaluate it, export it, run the robot's runtime on it and replay what happened.

    Builds a few apartments and a bank of sounds, trains by imitation of the shortest path, compares with
    three other policies in apartments it has not seen, writes one ONNX bundle, drives a simulated robot with
    the code that a real one runs, and proves the logged episode action by action. The report is
    OUT/report.html.
    """
    from phonotaxis.demo import main

    figures = main(map=map, sounds=sounds, out=out, seed=seed, minutes=minutes, episodes=episodes)
    if json:
        emit("demo", figures, as_json=True)


COMMAND = Command(
    "demo",
    demo,
    (
        ("phonotaxis demo", "about 8 minutes on two cores"),
        ("phonotaxis demo --map house.yaml --sounds recordings/", "the same in your house with your sounds"),
        ("phonotaxis demo --minutes 20 --out runs/long", "train longer, keep the first result"),
    ),
)
