"""`phonotaxis scene listen`: a walk through a scene as a WAV, and as a video."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from phonotaxis.commands.command import Command, Json, Seed, say
from phonotaxis.commands.scene_source import Name, Options, default_path, load
from phonotaxis.errors import UserError
from phonotaxis.figures import Figure, emit

if TYPE_CHECKING:
    import numpy as np

    from phonotaxis.envs.listen.route import Route
    from phonotaxis.envs.listen.sound import Heard, Stereo
    from phonotaxis.envs.scenes import Scene

DRAWN_S = 15.0  # a walk whose ends are drawn


def listen(
    name: Name = "apartment",
    sound: Annotated[
        str, typer.Option(help="A kind of sound (`phonotaxis sounds list`), or a WAV, FLAC or OGG file.")
    ] = "telephone",
    start: Annotated[
        str | None, typer.Option("--from", metavar="X,Y", help="Where to begin, metres; drawn by default.")
    ] = None,
    to: Annotated[
        str | None, typer.Option(metavar="X,Y[,Z]", help="Where the source is, metres; drawn by default.")
    ] = None,
    array: Annotated[str, typer.Option(help="Microphones: a preset or a YAML file; two are heard.")] = "binaural",
    seconds: Annotated[float | None, typer.Option(help="How long to walk.", min=1.0, max=600.0)] = None,
    level: Annotated[float, typer.Option(help="Level of the sound at 1 m, dB SPL.", min=30.0, max=110.0)] = 75.0,
    video: Annotated[bool, typer.Option("--video", help="Write an MP4 with a picture too; needs ffmpeg.")] = False,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="WAV to write, or an MP4 with a WAV beside it.")
    ] = None,
    seed: Seed = 0,
    option: Options = None,
    json: Json = False,
) -> None:
    """Walk to a sound and write what is heard on the way, as a policy would hear it.

    The way is the shortest one, at half a metre a second, from another room unless told otherwise, to 0.6 m before the
    source. Every 20 ms the engine of training renders the sound anew. The peak is brought to -3 dB of full scale.
    """
    from phonotaxis.commands.progress import ProgressBar
    from phonotaxis.configs import presets
    from phonotaxis.configs.array import MicrophoneArray
    from phonotaxis.configs.task import is_one_scene
    from phonotaxis.envs.listen import poses as walking
    from phonotaxis.envs.listen import sound as hearing
    from phonotaxis.envs.listen.route import plan_route

    wav, film = _paths(out or default_path(name, seed, ".wav"), video)
    for written in (wav, film):
        if written is not None and written.exists() and Path(sound).exists() and written.samefile(sound):
            raise UserError(f"--out {out} would replace {sound}, which is to be heard; choose another name")
    begin, source = _point("--from", start, (2,)), _point("--to", to, (2, 3))
    ears = hearing.choose_ears(presets.load("arrays", array, MicrophoneArray))
    played = hearing.load_sound(sound, seed)
    scene = load(name, 0 if is_one_scene(name) else seed, option)  # the walk and the sound have the seed all the same
    route = plan_route(scene, begin, source, walking.SPEED_MPS * (seconds or DRAWN_S), seed)
    lasts_s = seconds or max(1.0, route.length_m / walking.SPEED_MPS)
    poses = walking.poses_along(route, lasts_s, 1.0 / hearing.HOP_S)
    with ProgressBar("listening") as bar:
        heard = hearing.hear_walk(scene, route.source_m, played, poses, array, level, progress=bar)
    gain_db = hearing.write_wav(wav, heard, ears)
    say(f"wrote {wav}: left and right are {ears.words}")
    made = film is not None and _write_film(film, wav, scene, route, poses, heard, ears)
    figures = _figures(scene, route, heard, gain_db) | {
        "sound": Figure(played.label),
        "wav": Figure(str(wav)),
        "video": Figure(str(film) if made else None),
    }
    emit("scene listen", figures, json)


def _write_film(
    path: Path, wav: Path, scene: Scene, route: Route, poses: np.ndarray, heard: Heard, ears: Stereo
) -> bool:
    """Write the video where there is an ffmpeg, and say so where there is none."""
    from phonotaxis.commands.progress import ProgressBar
    from phonotaxis.envs.listen.sound import HOP_S
    from phonotaxis.envs.listen.video import FRAMES_PER_S, find_ffmpeg, write_video

    ffmpeg = find_ffmpeg()
    if ffmpeg is None:
        say("no video: ffmpeg isn't installed (apt-get install ffmpeg)")
        return False
    from phonotaxis.envs.listen.pictures import Film

    with ProgressBar("drawing") as bar:
        film = Film(scene, route, heard.audio[[ears.left, ears.right]], heard.sample_rate_hz)
        frames = film.frames(poses, heard.in_sight, 1.0 / HOP_S, FRAMES_PER_S, bar)
        codec = write_video(path, frames, wav, ffmpeg)
    say(f"wrote {path} ({codec})")
    return True


def _figures(scene: Scene, route: Route, heard: Heard, gain_db: float) -> dict[str, Figure]:
    rooms = [scene.info.get(f"room_{room}", f"room {room}") for room in route.rooms]
    begin = ", ".join(f"{value:.2f}" for value in route.path_m[0])
    return {
        "scene": Figure(scene.name),
        "from": Figure(begin, "m"),
        "to": Figure(", ".join(f"{value:.2f}" for value in route.source_m), "m"),
        "rooms": Figure(", ".join(rooms)),
        "doors": Figure(route.doors),
        "length": Figure(route.length_m, "m"),
        "duration": Figure(heard.audio.shape[1] / heard.sample_rate_hz, "s"),
        "in_sight": Figure(100.0 * float(heard.in_sight.mean()), "%"),
        "sample_rate": Figure(heard.sample_rate_hz, "Hz"),
        "gain": Figure(gain_db, "dB"),
    }


def _paths(out: Path, video: bool) -> tuple[Path, Path | None]:
    """Return the paths of the WAV and of the video, if one is wanted; see that they can be written to."""
    if out.suffix.lower() not in (".wav", ".mp4"):
        raise UserError(f"--out {out}: expected a name that ends in .wav or .mp4")
    if not out.parent.is_dir():
        raise UserError(f"--out {out}: there is no folder {out.parent}; make it first")
    wav = out if out.suffix.lower() == ".wav" else out.with_suffix(".wav")
    wanted = video or out.suffix.lower() == ".mp4"
    film = (out if out.suffix.lower() == ".mp4" else out.with_suffix(".mp4")) if wanted else None
    return wav, film


def _point(what: str, text: str | None, sizes: tuple[int, ...]) -> tuple[float, ...] | None:
    """Read coordinates in metres, separated by commas."""
    if text is None:
        return None
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        values = ()
    if len(values) not in sizes:
        form = " or ".join(",".join("xyz"[:size]) for size in sizes)
        raise UserError(f"{what} {text}: expected {form} in metres, e.g. {what} 2.5,4")
    return values


COMMAND = Command(
    "listen",
    listen,
    (
        ("phonotaxis scene listen apartment --seed 3 --video", "a walk through three doors, heard and seen"),
        ("phonotaxis scene listen --sound speech.wav -o walk.wav", "your own recording"),
        ("phonotaxis scene listen house.yaml --from 1,2 --to 7.5,4 --array respeaker_usb_v2", "your own map and ends"),
    ),
)
