"""`phonotaxis sounds`: what there is to hear, and whether your own recordings can be used."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from phonotaxis.commands.command import Command, Group, Json, Seed, say
from phonotaxis.errors import UserError
from phonotaxis.figures import Figure, emit

_OUT = Path("runs/sounds")

if TYPE_CHECKING:
    from phonotaxis.envs.sounds import Sound

Rate = Annotated[int, typer.Option(help="Sample rate in Hz.", min=8000, max=96000)]


def list_kinds(json: Json = False) -> None:
    """List the kinds of procedural sounds with their splits: train, validation or test; or none, for trainings."""
    from phonotaxis.envs.sounds import GENERATORS, KINDS_OF

    split_of = {kind: split for split, of_split in KINDS_OF.items() for kind in of_split}
    kinds = {kind: split_of.get(kind, "none: for trainings that name it") for kind in sorted(GENERATORS)}
    emit("sounds list", {kind: Figure(split) for kind, split in kinds.items()}, json)


def check(
    folder: Annotated[Path, typer.Argument(help="Folder of WAV, FLAC or OGG files.")], json: Json = False
) -> None:
    """Read a folder of recordings as the simulator would, and say what it makes of them."""
    from phonotaxis.envs.sounds import load_folder

    sounds = load_folder(folder)
    if not json:
        for sound in sounds:
            say(f"{sound.name}: {_duration_s(sound):.1f} s")
    total_s = sum(_duration_s(sound) for sound in sounds)
    emit("sounds check", {"sounds": Figure(len(sounds)), "duration": Figure(total_s, "s")}, json)


def write(
    out: Annotated[Path, typer.Option(help="Folder to write WAV files to.")] = _OUT,
    seed: Seed = 0,
    sample_rate_hz: Rate = 16000,
) -> None:
    """Write one example of every kind as WAV, to listen to what a policy is trained on."""
    import soundfile

    from phonotaxis.envs.sounds import GENERATORS, make

    out.mkdir(parents=True, exist_ok=True)
    there = [name for kind in sorted(GENERATORS) if (out / (name := f"{kind}.wav")).exists()]
    if there and out != _OUT:
        raise UserError(f"--out {out} holds {there[0]} already, which may be yours; choose another folder")
    for kind in sorted(GENERATORS):
        sound = make(kind, seed, sample_rate_hz=sample_rate_hz)
        peak = float(abs(sound.samples).max())
        soundfile.write(out / f"{kind}.wav", sound.samples * (0.5 / peak), sample_rate_hz, subtype="PCM_16")
    say(f"wrote {len(GENERATORS)} sounds to {out}")


def _duration_s(sound: Sound) -> float:
    return len(sound.samples) / sound.sample_rate_hz


GROUP = Group(
    "sounds",
    "What there is to hear, and whether your own recordings can be used.",
    (
        Command("list", list_kinds, (("phonotaxis sounds list", "the kinds and their split"),)),
        Command(
            "check",
            check,
            (("phonotaxis sounds check recordings/", "every file that can't be used is named, with why"),),
            needs_arguments=True,
        ),
        Command("write", write, (("phonotaxis sounds write --out runs/sounds --seed 1", "to listen to"),)),
    ),
)
